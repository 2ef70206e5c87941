"""Posts of ours that do not arrive where they should: noticed, and said.

A day after a post was taken, the server is asked who still lacks it; a device that has written to us since is named to
the person. Whatever the server says, a peer's own posts tell what that peer had: if they keep naming older ones than
our newest, for ten minutes, the server holds ours back (a dropped last post is followed by none that would show the
gap).

Source: docs/protocol.md, section 4.12.
"""

from typing import Final

from msgspec.structs import replace

from rapport.engine.contacts import account_of
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.outgoing import SENT
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, PEERS, SEEN, MessageRecord
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Call, Turn
from rapport.engine.vault.upkeep import amend_upkeep, upkeep_of
from rapport.events import NotDelivered, SecurityEvent, SecurityKind
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, split_ids
from rapport_protocol.limits import FETCH_IDS
from rapport_protocol.requests import Receipts, ReceiptsOf
from rapport_protocol.signed import Outer

__all__ = ["OVERDUE_MS", "forget_tails", "note_tail", "overdue_answered", "overdue_call", "peer_had", "plan_overdue"]

OVERDUE_MS: Final = 86_400_000
"""A post that an active device does not have after a day is named to its sender."""
_LAG_MS: Final = 600_000
"""A peer that writes twice, this far apart and this long after our post, and has not seen it, was not given it."""
_LOOKED_AT: Final = 1_024
"""Most posts looked at in one day; of more, the newest."""


class _Tail(Row, frozen=True):
    """Our newest bubble in a conversation. behind: devices whose posts do not know it, and since when; 0 = reported."""

    id: MessageId
    seq: int
    at_ms: int
    behind: tuple[tuple[DeviceId, int], ...] = ()


_TAILS: Final = Table("tail", _Tail)
"""By conversation."""


# --- a day later ------------------------------------------------------------------------------------------------------


def plan_overdue(turn: Turn) -> None:
    """Once a day: conversations with posts that were taken more than a day ago, and not looked at before."""
    held, end = upkeep_of(turn), turn.now_ms - OVERDUE_MS
    under_way = any(errands.planned(turn, ErrandKind.OVERDUE, key) for key, _ in CONVERSATIONS.list(turn.tx))
    begin = held.overdue_from_ms if under_way else max(held.overdue_to_ms, end - 6 * OVERDUE_MS)
    amend_upkeep(turn, overdue_from_ms=begin, overdue_to_ms=end)
    for conv in {conv for conv, _ in _taken(turn)}:
        errands.plan(turn, ErrandKind.OVERDUE, conv)


def _taken(turn: Turn) -> list[tuple[ConversationId, MessageId]]:
    """Posts of this device that the server took in the span that is being looked at, newest first."""
    held = upkeep_of(turn)
    begin, end = max(held.overdue_from_ms - 1, -1), max(held.overdue_to_ms, 0)
    rows = SENT.list(turn.tx, above=begin, below=end, limit=_LOOKED_AT, newest_first=True)
    return [(sent.conv, MessageId(key)) for key, sent in rows if sent.outer[43:59] == turn.me.device]


def overdue_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks who lacks them."""
    ids = [message for conv, message in _taken(turn) if conv == errand.subject]
    if not ids:
        errands.drop(turn, ErrandKind.OVERDUE, errand.subject)
        return None
    return Call(errand.key, "messages.receipts", Receipts(ids[:FETCH_IDS]), path={"conv": errand.subject})


def overdue_answered(turn: Turn, errand: Errand, answer: ReceiptsOf) -> None:
    """Names devices that have written to us since and still lack a post. The others are away, which is no news."""
    errands.drop(turn, ErrandKind.OVERDUE, errand.subject)
    conv = ConversationId(errand.subject)
    for receipt in answer.receipts:
        sent = SENT.get(turn.tx, receipt.id)
        if sent is None or sent.conv != conv or not MESSAGES.has(turn.tx, receipt.id):
            continue
        for joined, parked in ((receipt.waiting, False), (receipt.parked, True)):
            for device in split_ids(joined):
                account, peer = account_of(turn, DeviceId(device)), PEERS.get(turn.tx, device)
                if account is not None and peer is not None and peer.heard_ms > sent.at:
                    turn.show(NotDelivered(conv, receipt.id, account, DeviceId(device), parked))
                    if not parked:
                        turn.show(SecurityEvent(SecurityKind.NOT_DELIVERED, conv, account, DeviceId(device)))


# --- what peers say they had ------------------------------------------------------------------------------------------


def note_tail(turn: Turn, record: MessageRecord) -> None:
    """The server has taken a bubble of ours."""
    held = _TAILS.get(turn.tx, record.conv)
    if held is None or record.seq > held.seq:
        _TAILS.put(turn.tx, record.conv, _Tail(record.id, record.seq, record.at_ms))


def peer_had(turn: Turn, outer: Outer, seq: int, newest: MessageId | None) -> None:
    """A peer's post was written when `newest` was the newest post of others that it had."""
    tail = _TAILS.get(turn.tx, outer.conv)
    if tail is None or seq <= tail.seq or outer.ts_ms < tail.at_ms + _LAG_MS or outer.account == turn.me.account:
        return
    since = dict(tail.behind).get(outer.device)
    seen = SEEN.get(turn.tx, newest) if newest is not None else None
    known = MESSAGES.get(turn.tx, newest) if newest is not None else None
    had = max(seen.seq if seen else 0, known.seq if known else 0)
    if had >= tail.seq or (newest is not None and not had):
        behind = None
    elif since is None:
        behind = outer.ts_ms
    elif since == 0 or outer.ts_ms - since < _LAG_MS:
        return
    else:
        _report(turn, outer.account, outer.device, outer.conv, tail.id)
        behind = 0
    if behind is None and since is None:
        return
    others = tuple(pair for pair in tail.behind if pair[0] != outer.device)
    after = others if behind is None else (*others, (outer.device, behind))
    _TAILS.put(turn.tx, outer.conv, replace(tail, behind=after))


def _report(turn: Turn, account: AccountId, device: DeviceId, conv: ConversationId, message: MessageId) -> None:
    sent = SENT.get(turn.tx, message)
    if sent is not None and device in split_ids(sent.devices):
        turn.show(SecurityEvent(SecurityKind.NOT_DELIVERED, conv, account, device))


def forget_tails(turn: Turn) -> None:
    """The server lost posts with its store: that peers lack them is no lie."""
    for key, _ in list(_TAILS.list(turn.tx)):
        _TAILS.delete(turn.tx, key)
