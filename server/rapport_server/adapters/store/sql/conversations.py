"""Conversations, membership chains and invites in SQL."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Select,
    bindparam,
    exists,
    func,
    insert,
    select,
    update,
)

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, ConversationId, InviteId, PracticeId
from rapport_protocol.requests import AccountVersion, ConversationHead, MembershipItem, RequiredDevices, Role
from rapport_server.adapters.store.rules import joined, restore_jump
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.mailboxes import NewItem
from rapport_server.adapters.store.sql.placing import (
    Transaction,
    awake_devices,
    listed_devices,
    members_of,
    place,
    take_seqs,
)
from rapport_server.records import Contact, ConversationRecord, InviteRecord, MembershipChange, NewInvite, Placed

__all__ = [
    "append_entries",
    "contact_records",
    "contacts",
    "conversation",
    "conversations",
    "expire_invite",
    "insert_conversation",
    "membership",
    "open_invite",
    "required_devices",
]

KEYS_AT_ONCE: Final = 5_000
"""Most keys in one question; SQLite and PostgreSQL allow for some 32,000 parameters."""

# --- invites ----------------------------------------------------------------------------------------------------------


def open_invite(db: Connection, invite: InviteId, now: int, *, to_use: bool = False) -> InviteRecord | None:
    """See Directory.open_invite. to_use: nobody else uses it in the meantime."""
    asked = select(schema.invite).where(schema.invite.c.invite == invite)
    row = db.execute(asked.with_for_update() if to_use else asked).one_or_none()
    if row is None or row.card is None or row.expires_ms <= now:
        return None
    return InviteRecord(
        PracticeId(row.practice),
        invite,
        ConversationId(row.conv),
        Role(row.role),
        row.public_key,
        row.card,
        row.expires_ms,
    )


def expire_invite(tx: Transaction, invite: InviteId) -> None:
    """See Directory.expire_invite."""
    tx.db.execute(update(schema.invite).where(schema.invite.c.invite == invite).values(card=None))


def _insert_invite(tx: Transaction, practice: PracticeId, new: NewInvite) -> None:
    if tx.db.execute(select(exists().where(schema.invite.c.invite == new.invite))).scalar():
        raise Rejected(ErrorCode.CONFLICT, "invite exists")
    tx.db.execute(
        insert(schema.invite).values(
            practice=practice,
            invite=new.invite,
            conv=new.conv,
            role=new.role.value,
            public_key=new.key,
            card=new.card,
            expires_ms=new.expires_ms,
        )
    )


def _use_invite(tx: Transaction, practice: PracticeId, conv: ConversationId, invite: InviteId, at: int) -> None:
    found = open_invite(tx.db, invite, at, to_use=True)
    if found is None or (found.practice, found.conv) != (practice, conv):
        raise Rejected(ErrorCode.NOT_FOUND, "no such invite")
    expire_invite(tx, invite)


# --- membership -------------------------------------------------------------------------------------------------------


def append_entries(tx: Transaction, practice: PracticeId, change: MembershipChange, at: int) -> Placed:
    """See Directory.append_entries."""
    joining = [(practice, account) for account in change.members]
    tx.mailboxes.hold(tx.db, convs=[(practice, change.conv)], joining=joining)
    standing = _standing(tx.db, practice, change)
    if standing is not None:
        return standing
    record = conversation(tx.db, practice, change.conv)
    if change.base_epoch == 0 and record is not None:
        raise Rejected(ErrorCode.CONFLICT, "conversation exists")
    if change.base_epoch != 0 and record is None:
        raise Rejected(ErrorCode.NOT_FOUND, "no such conversation")
    if record is not None and record.epoch != change.base_epoch:
        raise Rejected(ErrorCode.EPOCH_STALE, "membership moved on")
    if record is None:
        insert_conversation(tx, practice, change.conv, change.kind)
    before = [] if record is None else record.members
    _set_members(tx, practice, change.conv, before, change.members)
    told = [device for device in listed_devices(tx.db, practice, {*before, *change.members}) if device != change.actor]
    first = take_seqs(tx, practice, change.conv, len(change.entries))
    for seq, entry in enumerate(change.entries, first):
        item = NewItem(entry.id, schema.FORM_ENTRY, change.conv, change.conv, seq, at, entry.raw)
        place(tx, practice, item, told)
        tx.db.execute(
            insert(schema.membership_entry).values(
                practice=practice, conv=change.conv, epoch=entry.epoch, id=entry.id, seq=seq, at=at, raw=entry.raw
            )
        )
    tx.db.execute(
        update(schema.conversation)
        .where(schema.conversation.c.practice == practice, schema.conversation.c.conv == change.conv)
        .values(epoch=change.entries[-1].epoch)
    )
    if change.invite is not None:
        _insert_invite(tx, practice, change.invite)
    if change.used is not None:
        _use_invite(tx, practice, change.conv, change.used, at if change.used_at is None else change.used_at)
    return Placed(first + len(change.entries) - 1, at, told)


def insert_conversation(tx: Transaction, practice: PracticeId, conv: ConversationId, kind: int) -> None:
    """A conversation in which nothing has happened.

    In a store that was restored the copy may have lacked it, and its members hold numbers of its first life: they are
    not given again.
    """
    restored_ms = tx.db.execute(select(schema.server.c.restored_ms)).scalar_one()
    seq = restore_jump() if restored_ms else 0
    row = {"practice": practice, "conv": conv, "kind": kind, "epoch": 0, "seq": seq, "base": seq + 1 if seq else 0}
    tx.db.execute(insert(schema.conversation).values(row))


def _standing(db: Connection, practice: PracticeId, change: MembershipChange) -> Placed | None:
    """The earlier answer, when all these entries are in the chain already."""
    chain = schema.membership_entry.c
    placed = None
    for entry in change.entries:
        row = db.execute(
            select(chain.seq, chain.at).where(
                chain.practice == practice,
                chain.conv == change.conv,
                chain.epoch == entry.epoch,
                chain.id == entry.id,
            )
        ).one_or_none()
        if row is None:
            return None
        placed = Placed(row.seq, row.at)
    return placed


def _set_members(
    tx: Transaction, practice: PracticeId, conv: ConversationId, before: list[AccountId], after: list[AccountId]
) -> None:
    """Joined become exactly these; who left is kept as a former member."""
    table = schema.member
    here = (table.c.practice == practice, table.c.conv == conv)
    known = set(tx.db.execute(select(table.c.account).where(*here)).scalars())
    gone = [account for account in before if account not in after]
    if gone:
        tx.db.execute(update(table).where(*here, table.c.account.in_(gone)).values(joined=False))
    back = [account for account in after if account in known]
    if back:
        tx.db.execute(update(table).where(*here, table.c.account.in_(back)).values(joined=True))
    for account in after:
        if account not in known:
            tx.db.execute(insert(table).values(practice=practice, conv=conv, account=account, joined=True))


def membership(db: Connection, practice: PracticeId, conv: ConversationId, above_epoch: int) -> list[MembershipItem]:
    """See Directory.membership."""
    chain = schema.membership_entry.c
    rows = db.execute(
        select(chain.seq, chain.at, chain.raw)
        .where(chain.practice == practice, chain.conv == conv, chain.epoch > above_epoch)
        .order_by(chain.epoch)
    )
    return [MembershipItem(row.seq, row.at, row.raw) for row in rows]


# --- conversations ----------------------------------------------------------------------------------------------------


def conversation(db: Connection, practice: PracticeId, conv: ConversationId) -> ConversationRecord | None:
    """See Directory.conversation."""
    table = schema.conversation
    row = db.execute(select(table).where(table.c.practice == practice, table.c.conv == conv)).one_or_none()
    if row is None:
        return None
    members = members_of(db, practice, conv)
    return ConversationRecord(practice, conv, row.kind, row.epoch, row.seq, row.base, members)


def conversations(db: Connection, practice: PracticeId, account: AccountId) -> list[ConversationHead]:
    """See Directory.conversations. In ascending order of ids."""
    table, member = schema.conversation, schema.member
    rows = db.execute(
        select(table)
        .join(member, (member.c.practice == table.c.practice) & (member.c.conv == table.c.conv))
        .where(member.c.practice == practice, member.c.account == account, member.c.joined)
        .order_by(table.c.conv)
    )
    return [ConversationHead(ConversationId(row.conv), row.kind, row.epoch, row.seq, row.base) for row in rows]


def required_devices(db: Connection, practice: PracticeId, conv: ConversationId) -> RequiredDevices | None:
    """See Directory.required_devices. Accounts in ascending order."""
    record = conversation(db, practice, conv)
    if record is None:
        return None
    table = schema.device_list
    accounts = []
    for account in record.members:
        version = db.execute(
            select(table.c.version)
            .where(table.c.practice == practice, table.c.account == account)
            .order_by(table.c.version.desc())
            .limit(1)
        ).scalar()
        if version is not None:
            accounts.append(AccountVersion(account, version, joined(awake_devices(db, practice, [account]))))
    return RequiredDevices(record.epoch, accounts)


def contacts(db: Connection, practice: PracticeId, account: AccountId) -> list[AccountId]:
    """Every account that is a member of a conversation together with this one, itself included; ascending."""
    # In steps, each by a key: a database without statistics of a large practice would join whole tables of it.
    member = schema.member
    mine = select(member.c.conv).where(member.c.practice == practice, member.c.account == account, member.c.joined)
    convs = list(db.execute(mine).scalars())
    theirs = select(member.c.account).where(member.c.practice == practice, member.c.conv.in_(convs), member.c.joined)
    return [AccountId(found) for found in sorted(set(db.execute(theirs).scalars()))]


def contact_records(
    db: Connection, practice: PracticeId, accounts: Collection[AccountId]
) -> dict[AccountId, list[Contact]]:
    """See Directory.contacts. In steps, as `contacts`."""
    member, who, device = schema.member.c, schema.account.c, schema.device.c
    mine = _by_key(
        db,
        select(member.account, member.conv).where(member.practice == practice, member.joined),
        member.account,
        accounts,
    )
    theirs = _by_key(
        db,
        select(member.conv, member.account).where(member.practice == practice, member.joined),
        member.conv,
        {row.conv for row in mine},
    )
    known = {row.account for row in theirs}
    people = _by_key(db, select(who.account, who.role).where(who.practice == practice), who.account, known)
    listed = _by_key(
        db,
        select(device.account, device.device).where(device.practice == practice, device.listed),
        device.account,
        known,
    )
    devices: dict[bytes, list[bytes]] = {}
    for account, found in listed:
        devices.setdefault(account, []).append(found)
    roles = {role.value: role for role in Role}
    records = {
        account: Contact(AccountId(account), roles[role], joined(devices.get(account, ()))) for account, role in people
    }
    together: dict[bytes, list[bytes]] = {}
    for conv, account in theirs:
        together.setdefault(conv, []).append(account)
    others: dict[AccountId, set[bytes]] = {}
    for account, conv in mine:
        others.setdefault(AccountId(account), set()).update(together[conv])
    return {account: [records[other] for other in sorted(around)] for account, around in others.items()}


def _by_key(
    db: Connection, rows: Select[Any, Any], key: ColumnElement[bytes], values: Collection[bytes]
) -> list[Row[Any, Any]]:
    """The rows whose key is one of these. Many keys are asked for in parts, since databases bound the parameters."""
    wanted = list(values)
    found: list[Row[Any, Any]] = []
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        part = wanted[start : start + KEYS_AT_ONCE]
        if db.dialect.name == "postgresql":  # one parameter: to write thousands into the statement takes longer
            found += db.execute(rows.where(key == func.any(bindparam(None, part, ARRAY(LargeBinary))))).all()
        else:
            found += db.execute(rows.where(key.in_(part))).all()
    return found
