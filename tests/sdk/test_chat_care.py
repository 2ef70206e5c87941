"""Hours, promises, the waiting list, the card, cover: typed by people at the real thing, full screen and plain."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import rapport
from rapport.chat.desk import look
from rapport.chat.plain import PlainChat
from rapport.chat.render import header, promise_lines
from rapport.covers import CoverStage
from tests.sdk.practice import practice
from tests.sdk.test_chat_commands import WITHIN_S, Seat, model_now, seated, two_people

WEEK = "/hours daily 00:00-24:00"
"""Open day and night: what tests see does not depend on when they run."""
NEVER = "/hours daily off"


class Looking(Seat):
    """A seat that also sees the header and what stands under the composer."""

    def screen(self) -> str:
        look(self.desk, model_now())
        model = self.desk.model
        around = [header(model, 200), *promise_lines(model, 300)]
        return "\n".join([super().screen(), *("".join(text for _, text in line) for line in around)])


@asynccontextmanager
async def looking(folder: Path) -> AsyncIterator[tuple[Looking, Looking]]:
    async with two_people(folder) as (toni, dana):
        toni.__class__ = dana.__class__ = Looking
        assert isinstance(toni, Looking)
        assert isinstance(dana, Looking)
        yield toni, dana


async def typed(seat: Seat, *lines: str) -> None:
    for line in lines:
        assert await seat.types(line), (line, seat.desk.said)


async def test_hours_from_the_first_line_to_the_client(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        await typed(toni, "/hours zone Europe/London", WEEK, "/hours promise 8h")
        assert "Mon-Sun 00:00-24:00" in toni.screen()
        assert re.search(r"Who writes now is answered by (\w+ )?\d\d:\d\d\.", toni.screen())
        assert "Not published yet" in toni.screen()
        assert "Hours not confirmed" in dana.screen()
        assert dana.desk.model.look.promise == ""
        await typed(toni, "/hours publish")
        await dana.sees(r"Toni, Open until|Toni +Open")
        await dana.sees(r"Toni will answer by (\w+ )?\d\d:\d\d")
        await typed(dana, "/hours")
        assert "Messages are answered within 8 hours of open time" in dana.screen()
        await typed(dana, "Good morning")
        await toni.sees(r"Dana waits for an answer: since \d\d:\d\d, by (\w+ )?\d\d:\d\d")
        await typed(toni, "/waiting")
        assert re.search(r"1  Dana\n +since \d\d:\d\d, by", toni.screen())
        await typed(toni, "/extend tomorrow 23:59")
        await dana.sees(r"Toni has asked for more time. Toni will answer by")
        await typed(dana, "/slot")
        await toni.sees("would rather have an appointment")
        await typed(toni, "Good morning")
        await toni.until(lambda: not toni.client.waiting())
        await typed(toni, "/waiting")
        assert "Nobody is waiting for an answer" in toni.screen()


async def test_a_closed_door_answers_by_itself(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        await typed(toni, "/hours zone Europe/London", WEEK, "/hours promise 8h", "/hours publish", "/away session 2h")
        assert re.search(r"In an appointment until", toni.desk.said)
        await dana.sees(r"Toni +In an appointment until")
        await dana.sees(r"In an appointment\. Toni will answer by")
        await typed(dana, "Are you there?")
        await dana.sees(r"Automatic: Toni is in an appointment.* Toni will answer by")
        await typed(toni, "/back")
        await dana.sees(r"Toni +Open")
        await typed(toni, NEVER, "/hours publish")
        await dana.sees(r"Toni +Closed\n")


REFUSED = {
    "/hours mon 9-12": "Times are typed like 09:00-12:00",
    "/hours tomorrow 09:00-12:00": "That is no change of hours",
    "/hours zone Atlantis": "no time zone",
    "/hours promise soon": "hours in which you are open",
    "/hours promise 1min": "from 15 minutes to 100 hours",
    "/hours leave 2026-13-01 2026-13-02": "the year first",
    "/hours leave 2026-12-21 2026-12-20": "A leave ends before it begins",
    "/hours leave 2026-12-21 2027-01-03 with Ines": "cover NAME",
    "/hours leave 2026-12-21 2027-01-03 cover Ines": "no conversation with a colleague",
    "/hours closed": "one or more dates",
    "/hours calls maybe": "lets calls ring",
    "/hours push some": "all, urgent or none",
    "/hours holidays Germany": "two letters",
    "/hours publish": "There is no draft",
    "/away until 14:00": "no hours yet",
    "/away": "no hours yet",
    "/extend": "by when you answer here instead",
    "/extend 2h": "Nobody waits for an answer here",
    "/slot": "for a client who waits",
    "/urgent help": "Only clients mark",
    "/seen": "Nothing urgent waits here",
    "/card nonsense": "/card about TEXT",
    "/crisis ZZ": "No numbers of that country",
    "/cover dance": "/cover ask NAME",
    "/cover yes 1": "/cover ask NAME",
    "/cover ask Ines": "no conversation with a colleague",
    "/join": "the link of an invitation",
}


async def test_what_a_therapist_cannot_do_is_a_plain_sentence(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, _):
        for line, answer in REFUSED.items():
            toni.desk.said = ""
            assert not await toni.types(line), line
            assert re.search(answer, toni.desk.said), (line, toni.desk.said)
        await typed(toni, "/hours mon 22:00-02:00 12:00-12:00")
        assert "over midnight" in toni.screen()
        await typed(toni, "/hours forget")
        assert toni.desk.hours_draft is None


async def test_the_card_and_the_crisis_card(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        await typed(
            toni, "/card about Psychotherapist, Canal Street", "/card country GB", "/card line Duty desk; 020 7946 0000"
        )
        await typed(toni, "/card")
        assert "Duty desk: 020 7946 0000" in toni.screen()
        await dana.until(lambda: dana.desk.here().card is not None and bool(dana.desk.here().card.lines))  # type: ignore[union-attr]
        await typed(dana, "/card")
        assert "Psychotherapist, Canal Street" in dana.screen()
        dana.client.network(available=False)
        await dana.client.wait_until(rapport.ConnectionState.SUSPENDED, WITHIN_S)
        for line in ("/crisis", "/help now"):
            await typed(dana, line)
            shown = dana.screen()
            assert "Call 999" in shown
            assert shown.index("Duty desk") < shown.index("Samaritans")
        await typed(dana, "/crisis de", "/crisis")
        assert "TelefonSeelsorge" in dana.screen()
        assert "Call 112" in dana.screen()
        assert not await dana.types("/card about me")


async def test_a_colleague_step_by_step(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        owner_link = await stack.enter_async_context(practice())
        seats: list[Seat] = []
        for name, line in (("toni", ""), ("ines", "/invite therapist"), ("dana", "/invite")):
            link = owner_link if not line else await invited(seats[0], line)
            await rapport.join(link, vault=tmp_path / name, name=name.capitalize())
            seats.append(await stack.enter_async_context(seated(tmp_path / name)))
        toni, ines, dana = seats
        await toni.until(lambda: {"Ines", "Dana"} <= {toni.desk.names.of(each) for each in others(toni)})
        await typed(toni, "/open Dana", "/cover ask Ines; sleeps badly")
        await ines.sees(r"You are asked to be there for Dana")
        await typed(ines, "/cover")
        assert "sleeps badly" in ines.screen()
        await typed(ines, "/cover yes 1")
        await dana.sees(r"Ines would be there for you")
        assert "sleeps badly" not in dana.screen()
        await typed(dana, "/open Toni", "/cover yes 1")
        assert dana.desk.names.list(member.account for member in dana.desk.here().members) == "Ines"
        await toni.sees(r"Dana has said yes to Ines")
        await typed(toni, "/cover card 1 Ask about the garden.")
        await typed(ines, "/open Toni")
        await ines.sees("Toni's hand-over card:\n +Ask about the garden")
        assert [state.stage for state in await ines.client.cover.all()] == [CoverStage.HANDED_OVER]
        await typed(toni, "/hours daily 09:00-17:00", "/hours leave 2027-01-04 2027-01-08 cover Ines")
        assert "Ines answers meanwhile" in toni.screen()
        await typed(toni, "/hours cover Ines", "/hours publish")


async def invited(seat: Seat, line: str) -> str:
    await typed(seat, line)
    link = re.search(r"http://\S+/i/\S+", seat.screen())
    assert link is not None
    return link[0]


def others(seat: Seat) -> list[rapport.AccountId]:
    members = [member for conversation in seat.client.conversations() for member in conversation.members]
    return [member.account for member in members if member.account != seat.client.account]


async def test_joining_with_the_account_that_one_has(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        link = await invited(toni, "/invite client Welcome again")
        await typed(dana, f"/join {link}")
        await dana.sees("Welcome again")
        assert not await toni.types(f"/join {await invited(toni, '/invite')}")
        assert "your own" in toni.desk.said
        assert not await dana.types("/join http://127.0.0.1/nothing")


async def test_plain_lines_say_the_same(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        await typed(toni, "/hours zone Europe/London", WEEK, "/hours promise 8h", "/hours publish", "/away 2h")
        await dana.sees(r"Toni +Away until")
        said: list[str] = []
        more = asyncio.Event()

        def show(text: str) -> None:
            said.append(text)
            more.set()

        lines: asyncio.Queue[str] = asyncio.Queue()

        async def given() -> AsyncIterator[str]:
            while True:
                yield await lines.get()

        chat = asyncio.create_task(PlainChat(dana.client, given(), show).run())
        try:
            for line, answer in (
                ("", r"--- Toni, Away until .* --- /help"),
                ("", r"\(Away\. Toni will answer by"),
                ("Are you there?", r"\[\d\] Automatic: Toni is away"),
                ("/hours", r"--- Toni's hours ---"),
                ("/crisis GB", "Call 999"),
            ):
                if line:
                    lines.put_nowait(line)
                try:
                    async with asyncio.timeout(WITHIN_S):
                        while not any(re.search(answer, text) for text in said):
                            more.clear()
                            await more.wait()
                except TimeoutError:
                    raise AssertionError(f"{answer!r} was not said: {said}") from None
        finally:
            chat.cancel()
            await asyncio.gather(chat, return_exceptions=True)


async def test_an_urgent_message_is_shown_as_seen_by_a_person_alone(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        await typed(dana, "/urgent I can't go on waiting")
        await toni.sees("Dana marked a message as urgent at .* /seen")
        await dana.sees("Nobody has seen it yet")
        assert "Seen by" not in dana.screen()
        assert not await toni.types("/urgent me too")
        await typed(toni, "/seen")
        await dana.sees(r"Seen by Toni at \d\d:\d\d")
        await toni.sees(r"Seen by you at \d\d:\d\d")
        assert "Nobody has seen it yet" not in dana.screen()
