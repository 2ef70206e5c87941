"""Typing.

Sealed under the key of an earlier post, never stored, never a step of any ratchet, dropped when anything is odd.

Source: docs/protocol.md, chapter 8.
"""

from collections import OrderedDict
from typing import Final

from rapport.crypto.signals import open_signal, seal_signal, signal_key, signal_rises
from rapport.engine.contacts import device_party
from rapport.engine.records import CHAINS, CONVERSATIONS
from rapport.engine.turn import Turn
from rapport.events import Typing
from rapport_protocol.errors import FormatError, RemoteError
from rapport_protocol.ids import ConversationId, DeviceId, MessageId
from rapport_protocol.messages import Signal
from rapport_protocol.signed import SignalFields

__all__ = ["FLOORS_MOST", "SignalMemory", "send_typing", "take_signal"]

FLOORS_MOST: Final = 4_096
"""Devices and posts whose last signal is remembered; the longest unused is forgotten."""


class SignalMemory:
    """What a process remembers of signals: its own counter, and the newest (ts, ctr) per device and post."""

    __slots__ = ("_floors", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._floors: OrderedDict[tuple[DeviceId, MessageId], tuple[int, int]] = OrderedDict()

    def last(self, fields: SignalFields) -> tuple[int, int] | None:
        """The newest that was taken of this device and post."""
        return self._floors.get((fields.device, fields.ref))

    def note(self, fields: SignalFields) -> None:
        """This one was taken: nothing older will be."""
        self._floors[fields.device, fields.ref] = (fields.ts_ms, fields.ctr)
        self._floors.move_to_end((fields.device, fields.ref))
        if len(self._floors) > FLOORS_MOST:
            self._floors.popitem(last=False)


def send_typing(turn: Turn, memory: SignalMemory, conv: ConversationId) -> None:
    """Tells connected members that we are writing.

    A device that has not posted here has no key to say it with: silence.
    """
    conversation = CONVERSATIONS.get(turn.tx, conv)
    own = CHAINS.get(turn.tx, conv + turn.me.device)
    if conversation is None or own is None or not own.key:  # no key once that post has expired
        return
    fields = SignalFields(conv, conversation.epoch, turn.me.account, turn.me.device, own.last, memory.sent, turn.now_ms)
    memory.sent += 1
    key = signal_key(own.key, own.last, turn.me.device)
    turn.send(Signal(seal_signal(fields, key, {"type": "typing"}, turn.random)))


def take_signal(turn: Turn, memory: SignalMemory, signal: Signal) -> None:
    """Shows that somebody writes, if the signal is under the key of that device's newest post, current and fresh."""
    try:
        fields = SignalFields.parse(signal.frame)
        conversation = CONVERSATIONS.get(turn.tx, fields.conv)
        chain = CHAINS.get(turn.tx, fields.conv + fields.device)
        if conversation is None or chain is None or chain.last != fields.ref or not chain.key:
            return
        if not signal_rises(fields, memory.last(fields), conversation.epoch, turn.now_ms):
            return
        content = open_signal(signal.frame, signal_key(chain.key, fields.ref, fields.device))
    except (RemoteError, FormatError):
        return
    memory.note(fields)
    known = device_party(turn, fields.account, fields.device)
    if content["type"] == "typing" and known is not None and known.listed and fields.account != turn.me.account:
        turn.show(Typing(fields.conv, fields.account))
