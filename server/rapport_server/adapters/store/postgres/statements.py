"""What the writer says to PostgreSQL: a few long statements per batch, each with one array per column.

Every row is found by its key: a LATERAL subquery with a limit or a lock stays one look-up per row, where a join would
be turned round into reading a whole table as long as it is small.
"""

from collections.abc import Iterable
from typing import Final

__all__ = ["ASK", "EARLIER", "FIND", "PARK", "URGENT", "WRITE", "WRITER_SETTINGS", "beginning"]

WRITER_SETTINGS: Final = {
    # The statements leave one way to go, so that one plan serves them whether the tables are empty or large.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
}
"""Of the session that writes."""


def beginning(practices: Iterable[bytes], *, read_only: bool = False) -> str:
    """Begins a transaction that acts for these practices, in one trip.

    Identifiers are written in hexadecimal, so nothing needs quoting.
    """
    literal = ",".join(f'"\\\\x{practice.hex()}"' for practice in sorted(practices))
    mode = " READ ONLY" if read_only else ""
    return f"BEGIN{mode}; SELECT set_config('rapport.practices', '{{{literal}}}', true)"


# Identifiers come joined, 16 bytes each: an array of a thousand of them costs the driver more than the rest of a batch.
# They are taken apart behind an OFFSET 0, or row-level security would be afraid of `substr` and keep it out of index
# conditions; BETWEEN says what is true anyway and makes the planner expect few rows.
_PAIRS: Final = """(
  SELECT substr($1::bytea, 32 * n + 1, 32) AS key, substr($1, 32 * n + 1, 16) AS practice,
    substr($1, 32 * n + 17, 16) AS id
  FROM generate_series(0, $2::integer - 1) AS n WHERE n BETWEEN 0 AND $2 - 1 OFFSET 0
) AS w"""

# $1: practice and id of conversations, ascending; $2: how many. The position is taken when all of their rows are
# locked, so that within a conversation positions grow like seqs.
ASK: Final = f"""
WITH held AS MATERIALIZED (
  SELECT w.key, c.seq, c.epoch, c.roster FROM {_PAIRS} CROSS JOIN LATERAL (
    SELECT seq, epoch, roster FROM conversation AS c WHERE c.practice = w.practice AND c.conv = w.id FOR UPDATE
  ) AS c
), standing AS MATERIALIZED (
  SELECT array_agg(key) AS keys, array_agg(seq) AS seqs, array_agg(epoch) AS epochs, array_agg(roster) AS rosters
  FROM held
)
SELECT keys, seqs, epochs, rosters, nextval('place') AS position FROM standing
"""  # noqa: S608 - a constant of this file

# $1: practice and id of what is sent; $2: how many. What another process commits between this statement and WRITE is
# caught by the unique index of `item`, and the batch is tried again.
EARLIER: Final = f"""
SELECT w.key, i.conv, i.seq, i.at, i.device FROM {_PAIRS} CROSS JOIN LATERAL (
  SELECT i.conv, CASE i.form WHEN 0 THEN i.seq ELSE 0 END AS seq, i.at, i.device
  FROM item AS i WHERE i.practice = w.practice AND i.id = w.id LIMIT 1
) AS i
"""  # noqa: S608 - a constant of this file

# $1: practice and id of conversations whose rows are locked; $2: how many.
FIND: Final = f"""
SELECT c.practice || c.conv AS key, c.kind,
  ARRAY(SELECT m.account FROM member AS m WHERE m.practice = c.practice AND m.conv = c.conv AND m.joined) AS members,
  coalesce(d.required, ''::bytea) AS required, coalesce(d.listed, ''::bytea) AS listed
FROM {_PAIRS} CROSS JOIN LATERAL (
  SELECT c.practice, c.conv, c.kind FROM conversation AS c WHERE c.practice = w.practice AND c.conv = w.id LIMIT 1
) AS c
CROSS JOIN LATERAL (
  SELECT string_agg(d.device, ''::bytea ORDER BY d.device) AS listed,
    string_agg(d.device, ''::bytea ORDER BY d.device) FILTER (WHERE NOT d.dormant) AS required
  FROM member AS m JOIN device AS d ON d.practice = m.practice AND d.account = m.account
  WHERE m.practice = c.practice AND m.conv = c.conv AND m.joined AND d.listed
) AS d
"""  # noqa: S608 - a constant of this file

# $1: now. $2: the first position. $3: how many messages. $4: practice, id, conversation, account, device of each.
# $5-$10: their other columns ($6 and $10 empty where all are 0 or null). $11, $12: for which devices, and their keys,
# all of one length, joined. $13-$15: further keys: practice and device, position, key. $16, $17: practice and id of
# conversations, whose rows are locked, and their seqs. $18: practice, device, item and account of acknowledgements;
# $19: how many; $20: their archive entries, or nothing. Their rows are locked one by one, so that nobody moves them
# before they are deleted. Returns which of these were new, by number from 1 on, and who had sent those posts.
WRITE: Final = """
WITH message AS MATERIALIZED (
  SELECT $2::bigint + n AS position, substr($4::bytea, 80 * n + 1, 16) AS practice, substr($4, 80 * n + 17, 16) AS id,
    substr($4, 80 * n + 33, 16) AS conv, seq, substr($4, 80 * n + 49, 16) AS account,
    substr($4, 80 * n + 65, 16) AS device, coalesce(act_until, 0) AS act_until, "outer", nonce, body, entry, devices,
    keys
  FROM ROWS FROM (
    generate_series(0, $3::integer - 1),
    unnest($5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[])
  ) AS m (n, seq, act_until, "outer", nonce, body, entry, devices, keys) WHERE n BETWEEN 0 AND $3 - 1
), kept AS (
  INSERT INTO item (position, practice, id, conv, seq, at, account, device, act_until, "outer", nonce, body, entry)
  SELECT position, practice, id, conv, seq, $1, account, device, act_until, "outer", nonce, body, entry FROM message
), owed AS (
  INSERT INTO envelope (practice, device, position, key)
  SELECT m.practice, substr(m.devices, 16 * g.n + 1, 16), m.position,
    substr(m.keys, length(m.keys) * 16 / length(m.devices) * g.n + 1, length(m.keys) * 16 / length(m.devices))
  FROM message AS m CROSS JOIN LATERAL generate_series(0, length(m.devices) / 16 - 1) AS g (n)
  UNION ALL
  SELECT substr($13::bytea, 32 * n::integer - 31, 16), substr($13, 32 * n::integer - 15, 16), position, key
  FROM unnest($14::bigint[], $15::bytea[]) WITH ORDINALITY AS l (position, key, n)
), kept_by_sender AS (
  INSERT INTO history (practice, conv, seq, position)
  SELECT practice, conv, seq, position FROM message WHERE entry IS NOT NULL
), moved AS (
  UPDATE conversation AS c SET seq = m.seq
  FROM (
    SELECT seq, substr($16::bytea, 32 * n::integer - 31, 16) AS practice,
      substr($16, 32 * n::integer - 15, 16) AS conv
    FROM unnest($17::bigint[]) WITH ORDINALITY AS m (seq, n) OFFSET 0
  ) AS m
  CROSS JOIN LATERAL (
    SELECT h.ctid AS place FROM conversation AS h WHERE h.practice = m.practice AND h.conv = m.conv LIMIT 1
  ) AS h
  WHERE c.ctid = h.place
), held AS MATERIALIZED (
  SELECT a.n, a.practice, i.position, i.conv, i.seq, i.device AS sender, i.form = 0 AND i.seq > 0 AS post, a.account,
    CASE WHEN NOT i.entered OR i.account <> a.account THEN a.entry END AS entry, e.place
  FROM (
    SELECT n, entry, substr($18::bytea, 64 * n - 63, 16) AS practice, substr($18, 64 * n - 47, 16) AS device,
      substr($18, 64 * n - 31, 16) AS id, substr($18, 64 * n - 15, 16) AS account
    FROM ROWS FROM (generate_series(1, $19::integer), unnest($20::bytea[])) AS a (n, entry)
    WHERE n BETWEEN 1 AND $19 OFFSET 0
  ) AS a
  CROSS JOIN LATERAL (
    SELECT i.position, i.conv, i.seq, i.device, i.form, i.account, i.entry IS NOT NULL AS entered
    FROM item AS i WHERE i.practice = a.practice AND i.id = a.id LIMIT 1
  ) AS i
  CROSS JOIN LATERAL (
    SELECT e.ctid AS place FROM envelope AS e
    WHERE e.practice = a.practice AND e.device = a.device AND e.position = i.position FOR UPDATE
  ) AS e
), gone AS (
  DELETE FROM envelope AS e USING held AS h WHERE e.ctid = h.place
  RETURNING h.n, h.practice, h.position, h.conv, h.seq, h.sender, h.post, h.account, h.entry
), noted AS (
  INSERT INTO acknowledged (practice, at, positions)
  SELECT practice, $1, array_agg(DISTINCT position) FROM gone GROUP BY practice
), entered AS (
  INSERT INTO archive_entry (practice, position, account, entry)
  SELECT DISTINCT ON (position, account) practice, position, account, entry
  FROM gone WHERE post AND entry IS NOT NULL ORDER BY position, account, n
  ON CONFLICT DO NOTHING
), kept_by_reader AS (
  INSERT INTO history (practice, conv, seq, position)
  SELECT DISTINCT practice, conv, seq, position FROM gone WHERE post AND entry IS NOT NULL
  ON CONFLICT DO NOTHING
)
SELECT array_agg(n ORDER BY n) AS numbers, array_agg(sender ORDER BY n) AS senders FROM gone WHERE post
"""

# $1: practice, $2: device, $3: ids. Returns the posts that were set aside now.
PARK: Final = """
WITH held AS MATERIALIZED (
  SELECT w.id, i.sender, e.place FROM unnest($3::bytea[]) AS w (id)
  CROSS JOIN LATERAL (
    SELECT i.position, CASE WHEN i.form = 0 AND i.seq > 0 THEN i.device END AS sender
    FROM item AS i WHERE i.practice = $1 AND i.id = w.id LIMIT 1
  ) AS i
  CROSS JOIN LATERAL (
    SELECT e.ctid AS place FROM envelope AS e
    WHERE e.practice = $1 AND e.device = $2 AND e.position = i.position AND NOT e.parked FOR UPDATE
  ) AS e
)
UPDATE envelope AS e SET parked = true FROM held AS h WHERE e.ctid = h.place RETURNING h.id, h.sender
"""

# $1 to $4: practice, id, conversation and sender of urgent posts that were taken; $5: now. An id may come back long
# after its post is gone.
URGENT: Final = """
WITH posted AS MATERIALIZED (
  SELECT practice, message, conv, client
  FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[]) AS p (practice, message, conv, client)
), timed AS (
  INSERT INTO timer (kind, key, due_ms, leased_until_ms)
  SELECT 'urgent', practice || message, $5::bigint, 0 FROM posted ON CONFLICT DO NOTHING
)
INSERT INTO urgent (practice, message, conv, client, therapist, accepted_ms, rung, rung_ms, next_ms)
SELECT practice, message, conv, client, ''::bytea, $5, 0, $5, $5 FROM posted ON CONFLICT DO NOTHING
"""
