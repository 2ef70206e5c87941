/** Places an element at a height of its parent: by the style object, since the page's policy allows no style attributes in markup. */

import { nothing } from "lit";
import { Directive, directive, type ElementPart, type PartInfo, PartType } from "lit/directive.js";

class Placed extends Directive {
  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) {
      throw new TypeError("placed() stands in an element's tag");
    }
  }

  render(_from: number, _size?: number): typeof nothing {
    return nothing;
  }

  override update(part: ElementPart, [from, size]: Parameters<this["render"]>): typeof nothing {
    if (part.element instanceof HTMLElement) {
      part.element.style.insetBlockStart = `${from}px`;
      part.element.style.blockSize = size === undefined ? "" : `${size}px`;
    }
    return nothing;
  }
}

/** In a tag: so many pixels below the top, and so high. */
export const placed = directive(Placed);
