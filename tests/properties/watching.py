"""What must hold at every moment: looked at when a message leaves a device, and when a device has shown something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rapport.crypto.ratchet import RatchetMessage
from rapport.engine.contacts import account_of, newest_list
from rapport.engine.shown.showing import HELD_MS
from rapport.engine.vault.turn import Turn
from rapport.events import Message, MessageReceived, SecurityEvent
from rapport_protocol.ids import DeviceId, split_ids
from rapport_protocol.messages import Ack, Deliver, Direct, Post
from rapport_protocol.sealed_keys import split_sealed_keys
from rapport_protocol.signed import Outer

if TYPE_CHECKING:
    from tests.properties.fleet import Node

__all__ = ["Watch"]


class Watch:
    """Everything that was ever seen to leave a device."""

    def __init__(self) -> None:
        self.positions: dict[tuple[bytes, bytes, int], bytes] = {}
        self.nonces: dict[bytes, bytes] = {}
        self.bodies: dict[bytes, tuple[bytes, bytes]] = {}
        self.commitments: dict[bytes, bytes] = {}
        self.alarms: Counter[str] = Counter()
        self._looked: dict[bytes, int] = {}
        self._shown: dict[bytes, set[bytes]] = {}
        self._places: dict[tuple[bytes, bytes], int] = {}
        self._arrived: dict[tuple[bytes, bytes], int] = {}

    # --- leaving ------------------------------------------------------------------------------------------------------

    def is_handed_over(self, node: Node, message: Any) -> None:
        """Before anything waits for a socket: from there nothing can be called back."""
        if isinstance(message, Post):
            self._listed(node, split_ids(message.devices))
        elif isinstance(message, Direct):
            self._listed(node, [message.device])

    def leaves(self, node: Node, message: Any) -> None:
        """Before anything goes to the server."""
        if isinstance(message, Post):
            self._body(message)
            for key in split_sealed_keys(message.keys):
                self._key(key)
        elif isinstance(message, Direct):
            self._key(message.key)
        elif isinstance(message, Ack):
            self._kept(node, message)

    def _body(self, message: Post) -> None:
        body = (message.nonce, message.ct)
        assert self.bodies.setdefault(message.outer, body) == body, "two bodies under one outer"
        commitment = Outer.parse(message.outer).commitment
        assert self.commitments.setdefault(commitment, message.ct) == message.ct, "one key for two plaintexts"
        self._fresh(message.nonce, message.ct)

    def _key(self, key: bytes) -> None:
        sealed = RatchetMessage.parse(key)
        position = (sealed.sid, sealed.dh, sealed.n)
        assert self.positions.setdefault(position, key) == key, "a ratchet position was used twice"
        self._fresh(sealed.nonce, sealed.sealed)

    def _fresh(self, nonce: bytes, sealed: bytes) -> None:
        assert self.nonces.setdefault(nonce, sealed) == sealed, "a nonce was used twice"

    @staticmethod
    def _listed(node: Node, devices: Any) -> None:
        """Nothing is sealed for a device that the newest list held here does not name."""

        def unlisted(tx: Any) -> list[DeviceId]:
            turn = Turn(tx, node.me, 0, node.random)
            found = []
            for device in map(DeviceId, devices):
                account = account_of(turn, device)
                if account is None or newest_list(turn, account).content.entry(device) is None:
                    found.append(device)
            return found

        assert node.look(unlisted) == [], "a key for a device that was removed"

    @staticmethod
    def _kept(node: Node, message: Ack) -> None:
        delivered = {each.outer[59:75]: each for each in node.delivered if isinstance(each, Deliver)}
        for item in message.ok:
            if node.storage.get(("seen", bytes(item.id))) is not None:
                continue
            assert item.entry is None, "acknowledged, and not kept"
            held = delivered.get(bytes(item.id))
            assert held is None or not held.seq, "acknowledged, and not kept"

    # --- showing ------------------------------------------------------------------------------------------------------

    def forget(self, node: Node) -> None:
        """Its vault is an older one: what it showed since is shown again."""
        device = node.me.device
        self._looked.pop(device, None)
        self._shown.pop(device, None)
        for noted in (self._places, self._arrived):  # what had arrived comes as history, when it comes
            for key in [key for key in noted if key[0] == device]:
                del noted[key]

    def arrives(self, node: Node, messages: Sequence[Any]) -> None:
        """Before a device takes messages in."""
        for message in messages:
            if isinstance(message, Deliver):
                self._arrived.setdefault((node.me.device, message.outer[59:75]), node.relay.clock.now_ms())

    def closed(self, node: Node, messages: Sequence[Any]) -> None:
        """After they were taken in: what stays closed now may be shown later than what comes after it."""
        for message in messages:
            if isinstance(message, Deliver) and node.storage.get(("pending", message.outer[59:75])) is not None:
                self._arrived[node.me.device, message.outer[59:75]] = 0

    def shows(self, node: Node) -> None:
        """Whatever a device has shown since the last look."""
        if node.core is None:
            return
        device, events = node.me.device, node.events
        for event in events[self._looked.get(device, 0) :]:
            if isinstance(event, SecurityEvent):
                self.alarms[event.kind] += 1
            if isinstance(event, MessageReceived):
                self._shows(device, event.message, node.relay.clock.now_ms())
        self._looked[device] = len(events)

    def _shows(self, device: bytes, message: Message, now_ms: int) -> None:
        """Each message once; in its place, or after it was waited for."""
        shown = self._shown.setdefault(device, set())
        assert message.id not in shown, "shown twice"
        shown.add(message.id)
        place = (device, bytes(message.conversation))
        arrived_ms = self._arrived.get((device, bytes(message.id)))
        if arrived_ms is None or not message.seq or now_ms - arrived_ms >= HELD_MS:
            return  # history, which comes when it comes; or held for so long that nothing waits for anything any more
        assert message.seq > self._places.get(place, 0), "shown out of order"
        self._places[place] = message.seq
