"""Commands about answers: who waits for one, more time, an appointment instead, urgent messages."""

import re
from typing import Final

import rapport
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.keeping import expire_s
from rapport.chat.moments import instant_of, moment, now
from rapport.chat.office_words import waiting_words
from rapport_protocol.ids import MessageId

__all__ = ["ANSWERING"]

_MONTH_MS: Final = 30 * 86_400_000


async def _waiting(face: Face, _: str) -> None:
    if face.client.role is rapport.Role.CLIENT:
        raise Misuse(
            "Only therapists have clients who wait. The line under your message says by when you are answered."
        )
    now_ms, lines = now(), []
    for number, waiting in enumerate(face.client.waiting(), 1):
        members = face.client.conversation(waiting.conversation).members
        title = face.names.list(member.account for member in members)
        lines.append(f"{number}  {title}\n   {waiting_words(waiting, now_ms)}")
    kept = await face.client.kept(now_ms - _MONTH_MS, now_ms)
    if kept.of:
        lines.append(f"\n{kept.kept} of {kept.of} promises kept in 30 days. Only you see this.")
    face.sheet("Waiting for an answer", "\n".join(lines) or "Nobody is waiting for an answer.")


async def _extend(face: Face, rest: str) -> None:
    now_ms, here = now(), face.here()
    until_ms = instant_of(rest, now_ms) if rest else None
    if until_ms is None:
        raise Misuse("/extend 2h, /extend tomorrow 10:00, or /extend Tue 15:00: by when you answer here instead.")
    if here.waiting is None:
        raise Misuse("Nobody waits for an answer here.")
    await here.extend_promise(until_ms)
    face.tell(f"You will answer by {moment(until_ms, now_ms)}, and your client is told that you asked for more time.")


async def _slot(face: Face, rest: str) -> None:
    if rest:
        raise Misuse("/slot stands alone: you would rather have an appointment than an answer in writing.")
    here = face.here()
    if face.client.role is not rapport.Role.CLIENT or here.waiting is None:
        raise Misuse("/slot is for a client who waits for an answer; nothing of yours waits here.")
    await here.ask_for_slot()
    face.tell("Your therapist is told that you would rather have an appointment.")


async def _urgent(face: Face, rest: str) -> None:
    if face.client.role is not rapport.Role.CLIENT:
        raise Misuse("Only clients mark a message as urgent.")
    if not rest:
        raise Misuse("/urgent and what you want to say. If you are in danger, /crisis has numbers that answer at once.")
    here = face.here()
    face.show(await here.send_text(rest, urgent=True, expire_s=expire_s(face.client, here.id)))
    face.tell(
        "Marked as urgent. The line under it says what is tried, and whether somebody has seen it. "
        "If it can't wait, /crisis has numbers that answer at once."
    )


async def _seen(face: Face, rest: str) -> None:
    here = face.here()
    if rest and not re.fullmatch(r"\d{1,9}", rest):
        raise Misuse("/seen [N] confirms an urgent message, by its number or the newest one.")
    message = face.message(int(rest)) if rest else await _newest_urgent(face, here)
    await here.confirm_urgent(message)
    face.tell("Your client is told that you have seen it.")


async def _newest_urgent(face: Face, here: rapport.Conversation) -> MessageId:
    """Somebody else's newest urgent message here, or the one that a colleague's client is waiting with."""
    for message in reversed(await here.history(limit=200)):
        if message.urgent and message.account != face.client.account and not message.deleted:
            return message.id
    asked = here.urgent_elsewhere()
    if asked:
        return asked[-1].message
    raise Misuse("Nothing urgent waits here.")


ANSWERING: Final = (
    Command("urgent", "/urgent text", "a client: send a message as urgent, and see what is tried", _urgent),
    Command("seen", "/seen [N]", "confirm that you have seen an urgent message", _seen, numbered=True),
    Command("waiting", "/waiting", "who waits for an answer of yours, until when", _waiting),
    Command("extend", "/extend Tue 15:00", "ask for more time to answer here", _extend),
    Command("slot", "/slot", "a client: rather an appointment than an answer", _slot),
)
