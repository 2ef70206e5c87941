/** Plays a stream in a `<video>`: an object that is bound is set with every drawing, and a picture would begin anew. */

import { nothing } from "lit";
import { Directive, directive, type ElementPart, type PartInfo, PartType } from "lit/directive.js";

class Playing extends Directive {
  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) {
      throw new TypeError("playing() stands in an element's tag");
    }
  }

  render(_stream: MediaStream | null, _muted = false): typeof nothing {
    return nothing;
  }

  override update(part: ElementPart, [stream, muted = false]: Parameters<this["render"]>): typeof nothing {
    const { element } = part;
    if (element instanceof HTMLVideoElement && element.srcObject !== stream) {
      element.muted = muted;
      element.srcObject = stream;
    }
    return nothing;
  }
}

/** In the tag of a video: plays this, silently where it is one's own. */
export const playing = directive(Playing);
