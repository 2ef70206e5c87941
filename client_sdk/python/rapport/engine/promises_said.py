"""What a person says about a promise: the therapist puts it off, the client would rather have an appointment.

Source: docs/protocol.md, chapter 16.
"""

from rapport.engine.bodies.agreements import PromiseExtended, SlotWanted
from rapport.engine.composing import compose
from rapport.engine.office.promises import Sides, WaitingRecord, sides_of, take_extension, take_slot_wish, waiting_of
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Turn
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import MAX_INTEGER

__all__ = ["ask_for_slot", "extend"]


def extend(turn: Turn, conv: ConversationId, until_ms: int) -> None:
    """As the therapist: the text that waits is answered by then instead.

    LocalError: NOT_FOUND if nothing waits, FORBIDDEN for anybody else, BAD_FORMAT for a time that is over or not after
    the one that was promised.
    """
    sides, waiting, message = _waiting(turn, conv)
    if sides.therapist != turn.me.account:
        raise LocalError(ErrorCode.FORBIDDEN, "only the therapist may put a promise off")
    if not max(turn.now_ms, waiting.due_ms) < until_ms <= MAX_INTEGER:
        raise LocalError(ErrorCode.BAD_FORMAT, "until: a time to come, after the one that was promised")
    extended = PromiseExtended(message, until_ms)
    compose(turn, conv, extended)
    take_extension(turn, conv, turn.me.account, extended)


def ask_for_slot(turn: Turn, conv: ConversationId) -> None:
    """As the client: an appointment would be better than an answer. LocalError: NOT_FOUND, FORBIDDEN."""
    sides, waiting, message = _waiting(turn, conv)
    if sides.client != turn.me.account:
        raise LocalError(ErrorCode.FORBIDDEN, "only the client may ask for an appointment")
    if not waiting.slot_wanted:
        wanted = SlotWanted(message)
        compose(turn, conv, wanted)
        take_slot_wish(turn, conv, turn.me.account, wanted)


def _waiting(turn: Turn, conv: ConversationId) -> tuple[Sides, WaitingRecord, MessageId]:
    conversation = CONVERSATIONS.get(turn.tx, conv)
    sides, waiting = sides_of(conversation) if conversation is not None else None, waiting_of(turn, conv)
    if sides is None or waiting is None or waiting.message is None:
        raise LocalError(ErrorCode.NOT_FOUND, "nothing waits for an answer here")
    return sides, waiting, waiting.message
