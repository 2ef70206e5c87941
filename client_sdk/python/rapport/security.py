"""What was noticed that should not have happened: its kinds, the event, a line of the log. Values without secrets."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from rapport_protocol.ids import AccountId, ConversationId, DeviceId

__all__ = ["LogEntry", "SecurityEvent", "SecurityKind"]


class SecurityKind(StrEnum):
    """What the client noticed. Most of it an honest server and honest members never do; see `is_hint` for the rest."""

    EQUIVOCATION = "equivocation"
    """Two validly signed device lists of one version. Nothing is sent to that account until it is resolved."""
    FORGED_LIST = "forged_list"
    """A device list that does not follow the rules or whose signature does not verify."""
    FORGED_ENTRY = "forged_entry"
    """A membership entry against the rules or badly signed."""
    FORGED_PREKEYS = "forged_prekeys"
    """Prekeys that the device named in the signed list did not sign."""
    UNLISTED_DEVICE = "unlisted_device"
    """The server asks for a key for a device that is in no signed list."""
    WITHHELD_DEVICE = "withheld_device"
    """The server leaves out a listed device that was heard of lately."""
    UNKNOWN_SENDER = "unknown_sender"
    """A message whose sending device is in no signed list, or whose sender is no member."""
    NO_SUCH_MESSAGE = "no_such_message"
    """A message that its supposed sender says it never sent."""
    ORDER = "order"
    """The server's numbers contradict what the sender's message says came before it, or leap beyond all reason."""
    IDENTITY_CHANGED = "identity_changed"
    """Valid device lists of a contact under another identity key. Nothing is sent to them until it is acknowledged."""
    OLD_LIST = "old_list"
    """The server answers with older device lists than were asked for."""
    WITHHELD_LIST = "withheld_list"
    """A member knows a newer device list than the server has given out for ten minutes."""
    ALTERED = "altered"
    """What the server delivered is not what the sender sealed."""
    COMMITMENT = "commitment"
    """The sender's key is not the one that its message commits to: it could have opened to two texts."""
    LAST_RESORT = "last_resort"
    """The server had no one-time key left for a device, or says so: its last-resort key was used."""
    OLD_PREKEY = "old_prekey"
    """The server handed out a signed prekey that is more than 30 days old."""
    PREKEY_REUSED = "prekey_reused"
    """A one-time key of ours was handed out twice."""
    WITHHELD_MESSAGE = "withheld_message"
    """The server does not give out a message that its sender says it accepted."""
    NOT_DELIVERED = "not_delivered"
    """A message of ours has not reached a device for a day though it was heard from since, or a device that has written
    twice well after the server took it does not know it."""
    FORGED_ARCHIVE = "forged_archive"
    """Stored history that this account's devices did not write."""
    HISTORY_GAP = "history_gap"
    """Stored history names earlier messages that the server does not give out."""
    KEY_REFUSED = "key_refused"
    """A device asked for the key of a message that is none of its account's business."""
    FORGED_SIGN_IN = "forged_sign_in"
    """The server shows an earlier sign-in of this device that it never signed."""
    FORGED_OFFICE = "forged_office"
    """Office hours that no listed device of that account has signed, or against the rules."""
    OFFICE_EQUIVOCATION = "office_equivocation"
    """Two validly signed office-hours documents of one version; the first one stays."""
    OLD_OFFICE = "old_office"
    """The server shows office hours of an earlier version than this device holds."""
    WITHHELD_OFFICE = "withheld_office"
    """Its therapist writes under newer office hours than the server has given out for ten minutes."""
    WRONG_SERVER = "wrong_server"
    """Something else than the server that was joined answered at its address."""

    @property
    def is_hint(self) -> bool:
        """Whether an honest server can cause it too: something to look at, no proof of a lie."""
        return self in _HINTS


_HINTS: Final = frozenset(
    {
        SecurityKind.LAST_RESORT,
        SecurityKind.OLD_PREKEY,
        SecurityKind.NOT_DELIVERED,
        SecurityKind.HISTORY_GAP,
        SecurityKind.OLD_OFFICE,
    }
)


class SecurityEvent(Struct, frozen=True):
    """Something that should not happen; it is kept in the vault's log and harmed nothing."""

    kind: SecurityKind
    conversation: ConversationId | None = None
    account: AccountId | None = None
    device: DeviceId | None = None


class LogEntry(Struct, frozen=True):
    """One line of the security log. at_ms: by the server's clock. sentence: for people."""

    at_ms: int
    kind: SecurityKind
    sentence: str
    conversation: ConversationId | None = None
    account: AccountId | None = None
    device: DeviceId | None = None
