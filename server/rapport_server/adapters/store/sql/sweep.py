"""The ageing of mail in SQL: one bounded step at a time, so that posts never wait long behind it."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, exists, select, update

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, PracticeId, split_ids
from rapport_protocol.limits import (
    CLAIM_REMEMBERED_MS,
    DORMANT_AFTER_MS,
    MAILBOX_LIFE_MS,
    REPEAT_WINDOW_MS,
    SENDER_WARNED_MS,
)
from rapport_protocol.messages import NoticeKind
from rapport_server.adapters.store.rules import URGENT_KEPT_MS
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.appointments import drop_old_appointments
from rapport_server.adapters.store.sql.calls import drop_ended_calls
from rapport_server.adapters.store.sql.linking import drop_expired_links
from rapport_server.adapters.store.sql.mailboxes import NewItem, OwedItem
from rapport_server.adapters.store.sql.placing import (
    Transaction,
    listed_devices,
    members_of,
    place,
    take_seqs,
)
from rapport_server.adapters.store.sql.rooms import drop_old_rooms
from rapport_server.adapters.store.sql.urgent import drop_ended
from rapport_server.calling import CALL_KEPT_MS

__all__ = ["STEP_ROWS", "SWEEP_STEPS", "Step"]

STEP_ROWS: Final = 500
"""Most mailbox rows that one step looks at: some milliseconds of work."""
STEP_ROOMS: Final = 64
"""Most waiting rooms, or appointments, that one step forgets."""
STEP_DORMANT: Final = 8
"""Most devices that one step lets fall dormant: each may have a mailbox of 45 days."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did. more: there is more of the same. woken: devices that have a new notice."""

    more: bool
    woken: list[DeviceId] = field(default_factory=list)


def _dormant(tx: Transaction, now: int) -> Step:
    """Lets devices fall dormant that nobody has seen for long, as rules.dormant_devices has it.

    Their posts are taken out of their mailboxes. An account in which nobody is awake any more is awake again.
    """
    table, other = schema.device, schema.device.alias()
    since = now - DORMANT_AFTER_MS
    another_seen = exists().where(
        other.c.practice == table.c.practice,
        other.c.account == table.c.account,
        other.c.listed,
        other.c.seen_ms > since,
    )
    lonely = (table.c.dormant, ~another_seen)
    asleep = tx.db.execute(select(table.c.practice, table.c.account).distinct().where(*lonely)).all()
    unseen = (table.c.listed, ~table.c.dormant, table.c.seen_ms <= since, another_seen)
    columns = (table.c.practice, table.c.account, table.c.device)
    rows = tx.db.execute(select(*columns).where(*unseen).limit(STEP_DORMANT)).all()
    people = {(PracticeId(row.practice), AccountId(row.account)) for row in (*asleep, *rows)}
    if not people:
        return Step(more=False)
    tx.mailboxes.hold(tx.db, people=people)
    tx.db.execute(update(table).where(*lonely).values(dormant=False))
    for row in rows:
        practice, device = PracticeId(row.practice), DeviceId(row.device)
        here = (table.c.practice == practice, table.c.device == device)
        # It may have been seen before this transaction held its account.
        if tx.db.execute(update(table).where(*here, *unseen).values(dormant=True)).rowcount:
            tx.mailboxes.forget(tx.db, practice, AccountId(row.account), device, now, posts_only=True)
    tx.members_changed()
    return Step(more=len(rows) == STEP_DORMANT)


def _freed(tx: Transaction, now: int) -> Step:
    """Deletes bodies that nobody is owed and whose repeat window has passed."""
    return Step(more=tx.mailboxes.delete_freed(tx.db, now - REPEAT_WINDOW_MS))


def _directs(tx: Transaction, now: int) -> Step:
    """Deletes directs whose time has come."""
    positions = tx.mailboxes.expired(tx.db, now, STEP_ROWS)
    tx.mailboxes.end(tx.db, positions, now)
    return Step(more=len(positions) == STEP_ROWS)


def _tokens_claims_links(tx: Transaction, now: int) -> Step:
    """Deletes HTTP tokens past their hour, answers of claims past their ten minutes, links past their three."""
    tx.db.execute(delete(schema.token).where(schema.token.c.expires_ms <= now))
    tx.db.execute(delete(schema.claim).where(schema.claim.c.at <= now - CLAIM_REMEMBERED_MS))
    drop_expired_links(tx, now)
    return Step(more=False)


def _urgent(tx: Transaction, now: int) -> Step:
    """Forgets urgent messages that ended long ago."""
    drop_ended(tx, now - URGENT_KEPT_MS)
    return Step(more=False)


def _calls(tx: Transaction, now: int) -> Step:
    """Forgets calls that ended a day ago."""
    drop_ended_calls(tx, now - CALL_KEPT_MS)
    return Step(more=False)


def _rooms(tx: Transaction, now: int) -> Step:
    """Forgets waiting rooms that closed, and join links that expired, a week ago."""
    return Step(more=drop_old_rooms(tx, now, STEP_ROOMS))


def _appointments(tx: Transaction, now: int) -> Step:
    """Forgets appointments that began half a year ago."""
    return Step(more=drop_old_appointments(tx, now, STEP_ROOMS))


def _old_mail(tx: Transaction, now: int) -> Step:
    """Ends the mailbox life of what is 90 days old; of posts a tombstone stays."""
    old = [row for row in tx.mailboxes.owed_items(tx.db, -1, STEP_ROWS) if row.at <= now - MAILBOX_LIFE_MS]
    posts = [row for row in old if row.form == schema.FORM_MESSAGE and row.seq and row.conv is not None]
    if posts:
        tx.mailboxes.hold(tx.db, convs={(row.practice, row.conv) for row in posts if row.conv is not None})
    woken: list[DeviceId] = []
    for row in posts:
        woken += _tombstone(tx, row, now)
    tx.mailboxes.end(tx.db, [row.position for row in old], now)
    return Step(more=len(old) == STEP_ROWS, woken=woken)


def _tombstone(tx: Transaction, row: OwedItem, now: int) -> list[DeviceId]:
    """Tells everybody in the conversation now, and those who still lacked the post."""
    practice, conv = row.practice, ConversationId(row.conv or b"")
    lacking = split_ids(row.lacking)
    table = schema.device
    listed = tx.db.execute(
        select(table.c.device).where(table.c.practice == practice, table.c.device.in_(lacking), table.c.listed)
    ).scalars()
    devices = {*map(DeviceId, listed), *listed_devices(tx.db, practice, members_of(tx.db, practice, conv))}
    seq = take_seqs(tx, practice, conv, 1)
    return place(tx, practice, _notice(NoticeKind.TOMBSTONE, row, conv, seq, now), devices)


def _warnings(tx: Transaction, now: int) -> Step:
    """Warns the senders of posts that have waited 14 days, once: `server.warned_to` remembers how far this went."""
    mark = tx.db.execute(select(schema.server.c.warned_to)).scalar_one()
    rows = tx.mailboxes.owed_items(tx.db, mark, STEP_ROWS)
    old = [row for row in rows if row.at <= now - SENDER_WARNED_MS]
    woken: list[DeviceId] = []
    for row in old:
        if row.form == schema.FORM_MESSAGE and row.seq and row.conv is not None and row.account is not None:
            devices = listed_devices(tx.db, row.practice, [row.account])
            # It takes no seq: nobody else would know what stands in the gap.
            woken += place(tx, row.practice, _notice(NoticeKind.UNDELIVERED, row, row.conv, 0, now), devices)
    if old:
        tx.db.execute(update(schema.server).values(warned_to=old[-1].position))
    return Step(more=len(old) == STEP_ROWS, woken=woken)


def _notice(kind: str, row: OwedItem, conv: ConversationId, seq: int, now: int) -> NewItem:
    return NewItem(ItemId(secrets.token_bytes(16)), schema.FORM_NOTICE, conv, conv, seq, now, row.id, kind)


SWEEP_STEPS: Final = (
    _dormant, _old_mail, _warnings, _directs, _freed, _tokens_claims_links, _urgent, _calls, _rooms, _appointments,
)  # fmt: skip
"""Each is one transaction, (tx, now) -> Step, to be repeated while there is more."""
