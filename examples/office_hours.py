"""A therapist says when they answer; a client sees by when.

    rapport init && rapport serve        # prints the owner link that the therapist joins with
    python examples/office_hours.py 'http://127.0.0.1:8470/o#…'

The hours are signed by the therapist's device: the server passes them on and can make nobody look more available.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import rapport
from rapport import Card, CardLine, Event, OfficeHours, WeeklyWindow, WithinOpenTime

DAILY = tuple(WeeklyWindow(day, 9 * 60, 17 * 60) for day in range(7))  # minutes after midnight, by the wall clock
HOURS = OfficeHours("Europe/London", DAILY, promise=WithinOpenTime(minutes=4 * 60))
CARD = Card(
    about="Psychotherapist",
    how="I read messages twice a day.",
    limits="I cannot help at once.",
    country="GB",
    lines=(CardLine("Practice", "020 7946 0018", "until 17:00"),),
)


async def until(events: AsyncIterator[Event], holds: Callable[[], bool]) -> None:
    """Waits until it holds, looking after every event."""
    while not holds():
        await anext(events)


async def main(owner_link: str) -> None:
    """Publishes hours and a card, invites, asks, puts the answer off, answers."""
    with tempfile.TemporaryDirectory() as folder:
        await rapport.join(owner_link, vault=Path(folder) / "therapist", name="Dr. Weiss")
        async with rapport.Client(vault=Path(folder) / "therapist") as therapist:
            changes = therapist.events()
            await therapist.office.set_card(CARD)
            await therapist.office.publish(HOURS)
            await until(changes, lambda: not therapist.office.mine.pending)  # the server has them
            link = await therapist.invite()

            await rapport.join(link, vault=Path(folder) / "client", name="Dana")
            async with rapport.Client(vault=Path(folder) / "client") as client:
                events = client.events()
                conversation = client.conversations()[0]
                if conversation.card is not None:  # it came with the invite, and so did the hours
                    print(f"{conversation.card.about}. {conversation.card.limits}")
                asked = await conversation.send_text("Can we move Thursday?")

                await until(changes, lambda: bool(therapist.waiting()))
                waiting = therapist.waiting()[0]
                answering = therapist.conversation(waiting.conversation)
                await answering.extend_promise((waiting.due_ms or asked.at_ms) + 3_600_000)
                await until(events, lambda: conversation.waiting is not None and conversation.waiting.extended)
                print("An hour later than promised.")

                await answering.send_text("Yes, to Friday.")
                await until(events, lambda: conversation.waiting is None)
                print("Answered.")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
