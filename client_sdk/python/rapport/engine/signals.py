"""Typing, and the way of call candidates.

Sealed under the key of an earlier post, never stored, never a step of any ratchet, dropped when anything is odd.

Source: docs/protocol.md, chapter 8.
"""

from rapport.crypto.signals import open_signal, seal_signal, signal_key, signal_rises
from rapport.engine.calls.call_signals import signal_key_of, take_candidates
from rapport.engine.contacts import device_party
from rapport.engine.signal_memory import FLOORS_MOST, SignalMemory
from rapport.engine.vault.records import CHAINS, CONVERSATIONS
from rapport.engine.vault.turn import Turn
from rapport.events import Typing
from rapport_protocol.errors import FormatError, RemoteError
from rapport_protocol.ids import ConversationId
from rapport_protocol.messages import Signal
from rapport_protocol.signed import SignalFields

__all__ = ["FLOORS_MOST", "SignalMemory", "send_typing", "take_signal"]


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
    """Shows that somebody writes, or takes candidates in, if the signal is under a key of that device and fresh.

    That key is of the device's newest post, or of its offer or description in a call that lives.
    """
    try:
        fields = SignalFields.parse(signal.frame)
        conversation = CONVERSATIONS.get(turn.tx, fields.conv)
        chain = CHAINS.get(turn.tx, fields.conv + fields.device)
        of_call = signal_key_of(turn, fields)
        key = of_call or (chain.key if chain is not None and chain.last == fields.ref else b"")
        if conversation is None or not key:
            return
        if not signal_rises(fields, memory.last(fields), conversation.epoch, turn.now_ms):
            return
        content = open_signal(signal.frame, signal_key(key, fields.ref, fields.device))
    except (RemoteError, FormatError):
        return
    memory.note(fields)
    if content["type"] == "ice" and of_call:
        take_candidates(turn, fields, content)
        return
    known = device_party(turn, fields.account, fields.device)
    if content["type"] == "typing" and known is not None and known.listed and fields.account != turn.me.account:
        turn.show(Typing(fields.conv, fields.account))
