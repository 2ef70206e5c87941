"""What own devices say to each other in the self conversation, and what each kind of it does here.

One table: content type to handler. Only posts of our account's listed devices count, and only in the self conversation;
a device that has been removed since has no say any more, not even in history.

Source: docs/protocol.md, section 4.10.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from rapport.engine.bodies.content import OwnContent, OwnDraft, OwnMute, OwnPin, OwnRead, OwnSetting, parse_content
from rapport.engine.delivery import read_elsewhere
from rapport.engine.opening import OpenedMessage
from rapport.engine.own_pins import take_pin
from rapport.engine.own_state import SETTINGS_MOST, settings, tell
from rapport.engine.own_values import own_value, settle_value, standing, unqueue_value
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import OutgoingPost
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Turn
from rapport.events import ConversationChanged, SettingChanged
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import ConversationId
from rapport_protocol.signed import self_conversation

__all__ = ["OWN_POSTS", "OwnPost", "device_added", "own_accepted", "own_given_up", "take_own"]


class OwnPost(NamedTuple):
    """What a kind of content does. apply: called with what stands now, when that has changed.

    merges: every post counts, in whatever order (a position that only moves forward, a key per epoch): apply is called
    for each.
    """

    apply: Callable[[Turn, Any], None]
    merges: bool = False


def _read(turn: Turn, content: OwnRead) -> None:
    read_elsewhere(turn, content.conv, content.id)


def _mute(turn: Turn, content: OwnMute) -> None:
    conversation = CONVERSATIONS.get(turn.tx, content.conv)
    if conversation is not None and conversation.muted_until_ms != content.until:
        amend(CONVERSATIONS, turn.tx, content.conv, muted_until_ms=content.until)
        turn.show(ConversationChanged(content.conv))


def _draft(turn: Turn, content: OwnDraft) -> None:
    conversation = CONVERSATIONS.get(turn.tx, content.conv)
    if conversation is None or errands.planned(turn, ErrandKind.DRAFT, content.conv):
        return  # what is being written here will be told, and counts above this
    if conversation.draft != content.text:
        amend(CONVERSATIONS, turn.tx, content.conv, draft=content.text)
        turn.show(ConversationChanged(content.conv))


def _setting(turn: Turn, content: OwnSetting) -> None:
    turn.show(SettingChanged(content.name))


OWN_POSTS: Final[dict[type[OwnContent], OwnPost]] = {
    OwnRead: OwnPost(_read, merges=True),
    OwnMute: OwnPost(_mute),
    OwnDraft: OwnPost(_draft),
    OwnSetting: OwnPost(_setting),
    OwnPin: OwnPost(take_pin),
}
"""One handler per content type."""


def take_own(turn: Turn, message: OpenedMessage, content: OwnContent) -> None:
    """An own device says something, live or from the archive."""
    outer, account = message.outer, turn.me.account
    if outer.account != account or outer.conv != self_conversation(account) or not message.known.listed:
        return
    handler = OWN_POSTS[type(content)]
    if isinstance(content, OwnSetting) and _one_too_many(turn, content):
        return
    newest = settle_value(turn, content, message.envelope.seq)
    if handler.merges or (newest and own_value(turn, content).queued is None):
        handler.apply(turn, content)


def _one_too_many(turn: Turn, content: OwnSetting) -> bool:
    return standing(turn.tx, content) is None and len(settings(turn)) >= SETTINGS_MOST


def own_accepted(turn: Turn, post: OutgoingPost, seq: int) -> None:
    """The server has given a post of ours its place: from now on it counts by that.

    What another device said at a higher place, and we kept back, happens now.
    """
    content = _content(post)
    if content is None:
        return
    settle_value(turn, content, seq)
    _over(turn, post, content)


def own_given_up(turn: Turn, post: OutgoingPost) -> None:
    """The server will never take it: what others have said counts again."""
    content = _content(post)
    if content is not None:
        _over(turn, post, content)


def _over(turn: Turn, post: OutgoingPost, content: OwnContent) -> None:
    unqueue_value(turn, content, post.id)
    stands = standing(turn.tx, content)
    handler = OWN_POSTS[type(content)]
    if stands is not None and stands != content and not handler.merges:
        handler.apply(turn, stands)


def _content(post: OutgoingPost) -> OwnContent | None:
    """What an outgoing post says to our own devices; None if it is for others."""
    try:
        content = parse_content(post.type, msgspec.msgpack.decode(post.content))
    except (FormatError, msgspec.DecodeError):
        return None
    return content if isinstance(content, OwnContent) else None


def device_added(turn: Turn) -> None:
    """This device has signed a list with a new device of ours: it is told what no archive holds."""
    for key, conversation in list(CONVERSATIONS.list(turn.tx)):
        conv = ConversationId(key)
        if conversation.read_id is not None:
            tell(turn, OwnRead(conv, conversation.read_id))
        if conversation.draft:
            tell(turn, OwnDraft(conv, conversation.draft))
