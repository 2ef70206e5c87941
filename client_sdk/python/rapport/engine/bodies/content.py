"""What bodies say: the types of content that this version makes and understands, as maps inside the sealed body.

    text            {text}                      a bubble
    edit            {id, text}                  control; by the author of the message `id`
    delete          {id}                        control; by the author
    reaction        {id, emoji or nil}          control; one per account and message
    read            {id}                        control; everything up to that message has been read
    profile         {name, device}              control; the sender's name and what the sending device is called
    invite          {token, conv}               control, self conversation; an invite that this account has made
    own.read        {conv, id}                  control, self conversation; read here up to that message
    own.mute        {conv, until}               control, self conversation; nothing rings for it until then
    own.draft       {conv, text}                control, self conversation; written and not sent
    own.setting     {name, value or nil}        control, self conversation; one named value
    own.archive_key {epoch, key}                control, self conversation; an archive key that was minted
    keys.wanted     {}                          direct between own devices; archive keys are missing
    keys.given      {keys: [[epoch, key]]}      direct between own devices
    own.pin         {account, aik, version, hash, verified}  control, self conversation; a contact as pinned there
    resend.request  {items: [[id, kc, body]]}   direct; kc zeros if unknown, body: outer, nonce and ct are needed too
    resend.refusal  {items: [[id, reason]]}     direct
    resend.body     {id, outer, nonce, ct, key, at, size}    direct; a whole message again, or a piece of it
    resend.lost     {ids}                       direct; these could never be opened here
    card, promise.extended, slot.wanted, urgent.seen, cover.*    see agreements.py
    call.*, appointment, appointment.late, room.words            see meetings.py

A type that is not known, or content of another shape, is kept and shown as unsupported. Source: docs/protocol.md,
chapter 4.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from rapport.engine.bodies.agreements import (
    CardContent,
    CoverAccepted,
    CoverCard,
    CoverOffer,
    CoverReady,
    CoverRefused,
    CoverRequest,
    PromiseExtended,
    SlotWanted,
    UrgentSeenContent,
)
from rapport.engine.bodies.meetings import (
    AppointmentContent,
    AppointmentLate,
    CallAccepted,
    CallDeclined,
    CallDescription,
    CallMode,
    CallOffer,
    CallSummary,
    RoomWords,
)
from rapport.engine.vault.unshown import Unshown
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.limits import CT_BYTES, MAX_INTEGER
from rapport_protocol.signed import OUTER_BYTES

__all__ = [
    "DEVICE_NAME_BYTES",
    "EMOJI_BYTES",
    "KEYS_MOST",
    "NAME_BYTES",
    "RESEND_ITEMS",
    "SETTING_BYTES",
    "SETTING_NAME_CHARACTERS",
    "TEXT_BYTES",
    "Content",
    "Delete",
    "Edit",
    "InviteMade",
    "KeysGiven",
    "KeysWanted",
    "OwnArchiveKey",
    "OwnContent",
    "OwnDraft",
    "OwnMute",
    "OwnPin",
    "OwnRead",
    "OwnSetting",
    "Profile",
    "Reaction",
    "Read",
    "RefusalReason",
    "RefusedItem",
    "ResendBody",
    "ResendItem",
    "ResendLost",
    "ResendRefusal",
    "ResendRequest",
    "Text",
    "archived",
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
SETTING_NAME_CHARACTERS: Final = 64
"""Longest name of a setting."""
SETTING_BYTES: Final = 4_096
"""Longest value of a setting, bytes of UTF-8."""
DEVICE_NAME_BYTES: Final = 40
"""Longest name of a device, bytes of UTF-8."""
KEYS_MOST: Final = 257
"""Most archive keys of an account: the first, and one per removal."""
RESEND_ITEMS: Final = 64
"""Most messages in one resend request; the rest goes into the next one."""

_Id = Annotated[MessageId, Meta(min_length=16, max_length=16)]
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Conv = Annotated[ConversationId, Meta(min_length=16, max_length=16)]
_Text = Annotated[str, Meta(max_length=TEXT_BYTES)]


class Text(Unshown, frozen=True):
    """A text that people read."""

    text: _Text


class Edit(Unshown, frozen=True):
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


class Profile(Unshown, frozen=True):
    """The sender's account is called this."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES)]
    device: Annotated[str, Meta(max_length=DEVICE_NAME_BYTES)] = ""
    """What the sending device is called."""


class InviteMade(Unshown, frozen=True):
    """To our own devices: an invite and its secret."""

    token: _Bytes32
    conv: _Conv


class OwnContent(Unshown, frozen=True):
    """Word from one of our own devices to the others, in the self conversation. One value per type and subject."""

    @property
    def subject(self) -> bytes:
        """What it is about, among all of its type."""
        raise NotImplementedError


class _OwnConversation(OwnContent, frozen=True):
    conv: _Conv

    @property
    def subject(self) -> bytes:
        """The conversation."""
        return self.conv


class OwnRead(_OwnConversation, frozen=True):
    """To our own devices: everything of the conversation up to this message has been read."""

    id: _Id


class OwnMute(_OwnConversation, frozen=True):
    """To our own devices: the conversation is muted until then, milliseconds; 0 = it is not."""

    until: Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class OwnDraft(_OwnConversation, frozen=True):
    """To our own devices: what stands in the conversation's input; "" = nothing."""

    text: _Text


class OwnSetting(OwnContent, frozen=True):
    """To our own devices: a named value; None removes it."""

    name: Annotated[str, Meta(min_length=1, max_length=SETTING_NAME_CHARACTERS)]
    value: Annotated[str, Meta(max_length=SETTING_BYTES)] | None = None

    @property
    def subject(self) -> bytes:
        """The name."""
        return self.name.encode()


class OwnPin(OwnContent, frozen=True):
    """To our own devices: a contact as this device has pinned it, and whether the person has compared safety numbers.

    version, hash: of the newest list held.
    """

    account: Annotated[AccountId, Meta(min_length=16, max_length=16)]
    aik: _Bytes32
    version: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    hash: _Bytes32
    verified: bool

    @property
    def subject(self) -> bytes:
        """The contact's account."""
        return self.account


class OwnArchiveKey(Unshown, frozen=True):
    """To our own devices: AK_epoch, minted when a device was removed."""

    epoch: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    key: _Bytes32


class KeysWanted(Struct, frozen=True):
    """To an own device: archive keys are missing here."""


class KeysGiven(Unshown, frozen=True):
    """To an own device: all archive keys that are held here, by epoch."""

    keys: Annotated[tuple[tuple[Annotated[int, Meta(ge=1, le=2**32 - 1)], _Bytes32], ...], Meta(max_length=KEYS_MOST)]


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
    REMOVED: Final = "removed"
    """Its time was over: it has been removed everywhere, and nobody needs to know that it was there."""


class RefusedItem(Struct, frozen=True, array_like=True):
    """One message that is not sent again, and why."""

    id: _Id
    reason: str


class ResendRefusal(Struct, frozen=True):
    """These keys are not sent again."""

    items: Annotated[tuple[RefusedItem, ...], Meta(max_length=RESEND_ITEMS)]


class ResendBody(Unshown, frozen=True):
    """A whole message again, for a device to which the server does not give it.

    A long ct comes in several bodies, in order. at: where this piece begins; size: of the whole, 0 = this is all.
    """

    id: _Id
    outer: Annotated[bytes, Meta(min_length=OUTER_BYTES, max_length=OUTER_BYTES)]
    nonce: Annotated[bytes, Meta(min_length=24, max_length=24)]
    ct: Annotated[bytes, Meta(max_length=CT_BYTES)]
    key: _Bytes32
    at: Annotated[int, Meta(ge=0, le=CT_BYTES)] = 0
    size: Annotated[int, Meta(ge=0, le=CT_BYTES)] = 0


class ResendLost(Struct, frozen=True):
    """These could never be opened here, and nobody is asked any more."""

    ids: Annotated[tuple[_Id, ...], Meta(max_length=RESEND_ITEMS)]


Content = (
    Text
    | Edit
    | Delete
    | Reaction
    | Read
    | Profile
    | InviteMade
    | OwnRead
    | OwnMute
    | OwnDraft
    | OwnSetting
    | OwnArchiveKey
    | KeysWanted
    | KeysGiven
    | OwnPin
    | ResendRequest
    | ResendRefusal
    | ResendBody
    | ResendLost
    | CardContent
    | PromiseExtended
    | SlotWanted
    | UrgentSeenContent
    | CoverRequest
    | CoverReady
    | CoverRefused
    | CoverOffer
    | CoverAccepted
    | CoverCard
    | CallOffer
    | CallDescription
    | CallAccepted
    | CallDeclined
    | CallSummary
    | CallMode
    | AppointmentContent
    | AppointmentLate
    | RoomWords
)
"""Everything this version understands."""

_TYPES: Final[dict[str, type[Content]]] = {
    "text": Text,
    "edit": Edit,
    "delete": Delete,
    "reaction": Reaction,
    "read": Read,
    "profile": Profile,
    "invite": InviteMade,
    "own.read": OwnRead,
    "own.mute": OwnMute,
    "own.draft": OwnDraft,
    "own.setting": OwnSetting,
    "own.archive_key": OwnArchiveKey,
    "keys.wanted": KeysWanted,
    "keys.given": KeysGiven,
    "own.pin": OwnPin,
    "resend.request": ResendRequest,
    "resend.refusal": ResendRefusal,
    "resend.body": ResendBody,
    "resend.lost": ResendLost,
    "card": CardContent,
    "promise.extended": PromiseExtended,
    "slot.wanted": SlotWanted,
    "urgent.seen": UrgentSeenContent,
    "cover.request": CoverRequest,
    "cover.ready": CoverReady,
    "cover.refused": CoverRefused,
    "cover.offer": CoverOffer,
    "cover.accepted": CoverAccepted,
    "cover.card": CoverCard,
    "call.offer": CallOffer,
    "call.description": CallDescription,
    "call.accepted": CallAccepted,
    "call.declined": CallDeclined,
    "call.summary": CallSummary,
    "call.mode": CallMode,
    "appointment": AppointmentContent,
    "appointment.late": AppointmentLate,
    "room.words": RoomWords,
}
_NAMES: Final[dict[type[Struct], str]] = {content: name for name, content in _TYPES.items()}

_NEVER_ARCHIVED: Final = frozenset({"own.read", "own.draft"})


def archived(name: str) -> bool:
    """Whether posts of this type stay in the account's archive.

    What changes with every word typed or read would pile up there; it is for the devices that there are now.
    """
    return name not in _NEVER_ARCHIVED


def content_type(content: Struct | type[Struct]) -> str:
    """The body's `type`; also of a class."""
    return _NAMES[content if isinstance(content, type) else type(content)]


def as_map(content: Struct) -> dict[str, Any]:
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
