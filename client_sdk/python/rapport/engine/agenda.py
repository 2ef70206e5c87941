"""Which step an errand becomes, and which step takes the answer of its call. The engine's table of contents for timers.

`run_due` is called at the end of every turn: local errands that are due are done at once, network errands become calls
while there is a connection. A call's answer, refusal or silence comes back to `answered`, `refused` or `unanswered`.
"""

import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final, TypeVar

from rapport.engine import (
    checkpoints,
    contacts,
    conversations,
    delivery,
    key_sharing,
    membership_steps,
    outbox,
    own_state,
    pending,
    sealing,
    urgent,
    urgent_seen,
)
from rapport.engine.appointments import appointment_rows, appointments, bringing_back, planning
from rapport.engine.calls import calls
from rapport.engine.cover import covering
from rapport.engine.devices import device_changes, own_devices
from rapport.engine.healing import asking, healing, renewing
from rapport.engine.joining import accepting, inviting
from rapport.engine.keys import prekeys
from rapport.engine.office import office, office_publishing, overdue, promises
from rapport.engine.recovery import catching_up, reissuing
from rapport.engine.shown import showing
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.outgoing import SENT, Hold
from rapport.engine.vault.records import SEEN, Attempt
from rapport.engine.vault.turn import Call, Turn
from rapport.ports import VaultProblem
from rapport_protocol.errors import ErrorCode, Rejected, Retry
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.requests import (
    Appended,
    Appointments,
    ArchivePage,
    Claimed,
    Conversations,
    DeviceLists,
    FetchedItems,
    InviteView,
    LinkState,
    MembershipChain,
    OfficeView,
    PrekeysLeft,
    ReceiptsOf,
    UrgentState,
)

__all__ = [
    "CALLS_MOST",
    "SEEN_KEPT_MS",
    "SENT_KEPT_MS",
    "TEND_EVERY_MS",
    "answered",
    "anything_due",
    "carefully",
    "refused",
    "run_due",
    "unanswered",
]

T = TypeVar("T")

_log: Final = logging.getLogger("rapport.engine")

CALLS_MOST: Final = 6
"""Most HTTP calls under way at a time: what browsers open to one host."""
_LOCAL_MOST: Final = 64
"""Most local errands in one turn; the rest follows in the next."""
_NEVER_WAIT_MS: Final = 3_600_000
"""A call that was refused for good is repeated after an hour at the earliest: the reason may be gone by then."""
_CLAIM_AGAIN_MS: Final = 30_000
TEND_EVERY_MS: Final = 86_400_000
"""Heartbeats and overdue posts are looked after once a day."""
SENT_KEPT_MS: Final = 97 * 86_400_000
"""Sent posts are kept for resend requests as long as anybody may ask."""
SEEN_KEPT_MS: Final = 200 * 86_400_000
"""Message ids are remembered for twice the life of a mailbox, and more: nothing older can be delivered."""


# --- becoming due -----------------------------------------------------------------------------------------------------


def _rotate(turn: Turn, _subject: bytes) -> None:
    prekeys.rotate_due(turn)
    for table, kept_ms in ((SENT, SENT_KEPT_MS), (SEEN, SEEN_KEPT_MS)):
        for message, _ in list(turn.tx.list(table.name, below=max(turn.now_ms - kept_ms, 0))):
            turn.tx.delete(table.name, message)
    pending.forget_old(turn)


def _tend(turn: Turn) -> None:
    errands.drop(turn, ErrandKind.TEND)
    errands.plan(turn, ErrandKind.TEND, due_ms=turn.now_ms + TEND_EVERY_MS)
    renewing.heartbeats(turn)
    overdue.plan_overdue(turn)
    office_publishing.tend(turn)


_LOCAL: Final[dict[ErrandKind, Callable[[Turn, bytes], None]]] = {
    ErrandKind.SHOW: lambda turn, subject: showing.show_due(turn, ConversationId(subject)),
    ErrandKind.PLACEHOLDER: lambda turn, subject: showing.placeholder_due(turn, MessageId(subject)),
    ErrandKind.ASK: lambda turn, subject: asking.ask_due(turn, DeviceId(subject)),
    ErrandKind.READ: lambda turn, subject: own_state.tell_read(turn, ConversationId(subject)),
    ErrandKind.DRAFT: lambda turn, subject: own_state.draft_due(turn, ConversationId(subject)),
    ErrandKind.RESUME: lambda turn, subject: outbox.resume(turn, ConversationId(subject)),
    ErrandKind.ROTATE: _rotate,
    ErrandKind.SIBLING_KEYS: key_sharing.ask_siblings,
    ErrandKind.REREAD: lambda turn, _subject: catching_up.restore_again(turn),
    ErrandKind.TEND: lambda turn, _subject: _tend(turn),
    ErrandKind.COVER: covering.offer_due,
    ErrandKind.OFFICE_EDGE: lambda turn, subject: office.edge_due(turn, AccountId(subject)),
    ErrandKind.OFFICE_WITHHELD: lambda turn, subject: office.withheld_due(turn, AccountId(subject)),
    ErrandKind.PROMISE: lambda turn, subject: promises.promise_due(turn, ConversationId(subject)),
    ErrandKind.URGENT_SILENT: urgent.silent_due,
    ErrandKind.CALL: calls.tick_due,
    ErrandKind.APPOINTMENT_SOON: appointments.soon_due,
    ErrandKind.WITHHELD: lambda turn, subject: contacts.withheld_due(turn, AccountId(subject)),
}


def _claims(turn: Turn, errand: Errand) -> Call | None:
    """Claims what is missing. If the peers have started sessions meanwhile, the posts that waited can leave."""
    call = sealing.claims_call(turn, errand)
    if call is None:
        outbox.resume_for(turn, ConversationId(errand.subject), Hold.KEYS)
    return call


_CALLS: Final[dict[ErrandKind, Callable[[Turn, Errand], Call | None]]] = {
    ErrandKind.LISTS: contacts.lists_call,
    ErrandKind.CHAIN: conversations.chain_call,
    ErrandKind.CLAIM: _claims,
    ErrandKind.HELP_CLAIM: asking.help_call,
    ErrandKind.FETCH: healing.fetch_call,
    ErrandKind.PREKEYS: prekeys.prekeys_call,
    ErrandKind.INVITE: inviting.invite_call,
    ErrandKind.RECEIPTS: delivery.receipts_call,
    ErrandKind.LIST_UPDATE: own_devices.list_call,
    ErrandKind.LINK_DONE: own_devices.done_call,
    ErrandKind.CHECKPOINT: checkpoints.checkpoint_call,
    ErrandKind.CATALOG: catching_up.catalog_call,
    ErrandKind.HISTORY: catching_up.history_call,
    ErrandKind.RENEW: renewing.renew_call,
    ErrandKind.OVERDUE: overdue.overdue_call,
    ErrandKind.OWN_LISTS: reissuing.lists_call,
    ErrandKind.LIST_AGAIN: reissuing.update_call,
    ErrandKind.HEADS: reissuing.heads_call,
    ErrandKind.ENTRIES_AGAIN: reissuing.entries_call,
    ErrandKind.OFFICE: office.document_call,
    ErrandKind.OFFICE_PUBLISH: office_publishing.publish_call,
    ErrandKind.ACCEPT: accepting.accept_call,
    ErrandKind.URGENT_SEEN: urgent_seen.seen_call,
    ErrandKind.APPOINTMENT_PUT: planning.put_call,
    ErrandKind.APPOINTMENTS: appointment_rows.rows_call,
    ErrandKind.APPOINTMENT_REACHED: appointment_rows.reached_call,
    ErrandKind.APPOINTMENT_AGAIN: bringing_back.again_call,
}


def carefully(turn: Turn, errand: Errand, work: Callable[[Turn], T]) -> T | None:
    """Does one errand's work; what our own code stumbles over is undone alone and tried again in an hour."""
    try:
        with turn.part():
            return work(turn)
    except VaultProblem:
        raise
    except Exception as problem:
        _log.error("an errand failed (%s): %s", errand.kind, type(problem).__name__)
        errands.postpone(turn, errand, wait_ms=_NEVER_WAIT_MS)
        return None


def run_due(turn: Turn, *, connected: bool, under_way: Collection[bytes]) -> None:
    """Does what is due. under_way: errands whose calls have not come back."""
    for errand in errands.due_errands(turn, network=False, limit=_LOCAL_MOST):
        local = _LOCAL[errand.kind]
        carefully(turn, errand, partial(_run_local, local, errand.subject))
    if not connected:
        return
    room = CALLS_MOST - len(under_way)
    for errand in errands.due_errands(turn, network=True, limit=CALLS_MOST + len(under_way)):
        if room <= 0:
            return
        if errand.key in under_way:
            continue
        call = carefully(turn, errand, partial(_make_call, errand))
        if call is not None:
            turn.calls.append(call)
            room -= 1


def _run_local(step: Callable[[Turn, bytes], None], subject: bytes, turn: Turn) -> None:
    step(turn, subject)


def _make_call(errand: Errand, turn: Turn) -> Call | None:
    return _CALLS[errand.kind](turn, errand)


def anything_due(turn: Turn, *, connected: bool, under_way: Collection[bytes]) -> bool:
    """Whether `run_due` would find something to do now."""
    if errands.due_errands(turn, network=False, limit=1):
        return True
    if not connected or len(under_way) >= CALLS_MOST:
        return False
    due = errands.due_errands(turn, network=True, limit=CALLS_MOST + 1)
    return any(errand.key not in under_way for errand in due)


# --- coming back ------------------------------------------------------------------------------------------------------


def answered(turn: Turn, call: Call, answer: Any) -> None:
    """The server did what the call asked for. An errand that was dropped meanwhile needs no answer."""
    errand = errands.get(turn, call.errand)
    if errand is None:
        return
    (_REISSUED.get(errand.kind) or _ANSWERS[type(answer)])(turn, errand, call, answer)
    if errand.kind in _MAY_REPEAT and errands.planned(turn, errand.kind, errand.subject):
        # What came did not help whoever asked: the same question is not put again at once.
        errands.postpone(turn, errand)


_MAY_REPEAT: Final = frozenset({ErrandKind.LISTS, ErrandKind.CHAIN, ErrandKind.HELP_CLAIM})


def _lists(turn: Turn, errand: Errand, call: Call, answer: DeviceLists) -> None:
    account = turn.me.account
    if errand.kind is ErrandKind.LIST_UPDATE:
        own_devices.list_taken(turn, errand)
    else:
        account = AccountId(errand.subject)
        before, blocked = device_changes.held_version(turn, account), contacts.is_blocked(turn, account)
        contacts.lists_answered(turn, errand, call.query.get("from", 0), answer)
        if blocked and not contacts.is_blocked(turn, account):
            outbox.release_alarms(turn)
        device_changes.lists_taken(turn, account, before)
    membership_steps.advance_all(turn)
    healing.lists_came(turn, account)
    office_publishing.lists_came(turn, account)
    outbox.resume_all(turn, Hold.DEVICES, Hold.ALARM)


def _chain(turn: Turn, errand: Errand, _call: Call, answer: MembershipChain) -> None:
    conv = ConversationId(errand.subject)
    conversations.chain_answered(turn, errand, answer)
    membership_steps.advance(turn, conv)
    healing.retry(turn, Attempt.CHAIN, conv=conv)


def _claimed(turn: Turn, errand: Errand, _call: Call, answer: Claimed) -> None:
    if errand.kind is ErrandKind.HELP_CLAIM:
        asking.help_answered(turn, errand, answer)
        return
    if errand.kind is ErrandKind.RENEW:
        renewing.renew_answered(turn, errand, answer)
        return
    conv = ConversationId(errand.subject)
    errands.drop(turn, ErrandKind.CLAIM, conv)
    if sealing.claim_answered(turn, conv, answer):
        outbox.resume_for(turn, conv, Hold.KEYS)
    else:
        outbox.hold(turn, conv, Hold.KEYS, wait_ms=_CLAIM_AGAIN_MS)


def _uploaded(turn: Turn, _errand: Errand, call: Call, answer: PrekeysLeft) -> None:
    prekeys.prekeys_uploaded(turn, call.body, answer.one_time, answer.highest)


def _appended(turn: Turn, errand: Errand, call: Call, answer: Appended) -> None:
    if errand.kind is ErrandKind.CHECKPOINT:
        checkpoints.checkpoint_appended(turn, errand, call.body, answer)
    elif errand.kind is ErrandKind.ACCEPT:
        taken = accepting.appended(turn, errand, answer)
        if taken is not None:
            covering.joined(turn, taken)
    else:
        inviting.invite_made(turn, errand, answer)
        covering.invite_ended(turn, errand)


def _viewed(turn: Turn, errand: Errand, _call: Call, answer: InviteView) -> None:
    looked_at = accepting.viewed(turn, errand, answer)
    if looked_at.code:
        covering.not_joined(turn, looked_at)


def _not_accepted(turn: Turn, errand: Errand, refusal: Rejected) -> None:
    refused = accepting.accept_refused(turn, errand, refusal)
    if refused is not None:
        covering.not_joined(turn, refused)


def _receipts(turn: Turn, errand: Errand, call: Call, answer: ReceiptsOf) -> None:
    if errand.kind is ErrandKind.OVERDUE:
        overdue.overdue_answered(turn, errand, answer)
    else:
        delivery.receipts_answered(turn, errand, call.body, answer)


def _office(turn: Turn, errand: Errand, call: Call, answer: OfficeView) -> None:
    if errand.kind is ErrandKind.OFFICE_PUBLISH:
        office_publishing.published(turn, call.body, answer)
    else:
        office_publishing.document_answered(turn, errand, answer)


def _appointments(turn: Turn, errand: Errand, call: Call, answer: Appointments) -> None:
    if errand.kind is ErrandKind.APPOINTMENT_PUT:
        planning.put_answered(turn, errand, answer)
    elif errand.kind is ErrandKind.APPOINTMENTS:
        appointment_rows.rows_answered(turn, errand, call, answer)
        bringing_back.bring_back(turn)
    elif errand.kind is ErrandKind.APPOINTMENT_AGAIN:
        bringing_back.again_answered(turn, errand, answer)
    else:
        appointment_rows.reached_told(turn, errand)
        appointment_rows.take_views(turn, answer.appointments)


_ANSWERS: Final[dict[type, Callable[[Turn, Errand, Call, Any], None]]] = {
    DeviceLists: _lists,
    MembershipChain: _chain,
    Claimed: _claimed,
    FetchedItems: lambda turn, errand, call, answer: healing.fetch_answered(turn, errand, call.body, answer),
    PrekeysLeft: _uploaded,
    Appended: _appended,
    InviteView: _viewed,
    LinkState: lambda turn, errand, _call, _answer: own_devices.done_over(turn, errand),
    Conversations: lambda turn, errand, _call, answer: catching_up.catalog_answered(turn, errand, answer),
    ArchivePage: lambda turn, errand, _call, answer: catching_up.history_answered(turn, errand, answer),
    ReceiptsOf: _receipts,
    OfficeView: _office,
    UrgentState: lambda turn, errand, _call, _answer: urgent_seen.seen_told(turn, errand),
    Appointments: _appointments,
}


_REISSUED: Final[dict[ErrandKind, Callable[[Turn, Errand, Call, Any], None]]] = {
    ErrandKind.OWN_LISTS: lambda turn, errand, _call, answer: reissuing.lists_compared(turn, errand, answer),
    ErrandKind.LIST_AGAIN: lambda turn, _errand, call, _answer: reissuing.update_taken(turn, call.body),
    ErrandKind.HEADS: lambda turn, errand, _call, answer: reissuing.compared(turn, errand, answer),
    ErrandKind.ENTRIES_AGAIN: lambda turn, errand, call, _answer: reissuing.entry_taken(turn, errand, call.body),
}
"""What a restored server gets back; whatever it refuses now it may take once others have brought theirs."""


def refused(turn: Turn, call: Call, refusal: Rejected) -> None:
    """The server will not do it, now or ever."""
    errand = errands.get(turn, call.errand)
    if errand is None:
        return
    if refusal.retry is Retry.LATER or refusal.code is ErrorCode.UNAUTHENTICATED:  # the token is being renewed
        errands.postpone(turn, errand, wait_ms=refusal.retry_after_ms)
    elif errand.kind is ErrandKind.INVITE:
        inviting.invite_refused(turn, errand)
        covering.invite_ended(turn, errand)
        turn.finished[errand.key] = refusal
    elif errand.kind is ErrandKind.PREKEYS and refusal.code is ErrorCode.CONFLICT:
        prekeys.prekeys_conflict(turn)
    elif errand.kind is ErrandKind.FETCH and refusal.code is ErrorCode.NOT_FOUND:
        healing.fetch_answered(turn, errand, call.body, FetchedItems([]))
    elif errand.kind in _REISSUED:
        reissuing.refused(turn, errand)
    elif errand.kind in _REFUSED:
        _REFUSED[errand.kind](turn, errand, refusal)
    else:
        errands.postpone(turn, errand, wait_ms=_NEVER_WAIT_MS)


_REFUSED: Final[dict[ErrandKind, Callable[[Turn, Errand, Rejected], None]]] = {
    ErrandKind.LIST_UPDATE: own_devices.list_refused,
    ErrandKind.LINK_DONE: lambda turn, errand, _refusal: own_devices.done_over(turn, errand),
    ErrandKind.CHECKPOINT: checkpoints.checkpoint_refused,
    ErrandKind.OFFICE: lambda turn, errand, _refusal: errands.drop(turn, errand.kind, errand.subject),
    ErrandKind.OFFICE_PUBLISH: office_publishing.publish_refused,
    ErrandKind.CHAIN: lambda turn, errand, _refusal: membership_steps.chain_refused(turn, errand),
    ErrandKind.HISTORY: lambda turn, errand, _refusal: catching_up.history_refused(turn, errand),
    ErrandKind.ACCEPT: _not_accepted,
    ErrandKind.URGENT_SEEN: lambda turn, errand, _refusal: urgent_seen.seen_told(turn, errand),
    ErrandKind.APPOINTMENT_PUT: planning.put_refused,
    ErrandKind.APPOINTMENT_AGAIN: bringing_back.again_refused,
    ErrandKind.APPOINTMENT_REACHED: lambda turn, errand, _refusal: appointment_rows.reached_told(turn, errand),
}
"""What a refusal for good means for these; all others are repeated after an hour."""


def unanswered(turn: Turn, call: Call) -> None:
    """Nobody answered: the same call again, later."""
    errand = errands.get(turn, call.errand)
    if errand is not None:
        errands.postpone(turn, errand)
