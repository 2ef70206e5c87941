"""Our own office hours: signed by this device, sent until the server has them, signed anew before they lapse.

A change stands here as wanted rules until a document with them is at the server. Our devices share the newest document
by the document itself: whoever is told `conflict` fetches the one that came first and signs above it only if its own
change is the newer one. So several devices that change or renew at once end with one document.

Source: docs/protocol.md, section 15.2.
"""

from typing import Final

from msgspec.structs import replace

from rapport.agreements import OfficeChanged, OwnOffice
from rapport.engine.office import office
from rapport.engine.office.office import Held, held_office, is_listed_signer, office_record
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.errors import ErrorCode, LocalError, Rejected
from rapport_protocol.ids import AccountId
from rapport_protocol.office.document import REISSUE_BEFORE_MS, OfficeDocument
from rapport_protocol.office.hours import OfficeHours, Override, OverrideState
from rapport_protocol.office.rules import Repair, repaired
from rapport_protocol.requests import OfficePublish, OfficeView, Role

__all__ = [
    "OWN_OFFICE",
    "PendingHours",
    "changed_own_office",
    "come_back",
    "document_answered",
    "document_came",
    "lists_came",
    "own_office",
    "publish",
    "publish_again",
    "publish_call",
    "publish_refused",
    "published",
    "settle_own",
    "step_away",
    "tend",
]

_SIGNED_AGAIN_MS: Final = 30_000
"""A document that waits for its sending longer is signed anew: the server takes none that is 90 s off its time."""
_AGAIN_MS: Final = 1_000
_NEVER_WAIT_MS: Final = 3_600_000
"""What the server refuses for good is tried again after an hour: another version of it may take it."""


class PendingHours(Row, frozen=True):
    """Rules that the server does not have yet; without rules: nothing is wanted.

    base: the rules that they were made from. changed_ms: when. document: as signed last, b"" = not yet. above: a
    version that the server may have lost; only a higher one will do. signed: the highest version that this device has
    ever signed: none is signed twice, so that nobody can hold two of one.
    """

    rules: bytes = b""
    base: bytes = b""
    changed_ms: int = 0
    document: bytes = b""
    above: int = 0
    signed: int = 0


OWN_OFFICE: Final = Table("office_own", PendingHours)
"""One record under the empty key."""


def _pending(turn: Turn) -> PendingHours:
    return OWN_OFFICE.get(turn.tx, b"") or PendingHours()


def _held(turn: Turn) -> Held | None:
    return held_office(turn, turn.me.account)


def own_office(turn: Turn) -> OwnOffice:
    """Our office hours as they stand here, with what is on its way."""
    pending, held = _pending(turn), _held(turn)
    hours = OfficeHours.parse(pending.rules) if pending.rules else held.hours if held else None
    if held is None:
        return OwnOffice(hours, pending=bool(pending.rules))
    return OwnOffice(hours, held.document.version, held.document.valid_until_ms, bool(pending.rules))


def changed_own_office(turn: Turn) -> OwnOffice | None:
    """The same if this turn may have changed them, else None."""
    changed = turn.written(OWN_OFFICE.name) or turn.me.account in turn.written(office.OFFICES.name)
    return own_office(turn) if changed else None


# --- changing them ----------------------------------------------------------------------------------------------------


def publish(turn: Turn, hours: OfficeHours) -> tuple[Repair, ...]:
    """Our office hours are these from now on; returns what was changed in them so that they are valid.

    HoursRefused: they cannot be repaired. LocalError(FORBIDDEN) for a client. Nothing has changed then.
    """
    if turn.me.role not in {Role.OWNER, Role.THERAPIST}:
        raise LocalError(ErrorCode.FORBIDDEN, "clients have no office hours")
    better, changes = repaired(hours)
    _want(turn, better.encode())
    return tuple(changes)


def _want(turn: Turn, rules: bytes, *, anew: bool = False) -> None:
    """anew: a document is signed even if one with these rules stands.

    One that has been sent and was not answered may stand at the server: what is wanted now has to go above it.
    """
    held, pending = _held(turn), _pending(turn)
    standing = held.document.rules if held else b""
    sent = OfficeDocument.parse(pending.document).version if pending.document else 0
    above = max(pending.above, sent, held.document.version if held is not None and anew else 0)
    if rules == standing and not above and not _needs_renewal(turn, held):
        _settled(turn)
        return
    wanted = PendingHours(rules, standing, turn.now_ms, above=above, signed=pending.signed)
    OWN_OFFICE.put(turn.tx, b"", wanted)
    errands.drop(turn, ErrandKind.OFFICE_PUBLISH)  # a refusal may have put it off
    errands.plan(turn, ErrandKind.OFFICE_PUBLISH)
    turn.show(OfficeChanged(turn.me.account))


def _settled(turn: Turn) -> None:
    """Nothing is wanted that the server does not have."""
    errands.drop(turn, ErrandKind.OFFICE_PUBLISH)
    pending = _pending(turn)
    if pending.rules:
        OWN_OFFICE.put(turn.tx, b"", PendingHours(signed=pending.signed))
        turn.show(OfficeChanged(turn.me.account))


def step_away(turn: Turn, until_ms: int, state: OverrideState) -> None:
    """Said by hand: our office stands like this from now on until then, whatever the rules say.

    LocalError: NOT_FOUND without office hours, FORBIDDEN for a client. HoursRefused for a time that is over or more
    than 7 days ahead.
    """
    publish(turn, replace(_standing_hours(turn), override=Override(state, turn.now_ms, until_ms)))


def come_back(turn: Turn) -> None:
    """What was said by hand is over. LocalError: NOT_FOUND without office hours."""
    publish(turn, replace(_standing_hours(turn), override=None))


def _standing_hours(turn: Turn) -> OfficeHours:
    hours = own_office(turn).hours
    if hours is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no office hours yet")
    return hours


# --- keeping them alive -----------------------------------------------------------------------------------------------


def _needs_renewal(turn: Turn, held: Held | None) -> bool:
    """Whether the document lapses soon, its device was removed, or such a device has signed above it."""
    if held is None:
        return False
    left_ms = held.document.valid_until_ms - turn.now_ms
    above = office_record(turn, turn.me.account).above
    return left_ms < REISSUE_BEFORE_MS or above > held.document.version or not is_listed_signer(turn, held.document)


def tend(turn: Turn) -> None:
    """Once a day, at sign-in, and when our device list has changed: signs anew what would lapse."""
    held = _held(turn)
    if held is not None and not _pending(turn).rules and _needs_renewal(turn, held):
        _want(turn, held.document.rules)


def publish_again(turn: Turn) -> None:
    """The server was restored from a backup: it may lack what we hold. One device of ours brings it back."""
    held = _held(turn)
    if held is not None and not _pending(turn).rules:
        _want(turn, held.document.rules, anew=True)


# --- the server -------------------------------------------------------------------------------------------------------


def publish_call(turn: Turn, errand: Errand) -> Call | None:
    """Signs the wanted rules above every version that is known, with the time of now, and sends them."""
    pending = _pending(turn)
    if not pending.rules:
        errands.drop(turn, ErrandKind.OFFICE_PUBLISH)
        return None
    record = office_record(turn, turn.me.account)
    known = max(record.version, record.named, record.above)
    document = OfficeDocument.parse(pending.document) if pending.document else None
    if document is None or document.version <= known or turn.now_ms - document.issued_ms > _SIGNED_AGAIN_MS:
        me, version = turn.me, max(known, pending.signed) + 1
        hours = OfficeHours.parse(pending.rules)
        document = OfficeDocument.make(
            me.account, me.device, me.signing_key(), hours, version=version, issued_ms=turn.now_ms
        )
        OWN_OFFICE.put(turn.tx, b"", replace(pending, document=document.encode(), signed=version))
    return Call(errand.key, "office.publish", OfficePublish(document.encode()))


def published(turn: Turn, sent: OfficePublish, answer: OfficeView) -> None:
    """The server has it. A change that was made meanwhile is sent next."""
    errands.drop(turn, ErrandKind.OFFICE_PUBLISH)
    for document in (sent.document, answer.document):
        if document:
            office.take_document(turn, turn.me.account, document)
    settle_own(turn)


def publish_refused(turn: Turn, errand: Errand, refusal: Rejected) -> None:
    """Another document of ours came first: it is fetched, and then it is seen whether ours goes above it."""
    if refusal.code is ErrorCode.CONFLICT:
        errands.plan(turn, ErrandKind.OFFICE, turn.me.account)
        errands.postpone(turn, errand)
    elif refusal.code is ErrorCode.BAD_TIME:
        OWN_OFFICE.put(turn.tx, b"", replace(_pending(turn), document=b""))
        errands.postpone(turn, errand, wait_ms=_AGAIN_MS)
    else:
        errands.postpone(turn, errand, wait_ms=_NEVER_WAIT_MS)


def document_answered(turn: Turn, errand: Errand, answer: OfficeView) -> None:
    """A document that was asked for."""
    errands.drop(turn, ErrandKind.OFFICE, errand.subject)
    if answer.document:
        document_came(turn, AccountId(errand.subject), answer.document)


def document_came(turn: Turn, account: AccountId, document: bytes, *, told: bool = False) -> None:
    """A document of anybody's has come; one of ours may settle what we want, or make us sign above it."""
    office.take_document(turn, account, document, told=told)
    if account == turn.me.account:
        settle_own(turn)


def lists_came(turn: Turn, account: AccountId) -> None:
    """Newer device lists of an account may be here."""
    office.lists_came(turn, account)
    if account == turn.me.account:
        settle_own(turn)
        tend(turn)


def settle_own(turn: Turn) -> None:
    """Compares what we want with the document that stands."""
    pending, held = _pending(turn), _held(turn)
    if not pending.rules or held is None:
        return
    same = held.document.rules == pending.rules and not _needs_renewal(turn, held)
    if held.document.version > pending.above and (same or _is_newer_elsewhere(turn, held.document, pending)):
        _settled(turn)
    elif not errands.planned(turn, ErrandKind.OFFICE_PUBLISH):
        errands.plan(turn, ErrandKind.OFFICE_PUBLISH)


def _is_newer_elsewhere(turn: Turn, document: OfficeDocument, pending: PendingHours) -> bool:
    """Whether another device has published other rules after our change. What it signed anew unchanged is no news."""
    other = document.device != turn.me.device and document.rules != pending.base
    return other and document.issued_ms > pending.changed_ms
