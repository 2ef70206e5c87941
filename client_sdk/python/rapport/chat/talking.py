"""Commands about conversations and what is said in them."""

import re
from typing import Final

from rapport.chat.face import Command, Face, Misuse
from rapport.chat.keeping import expire_s
from rapport.chat.qr import half_blocks
from rapport_protocol.ids import MessageId
from rapport_protocol.requests import Role

__all__ = ["TALKING", "write"]

_NUMBERED: Final = re.compile(r"(\d{1,9})(?:\s+(.*))?$", re.DOTALL)


def _split(face: Face, rest: str) -> tuple[MessageId | None, str]:
    """A leading message number, if there is one, and the rest."""
    found = _NUMBERED.match(rest)
    if found is None:
        return None, rest
    return face.message(int(found[1])), (found[2] or "").strip()


# --- conversations ----------------------------------------------------------------------------------------------------


async def _people(face: Face, _: str) -> None:
    conversations = face.client.conversations()
    if not conversations:
        face.tell("There is nobody to talk to yet. /invite makes a link for somebody.")
        return
    here = _open_id(face)
    lines = []
    for number, conversation in enumerate(conversations, 1):
        title = face.names.list(member.account for member in conversation.members)
        unread = f", {conversation.unread} unread" if conversation.unread else ""
        lines.append(f"{'*' if conversation.id == here else ' '} {number}  {title}{unread}")
    face.sheet("Conversations", "\n".join(lines) + "\n\n/open and a number or a name goes to one.")


def _open_id(face: Face) -> bytes | None:
    try:
        return face.here().id
    except Misuse:
        return None


async def _open(face: Face, rest: str) -> None:
    conversations = face.client.conversations()
    if rest.isdecimal() and 1 <= int(rest) <= len(conversations):
        await face.enter(conversations[int(rest) - 1])
        return
    titles = [face.names.list(member.account for member in conversation.members) for conversation in conversations]
    named = [at for at, title in enumerate(titles) if rest and title.casefold().startswith(rest.casefold())]
    if len(named) != 1:
        several = "Several conversations begin so; " if named else ""
        raise Misuse(f"{several}/open N, with a number from /people, or the beginning of a name.")
    await face.enter(conversations[named[0]])


async def _invite(face: Face, rest: str) -> None:
    first, _, more = rest.partition(" ")
    role, welcome = (Role(first), more) if first in {Role.CLIENT, Role.THERAPIST} else (Role.CLIENT, rest)
    if face.client.role is Role.CLIENT:
        raise Misuse("Only a therapist or the practice's owner can invite.")
    link = await face.client.invite(role=role, welcome=welcome.strip() or None)
    whom = f"Give this link to one {role}; whoever opens it first is in."
    if role is Role.THERAPIST and face.client.role is Role.THERAPIST:
        whom = "Give this link to one colleague who has an account of this practice; they type /join and the link."
    face.sheet(
        "Invitation",
        f"{whom} It works once, for seven days.\n\n{link}\n",
        half_blocks(link),
    )


# --- messages ---------------------------------------------------------------------------------------------------------


async def write(face: Face, text: str, reply_to: MessageId | None = None) -> None:
    """Sends a message in the open conversation and shows it."""
    here = face.here()
    expires = expire_s(face.client, here.id)
    face.show(await here.send_text(text, reply_to=reply_to, expire_s=expires))


async def _reply(face: Face, rest: str) -> None:
    message, text = _split(face, rest)
    if not text:
        raise Misuse("/reply [N] text, with the number of a message; without one it answers the newest.")
    await write(face, text, message or face.newest(own=False))


async def _edit(face: Face, rest: str) -> None:
    message, text = _split(face, rest)
    if not text:
        raise Misuse("/edit [N] text, with the new text of a message of yours; without a number, of your last.")
    face.show(await face.here().edit(message or face.newest(own=True), text))


async def _delete(face: Face, rest: str) -> None:
    message, more = _split(face, rest)
    if more:
        raise Misuse("/delete [N] takes a message of yours back; without a number, your last.")
    face.show(await face.here().delete(message or face.newest(own=True)))


async def _react(face: Face, rest: str) -> None:
    message, sign = _split(face, rest)
    if sign.isascii() and any(letter.isalnum() for letter in sign):
        raise Misuse("/react [N] [sign], with one sign such as \N{THUMBS UP SIGN}; without a sign it takes yours back.")
    face.show(await face.here().react(message or face.newest(own=False), sign or None))


async def _read(face: Face, rest: str) -> None:
    if rest:
        raise Misuse("/read stands alone: it says that you have read everything here.")
    await face.here().mark_read()


TALKING: Final = (
    Command("people", "/people", "your conversations", _people),
    Command("open", "/open N", "go to a conversation, by number or name", _open),
    Command("invite", "/invite [role] [welcome]", "make a link for a client (or: therapist)", _invite),
    Command("reply", "/reply [N] text", "answer a message", _reply, numbered=True),
    Command("edit", "/edit [N] text", "change a message of yours", _edit, numbered=True),
    Command("delete", "/delete [N]", "take a message of yours back", _delete, numbered=True),
    Command("react", "/react [N] [sign]", "react to a message; without a sign, take it back", _react, numbered=True),
    Command("read", "/read", "tell the others that you have read everything", _read),
)
