"""Appointments, their calendar feeds, waiting rooms and join links.

Revision ID: 0006
Revises: 0005
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "revision", "upgrade"]

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OF_A_PRACTICE: Final = ("appointment", "appointment_member", "calendar_feed", "room", "room_person", "room_link")
_ACTING_FOR: Final = "practice = ANY ((SELECT nullif(current_setting('rapport.practices', true), ''))::bytea[])"


def _key(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), primary_key=True)


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def upgrade() -> None:
    """New tables only; in PostgreSQL each belongs to a practice."""
    _appointments()
    _rooms()
    if op.get_context().dialect.name == "postgresql":
        for table in _OF_A_PRACTICE:
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY own_practice ON {table} USING ({_ACTING_FOR}) WITH CHECK ({_ACTING_FOR})")
        _calendar_finder()


def _appointments() -> None:
    op.create_table(
        "appointment",
        _key("practice"),
        _key("appointment"),
        _blob("conv"),
        _blob("host"),
        _number("version"),
        _number("start_ms"),
        _number("minutes"),
        _text("modality"),
        _text("zone"),
        _blob("series"),
        _number("moved_from_ms"),
        _flag("cancelled"),
        _number("reminded"),
        _text("outcome"),
        _number("minutes_held"),
        _flag("outcome_said"),
        _number("next_ms"),
        _number("change"),
    )
    op.create_table(
        "appointment_member",
        _key("practice"),
        _key("appointment"),
        _key("account"),
        _number("start_ms"),
        _flag("reached"),
        sqlite_with_rowid=False,
    )
    by_start = "ix_appointment_member_practice_account_start_ms"
    op.create_index(by_start, "appointment_member", ["practice", "account", "start_ms"])
    op.create_table(
        "calendar_feed",
        _key("practice"),
        _key("account"),
        _blob("token_hash"),
        _number("created_ms"),
        sa.UniqueConstraint("token_hash", name="uq_calendar_feed_token_hash"),
        sqlite_with_rowid=False,
    )


def _rooms() -> None:
    op.create_table(
        "room",
        _key("practice"),
        _key("appointment"),
        _number("start_ms"),
        _number("version"),
        _flag("locked"),
        _flag("closed"),
        _blob("hosts"),
        _blob("been"),
        _number("emptied_ms"),
        _number("together_ms"),
        _number("together_since_ms"),
        _number("seen_ms"),
        _number("alert_ms"),
        _number("alerts"),
        _number("next_ms"),
        _number("changed_ms"),
        _number("change"),
    )
    op.create_index("ix_room_changed_ms", "room", ["changed_ms"])
    op.create_table(
        "room_person",
        _key("practice"),
        _key("appointment"),
        _key("account"),
        _blob("device"),
        _text("state"),
        _number("since_ms"),
        _number("heard_ms"),
        _number("checks"),
        _blob("call"),
        _number("until_ms"),
        _number("changed_ms"),
        _number("changed"),
        _blob("link"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_room_person_practice_account", "room_person", ["practice", "account"])
    op.create_table(
        "room_link",
        _key("practice"),
        _key("link"),
        _blob("appointment"),
        _blob("secret_hash"),
        _blob("passcode"),
        _number("not_before_ms"),
        _number("expires_ms"),
        _blob("account"),
        _blob("device"),
        _number("tries"),
    )
    op.create_index("ix_room_link_practice_appointment", "room_link", ["practice", "appointment"])
    op.create_index("ix_room_link_expires_ms", "room_link", ["expires_ms"])


def _calendar_finder() -> None:
    """A calendar program presents a token alone; the practice is found from its hash."""
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    query = "SELECT practice FROM calendar_feed WHERE token_hash = $1"
    op.execute(
        "CREATE FUNCTION practice_of_calendar(bytea) RETURNS bytea LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = {schema}, pg_temp AS $query$ {query} $query$"
    )
    op.execute("REVOKE ALL ON FUNCTION practice_of_calendar(bytea) FROM PUBLIC")
