"""Random lives of calls, and what must be so in each of them.

    python -m tests.calls.schedules --schedules 10000 --seed 1

Two people with one to three devices each call each other once or twice, answer, refuse, hang up or do nothing, while
the network loses hints and connections, repeats and reorders frames, nodes and programs are killed, timers are late.
Prints how often everything happened as JSON. What is wrong ends the run with exit code 1 and the schedule's name, which
`--only` plays again.

- At most one device answers a call, and the server names that one.
- Nothing rings without the server's word, nor once an end, an acceptance or the end of its time is known here.
- When a call stops to ring, every device is silent 2 s later if its hint arrives, 5 s if it is lost, and 8 s if the
  connection is too.
- In the end every call is answered, declined or missed on every device; one that nobody has answered or declined is
  missed on all devices of the callee. Nothing rings, and no media run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random
from typing import Final

from rapport_protocol.calls.arbiter import KEPT_MS, LEFT_MS, RING_MS, CallPhase, CallRecord, CallStep, EndReason, Leg
from rapport_protocol.calls.device_events import MediaConnected, MediaFailed, MediaLost
from rapport_protocol.calls.moves import DevicePhase, Outcome
from rapport_protocol.ids import DeviceId, MessageId
from tests.calls.phone import Person, Phone, Rung, Wrong
from tests.calls.world import PEOPLE, Clock, Link, Server, id16

__all__ = ["Schedule", "main", "run"]

TROUBLE_MS: Final = 70_000
"""Until then things happen and go wrong."""
END_MS: Final = 260_000
"""By then everything has ended: the longest set-up, what follows a lost leg, and the last words."""
HINTED_MS: Final = 2_000
LATE_MS: Final = 6_000
"""How late a timer may be."""
LOST_MS: Final = 5_000


class Schedule:
    """One life, made from its name alone."""

    def __init__(self, name: str, counts: Counter[str]) -> None:
        self.random, self.counts = Random(name), counts
        self.clock = Clock()
        self.start_ms = self.clock.now_ms
        self.calm = self.random.random() < 0.2
        hints_lost = 0.0 if self.calm else self.random.choice((0, 0.3, 1))
        self.server = Server(self.clock, self.random, counts, hints_lost, calm=self.calm)
        self.server.on_change = self._changed
        self.phones = [
            self._phone(person, number) for person in (0, 1) for number in range(self.random.choice((1, 2, 2, 3)))
        ]
        self.stops: dict[MessageId, tuple[int, dict[DeviceId, bool]]] = {}
        self.accepted_on: dict[MessageId, DeviceId] = {}
        self.legs: dict[MessageId, set[DeviceId]] = {}

    def _phone(self, person: int, number: int) -> Phone:
        device = DeviceId(id16(f"{'ab'[person]}{number}"))
        link = Link(self.server, PEOPLE[person], device)
        self.server.links.append(link)
        does = self.random.choice(("nothing", "nothing", "accept", "accept", "accept", "decline", "busy"))
        phone = Phone(self.server, link, self.random, self.counts, Person(does, self.random.randint(50, 20_000)))
        phone.on_media = self._media
        return phone

    def _changed(self, before: CallRecord, after: CallRecord, heard: dict[DeviceId, bool]) -> None:
        """The server has committed a change; when it stops to ring, and who was told of it."""
        if after.phase is not CallPhase.RINGING and after.id not in self.stops:
            self.stops[after.id] = self.clock.now_ms, heard
        if any(leg.heard_ms + LEFT_MS + LATE_MS < self.clock.now_ms for leg in _legs(before)):
            raise Wrong("a call went on although one side had left")
        if after.callee_leg is not None:
            self.accepted_on.setdefault(after.id, after.callee_leg.device)
            self.legs.setdefault(after.id, set()).add(after.callee_leg.device)

    # --- what happens -------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """All of it. Wrong says what was broken."""
        for phone in self.phones:
            if self.calm or self.random.random() < 0.8:
                phone.connect(self._node())
            else:
                self._in(0, 40_000, partial(self._connect, phone))
        self._calls()
        for _ in range(0 if self.calm else self.random.randint(0, 6)):
            self._in(0, TROUBLE_MS, self._trouble)
        for _ in range(self.random.choice((0, 0, 1, 2))):
            phone = self.random.choice(self.phones)
            act = self.random.choice(("hang_up", "hang_up", "migrate", "accept", "decline"))
            self._in(1_000, TROUBLE_MS, partial(phone.does, act))
        self.clock.run(self.start_ms + TROUBLE_MS)
        for phone in self.phones:
            if not phone.alive:
                phone.start(self._node())
            phone.connect(self._node())
        for phone in self.phones:
            self._in(20_000, 60_000, partial(phone.does, "hang_up"))
        self.clock.run(self.start_ms + END_MS)
        self._judge()

    def _connect(self, phone: Phone) -> None:
        phone.connect(self._node())

    def _in(self, least_ms: int, most_ms: int, act: Callable[[], None]) -> None:
        self.clock.at(self.clock.now_ms + self.random.randint(least_ms, most_ms), act)

    def _node(self) -> int:
        return self.random.randint(0, 1)

    def _calls(self) -> None:
        """One call, and often a second: back (glare), again, or by another device."""
        caller = self.random.choice(self.phones)
        begins = self.random.randint(500, 8_000)
        self.clock.at(self.start_ms + begins, lambda: self._call(caller))
        if self.random.random() < 0.5:
            other = self.random.choice(self.phones)
            gap = self.random.choice((1, 30, 100, 400, 3_000, 15_000, 50_000))
            self.clock.at(self.start_ms + begins + gap, lambda: self._call(other))

    def _call(self, phone: Phone) -> None:
        if phone.alive:
            call = MessageId(self.random.randbytes(16))
            phone.call(call, described=self.random.random() < 0.5)
            if self.random.random() < 0.3:
                self._in(200, 40_000, lambda: phone.does("hang_up"))

    def _trouble(self) -> None:
        """Something goes wrong, and mends itself."""
        phone = self.random.choice(self.phones)
        lasts_ms = self.random.choice((500, 5_000, 20_000, 40_000))
        what = self.random.choice(("cut", "cut", "kill", "node", "media"))
        self.counts[f"fault_{what}"] += 1
        match what:
            case "cut":
                phone.cut(self.random.randint(0, 5_000))
                self.clock.at(self.clock.now_ms + lasts_ms, lambda: phone.connect(self._node()))
            case "kill" if phone.alive:
                phone.kill()
                self.clock.at(self.clock.now_ms + lasts_ms, lambda: phone.start(self._node()))
            case "node":
                node = self._node()
                gone = [each for each in self.phones if each.link.is_up and each.link.node == node]
                self.server.die(node)
                for each in gone:
                    each.cut(0)
                    self._in(100, 3_000, partial(each.connect, 1 - node))
            case _:
                for call in list(phone.media):
                    phone.flows(call, self.random.choice((MediaLost(), MediaFailed())))
                    self._in(200, 20_000, partial(self._media, call))

    def _media(self, call: MessageId) -> None:
        """Media flow once both devices in the call have taken the other's description."""
        record = self.server.calls.get(call)
        if record is None or record.callee_leg is None:
            return
        legs = {record.caller_leg.device: record.callee_leg.device, record.callee_leg.device: record.caller_leg.device}
        pair = [phone for phone in self.phones if phone.device in legs and call in phone.media]
        if len(pair) == 2 and all(phone.took.get(call) == legs[phone.device] for phone in pair):
            event = MediaConnected() if self.random.random() < 0.95 else MediaFailed()
            for phone in pair:
                self._in(50, 800, partial(phone.flows, call, event))

    # --- what must be so ----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        for call, record in self.server.calls.items():
            self.counts[f"end_{record.reason}"] += 1
            if record.is_live:
                raise Wrong(f"call still {record.phase} at the server")
            answered = [phone for phone in self.phones if (call, "accepted") in phone.posted]
            first = [phone.device for phone in answered if phone.calls[call].asks is CallStep.ACCEPT]
            if len(first) > 1 or any(device != self.accepted_on.get(call) for device in first):
                raise Wrong(f"answered by {first}, the server says {self.accepted_on.get(call)!r}")
            if not {phone.device for phone in answered} <= self.legs.get(call, set()):
                raise Wrong("a device says that it has answered, and the server never named it")
            moved = any((call, "summary") in phone.posted for phone in self.phones if phone.account == record.callee)
            self._judge_call(call, record, answered=bool(answered) or moved)
        self._judge_glare()
        for phone in self.phones:
            if phone.rings or phone.media:
                raise Wrong(f"{phone.device!r} rings or has media after the end")
            for rung in phone.rung:
                self._judge_ring(phone, rung)
            for call, machine in phone.calls.items():
                if machine.phase is not DevicePhase.ENDED or machine.outcome is None:
                    raise Wrong(f"{phone.device!r} is still {machine.phase}")
                if (machine.outcome is Outcome.NOT_SENT) != (call not in self.server.calls):
                    raise Wrong(f"{phone.device!r} says {machine.outcome} of a call that the server knows or not")

    def _judge_glare(self) -> None:
        """Two that called each other while it rang: the higher id went on."""
        calls = sorted(self.server.calls.values(), key=lambda call: call.offered_ms)
        for first, second in pairwise(calls):
            crossed = first.caller != second.caller and second.offered_ms < self.stops[first.id][0]
            lower = min(first, second, key=lambda call: call.id)
            if crossed and lower.reason is not EndReason.GLARE:
                raise Wrong(f"two called each other, and the lower id ended {lower.reason}")

    def _judge_call(self, call: MessageId, record: CallRecord, *, answered: bool) -> None:
        """What is shown of a call, on all devices."""
        declined = any((call, "declined") in phone.posted for phone in self.phones)
        for phone in self.phones:
            if call not in phone.calls:
                raise Wrong(f"{phone.device!r} has never heard of the call")
            shown = phone.calls[call].outcome
            self.counts[f"shown_{shown}"] += 1
            right = _right(record, callee=phone.account == record.callee, answered=answered, declined=declined)
            if shown not in right:
                raise Wrong(f"{phone.device!r} shows {shown} of a call that ended {record.reason}, not {right}")

    def _judge_ring(self, phone: Phone, rung: Rung) -> None:
        """How long it rang on, after the call had stopped to ring."""
        stopped_ms, heard = self.stops.get(rung.call, (rung.until_ms, {}))
        over_ms = phone.calls[rung.call].entry.rings_until_ms
        late_ms = rung.until_ms - min(max(stopped_ms, rung.since_ms), over_ms)
        was_cut = any(stopped_ms - KEPT_MS <= cut_ms <= rung.until_ms for cut_ms in phone.cuts)
        bound_ms = KEPT_MS if was_cut else HINTED_MS if heard.get(phone.device) else LOST_MS
        self.counts["ring_late_most_ms"] = max(self.counts["ring_late_most_ms"], late_ms)
        if late_ms > bound_ms:
            raise Wrong(f"{phone.device!r} rang on for {late_ms} ms, allowed are {bound_ms}")
        if rung.until_ms - rung.since_ms > RING_MS:
            raise Wrong("it rang for too long")


def _right(record: CallRecord, *, callee: bool, answered: bool, declined: bool) -> set[Outcome]:
    """What may be shown of a call. answered, declined: a device of the callee says so, sealed."""
    merged = record.reason in (EndReason.GLARE, EndReason.REPLACED)
    open_end = {Outcome.SUPERSEDED} if merged else {Outcome.MISSED}
    if answered:
        return {Outcome.ANSWERED}
    if callee:
        return {Outcome.DECLINED} if declined else open_end
    if record.accepted_ms:  # and over before the device that had accepted could say so
        return {Outcome.ANSWERED} | ({Outcome.DECLINED} if declined else open_end - {Outcome.MISSED})
    return {Outcome.DECLINED} if declined or record.reason is EndReason.DECLINED else open_end


def _legs(call: CallRecord) -> list[Leg]:
    """The devices in a call that lives."""
    if call.phase not in (CallPhase.ACCEPTED, CallPhase.CONNECTED) or call.callee_leg is None:
        return []
    return [call.caller_leg, call.callee_leg]


def run(schedules: int, seed: str, only: str = "") -> tuple[Counter[str], str]:
    """Plays them; what happened, and what went wrong with the schedule's name, "" = nothing."""
    counts: Counter[str] = Counter()
    for number in range(schedules):
        name = only or f"{seed}/{number}"
        try:
            Schedule(name, counts).play()
        except Wrong as wrong:
            return counts, f"schedule {name}: {wrong}"
        counts["schedules"] += 1
    return counts, ""


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.calls.schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", default="", help="the name of one schedule, as a run has printed it")
    given = parser.parse_args(arguments)
    counts, wrong = run(1 if given.only else given.schedules, given.seed, given.only)
    sys.stdout.write(json.dumps({"seed": given.seed, "wrong": wrong, **dict(sorted(counts.items()))}, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
