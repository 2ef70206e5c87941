"""Calls: the part of `Client` that offers and answers them, and one call with its media.

    async with rapport.Client(vault=Path("weiss")) as client:
        call = await client.calls.offer(conversation.id, endpoint=AiortcEndpoint())
        await call.until(lambda view: view.phase is DevicePhase.CONNECTED)
        ...
        await call.hang_up()

The engine signals and seals and knows nothing of media; an endpoint (`rapport.ports.CallEndpoint`) carries media and
knows nothing of keys. `LiveCall` holds the one against the other: what the engine's row says and the endpoint has not
done yet is done, whatever was lost between them.

Source: docs/protocol.md, chapter 20.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rapport.calling import CallMedia, CallMode, CallView
from rapport.engine.calls import calling_out
from rapport.engine.calls.call_rows import CallRow
from rapport.engine.calls.media_watch import MediaAtWork, MediaWatch
from rapport.engine.calls.negotiating import negotiate
from rapport.engine.link.loop import Engine
from rapport.ports import (
    CallEndpoint,
    Candidates,
    Description,
    EndpointEvent,
    MediaConnected,
    MediaFailed,
    MediaLost,
    MediaStats,
    Unreachable,
)
from rapport_protocol.calls import device_events
from rapport_protocol.calls.device_events import Event
from rapport_protocol.calls.ladder import ModeWhy
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.calls.quality import Quality
from rapport_protocol.errors import ErrorCode, LocalError, RapportError, Rejected
from rapport_protocol.ids import ID_BYTES, AppointmentId, ConversationId, MessageId
from rapport_protocol.meeting import TurnCredentials, TurnWanted
from rapport_protocol.requests import Role

__all__ = ["Calling", "Calls", "LiveCall"]

_log: Final = logging.getLogger("rapport.calls")

_SAY_CANDIDATES_S: Final = 2.0
"""Candidates are said again this often until media are connected: a signal may be lost."""
_GOODBYE_S: Final = 1.0
"""So long a program that ends waits for the server to hear that it hangs up."""
_CREDENTIALS_AGAIN_S: Final = 1.0
_CREDENTIALS_TRIES: Final = 3
"""A server without a relay, or one that does not answer, must not hold up two people on one network."""


class Calling:
    """Calls; a part of `Client`."""

    _calls: "Calls | None" = None

    @property
    def calls(self) -> "Calls":
        """Offering and answering calls, how they stand, and their media."""
        if self._calls is None:
            raise LocalError(ErrorCode.INTERNAL, "the client is used outside its `async with` block")
        return self._calls


class Calls:
    """All calls of this device; `Client.calls`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._live: dict[MessageId, LiveCall] = {}
        self.hide_address: bool | None = None
        """Whether media take the relay alone, so that nobody in a call learns our address.

        None = as the practice wants it: of clients yes, unless its server says otherwise. False where two people on one
        network are to find each other without a relay.
        """

    def live(self) -> list[CallView]:
        """Calls that have not ended on this device, newest first."""
        views = [self._engine.calls.view(call) for call in self._engine.calls.rows]
        return sorted((view for view in views if view is not None and view.is_live), key=lambda view: -view.at_ms)

    def of(self, call: MessageId) -> CallView | None:
        """How a call stands; None for one that this device does not know, or that ended more than a day ago."""
        return self._engine.calls.view(call)

    @property
    def current(self) -> "LiveCall | None":
        """The one that has media on this device."""
        views = ((call, self.of(call.id)) for call in self._live.values())
        return next((call for call, view in views if view is not None and view.here), None)

    async def offer(
        self,
        conversation: ConversationId,
        *,
        endpoint: CallEndpoint,
        media: CallMedia = CallMedia.VIDEO,
        appointment: AppointmentId | None = None,
        id: MessageId | None = None,  # noqa: A002
    ) -> "LiveCall":
        """Calls the other one of a conversation of two. Returns once the offer is in the vault; it leaves at once.

        appointment, id: of whom a host admits by this call. If the other one calls at the same time, the call with the
        higher id goes on; `LiveCall.id` then is that one's. Cancelled, it is taken back. LocalError: NOT_FOUND,
        FORBIDDEN (not a conversation of two, or this device is in another call), TOO_LARGE.
        """
        call = id or MessageId(self._engine.core.random(ID_BYTES))
        try:
            description = await self._description(endpoint, media)
            try:
                await self._engine.do(
                    lambda turn: calling_out.offer_call(turn, conversation, media, description, appointment, call)
                )
            except asyncio.CancelledError:  # it is offered nevertheless, and nobody would have it
                self._engine.ask(lambda turn: calling_out.take_back(turn, call))
                raise
        except BaseException:
            await endpoint.close()
            raise
        live = self._live[call] = LiveCall(self, self._engine, call, media)
        live.use(endpoint, described=description)
        return live

    async def _description(self, endpoint: CallEndpoint, media: CallMedia) -> Description | None:
        """What goes into the offer: nothing of a client, who learns the relay once accepted (20.3)."""
        if endpoint.gathers_first or self._engine.core.me.role not in {Role.OWNER, Role.THERAPIST}:
            return None
        await endpoint.start(None, media.value, relay_only=bool(self.hide_address))
        return await endpoint.describe()

    def open(self, call: MessageId) -> "LiveCall":
        """A call that rings or is under way, to answer or follow it. LocalError(NOT_FOUND)."""
        row = self._engine.calls.rows.get(call)
        if row is None:
            raise LocalError(ErrorCode.NOT_FOUND, "no such call")
        self._live = {key: live for key, live in self._live.items() if live.id in self._engine.calls.rows}
        return self._live.setdefault(call, LiveCall(self, self._engine, call, row.media))

    async def turn(self, *, call: MessageId | None = None, appointment: AppointmentId | None = None) -> TurnCredentials:
        """A way through firewalls, for a call that lives or for the test before an appointment: exactly one of them.

        Rejected (NOT_FOUND: not for us, or not now; RATE_LIMITED), Unreachable without a connection.
        """
        answer = await self._engine.request("turn.credentials", {}, {}, TurnWanted(call, appointment))
        if not isinstance(answer, TurnCredentials):
            raise Unreachable
        return answer

    def moved(self, live: "LiveCall", call: MessageId) -> None:
        """Both had called: the live call is another one now."""
        self._live[call] = live

    def forget(self, live: "LiveCall") -> None:
        """Its media have ended."""
        self._live = {call: each for call, each in self._live.items() if each is not live}

    async def close(self) -> None:
        """Hangs up what this device is in, and ends all media. What the server did not hear is said the next time."""
        for live in list(self._live.values()):
            with suppress(TimeoutError, RapportError):
                async with asyncio.timeout(_GOODBYE_S):
                    await live.leave()
            await live.stop()


class LiveCall:
    """One call that rings or is under way. Made by `Calls`."""

    def __init__(self, calls: Calls, engine: Engine, call: MessageId, media: CallMedia) -> None:
        self.id = call
        """16 bytes. After both have called, that of the call that goes on."""
        self.endpoint: CallEndpoint | None = None
        """Its media on this device, once there are some."""
        self.stats = MediaStats(0, 0)
        """What has come so far, as the endpoint said last."""
        self._calls = calls
        self._engine = engine
        self._watch = MediaWatch(media, _now_ms())
        self._media: MediaAtWork | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    def __repr__(self) -> str:
        return f"LiveCall({self.id.hex()[:8]})"

    @property
    def view(self) -> CallView:
        """How it stands. LocalError(NOT_FOUND) for one that ended more than a day ago."""
        view = self._engine.calls.view(self.id)
        if view is None:
            raise LocalError(ErrorCode.NOT_FOUND, "no such call")
        return view

    @property
    def mode(self) -> CallMode:
        """What is sent: no more than the person has chosen, less where the network carries less."""
        return self._watch.mode

    @property
    def quality(self) -> Quality | None:
        """How well it goes, for the last second; None before media flow."""
        return self._watch.quality

    async def until(self, holds: Callable[[CallView], bool]) -> CallView:
        """Returns once it stands so; looked at with every change. Waits for ever: give it a time limit."""
        changed = self._engine.calls.watch()
        try:
            while not holds(self.view):
                await changed.wait()
                changed.clear()
            return self.view
        finally:
            self._engine.calls.unwatch(changed)

    # --- what people do -----------------------------------------------------------------------------------------------

    async def accept(self, endpoint: CallEndpoint) -> None:
        """Takes the call with these media. Returns once that is in the vault.

        Whether this device is the one that has it shows in `view`: another one of ours may have been faster. Does
        nothing but close the endpoint if it does not ring any more, or has media here already. Cancelled, it may be
        taken nevertheless. LocalError(FORBIDDEN): this device is in a call with somebody else.
        """
        if not self.view.can_answer or self._has_media:
            if endpoint is not self.endpoint:
                await endpoint.close()
            return
        self.use(endpoint)
        try:
            await self._do(device_events.Accept())
        except RapportError:
            await self.stop()
            raise

    @property
    def _has_media(self) -> bool:
        return self._task is not None and not self._task.done()

    async def take_over(self, endpoint: CallEndpoint) -> None:
        """Takes the call over from another device of ours, with these media. Returns once that is in the vault.

        The other side's media come here then, and end there. Cancelled, the call ends. LocalError: NOT_FOUND, CONFLICT
        (no other device of ours is in it), FORBIDDEN (this device is in a call with somebody else).
        """
        try:
            if self.view.phase is not DevicePhase.ELSEWHERE:
                raise LocalError(ErrorCode.CONFLICT, "no other device is in the call")
            await self.stop()  # what it had here before it went to that device
            try:
                await self._engine.do(lambda turn: calling_out.move_here(turn, self.id))
            except asyncio.CancelledError:  # it is moved nevertheless, and nobody would have it
                self._engine.ask(lambda turn: calling_out.take_back(turn, self.id))
                raise
        except BaseException:
            await endpoint.close()
            raise
        self._calls.moved(self, self.id)
        self.use(endpoint)

    async def decline(self) -> None:
        """Refuses the call on all our devices."""
        await self._do(device_events.Decline())

    async def hang_up(self) -> None:
        """Ends the call: cancels it while nobody has answered."""
        await self._do(device_events.HangUp())

    async def leave(self) -> None:
        """Hangs up if this device is in it, and returns once the server has heard that."""
        if not self.view.here:
            return
        await self.hang_up()
        changed = self._engine.calls.watch()
        try:
            while self._engine.calls.rows[self.id].machine.goodbye is not None:
                await changed.wait()
                changed.clear()
        finally:
            self._engine.calls.unwatch(changed)

    async def set_mode(self, mode: CallMode) -> None:
        """The person here wants to send no more than that from now on; the other side is told."""
        self._watch.choose(mode, _now_ms())
        await self._send(ModeWhy.PERSON)

    async def _send(self, why: ModeWhy) -> None:
        """Sends what the ladder stands at, and tells the other side."""
        if self._media is not None and self._media.runs:
            await self._limit(self._media)
            await self._say_mode(self._media, why)

    async def _limit(self, media: MediaAtWork) -> None:
        await media.endpoint.set_mode(self._watch.mode.value, self._watch.bits_per_s)

    async def _say_mode(self, media: MediaAtWork, why: ModeWhy) -> None:
        """Once media flow, which may be to another device or in another call than when the person chose."""
        mode = self._watch.mode
        if media.told_mode not in (None, mode):
            media.told_mode = mode
            await self._engine.do(lambda turn: calling_out.say_mode(turn, self.id, mode, why.value))

    async def _failed(self) -> None:
        await self._engine.do(lambda turn: calling_out.media_failed(turn, self.id))

    async def _do(self, event: Event) -> None:
        await self._engine.do(lambda turn: calling_out.happens(turn, self.id, event))

    # --- media --------------------------------------------------------------------------------------------------------

    def use(self, endpoint: CallEndpoint, *, described: Description | None = None) -> None:
        """Its media from now on. described: what is in the offer already."""
        self.endpoint, self._ending = endpoint, False
        self._media = MediaAtWork(endpoint, described)
        self._task = asyncio.create_task(self._run(self._media), name="rapport-call")

    async def stop(self) -> None:
        """Ends its media."""
        task, self._task = self._task, None
        if task is not None:
            if not self._ending:  # else it is closing its endpoint already: broken off, that would leave sockets open
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self, media: MediaAtWork) -> None:
        """Until the call or its media are over."""
        changed = self._engine.calls.watch()
        listening = asyncio.create_task(self._listen(media), name="rapport-call-media")
        listening.add_done_callback(lambda _: changed.set())
        try:
            while await self._follow(media):
                await changed.wait()
                changed.clear()
                if listening.done():
                    listening.result()  # media that nobody listens to have failed
        except asyncio.CancelledError:
            raise
        except Exception as problem:  # of the library that carries media, whatever that raises
            _log.warning("the media of a call failed: %s", type(problem).__name__)
            await self._failed()
        finally:
            self._ending = True
            self._engine.calls.unwatch(changed)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await media.endpoint.close()
            self._calls.forget(self)

    async def _follow(self, media: MediaAtWork) -> bool:
        """Does what the call asks of its media and they have not done yet. False when it is over."""
        row = self._engine.calls.rows.get(self.id)
        if row is not None and row.goes_on_as is not None and row.goes_on_as != self.id:
            await self._go_on(media, row.goes_on_as)
            row = self._engine.calls.rows.get(self.id)
            if row is not None and row.media is CallMedia.AUDIO and self.mode is CallMode.VIDEO:
                self._watch.choose(CallMode.AUDIO, _now_ms())  # there are no pictures in theirs
        if row is None or not row.is_live or (media.runs and not row.has_media):
            return False
        if not row.has_media:
            return row.machine.phase is not DevicePhase.ELSEWHERE
        if media.runs != row.media_run:
            await self._start(media, row)
        await negotiate(self._engine.do, media, row, self._credentials)
        return True

    async def _go_on(self, media: MediaAtWork, call: MessageId) -> None:
        """Both have called: the same person, the other call. What was described for ours is of no use there."""
        self.id = call
        self._calls.moved(self, call)
        if media.described is not None:
            await self._renew(media)

    async def _renew(self, media: MediaAtWork) -> None:
        await media.renew()
        self.endpoint = media.endpoint
        self._watch.renew()

    async def _start(self, media: MediaAtWork, row: CallRow) -> None:
        """Media begin, or begin anew with another device."""
        if media.runs:
            await self._renew(media)
        media.runs, media.restarts, media.asked = row.media_run, row.restarts, row.asked
        credentials = await self._credentials()
        hides = self._calls.hide_address
        if hides is None:  # a server that gives no credentials must not bring an address out by that
            wanted = credentials is None or credentials.relay_only
            hides = wanted and self._engine.core.me.role is Role.CLIENT
        await media.endpoint.start(credentials, row.media.value, relay_only=hides)
        await self._limit(media)

    async def _credentials(self) -> TurnCredentials | None:
        """Of the relay; None when there is none to be had. Who shows their address may do without."""
        for _ in range(_CREDENTIALS_TRIES):
            try:
                return await self._calls.turn(call=self.id)
            except Rejected as refusal:
                if refusal.code is not ErrorCode.RATE_LIMITED:
                    return None
            except Unreachable:
                pass
            await asyncio.sleep(_CREDENTIALS_AGAIN_S)
        return None

    async def _listen(self, media: MediaAtWork) -> None:
        """What media say, to the engine; our candidates again and again until they are connected."""
        while True:
            endpoint = media.endpoint
            async with asyncio.TaskGroup() as both:
                saying = both.create_task(self._say_candidates(media), name="rapport-call-candidates")
                async for event in endpoint.events():
                    if endpoint is media.endpoint:  # else another one has taken its place
                        await self._heard(media, event)
                saying.cancel()
            if endpoint is media.endpoint:
                return

    async def _heard(self, media: MediaAtWork, event: EndpointEvent) -> None:
        match event:
            case Candidates():
                media.ours = (*media.ours, *event.candidates)
                media.last = event.last
                await self._say(media)
            case MediaConnected():
                media.flows = True
                await self._stands(media)
            case MediaLost():
                media.flows = False
                await self._stands(media)
            case MediaFailed() if not media.endpoint.restarts and not self.view.connected_ms:
                await self._failed()
            case MediaFailed():  # the other side may have gone to another device, or begins anew
                media.connected, media.flows, media.failed = False, False, True
                await self._do(device_events.MediaFailed())
            case MediaStats():
                self.stats = event
                await self._stands(media)
                decision = self._watch.judge(event, _now_ms(), flows=media.connected)
                if decision is not None:
                    await self._send(decision.why)

    async def _stands(self, media: MediaAtWork) -> None:
        """Tells the engine whether media flow. Nothing comes from a side that sends nothing, and nothing is missing."""
        row = self._engine.calls.rows.get(self.id)
        flows = media.flows or (media.connected and row is not None and row.mode_there is CallMode.TEXT)
        if flows and not media.connected:
            media.connected, media.failed, media.patience = True, False, 1
            await self._do(device_events.MediaConnected())
            if media.told_mode is None and row is not None:
                media.told_mode = CallMode(row.media.value)  # so much the other side takes for granted
                await self._say_mode(media, ModeWhy.PERSON)
        elif media.connected and not flows:
            media.connected = False
            await self._do(device_events.MediaLost())

    async def _say_candidates(self, media: MediaAtWork) -> None:
        while True:
            await asyncio.sleep(_SAY_CANDIDATES_S)
            if media.ours and not media.connected:
                await self._say(media)

    async def _say(self, media: MediaAtWork) -> None:
        memory, ours, last = self._engine.core.signals, media.ours, media.last
        await self._engine.do(lambda turn: calling_out.our_candidates(turn, memory, self.id, ours, last=last))


def _now_ms() -> int:
    """Of a clock that only counts."""
    return int(time.monotonic() * 1_000)
