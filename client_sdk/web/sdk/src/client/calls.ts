/** Calls as a page's program has them: who rings, who is called, and the one call whose media are in this page. */

import { systemRandom } from "../adapters/clock.ts";
import type { CallMedia, CallView } from "../call-views.ts";
import type { CallShown } from "../engine/calls/calls-shown.ts";
import type { Snapshot } from "../local-device/types.ts";
import { toHex } from "../protocol/bytes.ts";
import { LocalError } from "../protocol/errors.ts";
import { type AppointmentId, type ConversationId, idOf, type MessageId } from "../protocol/ids.ts";
import { forgetOtherCertificates } from "./call-certificates.ts";
import { LiveCall } from "./live-call.ts";
import { ANY_DEVICE, type DeviceChoice } from "./media-devices.ts";
import type { Port } from "./port.ts";

/** How somebody is called. id: one that was agreed before, as at the door of an appointment. */
export interface OfferOptions {
  readonly media?: CallMedia;
  readonly appointment?: AppointmentId | null;
  readonly id?: MessageId;
}

/** The device is in the call, says the server: what `rejoin` goes on with. */
const IN_CALL: readonly CallView["phase"][] = ["connecting", "connected", "reconnecting"];

/** A page with media in it holds this lock; the browser gives it to the next one when the page is gone. */
function lockOf(page: string): string {
  return `rapport-call-page:${page}`;
}

/**
 * Calls of this account. A call's media are in one page of one device; other pages and devices see how it stands.
 *
 *     client.on("callRinging", ({ call }) => ring(client.calls.of(call)));
 *     const live = client.calls.open(call);
 *     await live.accept();
 *     video.srcObject = live.remote;
 */
export class Calls {
  /**
   * Whether others may learn our address: true hides it behind the relay, false does not, null is as the practice wants
   * it: hidden for clients. It counts from the next connection on.
   */
  hideAddress: boolean | null = null;
  /** Camera, microphone and speaker of the next calls, and of the one that is on as far as `choose` said so. */
  devices: DeviceChoice = ANY_DEVICE;
  private readonly port: Port;
  private readonly look: () => Snapshot;
  private readonly changed: () => void;
  private readonly page = toHex(systemRandom(16));
  private readonly held = new Map<MessageId, LiveCall>();
  /** Pages that had media of a call, and whether they are gone. */
  private readonly pages = new Map<string, "asked" | "gone">();
  private isTidy = false;
  private letGo: (() => void) | null = null;

  /** changed: called when something is different that does not stand in the snapshot. */
  constructor(port: Port, look: () => Snapshot, changed: () => void) {
    this.port = port;
    this.look = look;
    this.changed = changed;
  }

  // --- what there is --------------------------------------------------------------------------------------------------

  /** All that have not ended, here or on another device of ours; the newest first. */
  live(): CallView[] {
    const views = Object.values(this.look().calls).map(({ view }) => view);
    return views.filter(({ phase }) => phase !== "ended").reverse();
  }

  /** One call; null when nothing is remembered of it. */
  of(call: MessageId): CallView | null {
    return this.shown(call)?.view ?? null;
  }

  /** The call whose media are in this page; null = none. */
  get current(): LiveCall | null {
    const found = Object.values(this.look().calls).find(({ view, page }) => view.here && page === this.page);
    return found === undefined ? null : (this.held.get(found.view.id) ?? null);
  }

  /**
   * A call that this device is in and whose page is gone: it was reloaded, or has crashed. The server keeps it for half a
   * minute: `open(id).rejoin()` goes on with it in this page. null = there is none.
   */
  get interrupted(): CallView | null {
    const all = Object.values(this.look().calls);
    const found = all.find(
      ({ view, page }) => view.here && IN_CALL.includes(view.phase) && this.pages.get(page) === "gone",
    );
    return found?.view ?? null;
  }

  private shown(call: MessageId): CallShown | null {
    return this.look().calls[call] ?? null;
  }

  // --- calling --------------------------------------------------------------------------------------------------------

  /**
   * Calls the other one of a pair; resolves once the offer is in the vault. It leaves as soon as there is a connection,
   * within 45 s or not at all.
   *
   * What camera and microphone do not give stands in `problem`. LocalError: forbidden outside of a pair, conflict while
   * this device is in another call.
   */
  async offer(conversation: ConversationId, options: OfferOptions = {}): Promise<LiveCall> {
    const { media = "video", appointment = null, id = idOf<MessageId>(systemRandom(16)) } = options;
    const live = this.made(id);
    try {
      await live.start(media);
      const description = this.isClient ? null : await live.describeFirst();
      await this.port.call("offerCall", conversation, { media, description, appointment, id, page: this.page });
    } catch (error) {
      live.close();
      this.held.delete(id);
      throw error;
    }
    live.follow();
    return live;
  }

  /**
   * The call of that id, to be answered, refused or left. One whose media have ended in this page while the call itself
   * lives is another object from then on. LocalError(not_found).
   */
  open(call: MessageId): LiveCall {
    if (this.shown(call) === null) {
      throw new LocalError("not_found", "no such call");
    }
    const held = this.held.get(call);
    return held === undefined || this.isSpent(held) ? this.made(call) : held;
  }

  /** Its media have ended, and the call goes on elsewhere, or rings: it may come back to this page. */
  private isSpent({ id, isOver }: LiveCall): boolean {
    const shown = this.shown(id);
    if (shown === null || shown.view.phase === "ended") {
      return false;
    }
    return isOver && !(shown.view.here && shown.page === this.page); // else it is being left
  }

  /** From now on other pages know that this one is there. */
  private hold(): void {
    if (this.letGo === null) {
      const held = new Promise<void>((resolve) => {
        this.letGo = resolve;
      });
      void globalThis.navigator?.locks?.request(lockOf(this.page), () => held);
    }
  }

  /** Asks for the lock of another page with media: it is had when that page is gone. */
  private miss(page: string): void {
    if (page !== "" && page !== this.page && !this.pages.has(page)) {
      this.pages.set(page, "asked");
      void globalThis.navigator?.locks?.request(lockOf(page), async () => {
        this.pages.set(page, "gone");
        this.changed();
      });
    }
  }

  private get isClient(): boolean {
    return this.look().identity?.role === "client";
  }

  private made(id: MessageId): LiveCall {
    const grounds = {
      port: this.port,
      page: this.page,
      look: () => this.shown(id),
      relayOnly: () => this.hideAddress,
      isClient: this.isClient,
      devices: this.devices,
    };
    this.hold();
    const made = new LiveCall(id, grounds);
    this.held.set(id, made);
    return made;
  }

  // --- what the device says -------------------------------------------------------------------------------------------

  /** The snapshot may be different: every call of this page follows it. */
  follow(): void {
    for (const [id, live] of this.held) {
      const shown = this.shown(id);
      if (shown === null || !this.goesOn(shown)) {
        live.follow();
      }
      if (live.isOver && shown === null) {
        this.held.delete(id);
      }
    }
    const { identity, calls } = this.look();
    if (identity !== null && !this.isTidy) {
      this.isTidy = true;
      const live = Object.values(calls).filter(({ view }) => view.here);
      void forgetOtherCertificates(live.map(({ view }) => view.id));
    }
    for (const shown of Object.values(calls)) {
      if (shown.view.here) {
        this.miss(shown.page);
      }
      if (this.goesOn(shown)) {
        this.takeOver(shown.view).catch(() => undefined); // their call goes on with our media
      }
    }
  }

  /** Both have called: this one goes on in this page in place of ours, and it was not begun here yet. */
  private goesOn({ view, page, orders }: CallShown): boolean {
    return page === this.page && view.here && orders.start > 0 && !this.held.get(view.id)?.isStarted;
  }

  /** With our camera only if the person had it on in the call that has ended for this one: nobody is asked again. */
  private async takeOver({ id, conversation, media }: CallView): Promise<void> {
    const others = [...this.held.values()].filter((held) => held.id !== id);
    const ours = others.filter((held) => this.of(held.id)?.conversation === conversation).at(-1);
    const live = this.held.get(id) ?? this.made(id); // a page may have opened it when it rang
    live.mute(ours?.muted ?? false);
    await live.start(ours?.chosen === "video" ? media : "audio");
    live.follow();
  }

  /** The network of this machine is another one. */
  moved(): void {
    this.current?.moved();
  }

  /** This page goes away, maybe to come back: a call that it is in waits for that, one that rings is taken back. */
  left(): void {
    const { current } = this;
    if (current !== null && !IN_CALL.includes(current.view.phase)) {
      void current.hangUp().catch(() => undefined);
    }
  }

  /** This page has no part in calls any more: the call that it has is left. */
  close(): void {
    const { current } = this;
    if (current !== null) {
      void current.hangUp().catch(() => undefined);
    }
    for (const live of this.held.values()) {
      live.close();
    }
    this.letGo?.();
  }
}
