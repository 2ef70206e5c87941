"""PostgreSQL: one row per device that is owed something, and row-level security by practice.

SQLite stays as it is. In PostgreSQL this is the first revision that a server works with.

Revision ID: 0003
Revises: 0002
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "revision", "upgrade"]

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF_SQLITE: Final = ("journal", "item_id", "mailbox", "sealed_keys", "freed", "archive_entry")
_OF_A_PRACTICE: Final = (
    "practice", "account", "device", "device_list", "one_time_key", "claim", "token", "invite", "conversation",
    "member", "membership_entry", "link", "item", "history", "archive_entry", "envelope", "acknowledged",
)  # fmt: skip

_ACTING_FOR: Final = "practice = ANY ((SELECT nullif(current_setting('rapport.practices', true), ''))::bytea[])"
"""A subquery, so that it is evaluated once per statement. Null, and so nothing, where no practice is set."""

_FINDERS: Final = {
    "practice_of_account": "SELECT practice FROM account WHERE account = $1",
    "practice_of_device": "SELECT practice FROM device WHERE device = $1",
    "practice_of_token": "SELECT practice FROM token WHERE hash = $1",
    "practice_of_owner_token": "SELECT practice FROM practice WHERE owner_token_hash = $1",
    "practice_of_invite": "SELECT practice FROM invite WHERE invite = $1",
    "practice_of_link": "SELECT practice FROM link WHERE link = $1",
}
"""What a stranger presents, and the practice that it belongs to: all that is told without one."""


def upgrade() -> None:
    """From what SQLite has to what PostgreSQL needs."""
    if op.get_context().dialect.name != "postgresql":
        return
    for table in _OF_SQLITE:
        op.drop_table(table)
    op.drop_index("ix_device_dormant", "device")
    op.create_index("ix_device_dormant", "device", ["account"], postgresql_where=sa.text("dormant"))
    # Changed by every devices' list and every member: a post is checked against the set that was read at this number.
    op.add_column("conversation", sa.Column("roster", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_item_practice_id", "item", ["practice", "id"], unique=True)
    op.create_index("ix_item_act_until", "item", ["act_until"], postgresql_where=sa.text("act_until > 0"))
    _mailboxes()
    # Many positions at a time, so that a batch asks once.
    op.execute("CREATE SEQUENCE place AS bigint INCREMENT 1024 MINVALUE 1")
    op.execute("ALTER TABLE conversation SET (fillfactor = 70)")
    op.execute("ALTER TABLE envelope SET (autovacuum_vacuum_scale_factor = 0.02)")
    _row_level_security()


def _mailboxes() -> None:
    op.create_table(
        "envelope",
        sa.Column("practice", sa.LargeBinary(), primary_key=True),
        sa.Column("device", sa.LargeBinary(), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("parked", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_envelope_position", "envelope", ["position"])
    op.create_table(
        "acknowledged",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("practice", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("positions", sa.ARRAY(sa.BigInteger()), nullable=False),
    )
    op.create_index("ix_acknowledged_at", "acknowledged", ["at"])
    op.create_table(
        "archive_entry",
        sa.Column("practice", sa.LargeBinary(), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("account", sa.LargeBinary(), primary_key=True),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
    )


def _row_level_security() -> None:
    """Without a practice nothing is there; the functions below are the only ways to find one."""
    for table in _OF_A_PRACTICE:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_practice ON {table} USING ({_ACTING_FOR}) WITH CHECK ({_ACTING_FOR})")
    # A link's steps belong to whoever may see the link.
    seen = "EXISTS (SELECT FROM link WHERE link.link = link_step.link)"
    op.execute("ALTER TABLE link_step ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_practice ON link_step USING ({seen}) WITH CHECK ({seen})")
    for name, query in _FINDERS.items():
        _function(f"{name}(bytea) RETURNS bytea", query)
    _function(
        "practices_of_devices(bytea[]) RETURNS bytea[]",
        "SELECT array_agg(DISTINCT practice) FROM device WHERE device = ANY ($1)",
    )
    _function("every_practice() RETURNS bytea[]", "SELECT array_agg(practice) FROM practice")


def _function(signature: str, query: str) -> None:
    """A query that runs as the owner of the tables, whatever its caller has put into its search path."""
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute(
        f"CREATE FUNCTION {signature} LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = {schema}, pg_temp AS $query$ {query} $query$"
    )
    name, _, _ = signature.partition(" ")
    op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
