/** A QR code as one path, dark on white with its quiet zone in every theme. */

import { html, type TemplateResult } from "lit";
import { encode } from "uqr";

const QUIET = 4;

/** text: what it holds; a secret must not be logged. label: what it is, in words. */
export function qrCode(text: string, label: string): TemplateResult {
  const { data, size } = encode(text, { ecc: "M", border: 0 });
  const dark = data.flatMap((row, y) => row.map((on, x) => (on ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  const box = `${-QUIET} ${-QUIET} ${size + 2 * QUIET} ${size + 2 * QUIET}`;
  return html`<svg class="qr" viewBox=${box} role="img" aria-label=${label} shape-rendering="crispEdges"><path d=${dark}/></svg>`;
}
