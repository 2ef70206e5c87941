"""`rapport bench seal`: what sealing one message for many devices costs, cryptography only, without commit and network.

symmetric: every session goes on in its chain. turning: every session makes a Diffie-Hellman turn. new_sessions: every
device needs a handshake first, its bundle's signatures checked.
"""

import gc
import os
import time
from collections.abc import Callable
from typing import Final, TypedDict

from rapport.bench.figures import Spread, spread
from rapport.crypto.envelope import seal_body
from rapport.crypto.handshake import Party, initiate, respond
from rapport.crypto.identity import DeviceSecrets, new_account, new_one_time, new_signed_prekey
from rapport.crypto.primitives import kem_encapsulate
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.prekeys import PrekeyBundle
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

__all__ = ["SealReport", "seal"]

SYMMETRIC_MS: Final = 5.0
TURNING_MS: Final = 20.0
NEW_SESSIONS_MS: Final = 100.0
"""What one message for 50 devices may take, milliseconds: a person who sends must not notice."""

_NOW_MS: Final = 1_800_000_000_000
_PAYLOAD: Final = bytes(96)


class SealReport(TypedDict):
    """What the command prints. Milliseconds per message; kept: every median is within its bar (for 50 devices)."""

    devices: int
    symmetric_ms: Spread
    turning_ms: Spread
    new_sessions_ms: Spread
    kept: bool


def seal(devices: int = 50, repeat: int = 20) -> SealReport:
    """Measures; a few seconds."""
    own, peers = _device(), [_Peer() for _ in range(devices)]
    turning = [peer.established(own) for peer in peers]
    steady = [encrypt(session, _PAYLOAD, os.urandom)[0] for session in turning]
    body = os.urandom(1000)

    def seal_for(sessions: list[Session]) -> None:
        payload = seal_body(_outer(own), body, os.urandom).payload()
        for session in sessions:
            encrypt(session, payload, os.urandom)

    symmetric = _measured(repeat, lambda: seal_for(steady))
    turned = _measured(repeat, lambda: seal_for(turning))
    new = _measured(repeat, lambda: seal_for([peer.start(own) for peer in peers]))
    kept = symmetric["median"] <= SYMMETRIC_MS and turned["median"] <= TURNING_MS and new["median"] <= NEW_SESSIONS_MS
    return {"devices": devices, "symmetric_ms": symmetric, "turning_ms": turned, "new_sessions_ms": new, "kept": kept}


def _device() -> DeviceSecrets:
    account, aik = new_account(os.urandom)
    return DeviceSecrets.make(account, aik.public, os.urandom, _NOW_MS)


class _Peer:
    """A device with a bundle, and our session with it once there is one."""

    def __init__(self) -> None:
        self._keys = _device()
        self._spk, signed = new_signed_prekey(self._keys, os.urandom, 1, _NOW_MS)
        ((self._otk, one_time),) = new_one_time(self._keys, os.urandom, 1, 1, _NOW_MS)
        self._bundle = PrekeyBundle(self._keys.device, signed, one_time)
        self._party = Party.own(self._keys)

    def start(self, own: DeviceSecrets) -> Session:
        """A fresh session of ours with it."""
        kem = kem_encapsulate(self._bundle.key.kem)
        return initiate(own, self._party, self._bundle, kem, os.urandom, _NOW_MS)

    def established(self, own: DeviceSecrets) -> Session:
        """Our session after one message each way: it turns at its next send."""
        ours, first = encrypt(self.start(own), _PAYLOAD, os.urandom)
        message = RatchetMessage.parse(first)
        theirs = respond(self._keys, Party.own(own), message, self._spk, self._otk, _NOW_MS)
        theirs, _ = decrypt(theirs, message, _NOW_MS)
        theirs, answer = encrypt(theirs, _PAYLOAD, os.urandom)
        return decrypt(ours, RatchetMessage.parse(answer), _NOW_MS)[0]


def _outer(own: DeviceSecrets) -> Outer:
    return Outer(
        conv=ConversationId(os.urandom(16)),
        epoch=3,
        account=own.account,
        device=own.device,
        id=MessageId(os.urandom(16)),
        ts_ms=_NOW_MS,
        kind=MessageClass.POST,
        flags=MessageFlags.NONE,
        act_until_ms=0,
        commitment=bytes(32),
    )


def _measured(repeat: int, run: Callable[[], object]) -> Spread:
    """Milliseconds of `repeat` runs, after one that does not count."""
    run()
    taken = []
    for _ in range(repeat):
        gc.collect()
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1000)
    return spread(taken)
