"""Calls.

Revision ID: 0005
Revises: 0004
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "revision", "upgrade"]

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ACTING_FOR: Final = "practice = ANY ((SELECT nullif(current_setting('rapport.practices', true), ''))::bytea[])"


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, nullable=False)


def upgrade() -> None:
    """One new table, which in PostgreSQL belongs to a practice."""
    op.create_table(
        "call",
        sa.Column("practice", sa.LargeBinary(), primary_key=True),
        sa.Column("call", sa.LargeBinary(), primary_key=True),
        _blob("conv"),
        _blob("caller"),
        _blob("callee"),
        _blob("caller_device"),
        _number("caller_heard_ms"),
        _blob("callee_device"),
        _number("callee_heard_ms"),
        _number("offered_ms"),
        sa.Column("phase", sa.Text(), nullable=False),
        _number("rings"),
        _number("until_ms"),
        _number("accepted_ms"),
        _number("connected_ms"),
        _number("ended_ms"),
        sa.Column("reason", sa.Text(), nullable=False),
        _blob("away"),
        _number("version"),
    )
    op.create_index("ix_call_ended_ms", "call", ["ended_ms"])
    live = sa.text("ended_ms = 0")
    op.create_index("ix_call_practice_conv", "call", ["practice", "conv"], sqlite_where=live, postgresql_where=live)
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE call ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_practice ON call USING ({_ACTING_FOR}) WITH CHECK ({_ACTING_FOR})")
