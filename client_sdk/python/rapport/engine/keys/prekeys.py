"""This device's prekeys.

Made before they are uploaded, found when somebody used one, gone when they are of no more use.

Ids count up for the life of the device; the counter is committed with the private halves, before any upload, so that a
crash can never put one id on two keys. Private halves are kept 97 days: a message may wait 90 days on the server.

Source: docs/protocol.md, chapter 5.
"""

from typing import Final

import msgspec

from rapport.crypto.handshake import PrekeyHeader
from rapport.crypto.identity import (
    LastResortSecret,
    OneTimeSecret,
    SignedPrekeySecret,
    new_last_resort,
    new_one_time,
    new_signed_prekey,
)
from rapport.crypto.ratchet import SKIPPED_LIFE_MS
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import COUNTERS, SETTINGS, UPLOADS, PrekeysToUpload
from rapport.engine.vault.tables import Table, amend
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.limits import ONE_TIME_KEYS, ONE_TIME_KEYS_LOW
from rapport_protocol.requests import Prekeys, PrekeyUpload

__all__ = [
    "PREKEY_KEPT_MS",
    "ROTATE_MS",
    "begin_anew",
    "first_prekeys",
    "forget_expired",
    "has_replayed",
    "last_resort_secret",
    "one_time_secret",
    "one_time_used",
    "prekeys_call",
    "prekeys_conflict",
    "prekeys_left",
    "prekeys_uploaded",
    "remember_replay",
    "rotate_due",
    "signed_secret",
    "used_by_another",
]

ROTATE_MS: Final = 7 * 86_400_000
"""A signed prekey and last-resort key are replaced after a week."""
_LEAP: Final = 2**20
"""Ids of half a century: fifty sessions started with it each day take 18,250 a year."""
_BELIEVED: Final = 64 * _LEAP
"""The server may say that ids up to so far above ours were used; with more it would use them all up."""
PREKEY_KEPT_MS: Final = SKIPPED_LIFE_MS
"""How long private halves are kept: 97 days."""

_SIGNED: Final = Table("signed_prekey", SignedPrekeySecret)
_LAST: Final = Table("last_resort", LastResortSecret)
_ONE_TIME: Final = Table("one_time", OneTimeSecret)
_REPLAYS: Final = "replay"
_USED: Final = "used_one_time"
"""By prekey id: the ephemeral key of the handshake that has used it."""


def _id(key_id: int) -> bytes:
    return key_id.to_bytes(4, "big")


def _next_ids(turn: Turn, count: int) -> int:
    """Takes `count` ids for good; returns the first."""
    last = COUNTERS.need(turn.tx, b"").prekey_id
    amend(COUNTERS, turn.tx, b"", prekey_id=last + count)
    return last + 1


def _new_signed(turn: Turn) -> tuple[bytes, bytes]:
    first = _next_ids(turn, 2)
    signed_secret_, signed = new_signed_prekey(turn.me.secrets, turn.random, first, turn.now_ms)
    last_secret, last = new_last_resort(turn.me.secrets, turn.random, first + 1, turn.now_ms)
    _SIGNED.put(turn.tx, _id(signed.id), signed_secret_, order=turn.now_ms)
    _LAST.put(turn.tx, _id(last.id), last_secret, order=turn.now_ms)
    errands.plan(turn, ErrandKind.ROTATE, due_ms=turn.now_ms + ROTATE_MS)
    return signed.encode(), last.encode()


def _new_one_time(turn: Turn, count: int) -> list[bytes]:
    made = new_one_time(turn.me.secrets, turn.random, _next_ids(turn, count), count, turn.now_ms)
    for secret, _ in made:
        _ONE_TIME.put(turn.tx, _id(secret.id), secret, order=turn.now_ms)
    return [bundle.encode() for _, bundle in made]


def first_prekeys(turn: Turn) -> Prekeys:
    """Everything that a registration uploads: signed prekey, last-resort key, 50 one-time bundles."""
    signed, last = _new_signed(turn)
    return Prekeys(signed, last, _new_one_time(turn, ONE_TIME_KEYS))


# --- top-up and rotation ----------------------------------------------------------------------------------------------


def begin_anew(turn: Turn, *, leap: bool = False) -> None:
    """New keys of every kind take the place of those on the server.

    leap: ids may have been given to keys that this vault has forgotten; the next ones lie far above them.
    """
    if leap:
        _next_ids(turn, _LEAP + int.from_bytes(turn.random(4), "big") % _LEAP)
    errands.drop(turn, ErrandKind.ROTATE)
    signed, last = _new_signed(turn)
    one_time = tuple(_new_one_time(turn, ONE_TIME_KEYS))
    UPLOADS.put(turn.tx, b"", PrekeysToUpload(signed, last, one_time, replace=True))
    errands.plan(turn, ErrandKind.PREKEYS)


def prekeys_left(turn: Turn, left: int) -> None:
    """The server says how many one-time bundles it still has; at 25 or fewer new ones are made and uploaded."""
    waiting = UPLOADS.get(turn.tx, b"")
    if left <= ONE_TIME_KEYS_LOW and (waiting is None or not waiting.one_time):
        fresh = tuple(_new_one_time(turn, ONE_TIME_KEYS - left))
        upload = waiting or PrekeysToUpload()
        UPLOADS.put(turn.tx, b"", msgspec.structs.replace(upload, one_time=fresh))
    amend(SETTINGS, turn.tx, b"", one_time_left=left)
    if UPLOADS.has(turn.tx, b""):
        errands.plan(turn, ErrandKind.PREKEYS)


def rotate_due(turn: Turn) -> None:
    """A week is over.

    A new signed prekey and last-resort key are made and uploaded, and expired private halves forgotten.
    """
    errands.drop(turn, ErrandKind.ROTATE)
    signed, last = _new_signed(turn)
    upload = UPLOADS.get(turn.tx, b"") or PrekeysToUpload()
    UPLOADS.put(turn.tx, b"", msgspec.structs.replace(upload, signed=signed, last_resort=last))
    errands.plan(turn, ErrandKind.PREKEYS)
    forget_expired(turn)


def forget_expired(turn: Turn) -> None:
    """Deletes private halves older than 97 days, except the newest signed prekey."""
    end = turn.now_ms - PREKEY_KEPT_MS
    if end <= 0:
        return
    for table in (_SIGNED.name, _LAST.name, _ONE_TIME.name, _REPLAYS, _USED):
        for key, _ in turn.tx.list(table, below=end):
            turn.tx.delete(table, key)


def prekeys_call(turn: Turn, errand: Errand) -> Call | None:
    """Uploads what waits; the same bytes until it is answered."""
    waiting = UPLOADS.get(turn.tx, b"")
    if waiting is None:
        errands.drop(turn, ErrandKind.PREKEYS)
        return None
    upload = PrekeyUpload(waiting.signed, waiting.last_resort, list(waiting.one_time), waiting.replace)
    return Call(errand.key, "prekeys.upload", upload)


def prekeys_uploaded(turn: Turn, sent: PrekeyUpload, left: int, highest: int = 0) -> None:
    """The server has them. What was made while they were on the way is uploaded next.

    highest: of all ids that it has ever seen of this device. If ours lie below (the vault is an earlier state of
    itself), it takes none of them: all are made anew above it.
    """
    errands.drop(turn, ErrandKind.PREKEYS)
    last = COUNTERS.need(turn.tx, b"").prekey_id
    if last < highest <= last + _BELIEVED:
        amend(COUNTERS, turn.tx, b"", prekey_id=highest)
        begin_anew(turn)
        return
    waiting = UPLOADS.get(turn.tx, b"")
    if waiting is not None and tuple(sent.one_time) == waiting.one_time and sent.signed == waiting.signed:
        UPLOADS.delete(turn.tx, b"")
    prekeys_left(turn, left)


def prekeys_conflict(turn: Turn) -> None:
    """The server holds other bytes under one of these ids: new keys under new ids take their place."""
    errands.drop(turn, ErrandKind.PREKEYS)
    begin_anew(turn, leap=True)


# --- private halves ---------------------------------------------------------------------------------------------------


def signed_secret(turn: Turn, key_id: int) -> SignedPrekeySecret | None:
    """The private half of an SPK, None when it was never ours or is gone."""
    return _SIGNED.get(turn.tx, _id(key_id))


def last_resort_secret(turn: Turn, key_id: int) -> LastResortSecret | None:
    """The private half of a PQLR."""
    return _LAST.get(turn.tx, _id(key_id))


def one_time_secret(turn: Turn, key_id: int) -> OneTimeSecret | None:
    """The private half of an OTK, None once it has been used."""
    return _ONE_TIME.get(turn.tx, _id(key_id))


def used_by_another(turn: Turn, header: PrekeyHeader) -> bool:
    """Whether another handshake than this one has used up its one-time bundle."""
    before = turn.tx.get(_USED, _id(header.key_id))
    return not header.last_resort and before is not None and before != header.ephemeral


def one_time_used(turn: Turn, header: PrekeyHeader) -> None:
    """In the transaction of the first successful opening.

    The private half is deleted, and one fewer is left on the server.
    """
    _ONE_TIME.delete(turn.tx, _id(header.key_id))
    turn.tx.put(_USED, _id(header.key_id), header.ephemeral, order=turn.now_ms)
    settings = SETTINGS.need(turn.tx, b"")
    if settings.one_time_left:
        prekeys_left(turn, settings.one_time_left - 1)


def has_replayed(turn: Turn, header: PrekeyHeader) -> bool:
    """Whether a session was already started by this very last-resort handshake."""
    return turn.tx.get(_REPLAYS, header.replay_key()) is not None


def remember_replay(turn: Turn, header: PrekeyHeader) -> None:
    """A last-resort handshake was used; the same one will not be taken again. Kept as long as the private half."""
    turn.tx.put(_REPLAYS, header.replay_key(), b"", order=turn.now_ms)
