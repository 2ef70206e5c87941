"""What the person and the media of this device do about calls.

Source: docs/protocol.md, sections 20.2 and 20.3.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from rapport.calling import CallMedia, CallMode
from rapport.engine.bodies import meetings
from rapport.engine.calls.call_arrivals import is_pair
from rapport.engine.calls.call_bubbles import call_facts
from rapport.engine.calls.call_rows import CALLS, CallRow, Side, fingerprints
from rapport.engine.calls.call_signals import Candidate, send_candidates
from rapport.engine.calls.calls import busy_here, take_new, tell
from rapport.engine.composing import compose
from rapport.engine.conversations import others_in
from rapport.engine.directs import put_content
from rapport.engine.keys.sessions import choose
from rapport.engine.shown.showing import put_message, queued_place
from rapport.engine.signal_memory import SignalMemory
from rapport.engine.vault.records import CONVERSATIONS, COUNTERS, MessageRecord
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Turn
from rapport.events import MessageKind, Status
from rapport.ports import Description
from rapport_protocol.calls.arbiter import RING_MS, CallStep
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.device_events import (
    Accept,
    Entry,
    Event,
    HangUp,
    MediaConnected,
    Migrate,
    OurDescription,
)
from rapport_protocol.calls.moves import SETTLE_MS, DevicePhase
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ID_BYTES, AppointmentId, ConversationId, MessageId
from rapport_protocol.limits import DESCRIPTION_BYTES
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

__all__ = [
    "OFFER_MS",
    "happens",
    "media_failed",
    "move_here",
    "offer_call",
    "our_candidates",
    "our_description",
    "require_sendable",
    "say_mode",
    "take_back",
    "the_call",
]

OFFER_MS: Final = RING_MS + SETTLE_MS
"""Life of an offer from its being written on: then its caller has given up, and nobody rings any more."""
_MODE_MS: Final = 60_000
"""A word about what is sent is of no use later."""
_NOWHERE: Final = MessageId(bytes(ID_BYTES))
"""The id of a description that was not sealed yet."""


def offer_call(
    turn: Turn,
    conv: ConversationId,
    media: CallMedia,
    description: Description | None,
    appointment: AppointmentId | None = None,
    call: MessageId | None = None,
) -> MessageId:
    """Calls the other one of a pair. Returns the call's id.

    call: an id that was drawn before. LocalError: NOT_FOUND for an unknown conversation, FORBIDDEN where there are not
    two, or while this device is in a call with somebody else, TOO_LARGE for a description above 12,288 bytes.
    """
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if conversation is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such conversation")
    if not is_pair(conversation):
        raise LocalError(ErrorCode.FORBIDDEN, "only two people can call each other")
    _require_free(turn, conv)
    require_sendable(description)
    me = turn.me
    until_ms = turn.now_ms + OFFER_MS
    call = compose(
        turn, conv, meetings.CallOffer(media.value, description, appointment), flags=MessageFlags.RING, id=call,
        act_until_ms=until_ms,
    )  # fmt: skip
    outer = Outer(
        conv, conversation.epoch, me.account, me.device, call, turn.now_ms, MessageClass.POST, MessageFlags.RING,
        until_ms, bytes(32),
    )  # fmt: skip
    record = MessageRecord(
        call, conv, me.account, me.device, 0, turn.now_ms, MessageKind.CALL, "", Status.QUEUED,
        queued_place(COUNTERS.need(turn.tx, b"").orders), call=call_facts(turn, outer, media, turn.now_ms),
    )  # fmt: skip
    put_message(turn, record)
    amend(CONVERSATIONS, turn.tx, conv, active_ms=turn.now_ms)
    entry = Entry(call, me.device, me.device, False, turn.now_ms, until_ms, fingerprints(description))
    other = others_in(turn, conversation)[0]
    ours = Side(call, me.device, b"", description, number=1) if description is not None else None
    take_new(turn, CallRow(call, conv, other, media, DeviceCall.of(entry), appointment, ours), ())
    return call


def _require_free(turn: Turn, conv: ConversationId) -> None:
    if busy_here(turn, conv):
        raise LocalError(ErrorCode.FORBIDDEN, "this device is in another call")


def require_sendable(description: Description | None) -> None:
    """LocalError: TOO_LARGE, or BAD_FORMAT for one without a fingerprint."""
    if description is None:
        return
    if len(description.sdp.encode()) > DESCRIPTION_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"session description: at most {DESCRIPTION_BYTES} bytes")
    if not fingerprints(description):
        raise LocalError(ErrorCode.BAD_FORMAT, "session description: no fingerprint")


def the_call(turn: Turn, call: MessageId) -> CallRow:
    """A call that this device knows. LocalError(NOT_FOUND)."""
    row = CALLS.get(turn.tx, call)
    if row is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such call")
    return row


def happens(turn: Turn, call: MessageId, event: Event) -> CallRow:
    """The person does something about a call, or its media say something.

    LocalError: NOT_FOUND; FORBIDDEN for taking one while this device is in a call with somebody else.
    """
    row = the_call(turn, call)
    if isinstance(event, Accept | Migrate):
        _require_free(turn, row.conv)
    return tell(turn, replace(row, owed=None) if isinstance(event, MediaConnected) else row, event)


def move_here(turn: Turn, call: MessageId) -> None:
    """The person takes a call over from another of their devices; what was described to that one is not for us.

    LocalError: NOT_FOUND, CONFLICT (no other device of ours is in it), FORBIDDEN while this device is in a call with
    somebody else.
    """
    row = the_call(turn, call)
    if row.machine.phase is DevicePhase.ELSEWHERE:
        _require_free(turn, row.conv)
        row = tell(turn, replace(row, ours=None, theirs=None, direct=None, owed=None, mode_there=None), Migrate())
    if row.machine.phase is not DevicePhase.ANSWERING:
        raise LocalError(ErrorCode.CONFLICT, "no other device is in the call")


def take_back(turn: Turn, call: MessageId) -> None:
    """Nobody waits for this call of ours any more: it ends, if it has begun at all."""
    row = CALLS.get(turn.tx, call)
    if row is not None and row.is_live:
        tell(turn, row, HangUp())


def media_failed(turn: Turn, call: MessageId) -> None:
    """Media here have found no way, and nothing can be tried any more: the call ends. LocalError(NOT_FOUND)."""
    row = the_call(turn, call)
    if row.is_live:
        tell(turn, replace(row, failed=True), HangUp())


def our_description(
    turn: Turn, call: MessageId, description: Description, *, restart: bool = False, run: int | None = None
) -> None:
    """Our media have described themselves: sealed to the other device, with the step that fits.

    run: which start of media that was (`CallRow.media_run`). LocalError: NOT_FOUND, TOO_LARGE, BAD_FORMAT. Nothing
    happens in a call that has ended, or whose media were started anew for another device meanwhile.
    """
    row = the_call(turn, call)
    if not row.is_live or run not in (None, row.media_run):
        return
    require_sendable(description)
    number = row.ours.number + 1 if row.ours is not None else 1
    ours = Side(_NOWHERE, turn.me.device, b"", description, restart, number)
    owed = CallStep.RESTART if restart else CallStep.DESCRIBE
    tell(turn, replace(row, ours=ours, direct=None, owed=owed, said_ms=0), OurDescription(restart))


def our_candidates(
    turn: Turn, memory: SignalMemory, call: MessageId, candidates: Sequence[Candidate], *, last: bool
) -> None:
    """Says all our candidates so far, under the key of our newest description that has left."""
    send_candidates(turn, memory, call, candidates, last=last)


def say_mode(turn: Turn, call: MessageId, mode: CallMode, why: str) -> None:
    """Tells the other device what is sent from now on. why: `network` or `person`. LocalError(NOT_FOUND)."""
    row = the_call(turn, call)
    device = row.machine.theirs
    session = choose(turn, device) if device is not None else None
    if row.is_live and device is not None and session is not None:
        content = meetings.CallMode(call, mode.value, why)
        put_content(turn, row.conv, device, session, content, life_ms=_MODE_MS)
