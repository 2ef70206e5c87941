"""The first tables.

Revision ID: 0001
Revises: nothing
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _blob(name: str, **options: Any) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), **{"nullable": False, **options})


def _number(name: str, **options: Any) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, **{"nullable": False, **options})


def _own_number(name: str) -> sa.Column[int]:
    """A number in the primary key that the program itself hands out."""
    return _number(name, primary_key=True, autoincrement=False)


def upgrade() -> None:
    """From an empty file to version 0.1."""
    _server_and_accounts()
    _devices()
    _conversations()
    _mailboxes()


def _server_and_accounts() -> None:
    op.create_table(
        "server",
        _own_number("id"),
        _blob("seed"),
        _blob("store_epoch"),
        _number("position"),
        _number("warned_to"),
    )
    op.create_table(
        "practice",
        _blob("practice", primary_key=True),
        _blob("owner_token_hash"),
        sa.Column("owner_token_used", sa.Boolean(), nullable=False),
        _number("created_ms"),
        sa.UniqueConstraint("owner_token_hash", name="uq_practice_owner_token_hash"),
    )
    op.create_table(
        "account",
        _blob("practice", primary_key=True),
        _blob("account", primary_key=True),
        sa.Column("role", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_account_account", "account", ["account"], unique=True)
    op.create_table(
        "timer",
        sa.Column("kind", sa.Text(), primary_key=True),
        _blob("key", primary_key=True),
        _number("due_ms"),
        _number("leased_until_ms"),
    )
    op.create_index("ix_timer_due_ms", "timer", ["due_ms"])


def _devices() -> None:
    op.create_table(
        "device",
        _blob("practice", primary_key=True),
        _blob("device", primary_key=True),
        _blob("account"),
        _blob("signing_key"),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        _number("seen_ms"),
        _blob("last_auth", nullable=True),
        _blob("registered_digest", nullable=True),
        _number("registered_seq", nullable=True),
        _number("registered_ms", nullable=True),
        _number("signed_id", nullable=True),
        _blob("signed_key", nullable=True),
        _number("last_resort_id", nullable=True),
        _blob("last_resort_key", nullable=True),
        _number("one_time_top"),
        sa.ForeignKeyConstraint(["practice", "account"], ["account.practice", "account.account"]),
    )
    op.create_index("ix_device_device", "device", ["device"], unique=True)
    op.create_index("ix_device_practice_account", "device", ["practice", "account"])
    op.create_table(
        "device_list",
        _blob("practice", primary_key=True),
        _blob("account", primary_key=True),
        _own_number("version"),
        _blob("raw"),
        sa.Column("by_account_key", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "one_time_key",
        _blob("practice", primary_key=True),
        _blob("device", primary_key=True),
        _own_number("number"),
        _blob("raw"),
    )
    op.create_table(
        "claim",
        _blob("practice", primary_key=True),
        _blob("device", primary_key=True),
        _blob("claim", primary_key=True),
        _number("at"),
        _blob("answer"),
    )
    op.create_index("ix_claim_at", "claim", ["at"])
    op.create_table(
        "token",
        _blob("hash", primary_key=True),
        _blob("practice"),
        _blob("device"),
        _number("expires_ms"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_token_practice_device", "token", ["practice", "device"])
    op.create_index("ix_token_expires_ms", "token", ["expires_ms"])


def _conversations() -> None:
    op.create_table(
        "invite",
        _blob("practice", primary_key=True),
        _blob("invite", primary_key=True),
        _blob("conv"),
        sa.Column("role", sa.Text(), nullable=False),
        _blob("public_key"),
        _blob("card", nullable=True),
        _number("expires_ms"),
    )
    op.create_index("ix_invite_invite", "invite", ["invite"], unique=True)
    op.create_table(
        "conversation",
        _blob("practice", primary_key=True),
        _blob("conv", primary_key=True),
        _number("kind"),
        _number("epoch"),
        _number("seq"),
        _number("base"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "member",
        _blob("practice", primary_key=True),
        _blob("conv", primary_key=True),
        _blob("account", primary_key=True),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_member_practice_account_conv", "member", ["practice", "account", "conv"])
    op.create_table(
        "membership_entry",
        _blob("practice", primary_key=True),
        _blob("conv", primary_key=True),
        _own_number("epoch"),
        _blob("id"),
        _number("seq"),
        _number("at"),
        _blob("raw"),
    )


def _mailboxes() -> None:
    op.create_table(
        "item",
        _own_number("position"),
        _blob("practice"),
        _blob("id"),
        _blob("conv", nullable=True),
        _number("seq"),
        _number("at"),
        _blob("account", nullable=True),
        _blob("device", nullable=True),
        _number("act_until"),
        _blob("outer", nullable=True),
        _blob("nonce", nullable=True),
        _blob("body"),
        _blob("entry", nullable=True),
        _number("form", server_default="0"),
        sa.Column("kind", sa.Text(), nullable=True),
    )
    op.create_table("journal", _own_number("batch"), _blob("body"))
    op.create_table(
        "item_id",
        _blob("practice", primary_key=True),
        _blob("id", primary_key=True),
        _number("position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mailbox",
        _own_number("position"),
        _blob("practice"),
        _blob("box"),
        _number("at"),
        _number("act_until"),
        _blob("devices"),
        _blob("open"),
        _blob("parked"),
    )
    op.create_index("ix_mailbox_practice_box_position", "mailbox", ["practice", "box", "position"])
    op.create_index("ix_mailbox_act_until", "mailbox", ["act_until"], sqlite_where=sa.text("act_until > 0"))
    op.create_table("sealed_keys", _own_number("position"), _blob("sealed"))
    op.create_table(
        "history",
        _blob("practice", primary_key=True),
        _blob("conv", primary_key=True),
        _own_number("seq"),
        _number("position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "archive_entry",
        _own_number("position"),
        _blob("account", primary_key=True),
        _blob("entry"),
        sqlite_with_rowid=False,
    )
    op.create_table("freed", _own_number("number"), _number("at"), _blob("positions"))
