/** Where the focus goes when one screen takes another's place. */

/**
 * Puts it on the heading of the first element, in open shadow roots too, that `selector` means, once that is drawn.
 * Nothing happens where there is none, or where somebody has moved the focus into that screen already.
 */
export async function focusHeading(root: ParentNode, selector: string): Promise<void> {
  await new Promise((resolve) => requestAnimationFrame(resolve));
  const screen = found(root, selector);
  const heading = screen?.shadowRoot?.querySelector<HTMLElement>("h1, h2");
  if (heading && !screen?.matches(":focus-within")) {
    heading.tabIndex = -1;
    heading.style.outline = "none"; // it takes the focus to be read, nothing can be done with it
    heading.focus();
  }
}

function found(root: ParentNode, selector: string): Element | null {
  for (const element of root.querySelectorAll("*")) {
    if (element.matches(selector)) {
      return element;
    }
    const inside = element.shadowRoot && found(element.shadowRoot, selector);
    if (inside) {
      return inside;
    }
  }
  return null;
}
