"""Which colleague is asked, when an urgent message finds nobody.

Source: docs/protocol.md, chapter 17.
"""

from msgspec import Struct

from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.status import OfficeStatus, office_state
from rapport_protocol.requests import Role
from rapport_server.ports import ConversationDirectory, OfficeDirectory
from rapport_server.records import KIND_PAIR, UrgentRecord

__all__ = ["Cover", "find_cover", "named_in", "therapist_of"]


class Cover(Struct, frozen=True):
    """A colleague who covers, and the pair that they and the client have joined."""

    account: AccountId
    pair: ConversationId


def named_in(document: bytes | None, now_ms: int) -> list[AccountId]:
    """Whom a document names now, first the leave's cover, if there is a leave, then the one for any time.

    Its validity does not matter: better a colleague of last month than nobody. Nobody is named by a document that
    cannot be read; one whose zone is not known here has no leaves.
    """
    if document is None:
        return []
    try:
        hours = OfficeDocument.parse(document).hours
    except FormatError:
        return []
    try:
        state = office_state(hours, now_ms)
    except ValueError:
        return [hours.cover] if hours.cover else []
    of_leave = state.cover if state.status is OfficeStatus.ON_LEAVE else None
    return list(dict.fromkeys(account for account in (of_leave, hours.cover) if account is not None))


async def find_cover(
    directory: ConversationDirectory, offices: OfficeDirectory, record: UrgentRecord, now_ms: int
) -> Cover | None:
    """The first colleague named who has joined a pair of their own with the client; None without one.

    Raises Rejected(UNAVAILABLE) when the store cannot be read.
    """
    if record.therapist is None:
        return None
    practice, client = record.practice, record.client
    named = named_in(await offices.office_document(practice, record.therapist), now_ms)
    named = [account for account in named if account not in (client, record.therapist)]
    if not named:
        return None
    roles = {found.account: found.role for found in (await directory.contacts(practice, [client])).get(client, ())}
    named = [account for account in named if roles.get(account) in (Role.THERAPIST, Role.OWNER)]
    pairs: dict[AccountId, ConversationId] = {}
    for head in await directory.conversations(practice, client) if named else ():
        pair = await directory.conversation(practice, head.conv) if head.kind == KIND_PAIR else None
        for account in named:
            if pair is not None and set(pair.members) == {client, account}:
                pairs.setdefault(account, pair.conv)
    return next((Cover(account, pairs[account]) for account in named if account in pairs), None)


async def therapist_of(directory: ConversationDirectory, record: UrgentRecord) -> AccountId | None:
    """The one therapist or owner with whom the client is joined in the message's pair; None where that is not so.

    Raises Rejected(UNAVAILABLE) when the store cannot be read.
    """
    pair = await directory.conversation(record.practice, record.conv)
    if pair is None or pair.kind != KIND_PAIR or record.client not in pair.members:
        return None
    found = await directory.contacts(record.practice, [record.client])
    roles = {contact.account: contact.role for contact in found.get(record.client, ())}
    if roles.get(record.client) is not Role.CLIENT:
        return None
    others = [account for account in pair.members if roles.get(account) in (Role.THERAPIST, Role.OWNER)]
    return others[0] if len(others) == 1 else None
