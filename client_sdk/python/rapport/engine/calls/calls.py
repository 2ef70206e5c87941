"""Calls on this device: everything that is met goes through the call's machine, and what it asks for is carried out.

The machine (`rapport_protocol.calls.device`) decides; here its words are sealed and sent, its posts written, its
descriptions kept. A call is a row of the vault: each event is a part of a turn, so a crash tears nothing apart.

Source: docs/protocol.md, section 20.2.
"""

from collections.abc import Iterable
from typing import Final, assert_never

from msgspec.structs import replace

from rapport.calling import CallChanged, CallMissed, CallRefused, CallRinging
from rapport.engine.bodies.meetings import CallAccepted, CallDeclined, CallSummary
from rapport.engine.calls.call_bubbles import call_ended, hear
from rapport.engine.calls.call_rows import (
    CALLS,
    KEPT_ENDED_MS,
    CallRow,
    drop_call,
    live_rows,
    put_call,
    rows_of,
    without_media,
)
from rapport.engine.calls.call_steps import repeat, say
from rapport.engine.composing import compose
from rapport.engine.shown.showing import change_status
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import OUTBOX, QUEUES
from rapport.engine.vault.records import MESSAGES
from rapport.engine.vault.turn import Turn
from rapport.events import Status
from rapport_protocol.calls.arbiter import EndReason
from rapport_protocol.calls.device import step
from rapport_protocol.calls.device_events import (
    Accept,
    AcceptOther,
    Busy,
    Changed,
    CloseMedia,
    Effect,
    Event,
    Offline,
    Online,
    OtherOffer,
    Post,
    Posted,
    Restarted,
    RestartMedia,
    Ring,
    Say,
    StartMedia,
    StopRing,
    Take,
    Tick,
    Warn,
)
from rapport_protocol.calls.moves import DevicePhase, Outcome
from rapport_protocol.ids import ConversationId, MessageId

__all__ = ["begin", "busy_here", "can_answer", "changed_calls", "offline", "online", "take_new", "tell", "tick_due"]

_GLARE_MS: Final = 60_000
"""The server's word that both have called may come before the other offer; by so long at most."""
_RINGING = frozenset({DevicePhase.WAKING, DevicePhase.RINGING_HERE})
_HERE = frozenset(DevicePhase) - _RINGING - {DevicePhase.ELSEWHERE, DevicePhase.SETTLING, DevicePhase.ENDED}


def tell(turn: Turn, row: CallRow, event: Event) -> CallRow:
    """One event of a call: what follows from it is done, and the row as it stands then is kept and returned."""
    was_live, was_here = row.is_live, row.machine.phase in _HERE
    machine, effects = step(row.machine, event, turn.now_ms)
    row = replace(row, machine=machine)
    if isinstance(event, Online | Tick):
        row = repeat(turn, row, now=isinstance(event, Online))
    for effect in effects:
        row = _carry_out(turn, row, effect)
    waiting = {described.message for described in machine.held}
    row = replace(row, held=tuple(side for side in row.held if side.id in waiting))
    if was_live and not row.is_live:
        row = _over(turn, row)
    elif not row.is_live:
        call_ended(turn, row)  # a sealed word that came late may have changed how
    put_call(turn, row)
    _plan(turn, row)
    if not was_here and row.machine.phase in _HERE:
        _refuse_others(turn)
    if row.goes_on_as is not None:
        _accept_other(turn, row.goes_on_as)
    return CALLS.need(turn.tx, row.call)


def _plan(turn: Turn, row: CallRow) -> None:
    """When the machine is looked at next; an ended row goes after a day."""
    errands.drop(turn, ErrandKind.CALL, row.call)
    due_ms = row.machine.deadline_ms
    if due_ms is None and not row.is_live:
        due_ms = row.ended_ms + KEPT_ENDED_MS
    if due_ms is not None:
        errands.plan(turn, ErrandKind.CALL, row.call, due_ms=max(due_ms, turn.now_ms + 1))


def tick_due(turn: Turn, call: bytes) -> None:
    """The machine's time has come."""
    errands.drop(turn, ErrandKind.CALL, call)
    row = CALLS.get(turn.tx, call)
    if row is None:
        return
    if not row.is_live and row.ended_ms + KEPT_ENDED_MS <= turn.now_ms:
        drop_call(turn, row.call)
        return
    tell(turn, row, Tick())


# --- effects ----------------------------------------------------------------------------------------------------------


def _carry_out(turn: Turn, row: CallRow, effect: Effect) -> CallRow:
    match effect:
        case Say():
            return say(turn, row, effect)
        case Ring():
            if not (row.expected and row.appointment in turn.waits):  # else it lets in who waits at that door
                turn.show(CallRinging(row.conv, row.call))
            return replace(row, rings=True)
        case StopRing():  # the phase has changed, which is told too
            return replace(row, rings=False)
        case StartMedia() | RestartMedia() | CloseMedia() | Take():
            return _tell_media(row, effect)
        case Post():
            _post(turn, row, effect)
        case AcceptOther():
            return replace(row, goes_on_as=effect.call)
        case Warn():
            turn.show(CallRefused(row.conv, row.call))
        case Changed():
            turn.show(CallChanged(row.conv, row.call))
        case _:
            assert_never(effect)
    return row


def _tell_media(row: CallRow, effect: StartMedia | RestartMedia | CloseMedia | Take) -> CallRow:
    """What media find in the row and do."""
    match effect:
        case StartMedia():
            return replace(row, has_media=True, media_run=row.media_run + 1)
        case RestartMedia():
            return replace(row, restarts=row.restarts + 1, restart_owner=effect.owner)
        case CloseMedia():
            return replace(row, has_media=False, ours=None, theirs=None, direct=None, owed=None)
        case Take():
            return _take(row, effect.message)
        case _:
            assert_never(effect)


def _take(row: CallRow, message: MessageId) -> CallRow:
    """This description of theirs counts from now on; what was held of the same device before it never will."""
    side = next((held for held in row.held if held.id == message), None)
    if side is None:
        return row
    number = row.theirs.number + 1 if row.theirs is not None else 1
    held = tuple(each for each in row.held if each.id != message)
    return replace(row, theirs=replace(side, number=number), held=held, owed=None)  # it answers ours


def _post(turn: Turn, row: CallRow, post: Post) -> None:
    """Says it, sealed, to all devices of the two; our own posts do not come back to us."""
    device = turn.me.device
    match post.what:
        case Posted.ACCEPTED:
            compose(turn, row.conv, CallAccepted(row.call))
            hear(turn, row.conv, row.call, lambda word: word.accepted(device, own=True))
        case Posted.DECLINED:
            compose(turn, row.conv, CallDeclined(row.call, post.busy))
            hear(turn, row.conv, row.call, lambda word: word.declined(device, busy=post.busy, own=True))
        case Posted.SUMMARY:
            reason = EndReason.FAILED if row.failed else post.reason or ""
            began_ms = row.machine.connected_ms  # 0: the two were never connected
            compose(turn, row.conv, CallSummary(row.call, began_ms, post.ended_ms, reason))
            hear(turn, row.conv, row.call, lambda word: word.summed_up(began_ms, post.ended_ms, reason, own=True))
        case _:
            assert_never(post.what)


def _over(turn: Turn, row: CallRow) -> CallRow:
    """It has just ended here."""
    row = replace(without_media(row, turn.now_ms), rings=False)
    _withdraw(turn, row)
    call_ended(turn, row)
    return _told(turn, replace(row, untold=row.machine.entry.incoming and row.machine.outcome is Outcome.MISSED))


def _withdraw(turn: Turn, row: CallRow) -> None:
    """An offer of ours that never left is not sent any more."""
    post = OUTBOX.get(turn.tx, row.call)
    if post is None or post.sealed is not None:
        return
    OUTBOX.delete(turn.tx, post.id)
    if OUTBOX.count(turn.tx, post.conv) == 0:
        QUEUES.delete(turn.tx, post.conv)
    record = MESSAGES.get(turn.tx, post.id)
    if record is not None:
        change_status(turn, record, Status.FAILED)


def _told(turn: Turn, row: CallRow) -> CallRow:
    """Tells of a call that was missed; not before it is known that nobody of ours has answered it."""
    if not row.untold or not turn.online:
        return row
    if row.machine.outcome is Outcome.MISSED:
        turn.show(CallMissed(row.conv, row.call, row.machine.entry.at_ms))
    return replace(row, untold=False)


def _accept_other(turn: Turn, call: MessageId) -> None:
    """Both have called: that call goes on, without asking the person."""
    other = CALLS.get(turn.tx, call)
    if other is not None and other.machine.phase in _RINGING:
        tell(turn, other, Accept())


# --- the device -------------------------------------------------------------------------------------------------------


def can_answer(row: CallRow) -> bool:
    """Whether it rings here, or would."""
    return row.machine.phase in _RINGING


def busy_here(turn: Turn, conv: ConversationId) -> bool:
    """Whether this device is in a call with somebody else than in this conversation."""
    return any(each.conv != conv and each.machine.phase in _HERE for each in live_rows(turn))


def online(turn: Turn) -> None:
    """Signed in, and everything that waited has been taken."""
    turn.online = True
    for row in rows_of(turn):
        if row.untold:
            put_call(turn, _told(turn, row))
    for call in [row.call for row in rows_of(turn) if row.is_live or row.machine.goodbye is not None]:
        _online(turn, call)


def _online(turn: Turn, call: MessageId) -> None:
    tell(turn, CALLS.need(turn.tx, call), Online())
    _refuse_others(turn)


def _refuse_others(turn: Turn) -> None:
    """Whoever else calls hears that this device is in a call, once it has caught up."""
    for row in live_rows(turn) if turn.online else ():
        if can_answer(row) and busy_here(turn, row.conv):
            tell(turn, row, Busy())


def take_new(turn: Turn, row: CallRow, heard: Iterable[Event]) -> CallRow:
    """A call begins on this device. heard: what was said about it before."""
    entry = row.machine.entry
    put_call(turn, row)
    row = tell(turn, row, Tick())
    for event in heard:
        row = tell(turn, row, event)
    for other in rows_of(turn):
        if other.conv != row.conv or other.call == row.call:
            continue
        theirs = other.machine.entry
        same = theirs.caller_device == entry.caller_device
        if other.is_live:
            tell(turn, CALLS.need(turn.tx, row.call), OtherOffer(theirs.call, theirs.at_ms, theirs.incoming, same))
        if other.is_live or (other.machine.reason is EndReason.GLARE and turn.now_ms < other.ended_ms + _GLARE_MS):
            tell(turn, CALLS.need(turn.tx, theirs.call), OtherOffer(entry.call, entry.at_ms, entry.incoming, same))
    if turn.online:
        _online(turn, row.call)
    return CALLS.need(turn.tx, row.call)


def offline(turn: Turn) -> None:
    """There is no connection, or a new one on which something may still wait."""
    turn.online = False
    for row in rows_of(turn):
        if row.machine.online:
            tell(turn, CALLS.need(turn.tx, row.call), Offline())


def begin(turn: Turn) -> None:
    """A process starts: media are gone, so calls that this device was in are over; what rang is asked about anew."""
    for call in [row.call for row in rows_of(turn)]:
        tell(turn, replace(CALLS.need(turn.tx, call), rings=False, expected=False), Restarted())


def changed_calls(turn: Turn) -> list[CallRow] | None:
    """All calls that are kept if this turn has changed any of them."""
    return rows_of(turn) if turn.written(CALLS.name) else None
