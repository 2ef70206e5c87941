"""Office hours, urgent messages, pushes and webhooks.

Revision ID: 0004
Revises: 0003
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OF_A_PRACTICE: Final = ("office_document", "urgent", "push_subscription", "webhook", "webhook_delivery")
_ACTING_FOR: Final = "practice = ANY ((SELECT nullif(current_setting('rapport.practices', true), ''))::bytea[])"


def _key(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), primary_key=True)


def _blob(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, nullable=False)


def upgrade() -> None:
    """New tables only; in PostgreSQL each belongs to a practice."""
    op.create_table(
        "office_document",
        _key("practice"),
        _key("account"),
        _number("version"),
        _blob("document"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "urgent",
        _key("practice"),
        _key("message"),
        _blob("conv"),
        _blob("client"),
        _blob("therapist"),
        _blob("cover", nullable=True),
        _number("accepted_ms"),
        _number("rung"),
        _number("rung_ms"),
        _number("next_ms"),
    )
    op.create_index("ix_urgent_practice_client_next_ms", "urgent", ["practice", "client", "next_ms"])
    op.create_table(
        "push_subscription",
        _key("practice"),
        _key("device"),
        _blob("account"),
        _blob("sealed"),
        _blob("quiet", nullable=True),
        _number("pushed_ms"),
        _number("retry_ms"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "webhook", _key("practice"), _key("webhook"), _blob("sealed"), _number("created_ms"), sqlite_with_rowid=False
    )
    op.create_table(
        "webhook_delivery",
        _key("practice"),
        _key("delivery"),
        _blob("webhook"),
        _blob("body"),
        _number("created_ms"),
        _number("attempts"),
        _number("due_ms"),
    )
    op.create_index("ix_webhook_delivery_due_ms", "webhook_delivery", ["due_ms"])
    if op.get_context().dialect.name == "postgresql":
        for table in _OF_A_PRACTICE:
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY own_practice ON {table} USING ({_ACTING_FOR}) WITH CHECK ({_ACTING_FOR})")
