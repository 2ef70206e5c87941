"""Presence over real sockets: who is told what, and what nobody is told. The clock is held in the hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSCloseCode

from rapport_protocol.ids import AccountId
from rapport_protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WATCHED_ACCOUNTS
from rapport_protocol.membership_entries import ConversationKind, Remove
from rapport_protocol.messages import CloseCode, Presence, Present, Renew, Token, Watch
from rapport_protocol.requests import AppendEntry, Role
from rapport_server import config
from rapport_server.config import RateLimit
from tests.server.device import Device, connected
from tests.server.node import GENEROUS, Node, running
from tests.server.people import Person

SECOND = 1000


async def watch(device: Device, *people: Person) -> None:
    await device.say(Watch(b"".join(person.account for person in people)))


async def told(device: Device, person: Person, state: str) -> None:
    """The next word about anybody's presence is this one."""
    assert await device.skip_to(Presence) == Presence(person.account, state)


async def untold(device: Device) -> None:
    """Nothing about presence was sent before an answer to something that was said now."""
    await device.node.app._parts.presence_settled()  # type: ignore[attr-defined]
