"""Links of new devices: each step is written once, in order, by the right side, for three minutes."""

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import LinkId
from rapport_server.records import LinkRecord, Principal
from tests.server.contracts.directory_contract import refused
from tests.server.contracts.world import World, fresh

LIFE_MS = 180_000


async def opened(world: World, principal: Principal, link: LinkId | None = None) -> LinkId:
    """An open link with step 0."""
    link = link or LinkId(fresh())
    record = await world.store.open_link(principal, link, b"commitment", world.clock.now, world.clock.now + LIFE_MS)
    assert record == LinkRecord(world.clock.now + LIFE_MS, [b"commitment"])
    return link


async def steps(world: World, link: LinkId) -> list[bytes] | None:
    record = await world.store.link(link, world.clock.now)
    return None if record is None else record.steps


class LinkContract:
    """The LinkDirectory port."""

    async def test_each_step_is_written_once_in_order(self, world: World) -> None:
        owner = await world.owner()
        link = await opened(world, owner.on())
        store, now = world.store, world.clock.now
        await refused(ErrorCode.RULE_BROKEN, store.write_link(link, 2, b"e", now, owner.on()))
        for step, opener in ((1, None), (2, owner.on()), (3, owner.on()), (4, None), (5, owner.on())):
            record = await store.write_link(link, step, b"%d" % step, now, opener)
            assert record is not None
            assert record == await store.write_link(link, step, b"%d" % step, now, opener), "the same bytes again"
            assert len(record.steps) == step + 1
            await refused(ErrorCode.CONFLICT, store.write_link(link, step, b"other", now, opener))
        assert await steps(world, link) == [b"commitment", b"1", b"2", b"3", b"4", b"5"]
        again = await store.write_link(link, 1, b"1", now, None)
        assert again is not None
        assert len(again.steps) == 6, "an early step repeated shows how far the link has come"

    async def test_only_the_opener_writes_as_the_opener(self, world: World) -> None:
        owner, client, _ = await world.pair()
        second = await world.add_device(owner)
        link = await opened(world, owner.on())
        await world.store.write_link(link, 1, b"n", world.clock.now, None)
        for other in (client.on(), owner.on(owner.devices.index(second)), (await world.owner()).on()):
            assert await world.store.write_link(link, 2, b"e", world.clock.now, other) is None
        forged = Principal(client.practice, client.account, owner.devices[0], client.role)
        assert await world.store.write_link(link, 2, b"e", world.clock.now, forged) is None
        assert await world.store.write_link(LinkId(fresh()), 1, b"n", world.clock.now, None) is None
        assert await steps(world, link) == [b"commitment", b"n"]

    async def test_the_same_link_again_is_the_same_link(self, world: World) -> None:
        owner, client, _ = await world.pair()
        link = await opened(world, owner.on())
        first = await world.store.write_link(link, 1, b"n", world.clock.now, None)
        world.clock.now += 1000
        end = world.clock.now + LIFE_MS
        again = await world.store.open_link(owner.on(), link, b"commitment", world.clock.now, end)
        assert again == first
        await refused(ErrorCode.CONFLICT, world.store.open_link(owner.on(), link, b"other", world.clock.now, end))
        taken = world.store.open_link(client.on(), link, b"commitment", world.clock.now, end)
        await refused(ErrorCode.CONFLICT, taken)
        assert await steps(world, link) == [b"commitment", b"n"]

    async def test_an_account_has_one_link(self, world: World) -> None:
        owner, client, _ = await world.pair()
        await world.add_device(owner)
        first, theirs = await opened(world, owner.on()), await opened(world, client.on())
        second = await opened(world, owner.on(1))
        assert await steps(world, first) is None
        assert await world.store.write_link(first, 1, b"n", world.clock.now, None) is None
        assert await steps(world, second) == [b"commitment"]
        assert await steps(world, theirs) == [b"commitment"]
        assert await opened(world, owner.on(), first) == first, "an ended link's id is free again"

    async def test_links_end_after_their_time_and_are_swept(self, world: World) -> None:
        owner, client, _ = await world.pair()
        link = await opened(world, owner.on())
        world.clock.now += LIFE_MS - 1
        await world.store.sweep(world.clock.now)
        assert await steps(world, link) == [b"commitment"]
        world.clock.now += 1
        assert await steps(world, link) is None
        assert await world.store.write_link(link, 1, b"n", world.clock.now, None) is None
        assert await opened(world, client.on(), link) == link, "an expired link's id is free for anybody"
        world.clock.now += LIFE_MS
        await world.store.sweep(world.clock.now)
        assert await world.store.link(link, 0) is None, "nothing is left of it"

    async def test_a_revoked_device_opens_nothing(self, world: World) -> None:
        owner = await world.owner()
        second = await world.add_device(owner)
        lost = owner.on(owner.devices.index(second))
        await world.revoke(owner, second)
        opening = world.store.open_link(lost, LinkId(fresh()), b"c", world.clock.now, world.clock.now + LIFE_MS)
        await refused(ErrorCode.UNAUTHENTICATED, opening)
