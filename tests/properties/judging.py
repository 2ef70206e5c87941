"""The end of a run: a fair network, and then the question who can read what.

Every text that the server accepted stands readable on every device it was given to, or is visibly marked there; what
was written and not accepted still waits or is marked as failed. Texts that a vault lost before anybody had them are
counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rapport.crypto.archive import entry_epoch
from rapport.engine.healing.asking import ASK_WITHIN_MS
from rapport.engine.keys.archive_keys import archive_key_of
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.recovery import catching_up
from rapport.engine.vault import promised_pins
from rapport.engine.vault.outgoing import DIRECTS, OUTBOX, QUEUES
from rapport.engine.vault.own_entries import own_entries
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, PENDING
from rapport.engine.vault.turn import Turn
from rapport.events import Message, MessageKind, SecurityKind, Status
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.membership_entries import SignedEntry
from tests.sdk.relay import later, quiet

if TYPE_CHECKING:
    from tests.properties.fleet import Accepted, Fleet, Node

__all__ = ["judge", "part", "settle"]

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
ROUND_TRIPS = 2
SKIPPED_MOST = 2_000
DIRECTS_MOST = 1_024


async def settle(fleet: Fleet) -> str:
    """A fair network from now on, and time for everything that is planned. Whatever heals does in two round trips.

    Returns why no verdict is possible, "" when one is: the server went back, and what it has lost is known to nobody
    who could bring it back ("What nobody can bring back after a restore" in docs/threat-model.md).
    """
    nodes = fleet.living
    for node in nodes:
        node.hold_outgoing = False
        node.disarm()
        if node.running:
            node.restart()
        await fleet.alive(node)
    await quiet(*nodes)
    asked = {key: count for node in nodes for key, count in _asked(node, _able(fleet)).items()}
    for wait_ms in (15 * SECOND_MS, 15 * MINUTE_MS, 3 * HOUR_MS):
        nodes = fleet.living
        await later(wait_ms, *nodes)
        await fleet.sweep()
        await quiet(*nodes)
        for node in nodes:
            for key, count in _asked(node, _able(fleet)).items():
                assert count - asked.get(key, 0) <= ROUND_TRIPS, "does not heal in two round trips"
    forgotten = _forgotten(fleet) if fleet.store._restored_ms > 0 else ""
    if not forgotten:
        _know_each_other(fleet)
        await _last_words(fleet)
    return forgotten


def _able(fleet: Fleet) -> set[bytes]:
    """Who is able to send again what it has sent: not who was removed, nor a vault that was put back."""
    return {bytes(node.me.device) for node in fleet.living if not node.rolled_back}


def _forgotten(fleet: Fleet) -> str:
    """What the restored server lacks and nobody can bring back; "" for nothing."""
    if any(node.rolled_back for node in fleet.nodes):
        if _has_forgotten_itself(fleet):
            return "a list that nobody of its account knows"
        if fleet.watch.alarms[SecurityKind.EQUIVOCATION] or _was_promised_otherwise(fleet):  # two lists of one version
            return "a list made anew in another way"
    return _lost_entry(fleet)


def _held_version(node: Node, account: AccountId) -> int:
    """Of the newest list that it holds, or that another device of its account has promised it."""
    contact = node.look(lambda tx: CONTACTS.get(tx, account))
    if contact is not None:
        return SignedDeviceList.parse(contact.lists[-1]).version
    promised = node.look(lambda tx: promised_pins._PROMISED.get(tx, account))
    return promised.version if promised is not None else 0


def _was_promised_otherwise(fleet: Fleet) -> bool:
    """Whether the server has another list in the place of one that a device was promised when it was linked."""
    for node in fleet.living:
        for _, pin in node.look(lambda tx: list(promised_pins._PROMISED.list(tx))):
            record = fleet.store._accounts.get(pin.account)
            for version, raw, _ in record.lists if record is not None else ():
                if version == pin.version and SignedDeviceList.parse(raw).hash != pin.list_hash:
                    return True
    return False


def _lost_entry(fleet: Fleet) -> str:
    """Whether the server lacks an entry that somebody's chain goes on from, and why that stays so; "" otherwise.

    The devices that had it of the account that signed it are gone, or one of them was put back and has signed another
    one in its place: whoever holds the first one rightly refuses the second.
    """
    chains = {conv: held.chain for (_, conv), held in fleet.store._conversations.items()}
    for node in fleet.living:
        for conv in node.conversations():
            membership = node.look(lambda tx: CONVERSATIONS.need(tx, conv).membership)  # noqa: B023 - done at once
            there = {entry.epoch: SignedEntry.parse(entry.raw) for entry, _, _ in chains.get(conv, ())}
            lacking = _first_lacking(fleet, membership.head, there) if membership is not None else None
            if lacking is None:
                continue
            if not any(_holds_entry(other, lacking) for other in fleet.living):
                return "an entry that nobody of its account knows"
            if lacking.fields.epoch in there and any(other.rolled_back for other in fleet.nodes):
                return "an entry made anew in another way"
    return ""


def _first_lacking(fleet: Fleet, head: bytes, there: dict[int, SignedEntry]) -> SignedEntry | None:
    """The first entry of the chain that ends with this head that is not in the server's; None if it has them all."""
    lacking = None
    while any(head) and all(entry.hash != head for entry in there.values()):
        lacking = fleet.store.entries[head]
        head = lacking.fields.prev_hash
    return lacking


def _holds_entry(node: Node, lacking: SignedEntry) -> bool:
    """Whether it has it to bring it back."""
    own = node.look(lambda tx: own_entries(Turn(tx, node.me, 0, node.random), lacking.fields.conv))
    return any(entry.hash == lacking.hash for entry in own)


def _has_forgotten_itself(fleet: Fleet) -> bool:
    """Whether an account's devices that knew of its newest list were put back, and then the server was restored.

    Nobody is left who could bring the list back, and contacts rightly hold on to it.
    """
    for account in fleet.accounts():
        own = fleet.devices_of(account)
        known = max((_held_version(node, account) for node in own), default=0)
        if any(node.rolled_back for node in own) and any(_held_version(node, account) > known for node in fleet.living):
            return True
    return False


def _know_each_other(fleet: Fleet) -> None:
    """Before anybody writes again: whoever shares a conversation has heard of every change of a device list."""
    newest = {account: record.lists[-1][0] for account, record in fleet.store._accounts.items()}
    for node in fleet.living:
        known = node.look(lambda tx: {key: contact.lists for key, contact in CONTACTS.list(tx)})
        for account, lists in known.items():
            version = SignedDeviceList.parse(lists[-1]).version
            assert version == newest[AccountId(account)], "has not heard of a changed device list"


def _asked(node: Node, able: set[bytes]) -> dict[tuple[bytes, bytes], int]:
    """How often each message that is still closed was asked for, of those that their sender is able to send again."""

    def look(tx: object) -> dict[tuple[bytes, bytes], int]:
        return {
            (node.me.device, held.id): held.asked
            for conv in node.conversations()
            for _, held in PENDING.list(tx, conv)  # type: ignore[arg-type]
            if held.device in able
        }

    return node.look(look)


async def _last_words(fleet: Fleet) -> None:
    """Everybody says something once more: it arrives, and every session is one that both ends know."""
    nodes = fleet.living
    for node in nodes:
        for which in range(len(node.conversations())):
            fleet.write(node, which)
        await quiet(*nodes)
    await later(MINUTE_MS, *nodes)


async def part(fleet: Fleet) -> None:
    """After the verdict a client removes a device, and nobody writes any more: the server's notice alone tells of it.

    Of the owner's, who leads the conversations, a membership entry tells too.
    """
    for account in fleet.accounts():
        devices = fleet.devices_of(account)
        if account != fleet.nodes[0].me.account and len(devices) > 1:
            await fleet.revoke(devices[0], devices[1])
    await later(MINUTE_MS, *fleet.living)
    _know_each_other(fleet)


def judge(fleet: Fleet) -> Counter[str]:
    """Raises AssertionError for what is lost; returns what is visibly marked, by reason."""
    marked = Counter({"locked out": sum(node.locked_out for node in fleet.nodes)})
    accepted: dict[MessageId, list[Accepted]] = {}
    for each in fleet.store.accepted:
        if each.id in fleet.written:
            accepted.setdefault(each.id, []).append(each)
    for node in fleet.living:
        _at_rest(node)
        boards = {conv: {message.id: message for message in node.shown(conv)} for conv in node.conversations()}
        for message, times in accepted.items():
            if _entitled(fleet, node, message, times):
                marked += _look(fleet, node, message, boards)
        _own(fleet, node, accepted, boards)
    _same_order(fleet)
    return marked


def _entitled(fleet: Fleet, node: Node, message: MessageId, times: list[Accepted]) -> bool:
    """Written or given to this device; or archived by the account, which it has been added to since."""
    if fleet.written[message].device == node.me.device or any(node.me.device in each.devices for each in times):
        return True
    item = next((item for item in fleet.store._items.values() if bytes(item.id) == message), None)
    return item is not None and node.me.account in item.entries


def _look(
    fleet: Fleet, node: Node, message: MessageId, boards: dict[ConversationId, dict[MessageId, Message]]
) -> Counter[str]:
    written = fleet.written[message]
    found = boards.get(written.conv, {}).get(message)
    if found is None:
        if node.rolled_back and _parked(fleet, node, message):
            return Counter({"parked by a vault that was put back": 1})
        if (node.rolled_back or node.was_away) and _place_is_taken(fleet, message, boards.get(written.conv, {})):
            return Counter({"its place taken by a made-up message": 1})
        if _key_is_gone(fleet, node, message):
            return Counter({"archive key lost with a vault": 1})
        if _looks_again(fleet, node, message):
            return Counter({"looked for again later": 1})
        assert message in fleet.lost or not _kept_by_server(fleet, message), f"silently lost: {written.text}"
        return Counter({"lost with a vault": 1})
    if found.placeholder is not None:
        able = any(other.me.device == written.device and not other.rolled_back for other in fleet.living)
        late = fleet.relay.clock.now_ms() - found.at_ms > ASK_WITHIN_MS  # the time in which a sender is asked is over
        assert late or not able or node.rolled_back, f"closed, though its sender could help: {found.placeholder}"
        return Counter({str(found.placeholder): 1})
    assert found.text == written.text, "another text than was written"
    return Counter()


def _parked(fleet: Fleet, node: Node, message: MessageId) -> bool:
    return any(bytes(item.id) == message and node.me.device in item.parked for item in fleet.store._items.values())


def _place_is_taken(fleet: Fleet, message: MessageId, board: dict[MessageId, Message]) -> bool:
    """Whether a message that the machine has made up (`corrupt`) stands there as one that cannot be read yet.

    No honest server gives one place twice. A vault copied while only the made-up one was there, or a device that fell
    dormant then, counts the place as taken and reads history from behind it: the person sees that something is missing.
    """
    item = next((held for held in fleet.store._items.values() if bytes(held.id) == message), None)
    return item is not None and any(
        shown.seq == item.seq and shown.placeholder is not None and shown.id not in fleet.written
        for shown in board.values()
    )


def _looks_again(fleet: Fleet, node: Node, message: MessageId) -> bool:
    """Whether a further round over the archive that includes the message's place is planned."""
    item = next((held for held in fleet.store._items.values() if bytes(held.id) == message), None)
    if item is None or item.conv is None:
        return False
    conv = item.conv
    progress = node.look(lambda tx: catching_up._HISTORY.get(tx, conv))
    return progress is not None and progress.next <= item.seq <= progress.upto


def _key_is_gone(fleet: Fleet, node: Node, message: MessageId) -> bool:
    """A vault of the account that was put back had held the key of its entry.

    The vault itself has it no more; or nobody who is left in the account has it.
    """
    account = node.me.account
    item = next((item for item in fleet.store._items.values() if bytes(item.id) == message), None)
    entry = item.entries.get(account) if item is not None else None
    if entry is None or not any(other.rolled_back and other.me.account == account for other in fleet.nodes):
        return False
    epoch = entry_epoch(entry)
    asked = [node] if node.rolled_back else fleet.devices_of(account)
    return not any(_holds_key(other, epoch) for other in asked)


def _holds_key(node: Node, epoch: int) -> bool:
    return node.look(lambda tx: archive_key_of(Turn(tx, node.me, 0, node.random), epoch)) is not None


def _kept_by_server(fleet: Fleet, message: MessageId) -> bool:
    return any(bytes(item.id) == message for item in fleet.store._items.values())


def _own(
    fleet: Fleet,
    node: Node,
    accepted: dict[MessageId, list[Accepted]],
    boards: dict[ConversationId, dict[MessageId, Message]],
) -> None:
    """What this device has written: sent, or it says that it could not be."""
    for message, written in fleet.written.items():
        if written.device != node.me.device or message in fleet.lost:
            continue
        found = boards[written.conv].get(message)
        assert found is not None, f"a text of one's own is gone: {written.text}"
        if found.status is not Status.FAILED:
            waits_alone = found.status is Status.QUEUED and message not in accepted
            assert waits_alone or message in accepted, "said to be sent, but was not"


def _at_rest(node: Node) -> None:
    """Nothing waits for ever, and nothing has grown beyond its cap."""
    for conv in node.conversations():
        queued = node.look(lambda tx: OUTBOX.count(tx, conv))  # noqa: B023 - done at once
        hold = node.look(lambda tx: QUEUES.get(tx, conv))  # noqa: B023
        assert not queued or (hold is not None and hold.hold == "alone"), f"posts wait: {hold and hold.hold}"
    assert node.look(DIRECTS.count) <= DIRECTS_MOST
    for _, held in node.look(lambda tx: list(tx.list("session"))):
        assert held is not None
    for device, _ in node.look(lambda tx: list(tx.list("peer"))):
        for session in node.look(lambda tx: sessions_of(tx, device)):  # type: ignore[arg-type]  # noqa: B023
            assert len(session.skipped) <= SKIPPED_MOST


def _same_order(fleet: Fleet) -> None:
    """Two devices that have the same messages have them in the same order.

    After a restore a message may be accepted at another place; whoever has it keeps the first one.
    """
    times = Counter(each.id for each in fleet.store.accepted)
    orders: dict[ConversationId, list[list[MessageId]]] = {}
    for node in fleet.living:
        for conv in node.conversations():
            texts = [message for message in node.shown(conv) if message.kind is MessageKind.TEXT and message.seq]
            board = [message.id for message in texts if message.placeholder is None and times[message.id] == 1]
            orders.setdefault(conv, []).append(board)
    for boards in orders.values():
        for one in boards:
            for other in boards:
                common = set(one) & set(other)
                assert [i for i in one if i in common] == [i for i in other if i in common], "another order"
