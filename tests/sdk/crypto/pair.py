"""Two devices and what the cryptographic tests do with them: repeatable chance, handshakes, flipped bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from rapport.crypto.handshake import Party, PrekeyHeader, initiate, respond
from rapport.crypto.identity import (
    DeviceSecrets,
    LastResortSecret,
    OneTimeSecret,
    new_account,
    new_last_resort,
    new_one_time,
    new_signed_prekey,
)
from rapport.crypto.primitives import Random, kem_encapsulate
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.prekeys import PrekeyBundle
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

NOW = 1_800_000_000_000
DAY = 86_400_000


def chance(seed: object) -> Random:
    """Repeatable bytes; the same seed gives the same ones."""
    return random.Random(str(seed)).randbytes


def new_device(draw: Random) -> DeviceSecrets:
    account, aik = new_account(draw)
    return DeviceSecrets.make(account, aik.public, draw, NOW)


class Responder:
    """A device with prekeys, which takes first messages as a client would: by the ids in the header."""

    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.device = new_device(draw)
        self.party = Party.own(self.device)
        self.spk, self.signed = new_signed_prekey(self.device, draw, 1, NOW)
        ((self.otk, self.one_time),) = new_one_time(self.device, draw, 2, 1, NOW)
        self.pqlr, self.last_resort = new_last_resort(self.device, draw, 3, NOW)

    def bundle(self, *, last_resort: bool = False) -> PrekeyBundle:
        return PrekeyBundle(self.device.device, self.signed, self.last_resort if last_resort else self.one_time)

    def take(self, first: bytes, initiator: Party) -> tuple[Session, bytes]:
        """Start a session from a first message. KeyError if it names a key that is not there."""
        message = RatchetMessage.parse(first)
        header = PrekeyHeader.parse(message.prekey_header)
        signed = {self.spk.id: self.spk}[header.spk_id]
        keys: dict[tuple[bool, int], OneTimeSecret | LastResortSecret] = {
            (False, self.otk.id): self.otk,
            (True, self.pqlr.id): self.pqlr,
        }
        key = keys[header.last_resort, header.key_id]
        return decrypt(respond(self.device, initiator, message, signed, key, NOW), message, NOW)


@dataclass
class Ends:
    """A session between two devices; `ours` started it."""

    draw: Random
    last_resort: bool = False
    device: DeviceSecrets = field(init=False)
    responder: Responder = field(init=False)
    ours: Session = field(init=False)

    def __post_init__(self) -> None:
        self.device, self.responder = new_device(self.draw), Responder(self.draw)
        bundle = self.responder.bundle(last_resort=self.last_resort)
        kem = kem_encapsulate(bundle.key.kem)
        self.ours = initiate(self.device, self.responder.party, bundle, kem, self.draw, NOW)

    @property
    def party(self) -> Party:
        return Party.own(self.device)

    def established(self) -> tuple[Session, Session]:
        """(ours, theirs) after one message each way."""
        ours, first = encrypt(self.ours, bytes(96), self.draw)
        theirs, _ = self.responder.take(first, self.party)
        theirs, answer = encrypt(theirs, bytes(96), self.draw)
        ours, _ = decrypt(ours, RatchetMessage.parse(answer), NOW)
        return ours, theirs


def outer_of(device: DeviceSecrets, draw: Random, kind: MessageClass = MessageClass.POST) -> Outer:
    return Outer(
        conv=ConversationId(draw(16)),
        epoch=3,
        account=device.account,
        device=device.device,
        id=MessageId(draw(16)),
        ts_ms=NOW,
        kind=kind,
        flags=MessageFlags.NONE,
        act_until_ms=0,
        commitment=bytes(32),
    )


def flips(source: bytes) -> Iterator[tuple[int, bytes]]:
    """Every byte of `source` changed once, by one bit: (position, changed copy)."""
    for at in range(len(source)):
        changed = bytearray(source)
        changed[at] ^= 1 << (at % 8)
        yield at, bytes(changed)
