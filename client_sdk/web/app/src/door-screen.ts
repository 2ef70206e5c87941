/** `app-door`: who stands before a therapist's doors, with a knock until a host has seen it. */

import type { Emitted, WaitingPerson, WrongClientView } from "@rapport/elements";
import { type AccountId, type AppointmentId, LocalError, type MessageId, RapportError } from "@rapport/sdk";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { liveCall, modalityOf, waitingPeople } from "./live-views.ts";
import { nameOf, serverNow } from "./office-views.ts";
import { knockSound, setKnockSound } from "./preferences.ts";
import { Knock } from "./sound.ts";
import { Ticking } from "./ticking.ts";

/** States in which somebody is still at the door or in the room. */
const PRESENT: readonly string[] = ["checking", "waiting", "disconnected", "admitting", "in_room"];

function keyOf({ appointment, account }: WaitingPerson): string {
  return `${appointment} ${account}`;
}

/** Admitting is calling: the call begins here and the app goes to it. */
export class DoorScreen extends ClientElement {
  static override properties: PropertyDeclarations = { ...ClientElement.properties, asked: { state: true } };

  /** Whom somebody is about to let in by mistake; null for nobody. */
  declare protected asked: WrongClientView | null;

  readonly #knock = new Knock();
  /** Who waits and was seen by somebody at this page: since when, by appointment and account. */
  readonly #seen = new Map<string, number>();
  /** Whoever presses a key or points at something while people are shown has seen them. */
  readonly #awake = () => void (this.#isShown && this.#notice());
  /** Tells the app when the list goes out of sight, as in a call, and when it comes back. */
  readonly #sight = new ResizeObserver(() => {
    this.dispatchEvent(new CustomEvent("app-list", { bubbles: true, composed: true, detail: this.#isShown }));
  });

  constructor() {
    super();
    this.asked = null;
    new Ticking(this);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener("pointerdown", this.#awake);
    window.addEventListener("keydown", this.#awake);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener("pointerdown", this.#awake);
    window.removeEventListener("keydown", this.#awake);
    this.#sight.disconnect();
    this.#knock.end();
  }

  protected override firstUpdated(): void {
    for (const list of this.renderRoot.querySelectorAll("rapport-waiting-now")) {
      this.#sight.observe(list);
    }
  }

  get #isShown(): boolean {
    const list = this.renderRoot.querySelector("rapport-waiting-now");
    return list !== null && list.getClientRects().length > 0;
  }

  /** The room is entered and its alerts end: from now on those who wait are told that their host knows. */
  async #notice(): Promise<void> {
    const fresh = waitingPeople(this.client).filter(
      (one) => one.state === "waiting" && this.#seen.get(keyOf(one)) !== one.sinceMs,
    );
    for (const person of fresh) {
      this.#seen.set(keyOf(person), person.sinceMs);
    }
    this.requestUpdate();
    for (const id of new Set(fresh.map(({ appointment }) => appointment as AppointmentId))) {
      try {
        await this.client.waitingRoom.enter(id);
        await this.client.waitingRoom.seen(id);
      } catch (error) {
        if (!(error instanceof RapportError)) {
          throw error;
        }
      }
    }
  }

  /** Rooms whose time is over and where nobody is any more are left. */
  #leaveEmpty(): void {
    const nowMs = serverNow(this.client);
    for (const { appointment, asHost, people } of this.client.waitingRoom.all()) {
      const held = this.client.appointments.of(appointment);
      const over = held === null || nowMs > held.endMs + held.lateMinutes * 60_000;
      if (asHost && over && !people.some(({ state }) => PRESENT.includes(state))) {
        this.client.waitingRoom.leave(appointment).catch(() => undefined); // it is tried again with the next drawing
      }
    }
  }

  protected override render(): TemplateResult {
    const people = waitingPeople(this.client);
    const sound = knockSound();
    const unseen = people.filter((one) => one.state === "waiting" && this.#seen.get(keyOf(one)) !== one.sinceMs);
    const waiting = unseen.map((one) => `${keyOf(one)} ${one.sinceMs}`);
    this.#leaveEmpty();
    this.#knock.waits(waiting, sound && liveCall(this.client) === null); // never while a microphone is open
    return html`<rapport-waiting-now .people=${people} .sound=${sound} .nowMs=${serverNow(this.client)}
      @rapport-admit=${(event: CustomEvent<Emitted["rapport-admit"]>) => void this.#admit(event.detail, false)}
      @rapport-admit-all=${(event: CustomEvent<Emitted["rapport-admit-all"]>) => void this.#admitAll(event.detail.appointment as AppointmentId)}
      @rapport-remove=${(event: CustomEvent<Emitted["rapport-remove"]>) => void this.#remove(event.detail)}
      @rapport-decline=${(event: CustomEvent<Emitted["rapport-decline"]>) => void this.#decline(event.detail)}
      @rapport-late=${(event: CustomEvent<Emitted["rapport-late"]>) => void this.#late(event.detail)}
      @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.#write(event.detail)}
      @rapport-sound=${(event: CustomEvent<Emitted["rapport-sound"]>) => this.#turn(event.detail.on)}></rapport-waiting-now>
      <rapport-wrong-client .asked=${this.asked} @rapport-keep-waiting=${() => this.#keep()}
      @rapport-admit-sure=${(event: CustomEvent<Emitted["rapport-admit-sure"]>) => void this.#admit(event.detail, true)}></rapport-wrong-client>`;
  }

  async #admit({ appointment, account }: Emitted["rapport-admit"], sure: boolean): Promise<void> {
    this.asked = null;
    const id = appointment as AppointmentId;
    const conversation = waitingPeople(this.client).find((one) => one.account === account)?.conversation ?? null;
    if (conversation === null) {
      return; // nobody to call: a pair is what calls are made in
    }
    const work = this.#letIn(id, account, conversation, sure);
    try {
      await work;
    } catch (error) {
      if (error instanceof LocalError && error.code === "forbidden" && !sure) {
        this.#ask(id, account);
      } else {
        await this.attempt(work);
      }
    }
  }

  async #letIn(
    id: AppointmentId,
    account: AccountId,
    conversation: Emitted["rapport-open"]["conversation"],
    sure: boolean,
  ): Promise<void> {
    await this.client.waitingRoom.enter(id);
    await this.#call(id, conversation, await this.client.waitingRoom.admit(id, account, { sure }));
  }

  /** call: as it was agreed with the server; one of its own for somebody who was let in with everybody. */
  async #call(
    id: AppointmentId,
    conversation: Emitted["rapport-open"]["conversation"],
    call?: MessageId,
  ): Promise<void> {
    const { client } = this;
    const modality = modalityOf(client.appointments.of(id)?.modality ?? "video");
    if (modality === "chat") {
      this.#write({ conversation }); // where people write there is no call (docs/protocol.md, 23.1)
    } else {
      const live = await client.calls.offer(conversation, {
        ...(call === undefined ? {} : { id: call }),
        appointment: id,
        media: modality === "video" ? "video" : "audio",
      });
      this.go({ at: "call", call: live.id });
    }
    if ((client.appointments.of(id)?.lateMinutes ?? 0) > 0) {
      await client.appointments.late(id, 0); // it has begun: whoever is sent back is not told of a delay
    }
  }

  #ask(id: AppointmentId, account: AccountId): void {
    const appointment = this.client.appointments.of(id);
    const expected = appointment?.members.find((member) => member !== this.client.identity?.account);
    this.asked = {
      appointment: id,
      account,
      name: nameOf(this.client, account),
      openName: expected === undefined ? "" : nameOf(this.client, expected),
      openStartMs: appointment?.startMs ?? 0,
    };
  }

  #keep(): void {
    this.asked = null;
  }

  async #remove({ appointment, account, words }: Emitted["rapport-remove"]): Promise<void> {
    await this.attempt(this.client.waitingRoom.remove(appointment as AppointmentId, account, words));
  }

  /** Everybody on the appointment may come in; a call is with one of them: who came first is called first. */
  async #admitAll(id: AppointmentId): Promise<void> {
    const first = waitingPeople(this.client).find(
      ({ appointment, expected, state }) => appointment === id && expected && state === "waiting",
    );
    const done = await this.attempt(this.client.waitingRoom.enter(id).then(() => this.client.waitingRoom.admitAll(id)));
    if (done && first?.conversation != null) {
      await this.attempt(this.#call(id, first.conversation));
    }
  }

  async #decline({ appointment, account, words }: Emitted["rapport-decline"]): Promise<void> {
    await this.attempt(this.client.waitingRoom.decline(appointment as AppointmentId, account, words));
  }

  async #late({ appointment, minutes, words }: Emitted["rapport-late"]): Promise<void> {
    const id = appointment as AppointmentId;
    await this.attempt(this.client.appointments.late(id, minutes, words));
    await this.attempt(this.client.waitingRoom.seen(id));
  }

  #write(to: Emitted["rapport-open"]): void {
    this.go({ at: "conversation", ...to, comparing: false });
  }

  #turn(on: boolean): void {
    setKnockSound(on);
    this.requestUpdate();
  }
}

customElements.define("app-door", DoorScreen);
