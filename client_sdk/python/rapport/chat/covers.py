"""Commands about joining with the account that there is, and about colleagues who are there for a client."""

from typing import Final

import rapport
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.names import YOU
from rapport.chat.offices import colleague_named
from rapport.covers import CoverSide, CoverStage, CoverState
from rapport.terminal import printable
from rapport_protocol.ids import AccountId

__all__ = ["COVERS", "cover_words", "told"]

_HOW: Final = (
    "/cover ask NAME [for good] [; a note] in the conversation with a client asks a colleague; "
    "/cover yes N, /cover no N answer; /cover card N TEXT hands over. N is the number in /cover."
)


def cover_words(state: CoverState, colleague: str, client: str) -> str:
    """How far it has come, in a sentence; names: as they are called here."""
    taking = "take over" if state.lasting else "be there for"
    match state.side, state.stage:
        case CoverSide.CLIENT, stage:
            return _CLIENT[stage].format(
                name=colleague, taking="take you over" if state.lasting else "be there for you"
            )
        case CoverSide.COLLEAGUE, stage:
            return _COLLEAGUE[stage].format(name=client, taking=taking)
        case _, stage:
            return _THERAPIST[stage].format(name=colleague, client=client, taking=taking)


_OVER: Final = "It is over: the link worked for seven days, or was used. It has to be asked anew."
_CLIENT: Final = {
    CoverStage.OFFERED: "{name} would {taking}. With your yes you get a conversation of your own; nothing that you "
    "have written is shown to {name}.",
    CoverStage.ACCEPTED: "You have said yes to {name}. You have a conversation of your own.",
    CoverStage.DECLINED: "You have said no to {name}.",
    CoverStage.OVER: _OVER,
}
_COLLEAGUE: Final = {
    CoverStage.ASKED: "You are asked to {taking} {name}. With your yes the client is asked.",
    CoverStage.AGREEING: "Your yes goes out as soon as there is a connection.",
    CoverStage.READY: "You have said yes; {name} is being asked.",
    CoverStage.REFUSED: "You have said no about {name}.",
    CoverStage.HANDED_OVER: "You have the hand-over card about {name}.",
    CoverStage.OVER: _OVER,
}
_THERAPIST: Final = {
    CoverStage.ASKED: "{name} is asked to {taking} {client}.",
    CoverStage.READY: "{name} has said yes; {client} is being asked.",
    CoverStage.REFUSED: "{name} has said no about {client}.",
    CoverStage.OFFERED: "{name} has said yes; {client} is asked.",
    CoverStage.DECLINED: "{client} has said no to {name}.",
    CoverStage.ACCEPTED: "{client} has said yes to {name}. /cover card N TEXT tells {name} what they need to know.",
    CoverStage.HANDED_OVER: "{client} has said yes, and {name} has the hand-over card.",
    CoverStage.OVER: _OVER,
}


def _named(face: Face, account: AccountId, otherwise: str) -> str:
    name = face.names.of(account)
    return name if name not in {"Somebody", YOU} else " ".join(printable(otherwise).split())


def told(face: Face, state: CoverState) -> str:
    """The sentence about a cover with the names that are known here."""
    client_side = state.side is CoverSide.CLIENT
    colleague = _named(face, state.colleague, state.name if client_side else "Your colleague")
    client = _named(face, state.client, "" if client_side else state.name)
    return cover_words(state, colleague, client)


async def _cover(face: Face, rest: str) -> None:
    word, _, more = rest.partition(" ")
    if not rest:
        await _list(face)
    elif word == "ask":
        await _ask(face, more.strip())
    elif word in {"yes", "no", "card"}:
        number, _, text = more.strip().partition(" ")
        states = await face.client.cover.all()
        if not number.isdecimal() or not 1 <= int(number) <= len(states):
            raise Misuse(_HOW)
        await _answer(face, word, states[int(number) - 1], text.strip())
    else:
        raise Misuse(_HOW)


async def _list(face: Face) -> None:
    lines = []
    for number, state in enumerate(await face.client.cover.all(), 1):
        lines.append(f"{number}  {told(face, state)}")
        if state.note and state.side is not CoverSide.THERAPIST:
            lines.append(f"   {printable(state.note, indent='   ')}")
    nothing = "Nobody is asked to be there for anybody."
    face.sheet("Cover and hand-over", "\n".join([*(lines or [nothing]), "", _HOW]))


async def _ask(face: Face, rest: str) -> None:
    name, _, note = rest.partition(";")
    name, lasting = name.strip(), name.strip().endswith("for good")
    name = name.removesuffix("for good").strip()
    colleague = colleague_named(face.client, face.names, name)
    conversation = next(conv for conv in face.client.conversations() if _is_with(face, conv, colleague))
    await face.client.cover.request(conversation, face.here(), lasting=lasting, note=note.strip())
    face.tell(f"{face.names.of(colleague)} is asked. With their yes your client is asked; /cover says how far it is.")


def _is_with(face: Face, conversation: rapport.Conversation, account: AccountId) -> bool:
    others = [member.account for member in conversation.members if member.account != face.client.account]
    return others == [account]


async def _answer(face: Face, word: str, state: CoverState, text: str) -> None:
    cover = face.client.cover
    if word == "card":
        if not text:
            raise Misuse("/cover card N and what your colleague needs to know.")
        await cover.send_card(state.request, text)
        face.tell("The hand-over card is sent.")
    elif word == "no":
        await cover.refuse(state.request)
        face.tell("You have said no. Whoever asked is told.")
    elif state.side is CoverSide.CLIENT:
        conversation = await cover.accept(state.request)
        await face.enter(conversation)
        face.tell("You are in: this is the conversation with the colleague.")
    else:
        await cover.agree(state.request)
        face.tell("You have said yes. The client is asked; /cover says how far it is.")


async def _join(face: Face, rest: str) -> None:
    link = "".join(rest.split())
    if not link:
        raise Misuse("/join and the link of an invitation: you join with the account that you have.")
    await face.enter(await face.client.accept_invite(link))


COVERS: Final = (
    Command("join", "/join link", "accept an invitation with the account that you have", _join),
    Command("cover", "/cover [ask, yes, no, card]", "a colleague who is there for a client, or takes over", _cover),
)
