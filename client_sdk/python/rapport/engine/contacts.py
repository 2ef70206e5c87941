"""Whom we know: accounts pinned by identity key, their signed device lists, and which device is which.

A list is taken only if it follows the rules from the pinned one on. A contradiction between validly signed lists is
kept as evidence and stops sending to that account; everything else that does not verify is refused and changes nothing.

Source: docs/protocol.md, chapter 2.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from rapport.crypto.body import RosterEntry
from rapport.crypto.handshake import Party
from rapport.engine.bodies.content import OwnPin
from rapport.engine.own_values import standing
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.promised_pins import require_promised
from rapport.engine.vault.records import CONTACTS, DEVICES, OFFERED, PEERS, Contact, DeviceOwner, OfferedLists, Peer
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Call, Turn
from rapport.engine.vault.upkeep import may_have_lost
from rapport.events import IdentityChanged, ProfileChanged, SecurityEvent, SecurityKind
from rapport_protocol.device_lists import DeviceListChain, SignedDeviceList, Standing
from rapport_protocol.errors import FormatError, RemoteError
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.requests import DeviceLists
from rapport_protocol.rules import Rule, RuleBroken

__all__ = [
    "Known",
    "account_of",
    "check_roster",
    "confirmed",
    "device_party",
    "expect_list",
    "forget_offered",
    "heard",
    "is_blocked",
    "list_at",
    "listed_devices",
    "listed_since",
    "lists_answered",
    "lists_call",
    "lists_of",
    "newest_list",
    "offered_list",
    "pin",
    "rename",
    "replace_pin",
    "roster",
    "settled",
    "take_lists",
    "vouch",
    "withheld_due",
]

RIVALS_KEPT = 4
"""Contradicting lists kept as evidence per account; one pair proves it."""
_SETTLED_KEPT = 16
"""Hashes of contradictions that were decided, per account."""
_FORMER_KEPT = 8
"""Earlier identity keys remembered per account, so that an old word about them is no news."""
WITHHELD_MS = 600_000
"""A newer list that somebody else has seen may take so long to come before that is reported: ten minutes."""

_parse = lru_cache(maxsize=2048)(SignedDeviceList.parse)


class Known(Struct, frozen=True):
    """A device of a pinned account. listed: it stands in the newest list; else it has been removed since."""

    party: Party
    listed: bool


def _chain(contact: Contact) -> DeviceListChain:
    return DeviceListChain(tuple(_parse(encoded) for encoded in contact.lists))


def pin(turn: Turn, account: AccountId, aik: bytes, lists: Sequence[bytes]) -> None:
    """Takes an account for the first time, under the identity key that its invite, card or join entry promised.

    An account that is pinned already is only brought up to date. RuleBroken, FormatError or
    RemoteError(INVALID_SIGNATURE) when the lists do not verify; nothing is pinned then.
    """
    if CONTACTS.has(turn.tx, account):
        take_lists(turn, account, lists)
        return
    chain = DeviceListChain.first(account, aik, [_parse(encoded) for encoded in lists])
    for held in chain.lists:
        _require_own_devices(turn, account, held)
    # An own device may have known them first.
    told = standing(turn.tx, OwnPin(account, aik, chain.head.version, chain.head.hash, verified=False))
    verified = told is not None and told.verified and told.aik == aik
    promised = require_promised(turn, account, chain)
    name = promised.name if promised else ""
    verified = verified or (told is None and promised is not None and promised.verified)
    lists_held = tuple(held.encoded for held in chain.lists)
    _keep(turn, Contact(account, aik, lists_held, name, verified=verified), chain.lists)


def replace_pin(turn: Turn, account: AccountId) -> None:
    """The person has acknowledged the other identity: it is the pin now, unverified; of the former only its key stays.

    Does nothing without evidence of another identity.
    """
    before = CONTACTS.need(turn.tx, account)
    if not before.changed:
        return
    lists = [_parse(encoded) for encoded in before.changed]
    former = (*before.former, before.aik)[-_FORMER_KEPT:]
    after = Contact(account, lists[0].content.aik, before.changed, before.name, former=former)
    _keep(turn, after, lists)


def _keep(turn: Turn, contact: Contact, fresh: Iterable[SignedDeviceList]) -> None:
    CONTACTS.put(turn.tx, contact.account, contact)
    for signed in fresh:
        for entry in signed.content.devices:
            DEVICES.put(turn.tx, entry.device, DeviceOwner(contact.account))


def _require_own_devices(turn: Turn, account: AccountId, signed: SignedDeviceList) -> None:
    """RuleBroken(DUPLICATE) if the list names a device id that another account's list holds.

    Sessions are found by device id: whoever could list a contact's device as their own would get the contact's keys.
    """
    for entry in signed.content.devices:
        if account_of(turn, entry.device) not in (None, account):
            raise RuleBroken(Rule.DUPLICATE)


def take_lists(turn: Turn, account: AccountId, lists: Sequence[bytes]) -> bool:
    """Takes newer lists of a pinned account. True if the newest one changed.

    What does not verify is reported and ignored; two signed lists of one version are kept as evidence.
    """
    contact = CONTACTS.need(turn.tx, account)
    foreign = [encoded for encoded in lists if _other_identity(contact, encoded)]
    if foreign:
        _take_other_identity(turn, contact, foreign)
        contact = CONTACTS.need(turn.tx, account)
    before, chain = len(contact.lists), _chain(contact)
    met: list[SignedDeviceList] = []
    for encoded in lists:
        if encoded in foreign:
            continue
        try:
            candidate = _parse(encoded)
            standing = chain.judge(candidate)
            if standing is Standing.SUCCESSOR:
                _require_own_devices(turn, account, candidate)
                chain = chain.extended(candidate)
        except RemoteError:
            turn.show(SecurityEvent(SecurityKind.FORGED_LIST, account=account))
            break
        if standing is Standing.EQUIVOCATION:
            met.append(candidate)
        elif standing is Standing.GAP:
            break
    after = _with_rivals(turn, replace(contact, lists=tuple(held.encoded for held in chain.lists)), met)
    if after.expected and chain.head.version >= after.expected:
        after = replace(after, expected=0, expected_ms=0)
        errands.drop(turn, ErrandKind.WITHHELD, account)
    if after != contact:
        _keep(turn, after, chain.lists[before:])
    return len(chain.lists) > before


def _with_rivals(turn: Turn, contact: Contact, met: Iterable[SignedDeviceList]) -> Contact:
    """Keeps lists that contradict ours as evidence, and drops those that a list of the identity key stands above."""
    rivals = list(contact.rivals)
    for rival in met:
        if rival.hash in contact.settled or rival.encoded in rivals or len(rivals) >= RIVALS_KEPT:
            continue
        rivals.append(rival.encoded)
        turn.show(SecurityEvent(SecurityKind.EQUIVOCATION, account=contact.account))
    decided = max(held.version for held in _chain(contact).lists if held.by_identity_key)
    below = [rival for rival in rivals if _parse(rival).version < decided]
    return settled(replace(contact, rivals=tuple(rivals)), below)


def confirmed(contact: Contact) -> Contact:
    """The contact once safety numbers were compared: neither contradictions nor another identity block any more."""
    after = settled(contact, contact.rivals)
    if not contact.changed:
        return after
    refused = (*contact.refused, _parse(contact.changed[0]).content.aik)[-_SETTLED_KEPT:]
    return replace(after, changed=(), refused=refused)


def settled(contact: Contact, rivals: Iterable[bytes]) -> Contact:
    """The contact once these contradictions are decided: they are remembered and block no more."""
    over = set(rivals)
    kept = tuple(rival for rival in contact.rivals if rival not in over)
    hashes = tuple(_parse(rival).hash for rival in contact.rivals if rival in over)
    return replace(contact, rivals=kept, settled=(*contact.settled, *hashes)[-_SETTLED_KEPT:])


def _other_identity(contact: Contact, encoded: bytes) -> bool:
    try:
        content = _parse(encoded).content
    except FormatError:
        return False
    return content.account == contact.account and content.aik != contact.aik


def _take_other_identity(turn: Turn, contact: Contact, lists: Sequence[bytes]) -> None:
    """Lists of a pinned account under another key: evidence of a change if they are valid in themselves, else forgery.

    The first such identity stays the one to be decided on, whatever the server shows later. Our own never changes.
    """
    try:
        parsed = [_parse(encoded) for encoded in lists]
        chain = DeviceListChain.first(contact.account, parsed[0].content.aik, parsed)
        for held in chain.lists:
            _require_own_devices(turn, contact.account, held)
        if contact.account == turn.me.account:
            raise RuleBroken(Rule.OTHER_ACCOUNT)
    except RemoteError:
        turn.show(SecurityEvent(SecurityKind.FORGED_LIST, account=contact.account))
        return
    turn.show(SecurityEvent(SecurityKind.IDENTITY_CHANGED, account=contact.account))
    if chain.head.content.aik in contact.refused:
        return
    known = _parse(contact.changed[-1]) if contact.changed else None
    if known is None:
        turn.show(IdentityChanged(contact.account))
    elif known.content.aik != chain.head.content.aik or chain.head.version <= known.version:
        return
    amend(CONTACTS, turn.tx, contact.account, changed=tuple(lists))


def list_at(turn: Turn, account: AccountId, version: int) -> SignedDeviceList | None:
    """The verified list of an account at a version, None if it is not held: the look-up of membership rules."""
    contact = CONTACTS.get(turn.tx, account)
    return None if contact is None else _chain(contact).at(version)


def lists_of(turn: Turn, account: AccountId) -> list[SignedDeviceList]:
    """The verified lists of a pinned account, oldest first. VaultProblem if it is not pinned."""
    return [_parse(encoded) for encoded in CONTACTS.need(turn.tx, account).lists]


def listed_since(turn: Turn) -> int:
    """When the list was signed that made this device one of the account's, milliseconds; 0 if none is held."""
    lists = lists_of(turn, turn.me.account)
    return next((held.content.issued_ms for held in lists if held.content.entry(turn.me.device) is not None), 0)


def newest_list(turn: Turn, account: AccountId) -> SignedDeviceList:
    """The newest verified list of a pinned account. VaultProblem if it is not pinned."""
    return _parse(CONTACTS.need(turn.tx, account).lists[-1])


def account_of(turn: Turn, device: DeviceId) -> AccountId | None:
    """Whose device it is or was, None if it stands in no list."""
    owner = DEVICES.get(turn.tx, device)
    return None if owner is None else owner.account


def device_party(turn: Turn, account: AccountId, device: DeviceId) -> Known | None:
    """The public keys of a device from the newest verified list that holds it; None if no list of that account does."""
    contact = CONTACTS.get(turn.tx, account)
    if contact is None:
        return None
    for signed in reversed([_parse(encoded) for encoded in contact.lists]):
        entry = signed.content.entry(device)
        if entry is not None:
            return Known(Party.of(contact.aik, account, entry), signed.encoded == contact.lists[-1])
    return None


def listed_devices(turn: Turn, account: AccountId) -> list[DeviceId]:
    """Devices of the newest verified list; none of an account that is not pinned."""
    contact = CONTACTS.get(turn.tx, account)
    return [] if contact is None else [entry.device for entry in _parse(contact.lists[-1]).content.devices]


def roster(turn: Turn, accounts: Iterable[AccountId]) -> tuple[RosterEntry, ...]:
    """The newest lists of these accounts as a post names them, so that others notice what was withheld from them."""
    entries = []
    for account in sorted(accounts):
        contact = CONTACTS.get(turn.tx, account)
        if contact is not None:
            head = _parse(contact.lists[-1])
            entries.append(RosterEntry(account, head.version, head.hash[:16]))
    return tuple(entries)


def check_roster(turn: Turn, entries: Iterable[RosterEntry]) -> None:
    """Compares what another device holds with what we hold: another hash is reported, a higher version is fetched."""
    for entry in entries:
        contact = CONTACTS.get(turn.tx, entry.account)
        if contact is None:
            continue
        chain = _chain(contact)
        if entry.version > chain.head.version:
            expect_list(turn, contact, entry.version)
        elif chain.matches(entry.version, entry.hash_start) is False:
            turn.show(SecurityEvent(SecurityKind.EQUIVOCATION, account=entry.account))


def is_blocked(turn: Turn, account: AccountId) -> bool:
    """Whether nothing may be sent to the account until its identity key or the person has decided."""
    contact = CONTACTS.get(turn.tx, account)
    return contact is not None and contact.blocked


def expect_list(turn: Turn, contact: Contact, version: int) -> None:
    """Another device knows a newer list: it is fetched, and if the server keeps it back that is reported."""
    errands.plan(turn, ErrandKind.LISTS, contact.account)
    if version > contact.expected:
        since = contact.expected_ms or turn.now_ms
        amend(CONTACTS, turn.tx, contact.account, expected=version, expected_ms=since)
        errands.plan(turn, ErrandKind.WITHHELD, contact.account, due_ms=since + WITHHELD_MS)


def withheld_due(turn: Turn, account: AccountId) -> None:
    """Ten minutes are over, and the list that somebody else has seen is still not here: reported, asked for again."""
    errands.drop(turn, ErrandKind.WITHHELD, account)
    contact = CONTACTS.get(turn.tx, account)
    if contact is None or not contact.expected:
        return
    if not may_have_lost(turn):
        turn.show(SecurityEvent(SecurityKind.WITHHELD_LIST, account=account))
    amend(CONTACTS, turn.tx, account, expected=0, expected_ms=0)  # whoever names it again starts anew
    errands.plan(turn, ErrandKind.LISTS, account)


def heard(turn: Turn, account: AccountId, device: DeviceId) -> None:
    """Something authentic came from the device: it is alive."""
    PEERS.put(turn.tx, device, Peer(device, account, turn.now_ms))


def rename(turn: Turn, account: AccountId, name: str) -> None:
    """A member's sealed profile says this name."""
    contact = CONTACTS.get(turn.tx, account)
    if contact is not None and account != turn.me.account and contact.name != name:
        amend(CONTACTS, turn.tx, account, name=name)
        turn.show(ProfileChanged(account, name))


# --- asking the server ------------------------------------------------------------------------------------------------


def lists_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks for the lists of an account above the pinned version, or for all that a first contact needs."""
    account = AccountId(errand.subject)
    contact = CONTACTS.get(turn.tx, account)
    query = {"from": _parse(contact.lists[-1]).version + 1} if contact else {}
    return Call(errand.key, "devices.lists", path={"account": account}, query=query)


def lists_answered(turn: Turn, errand: Errand, asked_from: int, answer: DeviceLists) -> None:
    """Takes what came. Lists of an account that nobody vouched for wait until a membership entry does.

    asked_from: the lowest version that was asked for; what lies below is reported and ignored like all that is older.
    """
    errands.drop(turn, ErrandKind.LISTS, errand.subject)
    account = AccountId(errand.subject)
    contact = CONTACTS.get(turn.tx, account)
    if contact is not None and any(version < asked_from for version in _versions(contact, answer.lists)):
        turn.show(SecurityEvent(SecurityKind.OLD_LIST, account=account))
    if CONTACTS.has(turn.tx, account):
        take_lists(turn, account, answer.lists)
    elif answer.lists:
        OFFERED.put(turn.tx, account, OfferedLists(tuple(answer.lists)))


def _versions(contact: Contact, lists: Iterable[bytes]) -> Iterator[int]:
    """Versions of the lists that can be read and are of the pinned identity; the others are reported elsewhere."""
    for encoded in lists:
        with suppress(FormatError):
            held = _parse(encoded)
            if held.content.aik == contact.aik:
                yield held.version


def offered_list(turn: Turn, account: AccountId, version: int) -> SignedDeviceList | None:
    """A list that was offered for an account nobody vouched for, if it verifies in itself.

    The caller compares its key.
    """
    held = OFFERED.get(turn.tx, account)
    if held is None:
        return None
    try:
        lists = [_parse(encoded) for encoded in held.lists]
        return DeviceListChain.first(account, lists[0].content.aik, lists).at(version)
    except RemoteError:
        OFFERED.delete(turn.tx, account)
        turn.show(SecurityEvent(SecurityKind.FORGED_LIST, account=account))
        return None


def forget_offered(turn: Turn, account: AccountId) -> None:
    """What was offered for this account fits nothing that was signed: better lists may come."""
    OFFERED.delete(turn.tx, account)


def vouch(turn: Turn, account: AccountId, aik: bytes) -> None:
    """A verified membership entry names the account under this identity key.

    What was offered for it becomes its pin.
    """
    held = OFFERED.get(turn.tx, account)
    if held is not None and not CONTACTS.has(turn.tx, account):
        pin(turn, account, aik, held.lists)
        OFFERED.delete(turn.tx, account)
