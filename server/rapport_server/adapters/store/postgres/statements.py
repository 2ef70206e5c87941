"""What the writer says to PostgreSQL: a few long statements per batch, each with one array per column.

Every row is found by its key: a LATERAL subquery with a limit or a lock stays one look-up per row, where a join would
be turned round into reading a whole table as long as it is small.
"""

from collections.abc import Iterable
from typing import Final

__all__ = ["ASK", "EARLIER", "FIND", "PARK", "WRITE", "WRITER_SETTINGS", "beginning"]

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


# $1, $2: practice and id of conversations, ascending. The position is taken when all of their rows are locked, so that
# within a conversation positions grow like seqs.
ASK: Final = """
WITH held AS MATERIALIZED (
  SELECT w.practice || w.conv AS key, c.seq, c.epoch, c.roster
  FROM unnest($1::bytea[], $2::bytea[]) AS w (practice, conv)
  CROSS JOIN LATERAL (
    SELECT seq, epoch, roster FROM conversation AS c WHERE c.practice = w.practice AND c.conv = w.conv FOR UPDATE
  ) AS c
), standing AS MATERIALIZED (
  SELECT array_agg(key) AS keys, array_agg(seq) AS seqs, array_agg(epoch) AS epochs, array_agg(roster) AS rosters
  FROM held
)
SELECT keys, seqs, epochs, rosters, nextval('place') AS position FROM standing
"""

# $1, $2: practice and id of what is sent. What another process commits between this statement and WRITE is caught by
# the unique index of `item`, and the batch is tried again.
EARLIER: Final = """
SELECT w.practice || w.id, i.conv, i.seq, i.at, i.device
FROM unnest($1::bytea[], $2::bytea[]) AS w (practice, id)
CROSS JOIN LATERAL (
  SELECT i.conv, CASE i.form WHEN 0 THEN i.seq ELSE 0 END AS seq, i.at, i.device
  FROM item AS i WHERE i.practice = w.practice AND i.id = w.id LIMIT 1
) AS i
"""

# $1, $2: practice and id of conversations whose rows are locked.
FIND: Final = """
SELECT c.practice || c.conv AS key, c.kind,
  (SELECT count(*) FROM member AS m WHERE m.practice = c.practice AND m.conv = c.conv AND m.joined) AS members,
  coalesce(d.required, ''::bytea) AS required, coalesce(d.listed, ''::bytea) AS listed
FROM unnest($1::bytea[], $2::bytea[]) AS w (practice, conv)
JOIN conversation AS c ON c.practice = w.practice AND c.conv = w.conv
CROSS JOIN LATERAL (
  SELECT string_agg(d.device, ''::bytea ORDER BY d.device) AS listed,
    string_agg(d.device, ''::bytea ORDER BY d.device) FILTER (WHERE NOT d.dormant) AS required
  FROM member AS m JOIN device AS d ON d.practice = m.practice AND d.account = m.account
  WHERE m.practice = c.practice AND m.conv = c.conv AND m.joined AND d.listed
) AS d
"""

# $1: now. $2-$15: messages; their keys, all of one length, are joined. $16-$19: further keys, one by one. $20-$22: seqs
# of conversations, whose rows are locked. $23-$27: acknowledgements; their rows are locked one by one, so that nobody
# moves them before they are deleted. Returns which of these were new, and who had sent those posts.
WRITE: Final = """
WITH message AS MATERIALIZED (
  SELECT * FROM unnest(
    $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bigint[],
    $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::bytea[], $15::bytea[]
  ) AS m (position, practice, id, conv, seq, account, device, act_until, "outer", nonce, body, entry, devices, keys)
), kept AS (
  INSERT INTO item (position, practice, id, conv, seq, at, account, device, act_until, "outer", nonce, body, entry)
  SELECT position, practice, id, conv, seq, $1, account, device, act_until, "outer", nonce, body, entry FROM message
), owed AS (
  INSERT INTO envelope (practice, device, position, key)
  SELECT m.practice, substr(m.devices, 16 * g.n + 1, 16), m.position,
    substr(m.keys, length(m.keys) * 16 / length(m.devices) * g.n + 1, length(m.keys) * 16 / length(m.devices))
  FROM message AS m CROSS JOIN LATERAL generate_series(0, length(m.devices) / 16 - 1) AS g (n)
  UNION ALL
  SELECT practice, device, position, key
  FROM unnest($16::bigint[], $17::bytea[], $18::bytea[], $19::bytea[]) AS l (position, practice, device, key)
), kept_by_sender AS (
  INSERT INTO history (practice, conv, seq, position)
  SELECT practice, conv, seq, position FROM message WHERE entry IS NOT NULL
), moved AS (
  UPDATE conversation AS c SET seq = m.seq
  FROM unnest($20::bytea[], $21::bytea[], $22::bigint[]) AS m (practice, conv, seq)
  CROSS JOIN LATERAL (
    SELECT h.ctid AS place FROM conversation AS h WHERE h.practice = m.practice AND h.conv = m.conv LIMIT 1
  ) AS h
  WHERE c.ctid = h.place
), held AS MATERIALIZED (
  SELECT a.n, a.practice, i.position, i.conv, i.seq, i.device AS sender, i.form = 0 AND i.seq > 0 AS post, a.account,
    CASE WHEN NOT i.entered OR i.account <> a.account THEN a.entry END AS entry, e.place
  FROM unnest($23::bytea[], $24::bytea[], $25::bytea[], $26::bytea[], $27::bytea[])
    WITH ORDINALITY AS a (practice, device, id, account, entry, n)
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
