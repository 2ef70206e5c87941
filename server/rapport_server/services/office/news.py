"""The shell of office hours: one task that tells devices how the offices stand that they watch, and when that changes.

Nobody waits for it: a connection says whom it watches and goes on. Everything that waits here is kept by device or
account, the newest in place of the older, so that it is bounded by who is connected and whom they watch.

Source: docs/protocol.md, section 15.4.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

import structlog
from msgspec import Struct

from rapport_protocol.codec import SERVER_CODECS
from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId, split_ids
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Office, WatchOffice
from rapport_server.connections import Link
from rapport_server.hints import HINT_DEVICES, OfficeMoved
from rapport_server.ports import Bus, Clock, Store
from rapport_server.rates import Rates
from rapport_server.services.office.board import Board, Person, Standing
from rapport_server.watching import Watching

__all__ = ["OfficeNews"]

LOOK_EVERY_S: Final = 30.0
"""Longest sleep between two looks at the clock."""
JUMP_S: Final = 1.0
"""The clock has been set if it and the monotonic one have moved apart by more since the last look; then every office is
looked at, because it may be earlier than it was."""
ANSWERED_AT_ONCE: Final = 200
"""Devices whose wishes are looked up in one round; edges come in between."""
LOADED_AT_ONCE: Final = 100
"""Documents that the store is asked for at a time: at most 1.6 MB."""
LOOKED_UP_AT_ONCE: Final = 50
"""Accounts whose contacts the store is asked for at a time: some ten milliseconds of its time with fifty contacts each.
"""
CIRCLES_KEPT: Final = 8192
"""Accounts whose contacts are remembered, about 5 KB each with fifty contacts; then all are looked up again."""
RECENT_S: Final = 5.0
"""How old may be what is known of somebody's contacts when an edge comes: as late as one node hears of another's
changes. Who hears of an edge has the document, and knows it anyway."""
PREPARED_S: Final = 4.0
"""So many seconds before an edge the contacts are looked up, for then there is no time to."""
LOOKED_AT_ONCE: Final = 50
"""Offices that are looked at in one turn of the loop: about 5 ms."""
TOLD_AT_ONCE: Final = 256
"""Devices that are told in one turn of the loop: about 5 ms."""
DENIED_EVERY_S: Final = 10.0
"""Seconds between two looks at those who watch somebody whom they may not see, if memberships have changed."""

_log = structlog.get_logger("rapport.office")
_encode = SERVER_CODECS[SUBPROTOCOL_MSGPACK].encode


class _Circle(Struct, frozen=True):
    """Whom an account shares a conversation with, itself included, and their devices.

    mark: what the directory's was when they were looked up; at_s: when, monotonic.
    """

    accounts: frozenset[AccountId]
    devices: tuple[DeviceId, ...]
    mark: object
    at_s: float


_NOBODY: Final = _Circle(frozenset(), (), None, 0.0)
_Asked = dict[DeviceId, tuple[Link, frozenset[AccountId]]]
"""Who has asked to watch whom."""
_Frames = dict[tuple[Person, Standing, bool], bytes]
"""What was encoded before, with the document or without."""


class OfficeNews:
    """Office hours at one node. `run` owns the rounds, `nudge` is called about once a second.

    Everything else returns at once and is safe to call in any order.
    """

    def __init__(self, store: Store, bus: Bus, clock: Clock, rates: Rates) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._rates = rates
        self._board = Board()
        self._watching: Watching[AccountId, Standing] = Watching(AccountId)
        self._denied: dict[DeviceId, frozenset[AccountId]] = {}
        """Whom devices watch, where they may not see all of them: that may change."""
        self._denied_at: tuple[object, float] = (None, 0.0)
        """The directory's mark and the time when these were looked up last."""
        self._moved: dict[Person, int] = {}
        """Whose document of which version was published and has not been loaded."""
        self._news: dict[Person, float] = {}
        """Whose watchers have not been told how the office stands now, and how old their contacts may be, seconds."""
        self._published: dict[Person, int] = {}
        """Whose document of which version was published here, and no node has been told."""
        self._circles: dict[Person, _Circle] = {}
        self._gap = False
        self._ahead_s = self._ahead()
        self._work = asyncio.Event()
        self.told = 0
        """How often a device was told of an office, since the start."""

    @property
    def watchers(self) -> int:
        """How many devices watch an office here."""
        return len(self._watching)

    @property
    def offices(self) -> int:
        """How many offices with hours are watched here."""
        return len(self._board)

    # --- what connections say -----------------------------------------------------------------------------------------

    def open(self, link: Link) -> None:
        """A device has signed in."""
        self._end(link.principal.device, self._watching.open(link))

    def close(self, link: Link) -> None:
        """A connection has ended; one that was replaced changes nothing."""
        ended = self._watching.close(link)
        if ended is not None:
            self._end(link.principal.device, ended)

    def watch(self, link: Link, message: WatchOffice) -> None:
        """A device says whom it watches; it is answered as soon as its rate allows. Raises FormatError."""
        if self._watching.ask(link, message.accounts):
            self._work.set()

    def room(self, link: Link) -> None:
        """A congested connection has room again."""
        for person in self._watching.catch_up(link):
            self._news.setdefault(person, RECENT_S)  # who may see it is asked again
            self._work.set()

    def _end(self, device: DeviceId, ended: Iterable[Person]) -> None:
        """A device is gone or new; these nobody watches here any more."""
        self._denied.pop(device, None)
        self._forget(ended)

    def _forget(self, ended: Iterable[Person]) -> None:
        for person in ended:
            self._board.forget(person)
            self._moved.pop(person, None)
            self._news.pop(person, None)

    def announce(self, person: Person, version: int) -> None:
        """A document was published at this node: all nodes are told."""
        self._published[person] = max(version, self._published.get(person, 0))
        self._work.set()

    # --- what others say ----------------------------------------------------------------------------------------------

    def take(self, hint: OfficeMoved) -> None:
        """A hint from this node or another one. Whom it is for is looked up here, as for every other change."""
        person = hint.practice, hint.account
        standing = self._board.standing(person)
        newer = standing is None or standing.version < hint.version or not hint.version
        if newer and self._watching.watchers(person):
            self._moved[person] = max(hint.version, self._moved.get(person, 0))
            self._work.set()

    def called(self, person: Person) -> None:
        """A call of this account was accepted or has ended at this node."""
        if self._watching.watchers(person):
            self._moved.setdefault(person, 0)
            self._work.set()
        if self._bus.counted.others:
            self._published.setdefault(person, 0)
            self._work.set()

    def look_again(self) -> None:
        """Hints may have been lost: every document that is watched here is loaded again."""
        self._gap = True
        self._work.set()

    # --- what time brings ---------------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Tries again what could not be done before, and looks at the clock."""
        mark, now_s = self._store.members_mark, self._clock.monotonic()
        if self._denied and mark is not self._denied_at[0] and now_s - self._denied_at[1] >= DENIED_EVERY_S:
            self._denied_at = mark, now_s
            for device, accounts in self._denied.items():
                self._watching.wishes.setdefault(device, accounts)
        self._work.set()

    def _ahead(self) -> float:
        """By how many seconds the clock is ahead of the monotonic one: the same until it is set."""
        return self._clock.now_ms() / 1000 - self._clock.monotonic()

    async def run(self) -> None:
        """Tells what there is to tell, until cancelled. What cannot be looked up now waits for the next nudge."""
        while True:
            await self._wait()
            for step in (self._look, self._tell_nodes, self._load, self._answer, self._close_gap, self._prepare):
                try:
                    await step()
                except Rejected as refused:
                    _log.warning("office hours not looked up", error=refused.code.value)

    async def _wait(self) -> None:
        """Until there is work, until the next edge, or for half a minute."""
        edge_ms = self._board.next_edge_ms()
        left_s = LOOK_EVERY_S if edge_ms is None else (edge_ms - self._clock.now_ms()) / 1000
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(left_s, 0.0), LOOK_EVERY_S)):
                await self._work.wait()
        self._work.clear()

    async def _look(self) -> None:
        """Looks at the offices whose edge has come, and tells of them. Raises Rejected; told later then."""
        ahead_s = self._ahead()
        was_set, self._ahead_s = abs(ahead_s - self._ahead_s) > JUMP_S, ahead_s
        now = self._clock.now_ms()
        due = self._board.people() if was_set else self._board.due(now)
        for start in range(0, len(due), LOOKED_AT_ONCE):  # all of them before anything that can fail: they are due once
            for person in due[start : start + LOOKED_AT_ONCE]:
                if self._board.look(person, now):
                    self._news.setdefault(person, RECENT_S)
            await asyncio.sleep(0)
        await self._spread()

    # --- telling ------------------------------------------------------------------------------------------------------

    async def _spread(self) -> None:
        """Tells all news to those who watch and may see. Raises Rejected; what is left is told later then."""
        frames: _Frames = {}
        told = 0
        while self._news:
            some = dict(itertools.islice(self._news.items(), LOOKED_UP_AT_ONCE))
            circles = await self._circles_of(some)
            for person in some:
                if person not in self._news:
                    continue  # nobody watches it any more
                del self._news[person]
                told += self._tell(person, self._allowed(person, circles[person].accounts), frames)
                if told > TOLD_AT_ONCE:
                    told = 0
                    await asyncio.sleep(0)

    def _allowed(self, person: Person, circle: frozenset[AccountId]) -> list[DeviceId]:
        """Those who watch and are in a conversation with the account; the others are looked at again some time."""
        allowed = []
        for device in self._watching.watchers(person):
            if self._watching.link(device).principal.account in circle:
                allowed.append(device)
            else:
                self._denied[device] = self._watching.names(device)
        return allowed

    def _tell(self, person: Person, devices: Iterable[DeviceId], frames: _Frames) -> int:
        """Tells these how an office stands, if they do not know. frames: encoded before. Returns how many were told."""
        standing = self._board.standing(person)
        if standing is None:
            return 0
        told, account = 0, person[1]
        for device in devices:
            before = self._watching.told(device, account)
            if before == standing or account not in self._watching.names(device):
                continue
            link = self._watching.link(device)
            if link.connection.congested:
                self._watching.fall_behind(device, person)
                continue
            key = person, standing, before is None or before.version != standing.version
            if key not in frames:
                frames[key] = self._frame(person, standing, document=key[2])
            link.connection.send_frame(frames[key])
            self._watching.tell(device, account, standing)
            told += 1
        self.told += told
        return told

    def _frame(self, person: Person, standing: Standing, *, document: bool) -> bytes:
        carried = self._board.document(person) if document else None
        return _encode(Office(person[1], standing.status, standing.until_ms, carried))

    # --- looking up ---------------------------------------------------------------------------------------------------

    async def _tell_nodes(self) -> None:
        """Tells the nodes of those who may see what was published here. Raises Rejected; told later then."""
        published = dict(self._published)
        circles = await self._circles_of(dict.fromkeys(published, 0.0))
        for person, version in published.items():
            if self._published.get(person) == version:
                del self._published[person]
            devices = circles[person].devices
            for start in range(0, len(devices), HINT_DEVICES):
                self._bus.publish(OfficeMoved(b"".join(devices[start : start + HINT_DEVICES]), *person, version))

    async def _load(self) -> None:
        """Loads what was published, and tells of it. Raises Rejected; done later then."""
        moved, self._moved = self._moved, {}  # before it is read: what comes meanwhile is read again
        try:
            await self._learn(moved)
        except Rejected:
            for person, version in moved.items():
                if self._watching.watchers(person):
                    self._moved[person] = max(version, self._moved.get(person, 0))
            raise
        await self._spread()

    async def _learn(self, people: Iterable[Person]) -> None:
        """Loads the documents of these, and whether they are in a call; what has changed is news. Raises Rejected."""
        for practice, accounts in _by_practice(people, LOADED_AT_ONCE):
            documents = await self._store.office_documents(practice, accounts)
            calling = await self._store.in_session(practice, list(documents))
            now = self._clock.now_ms()
            for account, document in documents.items():
                person = practice, account
                if not self._watching.watchers(person):
                    continue
                engaged = self._board.engage(person, now, in_session=account in calling)
                if self._board.learn(person, document, now) or engaged:
                    self._news[person] = 0.0

    def _wishes(self) -> _Asked:
        """Some of those who have asked to watch, as their rate allows."""
        asked: _Asked = {}
        for device, accounts in self._watching.wishes.items():
            if len(asked) == ANSWERED_AT_ONCE:
                self._work.set()
                break
            link = self._watching.link(device)
            if not self._rates.allow("watch", link.principal.practice + device + b"office"):
                asked[device] = link, accounts
        return asked

    async def _answer(self) -> None:
        """Looks up whom devices have asked to watch, and answers them. Raises Rejected; answered later then."""
        asked = self._wishes()
        if not asked:
            return
        for device, (link, accounts) in asked.items():
            del self._watching.wishes[device]
            self._forget(
                self._watching.watch(link.principal, accounts)
            )  # before anything is read: what is published later comes as a hint
        try:
            visible = await self._visible(asked)
            await self._learn({person for people in visible.values() for person in people})
        except Rejected:
            for device, (_, accounts) in asked.items():
                if accounts and self._watching.names(device) == accounts:
                    self._watching.wishes.setdefault(device, accounts)
            raise
        frames: _Frames = {}
        for device, (_, accounts) in asked.items():
            if self._watching.names(device) != accounts or device in self._watching.wishes:
                continue  # it is gone, or watches others by now
            if len(visible[device]) == len(accounts):
                self._denied.pop(device, None)
            else:
                self._denied[device] = accounts
            for person in visible[device]:
                self._tell(person, (device,), frames)
        await self._spread()

    async def _visible(self, asked: _Asked) -> dict[DeviceId, list[Person]]:
        """Per device those of the accounts that share a conversation with its own. Raises Rejected."""
        asking = {link.principal for link, _ in asked.values()}
        circles = await self._circles_of({(who.practice, who.account): 0.0 for who in asking})
        return {
            device: [
                (link.principal.practice, account)
                for account in accounts & circles[link.principal.practice, link.principal.account].accounts
            ]
            for device, (link, accounts) in asked.items()
        }

    async def _close_gap(self) -> None:
        """Loads every document that is watched here, and tells what has changed. Raises Rejected; done later then."""
        if not self._gap:
            return
        self._gap = False  # before it is read, too
        try:
            await self._learn(list(self._watching.watched()))
        except Rejected:
            self._gap = True
            raise
        for device, accounts in self._denied.items():
            self._watching.wishes.setdefault(device, accounts)
        self._work.set()
        await self._spread()

    async def _prepare(self) -> None:
        """Looks up the contacts that the next edges need. Raises Rejected; they are looked up with the edge then."""
        now, now_s = self._clock.now_ms(), self._clock.monotonic()
        coming = self._board.coming(now + int(PREPARED_S * 1000))
        await self._circles_of(
            {
                person: 0.0
                for edge_ms, person in coming
                if now_s + (edge_ms - now) / 1000 - self._circles.get(person, _NOBODY).at_s > RECENT_S
            }
        )

    async def _circles_of(self, people: Mapping[Person, float]) -> dict[Person, _Circle]:
        """Whom these share a conversation with. Raises Rejected.

        people: and how old what is known of each may be in seconds, if anything has changed since; 0 = as it is now.
        """
        mark, now_s = self._store.members_mark, self._clock.monotonic()
        if len(self._circles) >= CIRCLES_KEPT:
            self._circles = {}
        found, missing = {}, []
        for person, age_s in people.items():
            kept = self._circles.get(person, _NOBODY)
            if kept is not _NOBODY and (kept.mark is mark or now_s - kept.at_s < age_s):
                found[person] = kept
            else:
                missing.append(person)
        for practice, accounts in _by_practice(missing, LOOKED_UP_AT_ONCE):
            contacts = await self._store.contacts(practice, accounts)
            for account in accounts:
                everybody = contacts.get(account, ())
                found[practice, account] = self._circles[practice, account] = _Circle(
                    frozenset(contact.account for contact in everybody),
                    tuple(DeviceId(device) for contact in everybody for device in split_ids(contact.devices)),
                    mark,  # from before the question
                    now_s,
                )
        return found


def _by_practice(people: Iterable[Person], most: int) -> Iterator[tuple[PracticeId, list[AccountId]]]:
    """Accounts of one practice at a time, at most so many."""
    practices: dict[PracticeId, list[AccountId]] = {}
    for practice, account in people:
        practices.setdefault(practice, []).append(account)
    for practice, accounts in practices.items():
        for start in range(0, len(accounts), most):
            yield practice, accounts[start : start + most]
