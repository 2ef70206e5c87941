"""Who listens to events: each listener has a bounded queue of its own.

Reading the socket pauses while a listener is far behind, so that a slow host slows its own device down and loses
nothing. A listener that is still far behind after five seconds is not waited for any longer; with 16,384 unread events
it is ended, and what it missed stands in the history.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Self

from rapport.events import Event
from rapport_protocol.errors import ErrorCode, LocalError

__all__ = ["QUEUE_HIGH", "QUEUE_MOST", "WAITED_S", "EventsUnread", "Listener", "Listeners"]

QUEUE_HIGH: Final = 1_024
"""Above so many unread events nothing more is read from the socket."""
WAITED_S: Final = 5.0
"""So many seconds the socket waits for a listener that is far behind."""
QUEUE_MOST: Final = 16_384
"""With so many unread events a listener is ended."""


class EventsUnread(LocalError):
    """This listener did not read its events; open a new one and read the history."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.TOO_MANY, "events were not read")


class Listener(AsyncIterator[Event]):
    """Events from its making on, in order, each once. Iterate over it; leave off and it is forgotten."""

    def __init__(self, caught_up: asyncio.Event) -> None:
        self._events: deque[Event] = deque()
        self._more = asyncio.Event()
        self._caught_up = caught_up
        self._ended = False
        self._overrun = False
        self.given_up = False
        """It is not waited for, until it has read everything once."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._overrun:
                raise EventsUnread
            if self._ended:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        event = self._events.popleft()
        if not self._events:
            self.given_up = False
        if not self.lagging:
            self._caught_up.set()
        return event

    @property
    def lagging(self) -> bool:
        """Whether QUEUE_HIGH or more events are unread."""
        return len(self._events) >= QUEUE_HIGH

    def put(self, event: Event) -> None:
        """Queues an event. Called by the engine."""
        if self._ended:
            return
        self._events.append(event)
        if len(self._events) > QUEUE_MOST:
            self._events.clear()
            self._overrun = True
            self.end()
        self._more.set()

    def end(self) -> None:
        """No further events: iteration ends after those that wait."""
        self._ended = True
        self._caught_up.set()
        self._more.set()


class Listeners:
    """All listeners of an engine. One that its host has let go of is gone by itself."""

    def __init__(self, waited_s: float = WAITED_S) -> None:
        self._waited_s = waited_s
        self._all: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._caught_up = asyncio.Event()
        self._over = False

    def add(self) -> Listener:
        """A new listener; one that is added after the end ends at once."""
        listener = Listener(self._caught_up)
        weakref.finalize(listener, self._caught_up.set)
        if self._over:
            listener.end()
        self._all.add(listener)
        return listener

    def show(self, event: Event) -> None:
        """Hands an event to all."""
        for listener in list(self._all):
            listener.put(event)

    async def caught_up(self) -> None:
        """Waits until no listener is far behind, or those that are have had their time."""
        try:
            async with asyncio.timeout(self._waited_s):
                while any(listener.lagging and not listener.given_up for listener in self._all):
                    self._caught_up.clear()
                    await self._caught_up.wait()
        except TimeoutError:
            for listener in self._all:
                listener.given_up = listener.given_up or listener.lagging

    def end(self) -> None:
        """The engine has stopped."""
        self._over = True
        for listener in list(self._all):
            listener.end()
