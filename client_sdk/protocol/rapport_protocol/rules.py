"""Every rule of device lists and membership by name, and the exception that says which one was broken.

Source: docs/protocol.md, chapters 2 (keys and device lists) and 3 (invites and membership).
"""

from enum import StrEnum
from typing import Final

from rapport_protocol.errors import ErrorCode, RemoteError

__all__ = ["Rule", "RuleBroken"]


class Rule(StrEnum):
    """What the sender of a list, entry or prekey did against the protocol. Stable names: the vectors use them."""

    # device lists
    OTHER_ACCOUNT = "other_account"
    """The list is of another account or under another identity key than the pinned one."""
    FIRST_LIST = "first_list"
    """List 1 is signed by the identity key and names no predecessor; a chain starts at a list signed by that key."""
    DUPLICATE = "duplicate"
    """A device id or key occurs twice, a revoked device is listed, or a device id is all zeros."""
    WEAK_KEY = "weak_key"
    """A public key has small order."""
    VERSION_TAKEN = "version_taken"
    """The version is not above the current one."""
    NOT_LINKED = "not_linked"
    """Signed by a device but not the direct successor of the current list."""
    SIGNER_UNKNOWN = "signer_unknown"
    """The signing device is not in the previous list."""
    UNREVOKED = "unrevoked"
    """A revoked device id is no longer revoked."""
    NEVER_LISTED = "never_listed"
    """A device is revoked that the previous list does not hold."""
    DEVICE_DROPPED = "device_dropped"
    """A device is missing without being revoked."""
    DEVICE_CHANGED = "device_changed"
    """A listed device's entry is not the same any more."""
    # membership
    WRONG_CONVERSATION = "wrong_conversation"
    """The entry is of another conversation, or the id is not the hash of its genesis."""
    WRONG_EPOCH = "wrong_epoch"
    """The epoch is not the next one."""
    WRONG_PREVIOUS = "wrong_previous"
    """prev_hash is not the hash of the previous entry."""
    GENESIS = "genesis"
    """A chain starts with genesis and holds no other."""
    LIST_UNKNOWN = "list_unknown"
    """The device list that the entry names is not at hand: fetch it and try again."""
    LIST_BACKWARDS = "list_backwards"
    """The entry names an older device list than the account used or was held to before."""
    DEVICE_UNLISTED = "device_unlisted"
    """The acting device is not in the device list that the entry names, or not in the current one."""
    WRONG_IDENTITY = "wrong_identity"
    """The account's identity key is not the one it joined with, or a hash of its list does not match."""
    NOT_MEMBER = "not_member"
    """The acting or the named account is not a member."""
    NOT_ADMIN = "not_admin"
    """Only owners and therapists may do this."""
    PAIR_FROZEN = "pair_frozen"
    """A pair has two members for good."""
    ALREADY_MEMBER = "already_member"
    """The account is a member already."""
    INVITE_TAKEN = "invite_taken"
    """The invite id is open already."""
    INVITE_UNKNOWN = "invite_unknown"
    """No such open invite: used, closed or never made."""
    INVITE_EXPIRED = "invite_expired"
    """The join is later than the invite's end."""
    INVITE_LIFE = "invite_life"
    """An invite must end after it is made and within seven days."""
    TOO_MANY_INVITES = "too_many_invites"
    """The conversation has as many open invites as it may."""
    TOO_MANY_MEMBERS = "too_many_members"
    """The conversation is full."""
    WRONG_ROLE = "wrong_role"
    """The role is not allowed in this place."""
    LAST_ADMIN = "last_admin"
    """Somebody must be left to lead."""

    @property
    def code(self) -> ErrorCode:
        """The code of the wire that this rule is reported under."""
        return _CODES.get(self, ErrorCode.RULE_BROKEN)


_CODES: Final = {
    Rule.VERSION_TAKEN: ErrorCode.LIST_STALE,
    Rule.NOT_LINKED: ErrorCode.LIST_STALE,
    Rule.LIST_UNKNOWN: ErrorCode.LIST_STALE,
    Rule.WRONG_EPOCH: ErrorCode.EPOCH_STALE,
    Rule.INVITE_TAKEN: ErrorCode.CONFLICT,
    Rule.INVITE_EXPIRED: ErrorCode.EXPIRED,
    Rule.INVITE_UNKNOWN: ErrorCode.EXPIRED,
    Rule.TOO_MANY_INVITES: ErrorCode.TOO_MANY,
    Rule.TOO_MANY_MEMBERS: ErrorCode.TOO_MANY,
}


class RuleBroken(RemoteError):
    """Well-formed and perhaps well signed, but against the protocol; nothing has changed.

    rule: which one; `code` follows from it.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.code, rule.value)
        self.rule = rule
