"""The bus over Redis: one inbox channel per node, one round trip per batch of hints.

One task does everything that is said to Redis, in rounds: what has changed about this node, payloads whose receivers
were found in the round before, and the question where the devices of the next hints are connected. While a round is on
its way the next one fills, so that a busy node sends few large ones.

Source: docs/nodes.md.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from rapport_protocol.ids import ID_BYTES, DeviceId, split_ids
from rapport_server.adapters.redis.frames import PAYLOAD_BYTES, Foreign, NodeId, Opener, Sealer, bus_key, encoded
from rapport_server.adapters.redis.membership import HEARTBEAT_S, LEASE_MS, Membership
from rapport_server.adapters.redis.outbox import Outbox, Waiting, routed
from rapport_server.adapters.redis.servers import Answer, Lost, Refused, Request, Servers, check
from rapport_server.adapters.redis.urls import parse
from rapport_server.hints import Hint, Replaced, ToAll, narrowed, wakes
from rapport_server.ports import Bus, BusCounts

__all__ = ["Pace", "RedisBus"]

_log = structlog.get_logger("rapport.bus")

_START_S: Final = 4.0
"""Seconds that a start waits for Redis: one attempt, with its time-outs. It goes on without."""
_CLOSE_S: Final = 2.0
"""Seconds for the last hints and the good-bye. What is not said, the others find out when the lease lapses."""
_HEAD_ROOM: Final = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things happen that nobody asks for; tests are in more of a hurry."""

    heartbeat_s: float = HEARTBEAT_S
    lease_ms: int = LEASE_MS
    confirm_s: float = 5.0
    """Between two questions whether Redis can still be heard; each has as long to be answered."""
    sweep_s: tuple[float, float] = (30.0, 60.0)
    """Between two looks into the store while there are other nodes: hints may be lost without a sign."""
    degraded_s: tuple[float, float] = (3.0, 5.0)
    """The same while no hints come at all: how long a message between two nodes then takes."""
    retry_s: tuple[float, float] = (0.1, 3.0)
    """Longest pause before the first and any later attempt to reach Redis; the pause itself is random below it."""
    spacing_s: float = 0.004
    """Shortest time between two rounds that look devices up. A hint on its own leaves at once; a busy node sends its
    hints in batches, because a round trip costs as much of a processor as twenty hints in it."""
    complain_s: float = 3.0
    """Shortest time between two requests to the other nodes to look into the store."""


class _Payload(NamedTuple):
    """A sealed payload for a node."""

    receiver: NodeId
    sealed: bytes
    hints: int


class RedisBus:
    """Bus port over Redis. Everything here happens in one event loop; nothing that services call waits.

    url, namespace: of the configuration. seed: gives the store's server seed at the start. Raises
    ConfigurationProblem for a URL that cannot be used.
    """

    def __init__(self, url: str, namespace: str, seed: Callable[[], Awaitable[bytes]], pace: Pace = Pace()) -> None:
        self._target = parse(url)
        self._namespace = namespace
        self._seed = seed
        self._pace = pace
        self.membership = Membership(namespace, NodeId(os.urandom(16)), self.entries_key, pace.lease_ms)
        """This node among the others."""
        self._counts: Counter[str] = Counter()
        self._on_hint: Callable[[Hint], None] = lambda _: None
        self._on_gap: Callable[[], None] = lambda: None
        self._here: set[DeviceId] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._servers: Servers | None = None
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._published: list[Hint] = []
        self._outbox = Outbox()
        self._ready: list[_Payload] = []
        self._wake = asyncio.Event()
        self._first = asyncio.Event()
        self._beat_due = False
        self._looked = 0.0
        self._broken: str | None = None
        self._closing = False
        self._complaint: float | None = None
        self._complained = 0.0
        self._degraded: str | None = "Redis has not been asked yet"
        self._gap_timer: asyncio.TimerHandle | None = None
        self.membership.on_met = self._ask_to_look

    # --- the port -----------------------------------------------------------------------------------------------------

    def subscribe(self, on_hint: Callable[[Hint], None], on_gap: Callable[[], None]) -> None:
        """See Bus.subscribe."""
        self._on_hint = on_hint
        self._on_gap = on_gap
        self.membership.on_gone = on_gap  # it may have died with hints unsaid

    def publish(self, *hints: Hint) -> None:
        """See Bus.publish."""
        if self._loop is None or self._closing or not hints:
            return
        if not self._published:
            self._loop.call_soon(self._turn)
        self._published += hints

    def attach(self, device: DeviceId) -> None:
        """See Bus.attach."""
        self._here.add(device)
        self.membership.entries.connect(device)
        self._wake.set()

    def detach(self, device: DeviceId) -> None:
        """See Bus.detach."""
        self._here.discard(device)
        self.membership.entries.disconnect(device)
        self._wake.set()

    @property
    def degraded(self) -> str | None:
        """See Bus.degraded."""
        return None if self._degraded is None else f"{self._degraded}; messages between nodes take some seconds"

    @property
    def counted(self) -> BusCounts:
        """See Bus.counted."""
        return BusCounts(**self._counts, others=len(self.membership.others))

    async def start(self) -> None:
        """See Bus.start."""
        self._loop = asyncio.get_running_loop()
        key = bus_key(await self._seed())
        self._sealer = Sealer(key, self.membership.me)
        self._opener = Opener(key, self.membership.me)
        self._arm_gaps()
        self._task = asyncio.create_task(self._run(), name="redis bus")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_START_S):
                    await self._first.wait()
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """See Bus.close."""
        task, self._task = self._task, None
        if task is None:
            return
        self._turn()
        self._closing = True
        if self._gap_timer is not None:
            self._gap_timer.cancel()
        self._wake.set()
        if self._servers is None:
            task.cancel()
        _, late = await asyncio.wait([task], timeout=_CLOSE_S)
        if late:
            task.cancel()
            await asyncio.wait([task])

    # --- for the roster -----------------------------------------------------------------------------------------------

    def entries_key(self, node: NodeId) -> bytes:
        """Name of a node's hash. Braces: all of a node belongs to one slot of a Cluster."""
        return f"{self._namespace}:here:{{{node.hex()}}}".encode()

    def told(self) -> None:
        """This node's entries have changed."""
        self._wake.set()

    async def ask(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Asks Redis. Raises Lost or Refused."""
        if self._servers is None:
            raise Lost("Redis is not connected")
        return check(await self._servers.ask(requests))

    # --- hints that are published here --------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Sorts what was published in one turn: hints for devices here are handed over, the others queue."""
        hints, self._published = self._published, []
        for hint in hints:
            if isinstance(hint, ToAll):
                self._send(hint, None)
                continue
            if len(hint.devices) == ID_BYTES and hint.devices not in self._here:  # the usual case
                self._send(hint, [DeviceId(hint.devices)])
                continue
            devices = [DeviceId(device) for device in split_ids(hint.devices)]
            away = [device for device in devices if device not in self._here]
            if len(away) < len(devices):
                mine = narrowed(hint, self._here.__contains__)
                hint = narrowed(hint, lambda device: device not in self._here) or hint
                if mine is not None:
                    self._on_hint(mine)
            if away:
                self._send(hint, away)

    def _send(self, hint: Hint, devices: Sequence[DeviceId] | None) -> None:
        if self._servers is None:
            self._counts["dropped"] += 1
        elif not self.membership.others:
            return
        elif self._outbox.add(hint, devices):
            self._wake.set()
        else:
            self._counts["dropped"] += 1
            self._complain()

    def _complain(self) -> None:
        """Has the other nodes look into the store, because hints for them were dropped; not more often than allowed."""
        assert self._loop is not None  # noqa: S101 - started
        if self._complaint is None:
            self._complaint = max(self._loop.time(), self._complained + self._pace.complain_s)
            self._loop.call_at(self._complaint, self._complain_now)

    def _complain_now(self) -> None:
        assert self._loop is not None  # noqa: S101 - started
        self._complaint, self._complained = None, self._loop.time()
        for node in self.membership.others:
            self._ask_to_look(node)

    def _ask_to_look(self, node: NodeId) -> None:
        """An empty payload: the other node's `on_gap`.

        Also for every node that this one comes to know of: until now, nothing that was committed here was announced
        there.
        """
        if self._sealer is not None and self._servers is not None:
            self._ready += (_Payload(node, sealed, 0) for sealed in self._sealer.seal(node, ()))
            self._wake.set()

    # --- the task that talks to Redis ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 - started
        attempt = 0
        while True:
            begun = self._loop.time()
            try:
                await self._session()
            except Lost as problem:
                why = str(problem)
            except Refused as problem:
                why = f"Redis refuses a command ({problem})"
            except Exception as problem:  # a fault of ours must not end the node, whose store is fine
                _log.exception("bus failed", error=type(problem).__name__)
                why = "the bus has failed"
            else:
                return
            if self._closing:
                return
            # A Redis that lets nodes in and fails them at once must not be asked without a pause.
            attempt = 0 if self._loop.time() - begun > self._pace.heartbeat_s else attempt + 1
            self._degrade(why)
            first, longest = self._pace.retry_s
            await asyncio.sleep(random.uniform(0, min(longest, first * 2 ** min(attempt, 16))))  # noqa: S311 - no secret

    async def _session(self) -> None:
        """From a connection to its loss. Raises Lost or Refused; returns once closed."""
        assert self._loop is not None  # noqa: S101 - started
        self._broken = None
        servers = Servers(self._target, self._receive, self._lose)
        confirming: asyncio.Task[None] | None = None
        beat: asyncio.TimerHandle | None = None
        try:
            await servers.open(self._inbox(self.membership.me))
            self._servers = servers
            await self.membership.join(servers)
            self._degrade("Redis has no memory left" if self.membership.starved else None)
            self._on_gap()
            confirming = asyncio.create_task(self._confirm(servers), name="redis servers")
            beat = self._loop.call_later(self._pace.heartbeat_s, self._on_beat_due)
            while not self._closing:
                await self._wake.wait()
                self._wake.clear()
                if self._broken is not None:
                    raise Lost(self._broken)
                await self._rounds(servers)
                if self._beat_due:
                    self._beat_due = False
                    await self.membership.beat(servers)
                    self._degrade("Redis has no memory left" if self.membership.starved else None)
                    beat = self._loop.call_later(self._pace.heartbeat_s, self._on_beat_due)
                    self._wake.set()  # rounds may have been left for it
            self._beat_due = False
            await self._rounds(servers)
            await self.membership.leave(servers)
        finally:
            self._servers = None
            self._beat_due = False
            self._counts["dropped"] += self._outbox.clear() + sum(payload.hints for payload in self._ready)
            self._ready.clear()
            if beat is not None:
                beat.cancel()
            if confirming is not None:
                confirming.cancel()
                await asyncio.gather(confirming, return_exceptions=True)
            await servers.close()

    async def _confirm(self, servers: Servers) -> None:
        """Asks from time to time whether the inbox can be heard and the servers are the right ones.

        Not with the heartbeat, which Sentinels that do not answer must not delay.
        """
        while True:
            await asyncio.sleep(self._pace.confirm_s)
            try:
                await servers.confirm()
            except Lost as problem:
                self._lose(str(problem))
                return

    def _lose(self, why: str) -> None:
        self._broken = self._broken or why
        self._wake.set()

    def _on_beat_due(self) -> None:
        self._beat_due = True
        self._wake.set()

    def _degrade(self, why: str | None) -> None:
        """Sets or, with None, ends the state of being degraded."""
        before, self._degraded = self._degraded, why
        if why != before:
            if why is not None:
                _log.warning("bus degraded", why=why)
            elif before is not None:
                _log.info("bus works")
        if (why is None) != (before is None):
            self._arm_gaps()
        self._first.set()

    # --- rounds -------------------------------------------------------------------------------------------------------

    async def _rounds(self, servers: Servers) -> None:
        """Rounds until nothing is left to say, or a heartbeat is due."""
        assert self._loop is not None  # noqa: S101 - started
        entries = self.membership.entries
        while self._ready or self._outbox or (entries.changed and not self.membership.starved):
            if self._outbox:
                early_s = self._looked + self._pace.spacing_s - self._loop.time()
                if early_s > 0:
                    await asyncio.sleep(early_s)
                self._looked = self._loop.time()
            await self._round(servers)
            if self._beat_due:
                return

    async def _round(self, servers: Servers) -> None:
        membership = self.membership
        arrived = [] if membership.starved else membership.entries.arrived()
        changes = [] if membership.starved else membership.say_changes()
        payloads, self._ready = self._ready, []
        taken, others = self._outbox.take(), [*membership.others]
        wanted = list(dict.fromkeys([*arrived, *(device for each in taken for device in each.devices or ())]))
        requests = [*changes]
        requests += (servers.publishing(self._inbox(to), sealed) for to, sealed, _ in payloads)
        if wanted:
            requests += (Request(key := self.entries_key(node), ("HMGET", key, *wanted)) for node in others)
        try:
            answers = await servers.ask(requests)
            membership.took(answers[: len(changes)])
            self._count(payloads, check(answers[len(changes) : len(changes) + len(payloads)]))
            found = _found(wanted, others, check(answers[len(changes) + len(payloads) :]))
        except BaseException:
            self._counts["dropped"] += len(taken) + sum(payload.hints for payload in payloads)
            membership.entries.arrived_again(arrived)
            raise
        self._route(taken, arrived, found, others)
        if membership.starved:
            membership.entries.arrived_again(arrived)
            self._degrade("Redis has no memory left")
        elif arrived:
            for wake in wakes([device for device in arrived if device in self._here]):
                self._on_hint(wake)

    def _count(self, payloads: Sequence[_Payload], receivers: Sequence[Answer]) -> None:
        for payload, heard in zip(payloads, receivers, strict=True):
            # A node that is not subscribed at this moment looks into the store as soon as it is.
            self._counts["published" if heard else "dropped"] += payload.hints

    def _route(
        self,
        taken: Sequence[Waiting],
        arrived: Sequence[DeviceId],
        found: dict[DeviceId, list[NodeId]],
        others: Sequence[NodeId],
    ) -> None:
        """Makes the payloads of the next round: hints for whoever has their devices."""
        assert self._sealer is not None  # noqa: S101 - started
        routes = routed(taken, found, others)
        for device in arrived:
            if device in self._here:
                for node in found.get(device, ()):
                    routes.setdefault(node, []).append(Replaced(device))
        for node, hints in routes.items():
            parts = [part for part in map(encoded, hints) if len(part) <= PAYLOAD_BYTES - _HEAD_ROOM]
            self._counts["dropped"] += len(hints) - len(parts)
            left = len(parts)
            for sealed in self._sealer.seal(node, parts):
                self._ready.append(_Payload(node, sealed, left))
                left = 0

    def _inbox(self, node: NodeId) -> bytes:
        return f"{self._namespace}:inbox:{{{node.hex()}}}".encode()

    # --- what other nodes say -----------------------------------------------------------------------------------------

    def _receive(self, payload: bytes) -> None:
        assert self._opener is not None  # noqa: S101 - started
        try:
            sender, hints = self._opener.open(payload)
        except Foreign:
            self._counts["rejected"] += 1
            return
        self.membership.meet(sender)
        if not hints:
            self._on_gap()
        self._counts["received"] += len(hints)
        try:
            for hint in hints:
                mine = hint if isinstance(hint, ToAll) else narrowed(hint, self._here.__contains__)
                if mine is not None:
                    self._on_hint(mine)
        except Exception as problem:  # a node of another making must not cost the connection
            _log.exception("hint not taken", error=type(problem).__name__)

    # --- looks into the store -----------------------------------------------------------------------------------------

    def _arm_gaps(self) -> None:
        assert self._loop is not None  # noqa: S101 - started
        if self._gap_timer is not None:
            self._gap_timer.cancel()
        between = self._pace.sweep_s if self._degraded is None else self._pace.degraded_s
        self._gap_timer = self._loop.call_later(random.uniform(*between), self._on_gap_due)  # noqa: S311 - no secret

    def _on_gap_due(self) -> None:
        if self._degraded is not None or self.membership.others:
            self._on_gap()
        self._arm_gaps()


def _found(
    wanted: Sequence[DeviceId], others: Sequence[NodeId], answers: Sequence[Answer]
) -> dict[DeviceId, list[NodeId]]:
    """At which nodes each device is connected."""
    found: dict[DeviceId, list[NodeId]] = {}
    for node, values in zip(others, answers, strict=False):  # nothing wanted, nothing answered
        for device, value in zip(wanted, values, strict=True):
            if value is not None:
                found.setdefault(device, []).append(node)
    return found


def _satisfies(bus: RedisBus) -> Bus:
    return bus
