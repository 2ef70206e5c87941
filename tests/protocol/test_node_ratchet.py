"""Live sessions of the Python SDK with the TypeScript SDK: handshake, loss, disorder, repetition, turns."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapport.crypto.failures import AuthenticationFailed, DuplicatePosition, TooFarAhead
from rapport.crypto.handshake import Party, PrekeyHeader, initiate, respond
from rapport.crypto.identity import (
    DeviceSecrets,
    first_list,
    new_account,
    new_last_resort,
    new_one_time,
    new_signed_prekey,
)
from rapport.crypto.primitives import kem_encapsulate
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt
from rapport_protocol.device_lists import SignedDeviceList, check_first
from rapport_protocol.ids import SessionId
from rapport_protocol.prekeys import PrekeyBundle
from tests.house.tree import ROOT

pytestmark = pytest.mark.node

PEER = ROOT / "client_sdk/web/sdk/test/crypto/ratchet-peer.ts"

NOW_MS = 1_800_000_000_000

#: A Node.js process that hangs is ended after this; all the schedules together take a few seconds.
LIMIT_S = 60

Opened = tuple[str, bytes]

#: What happens, to whom, and which of the messages it happens to.
Action = tuple[str, bool, int]


class End(Protocol):
    """One of two devices, whatever it is written in."""

    def start(self) -> tuple[bytes, bytes, bytes]:
        """Become a new device: its list, a bundle with a one-time key and one with the last-resort key."""

    def meet(self, device_list: bytes) -> None: ...

    def initiate(self, bundle: bytes) -> None: ...

    def encrypt(self, payload: bytes) -> bytes: ...

    def decrypt(self, message: bytes) -> Opened: ...


class NodeEnd:
    """The end that ratchet-peer.ts plays."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _ask(self, do: str, **fields: str) -> dict[str, str]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the Node.js peer ended"
        answered: dict[str, str] = json.loads(answer)
        return answered

    def start(self) -> tuple[bytes, bytes, bytes]:
        made = self._ask("start")
        return bytes.fromhex(made["list"]), bytes.fromhex(made["one_time"]), bytes.fromhex(made["last_resort"])

    def meet(self, device_list: bytes) -> None:
        self._ask("meet", list=device_list.hex())

    def initiate(self, bundle: bytes) -> None:
        self._ask("initiate", bundle=bundle.hex())

    def encrypt(self, payload: bytes) -> bytes:
        return bytes.fromhex(self._ask("encrypt", payload=payload.hex())["message"])

    def decrypt(self, message: bytes) -> Opened:
        answer = self._ask("decrypt", message=message.hex())
        return answer["verdict"], bytes.fromhex(answer.get("payload", ""))


class PythonEnd:
    """The end that rapport.crypto plays."""

    def start(self) -> tuple[bytes, bytes, bytes]:
        random = secrets.token_bytes
        account, aik = new_account(random)
        self._own = DeviceSecrets.make(account, aik.public, random, NOW_MS)
        self._signed, spk = new_signed_prekey(self._own, random, 1, NOW_MS)
        ((self._one_time, otk),) = new_one_time(self._own, random, 2, 1, NOW_MS)
        self._last_resort, pqlr = new_last_resort(self._own, random, 3, NOW_MS)
        self._sessions: dict[SessionId, Session] = {}
        device_list = first_list(self._own, aik, NOW_MS).encoded
        one_time, last_resort = (PrekeyBundle(self._own.device, spk, key).encode() for key in (otk, pqlr))
        return device_list, one_time, last_resort

    def meet(self, device_list: bytes) -> None:
        signed = SignedDeviceList.parse(device_list)
        check_first(signed)
        self._peer = Party.of(signed.content.aik, signed.content.account, signed.content.devices[0])

    def initiate(self, bundle: bytes) -> None:
        parsed = PrekeyBundle.parse(bundle)
        kem = kem_encapsulate(parsed.key.kem)
        self._keep(initiate(self._own, self._peer, parsed, kem, secrets.token_bytes, NOW_MS))

    def encrypt(self, payload: bytes) -> bytes:
        session, message = encrypt(self._sessions[self._current], payload, secrets.token_bytes)
        self._keep(session)
        return message

    def decrypt(self, message: bytes) -> Opened:
        parsed = RatchetMessage.parse(message)
        try:
            before = self._sessions.get(parsed.sid) or self._answer(parsed)
            session, payload = decrypt(before, parsed, NOW_MS)
        except DuplicatePosition:
            return "duplicate", b""
        except TooFarAhead:
            return "too_far", b""
        except AuthenticationFailed:
            return "authentication", b""
        self._keep(session)
        return "ok", payload

    def _answer(self, message: RatchetMessage) -> Session:
        header = PrekeyHeader.parse(message.prekey_header)
        key = self._last_resort if header.last_resort else self._one_time
        assert (header.spk_id, header.key_id) == (self._signed.id, key.id)
        return respond(self._own, self._peer, message, self._signed, key, NOW_MS)

    def _keep(self, session: Session) -> None:
        self._current = session.sid
        self._sessions[session.sid] = session


class Direction:
    """The messages from one end to the other."""

    def __init__(self, sender: End, receiver: End) -> None:
        self.sender = sender
        self.receiver = receiver
        self.waiting: list[tuple[bytes, bytes]] = []
        self.opened: list[bytes] = []

    def send(self) -> None:
        payload = secrets.token_bytes(96)
        self.waiting.append((self.sender.encrypt(payload), payload))

    def deliver(self, pick: int) -> None:
        message, payload = self.waiting.pop(pick % len(self.waiting))
        assert self.receiver.decrypt(message) == ("ok", payload)
        self.opened.append(message)

    def lose(self, pick: int) -> None:
        del self.waiting[pick % len(self.waiting)]

    def repeat(self, pick: int) -> None:
        assert self.receiver.decrypt(self.opened[pick % len(self.opened)]) == ("duplicate", b"")

    def damage(self, pick: int) -> None:
        message, _ = self.waiting[pick % len(self.waiting)]
        damaged = message[:-1] + bytes([message[-1] ^ 1])
        assert self.receiver.decrypt(damaged) == ("authentication", b"")

    def act(self, kind: str, pick: int) -> None:
        """Do what `kind` says, if there is a message to do it to."""
        if kind == "send":
            self.send()
        elif self.opened if kind == "repeat" else self.waiting:
            {"deliver": self.deliver, "lose": self.lose, "repeat": self.repeat, "damage": self.damage}[kind](pick)


@pytest.fixture(scope="module")
def node_end(node_js: Path) -> Iterator[NodeEnd]:
    command = [str(node_js), str(PEER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(LIMIT_S, process.kill)
        guard.start()
        try:
            yield NodeEnd(process)
        finally:
            guard.cancel()
    assert process.returncode == 0


KINDS = ["send", "send", "send", "deliver", "deliver", "deliver", "lose", "repeat", "damage"]
ACTIONS = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans(), st.integers(0, 20)), min_size=10, max_size=60)


@pytest.mark.parametrize("initiator", ["python", "node"])
@given(actions=ACTIONS, last_resort=st.booleans())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_schedules(node_end: NodeEnd, initiator: str, actions: list[Action], last_resort: bool) -> None:
    ends: tuple[End, End] = (PythonEnd(), node_end) if initiator == "python" else (node_end, PythonEnd())
    forth, back = connect(*ends, last_resort)
    for kind, answers, pick in actions:
        if not answers:
            forth.act(kind, pick)
        elif forth.opened:
            back.act(kind, pick)
    finish(forth, back)


def connect(initiator: End, responder: End, last_resort: bool) -> tuple[Direction, Direction]:
    own_list, *_ = initiator.start()
    peer_list, *bundles = responder.start()
    initiator.meet(peer_list)
    responder.meet(own_list)
    initiator.initiate(bundles[last_resort])
    return Direction(initiator, responder), Direction(responder, initiator)


def finish(forth: Direction, back: Direction) -> None:
    """Two turns of each end, then all that waits, newest first, then everything once more."""
    for direction in (forth, back, forth, back):
        direction.send()
        direction.deliver(-1)
    for direction in (forth, back):
        while direction.waiting:
            direction.deliver(-1)
        for pick in range(len(direction.opened)):
            direction.repeat(pick)
