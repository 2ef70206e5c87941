"""Appointments as hosts use them: `client.appointments`, a part of `Client`."""

import asyncio
from collections.abc import Callable
from typing import Final

from rapport.conversation import Conversation
from rapport.engine.appointments import appointment_rows, planning
from rapport.engine.link.loop import Engine
from rapport.engine.vault.turn import Turn
from rapport.meeting import Appointment
from rapport.ports import Unreachable
from rapport_protocol.appointments import Closed, Conflict, Slot, warnings, weekly_starts
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import AppointmentId
from rapport_protocol.meeting import SERIES_MOST, AppointmentOutcome, Calendar, CalendarFeed, Modality, Outcome
from rapport_protocol.meeting import Appointments as Answer

__all__ = ["PUT_WITHIN_S", "Appointments", "Planned"]

PUT_WITHIN_S: Final = 30.0
"""How long a plan, move or cancellation waits for the server, seconds; it goes on by itself afterwards."""

Planned = list[Appointment]
"""What `plan` returns, by their start."""


class Appointments:
    """Appointments with the people of our conversations.

    What is shown is what the host has sealed. Reading works without a connection; a change is in the vault before it
    leaves and survives restarts: AppointmentChanged tells when it stands, AppointmentRefused when it does not.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, from_ms: int = 0, to_ms: int | None = None) -> list[Appointment]:
        """Appointments that begin in this time, by their start; cancelled and pending ones included."""
        found = (
            each
            for each in self._engine.appointments.values()
            if from_ms <= each.start_ms and (to_ms is None or each.start_ms < to_ms)
        )
        return sorted(found, key=lambda each: (each.start_ms, each.id))

    def of(self, appointment: AppointmentId) -> Appointment | None:
        """One of them, None if it is not known (any more)."""
        return self._engine.appointments.get(appointment)

    def next(self, now_ms: int | None = None) -> Appointment | None:
        """The one that runs or comes next and is not cancelled. now_ms: None = now."""
        now_ms = self._engine.now_ms() if now_ms is None else now_ms
        return next((each for each in self.list() if each.end_ms > now_ms and not each.cancelled), None)

    async def plan(
        self,
        conversation: Conversation,
        start_ms: int,
        minutes: int,
        modality: Modality = Modality.VIDEO,
        *,
        title: str = "",
        note: str = "",
        weekly: int = 1,
        zone: str | None = None,
    ) -> Planned:
        """Makes an appointment with everybody in a conversation of which we are a therapist or the owner.

        minutes: 10 to 120. title, note: sealed, at most 200 and 2,000 bytes. weekly: so many, a week apart, at most 52;
        they keep the wall time of `zone` (None = of our office hours, else UTC).

        Returns once the server has it. LocalError: NOT_FOUND, FORBIDDEN, BAD_TIME (in the past), RULE_BROKEN (minutes,
        modality, zone), TOO_LARGE, TOO_MANY; nothing was planned then. Rejected: the server will not have it.
        Unreachable after 30 s: it goes out by itself, and is shown as pending until then.
        """
        hours = self._engine.offices.own.hours
        zone = zone or (hours.zone if hours is not None else "UTC")
        if not 1 <= weekly <= SERIES_MOST:
            raise LocalError(ErrorCode.TOO_MANY, f"weekly: 1 to {SERIES_MOST}")
        try:
            starts = weekly_starts(zone, start_ms, weekly)
        except ValueError:
            raise LocalError(ErrorCode.RULE_BROKEN, "no such time zone") from None
        ids = await self._engine.do(
            lambda turn: planning.plan(turn, conversation.id, starts, minutes, modality, zone, title, note)
        )
        await self._put(ids[0])
        return [appointment for each in ids if (appointment := self.of(each)) is not None]

    async def move(self, appointment: AppointmentId, start_ms: int, minutes: int | None = None) -> Appointment:
        """Another time for one of ours; of a series this one alone. minutes: None = as long as before.

        LocalError: as `plan`; CONFLICT when a change of it is on its way or it is cancelled. Rejected: CONFLICT when
        another device of ours was faster. Unreachable as for `plan`.
        """
        await self._engine.do(lambda turn: planning.move(turn, appointment, start_ms, minutes))
        return await self._changed(appointment)

    async def cancel(self, appointment: AppointmentId, words: str = "") -> Appointment:
        """One of ours does not take place. words: for the others, in place of its note, at most 2,000 bytes.

        Again is harmless. Raises what `move` raises.
        """
        await self._engine.do(lambda turn: planning.cancel(turn, appointment, words))
        return await self._changed(appointment)

    async def late(self, appointment: AppointmentId, minutes: int, words: str = "") -> None:
        """We begin so many minutes later (at most 120; 0 takes it back): told to the others, sealed.

        words: at most 500 bytes. LocalError: NOT_FOUND, FORBIDDEN (not ours), RULE_BROKEN, TOO_LARGE.
        """
        await self._engine.do(lambda turn: planning.late(turn, appointment, minutes, words))

    async def set_outcome(self, appointment: AppointmentId, outcome: Outcome, minutes: int = 0) -> Appointment:
        """How one of ours went, in place of what the server counted. Needs a connection. Rejected, Unreachable."""
        path = {"appointment": appointment}
        answer = await self._engine.request("appointment.outcome", path, {}, AppointmentOutcome(outcome, minutes))
        if not isinstance(answer, Answer):
            raise FormatError("outcome")
        await self._engine.do(_taking(answer))
        return self._known(appointment)

    async def calendar(self, appointment: AppointmentId) -> bytes:
        """A calendar file (RFC 5545) that says nothing but the time. Needs a connection. Rejected, Unreachable."""
        answer = await self._engine.request("appointment.calendar", {"appointment": appointment}, {})
        if not isinstance(answer, Calendar):
            raise FormatError("calendar")
        return answer.ics

    async def feed(self) -> str:
        """An address under which a calendar program reads our appointments; voids the one before.

        Whoever has it sees their times. Needs a connection. Rejected, Unreachable.
        """
        answer = await self._engine.request("calendar.feed", {}, {})
        if not isinstance(answer, CalendarFeed):
            raise FormatError("feed")
        return self._engine.core.me.base + answer.path

    async def end_feed(self) -> None:
        """The address of `feed` leads nowhere from now on. Needs a connection. Rejected, Unreachable."""
        await self._engine.request("calendar.end", {}, {})

    def warnings(
        self, start_ms: int, minutes: int, except_: AppointmentId | None = None
    ) -> tuple[Conflict | Closed, ...]:
        """What speaks against a time: others of our appointments, our closed hours. except_: the one to be moved."""
        others = [
            Slot(each.id, each.start_ms, each.minutes)
            for each in self.list()
            if not each.cancelled and each.id != except_
        ]
        return warnings(start_ms, minutes, others, self._engine.offices.own.hours)

    # --- waiting for the server ---------------------------------------------------------------------------------------

    async def _put(self, first: AppointmentId) -> None:
        try:
            async with asyncio.timeout(PUT_WITHIN_S):
                await self._engine.errand_done(planning.put_errand(first))
        except TimeoutError:
            raise Unreachable from None

    async def _changed(self, appointment: AppointmentId) -> Appointment:
        await self._put(appointment)
        return self._known(appointment)

    def _known(self, appointment: AppointmentId) -> Appointment:
        found = self.of(appointment)
        if found is None:
            raise LocalError(ErrorCode.NOT_FOUND, "no such appointment")
        return found


def _taking(answer: Answer) -> Callable[[Turn], int]:
    return lambda turn: appointment_rows.take_views(turn, answer.appointments)
