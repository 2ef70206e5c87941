/** In a page: `measureSealing`. */

import * as bench from "./sealing.ts";

declare global {
  /** See `sealing.ts`. */
  var measureSealing: () => Promise<bench.Sealing>;
}

globalThis.measureSealing = bench.measureSealing;
