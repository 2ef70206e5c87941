/** Cameras, microphones and speakers of this machine, and which of them the person wants. */

/** What can be chosen. */
export type DeviceKind = "camera" | "microphone" | "speaker";

/** Which devices are used, by the browser's ids for this origin; "" = the one that the browser takes by itself. */
export type DeviceChoice = { readonly [kind in DeviceKind]: string };

/** The browser's own choice of everything. */
export const ANY_DEVICE: DeviceChoice = { camera: "", microphone: "", speaker: "" };

/** A device as the browser names it. */
export interface NamedDevice {
  readonly id: string;
  readonly label: string;
}

/** All that can be chosen now. Empty where the browser names nothing: before the person has let us have a device. */
export type NamedDevices = { readonly [kind in DeviceKind]: readonly NamedDevice[] };

const KINDS: { readonly [kind in MediaDeviceKind]: DeviceKind } = {
  videoinput: "camera",
  audioinput: "microphone",
  audiooutput: "speaker",
};

/** What can be chosen. Speakers only where a page may choose them (`setSinkId`). Never rejects. */
export async function namedDevices(): Promise<NamedDevices> {
  const found = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
  const named: { [kind in DeviceKind]: NamedDevice[] } = { camera: [], microphone: [], speaker: [] };
  for (const { kind, deviceId: id, label } of found) {
    if (id !== "" && label !== "" && (kind !== "audiooutput" || "setSinkId" in HTMLMediaElement.prototype)) {
      named[KINDS[kind]].push({ id, label });
    }
  }
  return named;
}

/** Calls back when a device was plugged in or pulled out; returns what ends that. */
export function watchDevices(changed: () => void): () => void {
  const { mediaDevices } = navigator;
  mediaDevices?.addEventListener("devicechange", changed);
  return () => mediaDevices?.removeEventListener("devicechange", changed);
}
