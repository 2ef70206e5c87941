"""A therapist and a client talk, each with a vault of their own.

    rapport init && rapport serve        # prints the owner link that the therapist joins with
    python examples/two_people.py 'http://127.0.0.1:8470/o#…'

In one program here; in life each side runs where its person is, and the link travels between them by hand.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import rapport


async def answer_once(client: rapport.Client) -> None:
    """Waits for one message and answers it."""
    async for event in client.events():
        if isinstance(event, rapport.MessageReceived) and event.message.text == "Are you there?":
            conversation = client.conversation(event.conversation)
            await conversation.send_text("Yes. I read this on Tuesday morning.", reply_to=event.message.id)
            return


async def main(owner_link: str) -> None:
    """Joins twice, says two things."""
    with tempfile.TemporaryDirectory() as folder:
        await rapport.join(owner_link, vault=Path(folder) / "therapist", name="Dr. Weiss")
        async with rapport.Client(vault=Path(folder) / "therapist") as therapist:
            link = await therapist.invite(role=rapport.Role.CLIENT, welcome="Write whenever you like.")
            answering = asyncio.create_task(answer_once(therapist))

            await rapport.join(link, vault=Path(folder) / "client", name="Dana")
            async with rapport.Client(vault=Path(folder) / "client") as client:
                events = client.events()
                conversation = client.conversations()[0]
                await conversation.send_text("Are you there?")
                async for event in events:
                    if isinstance(event, rapport.MessageReceived) and event.message.reply_to is not None:
                        print(f"{event.message.text}")
                        break
            await answering


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
