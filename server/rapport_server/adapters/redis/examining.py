"""A look at the Redis of the configuration, for `rapport doctor`. It changes nothing there."""

import os
import time

from msgspec import Struct

from rapport_server.adapters.redis.servers import Lost, Refused, Request, Servers, check
from rapport_server.adapters.redis.urls import parse

__all__ = ["BusExamined", "BusProblem", "examine"]


class BusProblem(Exception):
    """One sentence about why Redis cannot be used; no password and no address stands in it."""


class BusExamined(Struct, frozen=True):
    """What was found."""

    ahead_ms: int
    """How far Redis's clock is ahead of this one, in milliseconds; negative when it is behind."""
    nodes: int
    """How many nodes say that they belong to the installation."""


async def examine(url: str, namespace: str) -> BusExamined:
    """Connects, signs in, subscribes, asks for the time. Raises BusProblem, or ConfigurationProblem for the URL."""
    servers = Servers(parse(url), lambda _: None, lambda _: None)
    nodes = f"{namespace}:nodes".encode()
    try:
        await servers.open(f"{namespace}:inbox:{{{os.urandom(16).hex()}}}".encode())
        before_ms = time.time_ns() // 1_000_000
        clock, members = check(await servers.ask([Request(nodes, ("TIME",)), Request(nodes, ("SMEMBERS", nodes))]))
        between_ms = (before_ms + time.time_ns() // 1_000_000) // 2
    except Lost as problem:
        raise BusProblem(str(problem)) from None
    except Refused as problem:
        raise BusProblem(f"Redis refuses a command ({problem})") from None
    finally:
        await servers.close()
    return BusExamined(clock[0] * 1000 + clock[1] // 1000 - between_ms, len(members))
