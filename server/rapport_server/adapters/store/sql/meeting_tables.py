"""The tables of appointments and waiting rooms; part of `schema`, by whose rules they are made."""

from sqlalchemy import Boolean, Column, Index, Table, Text

from rapport_server.adapters.store.sql.columns import blob, key, metadata, number

__all__ = ["appointment", "appointment_member", "calendar_feed", "room", "room_link", "room_person"]

appointment = Table(
    "appointment",
    metadata,
    key("practice"),
    key("appointment"),
    blob("conv"),
    blob("host", comment="who put it"),
    number("version"),
    number("start_ms"),
    number("minutes"),
    Column("modality", Text, nullable=False),
    Column("zone", Text, nullable=False, comment="IANA name"),
    blob("series", comment="empty outside of a series"),
    number("moved_from_ms"),
    Column("cancelled", Boolean, nullable=False),
    number("reminded", comment="minutes of the last reminder of this start, 0 = none"),
    Column("outcome", Text, nullable=False),
    number("minutes_held"),
    Column("outcome_said", Boolean, nullable=False, comment="by the host, and not counted"),
    number("next_ms", comment="when the next reminder is due, 0 = none"),
    number("change", comment="grows by one with every write"),
    Index(None, "start_ms"),
    comment="Appointments: who, when and where; what they are about is sealed.",
)

appointment_member = Table(
    "appointment_member",
    metadata,
    key("practice"),
    key("appointment"),
    key("account"),
    number("start_ms", comment="of the appointment"),
    Column("reached", Boolean, nullable=False, comment="a device has taken the last reminder"),
    Index(None, "practice", "account", "start_ms"),
    sqlite_with_rowid=False,
    comment="Whose appointments they are, the host's too.",
)

calendar_feed = Table(
    "calendar_feed",
    metadata,
    key("practice"),
    key("account"),
    blob("token_hash", unique=True),
    number("created_ms"),
    sqlite_with_rowid=False,
    comment="Addresses under which calendar programs read an account's appointments.",
)

room = Table(
    "room",
    metadata,
    key("practice"),
    key("appointment"),
    number("start_ms", comment="of the appointment, when the first one came"),
    number("version", comment="grows with every change that people see"),
    Column("locked", Boolean, nullable=False),
    Column("closed", Boolean, nullable=False, comment="for good"),
    blob("hosts", comment="who is in it: MessagePack of [account, device, heard_ms]"),
    blob("been", comment="accounts that have been in it, joined"),
    number("emptied_ms"),
    number("together_ms"),
    number("together_since_ms"),
    number("seen_ms", comment="the last act of a host"),
    number("alert_ms", comment="since when hosts are alerted, 0 = they are not"),
    number("alerts"),
    number("next_ms", comment="when time brings something, 0 = never"),
    number("changed_ms"),
    number("change", comment="grows by one with every write"),
    Index(None, "changed_ms"),
    comment="Waiting rooms that somebody has come to.",
)
Index("ix_room_open", room.c.changed_ms, sqlite_where=~room.c.closed, postgresql_where=~room.c.closed)

room_person = Table(
    "room_person",
    metadata,
    key("practice"),
    key("appointment"),
    key("account"),
    blob("device"),
    Column("state", Text, nullable=False, comment="rapport_protocol.rooms.states.PersonState"),
    number("since_ms"),
    number("heard_ms"),
    number("checks"),
    blob("call", comment="empty without one"),
    number("until_ms"),
    number("changed_ms"),
    number("changed", comment="version of the room at which they changed last"),
    blob("link", comment="the join link that they came by, empty for those on the appointment"),
    Index(None, "practice", "account"),
    sqlite_with_rowid=False,
    comment="Who has come to a waiting room.",
)

room_link = Table(
    "room_link",
    metadata,
    key("practice"),
    key("link"),
    blob("appointment"),
    blob("secret_hash"),
    blob("passcode", comment="Argon2id, empty = none"),
    number("not_before_ms"),
    number("expires_ms"),
    blob("account", comment="who has opened it, empty = nobody yet"),
    blob("device"),
    number("tries", comment="passcodes that were wrong or are being tried"),
    Index(None, "practice", "appointment"),
    Index(None, "expires_ms"),
    comment="Join links into waiting rooms.",
)
