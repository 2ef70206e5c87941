"""When somebody is there, and when that is worth telling: three pure machines, events and monotonic seconds in.

`Seats`, at the node that a device is connected to, says what each account is here. `Looks` says when to ask what it is
over all nodes and to tell the nodes of its watchers. `Watches`, at the node of a watcher, says which device is told
what and when.

    device of A ─> Seats ─> roster        Looks ─ what is A, over all nodes? ─> hint ─> Watches ─> devices that watch A
                      └──────────────────────^

Nothing here waits or knows a socket; whoever drives it calls `tick` about once a second, and carries out what is
returned. Source: docs/protocol.md, "Presence".
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.messages import PresenceState
from rapport_protocol.requests import Role

__all__ = [
    "EVENT_EVERY_S",
    "GRACE_S",
    "LOOK_AGAIN_S",
    "Looks",
    "Person",
    "Put",
    "Seats",
    "Tell",
    "Watches",
    "most_present",
]

GRACE_S: Final = 10.0
"""Seconds that a device whose connection was lost counts as still there: most are back by then."""
EVENT_EVERY_S: Final = 10.0
"""A watcher is told of an account at most once in so many seconds, however often it comes and goes."""
LOOK_AGAIN_S: Final = 1.0
"""Seconds after a hint at which its node looks again: two nodes may have told opposite things at the same time, and
the one whose word arrived last may be wrong. Also the shortest time between two hints about an account."""

Person = tuple[PracticeId, AccountId]
"""An account with the practice that it is found under."""

_ORDER: Final[dict[str | None, int]] = {None: 0, PresenceState.AWAY: 1, PresenceState.ONLINE: 2}


def most_present(states: Iterable[str | None]) -> str | None:
    """The most present of these: `online`, else `away`, else None for nobody there."""
    return max(states, key=_ORDER.__getitem__, default=None)


def _seen_as(said: str) -> str | None:
    """What others see of a device that said this; what is not known is hidden."""
    return said if said in (PresenceState.ONLINE, PresenceState.AWAY) else None


class Put(Struct, frozen=True):
    """The account is `state` at this node from now on, None for not at all: enter it in the roster and look."""

    person: Person
    state: str | None


class _Seat(Struct):
    """A device that is connected here, or was a moment ago."""

    state: str | None
    unsaid: str | None
    """What it is once a state kept from an earlier connection runs out; as `state` where nothing was kept."""
    connected: bool = True
    until: float | None = None
    """Monotonic second at which the kept state, or without a connection the seat itself, ends."""


class Seats:
    """What every account is at this node, from what its devices say and whether they are connected."""

    def __init__(self) -> None:
        self._people: dict[Person, dict[DeviceId, _Seat]] = {}
        self._ending: dict[tuple[Person, DeviceId], float] = {}
        """Seats with an `until`."""

    def arrive(self, person: Person, device: DeviceId, role: Role, now: float) -> list[Put]:
        """A device has signed in. It is as it was before, if it comes back within the grace; else by its role."""
        seats = self._people.setdefault(person, {})
        before = self._state(person)
        unsaid = None if role is Role.CLIENT else PresenceState.ONLINE
        seat = _Seat(unsaid, unsaid)
        earlier = seats.get(device)
        if earlier is not None and earlier.state != unsaid:
            seat.state, seat.until = earlier.state, earlier.until or now + GRACE_S
        seats[device] = seat
        self._note(person, device, seat)
        return self._moved(person, before)

    def say(self, person: Person, device: DeviceId, said: str) -> list[Put]:
        """A connected device says how it wants to be seen."""
        seat = self._people.get(person, {}).get(device)
        if seat is None or not seat.connected:
            return []
        before = self._state(person)
        seat.state = seat.unsaid = _seen_as(said)
        seat.until = None
        self._note(person, device, seat)
        return self._moved(person, before)

    def leave(self, person: Person, device: DeviceId, now: float, *, clean: bool) -> list[Put]:
        """The connection is gone. clean: the device said good-bye, so that there is no grace."""
        seat = self._people.get(person, {}).get(device)
        if seat is None:
            return []
        before = self._state(person)
        if clean:
            self._drop(person, device)
        else:
            seat.connected, seat.until = False, now + GRACE_S
            self._note(person, device, seat)
        return self._moved(person, before)

    def tick(self, now: float) -> list[Put]:
        """Ends what has run out by now."""
        puts = []
        for (person, device), until in list(self._ending.items()):
            if until > now:
                continue
            before, seat = self._state(person), self._people[person][device]
            if seat.connected:
                seat.state, seat.until = seat.unsaid, None
                self._note(person, device, seat)
            else:
                self._drop(person, device)
            puts += self._moved(person, before)
        return puts

    def _note(self, person: Person, device: DeviceId, seat: _Seat) -> None:
        if seat.until is None:
            self._ending.pop((person, device), None)
        else:
            self._ending[person, device] = seat.until

    def _drop(self, person: Person, device: DeviceId) -> None:
        self._ending.pop((person, device), None)
        del self._people[person][device]
        if not self._people[person]:
            del self._people[person]

    def _state(self, person: Person) -> str | None:
        return most_present(seat.state for seat in self._people.get(person, {}).values())

    def _moved(self, person: Person, before: str | None) -> list[Put]:
        after = self._state(person)
        return [] if after == before else [Put(person, after)]


class Looks:
    """Which accounts must be looked up over all nodes now, and what of it is told to the nodes of their watchers."""

    def __init__(self) -> None:
        self._wanted: dict[Person, None] = {}
        """To be looked up as soon as may be, because something has changed."""
        self._again: dict[Person, tuple[float, str | None]] = {}
        """When this node looks again, and what it has said; at most a second old."""

    def want(self, person: Person) -> None:
        """Something about this account has changed."""
        self._wanted[person] = None

    def due(self, now: float) -> list[Person]:
        """Whom to look up now. Each is answered by `found`, or by `failed`."""
        wanted = [person for person in self._wanted if self._free(person, now)]
        for person in wanted:
            del self._wanted[person]
            self._again.pop(person, None)
        again = [person for person, (at, _) in self._again.items() if at <= now]
        return wanted + again

    def _free(self, person: Person, now: float) -> bool:
        again = self._again.get(person)
        return again is None or again[0] <= now

    def found(self, person: Person, state: str, now: float) -> bool:
        """What a look has found. True: tell the nodes of the watchers, and look again in a second."""
        said = self._again.pop(person, None)
        if said is not None and said[1] == state:
            return False  # the second look: it is as it was told
        self._again[person] = now + LOOK_AGAIN_S, state
        return True

    def failed(self, person: Person, now: float) -> None:
        """It could not be looked up: it is tried again in a second."""
        self._again[person] = now + LOOK_AGAIN_S, None


class Tell(Struct, frozen=True):
    """This device is to be told that the account is `state` now."""

    device: DeviceId
    account: AccountId
    state: str


class _Watched(Struct):
    """An account that devices of this node watch."""

    watchers: dict[DeviceId, None]
    """In the order in which they came."""
    state: str = PresenceState.OFFLINE
    known: bool = False
    """Somebody here was told how it is."""
    told_at: float = -EVENT_EVERY_S
    """When watchers were last told of a change."""
    allowed: frozenset[DeviceId] = frozenset()
    """Who may be told of the state that is held back."""


class Watches:
    """Who at this node is told what: of each account at most one change in ten seconds, the last state always."""

    def __init__(self) -> None:
        self._told: dict[DeviceId, dict[AccountId, str]] = {}
        """Per watching device and account, what it was told last."""
        self._watched: dict[Person, _Watched] = {}
        self._held: set[Person] = set()
        self._asked: dict[DeviceId, set[AccountId]] = {}
        """What `answer` is still to say; a hint that comes first takes its place."""

    def watch(self, practice: PracticeId, device: DeviceId, accounts: Collection[AccountId]) -> None:
        """Replaces whom a device watches; `answer` follows. What it was told of those that stay is remembered."""
        before = self._told.get(device, {})
        after = {account: before.get(account, PresenceState.OFFLINE) for account in accounts}
        for account in before.keys() - after.keys():
            self._forget(practice, device, account)
        for account in after:
            self._watched.setdefault((practice, account), _Watched({})).watchers[device] = None
        if after:
            self._told[device], self._asked[device] = after, set(after)
        else:
            self._told.pop(device, None)
            self._asked.pop(device, None)

    def leave(self, practice: PracticeId, device: DeviceId) -> None:
        """The device watches nobody any more."""
        self.watch(practice, device, ())

    def _forget(self, practice: PracticeId, device: DeviceId, account: AccountId) -> None:
        watched = self._watched[practice, account]
        del watched.watchers[device]
        if not watched.watchers:
            del self._watched[practice, account]
            self._held.discard((practice, account))

    def answer(
        self, practice: PracticeId, device: DeviceId, states: Mapping[AccountId, str | None]
    ) -> tuple[list[Tell], list[Person]]:
        """What a device is told once everybody it watches was looked up, and who must be looked up for all.

        states: what was looked up; None for those that this device may not see, who are offline to it.
        """
        tells, doubtful = [], []
        asked, told = self._asked.pop(device, set()), self._told.get(device, {})
        for account in asked & states.keys():
            state = states[account]
            if state is not None and not self._agrees((practice, account), state):
                doubtful.append((practice, account))
            seen_as = state or PresenceState.OFFLINE
            if not seen_as == told[account] == PresenceState.OFFLINE:
                told[account] = seen_as
                tells.append(Tell(device, account, seen_as))
        return tells, doubtful

    def _agrees(self, person: Person, state: str) -> bool:
        """Whether the other watchers were told this state, or are about to be told something newer."""
        watched = self._watched[person]
        if not watched.known or (len(watched.watchers) == 1 and person not in self._held):
            watched.state, watched.known = state, True
        return watched.state == state or person in self._held

    def hint(self, person: Person, state: str, devices: Collection[DeviceId], now: float) -> list[Tell]:
        """An account is now `state`, and of this node's devices these may see it."""
        watched = self._watched.get(person)
        if watched is None:
            return []
        watched.state, watched.known, watched.allowed = state, True, frozenset(devices)
        if now - watched.told_at < EVENT_EVERY_S:
            self._held.add(person)
            return []
        return self._tell(person, watched, now)

    def tick(self, now: float) -> list[Tell]:
        """What was held back and may be told by now."""
        tells = []
        for person in list(self._held):
            watched = self._watched[person]
            if now - watched.told_at >= EVENT_EVERY_S:
                tells += self._tell(person, watched, now)
        return tells

    def _tell(self, person: Person, watched: _Watched, now: float) -> list[Tell]:
        self._held.discard(person)
        account, state = person[1], watched.state
        tells = []
        for device in watched.watchers:
            if device not in watched.allowed:
                continue
            if device in self._asked:
                self._asked[device].discard(account)
            if self._told[device][account] != state:
                self._told[device][account] = state
                tells.append(Tell(device, account, state))
        if tells:
            watched.told_at = now
        return tells

    def watched(self) -> dict[PracticeId, dict[AccountId, str]]:
        """Everybody who is watched here, by practice, with the state that this node takes them to be in."""
        found: dict[PracticeId, dict[AccountId, str]] = {}
        for (practice, account), watched in self._watched.items():
            found.setdefault(practice, {})[account] = watched.state
        return found

    def takes_for(self, person: Person) -> str | None:
        """What this node takes an account for; None when nobody here watches it."""
        watched = self._watched.get(person)
        return None if watched is None else watched.state
