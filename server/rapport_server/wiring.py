"""What a node consists of below its doors, wired: which part hears of what.

Source: docs/protocol.md; docs/nodes.md for the hints.
"""

import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

import msgspec

from rapport_protocol.calls.arbiter import CallPhase, CallRecord
from rapport_protocol.errors import Rejected
from rapport_protocol.ids import DeviceId, PracticeId
from rapport_server.calling import CALL_TIMER
from rapport_server.claim_limits import ClaimLimits
from rapport_server.config import Config, RateLimits
from rapport_server.config import Turn as TurnSettings
from rapport_server.doors.http.handlers import Services
from rapport_server.hints import (
    Addressed,
    CallMoved,
    Hint,
    MembersMoved,
    OfficeMoved,
    PresenceMoved,
    PushSubscribed,
    RoomMoved,
    Spent,
)
from rapport_server.live_hour import LiveHour
from rapport_server.meetings import APPOINTMENT_TIMER, ROOM_TIMER
from rapport_server.membership_chains import Chains
from rapport_server.outward import Outward
from rapport_server.ports import Bus, Clock, Roster, Store
from rapport_server.rates import Rate, Rates
from rapport_server.records import URGENT_TIMER, Job
from rapport_server.services.accounts import Accounts
from rapport_server.services.budgets import Budgets
from rapport_server.services.calls import Calls, Relay, Turn, Waking
from rapport_server.services.conversations import Conversations
from rapport_server.services.history import History
from rapport_server.services.invites import INVITE_TIMER, Invites
from rapport_server.services.keys import Keys
from rapport_server.services.linking import Linking
from rapport_server.services.messaging import Delivery, Messaging
from rapport_server.services.notifying import OWED_TIMER, PUSH_TIMER
from rapport_server.services.office import OfficeNews, Publishing
from rapport_server.services.presence import Presence
from rapport_server.services.seen import Seen
from rapport_server.services.sign_in import SignIn
from rapport_server.services.signals import Signals
from rapport_server.services.timers import DueTimers, TimerHandler
from rapport_server.services.urgent import Urgent

__all__ = ["Parts", "wire"]


@dataclass(slots=True)
class Parts:
    """What a node consists of, below its doors."""

    store: Store
    clock: Clock
    bus: Bus
    sign_in: SignIn
    messaging: Messaging
    delivery: Delivery
    calls: Calls
    waking: Waking
    signals: Signals
    presence: Presence
    news: OfficeNews
    hour: LiveHour
    seen: Seen
    services: Services
    due: DueTimers
    rates: Rates
    budgets: Budgets
    outward: Outward

    def take(self, hint: Hint) -> None:
        """What this node does about a hint."""
        if isinstance(hint, PresenceMoved):
            self.presence.take(hint)
        elif isinstance(hint, OfficeMoved):
            self.news.take(hint)
        elif isinstance(hint, CallMoved):
            self.calls.take(hint)
        elif isinstance(hint, RoomMoved):
            self.hour.take(hint)
        elif isinstance(hint, MembersMoved):
            self.store.note_members_moved()
        elif isinstance(hint, Spent):
            self.budgets.take(hint)
        elif isinstance(hint, PushSubscribed):
            self.outward.notifying.take(hint)
        elif isinstance(hint, Addressed):
            self.delivery.take(hint)

    def look_again(self) -> None:
        """What this node does when hints may have been lost."""
        self.store.note_members_moved()
        self.delivery.look_again()
        self.presence.look_again()
        self.news.look_again()
        self.hour.look_again()
        self.calls.look_again()
        self.outward.notifying.take(None)


def wire(
    config: Config, store: Store, clock: Clock, bus: Bus, roster: Roster, origins: list[str], outward: Outward
) -> Parts:
    """All parts of a node; nothing runs yet. origins: own names of the server."""
    shared = bool(config.bus.url)
    rates = Rates(dict(_limits(config.rates)), clock, shared=shared)
    claims = ClaimLimits(clock, shared=shared)
    urgent = Urgent(store, bus, clock, outward.notifying.sending, tell=outward.tell)
    delivery = Delivery(store, store, bus, urgent.acknowledged, outward.notifying.left)
    is_connected = partial(_connected, delivery, roster)
    hour = LiveHour(store, bus, clock, rates, outward.owed, is_connected)
    news = OfficeNews(store, bus, clock, rates)
    waking = Waking(store, clock, outward.owed, is_connected)
    calls = Calls(store, delivery, bus, clock, rates, waking, partial(_call_moved, hour, news, outward))
    chains = Chains(store)
    services = Services(
        Accounts(store, bus, clock, chains, outward.webhooks.tell),
        Invites(store, store, bus, clock, chains),
        Keys(store, bus, clock, claims),
        Conversations(store, bus, clock, chains),
        History(store),
        Linking(store, clock),
        Publishing(store, clock, news.announce, outward.webhooks.tell),
        urgent,
        outward.notifying,
        Turn(store, clock, rates, _relay(config.turn), hour.appointments.may_test),
        hour.appointments,
        hour.rooms,
        hour.links,
    )
    due = DueTimers(store, store, bus, clock, _handlers(services, calls, hour, outward))
    parts = Parts(
        store=store,
        clock=clock,
        bus=bus,
        sign_in=SignIn(store, clock, secrets.token_bytes, origins),
        messaging=Messaging(store, partial(_deliver, delivery.deliver, outward), clock, rates, due.soon, calls),
        delivery=delivery,
        calls=calls,
        waking=waking,
        signals=Signals(store, bus, clock, rates, delivery.say),
        presence=Presence(store, bus, roster, clock, rates, shown_to_clients=config.presence.shown_to_clients),
        news=news,
        hour=hour,
        seen=Seen(store, lambda: [link.principal.device for link in delivery.links()], clock),
        services=services,
        due=due,
        rates=rates,
        budgets=Budgets(bus, rates, claims),
        outward=outward,
    )
    bus.subscribe(parts.take, parts.look_again)
    return parts


def _handlers(services: Services, calls: Calls, hour: LiveHour, outward: Outward) -> dict[str, TimerHandler]:
    """Who fires which timers."""
    return {
        INVITE_TIMER: services.invites.expire,
        URGENT_TIMER: services.urgent.fire,
        CALL_TIMER: calls.fire,
        APPOINTMENT_TIMER: hour.appointments.fire,
        ROOM_TIMER: hour.rooms.fire,
        PUSH_TIMER: outward.notifying.sweep,
        OWED_TIMER: outward.owed.fire,
    }


async def _connected(delivery: Delivery, roster: Roster, device: DeviceId) -> bool:
    """Whether a device is connected to any node. Where the others cannot be asked it is not: better woken in vain."""
    try:
        return delivery.has(device) or bool(await roster.connected([device]))
    except Rejected:
        return False


def _deliver(deliver: Callable[[Collection[Job]], None], outward: Outward, jobs: Collection[Job]) -> None:
    """A synced batch: to who is connected, and a note about who is not."""
    deliver(jobs)
    outward.committed(jobs)


def _call_moved(hour: LiveHour, news: OfficeNews, outward: Outward, practice: PracticeId, call: CallRecord) -> None:
    """A call has changed, and is committed: who else goes by it."""
    if call.version == 1 or call.phase is not CallPhase.RINGING:  # connected, too: the node of its accept may be gone
        hour.rooms.call_moved(practice, call)
    if call.accepted_ms and call.phase in (CallPhase.ACCEPTED, CallPhase.ENDED):
        news.called((practice, call.caller))
        news.called((practice, call.callee))
    if call.was_missed:
        ids = {"call": call.id.hex(), "caller": call.caller.hex(), "callee": call.callee.hex()}
        outward.webhooks.tell(practice, "call.missed", ids)


def _relay(settings: TurnSettings) -> Relay:
    return Relay(tuple(settings.urls), settings.secret.encode(), settings.ttl_s, settings.relay_only)


def _limits(rates: RateLimits) -> Iterable[tuple[str, Rate]]:
    for field in msgspec.structs.fields(rates):
        limit = getattr(rates, field.name)
        yield field.name, Rate(limit.burst, limit.per_s)
