"""What a host sees of a conversation without asking the vault: small values, made again whenever something changed."""

from msgspec import Struct

from rapport.agreements import Card
from rapport.engine.cards import CARDS, card_of
from rapport.engine.conversations import accounts_of
from rapport.engine.office.promises import WAITING, Sides, WaitingRecord, sides_of, waiting_of
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, SETTINGS, Contact, Conversation
from rapport.engine.vault.turn import Turn
from rapport.events import Contact as ShownContact
from rapport.events import Member
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.membership_entries import MemberRole
from rapport_protocol.requests import Role

__all__ = [
    "ContactView",
    "ConversationView",
    "changed_contacts",
    "changed_views",
    "view_all",
    "view_contacts",
    "view_of",
]

_ROLES = {MemberRole.OWNER: Role.OWNER, MemberRole.THERAPIST: Role.THERAPIST, MemberRole.CLIENT: Role.CLIENT}


class ConversationView(Struct, frozen=True):
    """One conversation as it stands. active_ms: when the last message was written or accepted."""

    id: ConversationId
    members: tuple[Member, ...]
    unread: int
    active_ms: int
    shown: int
    """Everything up to this place has been accounted for."""
    is_self: bool
    muted_until_ms: int = 0
    """0 = not muted."""
    draft: str = ""
    sides: Sides | None = None
    """Of a pair of client and therapist, who is which."""
    waiting: WaitingRecord | None = None
    """The client's text that waits for an answer."""
    card: Card | None = None
    """The therapist's, as a client has it."""

    def __repr__(self) -> str:
        return f"ConversationView({self.id.hex()[:8]})"


class ContactView(Struct, frozen=True):
    """An account as it is pinned, our own included. aik: public identity key, 32 bytes."""

    shown: ShownContact
    aik: bytes


def _contact_of(contact: Contact) -> ContactView:
    shown = ShownContact(contact.account, contact.name, contact.verified, bool(contact.changed))
    return ContactView(shown, contact.aik)


def changed_contacts(turn: Turn) -> list[ContactView]:
    """Those that this turn has changed."""
    return [_contact_of(CONTACTS.need(turn.tx, key)) for key in turn.written(CONTACTS.name)]


def view_contacts(turn: Turn) -> list[ContactView]:
    """All of them."""
    return [_contact_of(contact) for _, contact in CONTACTS.list(turn.tx)]


def _member(turn: Turn, account: AccountId, role: Role | None) -> Member:
    if account == turn.me.account:
        return Member(account, SETTINGS.need(turn.tx, b"").name, role or turn.me.role)
    contact = CONTACTS.get(turn.tx, account)
    return Member(account, contact.name if contact else "", role)


def view_of(turn: Turn, conversation: Conversation) -> ConversationView:
    """The view of one conversation."""
    state = conversation.membership
    roles = {member.account: _ROLES[member.role] for member in state.members} if state else {}
    members = tuple(_member(turn, account, roles.get(account)) for account in accounts_of(turn, conversation))
    return ConversationView(
        conversation.conv, members, conversation.unread, conversation.active_ms, conversation.shown, state is None,
        conversation.muted_until_ms, conversation.draft,
        sides_of(conversation), waiting_of(turn, conversation.conv), card_of(turn, conversation.conv),
    )  # fmt: skip


def changed_views(turn: Turn) -> list[ConversationView]:
    """Those that this turn has changed: all of them when a name has, since it may stand in any."""
    if turn.written(CONTACTS.name) or turn.written(SETTINGS.name):
        return view_all(turn)
    written = turn.written(CONVERSATIONS.name) | turn.written(WAITING.name) | turn.written(CARDS.name)
    found = (CONVERSATIONS.get(turn.tx, key) for key in written)
    return [view_of(turn, conversation) for conversation in found if conversation is not None]


def view_all(turn: Turn) -> list[ConversationView]:
    """All of them."""
    return [view_of(turn, conversation) for _, conversation in CONVERSATIONS.list(turn.tx)]
