"""Indexes for what is asked again and again: what runs or is open, among much that has ended.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "revision", "upgrade"]

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _index(name: str, table: str, column: str, where: str, postgresql_where: str | None = None) -> None:
    op.create_index(
        name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(postgresql_where or where)
    )


def upgrade() -> None:
    """No rows change."""
    _index("ix_urgent_running", "urgent", "next_ms", "next_ms > 0")
    _index("ix_urgent_ended", "urgent", "rung_ms", "next_ms = 0")
    _index("ix_timer_leased", "timer", "leased_until_ms", "leased_until_ms > 0")
    _index("ix_room_open", "room", "changed_ms", "closed = 0", "NOT closed")
    op.create_index("ix_appointment_start_ms", "appointment", ["start_ms"])  # for what is forgotten
