"""The engine between the vault and the shell.

Runs steps as one turn, then does what has become due and sends what may go.

The shell and the tests drive the same object: `perform` inside a vault transaction, effects carried out after it has
committed. It holds what is gone with a connection (what is unanswered, which calls are under way) and nothing else that
changes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from rapport.agreements import OwnOffice
from rapport.engine import agenda, outbox
from rapport.engine.appointments.appointments import changed_appointments
from rapport.engine.calls.call_rows import CallRow
from rapport.engine.calls.calls import changed_calls
from rapport.engine.device_names import changed_devices
from rapport.engine.expiry import next_expiry, remove_expired
from rapport.engine.flight import Flight
from rapport.engine.office.office import OfficeView, changed_offices
from rapport.engine.office.office_publishing import changed_own_office
from rapport.engine.office.promises import settle_written
from rapport.engine.office_words import OfficeWords
from rapport.engine.own_state import changed_settings
from rapport.engine.presence import WhoIsThere
from rapport.engine.security_log import keep_noticed
from rapport.engine.shown.searching import index_written
from rapport.engine.signals import SignalMemory
from rapport.engine.urgent import UrgentView, changed_urgent, settle_urgent
from rapport.engine.vault import errands
from rapport.engine.vault.figures import changed_figures
from rapport.engine.vault.turn import Call, Me, Turn
from rapport.engine.views import ContactView, ConversationView, changed_contacts, changed_views
from rapport.engine.waiting_room.room_doors import RoomDoors
from rapport.engine.waiting_room.rooms import changed_words
from rapport.events import Device
from rapport.meeting import Appointment, RoomWord
from rapport.ports import Random, Transaction, VaultProblem
from rapport_protocol.ids import AccountId, AppointmentId

__all__ = ["Core", "Done", "Step"]

Step = Callable[[Turn], Any]
"""A state change: synchronous, whole, over one transaction."""

_ROUNDS: Final = 8
"""Local errands may plan further ones that are due at once; after so many rounds the rest waits for the next turn."""


class Done(Struct):
    """What came of a turn. results: per step its value or the exception it raised (then nothing of it was kept).

    turn: its effects. views, contacts: those that look different now. wake_ms: when the next turn is due, by the
    server's clock; None = nothing is planned. figures: the counts that have changed. settings: all of them if any has.
    """

    results: list[Any]
    turn: Turn
    views: list[ConversationView]
    contacts: list[ContactView]
    wake_ms: int | None
    figures: dict[str, int] = {}
    settings: dict[str, str] | None = None
    devices: dict[AccountId, tuple[Device, ...]] = {}
    """Listed devices of the accounts for which they have changed."""
    offices: list[OfficeView] = []
    """Office hours that look different now."""
    own_office: OwnOffice | None = None
    """Our own, if they have changed."""
    urgent: list[UrgentView] = []
    """All urgent messages if one stands differently now."""
    appointments: dict[AppointmentId, Appointment | None] = {}
    """Appointments that look different now; None: it is not there any more."""
    words: dict[AppointmentId, RoomWord] = {}
    """What hosts have just said to us at a door."""
    calls: list[CallRow] | None = None
    """All calls that are kept, if one stands differently now."""


class Core:
    """One device's engine. Not for use by two threads at a time: the vault runs one transaction after the other."""

    def __init__(self, me: Me, random: Random) -> None:
        self.me = me
        self.random = random
        self.flight: Flight | None = None
        """What is unanswered on the present connection; None = not signed in."""
        self.signals = SignalMemory()
        self.presence = WhoIsThere(me.account, me.role)
        """What was said of presence; the loop's, no turn touches it."""
        self.offices = OfficeWords(me.account, me.role)
        """The same of office hours; documents come from the turns."""
        self.rooms = RoomDoors(me.account, me.role)
        """The same of waiting rooms."""

    def connected(self) -> Flight:
        """Signed in: from the next turn on things are sent. Returns the new connection's flight."""
        self.flight = Flight(self.signals)
        return self.flight

    def disconnected(self) -> None:
        """The connection is gone, and with it what was on its way."""
        self.flight = None

    def perform(self, tx: Transaction, now_ms: int, steps: Sequence[Step], flight: Flight | None) -> Done:
        """One turn.

        The steps in order, each failing alone; what is due; what may be sent. VaultProblem ends the whole turn.

        flight: of the connection that the turn is for, as the loop saw it when it began. Signing in while the vault's
        thread is at work must not give this turn sends that nobody would carry out.
        """
        turn = Turn(tx, self.me, now_ms, self.random)
        turn.waits, turn.ready = self.rooms.places.waits, self.rooms.places.ready
        turn.online = flight is not None and flight.caught_up
        remove_expired(turn)
        results = [self._one(turn, step) for step in steps]
        connected, under_way = flight is not None, flight.under_way if flight is not None else set[bytes]()
        for _ in range(_ROUNDS):
            before = len(turn.calls)
            agenda.run_due(turn, connected=connected, under_way=under_way)
            under_way.update(call.errand for call in turn.calls[before:])
            if flight is not None:
                outbox.fill(turn, flight)
            if not agenda.anything_due(turn, connected=connected, under_way=under_way):
                return self._done(turn, results, connected=connected)
        return self._done(turn, results, connected=connected, again=True)

    @classmethod
    def _done(cls, turn: Turn, results: list[Any], *, connected: bool, again: bool = False) -> Done:
        """again: there was no end of what is due."""
        remove_expired(turn)  # what came too late is not kept for a moment
        settle_written(turn)
        settle_urgent(turn)
        index_written(turn)
        keep_noticed(turn)
        views, contacts, figures = changed_views(turn), changed_contacts(turn), changed_figures(turn)
        wake_ms = turn.now_ms if again else cls._wake(turn, connected=connected)
        return Done(
            results, turn, views, contacts, wake_ms, figures, changed_settings(turn), changed_devices(turn),
            changed_offices(turn), changed_own_office(turn), changed_urgent(turn),
            changed_appointments(turn), changed_words(turn), changed_calls(turn),
        )  # fmt: skip

    @staticmethod
    def _one(turn: Turn, step: Step) -> Any:
        try:
            with turn.part():
                return step(turn)
        except VaultProblem:
            raise
        except Exception as problem:
            return problem

    @staticmethod
    def _wake(turn: Turn, *, connected: bool) -> int | None:
        times = [errands.next_due(turn.tx, connected=connected, above=turn.now_ms), next_expiry(turn.tx)]
        if connected:
            times.append(outbox.next_direct_due(turn))
        return min((time for time in times if time is not None), default=None)

    # --- calls that come back -----------------------------------------------------------------------------------------

    def finished(self, call: Call, outcome: Step) -> Step:
        """The step for a call's end: what `agenda` does with it, with the errand free to be called again."""

        def step(turn: Turn) -> None:
            if self.flight is not None:
                self.flight.under_way.discard(call.errand)
            errand = errands.get(turn, call.errand)
            if errand is not None:
                agenda.carefully(turn, errand, outcome)
            if errands.get(turn, call.errand) is None:
                turn.finished.setdefault(call.errand, None)

        return step
