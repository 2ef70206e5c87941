"""Entries of a conversation's membership chain: layout, signatures, hash. The rules stand in `membership.py`.

An entry is fields, then the acting device's signature, then for `join` the signature of the invite key:

    conv16, epoch u64, prev_hash32, account16, device16, list_version u64, op u8, LP(args), ts u64, sig64 [, isig64]

Source: docs/protocol.md, chapter 3.
"""

from enum import IntEnum
from typing import Final, Self

from msgspec import Struct

from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, InviteId, ItemId
from rapport_protocol.signed import Reader, SigningKey, exact, h256, lp, u64, verify

__all__ = [
    "Action",
    "ChangeRole",
    "Checkpoint",
    "ConversationKind",
    "EntryFields",
    "Genesis",
    "Invite",
    "Join",
    "Leave",
    "MemberRole",
    "Op",
    "Remove",
    "SignedEntry",
    "genesis_fields",
]


class ConversationKind(IntEnum):
    """What sort of conversation a chain describes."""

    PAIR = 1
    """Two accounts, for good."""
    GROUP = 2
    """Up to 20 accounts, led by its admins."""


class MemberRole(IntEnum):
    """A member's role in the practice, as the conversation knows it. Owners and therapists are admins."""

    OWNER = 1
    THERAPIST = 2
    CLIENT = 3

    @property
    def admin(self) -> bool:
        """Whether this role may invite, remove and change roles."""
        return self is not MemberRole.CLIENT


class Op(IntEnum):
    """What an entry does."""

    GENESIS = 1
    INVITE = 2
    JOIN = 3
    REMOVE = 4
    LEAVE = 5
    ROLE = 6
    CHECKPOINT = 7


class Genesis(Struct, frozen=True):
    """Opens the conversation; the actor is its first member and admin. nonce: 16 random bytes. aik: the actor's."""

    kind: ConversationKind
    role: MemberRole
    nonce: bytes
    aik: bytes

    def encode(self) -> bytes:
        """kind u8, role u8, nonce16, AIK32."""
        return bytes((self.kind, self.role)) + exact(self.nonce, 16) + exact(self.aik, 32)


class Invite(Struct, frozen=True):
    """Lets the holder of one token join once. ipk: public key of the invite, derived from the token."""

    invite: InviteId
    ipk: bytes
    role: MemberRole
    expires_ms: int

    def encode(self) -> bytes:
        """invite16, IPK32, role u8, expires_ms u64."""
        return exact(self.invite, 16) + exact(self.ipk, 32) + bytes((self.role,)) + u64(self.expires_ms)


class Join(Struct, frozen=True):
    """The actor becomes a member. list_hash: DLH of the device list that the entry names."""

    invite: InviteId
    aik: bytes
    list_hash: bytes

    def encode(self) -> bytes:
        """invite16, AIK32, DLH32."""
        return exact(self.invite, 16) + exact(self.aik, 32) + exact(self.list_hash, 32)


class Remove(Struct, frozen=True):
    """An admin ends another account's membership."""

    account: AccountId

    def encode(self) -> bytes:
        """acct16."""
        return exact(self.account, 16)


class Leave(Struct, frozen=True):
    """The actor ends its own membership."""

    def encode(self) -> bytes:
        """Nothing."""
        return b""


class ChangeRole(Struct, frozen=True):
    """An admin gives a member another role."""

    account: AccountId
    role: MemberRole

    def encode(self) -> bytes:
        """acct16, role u8."""
        return exact(self.account, 16) + bytes((self.role,))


class Checkpoint(Struct, frozen=True):
    """From here on the account's entries must name device list `version` or a later one."""

    account: AccountId
    version: int
    list_hash: bytes

    def encode(self) -> bytes:
        """acct16, version u64, DLH32."""
        return exact(self.account, 16) + u64(self.version) + exact(self.list_hash, 32)


Action = Genesis | Invite | Join | Remove | Leave | ChangeRole | Checkpoint
"""What an entry does, with its arguments."""

_OPS: Final[dict[type[Action], Op]] = {
    Genesis: Op.GENESIS,
    Invite: Op.INVITE,
    Join: Op.JOIN,
    Remove: Op.REMOVE,
    Leave: Op.LEAVE,
    ChangeRole: Op.ROLE,
    Checkpoint: Op.CHECKPOINT,
}
_ARGS_MOST: Final = 1024
"""Longer than any arguments of today, so that an operation of a later version is told apart from damage."""


def _role(read: Reader) -> MemberRole:
    try:
        return MemberRole(read.u8())
    except ValueError:
        raise FormatError("membership entry: role", ErrorCode.UNSUPPORTED) from None


def _kind(read: Reader) -> ConversationKind:
    try:
        return ConversationKind(read.u8())
    except ValueError:
        raise FormatError("membership entry: kind", ErrorCode.UNSUPPORTED) from None


def _parse_action(op: int, args: bytes) -> Action:
    read = Reader(args, "membership arguments")
    action: Action
    match op:
        case Op.GENESIS:
            action = Genesis(_kind(read), _role(read), read.take(16), read.take(32))
        case Op.INVITE:
            action = Invite(InviteId(read.take(16)), read.take(32), _role(read), read.u64())
        case Op.JOIN:
            action = Join(InviteId(read.take(16)), read.take(32), read.take(32))
        case Op.REMOVE:
            action = Remove(AccountId(read.take(16)))
        case Op.LEAVE:
            action = Leave()
        case Op.ROLE:
            action = ChangeRole(AccountId(read.take(16)), _role(read))
        case Op.CHECKPOINT:
            action = Checkpoint(AccountId(read.take(16)), read.u64(), read.take(32))
        case _:
            raise FormatError("membership entry: operation", ErrorCode.UNSUPPORTED)
    read.end()
    return action


class EntryFields(Struct, frozen=True):
    """An entry before it is signed.

    epoch: 1 at genesis, one more per entry. prev_hash: hash of the entry before, zeros at genesis. account, device:
    who acts. list_version: the version of the account's device list that the device acts under.
    """

    conv: ConversationId
    epoch: int
    prev_hash: bytes
    account: AccountId
    device: DeviceId
    list_version: int
    action: Action
    ts_ms: int

    def encode(self) -> bytes:
        """The signed bytes (without the label)."""
        return b"".join(
            (
                exact(self.conv, 16),
                u64(self.epoch),
                exact(self.prev_hash, 32),
                exact(self.account, 16),
                exact(self.device, 16),
                u64(self.list_version),
                bytes((_OPS[type(self.action)],)),
                lp(self.action.encode()),
                u64(self.ts_ms),
            )
        )

    def conversation_id(self) -> ConversationId:
        """First 16 bytes of H256("conv", these fields with conv16 all zeros); defined for genesis."""
        return ConversationId(h256("conv", bytes(16) + self.encode()[16:])[:16])

    def sign(self, key: SigningKey, invite_key: SigningKey | None = None) -> "SignedEntry":
        """Sign with DSIG, and `join` also with the invite key. LocalError if that key is missing or too much."""
        if isinstance(self.action, Join) is (invite_key is None):
            raise LocalError(ErrorCode.BAD_FORMAT, "join, and join alone, takes an invite key")
        fields = self.encode()
        isig = invite_key.sign("join", fields) if invite_key else b""
        return SignedEntry.parse(fields + key.sign("membership", fields) + isig)


class SignedEntry(Struct, frozen=True):
    """An entry as it is stored and sent. Parsed is not verified: `membership.py` does that.

    hash: H256("membership-hash", entry with signatures), 32 bytes. isig: empty unless the entry is a join.
    """

    fields: EntryFields
    signature: bytes
    isig: bytes
    encoded: bytes
    hash: bytes

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Read one entry, nothing after it. FormatError; UNSUPPORTED for an operation, role or kind unknown here."""
        read = Reader(encoded, "membership entry")
        conv, epoch, prev_hash = ConversationId(read.take(16)), read.u64(), read.take(32)
        account, device, list_version = AccountId(read.take(16)), DeviceId(read.take(16)), read.u64()
        action = _parse_action(read.u8(), read.lp(_ARGS_MOST))
        fields = EntryFields(conv, epoch, prev_hash, account, device, list_version, action, read.u64())
        signature = read.take(64)
        isig = read.take(64) if isinstance(action, Join) else b""
        read.end()
        return cls(fields, signature, isig, encoded, h256("membership-hash", encoded))

    @property
    def id(self) -> ItemId:
        """What devices acknowledge: the first 16 bytes of the hash."""
        return ItemId(self.hash[:16])

    @property
    def signed_bytes(self) -> bytes:
        """What both signatures cover."""
        return self.encoded[: len(self.encoded) - 64 - len(self.isig)]

    def verify(self, dsig: bytes) -> None:
        """Check the acting device's signature. RemoteError(INVALID_SIGNATURE)."""
        verify(dsig, "membership", self.signed_bytes, self.signature)

    def verify_invite(self, ipk: bytes) -> None:
        """Check a join's second signature under the key of its invite. RemoteError(INVALID_SIGNATURE)."""
        verify(ipk, "join", self.signed_bytes, self.isig)


def genesis_fields(
    genesis: Genesis, account: AccountId, device: DeviceId, list_version: int, ts_ms: int
) -> EntryFields:
    """The first entry of a new conversation, with the conversation id that follows from it."""
    unnamed = EntryFields(ConversationId(bytes(16)), 1, bytes(32), account, device, list_version, genesis, ts_ms)
    return EntryFields(unnamed.conversation_id(), 1, bytes(32), account, device, list_version, genesis, ts_ms)
