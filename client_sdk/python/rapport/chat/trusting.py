"""Commands about whom one talks to: members, safety numbers, changed identities, the security log."""

import time
from typing import Final

import rapport
from rapport.chat.devices import label_of
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.words import presence_words
from rapport_protocol.ids import AccountId

__all__ = ["TRUSTING", "contact_of", "other_person", "subtitle_of", "undecided"]

_LOG: Final = 100
"""Entries of the security log that are shown."""
_GROUPS_IN_A_LINE: Final = 4


def contact_of(client: rapport.Client, account: AccountId) -> rapport.Contact | None:
    """What is pinned of somebody, if anything is yet."""
    try:
        return client.contact(account)
    except rapport.LocalError:
        return None


def _others(face: Face) -> list[AccountId]:
    return [member.account for member in face.here().members if member.account != face.client.account]


def other_person(face: Face, rest: str) -> AccountId:
    """The one that a command means: the only other person here, or the one named. Misuse when that is not clear."""
    others = _others(face)
    named = [account for account in others if face.names.of(account).casefold().startswith(rest.casefold())]
    if len(named) == 1:
        return named[0]
    if not others:
        raise Misuse("Nobody has joined this conversation yet.")
    raise Misuse(f"Name one of: {', '.join(face.names.of(account) for account in others)}.")


def undecided(client: rapport.Client, conversation: rapport.Conversation) -> list[AccountId]:
    """Members whose identity has changed, about which the person has not decided yet."""
    known = {member.account: contact_of(client, member.account) for member in conversation.members}
    return [account for account, contact in known.items() if contact is not None and contact.identity_changed]


def subtitle_of(client: rapport.Client, conversation: rapport.Conversation) -> str:
    """What stands beside a conversation's title: presence, role, whether safety numbers were compared; in words."""
    others = [member for member in conversation.members if member.account != client.account]
    if len(others) != 1:
        return f"{len(others) + 1} members" if others else "the invitation is open"
    contact = contact_of(client, others[0].account)
    parts = [str(others[0].role)] if others[0].role else []
    there = presence_words(client.presence.of(others[0].account))
    if there:
        parts.insert(0, there)
    if contact is not None:
        parts.append("key changed" if contact.identity_changed else "verified" if contact.verified else "not verified")
    return ", ".join(parts)


async def _who(face: Face, _: str) -> None:
    lines = []
    for member in face.here().members:
        known = contact_of(face.client, member.account)
        notes = [str(member.role)] if member.role else []
        there = presence_words(face.client.presence.of(member.account))
        notes += [there] if there else []
        if member.account == face.client.account:
            notes.append("this is you")
        elif known is not None:
            words = "key changed: /verify" if known.identity_changed else "not verified yet: /verify"
            notes.append("verified" if known.verified and not known.identity_changed else words)
        lines.append(f"{face.names.of(member.account)}  ({', '.join(notes)})")
        lines.append(f"   {_devices_of(face, member.account)}")
    face.sheet("Who is here", "\n".join(lines))


def _devices_of(face: Face, account: AccountId) -> str:
    devices = face.client.contact_devices(account)
    names = ", ".join(label_of(device) for device in devices)
    return f"{'1 device' if len(devices) == 1 else f'{len(devices)} devices'}: {names}" if devices else "no device yet"


async def _verify(face: Face, rest: str) -> None:
    account = other_person(face, rest)
    name = face.names.of(account)
    contact = contact_of(face.client, account)
    if contact is None:
        raise Misuse(f"{name} has no safety number yet; it comes with the first message.")
    if contact.identity_changed and await _new_key_refused(face, account):
        return
    meaning = f"If they are equal, nobody reads along. If not, speak to {name} before you write here."
    _show_number(face, account, meaning)
    same = await _yes(face, "Are they equal? yes or no (Esc: decide later)")
    await face.client.verify(account, same)
    if same:
        face.tell(f"{name} is verified, on all your devices.")
    else:
        face.tell(f"{name} is not verified. Speak to {name} before you write anything confidential here.")


def _show_number(face: Face, account: AccountId, meaning: str) -> None:
    name, groups = face.names.of(account), face.client.safety_number(account).split()
    rows = ["   ".join(groups[at : at + _GROUPS_IN_A_LINE]) for at in range(0, len(groups), _GROUPS_IN_A_LINE)]
    how = f"Ask {name} to type /verify too, and compare the numbers aloud, in a call or in person, not in writing."
    face.sheet(f"Safety number with {name}", "\n".join([*rows, "", how, meaning]))


async def _yes(face: Face, question: str) -> bool:
    return (await face.ask(question)).casefold() in {"yes", "y"}


async def _new_key_refused(face: Face, account: AccountId) -> bool:
    """The number of the key that is known decides: equal, and the new key is nobody's; else it may be taken over."""
    name = face.names.of(account)
    meaning = f"This is the number of the key that you know. {name} appears with a new one, and nothing goes out to it."
    _show_number(face, account, meaning)
    if await _yes(face, f"Does {name} see the same number? yes or no (Esc: decide later)"):
        await face.client.verify(account)
        face.tell(f"Then the new key is not {name}'s. It is refused, what waited goes out, and {name} is verified.")
        return True
    question = (
        f"Then {name} has a new key, or somebody is in {name}'s place. Take it over, to compare its number? "
        "What waits here then goes out. yes or no"
    )
    if not await _yes(face, question):
        raise Misuse("Nothing was changed, and nothing goes out.")
    await face.client.acknowledge_identity(account)
    return False


async def _accept(face: Face, rest: str) -> None:
    account = other_person(face, rest)
    contact = contact_of(face.client, account)
    if contact is None or not contact.identity_changed:
        raise Misuse(f"{face.names.of(account)}'s key has not changed; there is nothing to accept.")
    name = face.names.of(account)
    question = f"Go on with {name}'s new key without comparing? What waits here then goes out. yes or no"
    if not await _yes(face, question):
        raise Misuse("Nothing was changed, and nothing goes out.")
    await face.client.acknowledge_identity(account)
    face.tell(f"{name} has the new key now, not compared. /verify shows the safety number.")


async def _security(face: Face, _: str) -> None:
    lines = []
    for entry in await face.client.security_log(_LOG):
        about = f" (about {face.names.of(entry.account)})" if entry.account else ""
        lines.append(
            f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(entry.at_ms / 1000))}{about}\n{entry.sentence}\n"
        )
    face.sheet("Security log", "\n".join(lines) or "Nothing has happened that should not.")


TRUSTING: Final = (
    Command("who", "/who", "who is here, their roles, and whether you have compared safety numbers", _who),
    Command("verify", "/verify [name]", "show and compare the safety number", _verify),
    Command("accept", "/accept [name]", "go on with somebody whose key has changed, without comparing", _accept),
    Command("security", "/security", "what was noticed that should not happen", _security),
)
