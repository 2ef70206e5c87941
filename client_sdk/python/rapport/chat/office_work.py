"""One's own hours without a chat: what `rapport office` does. Thin over the client; lines are those of `/hours`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import rapport
from rapport.chat.face import Misuse
from rapport.chat.hours_text import changed, hours_lines, problem_words, repair_words
from rapport.chat.moments import instant_of, machine_zone, now, zone_of
from rapport.chat.names import Names
from rapport.chat.office_calendar import from_ics, to_ics
from rapport.chat.offices import colleague_named, preview_lines, with_holidays
from rapport.terminal import printable
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.office.hours import OfficeHours, OverrideState
from rapport_protocol.office.rules import HoursRefused

__all__ = ["OfficeWork"]

_WITHIN_S: Final = 30.0
"""How long a command waits for the server; what it has not got by then goes out with the next connection."""


class OfficeWork:
    """One command on one vault. say: prints a line. Whatever cannot be done is a LocalError in words."""

    def __init__(self, vault: Path, say: Callable[[str], None]) -> None:
        self._vault = vault
        self._say = say

    async def show(self) -> None:
        """The hours as they are, and what clients see now."""
        async with self._client() as client:
            mine, names = client.office.mine, _names(client)
            if mine.hours is None:
                self._say("You have published no hours: rapport office set 'mon-thu 09:00-17:00' 'promise 8h'")
                return
            today = datetime.now(UTC).astimezone(zone_of(mine.hours.zone)).date()
            lines = hours_lines(mine.hours, names.of, today, own=True)
            self._say("\n".join([*lines, "", *preview_lines(mine.hours, now())]))
            if mine.pending:
                self._say("\nNot at the server yet.")

    async def set(self, lines: tuple[str, ...]) -> None:
        """Changes, one after the other, published together."""
        async with self._client() as client:
            await self._set(client, lines)

    async def leave(self, first: str, last: str, cover: str) -> None:
        """A leave from date to date. cover: a colleague's name, "" for none."""
        async with self._client() as client:
            await self._set(client, (f"leave {first} {last}{f' cover {cover}' if cover else ''}",))

    async def holidays(self, country: str, region: str) -> None:
        """Closed on the public holidays of this year and the next."""
        async with self._client() as client:
            await self._publish(client, await with_holidays(client, _base(client), country, region))

    async def away(self, until: str, state: str) -> None:
        """Said by hand until then."""
        async with self._client() as client:
            until_ms = instant_of(until, now(), zone_of(_base(client).zone))
            if until_ms is None:
                raise Misuse("Until when: 'until 14:00', 'tomorrow 09:00', '2026-12-24 14:00' or '2h'.")
            await client.office.step_away(until_ms, OverrideState(state))
            await self._sent(client)

    async def back(self) -> None:
        """Nothing is said by hand any more."""
        async with self._client() as client:
            await client.office.come_back()
            await self._sent(client)

    async def export(self, file: Path) -> None:
        """Writes the hours from today on as a calendar file."""
        async with self._client() as client:
            hours = client.office.mine.hours
            if hours is None:
                raise Misuse("You have published no hours yet.")
            with _calendar_package():
                text = to_ics(hours, client.account, now())
            await asyncio.to_thread(file.write_text, text, encoding="utf-8", newline="")
            self._say(f"Written to {file}.")

    async def take(self, file: Path) -> None:
        """Takes leaves and dates from a calendar file, and publishes them."""
        try:
            text = await asyncio.to_thread(file.read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise LocalError(ErrorCode.BAD_FORMAT, "this file cannot be read as a calendar") from None
        async with self._client() as client:
            with _calendar_package():
                hours, left_out = from_ics(_base(client), text, now())
            for words in left_out:
                self._say(printable(words))
            await self._publish(client, hours)

    async def publish(self) -> None:
        """Waits until nothing is missing at the server."""
        async with self._client() as client:
            await self._sent(client)

    async def _set(self, client: rapport.Client, lines: tuple[str, ...]) -> None:
        hours, names = _base(client), _names(client)
        for line in lines:
            hours = changed(hours, line, lambda name: colleague_named(client, names, name))
        await self._publish(client, hours)

    async def _publish(self, client: rapport.Client, hours: OfficeHours) -> None:
        repairs = await client.office.publish(hours)
        if repairs:
            self._say(repair_words(repairs))
        await self._sent(client)

    async def _sent(self, client: rapport.Client) -> None:
        events = client.events()
        try:
            async with asyncio.timeout(_WITHIN_S):
                while client.office.mine.pending:
                    await anext(events)
        except TimeoutError:
            self._say("Signed and kept here; it goes out with the next connection.")
        else:
            self._say("Your clients see it.")

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[rapport.Client]:
        """The vault at work, with what other devices have changed meanwhile if there is a server."""
        async with rapport.Client(vault=self._vault) as client:
            if client.role is rapport.Role.CLIENT:
                raise LocalError(ErrorCode.FORBIDDEN, "only therapists have office hours")
            try:
                async with asyncio.timeout(_WITHIN_S):
                    await client.caught_up()
            except TimeoutError:
                self._say("The server does not answer; this is what is known here.")
            try:
                yield client
            except Misuse as misuse:
                raise LocalError(ErrorCode.BAD_FORMAT, str(misuse)) from None
            except HoursRefused as refused:
                raise LocalError(ErrorCode.RULE_BROKEN, problem_words(refused.problems)) from None


@contextmanager
def _calendar_package() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        problem = "calendar files need the extra `chat`: pip install 'rapport[chat]'"
        raise LocalError(ErrorCode.UNSUPPORTED, problem) from None


def _base(client: rapport.Client) -> OfficeHours:
    return client.office.mine.hours or OfficeHours(machine_zone())


def _names(client: rapport.Client) -> Names:
    names = Names(client.account)
    for conversation in client.conversations():
        names.learn(conversation.members)
    return names
