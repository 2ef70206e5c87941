"""The shell of presence: one task that looks up states and contacts, in rounds, and hands on what the rules say.

What happens in one turn of the loop is looked up together. Nobody waits for it: a connection says something and goes
on. Everything that waits here is kept by device or account, the newest in place of the older, so that it is bounded by
who is connected.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import structlog
from msgspec import Struct

from rapport_protocol.codec import SERVER_CODECS
from rapport_protocol.errors import ErrorCode, FormatError, Rejected
from rapport_protocol.ids import ID_BYTES, AccountId, DeviceId, PracticeId, split_ids
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Presence as PresenceMessage
from rapport_protocol.messages import PresenceState, Present, Watch
from rapport_server.connections import Link
from rapport_server.hints import HINT_DEVICES, PresenceMoved
from rapport_server.ports import Bus, Clock, ConversationDirectory, Roster
from rapport_server.rates import Rates
from rapport_server.records import Contact, Principal
from rapport_server.services.presence.rules import Looks, Person, Put, Seats, Tell, Watches
from rapport_server.services.presence.visibility import may_see

__all__ = ["Presence"]

CIRCLES_KEPT: Final = 8192
"""Accounts whose contacts are remembered, about 3 KB each with fifty contacts; then all are looked up again."""
STATES_AT_ONCE: Final = 1000
"""Accounts that the roster is asked about at a time."""
LOOKED_UP_AT_ONCE: Final = 50
"""Accounts whose contacts the store is asked for at a time: some ten milliseconds of its time with fifty contacts each.
"""

_log = structlog.get_logger("rapport.presence")
_encode = SERVER_CODECS[SUBPROTOCOL_MSGPACK].encode


class _Circle(Struct, frozen=True):
    """Whom an account may see, and whose devices may see it."""

    visible: frozenset[AccountId]
    audience: tuple[DeviceId, ...]


class Presence:
    """Presence of one node. `run` owns the rounds, `nudge` is called about once a second.

    Everything else returns at once and is safe to call in any order. shown_to_clients: see `visibility.may_see`.
    """

    def __init__(
        self,
        directory: ConversationDirectory,
        bus: Bus,
        roster: Roster,
        clock: Clock,
        rates: Rates,
        *,
        shown_to_clients: bool,
    ) -> None:
        self._directory = directory
        self._bus = bus
        self._roster = roster
        self._now = clock.monotonic
        self._rates = rates
        self._shown_to_clients = shown_to_clients
        self._seats, self._looks, self._watches = Seats(), Looks(), Watches()
        self._links: dict[DeviceId, Link] = {}
        self._present: dict[DeviceId, str] = {}
        """What devices have said beyond their rate; the newest of it holds as soon as the rate allows."""
        self._watch: dict[DeviceId, frozenset[AccountId]] = {}
        """Whom devices want to watch, and have not been answered."""
        self._denied: dict[DeviceId, frozenset[AccountId]] = {}
        """Whom devices watch, where they may not see all of them: that may change."""
        self._behind: dict[DeviceId, dict[AccountId, str]] = {}
        """What devices are to be told once they read again."""
        self._circles: dict[Person, _Circle] = {}
        self._mark: object = None
        """What the directory's mark was when the circles were looked up."""
        self._gap = False
        self._work = asyncio.Event()
        self.told = 0
        """How often a device was told of somebody, since the start."""
        roster.subscribe(self._lost)

    # --- what connections say -----------------------------------------------------------------------------------------

    def open(self, link: Link) -> None:
        """A device has signed in."""
        who = link.principal
        self._forget(who)  # what an older connection of the device had asked for
        self._links[who.device] = link
        self._apply(self._seats.arrive((who.practice, who.account), who.device, who.role, self._now()))

    def close(self, link: Link, *, clean: bool) -> None:
        """A connection has ended; one that was replaced changes nothing. clean: nobody will come back for it soon."""
        who = link.principal
        if self._links.get(who.device) is not link:
            return
        del self._links[who.device]
        self._forget(who)
        self._apply(self._seats.leave((who.practice, who.account), who.device, self._now(), clean=clean))

    def _forget(self, who: Principal) -> None:
        self._watches.leave(who.practice, who.device)
        self._present.pop(who.device, None)
        self._watch.pop(who.device, None)
        self._denied.pop(who.device, None)
        self._behind.pop(who.device, None)

    def say(self, link: Link, message: Present) -> None:
        """A device says how it wants to be seen. Hiding is never too often; the rest waits for its rate."""
        who = link.principal
        if self._links.get(who.device) is not link:
            return  # it was replaced, and this was still on its way
        hides = message.state not in (PresenceState.ONLINE, PresenceState.AWAY)
        if not hides and (who.device in self._present or self._rates.allow("present", who.device)):
            self._present[who.device] = message.state
            return
        self._present.pop(who.device, None)
        self._apply(self._seats.say((who.practice, who.account), who.device, message.state))

    def watch(self, link: Link, message: Watch) -> None:
        """A device says whom it watches; it is answered as soon as its rate allows. Raises FormatError."""
        if len(message.accounts) % ID_BYTES:
            raise FormatError("not account ids", ErrorCode.BAD_FRAME)
        who = link.principal
        if self._links.get(who.device) is not link:
            return
        self._watch[who.device] = frozenset(map(AccountId, split_ids(message.accounts))) - {who.account}
        self._work.set()

    def room(self, link: Link) -> None:
        """A congested connection has room again."""
        device = link.principal.device
        if self._links.get(device) is link and device in self._behind:
            behind = self._behind.pop(device)
            self._tell([Tell(device, account, state) for account, state in behind.items()])

    # --- what others say ----------------------------------------------------------------------------------------------

    def take(self, hint: PresenceMoved) -> None:
        """A hint from this node or another one, for devices that are connected here (others are passed over)."""
        devices = []
        for device in map(DeviceId, split_ids(hint.devices)):
            link = self._links.get(device)
            if link is not None and link.principal.practice == hint.practice:
                devices.append(device)
        if devices:
            self._tell(self._watches.hint((hint.practice, hint.account), hint.state, devices, self._now()))

    def look_again(self) -> None:
        """Hints may have been lost: everybody who is watched here is looked up."""
        self._gap = True
        self._work.set()

    def _lost(self, people: Collection[Person]) -> None:
        for person in people:
            self._looks.want(person)
        self._work.set()

    # --- what the rules want ------------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Carries out what time has brought, and tries again what could not be done before."""
        now = self._now()
        for device, state in list(self._present.items()):
            if not self._rates.allow("present", device):
                who = self._links[device].principal
                del self._present[device]
                self._apply(self._seats.say((who.practice, who.account), device, state))
        self._apply(self._seats.tick(now))
        self._tell(self._watches.tick(now))
        self._work.set()

    def _apply(self, puts: Iterable[Put]) -> None:
        for put in puts:
            self._roster.put(*put.person, put.state)
            self._looks.want(put.person)
            self._work.set()

    def _tell(self, tells: Iterable[Tell]) -> None:
        frames: dict[tuple[AccountId, str], bytes] = {}
        for tell in tells:
            link = self._links.get(tell.device)
            if link is None:
                continue
            if tell.device in self._behind or link.connection.congested:
                self._behind.setdefault(tell.device, {})[tell.account] = tell.state
                continue
            frame = frames.get((tell.account, tell.state))
            if frame is None:
                frame = frames[tell.account, tell.state] = _encode(PresenceMessage(tell.account, tell.state))
            link.connection.send_frame(frame)
            self.told += 1

    # --- looking up ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Looks up what is wanted until cancelled. What cannot be looked up now is tried again by the next nudge."""
        while True:
            await self._work.wait()
            self._work.clear()
            for step in (self._look, self._answer_watches, self._close_gap):
                try:
                    await step()
                except Rejected as refused:
                    _log.warning("presence not looked up", error=refused.code.value)

    async def _look(self) -> None:
        """Looks up whoever may have changed, and tells the nodes of their watchers. Raises Rejected."""
        people = self._looks.due(self._now())
        done = 0
        try:
            states = await self._states(people)
            for start in range(0, len(people), LOOKED_UP_AT_ONCE):  # the first are told while others are looked up
                some = people[start : start + LOOKED_UP_AT_ONCE]
                circles = await self._circles_of(some)
                for person in some:
                    self._say(person, states.get(person, PresenceState.OFFLINE), circles[person].audience)
                done += len(some)
        except Rejected:
            for person in people[done:]:
                self._looks.failed(person, self._now())
            raise

    def _say(self, person: Person, state: str, audience: Sequence[DeviceId]) -> None:
        if self._looks.found(person, state, self._now()):
            for start in range(0, len(audience), HINT_DEVICES):
                self._bus.publish(PresenceMoved(b"".join(audience[start : start + HINT_DEVICES]), *person, state))

    async def _answer_watches(self) -> None:
        """Looks up whom devices have asked to watch, and answers them. Raises Rejected; answered later then."""
        asked = {
            device: (self._links[device].principal, accounts)
            for device, accounts in self._watch.items()
            if not self._rates.allow("watch", device)
        }
        if not asked:
            return
        for device, (who, accounts) in asked.items():
            del self._watch[device]
            self._watches.watch(who.practice, device, accounts)
        try:
            circles = await self._circles_of({(who.practice, who.account) for who, _ in asked.values()})
            visible = {
                device: accounts & circles[who.practice, who.account].visible
                for device, (who, accounts) in asked.items()
            }
            wanted = {(asked[device][0].practice, account) for device, seen in visible.items() for account in seen}
            states = await self._states(wanted)
        except Rejected:
            for device, (_, accounts) in asked.items():
                if device in self._links:
                    self._watch.setdefault(device, accounts)
            raise
        for device, (who, accounts) in asked.items():
            link = self._links.get(device)
            if link is not None and link.principal is who and device not in self._watch:
                self._answer(who, accounts, visible[device], states)

    def _answer(
        self, who: Principal, accounts: frozenset[AccountId], visible: frozenset[AccountId], states: dict[Person, str]
    ) -> None:
        looked_up = {
            account: states.get((who.practice, account), PresenceState.OFFLINE) if account in visible else None
            for account in accounts
        }
        if visible == accounts:
            self._denied.pop(who.device, None)
        else:
            self._denied[who.device] = accounts
        tells, doubtful = self._watches.answer(who.practice, who.device, looked_up)
        self._tell(tells)
        self._lost(doubtful)

    async def _close_gap(self) -> None:
        """Looks up everybody who is watched here, and tells what has changed. Raises Rejected; done later then."""
        if not self._gap:
            return
        taken_for = {
            (practice, account): state
            for practice, accounts in self._watches.watched().items()
            for account, state in accounts.items()
        }
        states = await self._states(taken_for)
        changed = {
            person: states.get(person, PresenceState.OFFLINE)
            for person, state in taken_for.items()
            if states.get(person, PresenceState.OFFLINE) != state
        }
        circles = await self._circles_of(changed)
        for person, state in changed.items():
            if self._watches.takes_for(person) == taken_for[person]:  # else there was a hint meanwhile, which is newer
                self._tell(self._watches.hint(person, state, circles[person].audience, self._now()))
        for device, accounts in self._denied.items():
            self._watch.setdefault(device, accounts)
        self._gap = False

    async def _states(self, people: Iterable[Person]) -> dict[Person, str]:
        """What these are over all nodes, absent ones left out. Raises Rejected."""
        found: dict[Person, str] = {}
        for practice, accounts in _by_practice(people, STATES_AT_ONCE):
            states = await self._roster.states(practice, accounts)
            found.update(((practice, account), state) for account, state in states.items())
        return found

    async def _circles_of(self, people: Collection[Person]) -> dict[Person, _Circle]:
        """Whom these may see and who may see them, now. Raises Rejected."""
        mark = self._directory.members_mark
        if mark is not self._mark or len(self._circles) >= CIRCLES_KEPT:
            self._circles, self._mark = {}, mark
        kept = self._circles  # under the mark from before the question
        found = {person: kept[person] for person in people if person in kept}
        missing = [person for person in people if person not in found]
        for practice, accounts in _by_practice(missing, LOOKED_UP_AT_ONCE):
            contacts = await self._directory.contacts(practice, accounts)
            for account in accounts:
                person = practice, account
                found[person] = kept[person] = self._circle(account, contacts.get(account, ()))
        return found

    def _circle(self, account: AccountId, contacts: Collection[Contact]) -> _Circle:
        role = next((contact.role for contact in contacts if contact.account == account), None)
        others = [contact for contact in contacts if contact.account != account]
        if role is None:
            return _Circle(frozenset(), ())
        shown = self._shown_to_clients
        return _Circle(
            frozenset(other.account for other in others if may_see(role, other.role, shown_to_clients=shown)),
            tuple(
                DeviceId(device)
                for other in others
                if may_see(other.role, role, shown_to_clients=shown)
                for device in split_ids(other.devices)
            ),
        )


def _by_practice(people: Iterable[Person], most: int) -> Iterator[tuple[PracticeId, list[AccountId]]]:
    """Accounts of one practice at a time, at most so many."""
    practices: dict[PracticeId, list[AccountId]] = {}
    for practice, account in people:
        practices.setdefault(practice, []).append(account)
    for practice, accounts in practices.items():
        for start in range(0, len(accounts), most):
            yield practice, accounts[start : start + most]
