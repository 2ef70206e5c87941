"""`python -m tests.chaos.fuzz --frames 1000000`: nonsense for a real server, while two people talk on it.

Mutated golden frames, well-formed frames about the wrong things, right frames in the wrong order, random bytes, broken
framing; in both subprotocols, before and after sign-in. Frames that the contract ends a connection for are sent as the
last of theirs, so that every counted frame is read. Prints one JSON object; the exit code is 0 only when the server has
logged no error, answered nothing with its own fault, grown by at most 10 MB, and the witnesses have noticed nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.practice import BenchAccount, BenchPractice, sign_in
from rapport.bench.servers import RATES_RAISED, resident_kib
from rapport.bench.wire import Peer, open_socket
from rapport.crypto.invites import OwnerLink, parse_link
from rapport.testing.history import Entry, Verdict, check
from rapport.testing.processes import ServerProcess
from rapport_protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from rapport_protocol.membership_entries import MemberRole
from rapport_protocol.messages import CloseCode
from tests.chaos.caches import fill_caches
from tests.chaos.mutations import FATAL, Attacker, Mutator, fatal
from tests.chaos.pairs import UNLIMITED, Pairs, journals
from tests.server.raw import frame

__all__ = ["Damage", "fuzz"]

MOST_GROWTH_MIB = 10.0
"""What the server may grow by, from a tenth of the way on: until then it fills its caches."""
VOLLEY = 200
"""Frames that are sent before the first answer is awaited."""
FATAL_SHARE = 0.01
"""Of all frames: each costs a connection and, mostly, a sign-in."""
ATTACKERS = 6
WITNESS_RATE = 2.0
"""Messages per second of the two who talk meanwhile: so few that an hour's one-time keys last for their renewals."""
QUIET_S = 3.0
"""Seconds they talk before the attack begins."""
_TEXT, _BINARY, _PING = 1, 2, 9


class Damage(Struct):
    """What came of it. Times in seconds; `witness` is the checker's verdict."""

    frames: int
    fatal_frames: int
    connections: int
    sign_ins: int
    seconds: float
    frames_per_s: float
    closed: dict[str, int]
    internal_errors: int
    log_errors: list[str]
    log_warnings: int
    growth_mib: float
    resident_mib: list[float]
    """At each tenth of the way."""
    witness_p99_quiet_s: float
    witness_p99_attacked_s: float
    witness: Verdict
    findings: list[str]

    @property
    def none(self) -> bool:
        """Whether the server took it well."""
        return not (
            self.findings or self.internal_errors or self.log_errors or self.growth_mib > MOST_GROWTH_MIB
        ) and bool(self.witness.flawless and self.witness.sent)


class _Stream:
    """One connection of an attacker."""

    def __init__(self, peer: Peer, subprotocol: str) -> None:
        self.peer = peer
        self.subprotocol = subprotocol
        self.marker = b""
        """Payload of the ping that followed the last volley."""


class _Attack:
    """Frames against a server, until so many were sent. Runs in a thread of its own."""

    def __init__(self, origin: str, seed: int, speakers: Sequence[tuple[BenchAccount, Attacker]]) -> None:
        self._origin = origin
        self._host, _, port = origin.removeprefix("http://").partition(":")
        self._port = int(port)
        self._speakers = speakers
        self._chance = random.Random(seed)
        self._mutator = Mutator(seed)
        self._streams: dict[int, _Stream] = {}
        self._doomed: dict[str, list[bytes]] = {SUBPROTOCOL_MSGPACK: [], SUBPROTOCOL_JSON: []}
        self.frames = self.fatal_frames = self.connections = self.sign_ins = self.internal = 0
        self.closed: Counter[str] = Counter()
        self.findings: list[str] = []

    def until(self, frames: int) -> None:
        """Goes on until so many frames were sent altogether."""
        while self.frames < frames and len(self.findings) < 20:
            number = self._chance.randrange(len(self._speakers))
            stream = self._streams.get(number)
            if stream is not None and not self._heard(stream):
                del self._streams[number]
                stream = None
            if stream is None:
                if self._chance.random() < 0.7:
                    self._unproven()
                    continue
                stream = self._streams[number] = self._signed_in(number)
            self._volley(number, stream)

    def end(self) -> None:
        """Hears everybody out."""
        for stream in self._streams.values():
            self._heard(stream)
            stream.peer.socket.close()

    def _volley(self, number: int, stream: _Stream) -> None:
        """Frames that are all survived, a ping, and sometimes one frame more that is not."""
        doomed, out = self._doomed[stream.subprotocol], list[bytes]()
        while len(out) < VOLLEY:
            payload = self._mutator.payload(self._speakers[number][1], stream.subprotocol)
            if not fatal(payload, stream.subprotocol):
                out.append(self._framed(payload, stream.subprotocol))
            elif len(doomed) < 1000:
                doomed.append(payload)
        stream.marker = os.urandom(16)
        out.append(frame(_PING, stream.marker))
        last = self._chance.random() < FATAL_SHARE * VOLLEY * 0.3
        if last:
            out.append(self._last_word(stream.subprotocol))
            self.fatal_frames += 1
        self.frames += VOLLEY + last
        with suppress(ConnectionError):
            stream.peer.socket.sendall(b"".join(out))

    def _unproven(self) -> None:
        """A connection that does not sign in, and what it says instead."""
        subprotocol = self._chance.choice((SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON))
        stream = _Stream(Peer(*open_socket(self._host, self._port, "/v1/stream", subprotocol)), subprotocol)
        self.connections += 1
        payload = self._mutator.payload(self._speakers[0][1], subprotocol)
        with suppress(ConnectionError):
            stream.peer.socket.sendall(
                self._last_word(subprotocol) if self._chance.random() < 0.5 else self._framed(payload, subprotocol)
            )
        self.frames += 1
        self.fatal_frames += 1
        stream.marker = b"never sent, so that only the end is heard"
        if self._heard(stream):
            self.findings.append("a connection went on without a sign-in")

    def _signed_in(self, number: int) -> _Stream:
        subprotocol = self._chance.choice((SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON))
        peer, _ = sign_in(self._origin, self._speakers[number][0].devices[0], subprotocol)
        peer.socket.settimeout(30)
        self.connections += 1
        self.sign_ins += 1
        return _Stream(peer, subprotocol)

    def _framed(self, payload: bytes, subprotocol: str) -> bytes:
        """A payload as WebSocket frames: mostly one, sometimes several with pings between them."""
        opcode = _TEXT if subprotocol == SUBPROTOCOL_JSON else _BINARY
        key = self._chance.randbytes(4) if self._chance.random() < 0.1 else bytes(4)
        if self._chance.random() > 0.03 or len(payload) < 2:
            return frame(opcode, payload, key=key)
        at = self._chance.randrange(len(payload))
        between = frame(_PING, key) if self._chance.random() < 0.5 else b""
        return frame(opcode, payload[:at], fin=False, key=key) + between + frame(0, payload[at:], key=key)

    def _last_word(self, subprotocol: str) -> bytes:
        """A frame that ends the connection: a payload or a framing that is not the contract's."""
        doomed, text = self._doomed[subprotocol], subprotocol == SUBPROTOCOL_JSON
        if doomed and self._chance.random() < 0.8:
            return self._framed(doomed.pop(), subprotocol)
        return self._chance.choice((
            frame(_BINARY if text else _TEXT, b"[]"), frame(_BINARY, b"x", masked=False), frame(3), frame(0, b"x"),
            frame(_BINARY, b"x", rsv=4), frame(_BINARY, b"", size=2**62), frame(_TEXT, b"\xff"),
            frame(_BINARY, b"x", fin=False) * 2, frame(8, b"\x00"), frame(_PING, bytes(126)),
            frame(_TEXT if text else _BINARY, b"x", form=8), frame(_BINARY, b"", fin=False) + frame(0, fin=False) * 100,
        ))  # fmt: skip

    def _heard(self, stream: _Stream) -> bool:
        """Reads until the ping after the last volley is answered. False: the server has closed instead."""
        if not stream.marker:
            return True
        data = b""
        try:
            while stream.marker not in data:
                more = stream.peer.socket.recv(1_000_000)
                if not more:
                    raise ConnectionError("closed by the server: nothing")
                self.internal += more.count(b"internal")
                stream.peer.payloads(more)
                data = data[-32:] + more
        except TimeoutError:
            self.findings.append("the server said nothing for 30 s")
        except ConnectionError as ended:
            self._note_end(str(ended))
        else:
            stream.marker = b""
            return True
        stream.peer.socket.close()
        return False

    def _note_end(self, words: str) -> None:
        code = words.rpartition(": ")[2]
        self.closed[code if code.isdigit() else "none"] += 1
        if code.isdigit() and int(code) not in FATAL:
            self.findings.append(f"closed with {code}")


async def fuzz(folder: Path, *, frames: int, seed: int, command: Sequence[str] | None = None) -> Damage:
    """Runs it in `folder`. command: another server than the installed one.

    Raises ProcessProblem when the server or a witness gives up.
    """
    settings = {**UNLIMITED, **RATES_RAISED, "limits.unauthenticated_per_address": "1000"}
    server = ServerProcess(folder / "server", settings, command)
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        output, _ = await (await server._spawn("init", "--practice", "--json")).communicate()
        second_link = parse_link(msgspec.json.decode(output, type=dict[str, str])["owner_link"])
        assert isinstance(second_link, OwnerLink)
        await stack.enter_async_context(server)
        await server.start()
        people = Pairs(server, folder)
        await people.gather(stack, 1, 2, owner_link)
        attack = _Attack(server.origin, seed, await _speakers(server.origin, second_link))
        async with asyncio.TaskGroup() as group:
            flows = people.flow(group, WITNESS_RATE)
            await asyncio.wait(flows.values(), timeout=QUIET_S)
            began = time.monotonic()
            resident = []
            for tenth in range(1, 11):
                await asyncio.to_thread(attack.until, frames * tenth // 10)
                resident.append(resident_kib(server.pid) / 1024)
            await asyncio.to_thread(attack.end)
            took = time.monotonic() - began
            sent = await people.halt(flows)
        await people.settle(sent)
        await server.stop()
    return _damage(attack, journals(folder), server.log.read_text(errors="replace"), resident, (began, began + took))


def _damage(
    attack: _Attack, history: list[list[Entry]], log: str, resident: list[float], when: tuple[float, float]
) -> Damage:
    lines, took = log.splitlines(), when[1] - when[0]
    return Damage(
        frames=attack.frames,
        fatal_frames=attack.fatal_frames,
        connections=attack.connections,
        sign_ins=attack.sign_ins,
        seconds=round(took, 1),
        frames_per_s=round(attack.frames / took),
        closed=dict(sorted(attack.closed.items())),
        internal_errors=attack.internal + attack.closed[str(CloseCode.INTERNAL)],
        log_errors=[line for line in lines if "[error" in line or "[critical" in line or "Traceback" in line][:20],
        log_warnings=sum("[warning" in line for line in lines),
        growth_mib=round(resident[-1] - resident[0], 2),
        resident_mib=[round(mib, 1) for mib in resident],
        witness_p99_quiet_s=_p99(history, -1.0, when[0]),
        witness_p99_attacked_s=_p99(history, *when),
        witness=check(history),
        findings=attack.findings,
    )


def _p99(history: list[list[Entry]], after: float, before: float) -> float:
    """Of the times from sending to acceptance, of what was sent in between."""
    entries = [entry for journal in history for entry in journal]
    begun = {entry.id: entry.t for entry in entries if entry.kind == "invoke" and after <= entry.t < before}
    taken = [entry.t - begun[entry.id] for entry in entries if entry.kind == "ack" and entry.id in begun]
    return round(statistics.quantiles(taken, n=100)[98], 4) if len(taken) > 1 else 0.0


async def _speakers(origin: str, link: OwnerLink) -> list[tuple[BenchAccount, Attacker]]:
    """Attackers who are members of something: each in a conversation with the owner of their practice."""
    api = HttpApi(ServerAddress.parse(origin))
    try:
        practice = BenchPractice(origin, api)
        owner = await practice.owner(link)
        await fill_caches(origin, practice, owner)
        found = []
        for _ in range(ATTACKERS):
            invite = await practice.invite(owner, MemberRole.OWNER, MemberRole.CLIENT)
            account = await practice.join(invite)
            own, other = account.devices[0], owner.devices[0].device
            found.append((account, Attacker(own.account, own.device, invite.conv, [other])))
        return found
    finally:
        await api.close()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    chosen = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="rapport-fuzz-") as folder:
        damage = asyncio.run(fuzz(Path(folder), **chosen))
    sys.stdout.write(msgspec.json.encode({**msgspec.to_builtins(damage), "seed": chosen["seed"]}).decode() + "\n")
    return 0 if damage.none else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
