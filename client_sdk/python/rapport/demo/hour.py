"""The live hour of the demo: an appointment, a client who waits and is let in, a call with media, one nobody answers.

The two people's processes have media of their own (aiortc, a test picture and tone). In the middle of the call the
client's device is cut off for five seconds, signaling and media together.
"""

import asyncio
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rapport.demo.practice import CLIENT, PHONES, THERAPIST, Figures, Practice, tell
from rapport.testing.processes import ProcessProblem
from rapport.testing.turn import TurnProcess

__all__ = ["hour", "relay"]

_MINUTES: Final = 50
_FRAMES: Final = 25
"""Pictures that each side must have decoded, before the cut and again after it."""
_CUT_S: Final = 5.0
_MISSED: Final = frozenset({"missed", "cancelled"})
"""How a call stands in the conversation that nobody has answered before its caller hung up."""


async def relay(folder: Path, stack: AsyncExitStack) -> dict[str, str]:
    """Starts a relay for media, coturn, where it is installed. Returns the settings of a server that uses it.

    Without it the practice does not hide its clients' addresses, and the two find a direct way.
    """
    try:
        turn = await stack.enter_async_context(TurnProcess(folder))
    except ProcessProblem:
        return {"turn.relay_only": "false"}
    return {"turn.urls": ",".join(turn.urls()), "turn.secret": turn.secret}


async def hour(practice: Practice) -> Figures:
    """Plays it, and returns what was counted; nothing where the extra `calls` is not installed. ProcessProblem.

    frames_a, frames_b: pictures that therapist and client have decoded; packets_a, packets_b; path: the client's
    candidate and the therapist's; recovery_s: from the end of the cut to the next picture; missed_recorded.
    """
    if find_spec("aiortc") is None:
        tell("There is no call: the extra `calls` is not installed.")
        return {}
    tell("An appointment is planned. The client waits at the door and is let in; they talk, by video.")
    appointment = await practice.order("plan", THERAPIST, count=_MINUTES)
    await practice.order("knock", CLIENT, text=appointment)
    call = await practice.order("admit", THERAPIST, text=appointment)
    await practice.order("call", THERAPIST, name=call, text=appointment)
    if await practice.order("admitted", CLIENT, text=appointment) != call:
        raise ProcessProblem("somebody was let in by another call than the host's")
    await practice.order("pick_up", CLIENT, text=call)
    await _both(practice, call)
    tell("The client's device is cut off for five seconds.")
    recovery_s = float(await practice.order("cut", CLIENT, text=call, rate=_CUT_S))
    seen = await _both(practice, call)
    way = await practice.order("path", CLIENT, text=call)
    tell(f"Media went {'through the relay' if 'relay' in way else 'straight from one to the other'} ({way}).")
    await practice.order("hangup", THERAPIST, text=call)
    await asyncio.gather(*(practice.order("depart", person, text=appointment) for person in (CLIENT, THERAPIST)))
    tell("The therapist calls once more; nobody answers.")
    missed = await practice.order("call", THERAPIST)
    await practice.order("rings", CLIENT, text=missed)
    await practice.order("hangup", THERAPIST, text=missed)
    told = await asyncio.gather(*(practice.order("missed", each, text=missed) for each in (CLIENT, PHONES[CLIENT])))
    recorded = all(outcome in _MISSED for outcome in told)
    return {**seen, "path": way, "recovery_s": round(recovery_s, 2), "missed_recorded": recorded}


async def _both(practice: Practice, call: str) -> Figures:
    """Waits until both sides have decoded further pictures; what they have had so far."""
    told = await asyncio.gather(
        *(practice.order("media", person, text=call, count=_FRAMES) for person in (THERAPIST, CLIENT))
    )
    (frames_a, packets_a), (frames_b, packets_b) = (tuple(map(int, each.split())) for each in told)
    return {"frames_a": frames_a, "frames_b": frames_b, "packets_a": packets_a, "packets_b": packets_b}
