"""Frames for a server that is to choke on them: golden ones, real ones, and what chance makes of both."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from rapport_protocol.codec import CLIENT_CODECS, SERVER_CODECS, UnknownTag
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.limits import FRAME_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import (
    Ack,
    AckItem,
    Auth,
    ClientMessage,
    Direct,
    Pong,
    Post,
    Present,
    Renew,
    Signal,
    Void,
    Watch,
)
from rapport_protocol.signed import MessageClass, MessageFlags, Outer, SignalFields

__all__ = ["FATAL", "Attacker", "Mutator", "fatal"]

PROTOCOL = Path(__file__).resolve().parents[2] / "client_sdk" / "protocol"
FATAL = frozenset({1002, 1007, 1009, 4003, 4500, 4501})
"""Close codes with which a server may answer nonsense."""


def fatal(frame: bytes, subprotocol: str) -> bool:
    """Whether the contract ends a signed-in connection for this payload."""
    try:
        if subprotocol == SUBPROTOCOL_JSON:
            frame.decode()
        return isinstance(SERVER_CODECS[subprotocol].decode(frame), Auth) or len(frame) > FRAME_BYTES
    except UnknownTag:
        return len(frame) > FRAME_BYTES
    except (FormatError, UnicodeDecodeError):
        return True


class Attacker(msgspec.Struct, frozen=True):
    """Who speaks, where, and to whom: what makes a nonsensical frame get far."""

    account: AccountId
    device: DeviceId
    conv: ConversationId
    others: Sequence[DeviceId]


def _golden() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """(MessagePack frames, JSON frames, byte strings) of the scenarios and vectors."""
    packed, texts, pieces = [], [], []
    messages = json.loads((PROTOCOL / "scenarios" / "messages.json").read_bytes())
    for conversation in messages["conversations"]:
        for step in conversation["steps"]:
            packed.append(bytes.fromhex(step["msgpack"]))
            if "json" in step:
                texts.append(json.dumps(step["json"]).encode())
    for path in sorted((PROTOCOL / "vectors").glob("*.json")):
        pieces += list(_byte_strings(json.loads(path.read_bytes())))
    return packed, texts, [piece for piece in pieces if len(piece) <= 4096]


def _byte_strings(value: object) -> Iterator[bytes]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _byte_strings(item)
    elif isinstance(value, str) and len(value) >= 16 and len(value) % 2 == 0:
        try:
            yield bytes.fromhex(value)
        except ValueError:
            return


class Mutator:
    """An endless supply of payloads, the same for the same seed (but for time stamps)."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._packed, self._texts, self._pieces = _golden()
        self._makers: list[Callable[[Attacker], ClientMessage]] = [
            *(self._post,) * 3, self._direct, self._signal, self._ack, self._void, self._renew, self._pong,
            self._present, self._watch,
        ]  # fmt: skip
        self._changes: list[Callable[[bytearray], None]] = [
            self._flip, self._flip, self._overwrite, self._insert, self._cut, self._repeat, self._splice, self._length,
        ]  # fmt: skip

    def payload(self, attacker: Attacker, subprotocol: str) -> bytes:
        """One message, more or less."""
        kind = self._chance.random()
        if kind < 0.35:
            return CLIENT_CODECS[subprotocol].encode(self._chance.choice(self._makers)(attacker))
        if kind < 0.45:
            return self._made_up(subprotocol)
        if kind < 0.55:
            return self._noise(subprotocol)
        whole = self._golden_frame(subprotocol) if kind < 0.8 else CLIENT_CODECS[subprotocol].encode(
            self._chance.choice(self._makers)(attacker)
        )  # fmt: skip
        changed = bytearray(whole)
        for _ in range(self._chance.choice((0, 1, 1, 1, 2, 3, 8))):
            self._chance.choice(self._changes)(changed)
        return bytes(changed)

    def _bytes(self, size: int) -> bytes:
        return self._chance.randbytes(size)

    def _golden_frame(self, subprotocol: str) -> bytes:
        return self._chance.choice(self._packed if subprotocol == SUBPROTOCOL_MSGPACK else self._texts)

    def _made_up(self, subprotocol: str) -> bytes:
        """A message of a later version: an unknown tag, with anything after it."""
        fields = [self._anything(0) for _ in range(self._chance.randrange(6))]
        if subprotocol == SUBPROTOCOL_JSON:
            return json.dumps(["later", fields]).encode()
        return msgspec.msgpack.encode(["later", *fields])

    def _anything(self, depth: int) -> object:
        match self._chance.randrange(7 if depth < 4 else 4):
            case 0:
                return self._chance.choice((0, -1, 2**53, 2**63 - 1, -(2**63), 2**64 - 1))
            case 1:
                return self._chance.choice((None, True, 1e308, -0.0))
            case 2:
                return "\ud7ff\U0010ffff" * self._chance.randrange(20)
            case 3:
                return self._chance.choice(self._pieces).hex()
            case 4:
                return {str(number): self._anything(depth + 1) for number in range(self._chance.randrange(4))}
            case _:
                return [self._anything(depth + 1) for _ in range(self._chance.randrange(4))]

    def _noise(self, subprotocol: str) -> bytes:
        match self._chance.randrange(50):
            case 0:
                return b"\x92\xa5later\xc6" + (FRAME_BYTES - 12).to_bytes(4, "big") + bytes(FRAME_BYTES - 12)
            case number if number < 15:
                return self._bytes(self._chance.randrange(64))
            case number if number < 25:
                deep = b"[" if subprotocol == SUBPROTOCOL_JSON else b"\x91"
                return deep * self._chance.choice((10, 100, 1000, 1000, 20_000))
            case number if number < 40:
                return b"\x92\xa5later" + self._chance.choice((b"\xdd", b"\xdf", b"\xc6", b"\xdb")) + b"\xff" * 4
            case _:
                return b'["later",' + b"9" * self._chance.choice((20, 5000)) + b"]"

    # --- changes ----------------------------------------------------------------------------------------------------

    def _at(self, frame: bytearray) -> int:
        return self._chance.randrange(len(frame) + 1)

    def _flip(self, frame: bytearray) -> None:
        if frame:
            frame[self._chance.randrange(len(frame))] ^= 1 << self._chance.randrange(8)

    def _overwrite(self, frame: bytearray) -> None:
        at, piece = self._at(frame), self._chance.choice(self._pieces)
        frame[at : at + len(piece)] = piece[: len(frame) - at]

    def _insert(self, frame: bytearray) -> None:
        at = self._at(frame)
        frame[at:at] = self._bytes(self._chance.randrange(1, 9))

    def _cut(self, frame: bytearray) -> None:
        at = self._at(frame)
        del frame[at : at + self._chance.choice((1, 2, 16, len(frame)))]

    def _repeat(self, frame: bytearray) -> None:
        at = self._at(frame)
        frame[at:at] = frame[at : at + self._chance.randrange(64)]

    def _splice(self, frame: bytearray) -> None:
        at, other = self._at(frame), self._chance.choice(self._packed)
        frame[at:] = other[self._chance.randrange(len(other) + 1) :]

    def _length(self, frame: bytearray) -> None:
        """A length or count that is not so."""
        at = self._at(frame)
        frame[at : at + 1] = bytes((self._chance.choice((0x9F, 0xDC, 0xDD, 0xC4, 0xC5, 0xC6, 0xD9, 0xFF)),))

    # --- messages ---------------------------------------------------------------------------------------------------

    def _outer(self, attacker: Attacker, kind: MessageClass) -> bytes:
        now = time.time_ns() // 1_000_000
        chance = self._chance
        return Outer(
            attacker.conv if chance.random() < 0.8 else ConversationId(self._bytes(16)),
            chance.choice((3, 3, 3, 2, 0, 2**32)),
            attacker.account if chance.random() < 0.95 else AccountId(self._bytes(16)),
            attacker.device,
            MessageId(self._bytes(16) if chance.random() < 0.9 else bytes(16)),
            chance.choice((now, now, now + 10**7, 0, 2**53 - 1)),
            kind if chance.random() < 0.9 else MessageClass.DIRECT,
            MessageFlags(chance.choice((0, 0, 0, 1))),
            chance.choice((0, now + 60_000, now + 60_000, 2**53 - 1)),
            self._bytes(32),
        ).encode()

    def _post(self, attacker: Attacker) -> ClientMessage:
        chance = self._chance
        devices = sorted([*attacker.others, *(self._bytes(16) for _ in range(chance.choice((0, 0, 0, 1, 3))))])
        if chance.random() < 0.1:
            chance.shuffle(devices)
        keys = b"".join(b"\x01" + self._bytes(194) for _ in devices)
        entry = self._bytes(149) if chance.random() < 0.1 else None
        return Post(
            self._outer(attacker, MessageClass.POST),
            self._bytes(24 if chance.random() < 0.9 else 12),
            self._bytes(chance.choice((16, 272, 1040))),
            b"".join(devices),
            keys if chance.random() < 0.9 else keys[: chance.randrange(len(keys) + 1)],
            entry,
        )

    def _direct(self, attacker: Attacker) -> ClientMessage:
        target = self._chance.choice(attacker.others) if self._chance.random() < 0.5 else DeviceId(self._bytes(16))
        key = self._chance.choice((b"\x01" + self._bytes(194), b"\x02" + self._bytes(1323), self._bytes(195)))
        return Direct(self._outer(attacker, MessageClass.DIRECT), b"", b"", target, key)

    def _signal(self, attacker: Attacker) -> ClientMessage:
        now = time.time_ns() // 1_000_000
        ref, counter = MessageId(self._bytes(16)), self._chance.randrange(2**32)
        fields = SignalFields(attacker.conv, 3, attacker.account, attacker.device, ref, counter, now)
        sealed = self._bytes(24 + 256 + 16 if self._chance.random() < 0.8 else self._chance.randrange(300))
        return Signal(fields.encode() + sealed)

    def _ack(self, _: Attacker) -> ClientMessage:
        ids = [ItemId(self._bytes(16)) for _ in range(self._chance.choice((0, 1, 1, 2, 256)))]
        entry = self._bytes(149) if self._chance.random() < 0.2 else None
        return Ack([AckItem(item, entry) for item in ids[::2]], ids[1::2])

    def _void(self, attacker: Attacker) -> ClientMessage:
        conv = attacker.conv if self._chance.random() < 0.8 else ConversationId(self._bytes(16))
        return Void(conv, MessageId(bytes(16) if self._chance.random() < 0.5 else self._bytes(16)))

    def _renew(self, _: Attacker) -> ClientMessage:
        return Renew() if self._chance.random() < 0.2 else Pong()

    def _present(self, _: Attacker) -> ClientMessage:
        return Present(self._chance.choice(("online", "away", "hidden", "offline", "", "\U0010ffff")))

    def _watch(self, attacker: Attacker) -> ClientMessage:
        strangers = self._bytes(self._chance.choice((0, 0, 15, 16, 17, 160, 16_000)))
        return Watch(attacker.account * self._chance.randrange(3) + strangers[:15_952])

    def _pong(self, _: Attacker) -> ClientMessage:
        return Pong()
