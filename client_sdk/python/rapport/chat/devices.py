"""Commands about one's own devices: the list, linking another one, removing one, signing this one out."""

import time
from typing import Final

import rapport
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.qr import half_blocks
from rapport.events import Device
from rapport.linking import LinkOffer, LinkProblem, LinkTrouble
from rapport.terminal import printable

__all__ = ["DEVICES", "label_of"]

_YES: Final = frozenset({"yes", "y"})


def label_of(device: Device) -> str:
    """What a device is called, made printable."""
    return " ".join(printable(device.label).split()) or "a device without a name"


async def _devices(face: Face, rest: str) -> None:
    word, _, more = rest.partition(" ")
    match word:
        case "":
            _list(face)
        case "name" if more.strip():
            await face.client.name_device(more.strip())
            face.tell(f"This device is called {printable(more.strip())} now, for your people and your other devices.")
        case "revoke" | "remove":
            await _revoke(face, more.strip())
        case _:
            raise Misuse("/devices lists them; /devices name TEXT names this one; /devices revoke N removes one.")


def _list(face: Face) -> None:
    lines = []
    for number, device in enumerate(face.client.devices(), 1):
        since = time.strftime("%d %B %Y", time.localtime(device.created_ms / 1000)) if device.created_ms else ""
        notes = [note for note in ("this device" if device.this else "", f"since {since}" if since else "") if note]
        lines.append(f"{number}  {label_of(device)}" + (f"  ({', '.join(notes)})" if notes else ""))
    lines.append("\n/link adds a device. /devices revoke N removes one that is lost or sold.")
    lines.append("/devices name TEXT names this one.")
    face.sheet("Your devices", "\n".join(lines))


async def _revoke(face: Face, number: str) -> None:
    devices = face.client.devices()
    if not number.isdecimal() or not 1 <= int(number) <= len(devices):
        raise Misuse("/devices revoke N, with a number from /devices.")
    device = devices[int(number) - 1]
    if device.this:
        raise Misuse("That is this device; /signout removes it and wipes what is here.")
    name = label_of(device)
    question = f"Remove {name} for good? It gets nothing any more, and must be linked anew to come back. yes or no"
    if (await face.ask(question)).casefold() not in _YES:
        face.tell("Nothing was changed.")
        return
    await face.client.revoke(device.id)
    face.tell(f"{name} is removed. Nothing is sent to it any more; your people are told.")


# --- linking another device -------------------------------------------------------------------------------------------


async def _link(face: Face, rest: str) -> None:
    if rest:
        raise Misuse("/link stands alone; on the new device start: rapport chat --link CODE")
    offer = await face.client.link()
    try:
        face.sheet("Link a device", _offer_words(offer), half_blocks(offer.url))
        await offer.joined()
        device = await _confirmed(face, offer)
    except LinkProblem as problem:
        face.tell(f"No device was linked: {problem.detail}.")
    except BaseException:
        await offer.cancel()
        raise
    else:
        face.tell(f"{label_of(device)} is linked. It has your conversations and gets everything from now on.")


def _offer_words(offer: LinkOffer) -> str:
    return (
        f"{offer.code}\n\nOn the new device, within three minutes:\n\n  rapport chat --link '{offer.url}'\n\n"
        "It then shows six digits, which are asked for here. Show this to nobody else."
    )


async def _confirmed(face: Face, offer: LinkOffer) -> Device:
    question = "A device has used the code. Type the six digits that it shows (Esc: do not link it)"
    while True:
        try:
            return await offer.confirm(await face.ask(question))
        except LinkProblem as problem:
            if problem.trouble is not LinkTrouble.WRONG_DIGITS:
                raise
            tries = "one try" if problem.tries_left == 1 else f"{problem.tries_left} tries"
            question = f"These are not the digits that it shows; {tries} left. If it shows none, press Esc. Digits"
        except rapport.Unreachable:
            question = "The server did not answer. Type the digits once more (Esc: do not link it)"


async def _sign_out(face: Face, rest: str) -> None:
    if rest:
        raise Misuse("/signout stands alone: it removes this device and wipes what is here.")
    last = len(face.client.devices()) <= 1
    only = "This is your only device: your account and all messages are gone for good then. " if last else ""
    question = f"{only}Everything on this device is deleted, also what was not sent. Type the word: delete"
    if (await face.ask(question)).casefold() != "delete":
        face.tell("Nothing was changed.")
        return
    await face.client.sign_out()
    face.leave("This device is signed out, and what was here is deleted.")


DEVICES: Final = (
    Command("devices", "/devices [name, revoke]", "your devices; name this one, remove another", _devices),
    Command("link", "/link", "add a device: shows a code and asks for its digits", _link),
    Command("signout", "/signout", "remove this device and delete what is on it", _sign_out),
)
