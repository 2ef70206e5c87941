"""What this device tells the account's other devices: how far was read, what is muted, drafted and set.

It happens here at once and is posted into the self conversation, sealed like everything else. How often is bounded:
read positions go with the read receipts, at most one per ten seconds and conversation; drafts at most one per two
seconds and conversation; and a post that has not left yet is given the new value instead of a successor.

Source: docs/protocol.md, section 4.10.
"""

from typing import Final

from msgspec.structs import replace

from rapport.engine.bodies.content import (
    SETTING_BYTES,
    SETTING_NAME_CHARACTERS,
    TEXT_BYTES,
    OwnContent,
    OwnDraft,
    OwnMute,
    OwnRead,
    OwnSetting,
    Read,
    archived,
    content_type,
)
from rapport.engine.composing import compose
from rapport.engine.contacts import listed_devices
from rapport.engine.conversations import open_self, others_in
from rapport.engine.delivery import newest_read
from rapport.engine.own_values import encode_own, own_value, queue_value, standing_all
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import OUTBOX
from rapport.engine.vault.records import CONVERSATIONS, OWN, Conversation
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Turn
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import MAX_INTEGER

__all__ = [
    "DRAFT_EVERY_MS",
    "SETTINGS_MOST",
    "changed_settings",
    "draft_due",
    "mute",
    "set_draft",
    "set_setting",
    "settings",
    "tell",
    "tell_read",
]

DRAFT_EVERY_MS: Final = 2_000
"""At most one draft per conversation in this time."""
SETTINGS_MOST: Final = 256
"""Most named settings; a further name is refused here, and ignored when another device says it."""


def tell(turn: Turn, content: OwnContent) -> None:
    """Posts to our other devices what has just been changed here.

    What is not archived is told only if there is another device: nobody else could ever read it.
    """
    held = own_value(turn, content)
    waiting = OUTBOX.get(turn.tx, held.queued) if held.queued else None
    if waiting is not None and waiting.sealed is None and not waiting.chain:
        after = replace(waiting, content=encode_own(content))
        OUTBOX.put(turn.tx, waiting.id, after, group=waiting.conv, order=waiting.order)
        queue_value(turn, content, waiting.id)
    elif archived(content_type(content)) or _others(turn):
        queue_value(turn, content, compose(turn, open_self(turn), content))


def _others(turn: Turn) -> bool:
    return len(listed_devices(turn, turn.me.account)) > 1


def _conversation(turn: Turn, conv: ConversationId) -> Conversation:
    found = CONVERSATIONS.get(turn.tx, conv)
    if found is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such conversation")
    return found


# --- read positions ---------------------------------------------------------------------------------------------------


def tell_read(turn: Turn, conv: ConversationId) -> None:
    """Ten seconds are over, or it was the first.

    One read receipt for everything read since, and the same to our other devices.
    """
    errands.drop(turn, ErrandKind.READ, conv)
    conversation = _conversation(turn, conv)
    newest = newest_read(turn, conversation)
    if newest is None or newest == conversation.told:
        return
    amend(CONVERSATIONS, turn.tx, conv, told=newest, told_ms=turn.now_ms)
    if others_in(turn, conversation):
        compose(turn, conv, Read(newest))
    tell(turn, OwnRead(conv, newest))


# --- mute and drafts --------------------------------------------------------------------------------------------------


def mute(turn: Turn, conv: ConversationId, until_ms: int | None) -> None:
    """Nothing rings for the conversation until then, on any of our devices.

    None = it is not muted. LocalError: NOT_FOUND, BAD_FORMAT for a time outside of 1 to 2^53 - 1.
    """
    if until_ms is not None and not 0 < until_ms <= MAX_INTEGER:
        raise LocalError(ErrorCode.BAD_FORMAT, "until: milliseconds, 1 to 2^53 - 1")
    if _conversation(turn, conv).muted_until_ms != (until_ms or 0):
        amend(CONVERSATIONS, turn.tx, conv, muted_until_ms=until_ms or 0)
        tell(turn, OwnMute(conv, until_ms or 0))


def set_draft(turn: Turn, conv: ConversationId, text: str) -> None:
    """What stands in the input, "" for nothing; told to our other devices every two seconds at most.

    LocalError: NOT_FOUND, TOO_LARGE above 15,000 bytes.
    """
    if len(text.encode()) > TEXT_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"draft: at most {TEXT_BYTES} bytes of UTF-8")
    conversation = _conversation(turn, conv)
    if conversation.draft == text:
        return
    amend(CONVERSATIONS, turn.tx, conv, draft=text)
    errands.plan(turn, ErrandKind.DRAFT, conv, due_ms=max(turn.now_ms, conversation.draft_told_ms + DRAFT_EVERY_MS))


def draft_due(turn: Turn, conv: ConversationId) -> None:
    """Two seconds are over, or it was the first: the draft as it stands now is told."""
    errands.drop(turn, ErrandKind.DRAFT, conv)
    conversation = amend(CONVERSATIONS, turn.tx, conv, draft_told_ms=turn.now_ms)
    tell(turn, OwnDraft(conv, conversation.draft))


# --- settings ---------------------------------------------------------------------------------------------------------


def set_setting(turn: Turn, name: str, value: str | None) -> None:
    """Sets a named value on all of our devices; None removes it.

    LocalError: BAD_FORMAT for a name that is not 1 to 64 characters, TOO_LARGE for a value above 4,096 bytes, TOO_MANY
    for a name beyond the 256th.
    """
    if not 0 < len(name) <= SETTING_NAME_CHARACTERS:
        raise LocalError(ErrorCode.BAD_FORMAT, f"name: 1 to {SETTING_NAME_CHARACTERS} characters")
    if value is not None and len(value.encode()) > SETTING_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"value: at most {SETTING_BYTES} bytes of UTF-8")
    held = settings(turn)
    if held.get(name) == value:
        return
    if name not in held and len(held) >= SETTINGS_MOST:
        raise LocalError(ErrorCode.TOO_MANY, f"at most {SETTINGS_MOST} settings")
    tell(turn, OwnSetting(name, value))


def settings(turn: Turn) -> dict[str, str]:
    """All settings as they stand."""
    return {held.name: held.value for held in standing_all(turn.tx, OwnSetting) if held.value is not None}


def changed_settings(turn: Turn) -> dict[str, str] | None:
    """The same if this turn may have changed them, else None."""
    return settings(turn) if turn.written(OWN.name) else None
