"""The rules of presence: events and seconds in, what is told out.

The machine below is a cluster in small: nodes that look things up at different times, hints that travel at different
speeds, devices that come, go, break off and roam, nodes that die. Whatever happens, nobody is told who may not be,
nobody is told of somebody twice in ten seconds, and in the end everybody knows how it is.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.messages import PresenceState
from rapport_protocol.requests import Role
from rapport_server.services.presence.rules import (
    EVENT_EVERY_S,
    GRACE_S,
    LOOK_AGAIN_S,
    Looks,
    Person,
    Put,
    Seats,
    Tell,
    Watches,
    most_present,
)
from rapport_server.services.presence.visibility import VISIBLE, may_see

ONLINE, AWAY, OFFLINE, HIDDEN = "online", "away", "offline", "hidden"
HERE = PracticeId(b"p" * 16)
ANNA: Person = (HERE, AccountId(b"anna" * 4))
PHONE, LAPTOP, TABLET = (DeviceId(bytes((letter,)) * 16) for letter in b"plt")
DESK, COUCH, STRANGER = (DeviceId(bytes((letter,)) * 16) for letter in b"dcs")


# --- visibility -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("watcher", "subject"), list(itertools.product(Role, Role)))
def test_every_pair_of_roles_is_decided(watcher: Role, subject: Role) -> None:
    for shown in (False, True):
        seen = may_see(watcher, subject, shown_to_clients=shown)
        if watcher is not Role.CLIENT:
            assert seen
        else:
            assert seen is (shown and subject is not Role.CLIENT), "their therapist at most, never each other"
    assert (watcher, subject) in VISIBLE


# --- seats ------------------------------------------------------------------------------------------------------------


def test_the_most_present_device_counts() -> None:
    assert [most_present(states) for states in ((), (None,), (None, AWAY), (AWAY, ONLINE, None))] == [
        None, None, AWAY, ONLINE,
    ]  # fmt: skip


def test_a_client_is_hidden_until_it_says_otherwise_and_staff_is_online() -> None:
    seats = Seats()
    assert seats.arrive(ANNA, PHONE, Role.CLIENT, 0) == []
    assert seats.say(ANNA, PHONE, ONLINE) == [Put(ANNA, ONLINE)]
    assert seats.say(ANNA, PHONE, AWAY) == [Put(ANNA, AWAY)]
    assert seats.say(ANNA, PHONE, "of a later version") == [Put(ANNA, None)]
    for role in (Role.THERAPIST, Role.OWNER):
        assert Seats().arrive(ANNA, PHONE, role, 0) == [Put(ANNA, ONLINE)]


def test_a_lost_socket_has_ten_seconds_and_a_good_bye_none() -> None:
    seats = Seats()
    seats.arrive(ANNA, PHONE, Role.THERAPIST, 0)
    assert seats.leave(ANNA, PHONE, 100, clean=False) == []
    assert seats.tick(100 + GRACE_S - 0.1) == []
    assert seats.tick(100 + GRACE_S) == [Put(ANNA, None)]
    assert seats.tick(1000) == []
    seats.arrive(ANNA, PHONE, Role.THERAPIST, 0)
    assert seats.leave(ANNA, PHONE, 0, clean=True) == [Put(ANNA, None)]
    assert seats.leave(ANNA, PHONE, 0, clean=True) == []
    assert seats.say(ANNA, PHONE, ONLINE) == [], "who has gone says nothing"


def test_who_comes_back_within_the_grace_was_never_away() -> None:
    seats = Seats()
    seats.arrive(ANNA, PHONE, Role.CLIENT, 0)
    seats.say(ANNA, PHONE, ONLINE)
    seats.leave(ANNA, PHONE, 100, clean=False)
    assert seats.say(ANNA, PHONE, AWAY) == [], "nobody is connected who could say so"
    assert seats.arrive(ANNA, PHONE, Role.CLIENT, 105) == []
    assert seats.say(ANNA, PHONE, ONLINE) == []
    assert seats.tick(1000) == []
    seats.leave(ANNA, PHONE, 1000, clean=False)
    seats.arrive(ANNA, PHONE, Role.CLIENT, 1001)
    assert seats.tick(1000 + GRACE_S) == [Put(ANNA, None)], "it did not say so again"


def test_several_devices_leave_one_by_one() -> None:
    seats = Seats()
    seats.arrive(ANNA, PHONE, Role.CLIENT, 0)
    seats.arrive(ANNA, LAPTOP, Role.CLIENT, 0)
    assert seats.say(ANNA, PHONE, AWAY) == [Put(ANNA, AWAY)]
    assert seats.say(ANNA, LAPTOP, ONLINE) == [Put(ANNA, ONLINE)]
    assert seats.leave(ANNA, LAPTOP, 0, clean=True) == [Put(ANNA, AWAY)]
    assert seats.leave(ANNA, PHONE, 0, clean=True) == [Put(ANNA, None)]


# --- looks ------------------------------------------------------------------------------------------------------------


def test_a_second_look_corrects_what_two_nodes_said_at_the_same_time() -> None:
    looks = Looks()
    looks.want(ANNA)
    assert looks.due(0) == [ANNA]
    assert looks.found(ANNA, OFFLINE, 0)
    assert looks.due(LOOK_AGAIN_S - 0.1) == []
    assert looks.due(LOOK_AGAIN_S) == [ANNA]
    assert looks.found(ANNA, ONLINE, LOOK_AGAIN_S), "what was said was wrong"
    assert looks.due(2 * LOOK_AGAIN_S) == [ANNA]
    assert not looks.found(ANNA, ONLINE, 2 * LOOK_AGAIN_S)
    assert looks.due(1000) == [], "and nothing is left"


def test_hints_about_an_account_are_a_second_apart() -> None:
    looks = Looks()
    looks.want(ANNA)
    looks.due(0)
    looks.found(ANNA, ONLINE, 0)
    looks.want(ANNA)
    assert looks.due(0.5) == []
    assert looks.due(1) == [ANNA]
    assert looks.found(ANNA, ONLINE, 1), "something has moved: others may have been told otherwise meanwhile"


def test_what_could_not_be_looked_up_is_tried_again() -> None:
    looks = Looks()
    looks.want(ANNA)
    looks.due(0)
    looks.failed(ANNA, 0)
    assert looks.due(0.5) == []
    assert looks.due(1) == [ANNA]
    assert looks.found(ANNA, OFFLINE, 1)


# --- watches ----------------------------------------------------------------------------------------------------------


def watching(*devices: DeviceId) -> Watches:
    watches = Watches()
    for device in devices:
        watches.watch(HERE, device, [ANNA[1]])
        assert watches.answer(HERE, device, {ANNA[1]: OFFLINE}) == ([], [])
    return watches


def test_the_first_change_at_once_the_others_ten_seconds_later_and_the_last_always() -> None:
    watches = watching(DESK)
    assert watches.hint(ANNA, ONLINE, [DESK], 100) == [Tell(DESK, ANNA[1], ONLINE)]
    for at, state in ((101, OFFLINE), (102, ONLINE), (103, AWAY)):
        assert watches.hint(ANNA, state, [DESK], at) == []
    assert watches.tick(100 + EVENT_EVERY_S - 0.1) == []
    assert watches.tick(100 + EVENT_EVERY_S) == [Tell(DESK, ANNA[1], AWAY)]
    assert watches.tick(1000) == []


def test_what_came_back_to_where_it_was_is_no_news() -> None:
    watches = watching(DESK)
    watches.hint(ANNA, ONLINE, [DESK], 100)
    watches.hint(ANNA, OFFLINE, [DESK], 101)
    watches.hint(ANNA, ONLINE, [DESK], 102)
    assert watches.tick(110) == []
    assert watches.hint(ANNA, OFFLINE, [DESK], 111) == [Tell(DESK, ANNA[1], OFFLINE)], "nothing was told since 100"


def test_only_the_audience_is_told_also_of_what_was_held_back() -> None:
    watches = watching(DESK, COUCH, STRANGER)
    assert watches.hint(ANNA, ONLINE, [DESK, COUCH], 0) == [Tell(DESK, ANNA[1], ONLINE), Tell(COUCH, ANNA[1], ONLINE)]
    watches.hint(ANNA, AWAY, [DESK, COUCH], 1)
    watches.hint(ANNA, OFFLINE, [DESK], 2)
    assert watches.tick(20) == [Tell(DESK, ANNA[1], OFFLINE)], "who was put out in between hears no more"
    assert watches.answer(HERE, COUCH, {}) == ([], [])


def test_who_asks_again_and_may_not_see_any_more_is_told_offline() -> None:
    watches = watching(DESK, COUCH)
    watches.hint(ANNA, ONLINE, [DESK, COUCH], 0)
    watches.watch(HERE, DESK, [ANNA[1]])
    assert watches.answer(HERE, DESK, {ANNA[1]: None}) == ([Tell(DESK, ANNA[1], OFFLINE)], [])
    assert watches.watched() == {HERE: {ANNA[1]: ONLINE}}, "the other one still may"


def test_a_hint_that_comes_while_an_answer_is_looked_up_takes_its_place() -> None:
    watches = Watches()
    watches.watch(HERE, DESK, [ANNA[1]])
    assert watches.hint(ANNA, ONLINE, [DESK], 0) == [Tell(DESK, ANNA[1], ONLINE)]
    assert watches.answer(HERE, DESK, {ANNA[1]: OFFLINE}) == ([], []), "looked up before the hint"


def test_an_answer_that_others_were_not_told_is_looked_up_for_all() -> None:
    watches = watching(DESK)
    watches.watch(HERE, COUCH, [ANNA[1]])
    assert watches.answer(HERE, COUCH, {ANNA[1]: ONLINE}) == ([Tell(COUCH, ANNA[1], ONLINE)], [ANNA])
    assert watches.hint(ANNA, ONLINE, [DESK, COUCH], 0) == [Tell(DESK, ANNA[1], ONLINE)]


def test_many_who_ask_at_once_are_answered_and_nobody_is_looked_up_again() -> None:
    watches = Watches()
    for device in (DESK, COUCH, STRANGER):
        watches.watch(HERE, device, [ANNA[1]])
    assert watches.answer(HERE, STRANGER, {ANNA[1]: None}) == ([], [])
    for device in (DESK, COUCH):
        assert watches.answer(HERE, device, {ANNA[1]: ONLINE}) == ([Tell(device, ANNA[1], ONLINE)], [])


def test_nothing_is_kept_of_who_watches_no_more() -> None:
    watches = watching(DESK, COUCH)
    watches.hint(ANNA, ONLINE, [DESK], 0)
    watches.hint(ANNA, OFFLINE, [DESK], 1)
    watches.watch(HERE, DESK, [])
    watches.leave(HERE, COUCH)
    assert watches.watched() == {}
    assert watches.tick(100) == watches.hint(ANNA, ONLINE, [DESK], 100) == []
    assert watches.takes_for(ANNA) is None


# --- a cluster in small -----------------------------------------------------------------------------------------------

NODES = 2
DEVICES = (PHONE, LAPTOP, TABLET)
WATCHERS = {DESK: 0, COUCH: 1, STRANGER: 1}
"""By node. The stranger watches, and may not see."""


class _Node:
    def __init__(self) -> None:
        self.seats, self.looks = Seats(), Looks()
        self.looking: str | None = None
        """What a look has read and not yet told."""
        self.inbox: deque[str] = deque()


class Cluster(RuleBasedStateMachine):
    """Watchers never change node; the devices of Anna do, and her nodes may die (the roster then tells another one)."""

    @initialize()
    def start(self) -> None:
        self.now = 1000.0
        self.nodes = [_Node() for _ in range(NODES)]
        self.watches = [Watches() for _ in range(NODES)]
        self.roster: dict[int, str | None] = {}
        self.at: dict[DeviceId, int] = {}
        self.told: dict[DeviceId, list[tuple[float, str]]] = {device: [] for device in WATCHERS}
        for device, node in WATCHERS.items():
            self.watches[node].watch(HERE, device, [ANNA[1]])
            state = None if device == STRANGER else OFFLINE
            assert self.watches[node].answer(HERE, device, {ANNA[1]: state}) == ([], [])

    def truth(self) -> str:
        return most_present(self.roster.values()) or OFFLINE

    def put(self, node: int, puts: list[Put]) -> None:
        for put in puts:
            self.roster[node] = put.state
            self.nodes[node].looks.want(put.person)

    def tell(self, tells: list[Tell]) -> None:
        for tell in tells:
            assert tell.device != STRANGER, "told to who may not see"
            earlier = self.told[tell.device]
            if earlier:
                assert tell.state != earlier[-1][1], "no news"
                assert self.now - earlier[-1][0] >= EVENT_EVERY_S, "twice in ten seconds"
            earlier.append((self.now, tell.state))

    @rule(device=st.sampled_from(DEVICES), node=st.integers(0, NODES - 1), said=st.sampled_from([ONLINE, AWAY, HIDDEN]))
    def come(self, device: DeviceId, node: int, said: str) -> None:
        if self.at.get(device, node) != node:
            self.lose(device)  # another node takes the device over: its older connection closes there
        self.put(node, self.nodes[node].seats.arrive(ANNA, device, Role.CLIENT, self.now))
        self.at[device] = node
        self.say(device, said)

    @rule(device=st.sampled_from(DEVICES), said=st.sampled_from([ONLINE, AWAY, HIDDEN]))
    def say(self, device: DeviceId, said: str) -> None:
        if device in self.at:
            node = self.at[device]
            self.put(node, self.nodes[node].seats.say(ANNA, device, said))

    @rule(device=st.sampled_from(DEVICES))
    def lose(self, device: DeviceId) -> None:
        if device in self.at:
            node = self.at.pop(device)
            self.put(node, self.nodes[node].seats.leave(ANNA, device, self.now, clean=False))

    @rule(device=st.sampled_from(DEVICES))
    def leave(self, device: DeviceId) -> None:
        if device in self.at:
            node = self.at.pop(device)
            self.put(node, self.nodes[node].seats.leave(ANNA, device, self.now, clean=True))

    @rule(node=st.integers(0, NODES - 1))
    def die(self, node: int) -> None:
        """Its lease lapses, and one that is left looks."""
        self.roster.pop(node, None)
        self.at = {device: where for device, where in self.at.items() if where != node}
        inbox = self.nodes[node].inbox
        self.nodes[node] = _Node()
        self.nodes[node].inbox = inbox
        self.nodes[1 - node].looks.want(ANNA)

    @rule(node=st.integers(0, NODES - 1))
    def look(self, node: int) -> None:
        here = self.nodes[node]
        if here.looking is None and here.looks.due(self.now):
            here.looking = self.truth()

    @rule(node=st.integers(0, NODES - 1))
    def say_what_was_found(self, node: int) -> None:
        here = self.nodes[node]
        state, here.looking = here.looking, None
        if state is not None and here.looks.found(ANNA, state, self.now):
            for other in self.nodes:
                other.inbox.append(state)

    @rule(device=st.sampled_from(DEVICES), node=st.integers(0, NODES - 1), said=st.sampled_from([ONLINE, AWAY, HIDDEN]))
    def overtake(self, device: DeviceId, node: int, said: str) -> None:
        """While one node looks, a device speaks at the other one, which is the faster to tell."""
        self.look(node)
        self.come(device, 1 - node, said)
        self.look(1 - node)
        self.say_what_was_found(1 - node)
        self.say_what_was_found(node)

    @rule(node=st.integers(0, NODES - 1))
    def hear(self, node: int) -> None:
        if self.nodes[node].inbox:
            allowed = [device for device in (DESK, COUCH) if WATCHERS[device] == node]
            self.tell(self.watches[node].hint(ANNA, self.nodes[node].inbox.popleft(), allowed, self.now))

    @rule(seconds=st.sampled_from([0.2, 1.0, 4.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for number, node in enumerate(self.nodes):
            self.put(number, node.seats.tick(self.now))
            self.tell(self.watches[number].tick(self.now))

    def teardown(self) -> None:
        if not hasattr(self, "nodes"):
            return
        for _ in range(40):
            self.wait(1.0)
            for node in range(NODES):
                self.say_what_was_found(node)
                self.look(node)
                self.say_what_was_found(node)
            for node in range(NODES):
                while self.nodes[node].inbox:
                    self.hear(node)
        for device in (DESK, COUCH):
            last = self.told[device][-1][1] if self.told[device] else OFFLINE
            assert last == self.truth(), "the last state is told"
        connected = {self.nodes[node].seats._people[ANNA][device].state for device, node in self.at.items()}
        assert self.truth() == (most_present(connected) or PresenceState.OFFLINE), (
            "nobody is there who is not connected"
        )


TestCluster: Any = Cluster.TestCase
TestCluster.settings = settings(max_examples=150, stateful_step_count=40)
