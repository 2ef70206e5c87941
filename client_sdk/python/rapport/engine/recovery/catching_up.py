"""Learning what happened without this device: after it was linked, or after it was away for too long.

First our own newest lists, then which conversations there are, then the chains of those that are unknown or have moved
on, then history from the archive, page by page, in the background. A linked device begins at the first message; one
that was away begins behind what it had shown, or where it had passed over a place.

Source: docs/protocol.md, chapters 7 and 13.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from rapport.engine.composing import introduce
from rapport.engine.key_sharing import want_keys
from rapport.engine.opening import message_id
from rapport.engine.recovery.restoring import restore_page
from rapport.engine.shown.showing import HELD_MS, missing_from, skip_to, skip_to_bases
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind, errand_key
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, SEEN
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Call, Turn
from rapport.events import ConversationChanged
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import PAGE_ITEMS
from rapport_protocol.requests import ArchivePage, Conversations

__all__ = [
    "AWAY_MS",
    "begin_linked",
    "catalog_answered",
    "catalog_call",
    "history_answered",
    "history_call",
    "history_refused",
    "online",
    "restore_again",
    "resume_history",
    "still_online",
    "stream_caught_up",
]

AWAY_MS: Final = 44 * 86_400_000
"""A device that was away for longer may have been dormant (45 days): it cannot rely on its mailbox."""
_NOTED_EVERY_MS: Final = 3_600_000
"""How exactly it is remembered when this device was last connected: to the hour."""
_LISTS_MS: Final = 2_000
"""A page that needs device lists or a chain is looked at again after this time."""
_TRIES: Final = 4
"""So often: then what cannot be opened is left out."""
_AGAIN_MS: Final = (60_000, 3_600_000, 86_400_000, 7 * 86_400_000)
"""What another device of ours had not opened is not in the archive yet: places without an entry are looked at again."""


class _Presence(Row, frozen=True):
    """online_ms: when this device was last known to be connected, 0 = never. linked: it was added by linking.

    pending: the catalogue is to be asked for once everything that waited on the stream is here.
    """

    online_ms: int = 0
    linked: bool = False
    pending: bool = False


class _Progress(Row, frozen=True):
    """History of one conversation. next: seq to go on from. upto: the last one wanted, 0 = not known yet.

    unreadable: entries under keys that were missing were met. introduce: our profile is still to be told. seen: the
    highest seq looked at. lacking, first_lacking, last_lacking: how many places below it had no entry, and where.
    rounds: how often everything was looked at.
    """

    next: int
    upto: int = 0
    unreadable: bool = False
    introduce: bool = False
    tries: int = 0
    seen: int = 0
    lacking: int = 0
    first_lacking: int = 0
    last_lacking: int = 0
    rounds: int = 0

    def looked_at(self, seqs: Iterable[int]) -> "_Progress":
        """After a page with entries at these places, ascending."""
        seen, lacking, first, last = self.seen or self.next - 1, self.lacking, self.first_lacking, self.last_lacking
        for seq in seqs:
            if seq > seen + 1:
                lacking, first, last = lacking + seq - seen - 1, first or seen + 1, seq - 1
            seen = max(seen, seq)
        return replace(self, seen=seen, lacking=lacking, first_lacking=first, last_lacking=last)


_PRESENCE: Final = Table("presence", _Presence)
"""One record under the empty key."""
_HISTORY: Final = Table("history", _Progress)
"""By conversation, while there is something to fetch."""
_UNREADABLE: Final = Table("unreadable", _Progress)
"""By conversation: where history could not be read for want of keys."""


# --- when -------------------------------------------------------------------------------------------------------------


def begin_linked(turn: Turn) -> None:
    """This device was linked just now: everything is to be learned."""
    _PRESENCE.put(turn.tx, b"", _Presence(turn.now_ms, linked=True, pending=True))


def online(turn: Turn, *, behind: bool = False) -> None:
    """Signed in. After 44 days away the lists of everybody and the archive are asked, not the mailbox alone.

    behind: the vault is an earlier state of itself, which has acknowledged what it does not hold, or the server did not
    know this device for a while: the same is done.
    """
    held = _PRESENCE.get(turn.tx, b"") or _Presence()
    away = behind or (bool(held.online_ms) and turn.now_ms - held.online_ms >= AWAY_MS)
    if away:
        for key, conversation in CONVERSATIONS.list(turn.tx):
            first, begun = missing_from(turn, conversation), _HISTORY.get(turn.tx, key)
            if begun is None or first < begun.next:
                introduce = begun is not None and begun.introduce
                _HISTORY.put(turn.tx, key, _Progress(first, introduce=introduce))
        for account, _ in list(CONTACTS.list(turn.tx)):
            errands.plan(turn, ErrandKind.LISTS, account)
    _PRESENCE.put(turn.tx, b"", replace(held, online_ms=turn.now_ms, pending=held.pending or away))


def still_online(turn: Turn) -> None:
    """Something has come: noted to the hour, for a device that stays connected for months."""
    held = _PRESENCE.get(turn.tx, b"") or _Presence()
    if turn.now_ms - held.online_ms >= _NOTED_EVERY_MS:
        _PRESENCE.put(turn.tx, b"", replace(held, online_ms=turn.now_ms))


def stream_caught_up(turn: Turn) -> None:
    """Everything that waited for this device is here; what never waited for it comes next."""
    skip_to_bases(turn)
    held = _PRESENCE.get(turn.tx, b"")
    if held is not None and held.pending:
        errands.plan(turn, ErrandKind.CATALOG)


# --- which conversations ----------------------------------------------------------------------------------------------


def catalog_call(_turn: Turn, errand: Errand) -> Call | None:
    """Asks for all conversations of the account."""
    return Call(errand.key, "conversation.list")


def catalog_answered(turn: Turn, _errand: Errand, answer: Conversations) -> None:
    """Plans the chains that are missing and the history of each."""
    errands.drop(turn, ErrandKind.CATALOG)
    held = _PRESENCE.get(turn.tx, b"") or _Presence()
    _PRESENCE.put(turn.tx, b"", replace(held, pending=False))
    for head in answer.heads:
        known = CONVERSATIONS.get(turn.tx, head.conv)
        if known is None or known.epoch < head.epoch:
            errands.plan(turn, ErrandKind.CHAIN, head.conv)
        if not head.seq:
            continue
        progress = _HISTORY.get(turn.tx, head.conv) or _Progress(1)
        progress = replace(progress, upto=head.seq, introduce=held.linked and head.epoch > 0)
        _HISTORY.put(turn.tx, head.conv, progress)
        if known is not None:
            resume_history(turn, head.conv, wait_ms=HELD_MS)


def resume_history(turn: Turn, conv: ConversationId, *, wait_ms: int = 0) -> None:
    """The conversation is known, or has moved on: its history can be fetched, if any is to be.

    wait_ms: of a conversation that was known before, what was posted since this device caught up counts among it and
    may still be on its way on the stream. It comes first, in order.
    """
    progress = _HISTORY.get(turn.tx, conv)
    if progress is None or not progress.upto:
        return
    planned = errands.get(turn, errand_key(ErrandKind.HISTORY, conv))
    if planned is None or planned.due_ms > turn.now_ms + HELD_MS:
        if not wait_ms:
            skip_to(turn, conv, progress.upto + 1)
        errands.plan(turn, ErrandKind.HISTORY, conv, due_ms=turn.now_ms + wait_ms)
    if progress.introduce:
        _HISTORY.put(turn.tx, conv, replace(progress, introduce=False))
        introduce(turn, conv)


# --- history ----------------------------------------------------------------------------------------------------------


def history_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks for the next page. What comes on the stream waits no longer for what history holds."""
    conv = ConversationId(errand.subject)
    progress = _HISTORY.get(turn.tx, conv)
    if progress is None or not progress.upto or not CONVERSATIONS.has(turn.tx, conv):
        errands.drop(turn, ErrandKind.HISTORY, conv)
        return None
    skip_to(turn, conv, progress.upto + 1)
    query = {"from": progress.next, "to": progress.upto, "limit": PAGE_ITEMS}
    return Call(errand.key, "archive.page", path={"conv": conv}, query=query)


def history_answered(turn: Turn, errand: Errand, page: ArchivePage) -> None:
    """Puts a page in its place and goes on.

    Where device lists or membership entries are missing for some of it, they are fetched first and the page is looked
    at again; where archive keys are missing, the siblings are asked and the page is left for later.
    """
    conv = ConversationId(errand.subject)
    progress = _HISTORY.get(turn.tx, conv)
    if progress is None:
        errands.drop(turn, ErrandKind.HISTORY, conv)
        return
    came = restore_page(turn, conv, page, whole=not progress.unreadable)
    if came.restored:
        turn.show(ConversationChanged(conv))
    if came.keyless:
        want_keys(turn)
        progress = replace(progress, unreadable=True)
    if (came.lists or came.chain) and progress.tries < _TRIES:
        for account in came.lists:
            errands.plan(turn, ErrandKind.LISTS, account)
        if came.chain:
            errands.plan(turn, ErrandKind.CHAIN, conv)
        _HISTORY.put(turn.tx, conv, replace(progress, tries=progress.tries + 1))
        errands.postpone(turn, errand, wait_ms=_LISTS_MS)
        return
    errands.drop(turn, ErrandKind.HISTORY, conv)
    # What did not open counts as lacking: a list or chain that comes late opens it in a later round. What lacks a key
    # is read again when the key comes.
    progress = progress.looked_at(
        item.seq for item in page.items if came.keyless or SEEN.has(turn.tx, message_id(item.outer))
    )
    if progress.next < page.next_seq <= progress.upto:
        _HISTORY.put(turn.tx, conv, replace(progress, next=page.next_seq, tries=0))
        errands.plan(turn, ErrandKind.HISTORY, conv)
        return
    _HISTORY.delete(turn.tx, conv)
    if progress.unreadable:
        _UNREADABLE.put(turn.tx, conv, _Progress(1, progress.upto))
    _look_again(turn, conv, progress.looked_at([progress.upto + 1]))


def _look_again(turn: Turn, conv: ConversationId, done: _Progress) -> None:
    """Plans the next round over the places without an entry, unless membership entries account for all of them."""
    known = CONVERSATIONS.get(turn.tx, conv)
    if known is None or not done.lacking or done.rounds >= len(_AGAIN_MS):
        return
    if done.first_lacking == 1 and done.lacking <= known.epoch:  # a round that began behind them counts none of them
        return
    _HISTORY.put(turn.tx, conv, _Progress(done.first_lacking, done.last_lacking, rounds=done.rounds + 1))
    errands.plan(turn, ErrandKind.HISTORY, conv, due_ms=turn.now_ms + _AGAIN_MS[done.rounds])


def history_refused(turn: Turn, errand: Errand) -> None:
    """No conversation of ours any more: there is nothing to fetch."""
    errands.drop(turn, ErrandKind.HISTORY, errand.subject)
    _HISTORY.delete(turn.tx, errand.subject)


def restore_again(turn: Turn) -> None:
    """Archive keys have come: what could not be read for want of one is fetched once more, now."""
    errands.drop(turn, ErrandKind.REREAD)
    for key, progress in list(_UNREADABLE.list(turn.tx)):
        _UNREADABLE.delete(turn.tx, key)
        held = _HISTORY.get(turn.tx, key) or progress  # another round may be planned
        upto = max(held.upto, progress.upto)
        _HISTORY.put(turn.tx, key, replace(progress, rounds=held.rounds, introduce=held.introduce, upto=upto))
        errands.plan(turn, ErrandKind.HISTORY, key)
