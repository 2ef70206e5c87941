"""ICE candidates: signals under the key of an offer or description, all of them every time, until media are connected.

Source: docs/protocol.md, chapter 8 and section 20.3.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from rapport.crypto.signals import SIGNAL_SIZES, seal_signal, signal_key
from rapport.engine.calls.call_rows import CALL_REFS, CALLS, put_call
from rapport.engine.contacts import device_party
from rapport.engine.signal_memory import SignalMemory
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import MessageId
from rapport_protocol.limits import CANDIDATES_MOST
from rapport_protocol.messages import Signal
from rapport_protocol.signed import SignalFields

__all__ = ["CANDIDATE_BYTES", "candidate_frames", "readable", "send_candidates", "signal_key_of", "take_candidates"]

CANDIDATE_BYTES: Final = 512
"""Longest text of a candidate, bytes of UTF-8: real ones have some 150."""
_MID_CHARACTERS: Final = 16
_PLAIN_BYTES: Final = SIGNAL_SIZES[-1] - 1
"""One byte of padding at least."""

Candidate = tuple[str, str]
"""The `m` line's id, and the text as the value of `a=candidate`."""


def readable(content: dict[str, Any]) -> tuple[Candidate, ...] | None:
    """The candidates that a signal holds; None if it is not as the rules say: it is dropped whole."""
    given = content.get("candidates")
    if not isinstance(given, list) or len(given) > CANDIDATES_MOST or not isinstance(content.get("last"), bool):
        return None
    found = []
    for each in given:
        if not isinstance(each, list) or len(each) != 2 or not all(isinstance(part, str) for part in each):
            return None
        mid, text = each
        if len(mid) > _MID_CHARACTERS or len(text.encode()) > CANDIDATE_BYTES:
            return None
        found.append((mid, text))
    return tuple(found)


def candidate_frames(call: MessageId, candidates: Sequence[Candidate], *, last: bool) -> list[dict[str, Any]]:
    """The maps of the signals that say them all: one, or several where they do not fit. At most 200 are said.

    A text above 512 bytes is left out, as its reader would drop what it comes with.
    """
    sayable = [pair for pair in candidates if len(pair[1].encode()) <= CANDIDATE_BYTES][:CANDIDATES_MOST]
    frames: list[dict[str, Any]] = []
    part: list[list[str]] = []
    for mid, text in sayable:
        if part and len(_encoded(call, [*part, [mid, text]])) > _PLAIN_BYTES:
            frames.append(_map(call, part, last=False))
            part = []
        part.append([mid, text])
    return [*frames, _map(call, part, last=last)]


def _map(call: MessageId, part: list[list[str]], *, last: bool) -> dict[str, Any]:
    return {"type": "ice", "call": call, "candidates": part, "last": last}


def _encoded(call: MessageId, part: list[list[str]]) -> bytes:
    return msgspec.msgpack.encode(_map(call, part, last=False))


def send_candidates(
    turn: Turn, memory: SignalMemory, call: MessageId, candidates: Sequence[Candidate], *, last: bool
) -> None:
    """Says our candidates so far, under the key of our latest description. Nothing before that has left."""
    row = CALLS.get(turn.tx, call)
    conversation = CONVERSATIONS.get(turn.tx, row.conv) if row is not None else None
    if row is None or conversation is None or row.ours is None or not row.ours.key or not row.is_live:
        return
    ours, me = row.ours, turn.me
    for content in candidate_frames(call, candidates, last=last):
        fields = SignalFields(row.conv, conversation.epoch, me.account, me.device, ours.id, memory.sent, turn.now_ms)
        memory.sent += 1
        key = signal_key(ours.key, ours.id, me.device)
        turn.send(Signal(seal_signal(fields, key, content, turn.random, SIGNAL_SIZES[1])))


def signal_key_of(turn: Turn, fields: SignalFields) -> bytes | None:
    """K of the offer or description that a signal names, if it is of the sending device and its call lives."""
    named = CALL_REFS.get(turn.tx, fields.ref)
    row = CALLS.get(turn.tx, named.call) if named is not None else None
    if row is None or row.conv != fields.conv or not row.is_live:
        return None
    side = next((each for each in (row.theirs, *row.held) if each is not None and each.id == fields.ref), None)
    return side.key if side is not None and side.device == fields.device else None


def take_candidates(turn: Turn, fields: SignalFields, content: dict[str, Any]) -> None:
    """Candidates of the other side's device: kept with the description that they belong to."""
    named = CALL_REFS.get(turn.tx, fields.ref)
    row = CALLS.get(turn.tx, named.call) if named is not None else None
    found = readable(content)
    known = device_party(turn, fields.account, fields.device)
    if row is None or found is None or known is None or not known.listed or content.get("call") != row.call:
        return
    if row.theirs is not None and row.theirs.id == fields.ref:
        fresh = tuple(pair for pair in found if pair not in row.theirs.candidates)
        if fresh:
            all_of_them = (*row.theirs.candidates, *fresh)[:CANDIDATES_MOST]
            put_call(turn, replace(row, theirs=replace(row.theirs, candidates=all_of_them)))
        return
    held = tuple(
        replace(side, candidates=tuple(dict.fromkeys((*side.candidates, *found)))[:CANDIDATES_MOST])
        if side.id == fields.ref
        else side
        for side in row.held
    )
    if held != row.held:
        put_call(turn, replace(row, held=held))
