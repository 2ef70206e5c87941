"""What bodies say: the types of content that this version makes and understands, as maps inside the sealed body.

    text            {text}                      a bubble
    edit            {id, text}                  control; by the author of the message `id`
    delete          {id}                        control; by the author
    reaction        {id, emoji or nil}          control; one per account and message
    read            {id}                        control; everything up to that message has been read
    profile         {name}                      control; the sender's name
    invite          {token, conv}               control, self conversation; an invite that this account has made
    resend.request  {items: [[id, kc, body]]}   direct; kc zeros if unknown, body: whether outer, nonce and ct are
    needed too resend.refusal  {items: [[id, reason]]}     direct resend.body     {id, outer, nonce, ct, key} direct; a
    whole message again

A type that is not known, or content of another shape, is kept and shown as unsupported. Source: docs/protocol.md,
chapter 4.
"""

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from rapport_protocol.errors import FormatError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import CT_BYTES
from rapport_protocol.signed import OUTER_BYTES

__all__ = [
    "EMOJI_BYTES",
    "NAME_BYTES",
    "RESEND_ITEMS",
    "TEXT_BYTES",
    "Content",
    "Delete",
    "Edit",
    "InviteMade",
    "Profile",
    "Reaction",
    "Read",
    "RefusalReason",
    "RefusedItem",
    "ResendBody",
    "ResendItem",
    "ResendRefusal",
    "ResendRequest",
    "Text",
    "as_map",
    "content_type",
    "parse_content",
]

TEXT_BYTES: Final = 15_000
"""Longest text, bytes of UTF-8: it fits a body of 16,383 bytes with the largest roster."""
EMOJI_BYTES: Final = 64
"""Longest reaction, bytes of UTF-8: the longest emoji sequence is below."""
NAME_BYTES: Final = 200
"""Longest name, bytes of UTF-8."""
RESEND_ITEMS: Final = 64
"""Most messages in one resend request; the rest goes into the next one."""

_Id = Annotated[MessageId, Meta(min_length=16, max_length=16)]
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Text = Annotated[str, Meta(max_length=TEXT_BYTES)]


class _Unshown(Struct, frozen=True):
    """What people say, and keys: its repr shows nothing of it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Text(_Unshown, frozen=True):
    """A text that people read."""

    text: _Text


class Edit(_Unshown, frozen=True):
    """The author's message says this now."""

    id: _Id
    text: _Text


class Delete(Struct, frozen=True):
    """The author's message is gone from view."""

    id: _Id


class Reaction(Struct, frozen=True):
    """This account's reaction to a message; None takes it back."""

    id: _Id
    emoji: Annotated[str, Meta(min_length=1, max_length=EMOJI_BYTES)] | None = None


class Read(Struct, frozen=True):
    """Everything up to this message has been read."""

    id: _Id


class Profile(_Unshown, frozen=True):
    """The sender's account is called this."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES)]


class InviteMade(_Unshown, frozen=True):
    """To our own devices: an invite and its secret."""

    token: _Bytes32
    conv: Annotated[ConversationId, Meta(min_length=16, max_length=16)]


class ResendItem(Struct, frozen=True, array_like=True):
    """One message whose key is asked for again.

    commitment: kc as the asker has it, zeros if unknown. body: send it whole.
    """

    id: _Id
    commitment: _Bytes32
    body: bool = False


class ResendRequest(Struct, frozen=True):
    """These messages cannot be opened here."""

    items: Annotated[tuple[ResendItem, ...], Meta(max_length=RESEND_ITEMS)]


class RefusalReason:
    """Why a key is not sent again."""

    NO_SUCH_MESSAGE: Final = "no_such_message"
    """This device never sent it, or not with that commitment."""
    NOT_ADDRESSED: Final = "not_addressed"
    """The asking device was not among those that it was sealed for."""
    EXPIRED: Final = "expired"
    """It is older than 97 days."""


class RefusedItem(Struct, frozen=True, array_like=True):
    """One message that is not sent again, and why."""

    id: _Id
    reason: str


class ResendRefusal(Struct, frozen=True):
    """These keys are not sent again."""

    items: Annotated[tuple[RefusedItem, ...], Meta(max_length=RESEND_ITEMS)]


class ResendBody(_Unshown, frozen=True):
    """A whole message again, for a device to which the server does not give it."""

    id: _Id
    outer: Annotated[bytes, Meta(min_length=OUTER_BYTES, max_length=OUTER_BYTES)]
    nonce: Annotated[bytes, Meta(min_length=24, max_length=24)]
    ct: Annotated[bytes, Meta(max_length=CT_BYTES)]
    key: _Bytes32


Content = Text | Edit | Delete | Reaction | Read | Profile | InviteMade | ResendRequest | ResendRefusal | ResendBody
"""Everything this version understands."""

_TYPES: Final[dict[str, type[Content]]] = {
    "text": Text,
    "edit": Edit,
    "delete": Delete,
    "reaction": Reaction,
    "read": Read,
    "profile": Profile,
    "invite": InviteMade,
    "resend.request": ResendRequest,
    "resend.refusal": ResendRefusal,
    "resend.body": ResendBody,
}
_NAMES: Final = {content: name for name, content in _TYPES.items()}

T = TypeVar("T")


def content_type(content: Content) -> str:
    """The body's `type`."""
    return _NAMES[type(content)]


def as_map(content: Content) -> dict[str, Any]:
    """The body's `content`."""
    return {
        field: msgspec.to_builtins(getattr(content, field), builtin_types=(bytes,))
        for field in content.__struct_fields__
    }


def parse_content(name: str, content: dict[str, Any]) -> Content | None:
    """The typed content, None for a type that is not known here. FormatError if it has not the shape of its type."""
    wanted = _TYPES.get(name)
    if wanted is None:
        return None
    try:
        return msgspec.convert(content, wanted)
    except (msgspec.ValidationError, TypeError, ValueError):
        raise FormatError("content") from None
