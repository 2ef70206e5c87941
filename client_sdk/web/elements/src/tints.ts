/** The six colours of file spines. A colour always stands beside the name, it never says anything alone. */

/** 1 to 6, always the same for one conversation on every device: taken from the last digits of its id. */
export function tintOf(id: string): number {
  return (Number.parseInt(id.slice(-6), 16) % 6) + 1;
}
