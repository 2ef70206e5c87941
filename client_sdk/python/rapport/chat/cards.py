"""Commands about the therapist's card and the crisis card, which needs no connection."""

from typing import Final

from msgspec.structs import replace

import rapport
from rapport.agreements import Card, CardLine
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.hours_text import promise_policy
from rapport.chat.moments import now
from rapport.chat.office_words import UNCONFIRMED, door_words
from rapport.terminal import printable
from rapport_protocol.crisis import COUNTRIES, numbers_of

__all__ = ["CARDS", "crisis_text", "show_crisis"]

_HOW: Final = (
    "/card about TEXT, /card how TEXT, /card limits TEXT, /card country GB, "
    "/card line NAME; NUMBER; NOTE, or /card line N off. /card alone shows it."
)
_TEXTS: Final = ("about", "how", "limits")
_COUNTRY: Final = "crisis.country"
"""The client's own setting: the country whose numbers they want, in place of the therapist's."""


async def _card(face: Face, rest: str) -> None:
    word, _, more = rest.partition(" ")
    if not rest:
        _show(face)
    elif face.client.role is rapport.Role.CLIENT:
        raise Misuse("The card is your therapist's. /card alone shows it.")
    else:
        card = _changed(face.client.office.card or Card(), word.casefold(), more.strip())
        await face.client.office.set_card(card)
        face.tell("Your card is changed. It reaches every client by itself.")


def _changed(card: Card, word: str, more: str) -> Card:
    if word in _TEXTS:
        return replace(card, **{word: "" if more == "off" else more})
    if word == "country":
        return replace(card, country="" if more == "off" else more.upper())
    if word != "line":
        raise Misuse(_HOW)
    number, _, off = more.partition(" ")
    if off == "off" and number.isdecimal() and 1 <= int(number) <= len(card.lines):
        at = int(number) - 1
        return replace(card, lines=card.lines[:at] + card.lines[at + 1 :])
    parts = [part.strip() for part in more.split(";")]
    if len(parts) not in {2, 3} or not all(parts[:2]):
        raise Misuse(_HOW)
    return replace(card, lines=(*card.lines, CardLine(parts[0], parts[1], parts[2] if len(parts) > 2 else "")))


def _show(face: Face) -> None:
    own = face.client.role is not rapport.Role.CLIENT
    card = face.client.office.card if own else face.here().card
    whose = "Your card" if own else f"{face.names.list(member.account for member in face.here().members)}"
    lines = []
    if not own:
        shown = face.here().office
        if shown is not None:
            lines.append(door_words(shown, now()))
            hours = shown.hours
            policy = promise_policy(hours.promise) if hours else UNCONFIRMED
            lines += [policy[0].upper() + policy[1:], ""]
    if card is None or card == Card():
        lines.append(f"There is nothing on it yet. {_HOW}" if own else "There is no card of your therapist here.")
        face.sheet(whose, "\n".join(lines))
        return
    for name, text in (("", card.about), ("How I work: ", card.how), ("What I cannot do: ", card.limits)):
        lines += [f"{name}{printable(text)}", ""] if text else []
    lines += [f"{number}  {_line(line)}" for number, line in enumerate(card.lines, 1)]
    lines += [f"Crisis numbers of: {card.country}"] if card.country else []
    face.sheet(whose, "\n".join(lines))


def _line(line: CardLine) -> str:
    note = f" ({printable(line.note)})" if line.note else ""
    return f"{printable(line.name)}: {printable(line.number)}{note}"


# --- crisis -----------------------------------------------------------------------------------------------------------


def crisis_text(card: Card | None, country: str, door: str) -> str:
    """Who answers now: the therapist's own lines first, then the country's. door: an honest line about the office."""
    numbers = numbers_of(country)
    lines = ["If you might act on thoughts of harming yourself, call now.", ""]
    known = country in COUNTRIES
    where = "emergency services" if known else "emergency services, from most mobile phones in most countries"
    lines += [f"Call {numbers.emergency}  ({where})", ""]
    if card is not None:
        lines += [_line(line) for line in card.lines]
    for line in numbers.lines:
        note = f" ({line.note})" if line.note else ""
        how = f"text {line.send} to {line.number}" if line.send else line.number
        lines.append(f"{line.name}: {how}{note}")
    lines += ["", door] if door else []
    of = f"These numbers are for {country}." if known else "No country is chosen."
    lines += ["", f"{of} /crisis GB shows those of another one. They are here without a connection too."]
    return "\n".join(lines)


async def show_crisis(face: Face, rest: str) -> None:
    """The crisis card; nothing of it needs a connection. rest: a country, which is remembered on this account."""
    country = rest.strip().upper()
    if country and country not in COUNTRIES:
        raise Misuse(f"No numbers of that country are known here. Known: {', '.join(COUNTRIES)}.")
    if country:
        await face.client.set_setting(_COUNTRY, country)
    card, door = None, ""
    try:
        here = face.here()
        card = here.card
        name = face.names.list(member.account for member in here.members)
        shown = here.office
        if shown is not None:
            door = f"{name}'s office: {door_words(shown, now())}. Calling one of these numbers is quicker than waiting."
    except Misuse:
        pass  # nobody to talk to yet: the numbers are here all the same
    country = country or face.client.setting(_COUNTRY) or (card.country if card else "")
    face.sheet("Help now", crisis_text(card, country, door))


CARDS: Final = (
    Command("card", "/card [change]", "your card, or your therapist's: how they work, whom to call", _card),
    Command("crisis", "/crisis [country]", "numbers that answer now; also /help now", show_crisis),
)
