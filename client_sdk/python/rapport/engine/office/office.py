"""Office hours of others, and our own, as signed documents: checked, pinned, kept by version.

Whatever brings a document (the stream, a request, an invite's card) hands it to `take_document`. The version is a pin
that never goes down; a post of a therapist that names a higher one than the server gives out makes what is held count
for nothing until that comes. What the server says beside the document is of the loop (`office_words.py`).

Source: docs/protocol.md, section 15.2.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from rapport.agreements import OfficeChanged
from rapport.engine.contacts import Known, device_party, newest_list
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import CONTACTS
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Call, Turn
from rapport.engine.vault.upkeep import in_grace, may_have_lost
from rapport.security import SecurityEvent, SecurityKind
from rapport_protocol.errors import ErrorCode, FormatError, RemoteError
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS, MAX_INTEGER
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.office.rules import HoursProblem, problems
from rapport_protocol.office.status import office_state
from rapport_protocol.signed import u64

__all__ = [
    "OFFICES",
    "OFFICE_WITHHELD_MS",
    "VERSIONS_KEPT",
    "Held",
    "OfficeRecord",
    "OfficeView",
    "changed_offices",
    "document_call",
    "edge_due",
    "held_office",
    "hours_at",
    "hours_kept",
    "hours_now",
    "is_listed_signer",
    "lists_came",
    "note_named",
    "office_record",
    "take_document",
    "view_offices",
    "withheld_due",
]

OFFICE_WITHHELD_MS: Final = 600_000
"""A version that a post names may take so long to come before that is reported: ten minutes."""
VERSIONS_KEPT: Final = 16
"""Documents kept per account: promises of older messages are looked up in them."""


class OfficeRecord(Row, frozen=True):
    """What is held of one account. version: the pin, 0 = none was ever held; document: of that version.

    named: the highest version that an opened post of the account has named. offered: a document whose device stands in
    no list here, while a newer list is fetched. above: of our own account, the highest version that a device signed
    which was removed since: ours goes above it.
    """

    account: AccountId
    version: int = 0
    document: bytes = b""
    named: int = 0
    offered: bytes = b""
    above: int = 0


class _Version(Row, frozen=True):
    """An earlier document, as it was taken."""

    document: bytes


OFFICES: Final = Table("office", OfficeRecord)
"""By account."""
_VERSIONS: Final = Table("office_version", _Version)
"""By account and version; group: account; order: version."""


class Held(NamedTuple):
    """A document and its rules."""

    document: OfficeDocument
    hours: OfficeHours


class OfficeView(Struct, frozen=True):
    """What hosts see of an account's office hours.

    version: the pin. held: the newest document, unless something other than time says that it does not count. kept: all
    versions that are kept, ascending.
    """

    account: AccountId
    version: int
    held: Held | None
    kept: tuple[Held, ...] = ()

    def at(self, now_ms: int) -> Held | None:
        """The document if it counts at this time of the server."""
        return self.held if self.held is not None and _is_in_time(self.held.document, now_ms) else None


def office_record(turn: Turn, account: AccountId) -> OfficeRecord:
    """What is held of an account, as good as new if nothing is."""
    return OFFICES.get(turn.tx, account) or OfficeRecord(account)


def _is_in_time(document: OfficeDocument, now_ms: int) -> bool:
    return document.issued_ms - CLOCK_TOLERANCE_MS <= now_ms < document.valid_until_ms


# --- what counts ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _parsed(encoded: bytes) -> Held:
    document = OfficeDocument.parse(encoded)
    return Held(document, document.hours)


@lru_cache(maxsize=256)
def _is_usable(encoded: bytes) -> bool:
    """Whether this machine can compute with the rules: it may know fewer zones than the one that published them."""
    return not problems(_parsed(encoded).hours)


def held_office(turn: Turn, account: AccountId) -> Held | None:
    """The newest document of an account, whether or not it counts; None if none was ever held."""
    record = OFFICES.get(turn.tx, account)
    return _parsed(record.document) if record is not None and record.document else None


def is_listed_signer(turn: Turn, document: OfficeDocument) -> bool:
    """Whether the device that signed it stands in the newest list of the account. Else it is as good as expired."""
    known = device_party(turn, document.account, document.device)
    return known is not None and known.listed


def _standing(turn: Turn, record: OfficeRecord) -> Held | None:
    """The document unless its device was removed, a post names a higher version, or its zone is not known here."""
    if not record.document or record.named > record.version or not _is_usable(record.document):
        return None
    held = _parsed(record.document)
    return held if is_listed_signer(turn, held.document) else None


def hours_now(turn: Turn, account: AccountId) -> Held | None:
    """The document of an account if it counts now."""
    record = OFFICES.get(turn.tx, account)
    held = _standing(turn, record) if record is not None else None
    return held if held is not None and _is_in_time(held.document, turn.now_ms) else None


def hours_at(turn: Turn, account: AccountId, version: int) -> OfficeHours | None:
    """The rules of an earlier version, if they are kept and this machine knows their zone."""
    kept = _VERSIONS.get(turn.tx, account + u64(version))
    return _parsed(kept.document).hours if kept is not None and _is_usable(kept.document) else None


def hours_kept(turn: Turn, account: AccountId) -> tuple[OfficeHours, ...]:
    """The rules of all versions that are kept, ascending."""
    return tuple(held.hours for held in _kept(turn, account))


def _kept(turn: Turn, account: AccountId) -> tuple[Held, ...]:
    """The same for all versions that are kept, ascending."""
    return tuple(_parsed(held.document) for _, held in _VERSIONS.list(turn.tx, account) if _is_usable(held.document))


# --- a document has come ----------------------------------------------------------------------------------------------


class _Refused(Exception):
    """It is not what it claims to be. of_later_version: nobody has lied, this program does not know the format."""

    def __init__(self, *, of_later_version: bool = False) -> None:
        super().__init__("an office-hours document was refused")
        self.of_later_version = of_later_version


def take_document(turn: Turn, account: AccountId, encoded: bytes, *, told: bool = False) -> bool:
    """Checks a document and keeps it if it is newer than what is held. True if it has taken that one's place.

    told: the server has said it on the stream as the newest one. What does not verify is reported and ignored.
    """
    record = office_record(turn, account)
    if encoded in (record.document, record.offered) or not CONTACTS.has(turn.tx, account):
        return False
    try:
        document = _read(account, encoded)
        known = device_party(turn, account, document.device)
        if known is None:  # a newer list may name the device
            OFFICES.put(turn.tx, account, replace(record, offered=encoded))
            errands.plan(turn, ErrandKind.LISTS, account)
            return False
        _require_signature(turn, document, known)
    except _Refused as refused:
        if not refused.of_later_version:
            turn.show(SecurityEvent(SecurityKind.FORGED_OFFICE, account=account))
        return False
    if not known.listed:
        if account == turn.me.account and document.version > max(record.version, record.above):
            OFFICES.put(turn.tx, account, replace(record, above=document.version))
        return False
    return _compare(turn, record, document, encoded, told=told)


def _read(account: AccountId, encoded: bytes) -> OfficeDocument:
    try:
        document = OfficeDocument.parse(encoded)
    except FormatError as problem:
        raise _Refused(of_later_version=problem.code is ErrorCode.UNSUPPORTED) from None
    if document.account != account:
        raise _Refused
    return document


def _require_signature(turn: Turn, document: OfficeDocument, known: Known) -> None:
    """Also that it was signed before its device was removed, if it was, and that its rules are rules."""
    try:
        document.check(known.party.dsig)
        found = {problem.code for problem in problems(document.hours)}
    except RemoteError:
        raise _Refused from None
    removed_ms = MAX_INTEGER if known.listed else newest_list(turn, document.account).content.issued_ms
    if found - {HoursProblem.UNKNOWN_ZONE} or document.issued_ms > removed_ms + CLOCK_TOLERANCE_MS:
        raise _Refused


def _compare(turn: Turn, record: OfficeRecord, document: OfficeDocument, encoded: bytes, *, told: bool) -> bool:
    """A verified document against the one that is held."""
    account, own = record.account, record.account == turn.me.account
    if document.version < record.version:
        if told and not own and not in_grace(turn):  # a restored server may hold an earlier one
            turn.show(SecurityEvent(SecurityKind.OLD_OFFICE, account=account))
        return False
    if document.version == record.version:
        if not may_have_lost(turn):
            turn.show(SecurityEvent(SecurityKind.OFFICE_EQUIVOCATION, account=account))
        return False
    OFFICES.put(turn.tx, account, replace(record, version=document.version, document=encoded, offered=b""))
    _VERSIONS.put(turn.tx, account + u64(document.version), _Version(encoded), group=account, order=document.version)
    for key, _ in list(_VERSIONS.list(turn.tx, account, newest_first=True))[VERSIONS_KEPT:]:
        _VERSIONS.delete(turn.tx, key)
    if document.version >= record.named:
        errands.drop(turn, ErrandKind.OFFICE_WITHHELD, account)
    turn.show(OfficeChanged(account))
    _plan_edge(turn, account)
    return True


def lists_came(turn: Turn, account: AccountId) -> bool:
    """Lists of the account were asked for: a document that waited for them is looked at once more. True if taken."""
    record = OFFICES.get(turn.tx, account)
    if record is None:
        return False
    if record.document and not is_listed_signer(turn, _parsed(record.document).document):
        turn.show(OfficeChanged(account))
    if not record.offered:
        return False
    OFFICES.put(turn.tx, account, replace(record, offered=b""))
    if device_party(turn, account, OfficeDocument.parse(record.offered).device) is None:
        turn.show(SecurityEvent(SecurityKind.FORGED_OFFICE, account=account))
        return False
    return take_document(turn, account, record.offered)


# --- versions that posts name -----------------------------------------------------------------------------------------


def note_named(turn: Turn, account: AccountId, version: int) -> None:
    """A post of the account, which is a therapist or owner, was written under this version: no lower one counts."""
    record = office_record(turn, account)
    if version <= max(record.version, record.named):
        return
    OFFICES.put(turn.tx, account, replace(record, named=version))
    errands.plan(turn, ErrandKind.OFFICE, account)
    errands.plan(turn, ErrandKind.OFFICE_WITHHELD, account, due_ms=turn.now_ms + OFFICE_WITHHELD_MS)
    if record.document:
        turn.show(OfficeChanged(account))


def document_call(_turn: Turn, errand: Errand) -> Call:
    """Asks for the document of an account."""
    return Call(errand.key, "office.document", path={"account": errand.subject})


def withheld_due(turn: Turn, account: AccountId) -> None:
    """Ten minutes are over, and the version that a post named is not here: reported, asked for again."""
    errands.drop(turn, ErrandKind.OFFICE_WITHHELD, account)
    record = office_record(turn, account)
    if record.named > record.version:
        if not may_have_lost(turn):
            turn.show(SecurityEvent(SecurityKind.WITHHELD_OFFICE, account=account))
        errands.plan(turn, ErrandKind.OFFICE, account)


# --- what hosts see ---------------------------------------------------------------------------------------------------


def edge_due(turn: Turn, account: AccountId) -> None:
    """How the office stands is different from now on, by the document alone."""
    errands.drop(turn, ErrandKind.OFFICE_EDGE, account)
    turn.show(OfficeChanged(account))
    _plan_edge(turn, account)


def _plan_edge(turn: Turn, account: AccountId) -> None:
    errands.drop(turn, ErrandKind.OFFICE_EDGE, account)
    held = hours_now(turn, account)
    if held is not None:
        changes_ms = office_state(held.hours, turn.now_ms).changes_at_ms
        due_ms = min(changes_ms or MAX_INTEGER, held.document.valid_until_ms)
        errands.plan(turn, ErrandKind.OFFICE_EDGE, account, due_ms=max(due_ms, turn.now_ms + 1))


def changed_offices(turn: Turn) -> list[OfficeView]:
    """Those that this turn has changed; a new device list may have removed the device that signed."""
    changed = turn.written(OFFICES.name) | turn.written(CONTACTS.name)
    return [_view(turn, record) for key in sorted(changed) if (record := OFFICES.get(turn.tx, key)) is not None]


def view_offices(turn: Turn) -> list[OfficeView]:
    """All of them."""
    return [_view(turn, record) for _, record in OFFICES.list(turn.tx)]


def _view(turn: Turn, record: OfficeRecord) -> OfficeView:
    return OfficeView(record.account, record.version, _standing(turn, record), _kept(turn, record.account))
