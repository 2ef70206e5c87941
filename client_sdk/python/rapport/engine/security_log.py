"""What should not have happened, kept so that a person can read it later.

Every SecurityEvent of a turn is stored in the same transaction as what it is about. The same thing is stored once an
hour, and each kind has its own share of the log: a server that provokes one kind a million times pushes nothing else
out.
"""

from typing import Final

from rapport.engine.vault.records import NOTICED, Noticed
from rapport.engine.vault.turn import Turn
from rapport.events import LogEntry, SecurityEvent, SecurityKind

__all__ = ["LOG_MOST", "ONCE_MS", "SENTENCES", "keep_noticed", "read_log"]

LOG_MOST: Final = 1_000
"""Most entries of the log, all kinds together."""
ONCE_MS: Final = 3_600_000
"""The same kind about the same account, device and conversation is stored once in this time."""
_MOST_PER_KIND: Final = LOG_MOST // len(SecurityKind)

SENTENCES: Final = {
    SecurityKind.EQUIVOCATION: (
        "Two different lists of this person's devices carry valid signatures; both were kept and nothing is sent "
        "to them: compare safety numbers with them."
    ),
    SecurityKind.FORGED_LIST: (
        "The server showed a list of this person's devices with a wrong signature or against the rules; it was "
        "ignored and the list that was known stays: nothing to do."
    ),
    SecurityKind.FORGED_ENTRY: (
        "The server showed a change of a conversation's members that nobody entitled has signed; it was ignored: "
        "nothing to do."
    ),
    SecurityKind.FORGED_PREKEYS: (
        "The server handed out keys for a device which that device did not sign; they were not used, and your "
        "message waits for the right ones: nothing to do."
    ),
    SecurityKind.UNLISTED_DEVICE: (
        "The server asked for a key for a device that is not on this person's signed list; it got none and your "
        "messages wait: if it goes on, ask whoever runs the server."
    ),
    SecurityKind.WITHHELD_DEVICE: (
        "The server left out a device that wrote to you lately; your messages wait, so that nobody is left out "
        "unnoticed: if it goes on, ask whoever runs the server."
    ),
    SecurityKind.UNKNOWN_SENDER: (
        "A message came from a device or person who does not belong here; it was not opened: nothing to do."
    ),
    SecurityKind.NO_SUCH_MESSAGE: (
        "The server delivered a message which its sender says they never wrote; it was removed from the "
        "conversation: nothing to do."
    ),
    SecurityKind.ORDER: (
        "The server numbered messages in another order than they were written in; they are shown as they are "
        "numbered: read the conversation again before you rely on its order."
    ),
    SecurityKind.IDENTITY_CHANGED: (
        "This person appears with a new identity: perhaps they lost all their devices, perhaps somebody is in "
        "their place; nothing is sent to them: ask them in another way, and acknowledge it only if they confirm it."
    ),
    SecurityKind.OLD_LIST: (
        "The server answered with older lists of this person's devices than were known already; they were "
        "ignored: nothing to do."
    ),
    SecurityKind.WITHHELD_LIST: (
        "The server keeps back a change of this person's devices that somebody else has seen; messages go to the "
        "devices known so far: ask this person whether they removed a device."
    ),
    SecurityKind.ALTERED: (
        "A message was changed on its way; the change was not shown and the original is asked of its sender: "
        "nothing to do."
    ),
    SecurityKind.COMMITMENT: (
        "The sender of a message tried to give it a second meaning; it was not shown: ask them what they meant to say."
    ),
    SecurityKind.LAST_RESORT: (
        "The server had no fresh one-time key for a device and a reusable one was taken; that is usual for a "
        "device that was away for long, and a new key follows with the next renewal: nothing to do."
    ),
    SecurityKind.OLD_PREKEY: (
        "The server handed out a key of a device that is more than 30 days old; it was used, since that device "
        "may have been away: nothing to do, unless the person uses that device daily."
    ),
    SecurityKind.PREKEY_REUSED: (
        "The server handed a one-time key of yours out twice; the second message could not be opened with it and "
        "is asked of its sender again: nothing to do."
    ),
    SecurityKind.WITHHELD_MESSAGE: (
        "The server does not deliver a message that was sent; its sender is asked for it: nothing to do, unless "
        "it stays missing."
    ),
    SecurityKind.NOT_DELIVERED: (
        "A message of yours has not arrived for a day, though the person was online; it is kept: ask them whether "
        "they can read it."
    ),
    SecurityKind.FORGED_ARCHIVE: (
        "The server showed stored history that none of your devices has written; it was ignored: nothing to do."
    ),
    SecurityKind.HISTORY_GAP: (
        "The stored history has gaps: messages with a limited life that are over, some that no device of yours has "
        "opened yet, or something that the server keeps back; what is there was kept: look on another device of yours."
    ),
    SecurityKind.KEY_REFUSED: (
        "A device of somebody else asked for the key of a message that was not meant for them; it got none: "
        "nothing to do."
    ),
    SecurityKind.FORGED_SIGN_IN: "The server claimed to have met this device in a later state, without this device's"
    " signature; nothing was changed: nothing to do.",
    SecurityKind.FORGED_OFFICE: (
        "The server showed office hours that no device of this person has signed; they were ignored: nothing to do."
    ),
    SecurityKind.OFFICE_EQUIVOCATION: (
        "The server showed two different office hours under one number, both with valid signatures; those that came "
        "first stay until newer ones come: ask this person when they are there."
    ),
    SecurityKind.OLD_OFFICE: (
        "The server showed older office hours of this person than are known here; they were ignored: nothing to do."
    ),
    SecurityKind.WITHHELD_OFFICE: (
        "The server keeps back office hours that this person has published; no hours and no promise are shown until "
        "they come: ask this person when they are there."
    ),
    SecurityKind.WRONG_SERVER: (
        "Something answered at the server's address that is not the server you joined; nothing was told to it: "
        "try another network, and ask whoever runs the server."
    ),
}
"""What a person reads, per kind: what happened, what was kept, what to do."""


def keep_noticed(turn: Turn) -> None:
    """Stores what this turn shows as a SecurityEvent; call it once, at the turn's end."""
    for event in turn.events:
        if isinstance(event, SecurityEvent):
            _keep(turn, Noticed(event.kind, turn.now_ms, event.conversation, event.account, event.device))


def _keep(turn: Turn, noticed: Noticed) -> None:
    group = noticed.kind.encode()
    for _, held in NOTICED.list(turn.tx, group, above=turn.now_ms - ONCE_MS):
        if (held.conv, held.account, held.device) == (noticed.conv, noticed.account, noticed.device):
            return
    NOTICED.put(turn.tx, turn.random(16), noticed, group=group, order=turn.now_ms)
    if NOTICED.count(turn.tx, group) > _MOST_PER_KIND:
        for key, _ in list(NOTICED.list(turn.tx, group, limit=1)):
            NOTICED.delete(turn.tx, key)


def read_log(turn: Turn, limit: int) -> list[LogEntry]:
    """The newest `limit` entries of all kinds, newest first."""
    limit = max(0, min(limit, LOG_MOST))
    found = [
        LogEntry(held.at_ms, kind, SENTENCES[kind], held.conv, held.account, held.device)
        for kind in SecurityKind
        for _, held in NOTICED.list(turn.tx, kind.encode(), limit=max(1, limit), newest_first=True)
    ]
    return sorted(found, key=lambda entry: -entry.at_ms)[:limit]
