"""The tables, once for every SQL database: what a row is, which keys and indexes it has.

Identifiers are 16-byte blobs, times are milliseconds of Unix time, `position` is one counter over everything that
waits in mailboxes. The practice stands first in every key that is looked up on somebody's behalf. Keys without it are
of two kinds: what a stranger presents and the practice is found from (device, account, token, owner token, invite,
link), and `position`, which only ever comes from a row whose practice was checked.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Table, Text, false

from rapport_server.adapters.store.sql.columns import Number, metadata
from rapport_server.adapters.store.sql.columns import blob as _blob
from rapport_server.adapters.store.sql.columns import key as _key
from rapport_server.adapters.store.sql.columns import number as _number
from rapport_server.adapters.store.sql.meeting_tables import (
    appointment,
    appointment_member,
    calendar_feed,
    room,
    room_link,
    room_person,
)

__all__ = [
    "FORM_ENTRY",
    "FORM_MESSAGE",
    "FORM_NOTICE",
    "account",
    "appointment",
    "appointment_member",
    "archive_entry",
    "calendar_feed",
    "call",
    "claim",
    "conversation",
    "device",
    "device_list",
    "freed",
    "history",
    "invite",
    "item",
    "item_id",
    "journal",
    "link",
    "link_step",
    "mailbox",
    "member",
    "membership_entry",
    "metadata",
    "office_document",
    "one_time_key",
    "practice",
    "push_subscription",
    "room",
    "room_link",
    "room_person",
    "sealed_keys",
    "server",
    "timer",
    "token",
    "urgent",
    "webhook",
    "webhook_delivery",
]

FORM_MESSAGE: Final = 0
"""A post (seq > 0) or a direct (seq 0)."""
FORM_ENTRY: Final = 1
"""A membership entry on its way to devices; the chain itself is in `membership_entry`."""
FORM_NOTICE: Final = 2

server = Table(
    "server",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False, comment="always 1"),
    _blob("seed", comment="32 bytes: the seed of the server's signing key"),
    _blob("store_epoch", comment="16 bytes: changes with every restore"),
    _number("position", comment="no position up to here is free; later ones are found from item"),
    _number("restored_ms", server_default="0", comment="when it was last restored from a backup, 0 = never"),
    _number("warned_to", comment="senders of everything up to this position have been warned"),
    comment="The one row about the store itself.",
)

practice = Table(
    "practice",
    metadata,
    _key("practice"),
    _blob("owner_token_hash", unique=True),
    Column("owner_token_used", Boolean, nullable=False),
    _number("created_ms"),
    comment="Tenants.",
)

account = Table(
    "account",
    metadata,
    _key("practice"),
    _key("account"),
    Column("role", Text, nullable=False),
    Index(None, "account", unique=True),
    sqlite_with_rowid=False,
    comment="People in a practice.",
)

device = Table(
    "device",
    metadata,
    _key("practice"),
    _key("device"),
    _blob("account"),
    _blob("signing_key"),
    Column("listed", Boolean, nullable=False, comment="in the account's newest list"),
    Column("revoked", Boolean, nullable=False, comment="out for good"),
    _number("seen_ms", comment="when it last signed in, was connected, or was added"),
    Column("dormant", Boolean, nullable=False, server_default=false(), comment="not in required sets"),
    _blob("last_auth", nullable=True),
    _blob("registered_digest", nullable=True, comment="of the registration that this device made"),
    _number("registered_seq", nullable=True),
    _number("registered_ms", nullable=True),
    _number("signed_id", nullable=True),
    _blob("signed_key", nullable=True),
    _number("last_resort_id", nullable=True),
    _blob("last_resort_key", nullable=True),
    _number("one_time_top", comment="highest one-time id ever uploaded, -1 when none"),
    ForeignKeyConstraint(["practice", "account"], ["account.practice", "account.account"]),
    Index(None, "device", unique=True),
    Index(None, "practice", "account"),
    Index(None, "seen_ms"),
    comment="Every device that ever was in a list.",
)
Index("ix_device_dormant", device.c.account, sqlite_where=device.c.dormant, postgresql_where=device.c.dormant)

device_list = Table(
    "device_list",
    metadata,
    _key("practice"),
    _key("account"),
    Column("version", Number, primary_key=True, autoincrement=False),
    _blob("raw"),
    Column("by_account_key", Boolean, nullable=False),
    comment="Signed device lists.",
)

one_time_key = Table(
    "one_time_key",
    metadata,
    _key("practice"),
    _key("device"),
    Column("number", Number, primary_key=True, autoincrement=False),
    _blob("raw"),
    comment="One-time bundles that nobody has claimed.",
)

claim = Table(
    "claim",
    metadata,
    _key("practice"),
    _key("device"),
    _key("claim"),
    _number("at"),
    _blob("answer"),
    Index(None, "at"),
    comment="Recent claims and what they were answered.",
)

token = Table(
    "token",
    metadata,
    _key("hash"),
    _blob("practice"),
    _blob("device"),
    _number("expires_ms"),
    Index(None, "practice", "device"),
    Index(None, "expires_ms"),
    sqlite_with_rowid=False,
    comment="HTTP tokens, hashed.",
)

invite = Table(
    "invite",
    metadata,
    _key("practice"),
    _key("invite"),
    _blob("conv"),
    Column("role", Text, nullable=False),
    _blob("public_key"),
    _blob("card", nullable=True, comment="null once used or forgotten"),
    _number("expires_ms"),
    Index(None, "invite", unique=True),
    comment="Invites; the id of a closed one stays taken.",
)

conversation = Table(
    "conversation",
    metadata,
    _key("practice"),
    _key("conv"),
    _number("kind"),
    _number("epoch"),
    _number("seq"),
    _number("base"),
    sqlite_with_rowid=False,
    comment="Where each conversation stands.",
)

member = Table(
    "member",
    metadata,
    _key("practice"),
    _key("conv"),
    _key("account"),
    Column("joined", Boolean, nullable=False, comment="false for former members, who may still have mail"),
    Index(None, "practice", "account", "conv"),
    sqlite_with_rowid=False,
    comment="Accounts that are or were members.",
)

membership_entry = Table(
    "membership_entry",
    metadata,
    _key("practice"),
    _key("conv"),
    Column("epoch", Number, primary_key=True, autoincrement=False),
    _blob("id"),
    _number("seq"),
    _number("at"),
    _blob("raw"),
    comment="Membership chains.",
)

link = Table(
    "link",
    metadata,
    _key("link"),
    _blob("practice"),
    _blob("account"),
    _blob("device", comment="who opened it"),
    _number("expires_ms"),
    Index(None, "practice", "account", unique=True),
    sqlite_with_rowid=False,
    comment="Places where a new device and an existing one meet; an account has one at most.",
)

link_step = Table(
    "link_step",
    metadata,
    _key("link"),
    Column("step", Number, primary_key=True, autoincrement=False),
    _blob("content"),
    comment="What was written there.",
)

timer = Table(
    "timer",
    metadata,
    Column("kind", Text, primary_key=True),
    _key("key"),
    _number("due_ms"),
    _number("leased_until_ms"),
    Index(None, "due_ms"),
    comment="Durable timers.",
)
Index(
    "ix_timer_leased",
    timer.c.leased_until_ms,
    sqlite_where=timer.c.leased_until_ms > 0,
    postgresql_where=timer.c.leased_until_ms > 0,
)

# --- who answers, and when -------------------------------------------------------------------------------------------

office_document = Table(
    "office_document",
    metadata,
    _key("practice"),
    _key("account"),
    _number("version"),
    _blob("document", comment="signed, see rapport_protocol.office.document"),
    sqlite_with_rowid=False,
    comment="Office hours as each therapist has published them last.",
)

urgent = Table(
    "urgent",
    metadata,
    _key("practice"),
    _key("message"),
    _blob("conv"),
    _blob("client", comment="who wrote it"),
    _blob("therapist", comment="whom it is for"),
    _blob("cover", nullable=True, comment="the colleague who was asked"),
    _number("accepted_ms"),
    _number("rung", comment="how far it has come: rapport_protocol.urgent.Rung"),
    _number("rung_ms", comment="since when"),
    _number("next_ms", comment="when the next rung is due; 0 = it has ended"),
    Index(None, "practice", "client", "next_ms"),
    comment="Urgent messages and how far up the ladder they are.",
)
Index("ix_urgent_running", urgent.c.next_ms, sqlite_where=urgent.c.next_ms > 0, postgresql_where=urgent.c.next_ms > 0)
Index("ix_urgent_ended", urgent.c.rung_ms, sqlite_where=urgent.c.next_ms == 0, postgresql_where=urgent.c.next_ms == 0)

call = Table(
    "call",
    metadata,
    _key("practice"),
    _key("call"),
    _blob("conv"),
    _blob("caller"),
    _blob("callee"),
    _blob("caller_device"),
    _number("caller_heard_ms"),
    _blob("callee_device", comment="empty until one has accepted"),
    _number("callee_heard_ms"),
    _number("offered_ms"),
    Column("phase", Text, nullable=False, comment="rapport_protocol.calls.arbiter.CallPhase"),
    _number("rings", comment="1 once a device has said so"),
    _number("until_ms"),
    _number("accepted_ms"),
    _number("connected_ms"),
    _number("ended_ms", comment="0 while it lives"),
    Column("reason", Text, nullable=False, comment="EndReason, empty while it lives"),
    _blob("away", comment="devices that are shown as reconnecting, joined"),
    _number("version"),
    Index(None, "ended_ms"),
    comment="Calls: who, when, how far. One that has ended stays for a day.",
)
Index(
    "ix_call_practice_conv",
    call.c.practice,
    call.c.conv,
    sqlite_where=call.c.ended_ms == 0,
    postgresql_where=call.c.ended_ms == 0,
)

push_subscription = Table(
    "push_subscription",
    metadata,
    _key("practice"),
    _key("device"),
    _blob("account"),
    _blob("sealed", comment="endpoint and keys, under the notification key"),
    _blob("quiet", nullable=True, comment="MessagePack of QuietHours"),
    _number("pushed_ms", comment="when a push was last taken; it is under way until the device is seen after that"),
    _number("retry_ms", comment="nobody tries before: one is being sent, or the push service asked for time"),
    sqlite_with_rowid=False,
    comment="Where devices are reached while they are not connected.",
)

webhook = Table(
    "webhook",
    metadata,
    _key("practice"),
    _key("webhook"),
    _blob("sealed", comment="address and signing secret, under the notification key"),
    _number("created_ms"),
    sqlite_with_rowid=False,
    comment="Systems of the operator's own that are told of events.",
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    _key("practice"),
    _key("delivery"),
    _blob("webhook"),
    _blob("body", comment="JSON: event, ids, time"),
    _number("created_ms"),
    _number("attempts"),
    _number("due_ms", comment="when it is tried; who tries it moves that on first"),
    Index(None, "due_ms"),
    comment="Events that a webhook has not taken yet.",
)

# --- mailboxes -------------------------------------------------------------------------------------------------------

item = Table(
    "item",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    _blob("practice"),
    _blob("id"),
    _blob("conv", nullable=True),
    _number("seq"),
    _number("at"),
    _blob("account", nullable=True, comment="sender"),
    _blob("device", nullable=True, comment="sender"),
    _number("act_until", comment="of directs, else 0"),
    _blob("outer", nullable=True),
    _blob("nonce", nullable=True),
    _blob("body", comment="ciphertext, membership entry, or what a notice is about"),
    _blob("entry", nullable=True, comment="the sender's archive entry"),
    _number("form", server_default="0"),
    Column("kind", Text, nullable=True, comment="of notices"),
    comment="Bodies, in the order in which they were accepted. Written once, never changed.",
)

journal = Table(
    "journal",
    metadata,
    Column("batch", Number, primary_key=True, autoincrement=False),
    _blob("body"),
    comment="What committed batches have not yet brought to the tables below: see sqlite/folding.py.",
)

item_id = Table(
    "item_id",
    metadata,
    _key("practice"),
    _key("id"),
    _number("position"),
    sqlite_with_rowid=False,
    comment="Items by id.",
)

mailbox = Table(
    "mailbox",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    _blob("practice"),
    _blob("box", comment="the conversation, or the account for notices about no conversation"),
    _number("at"),
    _number("act_until"),
    _blob("devices", comment="everybody it was for, joined in ascending order"),
    _blob("open", comment="those of them that have not acknowledged"),
    _blob("parked", comment="those of them that set it aside"),
    Index(None, "practice", "box", "position"),
    comment="Who is still owed an item; the row goes with the last acknowledgement.",
)
Index(
    "ix_mailbox_act_until",
    mailbox.c.act_until,
    sqlite_where=mailbox.c.act_until > 0,
    postgresql_where=mailbox.c.act_until > 0,
)

sealed_keys = Table(
    "sealed_keys",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    _blob("sealed", comment="joined in the order of mailbox.devices"),
    comment="Sealed keys of what is in a mailbox.",
)

history = Table(
    "history",
    metadata,
    _key("practice"),
    _key("conv"),
    Column("seq", Number, primary_key=True, autoincrement=False),
    _number("position"),
    sqlite_with_rowid=False,
    comment="Messages that some account has archived, by place in their conversation.",
)

archive_entry = Table(
    "archive_entry",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    _key("account"),
    _blob("entry"),
    sqlite_with_rowid=False,
    comment="Archive entries of readers.",
)

freed = Table(
    "freed",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    _number("at"),
    _blob("positions", comment="8 bytes each, see freeing.pack_positions"),
    comment="What was acknowledged by everybody, until the repeat window has passed.",
)
