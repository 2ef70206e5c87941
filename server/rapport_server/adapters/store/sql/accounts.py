"""Practices, registration, signing in, tokens and device lists in SQL."""

import secrets
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, ItemId, PracticeId
from rapport_protocol.messages import NoticeKind
from rapport_protocol.requests import PrekeysLeft, Role
from rapport_server.adapters.store.rules import dormant_devices
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.conversations import append_entries, contacts, insert_conversation
from rapport_server.adapters.store.sql.mailboxes import NewItem
from rapport_server.adapters.store.sql.placing import Transaction, listed_devices, place
from rapport_server.adapters.store.sql.prekeys import keep_prekeys, one_time_left
from rapport_server.records import KIND_SELF, NewDeviceList, NewPrekeys, Placed, Principal, Registration, SignInRecord

__all__ = [
    "add_token",
    "append_device_list",
    "create_practice",
    "device_lists",
    "mark_seen",
    "practice_of_account",
    "practice_of_owner_token",
    "principal_of_token",
    "put_prekeys",
    "record_auth",
    "register",
    "registration_of",
    "require_own",
    "sign_in",
    "unlisted",
]


def create_practice(tx: Transaction, practice: PracticeId, owner_token_hash: bytes, at: int) -> None:
    """See Directory.create_practice. Raises Rejected(CONFLICT) when the practice exists."""
    if tx.db.execute(select(exists().where(schema.practice.c.practice == practice))).scalar():
        raise Rejected(ErrorCode.CONFLICT, "practice exists")
    tx.db.execute(
        insert(schema.practice).values(
            practice=practice, owner_token_hash=owner_token_hash, owner_token_used=False, created_ms=at
        )
    )


def practice_of_owner_token(db: Connection, token_hash: bytes) -> PracticeId | None:
    """See Directory.practice_of_owner_token."""
    table = schema.practice
    found = db.execute(
        select(table.c.practice).where(table.c.owner_token_hash == token_hash, table.c.owner_token_used.is_(False))
    ).scalar()
    return None if found is None else PracticeId(found)


# --- registration -----------------------------------------------------------------------------------------------------


def register(tx: Transaction, registration: Registration, at: int) -> Placed:
    """See Directory.register."""
    earlier = registration_of(tx.db, registration.device)
    if earlier is not None:
        if earlier[0] != registration.digest:
            raise Rejected(ErrorCode.CONFLICT, "device is registered")
        return earlier[1]
    practice, account = registration.practice, registration.list.account
    devices = [device for device, _ in registration.list.devices]
    if (
        tx.db.execute(select(exists().where(schema.account.c.account == account))).scalar()
        or tx.db.execute(select(exists().where(schema.device.c.device.in_(devices)))).scalar()
    ):
        raise Rejected(ErrorCode.CONFLICT, "account or device exists")
    if registration.owner_token_hash is not None:
        _use_owner_token(tx, practice, registration.owner_token_hash)
    tx.db.execute(insert(schema.account).values(practice=practice, account=account, role=registration.role.value))
    _insert_list(tx, practice, registration.list)
    _insert_devices(tx, practice, registration.list, devices, at)
    keep_prekeys(tx, practice, registration.device, registration.prekeys)
    insert_conversation(tx, practice, registration.self_conv, KIND_SELF)
    tx.db.execute(
        insert(schema.member).values(practice=practice, conv=registration.self_conv, account=account, joined=True)
    )
    placed = Placed(0, at) if registration.change is None else append_entries(tx, practice, registration.change, at)
    tx.db.execute(
        update(schema.device)
        .where(schema.device.c.practice == practice, schema.device.c.device == registration.device)
        .values(registered_digest=registration.digest, registered_seq=placed.seq, registered_ms=placed.at)
    )
    return placed


def _use_owner_token(tx: Transaction, practice: PracticeId, token_hash: bytes) -> None:
    table = schema.practice
    here = (table.c.practice == practice, table.c.owner_token_hash == token_hash)
    used = tx.db.execute(select(table.c.owner_token_used).where(*here).with_for_update()).scalar()
    if used is None:
        raise Rejected(ErrorCode.NOT_FOUND, "no such owner token")
    if used:
        raise Rejected(ErrorCode.CONFLICT, "owner token is used")
    tx.db.execute(update(table).where(*here).values(owner_token_used=True))


def registration_of(db: Connection, device: DeviceId) -> tuple[bytes, Placed] | None:
    """See Directory.registration_of."""
    row = db.execute(select(schema.device).where(schema.device.c.device == device)).one_or_none()
    if row is None or row.registered_digest is None:
        return None
    return row.registered_digest, Placed(row.registered_seq, row.registered_ms)


# --- signing in -------------------------------------------------------------------------------------------------------


def sign_in(db: Connection, account: AccountId, device: DeviceId) -> SignInRecord | None:
    """See Directory.sign_in."""
    table, people = schema.device, schema.account
    row = db.execute(
        select(table, people.c.role)
        .join(people, (people.c.practice == table.c.practice) & (people.c.account == table.c.account))
        .where(table.c.device == device, table.c.account == account, table.c.listed)
    ).one_or_none()
    if row is None:
        return None
    practice = PracticeId(row.practice)
    principal = Principal(practice, account, device, Role(row.role))
    return SignInRecord(principal, row.signing_key, row.last_auth, one_time_left(db, practice, device))


def record_auth(
    tx: Transaction, principal: Principal, signed_auth: bytes, token_hash: bytes, token_expires_ms: int, at: int
) -> None:
    """See Directory.record_auth. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
    require_own(tx, principal)
    tx.db.execute(
        update(schema.device)
        .where(schema.device.c.practice == principal.practice, schema.device.c.device == principal.device)
        .values(last_auth=signed_auth)
    )
    mark_seen(tx, [principal.device], at)
    add_token(tx, principal, token_hash, token_expires_ms, at)


def mark_seen(tx: Transaction, devices: Sequence[DeviceId], at: int) -> None:
    """See SignInDirectory.mark_seen."""
    table = schema.device
    these = table.c.device.in_(devices)
    asleep = tx.db.execute(select(table.c.practice, table.c.account).distinct().where(these, table.c.dormant)).all()
    if asleep:
        tx.mailboxes.hold(tx.db, people=[(row.practice, row.account) for row in asleep])
        tx.db.execute(update(table).where(these, table.c.dormant).values(dormant=False))
        tx.members_changed()
    tx.db.execute(update(table).where(these, table.c.seen_ms < at).values(seen_ms=at))


def unlisted(db: Connection, devices: Collection[DeviceId]) -> list[DeviceId]:
    """See SignInDirectory.unlisted. In the order asked for."""
    table = schema.device
    listed = set(db.execute(select(table.c.device).where(table.c.device.in_(list(devices)), table.c.listed)).scalars())
    return [device for device in devices if device not in listed]


def add_token(tx: Transaction, principal: Principal, token_hash: bytes, expires_ms: int, now: int) -> None:
    """See Directory.add_token. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
    require_own(tx, principal)
    table = schema.token
    tx.db.execute(
        delete(table).where(
            table.c.practice == principal.practice, table.c.device == principal.device, table.c.expires_ms <= now
        )
    )
    tx.db.execute(
        insert(table).values(
            hash=token_hash, practice=principal.practice, device=principal.device, expires_ms=expires_ms
        )
    )


def principal_of_token(db: Connection, token_hash: bytes, now: int) -> Principal | None:
    """See Directory.principal_of_token."""
    token, device, people = schema.token, schema.device, schema.account
    row = db.execute(
        select(token.c.practice, token.c.device, device.c.account, people.c.role)
        .join(device, (device.c.practice == token.c.practice) & (device.c.device == token.c.device))
        .join(people, (people.c.practice == device.c.practice) & (people.c.account == device.c.account))
        .where(token.c.hash == token_hash, token.c.expires_ms > now, device.c.listed)
    ).one_or_none()
    if row is None:
        return None
    return Principal(PracticeId(row.practice), AccountId(row.account), DeviceId(row.device), Role(row.role))


def require_own(tx: Transaction, principal: Principal) -> None:
    """The device is still listed. Rejected(UNAUTHENTICATED)."""
    table = schema.device
    mine = exists().where(
        table.c.practice == principal.practice,
        table.c.device == principal.device,
        table.c.account == principal.account,
        table.c.listed,
    )
    if not tx.db.execute(select(mine)).scalar():
        raise Rejected(ErrorCode.UNAUTHENTICATED, "device is not listed")


def put_prekeys(tx: Transaction, principal: Principal, prekeys: NewPrekeys) -> PrekeysLeft:
    """See Directory.put_prekeys; refusals as in rules.fresh_bundles."""
    require_own(tx, principal)
    return keep_prekeys(tx, principal.practice, principal.device, prekeys)


# --- device lists -----------------------------------------------------------------------------------------------------


def device_lists(db: Connection, practice: PracticeId, account: AccountId, from_version: int) -> list[bytes]:
    """See Directory.device_lists."""
    table = schema.device_list
    here = (table.c.practice == practice, table.c.account == account)
    if from_version == 0:
        newest = select(func.max(table.c.version)).where(*here, table.c.by_account_key)
        from_version = db.execute(newest).scalar() or 0
    rows = db.execute(select(table.c.raw).where(*here, table.c.version >= from_version).order_by(table.c.version))
    return list(rows.scalars())


def practice_of_account(db: Connection, account: AccountId) -> PracticeId | None:
    """See Directory.practice_of_account."""
    found = db.execute(select(schema.account.c.practice).where(schema.account.c.account == account)).scalar()
    return None if found is None else PracticeId(found)


def append_device_list(
    tx: Transaction, practice: PracticeId, new: NewDeviceList, prekeys: NewPrekeys | None, at: int
) -> list[DeviceId]:
    """See Directory.append_device_list.

    The same bytes again change nothing and wake nobody. Raises Rejected(CONFLICT) for a device that belongs elsewhere,
    RULE_BROKEN for one that was revoked, or for prekeys without exactly one added device.
    """
    tx.mailboxes.hold(tx.db, people=[(practice, new.account)])
    table = schema.device_list
    newest = tx.db.execute(
        select(table.c.version, table.c.raw)
        .where(table.c.practice == practice, table.c.account == new.account)
        .order_by(table.c.version.desc())
        .limit(1)
    ).one_or_none()
    if newest is None:
        raise Rejected(ErrorCode.NOT_FOUND, "no such account")
    if (newest.version, newest.raw) == (new.version, new.raw):
        return []
    follows = new.version == newest.version + 1 or (new.by_account_key and new.version > newest.version)
    if new.follows != newest.version or not follows:
        raise Rejected(ErrorCode.LIST_STALE, "another list came first")
    added = _added(tx, new)
    _insert_list(tx, practice, new)
    _relist(tx, practice, new)
    _insert_devices(tx, practice, new, added, at)
    if prekeys is not None:
        if len(added) != 1:
            raise Rejected(ErrorCode.RULE_BROKEN, "prekeys belong to one added device")
        keep_prekeys(tx, practice, added[0], prekeys)
    _drop_unlisted(tx, practice, new, at)
    _rouse(tx, practice, new.account, at)
    woken: list[DeviceId] = []
    for contact in contacts(tx.db, practice, new.account):
        notice = NewItem(
            ItemId(secrets.token_bytes(16)),
            schema.FORM_NOTICE,
            contact,
            None,
            0,
            at,
            new.account,
            NoticeKind.DEVICES_CHANGED,
        )
        woken += place(tx, practice, notice, listed_devices(tx.db, practice, [contact]))
    return woken


def _added(tx: Transaction, new: NewDeviceList) -> list[DeviceId]:
    """The devices of a list that the store has never seen; refuses those that may not be listed."""
    devices = [device for device, _ in new.devices]
    rows = tx.db.execute(select(schema.device).where(schema.device.c.device.in_(devices)))
    known = {row.device: row for row in rows}
    if any(row.account != new.account for row in known.values()):
        raise Rejected(ErrorCode.CONFLICT, "device belongs to another account")
    if any(row.revoked for row in known.values()):
        raise Rejected(ErrorCode.RULE_BROKEN, "revoked devices stay revoked")
    return [device for device in devices if device not in known]


def _insert_list(tx: Transaction, practice: PracticeId, new: NewDeviceList) -> None:
    tx.db.execute(
        insert(schema.device_list).values(
            practice=practice,
            account=new.account,
            version=new.version,
            raw=new.raw,
            by_account_key=new.by_account_key,
        )
    )


def _insert_devices(tx: Transaction, practice: PracticeId, new: NewDeviceList, added: list[DeviceId], at: int) -> None:
    signing_keys = dict(new.devices)
    for device in added:
        tx.db.execute(
            insert(schema.device).values(
                practice=practice,
                device=device,
                account=new.account,
                signing_key=signing_keys[device],
                listed=True,
                revoked=False,
                seen_ms=at,
                one_time_top=-1,
            )
        )


def _relist(tx: Transaction, practice: PracticeId, new: NewDeviceList) -> None:
    """A device that an earlier list had left out without revoking it may come back."""
    devices = [device for device, _ in new.devices]
    tx.db.execute(
        update(schema.device)
        .where(schema.device.c.practice == practice, schema.device.c.device.in_(devices))
        .values(listed=True)
    )


def _drop_unlisted(tx: Transaction, practice: PracticeId, new: NewDeviceList, at: int) -> None:
    """Devices that left the list lose tokens, pushes and mail."""
    table = schema.device
    listed = [device for device, _ in new.devices]
    gone = tx.db.execute(
        select(table.c.device).where(
            table.c.practice == practice,
            table.c.account == new.account,
            table.c.device.not_in(listed),
            table.c.listed,
        )
    ).scalars()
    for device in list(gone):
        here = (table.c.practice == practice, table.c.device == device)
        tx.db.execute(update(table).where(*here).values(listed=False, dormant=False))
        for kept in (schema.token, schema.push_subscription):
            tx.db.execute(delete(kept).where(kept.c.practice == practice, kept.c.device == device))
        tx.mailboxes.forget(tx.db, practice, new.account, DeviceId(device), at)
    tx.db.execute(
        update(table)
        .where(table.c.practice == practice, table.c.account == new.account, table.c.device.in_(new.revoked))
        .values(revoked=True)
    )


def _rouse(tx: Transaction, practice: PracticeId, account: AccountId, at: int) -> None:
    """The last device seen may have left the list: then the others are no longer dormant."""
    table = schema.device
    here = (table.c.practice == practice, table.c.account == account, table.c.listed)
    rows = tx.db.execute(select(table.c.device, table.c.seen_ms).where(*here))
    unseen = dormant_devices({DeviceId(row.device): row.seen_ms for row in rows}, at)
    tx.db.execute(update(table).where(*here, table.c.device.not_in(unseen)).values(dormant=False))
