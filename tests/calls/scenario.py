"""scenarios/calls.json: the tables of calls, and stories with what both SDKs must make of them.

    python -m tests.calls.scenario      writes the file anew, from the modules; the tests hold both SDKs to it

Identifiers are two hexadecimal digits that stand for sixteen such bytes. Events are written without what is left out by
default, effects as short words: `say accept +` is the step with a description, `take aa` the description aa.
"""

from __future__ import annotations

import json
from itertools import product
from random import Random
from typing import Any, Final

import msgspec

from rapport_protocol.calls import arbiter
from rapport_protocol.calls.arbiter import CallPhase, CallStep, EndReason, Party
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.device_events import (
    AcceptOther,
    Changed,
    CloseMedia,
    Effect,
    Entry,
    Event,
    Post,
    RestartMedia,
    Ring,
    Say,
    StartMedia,
    StopRing,
    Take,
    Warn,
)
from rapport_protocol.calls.ladder import Ladder, Mode, choose
from rapport_protocol.calls.ladder import step as ladder_step
from rapport_protocol.calls.moves import MOVES, CallSign, DevicePhase
from rapport_protocol.calls.quality import Level, Precall, Quality, Sample, precall_verdict, quality_of
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from tests.calls.moves_told import told_moves
from tests.calls.stories import LADDERS, PRECALLS, RECORDS, SAMPLES, STORIES, Story
from tests.house.tree import ROOT

__all__ = ["FILE", "bytes_of", "entry_of", "event_of", "made", "name_of", "named", "record", "text", "words"]

FILE: Final = ROOT / "client_sdk/protocol/scenarios/calls.json"
WALKS: Final = 16
WALK_STEPS: Final = 16


def bytes_of(name: str) -> bytes:
    """The identifier that two hexadecimal digits stand for."""
    return bytes.fromhex(name) * 16


def name_of(identifier: bytes) -> str:
    """The other way round."""
    return identifier[:1].hex()


def event_of(plain: dict[str, Any]) -> Event:
    """An event of the file."""
    event: Event = msgspec.convert(plain, Event, builtin_types=(bytes,))
    return event


def named(plain: dict[str, Any]) -> dict[str, Any]:
    """An event with its identifiers written out."""
    ids = ("ours", "theirs", "device", "message", "call")
    return {key: bytes_of(value) if key in ids and value else value for key, value in plain.items()}


def words(effect: Effect) -> str:
    """An effect in short words."""
    match effect:
        case Say():
            return f"say {effect.step}" + (" +" if effect.with_description else "")
        case Take():
            return f"take {name_of(effect.message)}"
        case AcceptOther():
            return f"accept_other {name_of(effect.call)}"
        case RestartMedia():
            return "restart_media" + (" owner" if effect.owner else "")
        case Post():
            times = f" {effect.began_ms} {effect.ended_ms} {effect.reason or '-'}" if effect.what == "summary" else ""
            return f"post {effect.what}" + (" busy" if effect.busy else "") + times
        case Ring() | StopRing() | StartMedia() | CloseMedia() | Warn() | Changed():
            return str(effect.__struct_config__.tag)


def entry_of(plain: dict[str, Any]) -> Entry:
    """What is fixed about a call of the file."""
    full = {"call": "cc", "act_until_ms": plain["at_ms"] + arbiter.RING_MS, **plain}
    ids = {key: bytes_of(full[key]) for key in ("call", "device", "caller_device")}
    return Entry(**{**full, **ids})


# --- the tables -------------------------------------------------------------------------------------------------------


def _tables() -> dict[str, Any]:
    device = {sign: " ".join(MOVES[phase, sign] for phase in DevicePhase) for sign in CallSign}
    steps = {
        f"{phase} {step}": " ".join(arbiter.MOVES.get((phase, step), {}).get(party, "-") for party in Party)
        for phase, step in product(CallPhase, CallStep)
    }
    return {"phases": " ".join(DevicePhase), "device": device, "parties": " ".join(Party), "arbiter": steps}


# --- stories ----------------------------------------------------------------------------------------------------------


def _told(story: Story) -> dict[str, Any]:
    """A story of a device, with what its machine did."""
    call = DeviceCall.of(entry_of(story.entry))
    return {"name": story.name, "entry": story.entry, "steps": [_fed(call, at, plain) for at, plain in story.steps]}


def _fed(call: DeviceCall, at_ms: int, plain: dict[str, Any]) -> dict[str, Any]:
    effects = call.handle(event_of(named(plain)), at_ms)
    ended = {} if call.outcome is None else {"outcome": call.outcome, "reason": call.reason}
    said = {"at": at_ms, "event": plain, "effects": [words(effect) for effect in effects], "phase": call.phase}
    return {**said, "deadline": call.deadline_ms, **ended}


def _walk(number: int) -> dict[str, Any]:
    """A walk at random, over all that a device may be told."""
    random = Random(number)
    device, caller = random.choice((("a1", "a1"), ("a2", "a1"), ("b1", "a1"), ("b1", "a1")))
    incoming = device == "b1"
    entry = {"device": device, "caller_device": caller, "incoming": incoming, "at_ms": 1_000_000}
    entry |= {"fingerprint": random.choice(("", "f1")), "may_ring": random.random() < 0.9}
    steps, at_ms = [], 1_000_000
    for _ in range(WALK_STEPS):
        at_ms += random.choice((0, 50, 1_000, 2_000, 4_000, 9_000))
        steps.append((at_ms, _drawn(random, incoming=incoming, at_ms=at_ms)))
    return _told(Story(f"walk {number}", entry, steps))


def _drawn(random: Random, *, incoming: bool, at_ms: int) -> dict[str, Any]:
    """Any event."""
    ours, theirs = random.choice(("b1", "b1", "b2", None) if incoming else ("a1", "a1", "a2")), "a1"
    if not incoming:
        theirs = random.choice(("b1", "b1", "b2", ""))
    phase = random.choice(("ringing", "ringing", "accepted", "connected", "ended"))
    state = {"type": "state", "phase": phase, "version": random.randint(1, 4), "ours": ours, "theirs": theirs or None}
    state |= {"reason": random.choice(list(EndReason)) if phase == "ended" else None, "rings": random.random() < 0.5}
    other = {"type": "other_offer", "call": random.choice(("bb", "dd")), "at_ms": at_ms - random.choice((0, 60_000))}
    return random.choice(
        [
            *[state] * 8,
            *[{"type": kind} for kind in ("online", "online", "offline", "tick", "tick", "sent", "refused", "unknown")],
            *[{"type": kind} for kind in ("accept", "accept", "decline", "busy", "hang_up", "migrate", "restarted")],
            *[{"type": kind} for kind in ("media_connected", "media_connected", "media_lost", "media_failed")],
            *[{"type": "our_description", "restart": random.random() < 0.3}] * 2,
            {"type": "missed_notice", "reason": random.choice(("missed", "cancelled", "busy"))},
            {"type": "accepted", "device": random.choice(("b1", "b2")), "own": incoming},
            {"type": "declined", "own": random.random() < 0.7, "busy": random.random() < 0.3},
            {"type": "summary", "own": random.random() < 0.7},
            {
                "type": "described",
                "message": random.choice(("e1", "e2")),
                "device": theirs or "b1",
                "fingerprint": random.choice(("f1", "f1", "f2")),
                "restart": random.random() < 0.2,
            },
            other | {"incoming": random.random() < 0.5, "same_device": random.random() < 0.5},
        ]
    )


def record(name: str, steps: list[tuple[int, str, str]]) -> dict[str, Any]:
    """A story of the server: steps by devices a1, a2 (the caller's), b1, b2, or `time`; how the call stands then."""
    account = {"a": AccountId(bytes_of("a0")), "b": AccountId(bytes_of("b0"))}
    conv = ConversationId(bytes_of("99"))
    call = arbiter.offered(
        MessageId(bytes_of("cc")), conv, account["a"], DeviceId(bytes_of("a1")), account["b"], 1_045_000, 1_000_000
    )
    told = []
    for at_ms, said, by in steps:
        after = (
            arbiter.expired(call, at_ms)
            if said == "time"
            else arbiter.step(call, CallStep(said), account[by[0]], DeviceId(bytes_of(by)), at_ms)
        )
        call = after or call
        told.append({"at": at_ms, "said": said, "by": by, "counts": after is not None, "stands": _stands(call)})
    return {"name": name, "steps": told}


def _stands(call: arbiter.CallRecord) -> dict[str, Any]:
    return {
        "phase": call.phase,
        "reason": call.reason,
        "device": None if call.callee_leg is None else name_of(call.callee_leg.device),
        "caller_device": name_of(call.caller_leg.device),
        "rings": call.rings,
        "until": call.until_ms,
        "away": [name_of(device) for device in call.away],
        "version": call.version,
        "ends": arbiter.ends_ms(call),
    }


# --- how well it goes -------------------------------------------------------------------------------------------------


def _ladder(name: str, steps: list[tuple[int, int | str]]) -> dict[str, Any]:
    """A story of the ladder: once a second a score, -1 = nothing came, or what the person chooses."""
    ladder, told = Ladder(), []
    for at_ms, what in steps:
        if isinstance(what, str):
            ladder, decision = choose(ladder, Mode(what), at_ms)
        else:
            level = Level.NONE if what < 0 else Level.GOOD
            ladder, decision = ladder_step(ladder, Quality(level, max(what, 0)), at_ms)
        told.append([at_ms, what, None if decision is None else [decision.rung, decision.bits_per_s, decision.why]])
    return {"name": name, "steps": told}


def made() -> dict[str, Any]:
    """All of the file."""
    quality = [
        {"before": list(before), "now": list(now), "quality": list(msgspec.structs.astuple(quality_of(*_samples)))}
        for before, now in SAMPLES
        for _samples in [(Sample(*before), Sample(*now))]
    ]
    precall = [
        {"found": found, "level": verdict.level, "why": list(verdict.why)}
        for found in PRECALLS
        for verdict in [precall_verdict(Precall(**found))]
    ]
    return {
        "about": (
            "Calls: tables, and what device, server, quality and ladder make of stories. Identifiers are two digits "
            "that stand for sixteen bytes; effects are short words. Written by tests/calls/scenario.py."
        ),
        "tables": _tables(),
        "devices": [_told(story) for story in (*STORIES, *told_moves())] + [_walk(number) for number in range(WALKS)],
        "records": [record(name, steps) for name, steps in RECORDS],
        "quality": quality,
        "precall": precall,
        "ladder": [_ladder(name, steps) for name, steps in LADDERS],
    }


def text(whole: dict[str, Any]) -> str:
    """The file: one line for each step, so that a change is seen where it is."""
    return _lines(whole, 0) + "\n"


def _lines(value: Any, depth: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if depth >= 4 or len(flat) < 100 or not isinstance(value, dict | list):
        return flat
    inner = " " * (depth + 1)
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _lines(each, depth + 1) for each in value) + "\n" + " " * depth + "]"
    rows = (f"{inner}{json.dumps(key)}: {_lines(each, depth + 1)}" for key, each in value.items())
    return "{\n" + ",\n".join(rows) + "\n" + " " * depth + "}"


if __name__ == "__main__":
    FILE.write_text(text(made()), "utf-8")
