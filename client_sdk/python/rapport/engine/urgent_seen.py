"""Saying that a person has seen an urgent message: sealed to the client, and to the server until it has heard it.

Source: docs/protocol.md, chapter 17.
"""

from rapport.engine.composing import say_seen
from rapport.engine.urgent import URGENT
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.requests import UrgentSeen

__all__ = ["confirm_urgent", "seen_call", "seen_told"]


def confirm_urgent(turn: Turn, conv: ConversationId, message: MessageId) -> None:
    """We have seen it. Said once; where somebody has said so already nothing happens.

    LocalError: NOT_FOUND for one that is not urgent or not of this conversation, FORBIDDEN for our own.
    """
    row = URGENT.get(turn.tx, message)
    if row is None or row.conv != conv or row.client is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such urgent message")
    if row.client == turn.me.account:
        raise LocalError(ErrorCode.FORBIDDEN, "somebody else has to confirm it")
    if row.seen_by is None:
        say_seen(turn, conv, message)


def seen_call(turn: Turn, errand: Errand) -> Call | None:
    """Tells the server, so that it asks nobody else."""
    row = URGENT.get(turn.tx, errand.subject)
    if row is None or row.client is None:
        errands.drop(turn, errand.kind, errand.subject)
        return None
    return Call(errand.key, "urgent.seen", UrgentSeen(MessageId(errand.subject), row.client))


def seen_told(turn: Turn, errand: Errand) -> None:
    """The server knows, or has nothing (any more) that could be stopped."""
    errands.drop(turn, errand.kind, errand.subject)
