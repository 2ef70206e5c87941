"""Documents of office hours: one per account, the version only grows."""

import asyncio

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId
from tests.server.contracts.directory_contract import refused
from tests.server.contracts.world import World, fresh


class OfficeContract:
    """The OfficeDirectory port."""

    async def test_a_higher_version_takes_the_place(self, world: World) -> None:
        owner = await world.owner()
        store, practice, account = world.store, owner.practice, owner.account
        assert await store.office_document(practice, account) is None
        for version, document, is_new in ((3, b"three", True), (7, b"seven", True), (7, b"seven", False)):
            assert await store.publish_office(practice, account, version, document) is is_new
            assert await store.office_document(practice, account) == document
        for version, document in ((7, b"other"), (6, b"six"), (3, b"three")):
            await refused(ErrorCode.CONFLICT, store.publish_office(practice, account, version, document))
        assert await store.office_document(practice, account) == b"seven"

    async def test_of_several_at_once_one_is_taken(self, world: World) -> None:
        owner, client, _ = await world.pair()
        for version in (1, 2):  # the first one is a new row, the second a changed one
            documents = [fresh() for _ in range(5)]
            publishing = (
                world.store.publish_office(owner.practice, owner.account, version, document) for document in documents
            )
            answers = await asyncio.gather(*publishing, return_exceptions=True)
            taken = [document for document, answer in zip(documents, answers, strict=True) if answer is True]
            others = {answer.code for answer in answers if isinstance(answer, Rejected)}
            assert (len(taken), others) == (1, {ErrorCode.CONFLICT})
            assert await world.store.office_document(owner.practice, owner.account) == taken[0]
        assert await world.store.office_document(owner.practice, client.account) is None

    async def test_many_are_asked_for_at_once(self, world: World) -> None:
        owner, client, _ = await world.pair()
        await world.store.publish_office(owner.practice, owner.account, 1, b"owner's")
        await world.store.publish_office(owner.practice, client.account, 9, b"client's")
        asked = [owner.account, client.account, AccountId(fresh())]
        found = await world.store.office_documents(owner.practice, asked)
        assert found == {owner.account: b"owner's", client.account: b"client's"}
        assert await world.store.office_documents(owner.practice, []) == {}

    async def test_another_practice_has_nothing_of_it(self, world: World) -> None:
        one, other = await world.owner(), await world.owner()
        await world.store.publish_office(one.practice, one.account, 5, b"one's")
        await refused(ErrorCode.NOT_FOUND, world.store.publish_office(other.practice, one.account, 6, b"theirs"))
        await refused(ErrorCode.NOT_FOUND, world.store.publish_office(one.practice, AccountId(fresh()), 1, b"nobody's"))
        assert await world.store.office_document(other.practice, one.account) is None
        assert await world.store.office_documents(other.practice, [one.account]) == {}
        assert await world.store.office_document(one.practice, one.account) == b"one's"
