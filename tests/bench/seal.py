"""What sealing one message for many devices costs: prints one JSON object, milliseconds per message, crypto only.

    python tests/bench/seal.py [--devices 50] [--repeat 20]

`symmetric`: every session goes on in its chain. `turning`: every session makes a Diffie-Hellman turn.
`new_sessions`: every device needs a handshake first (bundle check included). Each figure is the median and the
range over the repetitions.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

from rapport.crypto.envelope import seal_body
from rapport.crypto.handshake import Party, initiate, respond
from rapport.crypto.identity import DeviceSecrets, new_account, new_one_time, new_signed_prekey
from rapport.crypto.primitives import kem_encapsulate
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.prekeys import PrekeyBundle
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

random = os.urandom
NOW = 1_800_000_000_000


def device() -> DeviceSecrets:
    account, aik = new_account(random)
    return DeviceSecrets.make(account, aik.public, random, NOW)


class Peer:
    """A device with a bundle, and our session with it once there is one."""

    def __init__(self) -> None:
        self.keys = device()
        self.spk, signed = new_signed_prekey(self.keys, random, 1, NOW)
        ((self.otk, one_time),) = new_one_time(self.keys, random, 1, 1, NOW)
        self.bundle = PrekeyBundle(self.keys.device, signed, one_time)
        self.party = Party.own(self.keys)

    def start(self, own: DeviceSecrets) -> Session:
        return initiate(own, self.party, self.bundle, kem_encapsulate(self.bundle.key.kem), random, NOW)

    def established(self, own: DeviceSecrets) -> tuple[Session, Session]:
        """(ours, theirs) after one message each way: ours turns at its next send."""
        ours, first = encrypt(self.start(own), bytes(96), random)
        message = RatchetMessage.parse(first)
        theirs = respond(self.keys, Party.own(own), message, self.spk, self.otk, NOW)
        theirs, _ = decrypt(theirs, message, NOW)
        theirs, answer = encrypt(theirs, bytes(96), random)
        ours, _ = decrypt(ours, RatchetMessage.parse(answer), NOW)
        return ours, theirs


def outer(own: DeviceSecrets) -> Outer:
    return Outer(
        conv=ConversationId(random(16)),
        epoch=3,
        account=own.account,
        device=own.device,
        id=MessageId(random(16)),
        ts_ms=NOW,
        kind=MessageClass.POST,
        flags=MessageFlags.NONE,
        act_until_ms=0,
        commitment=bytes(32),
    )


def measured(repeat: int, run: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of `repeat` runs, after one that does not count."""
    run()
    taken = []
    for _ in range(repeat):
        gc.collect()
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1000)
    return {
        "median_ms": round(statistics.median(taken), 3),
        "min_ms": round(min(taken), 3),
        "max_ms": round(max(taken), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    own, peers = device(), [Peer() for _ in range(options.devices)]
    turning = [peer.established(own)[0] for peer in peers]
    steady = [encrypt(session, bytes(96), random)[0] for session in turning]
    body = random(1000)

    def seal_for(sessions: list[Session]) -> None:
        payload = seal_body(outer(own), body, random).payload()
        for session in sessions:
            encrypt(session, payload, random)

    figures = {
        "devices": options.devices,
        "symmetric": measured(options.repeat, lambda: seal_for(steady)),
        "turning": measured(options.repeat, lambda: seal_for(turning)),
        "new_sessions": measured(options.repeat, lambda: seal_for([peer.start(own) for peer in peers])),
    }
    json.dump(figures, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
