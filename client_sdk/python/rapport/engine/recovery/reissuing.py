"""A server that was restored from a backup gets back what only we can sign: our device lists, our membership entries.

Its store epoch has changed, which is no reason for alarm: everything below happens in the background, in the order in
which one thing needs the other, and is tried again until it is done, each time later, at most six hours. It never ends
before: without its lists and entries a conversation stands still. What we posted since the backup is posted again by
`reposting.py`.

Source: docs/protocol.md, section 12.9.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from rapport.engine import outbox
from rapport.engine.contacts import lists_of
from rapport.engine.keys import prekeys
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.own_entries import own_entries
from rapport.engine.vault.records import CONVERSATIONS, INVITES, UPLOADS
from rapport.engine.vault.tables import Row, Table, must
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import ConversationId, DeviceId
from rapport_protocol.limits import RETURNED_LISTS
from rapport_protocol.membership_entries import Genesis, Invite, SignedEntry
from rapport_protocol.requests import (
    AppendEntry,
    Conversations,
    CreateInvite,
    DeviceLists,
    DeviceListUpdate,
    Prekeys,
    ReturnedLists,
)

__all__ = [
    "begin",
    "compared",
    "entries_call",
    "entry_taken",
    "heads_call",
    "holds_device",
    "keep_prekeys",
    "lists_call",
    "lists_compared",
    "refused",
    "returned_lists",
    "update_call",
    "update_taken",
]

_LISTS: Final = b"lists"
_PREKEYS: Final = msgspec.msgpack.Decoder(Prekeys)


class _Progress(Row, frozen=True):
    """How far the server is: the version of our device list, or the membership epoch of a conversation."""

    have: int


class _AddedPrekeys(Row, frozen=True):
    """The prekeys that a device list of ours added a device with, as uploaded."""

    prekeys: bytes


_PROGRESS: Final = Table("reissue", _Progress)
"""By conversation; the device list under its own key."""
_ADDED: Final = Table("added_prekeys", _AddedPrekeys)
"""By version of the list, four bytes."""


def begin(turn: Turn) -> None:
    """The store epoch has changed: look at what the server lacks, device lists first."""
    errands.plan(turn, ErrandKind.OWN_LISTS)


def holds_device(answer: Struct, device: DeviceId) -> bool:
    """Whether the newest of the answered lists holds the device. FormatError for what is no list."""
    lists = answer.lists if isinstance(answer, DeviceLists) else []
    return bool(lists) and SignedDeviceList.parse(lists[-1]).content.entry(device) is not None


def refused(turn: Turn, errand: Errand) -> None:
    """The server does not take it now: later, after another look at what it lacks, which others bring back too."""
    errands.postpone(turn, errand)
    after = errands.get(turn, errand.key)
    if after is None:
        return
    if errand.kind is ErrandKind.LIST_AGAIN:
        errands.plan(turn, ErrandKind.OWN_LISTS, due_ms=after.due_ms)
    elif errand.kind is ErrandKind.ENTRIES_AGAIN:
        errands.plan(turn, ErrandKind.HEADS, due_ms=after.due_ms)


# --- our device lists -------------------------------------------------------------------------------------------------


def keep_prekeys(turn: Turn, version: int, uploaded: bytes) -> None:
    """The server has taken a list of ours that adds a device: with these prekeys it can be published once more."""
    if uploaded:
        _ADDED.put(turn.tx, version.to_bytes(4, "big"), _AddedPrekeys(uploaded))


def lists_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks for our own lists, as the server has them."""
    return Call(errand.key, "devices.lists", path={"account": turn.me.account})


def lists_compared(turn: Turn, errand: Errand, answer: DeviceLists) -> None:
    """Plans the upload of those that it lacks, then goes on with the conversations."""
    errands.drop(turn, errand.kind)
    have = max((SignedDeviceList.parse(held).version for held in answer.lists), default=0)
    _PROGRESS.put(turn.tx, _LISTS, _Progress(have))
    errands.plan(turn, ErrandKind.LIST_AGAIN if _lacking_lists(turn) else ErrandKind.HEADS)


def _lacking_lists(turn: Turn) -> list[SignedDeviceList]:
    have = _PROGRESS.need(turn.tx, _LISTS).have
    return [held for held in lists_of(turn, turn.me.account) if held.version > have]


def returned_lists(turn: Turn) -> ReturnedLists | None:
    """Our account's lists and fresh prekeys, for a server that does not know this device; None if it was removed.

    The lists prove themselves: whoever was listed when the backup lacks it may come back without being signed in.
    """
    lists = lists_of(turn, turn.me.account)
    if lists[-1].content.entry(turn.me.device) is None:
        return None
    held = UPLOADS.get(turn.tx, b"")
    if held is None or held.signed is None or held.last_resort is None:
        prekeys.begin_anew(turn)
        held = UPLOADS.need(turn.tx, b"")
    uploaded = Prekeys(must(held.signed), must(held.last_resort), list(held.one_time))
    return ReturnedLists(turn.me.device, [each.encoded for each in lists[-RETURNED_LISTS:]], uploaded)


def update_call(turn: Turn, errand: Errand) -> Call | None:
    """Publishes the next list that the server lacks, identical bytes."""
    lacking = _lacking_lists(turn)
    if not lacking:
        errands.drop(turn, errand.kind)
        errands.plan(turn, ErrandKind.HEADS)
        return None
    added = _ADDED.get(turn.tx, lacking[0].version.to_bytes(4, "big"))
    uploaded = _PREKEYS.decode(added.prekeys) if added else None
    return Call(errand.key, "devices.update", DeviceListUpdate(lacking[0].encoded, uploaded))


def update_taken(turn: Turn, sent: DeviceListUpdate) -> None:
    """The server has it; the errand goes on with the next one."""
    _PROGRESS.put(turn.tx, _LISTS, _Progress(SignedDeviceList.parse(sent.list).version))


# --- membership entries and invites -----------------------------------------------------------------------------------


def heads_call(_turn: Turn, errand: Errand) -> Call | None:
    """Asks where each of our conversations stands on the server."""
    return Call(errand.key, "conversation.list")


def compared(turn: Turn, errand: Errand, answer: Conversations) -> None:
    """Plans the upload of entries that this account has signed and the server lacks."""
    errands.drop(turn, errand.kind)
    epochs = {head.conv: head.epoch for head in answer.heads}
    for conv in _with_entries(turn):
        _PROGRESS.put(turn.tx, conv, _Progress(epochs.get(conv, 0)))
        if _lacking_entries(turn, conv):
            errands.plan(turn, ErrandKind.ENTRIES_AGAIN, conv)


def _with_entries(turn: Turn) -> Iterator[ConversationId]:
    for key, conversation in list(CONVERSATIONS.list(turn.tx)):
        if conversation.membership is not None:
            yield ConversationId(key)


def _lacking_entries(turn: Turn, conv: ConversationId) -> list[SignedEntry]:
    have = _PROGRESS.need(turn.tx, conv).have
    return [entry for entry in own_entries(turn, conv) if entry.fields.epoch > have]


def entries_call(turn: Turn, errand: Errand) -> Call | None:
    """Appends the next entry that the server lacks; an invite together with its card, as it was made."""
    lacking = _lacking_entries(turn, ConversationId(errand.subject))
    if not lacking:
        errands.drop(turn, errand.kind, errand.subject)
        return None
    if not isinstance(lacking[0].fields.action, Genesis | Invite):
        return Call(errand.key, "membership.append", AppendEntry(lacking[0].encoded), path={"conv": errand.subject})
    again = _invite_again(turn, lacking)
    if again is None:  # still open, and the card is with the device that made it
        refused(turn, errand)
        return None
    return Call(errand.key, "invite.create", again)


def _invite_again(turn: Turn, lacking: list[SignedEntry]) -> CreateInvite | None:
    """The invite that the server lacks first, with its conversation if that is lacking too.

    Nobody reads the card of one that is over: it comes back without, by any device of the account, so that the
    conversation goes on and whoever has used it can register again.
    """
    for _, invite in INVITES.list(turn.tx):
        if lacking[0].encoded in invite.entries:
            return CreateInvite(list(invite.entries), invite.card)
    begun = lacking[: 2 if isinstance(lacking[0].fields.action, Genesis) else 1]
    action = begun[-1].fields.action
    state = CONVERSATIONS.need(turn.tx, lacking[0].fields.conv).membership
    if not isinstance(action, Invite) or state is None or state.invite(action.invite) is not None:
        return None
    return CreateInvite([entry.encoded for entry in begun], b"")


def entry_taken(turn: Turn, errand: Errand, sent: CreateInvite | AppendEntry) -> None:
    """The server has it; the errand goes on with the next one, and posts that waited for it leave."""
    last = sent.entries[-1] if isinstance(sent, CreateInvite) else sent.entry
    _PROGRESS.put(turn.tx, errand.subject, _Progress(SignedEntry.parse(last).fields.epoch))
    outbox.hurry(turn, ConversationId(errand.subject))
