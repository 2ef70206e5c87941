"""What waits for devices, and messages by id."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, Connection, LargeBinary, bindparam, text

from rapport_protocol.ids import ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.requests import DeviceReceipt, FetchedItem
from rapport_server.adapters.store.sql import schema
from rapport_server.records import Principal, Waiting, WaitingEntry, WaitingMessage, WaitingNotice

__all__ = ["WAITING", "fetch", "owed", "receipts", "waiting_item"]

# $1: now. $2-$5: one question each: practice, device, position to begin beyond, limit. $6, $7: number of a question
# (from 1 on) and id of an item that is in flight there. Answered in the order of questions, oldest first.
WAITING: Final = """
WITH flying AS MATERIALIZED (SELECT n, id FROM unnest($6::bigint[], $7::bytea[]) AS f (n, id))
SELECT q.n, w.* FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[])
  WITH ORDINALITY AS q (practice, device, beyond, most, n)
CROSS JOIN LATERAL (
  SELECT e.position, i.form, i.id, i.conv, i.seq, i.at, i."outer", i.nonce, i.body, i.kind, e.key
  FROM envelope AS e CROSS JOIN LATERAL (SELECT * FROM item AS i WHERE i.position = e.position LIMIT 1) AS i
  WHERE e.practice = q.practice AND e.device = q.device AND e.position > q.beyond AND NOT e.parked
    AND (i.act_until = 0 OR i.act_until > $1) AND (q.n, i.id) NOT IN (SELECT n, id FROM flying)
  ORDER BY e.position LIMIT q.most
) AS w ORDER BY q.n, w.position
"""


def waiting_item(row: Any) -> Waiting:
    """A row of WAITING."""
    if row["form"] == schema.FORM_MESSAGE:
        return WaitingMessage(
            row["position"], row["id"], row["seq"], row["at"], row["outer"], row["nonce"], row["body"], row["key"]
        )
    if row["form"] == schema.FORM_ENTRY:
        return WaitingEntry(row["position"], row["id"], row["conv"], row["seq"], row["at"], row["body"])
    return WaitingNotice(row["position"], row["id"], row["conv"], row["seq"], row["at"], row["kind"], row["body"])


_OWED: Final = text("""
SELECT d.device FROM device AS d CROSS JOIN LATERAL (
  SELECT FROM envelope AS e CROSS JOIN LATERAL (SELECT * FROM item AS i WHERE i.position = e.position LIMIT 1) AS i
  WHERE e.practice = d.practice AND e.device = d.device AND NOT e.parked AND (i.act_until = 0 OR i.act_until > :now)
  LIMIT 1
) AS w WHERE d.device = ANY (:devices) ORDER BY d.device
""").bindparams(bindparam("devices", type_=ARRAY(LargeBinary)))


def owed(db: Connection, devices: Collection[DeviceId], now: int) -> list[DeviceId]:
    """See Mailbox.owed. In ascending order."""
    return list(db.execute(_OWED, {"devices": list(devices), "now": now}).scalars())


_FETCH: Final = text("""
SELECT i.id, i.seq, i.at, i."outer", i.nonce, i.body, e.key,
  coalesce(CASE WHEN i.account = :account THEN i.entry END, a.entry) AS mine
FROM item AS i
LEFT JOIN envelope AS e ON e.practice = i.practice AND e.device = :device AND e.position = i.position
LEFT JOIN archive_entry AS a ON a.practice = i.practice AND a.position = i.position AND a.account = :account
WHERE i.practice = :practice AND i.id = ANY (:ids) AND i.conv = :conv AND i.form = 0
  AND (i.act_until = 0 OR i.act_until > :now)
""").bindparams(bindparam("ids", type_=ARRAY(LargeBinary)))


def fetch(
    db: Connection, principal: Principal, conv: ConversationId, ids: Sequence[ItemId], now: int
) -> list[FetchedItem]:
    """See Mailbox.fetch. In the order asked for."""
    given = {
        "account": principal.account, "device": principal.device, "practice": principal.practice, "conv": conv,
        "ids": list(ids), "now": now,
    }  # fmt: skip
    found = {row.id: row for row in db.execute(_FETCH, given)}
    rows = (found[item] for item in dict.fromkeys(ids) if item in found)
    return [
        FetchedItem(row.seq, row.at, row.outer, row.nonce, row.body, row.key, row.mine)
        for row in rows
        if row.key is not None or row.mine is not None
    ]


_RECEIPTS: Final = text("""
SELECT i.id, coalesce(string_agg(e.device, ''::bytea ORDER BY e.device) FILTER (WHERE NOT e.parked), ''::bytea) AS open,
  coalesce(string_agg(e.device, ''::bytea ORDER BY e.device) FILTER (WHERE e.parked), ''::bytea) AS parked
FROM item AS i LEFT JOIN envelope AS e ON e.position = i.position
WHERE i.practice = :practice AND i.id = ANY (:ids) AND i.conv = :conv AND i.form = 0 AND i.seq > 0
  AND i.account = :account
GROUP BY i.id
""").bindparams(bindparam("ids", type_=ARRAY(LargeBinary)))


def receipts(
    db: Connection, principal: Principal, conv: ConversationId, ids: Sequence[MessageId]
) -> list[DeviceReceipt]:
    """See Mailbox.receipts. In the order asked for."""
    given = {"practice": principal.practice, "ids": list(ids), "conv": conv, "account": principal.account}
    found = {row.id: DeviceReceipt(row.id, row.open, row.parked) for row in db.execute(_RECEIPTS, given)}
    return [found[message] for message in dict.fromkeys(ids) if message in found]
