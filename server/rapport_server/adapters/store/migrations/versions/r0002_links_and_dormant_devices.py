"""Links of new devices, devices that need not be sealed for, and when the store was restored.

Revision ID: 0002
Revises: 0001
"""

import time

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From version 0.1."""
    op.create_table(
        "link",
        sa.Column("link", sa.LargeBinary(), primary_key=True),
        sa.Column("practice", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("expires_ms", _NUMBER, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_link_practice_account", "link", ["practice", "account"], unique=True)
    op.create_table(
        "link_step",
        sa.Column("link", sa.LargeBinary(), primary_key=True),
        sa.Column("step", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.add_column("device", sa.Column("dormant", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_device_seen_ms", "device", ["seen_ms"])
    op.create_index("ix_device_dormant", "device", ["account"], sqlite_where=sa.text("dormant"))
    op.add_column("server", sa.Column("restored_ms", _NUMBER, nullable=False, server_default="0"))
    # A device that has never signed in counts from now on.
    now = time.time_ns() // 1_000_000
    op.execute(sa.text("UPDATE device SET seen_ms = :now WHERE seen_ms = 0").bindparams(now=now))
