"""The shell as hosts know it: one device at work, its vault's turns, its connection, its listeners.

Three things happen for ever: turns are run, the connection is kept, and what turns show is handed to whoever listens.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct

from rapport.engine import own_state
from rapport.engine.appointments.appointments import view_appointments
from rapport.engine.calls.call_rows import rows_of
from rapport.engine.calls.calls_at_work import CallsAtWork
from rapport.engine.core import Core, Done
from rapport.engine.device_names import all_devices
from rapport.engine.devices.device_changes import is_listed, not_recognised
from rapport.engine.flight import Flight
from rapport.engine.link.keeper import Keeper
from rapport.engine.link.link import look
from rapport.engine.link.starting import begin, program_version
from rapport.engine.link.turns import Turns
from rapport.engine.listeners import Listener, Listeners
from rapport.engine.office.office import view_offices
from rapport.engine.office.office_publishing import own_office
from rapport.engine.server_clock import ServerClock
from rapport.engine.urgent import UrgentView, view_urgent
from rapport.engine.vault import errands
from rapport.engine.vault.turn import Me, Turn
from rapport.engine.views import ContactView, ConversationView, view_all, view_contacts
from rapport.engine.waiting_room.rooms import all_words
from rapport.events import CaughtUp, ConnectionChanged, Device, SignedOut, StorageProblem
from rapport.meeting import Appointment
from rapport.ports import Api, Clock, Connector, Random, Unreachable, Vault, VaultProblem
from rapport_protocol.connection import Changed, ConnectionState
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, MessageId
from rapport_protocol.messages import CloseCode

__all__ = ["Engine"]

T = TypeVar("T")


class Engine:
    """One device at work: make it, then `run` it in a task of its own until `stop`. The vault is the caller's."""

    def __init__(self, vault: Vault, me: Me, connector: Connector, api: Api, clock: Clock, random: Random) -> None:
        self.core = Core(me, random)
        self.views: dict[ConversationId, ConversationView] = {}
        """Every conversation as it stands after the last turn."""
        self.figures: dict[str, int] = {}
        """How often what happened, by class; of storage failures (F10) those of this process."""
        self.contacts: dict[AccountId, ContactView] = {}
        """Every pinned account, our own included, as it stands after the last turn."""
        self.settings: dict[str, str] = {}
        """The settings that our devices share, by name."""
        self.devices: dict[AccountId, tuple[Device, ...]] = {}
        """The listed devices of every pinned account, our own included."""
        self.clock = clock
        self._listeners = Listeners()
        server_clock = ServerClock(clock)
        self.now_ms = server_clock.now_ms
        """The server's clock as far as it is known, milliseconds."""
        self._turns = Turns(vault, self.core, server_clock, self._deliver, self._storage_failed)
        self._keeper = Keeper(
            self.core,
            self._turns,
            server_clock,
            (connector, api),
            (random, clock),
            self._show_state,
            self._listeners.caught_up,
        )
        self.presence = self.core.presence
        """How this device is seen, and what the server says of contacts."""
        self.presence.show = self._listeners.show
        self.offices = self.core.offices
        self.urgent: dict[MessageId, UrgentView] = {}
        """Urgent messages and how they stand."""
        """Office hours: documents, and what the server says beside them."""
        self.offices.show = self._listeners.show
        self.appointments: dict[AppointmentId, Appointment] = {}
        """Every appointment as it stands after the last turn."""
        self.rooms = self.core.rooms
        """Waiting rooms by the server's word, and the places that this device keeps."""
        self.rooms.show, self.rooms.now_ms = self._listeners.show, self.now_ms
        self.calls = CallsAtWork(self._keeper.vigil.in_call)
        """Calls as they stand after the last turn."""
        self._changed = asyncio.Condition()
        self._started = asyncio.Event()
        self._errands: dict[bytes, asyncio.Future[None]] = {}
        self.caught_up = asyncio.Event()
        """Everything that waited when the present connection was made is in the vault."""

    # --- the host -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._keeper.state

    @property
    def halted(self) -> bool:
        """Whether this device is signed out for good: no connection is made any more."""
        return self._keeper.halted

    async def do(self, step: Callable[[Turn], T]) -> T:
        """Runs a step; see `Turns.do`."""
        return await self._turns.do(step)

    def ask(self, step: Callable[[Turn], object]) -> None:
        """Has a step run that nobody waits for: whoever wants it is being cancelled."""
        self._turns.ask(step).add_done_callback(look)

    def listen(self) -> Listener:
        """A new listener to all events from now on."""
        return self._listeners.add()

    def online(self, *, available: bool) -> None:
        """The host knows whether there is a network."""
        self._keeper.online(available=available)

    def stop(self) -> None:
        """Ends the connection and then `run`."""
        self._keeper.stop()

    async def wait_started(self, running: "asyncio.Task[None]") -> None:
        """Returns once the first turn has read what hosts see at once; raises what ended `running` before."""
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait({started, running}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if running.done():
            running.result()

    async def wait_until(self, state: ConnectionState) -> None:
        """Returns once the connection stands there."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.state is state)

    async def errand_done(self, errand: bytes) -> None:
        """Returns once the server has done what the errand asks for. Rejected when it refuses for good."""
        waiting = self._errands.setdefault(errand, asyncio.get_running_loop().create_future())
        try:
            if await self.do(lambda turn: errands.get(turn, errand)) is not None:
                await asyncio.shield(waiting)
        finally:
            self._errands.pop(errand, None)

    async def request(
        self, operation: str, path: Mapping[str, bytes], query: Mapping[str, int | str], body: Struct | None = None
    ) -> Struct:
        """One HTTP request over the present connection's token. Unreachable without a connection; Rejected."""
        link = self._keeper.link
        if link is None or self.state is not ConnectionState.CONNECTED:
            raise Unreachable
        return await link.request(operation, path, query, body)

    # --- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until `stop`. Raises only what is a fault of our own."""
        turns = asyncio.create_task(self._turns.run(), name="rapport-turns")
        tasks = [turns]
        try:
            self._show_views(*await self._turns.do(lambda turn: (view_all(turn), view_contacts(turn))))
            self.figures |= await self._turns.do(lambda turn: begin(turn, program_version()))
            self.settings = await self._turns.do(own_state.settings)
            self.presence.update(self.views.values(), self.settings)
            self.offices.update(*await self._turns.do(lambda turn: (view_offices(turn), own_office(turn))))
            self.offices.watch(self.views.values())
            self.urgent = {view.message: view for view in await self._turns.do(view_urgent)}
            self.appointments, words = await self._turns.do(lambda turn: (view_appointments(turn), all_words(turn)))
            self.rooms.update(self.appointments, words)
            self.calls.update(await self._turns.do(rows_of))
            self.devices, listed = await self._turns.do(lambda turn: (all_devices(turn), is_listed(turn)))
            if not listed:
                self._keeper.halt()
                self._listeners.show(SignedOut())
            self._started.set()
            tasks.append(asyncio.create_task(self._keeper.run(), name="rapport-keeper"))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self.rooms.places.close()
            for task in reversed(tasks):  # the connection goes before the turns that it needs
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            self._listeners.end()
        for task in tasks:
            if not task.cancelled():
                task.result()

    # --- what turns and the connection say ----------------------------------------------------------------------------

    async def _show_state(self, change: Changed) -> None:
        if change.code == CloseCode.AUTH_FAILED:
            self._turns.ask(not_recognised).add_done_callback(look)
        if change.state is not ConnectionState.CONNECTED:
            self.caught_up.clear()
        self._listeners.show(ConnectionChanged(change.state, change.reason, change.code))
        async with self._changed:
            self._changed.notify_all()

    def _deliver(self, done: Done, flight: Flight | None) -> None:
        if self._keeper.link is not None:
            self._keeper.link.carry_out(done, flight)
        self._show_views(done.views, done.contacts)
        self.figures |= done.figures
        self.devices |= done.devices
        if done.settings is not None:
            self.settings = done.settings
        self.offices.update(done.offices, done.own_office)
        self._take_appointments(done)
        if done.calls is not None:
            self.calls.update(done.calls)
        if done.urgent:
            self.urgent = {view.message: view for view in done.urgent}
        if done.views:
            self.offices.watch(self.views.values())
        if done.settings is not None or done.views:
            self.presence.update(self.views.values(), self.settings)
        self._answer_errands(done)
        for event in done.turn.events:
            if isinstance(event, CaughtUp) and flight is self.core.flight:
                self.caught_up.set()
                self.presence.caught_up()
            if isinstance(event, SignedOut):  # it stops connecting, and never adds itself again
                self._keeper.halt()
            self.rooms.places.note(event)
            self._listeners.show(event)

    def _answer_errands(self, done: Done) -> None:
        """Whoever waits for an errand is told that it is done, or why it never will be."""
        for errand, refusal in done.turn.finished.items():
            waiting = self._errands.get(errand)
            if waiting is None or waiting.done():
                continue
            if refusal is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(refusal)

    def _take_appointments(self, done: Done) -> None:
        for key, appointment in done.appointments.items():
            if appointment is not None:
                self.appointments[key] = appointment
            else:
                self.appointments.pop(key, None)
        if done.appointments or done.words or self.now_ms() >= self.rooms.look_ms:
            self.rooms.update(self.appointments, done.words)

    def _show_views(self, views: list[ConversationView], contacts: list[ContactView]) -> None:
        for view in views:
            self.views[view.id] = view
        for contact in contacts:
            self.contacts[contact.shown.account] = contact

    def _storage_failed(self, problem: VaultProblem) -> None:
        """F10: nothing of the turn was kept, nothing is acknowledged; the connection starts over once there is hope."""
        self.figures["F10"] = self.figures.get("F10", 0) + 1
        self._listeners.show(StorageProblem(problem.detail))
        self._keeper.storage_failed()
