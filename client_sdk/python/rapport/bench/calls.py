"""`rapport bench calls`.

Set-ups of calls per core-second of the server process (all threads, pinned to one core), many pairs at the same time.

One set-up is what two devices say until media flow, and the end: an offer with 3 KiB (a post), `ringing`, `accept` with
an answer of 3 KiB (a direct), 10 candidates each way (signals of 1,148 bytes), `connected`, and `hangup` with a sealed
direct: 23 relayed frames. Posts and directs are acknowledged; every step is answered and told to the other side. Each
device checks what comes, in its order: one frame missing, twice or out of order ends the run. Afterwards the calls are
counted in the store.
"""

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypedDict

from msgspec import Struct

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.figures import Spread, spread
from rapport.bench.load import Figures, drive, write
from rapport.bench.practice import BenchPractice, sign_in
from rapport.bench.servers import CORES, RATES_RAISED, served
from rapport.bench.wire import Peer, ack_frame, client_frame
from rapport.crypto.identity import DeviceSecrets
from rapport.crypto.invites import OwnerLink
from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.membership_entries import MemberRole
from rapport_protocol.messages import (
    Accepted,
    Call,
    CallState,
    ClientMessage,
    Deliver,
    Delivered,
    Direct,
    Ping,
    Pong,
    Post,
    ServerMessage,
    Signal,
)
from rapport_protocol.signed import MessageClass, MessageFlags, Outer, SignalFields

__all__ = ["BAR_PER_CORE_S", "FRAMES", "CallSetups", "CallsReport", "Settings", "calls"]

BAR_PER_CORE_S: Final = 800
"""Set-ups per core-second that are asked for; the goal is 1,500."""
CANDIDATES: Final = 10
"""Signals each way."""
FRAMES: Final = 3 + 2 * CANDIDATES
"""Relayed frames of one set-up."""
GENERATOR_MOST: Final = 0.9
"""A generator busier than this measures itself: the run is void."""
DESCRIPTION_CT: Final = 3 * 1024 + 16
"""Sealed bytes of an offer and an answer."""
HANGUP_CT: Final = 256 + 16
SIGNAL_SEALED: Final = 24 + 1024 + 16
"""Nonce, 1,024 padded bytes and tag of candidates."""

_CODEC: Final = CLIENT_CODECS[SUBPROTOCOL_MSGPACK]
_CALL: Final = b"call" * 4
_DIRECT: Final = b"drct" * 4
_SIGNAL: Final = b"\x92\xa6signal"


class Settings(Struct, frozen=True):
    """How much load. pairs: that call each other at the same time, over and over."""

    pairs: int = 100
    rounds: int = 3
    warm_up_s: float = 1.5
    measure_s: float = 4.0


class CallsReport(TypedDict):
    """What the command prints."""

    setups_per_core_s: Spread
    cpu_ms_per_setup: Spread
    setups_per_s: Spread
    frames_per_setup: int
    calls_in_store: int
    bar: int
    kept: bool
    generator_cpu: float
    void: bool
    settings: dict[str, float]


def calls(settings: Settings, tell: Callable[[str], None]) -> CallsReport:
    """Runs all rounds, each on a server of its own. `tell` gets progress lines.

    Raises RuntimeError when a frame is missing, comes twice or out of order, or a call is not in the store.
    """
    os.sched_setaffinity(0, {CORES[-1]})
    found: list[Figures] = []
    stored = 0
    for number in range(settings.rounds):
        figures, kept = _measure(settings)
        found.append(figures)
        stored += kept
        tell(f"round {number + 1} of {settings.rounds}, set-ups per core-second: {figures.per_core_s:,.0f}")
    rates = [figures.per_core_s for figures in found]
    busiest = max(figures.generator_cpu for figures in found)
    typical = spread(rates)
    return {
        "setups_per_core_s": typical,
        "cpu_ms_per_setup": spread([1000 / rate for rate in rates]),
        "setups_per_s": spread([figures.done / figures.wall_s for figures in found]),
        "frames_per_setup": FRAMES,
        "calls_in_store": stored,
        "bar": BAR_PER_CORE_S,
        "kept": typical["median"] >= BAR_PER_CORE_S,
        "generator_cpu": round(busiest, 3),
        "void": busiest > GENERATOR_MOST,
        "settings": {"pairs": settings.pairs, "measure_s": settings.measure_s},
    }


def _measure(settings: Settings) -> tuple[Figures, int]:
    quiet = {**RATES_RAISED, "log.level": "error"}
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as name:
        folder = Path(name)
        with served(folder, quiet, core=CORES[0]) as server:
            script = CallSetups(asyncio.run(_pairs(server.origin, server.link, settings.pairs)))
            try:
                figures = drive(script, server.pid, settings.warm_up_s, settings.measure_s)
            finally:
                for peer in script.peers():
                    peer.socket.close()
        return figures, _stored(folder / "rapport.db", script.done)


def _stored(path: Path, done: int) -> int:
    """How many calls stand in the store as hung up after they were connected. RuntimeError when some are missing."""
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute(
            "SELECT count(*) FROM call WHERE reason = 'hung_up' AND connected_ms >= accepted_ms AND accepted_ms > 0"
        ).fetchone()
    finally:
        connection.close()
    if count < done:
        raise RuntimeError(f"{done} calls were set up and ended, the store has {count}")
    return int(count)


# --- the script -------------------------------------------------------------------------------------------------------


class _Frame:
    """A client's frame in which the id of a call, and of the direct that comes with it, change each time."""

    def __init__(self, message: ClientMessage) -> None:
        whole = client_frame(_CODEC.encode(message))
        self._parts = [part.split(_DIRECT) for part in whole.split(_CALL)]

    def of(self, call: bytes, direct: bytes = b"") -> bytes:
        """The frame with these ids."""
        return call.join([direct.join(part) for part in self._parts])


class _Expected:
    """What one device must still see of the set-up that runs. A deliver may come before or after a state."""

    __slots__ = ("candidates", "delivers", "heard", "states")

    def __init__(self, states: list[tuple[str, int]], delivers: list[bytes], candidates: list[bytes]) -> None:
        self.states = states
        """Phase and version, in this order; ("", 0) is the acceptance of the offer."""
        self.delivers = delivers
        """Ids, in this order."""
        self.candidates = candidates
        """Payloads, in this order."""
        self.heard = 0
        """How many of those have come."""

    def candidate(self, payload: bytes) -> bool:
        """The next candidate; whether it was the last one."""
        _require(self.heard < CANDIDATES and payload == self.candidates[self.heard])
        self.heard += 1
        return self.heard == CANDIDATES

    def deliver(self, message: Deliver) -> bytes:
        """The next message; its id."""
        name = Outer.parse(message.outer).id
        _require(bool(self.delivers) and name == self.delivers.pop(0))
        return name

    def state(self, phase: str, version: int) -> None:
        """The next state."""
        if not self.states or self.states[0] != (phase, version):
            raise RuntimeError(f"{phase} {version} came where {self.states[:1]} was to come")
        del self.states[0]

    @property
    def nothing(self) -> bool:
        """Whether all of it has come."""
        return not self.states and not self.delivers and self.heard == CANDIDATES


class _Pair:
    """A therapist's device that calls a client's, over and over. What both hear is checked here."""

    def __init__(self, origin: str, conv: ConversationId, caller: DeviceSecrets, callee: DeviceSecrets) -> None:
        self.caller, self.callee = sign_in(origin, caller)[0], sign_in(origin, callee)[0]
        for peer in (self.caller, self.callee):
            while not peer.next_payload().startswith(b"\x91\xa9caught_up"):
                pass
        self._offer = _Frame(_offer(conv, caller, callee))
        self._ringing = _Frame(Call(MessageId(_CALL), CallStep.RINGING.value))
        self._accept = _Frame(_step(CallStep.ACCEPT, conv, callee, caller, DESCRIPTION_CT))
        self._connected = _Frame(Call(MessageId(_CALL), CallStep.CONNECTED.value))
        self._hangup = _Frame(_step(CallStep.HANGUP, conv, caller, callee, HANGUP_CT))
        self._of_caller = [_CODEC.encode(_candidate(conv, caller, count)) for count in range(CANDIDATES)]
        self._of_callee = [_CODEC.encode(_candidate(conv, callee, count)) for count in range(CANDIDATES)]

    def begin(self) -> bytes:
        """A new call: what the calling device says first."""
        self._call, answer, end = (os.urandom(16) for _ in range(3))
        self._answer, self._end = answer, end
        states = [("ringing", 1), ("ringing", 2), ("accepted", 3), ("connected", 4), ("ended", 5)]
        self._here = _Expected([("", 0), *states], [answer], self._of_callee)
        self._there = _Expected(states, [self._call, end], self._of_caller)
        return self._offer.of(self._call)

    @property
    def is_over(self) -> bool:
        """Both have seen everything."""
        return self._here.nothing and self._there.nothing

    def to_caller(self, payload: bytes) -> bytes:
        """What the calling device says to this."""
        if payload.startswith(_SIGNAL):
            if not self._here.candidate(payload):
                return b""
            return self._connected.of(self._call) + self._hangup.of(self._call, self._end)
        message = _CODEC.decode(payload)
        if isinstance(message, Deliver):
            return ack_frame([self._here.deliver(message)], None) + b"".join(map(client_frame, self._of_caller))
        return self._other(message, self._here)

    def to_callee(self, payload: bytes) -> bytes:
        """What the device that is called says to this."""
        if payload.startswith(_SIGNAL):
            self._there.candidate(payload)
            return b""
        message = _CODEC.decode(payload)
        if isinstance(message, Deliver):
            name = self._there.deliver(message)
            if name == self._end:
                return ack_frame([name], None)
            steps = self._ringing.of(self._call) + self._accept.of(self._call, self._answer)
            return ack_frame([name], None) + steps
        said = self._other(message, self._there)
        if isinstance(message, CallState) and message.phase == "accepted":
            return b"".join(map(client_frame, self._of_callee))
        return said

    def _other(self, message: ServerMessage, expected: _Expected) -> bytes:
        if isinstance(message, CallState):
            _require(message.call == self._call)
            expected.state(message.phase, message.version)
        elif isinstance(message, Accepted):
            _require(message.id == self._call)
            expected.state("", 0)
        elif isinstance(message, Ping):
            return client_frame(_CODEC.encode(Pong()))
        elif not isinstance(message, Delivered):
            code = getattr(message, "code", "")
            raise RuntimeError(f"the server said {type(message).__name__} {code}")
        return b""


class CallSetups:
    """All pairs; one set-up after the other in each."""

    def __init__(self, pairs: list[_Pair]) -> None:
        self.done = 0
        """Set-ups that both sides have seen the end of."""
        self._pairs = pairs
        self._of = {id(peer): pair for pair in pairs for peer in (pair.caller, pair.callee)}

    def peers(self) -> list[Peer]:
        """Both devices of all pairs."""
        return [peer for pair in self._pairs for peer in (pair.caller, pair.callee)]

    def first(self, peer: Peer) -> bytes:
        """An offer on the calling device."""
        pair = self._of[id(peer)]
        return pair.begin() if peer is pair.caller else b""

    def answer(self, peer: Peer, payloads: list[bytes]) -> bytes:
        """What the device says to these. RuntimeError when something was missing, came twice or out of order."""
        pair = self._of[id(peer)]
        said = b"".join(map(pair.to_caller if peer is pair.caller else pair.to_callee, payloads))
        if pair.is_over:
            self.done += 1
            if peer is pair.caller:
                return said + pair.begin()
            write(pair.caller, pair.begin())
        return said


def _require(it_is: bool) -> None:
    if not it_is:
        raise RuntimeError("a frame was missing, came twice or out of order")


# --- what is said -----------------------------------------------------------------------------------------------------


async def _pairs(origin: str, link: OwnerLink, count: int) -> list[_Pair]:
    """So many conversations of a therapist and a client, one device each."""
    api = HttpApi(ServerAddress.parse(origin))
    try:
        practice = BenchPractice(origin, api)
        owner = await practice.owner(link)
        people = []
        for _ in range(count):
            therapist = await practice.join(await practice.invite(owner, MemberRole.OWNER, MemberRole.THERAPIST))
            invite = await practice.invite(therapist, MemberRole.THERAPIST, MemberRole.CLIENT)
            people.append((invite.conv, therapist, await practice.join(invite)))
        # All of them before the first signs in: nobody is silent for as long as this may take.
        return [_Pair(origin, conv, caller.devices[0], callee.devices[0]) for conv, caller, callee in people]
    finally:
        await api.close()


def _outer(sender: DeviceSecrets, conv: ConversationId, name: bytes, kind: MessageClass, flags: MessageFlags) -> bytes:
    now = _now_ms()
    fields = (MessageId(name), now, kind, flags, now + 60_000, os.urandom(32))
    return Outer(conv, 3, sender.account, sender.device, *fields).encode()


def _offer(conv: ConversationId, caller: DeviceSecrets, callee: DeviceSecrets) -> Post:
    outer = _outer(caller, conv, _CALL, MessageClass.POST, MessageFlags.RING)
    return Post(outer, os.urandom(24), os.urandom(DESCRIPTION_CT), callee.device, _sealed_key())


def _step(step: CallStep, conv: ConversationId, sender: DeviceSecrets, to: DeviceSecrets, ct_bytes: int) -> Call:
    outer = _outer(sender, conv, _DIRECT, MessageClass.DIRECT, MessageFlags.NONE)
    direct = Direct(outer, os.urandom(24), os.urandom(ct_bytes), to.device, _sealed_key())
    return Call(MessageId(_CALL), step.value, direct)


def _candidate(conv: ConversationId, sender: DeviceSecrets, count: int) -> Signal:
    fields = SignalFields(conv, 3, sender.account, sender.device, MessageId(os.urandom(16)), count, _now_ms())
    return Signal(fields.encode() + os.urandom(SIGNAL_SEALED))


def _sealed_key() -> bytes:
    return b"\x01" + os.urandom(194)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
