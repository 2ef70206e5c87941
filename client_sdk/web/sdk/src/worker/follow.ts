/** Following a device from a moment on, without a gap. */

import type { DeviceInThread, News, Snapshot } from "../local-device/types.ts";

/** Tells how everything stands, then all that happens after it. Resolves, once it has begun, to what ends it. */
export async function follow(
  device: DeviceInThread,
  stands: (snapshot: Snapshot) => void,
  news: (news: News) => void,
): Promise<() => void> {
  let early: News[] | null = [];
  const leave = device.onNews((said) => {
    if (early === null) {
      news(said);
    } else {
      early.push(said);
    }
  });
  stands(await device.snapshot());
  for (const said of early) {
    news(said); // news say how things are, so what the snapshot holds already does no harm
  }
  early = null;
  return leave;
}
