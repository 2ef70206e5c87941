"""300 random schedules against the independent `doubleratchet`: sends, losses, repeats, any order, both roles.

The two speak to each other on the wire, so every byte of ours is made or read by the other.
"""

from __future__ import annotations

import os
import random
import warnings
from dataclasses import dataclass, field

import pytest

from rapport.crypto.failures import DuplicatePosition
from rapport.crypto.primitives import open_sealed, seal, x25519_public
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt, start_as_initiator, start_as_responder
from rapport_protocol.signed import label, session_id
from tests.sdk.crypto.pair import NOW, chance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import doubleratchet
    from doubleratchet.recommended import (
        HashFunction,
        diffie_hellman_ratchet_curve25519,
        kdf_hkdf,
        kdf_separate_hmacs,
    )

SCHEDULES, STEPS = 300, 40


class RootKDF(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return label("root")


class ChainKDF(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class AEAD(doubleratchet.AEAD):
    """Ours: the nonce stands in front of the sealed text and at the end of the associated data."""

    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        nonce = os.urandom(24)
        return nonce + seal(key, nonce, plaintext, associated_data + nonce)

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        return open_sealed(key, ciphertext[:24], ciphertext[24:], associated_data + ciphertext[:24])


class Ratchet(doubleratchet.DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: doubleratchet.Header) -> bytes:
        return associated_data + written(header)


def written(header: doubleratchet.Header) -> bytes:
    pn, n = header.previous_sending_chain_length, header.sending_chain_length
    return header.ratchet_pub + pn.to_bytes(4, "big") + n.to_bytes(4, "big")


@dataclass
class Oracle:
    """The other implementation, speaking our wire format."""

    session_key: bytes
    transcript: bytes
    prekey_header: bytes
    spk: bytes
    ratchet: Ratchet | None = None

    def _settings(self) -> dict[str, object]:
        return {
            "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
            "root_chain_kdf": RootKDF,
            "message_chain_kdf": ChainKDF,
            "message_chain_constant": b"\x02\x01",
            "dos_protection_threshold": 2000,
            "max_num_skipped_message_keys": 2000,
            "aead": AEAD,
            "shared_secret": self.session_key,
        }

    async def encrypt(self, payload: bytes) -> bytes:
        kind = b"\x02\x00\x01" if self.prekey_header else b"\x01\x00\x01"
        start = kind + session_id(self.transcript) + self.prekey_header
        if self.ratchet:
            message = await self.ratchet.encrypt_message(payload, self.transcript + start)
        else:
            self.ratchet, message = await Ratchet.encrypt_initial_message(
                **self._settings(),  # type: ignore[arg-type]
                recipient_ratchet_pub=x25519_public(self.spk),
                message=payload,
                associated_data=self.transcript + start,
            )
        return start + written(message.header) + message.ciphertext

    async def decrypt(self, wire: bytes) -> bytes:
        read = RatchetMessage.parse(wire)
        header = doubleratchet.Header(
            ratchet_pub=read.dh, previous_sending_chain_length=read.pn, sending_chain_length=read.n
        )
        message = doubleratchet.EncryptedMessage(header=header, ciphertext=read.nonce + read.sealed)
        start = self.transcript + wire[: 19 + len(read.prekey_header)]
        if self.ratchet:
            payload = await self.ratchet.decrypt_message(message, start)
        else:
            self.ratchet, payload = await Ratchet.decrypt_initial_message(
                **self._settings(),  # type: ignore[arg-type]
                own_ratchet_priv=self.spk,
                message=message,
                associated_data=start,
            )
        self.prekey_header = b""
        return payload


@dataclass
class Schedule:
    """One random conversation between our session and the oracle."""

    seed: str
    on_the_way: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=lambda: {"ours": [], "theirs": []})
    delivered: dict[str, list[bytes]] = field(default_factory=lambda: {"ours": [], "theirs": []})

    def __post_init__(self) -> None:
        self.draw, self.choice = chance(self.seed), random.Random(self.seed)
        key, hashed, header, spk = self.draw(32), self.draw(32), self.draw(1129), self.draw(32)
        self.we_start = self.choice.random() < 0.5
        sid = session_id(hashed)
        self.ours: Session = (
            start_as_initiator(sid, hashed, key, header, x25519_public(spk), NOW)
            if self.we_start
            else start_as_responder(sid, hashed, key, spk, NOW)
        )
        self.theirs = Oracle(key, hashed, b"" if self.we_start else header, spk)

    def can_send(self, who: str) -> bool:
        return (who == "ours") is self.we_start or bool(self.delivered[who])

    async def send(self, who: str) -> None:
        payload = self.draw(96)
        if who == "ours":
            self.ours, wire = encrypt(self.ours, payload, self.draw)
        else:
            wire = await self.theirs.encrypt(payload)
        self.on_the_way["theirs" if who == "ours" else "ours"].append((wire, payload))

    async def deliver(self, who: str) -> None:
        """Any message on the way; one in eight is lost instead."""
        waiting = self.on_the_way[who]
        wire, payload = waiting.pop(self.choice.randrange(len(waiting)))
        if self.choice.random() < 0.125:
            return
        if who == "ours":
            self.ours, found = decrypt(self.ours, RatchetMessage.parse(wire), NOW)
        else:
            found = await self.theirs.decrypt(wire)
        assert found == payload
        self.delivered[who].append(wire)

    async def repeat(self, who: str) -> None:
        """A message that was delivered before."""
        wire = self.choice.choice(self.delivered[who])
        if who == "ours":
            before = self.ours.encode()
            with pytest.raises(DuplicatePosition):
                decrypt(self.ours, RatchetMessage.parse(wire), NOW)
            assert self.ours.encode() == before
        else:
            with pytest.raises(Exception):  # noqa: B017 - the oracle calls some of them forged
                await self.theirs.decrypt(wire)

    async def run(self) -> None:
        for _ in range(STEPS):
            moves = [(self.send, who) for who in ("ours", "theirs") if self.can_send(who)]
            moves += [(self.deliver, who) for who in ("ours", "theirs") if self.on_the_way[who]] * 2
            moves += [(self.repeat, who) for who in ("ours", "theirs") if self.delivered[who]]
            move, who = self.choice.choice(moves)
            await move(who)


async def test_random_schedules_agree_with_doubleratchet() -> None:
    run = os.urandom(4).hex()
    turns = delivered = 0
    for at in range(SCHEDULES):
        schedule = Schedule(f"{run}/{at}")
        try:
            await schedule.run()
        except Exception as error:
            raise AssertionError(f"schedule {schedule.seed}") from error
        turns += len(schedule.ours.retired)
        delivered += sum(map(len, schedule.delivered.values()))
    assert delivered > SCHEDULES * STEPS / 5, "too little arrives"
    assert turns > SCHEDULES / 2, "the schedules hardly ever turn: they would prove little"
