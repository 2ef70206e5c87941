"""Commands about one's own hours and the other person's door: `/hours`, `/away`, `/back`.

What is typed changes a draft; `/hours publish` signs it for everybody. A draft lives as long as the chat.
"""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Final

from msgspec.structs import replace

import rapport
from rapport.agreements import OfficeShown
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.hours_text import changed, closed_on, hours_lines, problem_words, repair_words
from rapport.chat.moments import difference_words, instant_of, machine_zone, moment, now, wall, zone_of
from rapport.chat.names import Names
from rapport.chat.office_words import UNCONFIRMED, door_words, promise_words
from rapport_protocol.ids import AccountId
from rapport_protocol.office.hours import OfficeHours, Override, OverrideState
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.rules import HoursRefused, repaired
from rapport_protocol.office.status import office_state

__all__ = ["OFFICES", "colleague_named", "preview_lines", "therapist_here", "with_holidays"]

_STATES: Final = {
    "session": OverrideState.IN_SESSION,
    "appointment": OverrideState.IN_SESSION,
    "closed": OverrideState.CLOSED,
    "open": OverrideState.OPEN,
}
_AWAY_HOW: Final = "/away until 14:00, /away 2h, /away session until 15:00; at most 7 days. /back ends it."
_HOLIDAYS_HOW: Final = "/hours holidays GB, or with a region: /hours holidays DE BY. The country has two letters."
_COUNTRY: Final = 2


def therapist_here(face: Face) -> AccountId | None:
    """The therapist of the open pair, when we are its client."""
    if face.client.role is not rapport.Role.CLIENT:
        return None
    others = [member for member in face.here().members if member.account != face.client.account]
    return others[0].account if len(others) == 1 and others[0].role is not rapport.Role.CLIENT else None


def colleague_named(client: rapport.Client, names: Names, name: str) -> AccountId:
    """The colleague of that name with whom we have a conversation. Misuse when it is not clear who is meant."""
    found: dict[AccountId, str] = {}
    for conversation in client.conversations():
        others = [member for member in conversation.members if member.account != client.account]
        if len(others) == 1 and others[0].role in {rapport.Role.OWNER, rapport.Role.THERAPIST}:
            found[others[0].account] = names.of(others[0].account)
    named = [account for account, shown in found.items() if name and shown.casefold().startswith(name.casefold())]
    if len(named) == 1:
        return named[0]
    if not found:
        raise Misuse("You have no conversation with a colleague yet. /invite therapist makes a link for one.")
    raise Misuse(f"Name one of: {', '.join(found.values())}.")


def _require_therapist(face: Face) -> None:
    if face.client.role not in {rapport.Role.OWNER, rapport.Role.THERAPIST}:
        raise Misuse("Only therapists have hours. /hours alone shows your therapist's.")


def _base(face: Face) -> OfficeHours:
    """What is being edited: the draft, else what is published, else nothing in this machine's zone."""
    return face.hours_draft or face.client.office.mine.hours or OfficeHours(machine_zone())


# --- looking ----------------------------------------------------------------------------------------------------------


async def _hours(face: Face, rest: str) -> None:
    if not rest:
        therapist = therapist_here(face) if face.client.role is rapport.Role.CLIENT else None
        _show_theirs(face, therapist) if therapist is not None else _show_own(face)
        return
    _require_therapist(face)
    word, _, more = rest.partition(" ")
    if word in _DEEDS:
        await _DEEDS[word](face, more.strip())
        return
    if word == "holidays":
        country, _, region = more.strip().partition(" ")
        hours = await with_holidays(face.client, _base(face), country, region.strip())
    else:
        hours = changed(_base(face), rest, lambda name: colleague_named(face.client, face.names, name))
    _keep_draft(face, hours)


def _today(zone: str, now_ms: int) -> date:
    return wall(now_ms, zone_of(zone)).date()


def _show_theirs(face: Face, account: AccountId) -> None:
    now_ms, shown, name = now(), face.client.office.of(account), face.names.of(account)
    if not shown.confirmed or shown.hours is None:
        face.sheet(f"{name}'s hours", f"{UNCONFIRMED}. They come signed from {name}'s own devices.")
        return
    lines = [door_words(shown, now_ms)]
    promised = face.here().promise()
    if promised is not None:
        by = face.names.of(promised.by)
        due = promise_words(by, promised.due_ms, now_ms, shown.hours.zone)
        lines.append(f"If you write {'now' if promised.by == account else f'to {by}'}: {due}.")
    lines += [difference_words(shown.hours.zone, now_ms)]
    lines += ["", *hours_lines(shown.hours, face.names.of, _today(shown.hours.zone, now_ms), own=False)]
    face.sheet(f"{name}'s hours", "\n".join(lines))


def _show_own(face: Face) -> None:
    _require_therapist(face)
    now_ms, mine = now(), face.client.office.mine
    hours = face.hours_draft or mine.hours
    if hours is None:
        face.sheet("Your hours", "You have published no hours. /hours mon-thu 09:00-12:00 13:00-17:00 begins a draft.")
        return
    if face.hours_draft is not None:
        words = "A draft: your clients do not see it. /hours publish signs it, /hours forget drops it."
    elif mine.pending:
        words = "Not at the server yet; it goes out by itself. Until then clients see what was published before."
    else:
        words = f"Published and signed; your devices sign it anew before {moment(mine.valid_until_ms, now_ms)}."
    lines = [words, "", *hours_lines(hours, face.names.of, _today(hours.zone, now_ms), own=True)]
    face.sheet("Your hours", "\n".join([*lines, "", *preview_lines(hours, now_ms)]))


def preview_lines(hours: OfficeHours, now_ms: int) -> list[str]:
    """What clients see now, by these hours; times by the clock of the hours."""
    zone = zone_of(hours.zone)
    try:
        better, _ = repaired(hours)
        shown = OfficeShown(AccountId(bytes(16)), True, better, office_state(better, now_ms))
        due = promised_by(better, now_ms)
    except HoursRefused as refused:
        return [f"This cannot be published: {problem_words(refused.problems)}"]
    except ValueError:
        return ["This cannot be published: there is no such time zone."]
    answered = "No time is promised." if due is None else f"Who writes now is answered by {moment(due, now_ms, zone)}."
    return ["What your clients see now:", f"   {door_words(shown, now_ms, zone)}", f"   {answered}"]


# --- editing ----------------------------------------------------------------------------------------------------------


def _keep_draft(face: Face, hours: OfficeHours) -> None:
    """The draft after a change, with what would be repaired and what clients would see."""
    try:
        _, repairs = repaired(hours)
        said = [repair_words(repairs)] if repairs else []
    except HoursRefused as refused:
        raise Misuse(f"That does not work: {problem_words(refused.problems)} Nothing was changed.") from None
    face.hours_draft = hours
    now_ms = now()
    lines = [*said, *hours_lines(hours, face.names.of, _today(hours.zone, now_ms), own=True), ""]
    lines += [*preview_lines(hours, now_ms), "", "Not published yet: /hours publish signs it, /hours forget drops it."]
    face.sheet("Your hours, a draft", "\n".join(lines))


async def with_holidays(client: rapport.Client, hours: OfficeHours, country: str, region: str) -> OfficeHours:
    """The hours closed on the public holidays of this year and the next that they do not know. Misuse when none is new.

    Raises what `Offices.holidays` raises.
    """
    if len(country) != _COUNTRY:
        raise Misuse(_HOLIDAYS_HOW)
    today = _today(hours.zone, now())
    days = []
    for year in (today.year, today.year + 1):
        found = await client.office.holidays(country.upper(), region.upper(), year)
        days += [date.fromisoformat(each.date) for each in found.days]
    kept = {differs.date for differs in hours.dates}
    ahead = [day for day in days if day >= today and day.isoformat() not in kept]
    if not ahead:
        raise Misuse("All of those holidays are in your hours already, or none is known for that place.")
    return closed_on(hours, ahead)


async def _publish(face: Face, rest: str) -> None:
    if rest:
        raise Misuse("/hours publish stands alone: it signs the draft for all your clients.")
    if face.hours_draft is None:
        raise Misuse("There is no draft. /hours mon-thu 09:00-12:00 13:00-17:00 begins one.")
    try:
        repairs = await face.client.office.publish(face.hours_draft)
    except HoursRefused as refused:
        raise Misuse(f"That cannot be published: {problem_words(refused.problems)} The draft is kept.") from None
    face.hours_draft = None
    face.tell(f"Signed. Your clients see it as soon as there is a connection. {repair_words(repairs)}".strip())


async def _forget(face: Face, _: str) -> None:
    face.hours_draft = None
    face.tell("The draft is dropped. What was published stands.")


async def _preview(face: Face, rest: str) -> None:
    hours, now_ms = _base(face), now()
    at_ms = now_ms if not rest else instant_of(rest, now_ms, zone_of(hours.zone))
    if at_ms is None:
        raise Misuse("/hours preview, or with a time: /hours preview Tue 14:00.")
    lines = preview_lines(hours, at_ms)
    if at_ms != now_ms:
        lines[0] = f"What your clients see at {moment(at_ms, now_ms, zone_of(hours.zone))}:"
    face.sheet("What your clients see", "\n".join(lines))


_DEEDS: Final[dict[str, Callable[[Face, str], Awaitable[None]]]] = {
    "publish": _publish,
    "forget": _forget,
    "preview": _preview,
}


# --- by hand ----------------------------------------------------------------------------------------------------------


async def _away(face: Face, rest: str) -> None:
    _require_therapist(face)
    hours = face.client.office.mine.hours
    if hours is None:
        raise Misuse("You have published no hours yet; /hours shows how.")
    word, _, more = rest.partition(" ")
    state = _STATES.get(word.casefold(), OverrideState.AWAY)
    now_ms = now()
    typed = more if word.casefold() in _STATES else rest
    until_ms = instant_of(typed, now_ms, zone_of(hours.zone))
    if until_ms is None:
        raise Misuse(_AWAY_HOW)
    await face.client.office.step_away(until_ms, state)
    override = Override(state, now_ms, until_ms)
    lines = preview_lines(replace(hours, override=override), now_ms)
    face.tell(f"Signed until {moment(until_ms, now_ms)}. {' '.join(line.strip() for line in lines)}")


async def _back(face: Face, rest: str) -> None:
    _require_therapist(face)
    if rest:
        raise Misuse("/back stands alone: what was said by hand ends, and your hours count.")
    await face.client.office.come_back()
    hours = face.client.office.mine.hours
    lines = preview_lines(hours, now()) if hours is not None else []
    face.tell(f"Your hours count again. {' '.join(line.strip() for line in lines)}".strip())


OFFICES: Final = (
    Command("hours", "/hours [change]", "when you are there; a client: when your therapist is", _hours),
    Command("away", "/away [session] until 14:00", "say by hand that you are away; ends by itself", _away),
    Command("back", "/back", "you are back; your hours count", _back),
)
