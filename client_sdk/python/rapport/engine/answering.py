"""Answering other devices that could not open what this one sent.

For those it was sealed for in the first place, nobody else.

Source: docs/protocol.md, section 4.7.
"""

from typing import Final

from rapport.engine.content import RefusalReason, RefusedItem, ResendBody, ResendItem, ResendRefusal, ResendRequest
from rapport.engine.directs import DIRECTS_MOST, put_content, put_resend
from rapport.engine.kept_sessions import get_session
from rapport.engine.opening import OpenedMessage
from rapport.engine.outgoing import DIRECTS, SENT
from rapport.engine.tables import must
from rapport.engine.turn import Turn
from rapport_protocol.ids import DeviceId, SessionId, split_ids

__all__ = ["take_request"]

_WHOLE_MOST: Final = 15_900
"""Largest ciphertext that fits the body of a direct with what comes with it."""


def take_request(turn: Turn, message: OpenedMessage, request: ResendRequest) -> None:
    """Sends keys again, on the session that the device asks on, if they were sealed for it in the first place."""
    if message.opened is None or DIRECTS.count(turn.tx) > DIRECTS_MOST:
        return
    outer, sid = message.outer, message.opened.session.sid
    refused = []
    for item in request.items:
        reason = _answer(turn, outer.device, sid, item)
        if reason:
            refused.append(RefusedItem(item.id, reason))
    if refused:
        session = must(get_session(turn.tx, outer.device, sid))
        put_content(turn, outer.conv, outer.device, session, ResendRefusal(tuple(refused)))


def _answer(turn: Turn, device: DeviceId, sid: SessionId, item: ResendItem) -> str:
    """Answers one item, or says why not."""
    sent = SENT.get(turn.tx, item.id)
    if sent is None:
        return RefusalReason.NO_SUCH_MESSAGE
    if device not in split_ids(sent.devices):
        return RefusalReason.NOT_ADDRESSED
    session = must(get_session(turn.tx, device, sid))
    whole = ResendBody(item.id, sent.outer, sent.nonce, sent.ct, sent.key)
    if item.body and len(sent.ct) <= _WHOLE_MOST:
        put_content(turn, sent.conv, device, session, whole)
    else:
        put_resend(turn, device, session, item.id, sent)
    return ""
