"""What a server takes back that it has lost by a restore: lists, entries, invites, accounts, prekeys and posts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from rapport.crypto.identity import DeviceSecrets, next_list
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import ClaimId, split_ids
from rapport_protocol.limits import RECOVERY_MS, REPEAT_WINDOW_MS, SEQ_JUMP
from rapport_protocol.membership_entries import Checkpoint, ConversationKind, EntryFields
from rapport_protocol.messages import Accepted, Deliver, Delivered
from rapport_protocol.requests import (
    Appended,
    AppendEntry,
    Bundle,
    Claim,
    Claimed,
    DeviceLists,
    DeviceListUpdate,
    InviteView,
    PrekeysLeft,
    PrekeyUpload,
    Registered,
    RequiredDevices,
    ReturnedLists,
    Role,
)
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.adapters.store.sqlite.backup import backup, restore
from tests.properties.backups import copy_of_store, restore_store
from tests.server.device import connected
from tests.server.node import HeldClock, Node, Refused, running
from tests.server.people import Opened, Person, prekeys_of

DAY_MS = 86_400_000


class Server:
    """A server that is put back to what it was when it was copied; tokens are lost, people sign in again."""

    def __init__(self, folder: Path, *, on_disk: bool) -> None:
        self.folder = folder if on_disk else None
        self.clock = HeldClock()
        self.node: Node
        self.copied: dict[str, object] = {}

    @asynccontextmanager
    async def before(self) -> AsyncIterator[Node]:
        """The server until it is lost; in memory it lives on, as another one."""
        async with self.running(0) as self.node:
            yield self.node
            if self.folder is None:
                restore_store(cast("MemoryStore", self.node.store), self.copied, os.urandom(16))
                self.memory = self.node.store

    @asynccontextmanager
    async def after(self, *people: Person) -> AsyncIterator[Node]:
        """The server made from the copy; these people have signed in."""
        if self.folder is not None:
            (self.folder / "1").mkdir()
            await asyncio.to_thread(restore, self.folder / "copy.db", self.folder / "1" / "rapport.db", self.clock)
        async with self.running(1) as self.node:
            for person in people:
                await self.node.signed_in(person)
            yield self.node

    @asynccontextmanager
    async def running(self, number: int) -> AsyncIterator[Node]:
        if self.folder is None:
            async with running(clock=self.clock) as node:
                if number:
                    vars(node.store).update(
                        {name: value for name, value in vars(self.memory).items() if name not in ("_loop", "on_commit")}
                    )
                yield node
        else:
            (self.folder / str(number)).mkdir(exist_ok=True)
            async with running(folder=self.folder / str(number), clock=self.clock) as node:
                yield node

    async def copy(self) -> None:
        if self.folder is None:
            self.copied = copy_of_store(cast("MemoryStore", self.node.store))
        else:
            await asyncio.to_thread(backup, self.folder / "0" / "rapport.db", self.folder / "copy.db")


@pytest.fixture(params=["memory", "sqlite"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    return Server(tmp_path, on_disk=request.param == "sqlite")


async def refusal(asking: object) -> Refused:
    with pytest.raises(Refused) as refused:
        await asking  # type: ignore[misc]
    return refused.value


def added(person: Person) -> tuple[DeviceSecrets, SignedDeviceList]:
    """One more device for a person, whose list is kept."""
    secrets = DeviceSecrets.make(person.account, person.aik.public, os.urandom, person.now)
    signer = (person.device, person.secrets.signing_key())
    person.lists.append(next_list(person.lists[-1], (secrets.entry(),), (), signer, person.now))
    return secrets, person.lists[-1]


async def test_several_lists_come_back_in_order(server: Server) -> None:
    async with server.before() as node:
        owner, client, opened = await node.pair()
        await server.copy()
        uploads = []
        for secrets, listed in (added(client), added(client)):
            uploads.append(DeviceListUpdate(listed.encoded, prekeys_of(secrets, client.now)))
            await node.ask("devices.update", client, uploads[-1])
    async with server.after(owner, client) as node:
        late = await refusal(node.ask("devices.update", client, DeviceListUpdate(uploads[1].list)))
        assert late.problem.code == "list_stale", "not without the one before"
        for upload in uploads:
            update = DeviceListUpdate(upload.list)  # who brings it back does not have the other device's prekeys
            assert await node.ask("devices.update", client, update) == DeviceLists([upload.list])
        lists = await node.ask("devices.lists", owner, account=client.account)
        assert lists == DeviceLists([held.encoded for held in client.lists])
        required = await node.ask("conversation.devices", owner, conv=opened.conv)
        assert isinstance(required, RequiredDevices)
        newest = client.lists[-1].content.devices[-1].device
        assert newest in split_ids(required.joined())
        claim = await node.ask("prekeys.claim", owner, Claim(ClaimId(os.urandom(16)), [newest]))
        assert claim == Claimed([]), "it has not uploaded prekeys yet"


async def test_without_a_restore_a_new_device_comes_with_its_prekeys(server: Server) -> None:
    async with server.before() as node:
        owner = await node.owner()
        _, listed = added(owner)
        refused = await refusal(node.ask("devices.update", owner, DeviceListUpdate(listed.encoded)))
        assert refused.problem.code == "bad_format"
        await server.copy()
    server.clock.pass_ms(1)
    async with server.after(owner) as node:
        server.clock.pass_ms(RECOVERY_MS)
        await node.signed_in(owner)
        refused = await refusal(node.ask("devices.update", owner, DeviceListUpdate(listed.encoded)))
        assert refused.problem.code == "bad_format", "long after a restore neither"


async def test_a_device_that_the_server_does_not_know_any_more_brings_its_lists(server: Server) -> None:
    async with server.before() as node:
        owner, client, _ = await node.pair()
        await server.copy()
        secrets, listed = added(client)
        prekeys = prekeys_of(secrets, client.now)
        returned = ReturnedLists(secrets.device, [held.encoded for held in client.lists], prekeys)
        nothing = await refusal(node.ask("devices.restore", None, returned, account=client.account))
        assert nothing.problem.code == "not_found", "there was no restore"
        await node.ask("devices.update", client, DeviceListUpdate(listed.encoded, prekeys))
    async with server.after(owner) as node:
        answer = await node.ask("devices.restore", None, returned, account=client.account)
        assert answer == await node.ask("devices.restore", None, returned, account=client.account)
        assert answer == DeviceLists([listed.encoded])
        record = await node.store.sign_in(client.account, secrets.device)
        assert record is not None
        assert record.one_time_keys == 2
        for account, lists, device, code in (
            (owner.account, returned.lists, secrets.device, "bad_format"),
            (client.account, returned.lists[:1], secrets.device, "bad_format"),
            (os.urandom(16), returned.lists, secrets.device, "not_found"),
        ):
            wrong = ReturnedLists(device, lists, prekeys)
            refused = await refusal(node.ask("devices.restore", None, wrong, account=account))
            assert refused.problem.code == code


async def test_a_device_that_is_out_stays_out(server: Server) -> None:
    async with server.before() as node:
        client = (await node.pair())[1]
        secrets, listed = added(client)
        prekeys = prekeys_of(secrets, client.now)
        await node.ask("devices.update", client, DeviceListUpdate(listed.encoded, prekeys))
        signer = (client.device, client.secrets.signing_key())
        gone = next_list(listed, (), (secrets.device,), signer, client.now)
        await server.copy()
        await node.ask("devices.update", client, DeviceListUpdate(gone.encoded))
    async with server.after(client) as node:
        await node.ask("devices.update", client, DeviceListUpdate(gone.encoded))
        back = ReturnedLists(secrets.device, [listed.encoded], prekeys)
        assert await node.ask("devices.restore", None, back, account=client.account) == DeviceLists([gone.encoded])
        assert await node.store.sign_in(client.account, secrets.device) is None
        signer = (secrets.device, secrets.signing_key())
        own = next_list(listed, (), (client.device,), signer, client.now)
        fork = ReturnedLists(secrets.device, [own.encoded], prekeys)
        refused = await refusal(node.ask("devices.restore", None, fork, account=client.account))
        assert refused.problem.code == "list_stale"


async def test_entries_come_back_in_order_from_those_who_signed_them(server: Server) -> None:
    async with server.before() as node:
        owner, client, opened = await node.pair()
        await server.copy()
        joined = client.join(opened)
        first = owner.sign(opened.conv, joined, Checkpoint(owner.account, 1, owner.lists[0].hash))
        second = client.sign(opened.conv, first, Checkpoint(client.account, 1, client.lists[0].hash))
        third = owner.sign(opened.conv, second, Checkpoint(owner.account, 1, owner.lists[0].hash))
        for who, entry in ((owner, first), (client, second), (owner, third)):
            await node.ask("membership.append", who, AppendEntry(entry.encoded), conv=opened.conv)
    async with server.after(owner, client) as node:
        for who, entry in ((client, second), (owner, third)):
            refused = await refusal(node.ask("membership.append", who, AppendEntry(entry.encoded), conv=opened.conv))
            assert (refused.problem.code, refused.problem.epoch) == ("epoch_stale", 3), "an earlier one is missing"
        placed = []
        for who, entry in ((owner, first), (client, second), (owner, third), (client, second)):
            answer = await node.ask("membership.append", who, AppendEntry(entry.encoded), conv=opened.conv)
            assert isinstance(answer, Appended)
            placed.append(answer.seq)
        assert placed[0] > SEQ_JUMP
        assert placed == [placed[0], placed[0] + 1, placed[0] + 2, placed[0] + 1]


@pytest.mark.parametrize("late", [False, True])
async def test_what_a_removed_device_had_signed_any_other_of_its_account_brings_back(
    server: Server, *, late: bool
) -> None:
    async with server.before() as node:
        owner, client, opened = await node.pair()
        joined = client.join(opened)
        secrets, listed = added(owner)
        prekeys = prekeys_of(secrets, owner.now)
        await node.ask("devices.update", owner, DeviceListUpdate(listed.encoded, prekeys))
        action = Checkpoint(owner.account, listed.version, listed.hash)
        epoch = joined.fields.epoch + 1
        signer = (owner.account, secrets.device, listed.version)
        entry = EntryFields(opened.conv, epoch, joined.hash, *signer, action, owner.now).sign(secrets.signing_key())
        append = AppendEntry(entry.encoded)
        refused = await refusal(node.ask("membership.append", owner, append, conv=opened.conv))
        assert refused.problem.code == "forbidden", "there was no restore"
        await server.copy()
        gone = next_list(listed, (), (secrets.device,), (owner.device, owner.secrets.signing_key()), owner.now)
        await node.ask("devices.update", owner, DeviceListUpdate(gone.encoded))
    async with server.after(owner, client) as node:
        await node.ask("devices.update", owner, DeviceListUpdate(gone.encoded))
        refused = await refusal(node.ask("membership.append", client, append, conv=opened.conv))
        assert refused.problem.code == "forbidden", "it is not of this account"
        if late:
            server.clock.pass_ms(RECOVERY_MS)
            await node.signed_in(owner)
            refused = await refusal(node.ask("membership.append", owner, append, conv=opened.conv))
            assert refused.problem.code == "forbidden", "long after a restore neither"
        else:
            assert isinstance(await node.ask("membership.append", owner, append, conv=opened.conv), Appended)


async def test_an_account_registers_again_when_its_invite_is_back(server: Server) -> None:
    async with server.before() as node:
        owner = await node.owner()
        await server.copy()
        opened = owner.invite(Role.CLIENT)
        request = opened.request()
        await node.ask("invite.create", owner, request)
        client = Person(Role.CLIENT, node.clock.now_ms())
        registration = client.registration(opened)
        assert isinstance(await node.ask("account.register", None, registration), Registered)
    async with server.after(owner) as node:
        refused = await refusal(node.ask("account.register", None, registration))
        assert refused.problem.code == "not_found"
        await node.ask("invite.create", owner, request)
        view = await node.ask("invite.view", None, invite=opened.secret.id)
        assert isinstance(view, InviteView)
        assert (view.card, view.chain) == (opened.card, request.entries)
        answer = await node.ask("account.register", None, registration)
        assert answer == await node.ask("account.register", None, registration)
        assert isinstance(answer, Registered)
        assert answer.role is Role.CLIENT
        await node.signed_in(client)


async def test_an_invite_used_in_time_is_used_again_after_its_time(server: Server) -> None:
    async with server.before() as node:
        owner = await node.owner()
        in_copy = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, in_copy.request())
        await server.copy()
        lost = owner.invite(Role.CLIENT, ConversationKind.GROUP)
        await node.ask("invite.create", owner, lost.request())
        registrations = []
        for opened in (in_copy, lost):
            person = Person(Role.CLIENT, node.clock.now_ms())
            registrations.append(person.registration(opened))
            await node.ask("account.register", None, registrations[-1])
    server.clock.pass_ms(8 * DAY_MS)
    async with server.after(owner) as node:
        await node.app._parts.due.fire_due()
        await node.ask("invite.create", owner, lost.request())
        await node.app._parts.due.fire_due()
        assert (await refusal(node.ask("invite.view", None, invite=lost.secret.id))).problem.code == "not_found"
        for registration in registrations:
            assert isinstance(await node.ask("account.register", None, registration), Registered)
        unused = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, unused.request())
        too_late = await register_late(server, node, unused)
        assert too_late == "not_found"


async def register_late(server: Server, node: Node, opened: Opened) -> str:
    """An honest clock says that the invite was over."""
    server.clock.pass_ms(8 * DAY_MS)
    person = Person(Role.CLIENT, node.clock.now_ms())
    return (await refusal(node.ask("account.register", None, person.registration(opened)))).problem.code


async def test_after_the_recovery_expired_invites_are_forgotten(server: Server) -> None:
    async with server.before() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        await server.copy()
        registration = Person(Role.CLIENT, node.clock.now_ms()).registration(opened)
    server.clock.pass_ms(DAY_MS)
    async with server.after(owner) as node:
        await node.app._parts.due.fire_due()
        server.clock.pass_ms(RECOVERY_MS)
        assert (await refusal(node.ask("account.register", None, registration))).problem.code == "not_found"
        await node.app._parts.due.fire_due()
        await node.signed_in(owner)
        again = owner.invite(Role.CLIENT)
        expired = await refusal(node.ask("invite.create", owner, again.request()))
        assert expired.problem.code == "expired"


async def test_prekeys_are_replaced(server: Server) -> None:
    async with server.before() as node:
        owner, client, _ = await node.pair()
        await server.copy()
        spent = await node.ask("prekeys.claim", owner, Claim(ClaimId(os.urandom(16)), [client.device]))
        assert isinstance(spent, Claimed)
    async with server.after(owner, client) as node:
        new = prekeys_of(client.secrets, client.now, one_time=2, first_id=50)
        upload = PrekeyUpload(new.signed, new.last_resort, new.one_time, replace=True)
        assert await node.ask("prekeys.upload", client, upload) == PrekeysLeft(2, 51)
        got: list[Bundle] = []
        for _ in range(3):
            claimed = await node.ask("prekeys.claim", owner, Claim(ClaimId(os.urandom(16)), [client.device]))
            assert isinstance(claimed, Claimed)
            got += claimed.bundles
        assert [bundle.key for bundle in got] == [*new.one_time, new.last_resort]
        assert {bundle.signed for bundle in got} == {new.signed}


async def test_posts_with_swept_or_lost_ids_are_new(server: Server) -> None:
    async with server.before() as node:
        owner, client, opened = await node.pair()
        async with connected(node, owner) as desk, connected(node, client) as phone:
            swept = desk.post(opened.conv, [client.device])
            await desk.say(swept)
            before = await desk.skip_to(Accepted)
            await phone.acknowledge(await phone.skip_to(Deliver))
            await desk.skip_to(Delivered)
            node.clock.pass_ms(REPEAT_WINDOW_MS)
            await node.store.sweep(node.clock.now_ms())
            kept = desk.post(opened.conv, [client.device])
            await desk.say(kept)
            standing = await desk.skip_to(Accepted)
            await server.copy()
            lost = desk.post(opened.conv, [client.device])
            await desk.say(lost)
            await desk.skip_to(Accepted)
    async with server.after() as node, connected(node, owner) as desk, connected(node, client):
        for post in (swept, kept, lost):
            await desk.say(post)
        again, first, new = [await desk.skip_to(Accepted) for _ in range(3)]
        assert (first.seq, first.at) == (standing.seq, standing.at)
        assert again.seq > before.seq + SEQ_JUMP
        assert new.seq == again.seq + 1
