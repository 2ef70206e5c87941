"""Media of a terminal, which has no camera and no microphone: a test picture and silence go out, nothing is kept.

They need the extra `rapport[calls]`.
"""

import importlib
from importlib.util import find_spec

from rapport.chat.face import Misuse
from rapport.ports import CallEndpoint

__all__ = ["SENT_INSTEAD", "terminal_media"]

SENT_INSTEAD = "they see a test picture and hear nothing, and nothing of theirs is kept"
"""What people in a call with a terminal get, to be said to the one who sits there."""


def terminal_media() -> CallEndpoint:
    """Media for one call. Misuse where the extra is not installed. Loaded here alone: chatting needs no media."""
    if find_spec("aiortc") is None:
        raise Misuse(
            "This program carries no sound and no pictures: do it in your browser, or install rapport[calls]. "
            "/decline and /room work here, and /late tells them that you come later."
        )
    made: CallEndpoint = importlib.import_module("rapport.adapters.aiortc_endpoint").AiortcEndpoint()
    return made
