"""People whose program is the TypeScript SDK: a Node.js process that is told line by line what its devices do.

`Driven` is a `Person` like any other; its `client` looks like `rapport.Client` as far as the attacks use it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import rapport
from rapport import ConnectionState, ConversationId, LogEntry
from rapport.engine.vault.turn import Turn
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.errors import ErrorCode, RemoteError
from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, MessageId
from rapport_protocol.office.status import OfficeStatus
from tests.house.tree import ROOT
from tests.malicious.person import Agreed, Alarm, CallSeen, Door, Person, Standing

if TYPE_CHECKING:
    from tests.malicious.stage import Stage

__all__ = ["Driven", "Drivers"]

PROGRAM = ROOT / "client_sdk/web/sdk/test/driven/devices.ts"
LINE_BYTES = 2**24
T = TypeVar("T")

#: What the names of events are called here.
EVENTS = {name[0].lower() + name[1:]: getattr(rapport, name) for name in rapport.__all__ if name[0].isupper()}


class Refused(RemoteError):
    """What the TypeScript SDK answered instead of a result. kind: the class of its error."""

    def __init__(self, kind: str, code: str, detail: str) -> None:
        super().__init__(ErrorCode(code) if code in set(ErrorCode) else ErrorCode.INTERNAL, f"{kind}: {detail}")
        self.kind = kind


def named(value: Any) -> Any:
    """The same with names as Python writes them."""
    if isinstance(value, list):
        return [named(held) for held in value]
    if not isinstance(value, dict):
        return value
    return {re.sub(r"(?<=[a-z])[A-Z]", lambda found: f"_{found[0].lower()}", key): named(value[key]) for key in value}


def read(value: Any, kind: type[T]) -> T:
    """A value of a line as its type here; byte strings are base64 there."""
    return msgspec.json.decode(json.dumps(named(value)), type=kind)


class Drivers:
    """The process."""

    def __init__(self, node: Path, people: list[Person]) -> None:
        self._node, self._people = node, people
        self._process: Process | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.faults = b""
        """What it has complained of."""

    async def start(self) -> None:
        command = str(self._node), str(PROGRAM)
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LINE_BYTES
        )
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._complain())]

    async def close(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(60):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await asyncio.gather(*self._tasks)
        assert self.faults == b"", self.faults.decode()

    async def ask(self, who: str, what: str, *given: object) -> Any:
        """Has something done and returns what came of it. Refused."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.tell(number, who, what, *given)
        return await answer

    def tell(self, number: int, who: str, what: str, *given: object) -> None:
        """Has something done whose result nobody waits for, unless `number` is waited for."""
        assert self._process is not None
        assert self._process.stdin is not None
        line = json.dumps({"number": number, "who": who, "do": what, "with": given})
        self._process.stdin.write(line.encode() + b"\n")

    async def _complain(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.faults += line

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "snapshot" in said:
                for person in self._people:
                    if isinstance(person, Driven) and person.name == said["who"]:
                        await person.hear(said["news"], said["snapshot"])
                continue
            answer = self._waiting.pop(said["number"], None)
            if answer is None or answer.done():
                continue
            if "problem" in said:
                answer.set_exception(Refused(said["problem"], said["code"], said["detail"]))
            else:
                answer.set_result(said["result"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the Node.js process has ended"))


class Talk:
    """What the attacks use of `rapport.Conversation`."""

    def __init__(self, client: Client, conv: ConversationId) -> None:
        self._client, self.id = client, conv

    @property
    def _view(self) -> dict[str, Any]:
        return next(view for view in self._client.views if view["id"] == self.id)

    @property
    def unread(self) -> int:
        return int(self._view["unread"])

    @property
    def members(self) -> Sequence[rapport.Member]:
        return read(self._view["members"], list[rapport.Member])

    async def history(self) -> list[rapport.Message]:
        return read(await self._client.ask("history", self.id.hex()), list[rapport.Message])

    async def send_text(self, text: str) -> rapport.Message:
        return read(await self._client.ask("sendText", self.id.hex(), text), rapport.Message)

    async def mark_read(self) -> None:
        await self._client.ask("markRead", self.id.hex())

    async def restore(self) -> None:
        await self._client.ask("restore", self.id.hex())


class Client:
    """What the attacks use of `rapport.Client`."""

    def __init__(self, drivers: Drivers, who: str) -> None:
        self._drivers, self._who = drivers, who
        self.snapshot: dict[str, Any] = {"state": "idle", "views": [], "contacts": [], "figures": {}, "identity": None}
        self._numbers: dict[AccountId, str] = {}

    async def ask(self, what: str, *given: object) -> Any:
        return await self._drivers.ask(self._who, what, *given)

    @property
    def views(self) -> list[dict[str, Any]]:
        return [{**view, "id": read(view["id"], bytes)} for view in self.snapshot["views"]]

    @property
    def account(self) -> AccountId:
        return AccountId(read(self.snapshot["identity"]["account"], bytes))

    @property
    def device(self) -> DeviceId:
        return DeviceId(read(self.snapshot["identity"]["device"], bytes))

    @property
    def state(self) -> ConnectionState:
        return ConnectionState(self.snapshot["state"])

    def figures(self) -> dict[str, int]:
        return dict(self.snapshot["figures"])

    def conversations(self) -> list[Talk]:
        others = [view for view in self.views if not view["isSelf"]]
        return [self.conversation(view["id"]) for view in sorted(others, key=lambda view: -view["activeMs"])]

    def conversation(self, conv: ConversationId) -> Talk:
        return Talk(self, conv)

    def contact(self, account: AccountId) -> rapport.Contact:
        shown = [read(view["shown"], rapport.Contact) for view in self.snapshot["contacts"]]
        return next(contact for contact in shown if contact.account == account)

    def network(self, *, available: bool) -> None:
        self._drivers.tell(-1, self._who, "network", available)

    async def caught_up(self) -> None:
        await self.ask("caughtUp")

    async def invite(self) -> str:
        return str(await self.ask("invite"))

    async def revoke(self, device: DeviceId) -> None:
        await self.ask("revoke", device.hex())

    async def verify(self, account: AccountId) -> None:
        await self.ask("verify", account.hex())


class Driven(Person):
    """One device of somebody, in the process of `drivers`."""

    def __init__(self, stage: Stage, name: str, vault: Path, drivers: Drivers) -> None:
        super().__init__(stage, name, vault)
        self._drivers = drivers
        self.client: Any = Client(drivers, name)

    async def hear(self, news: list[dict[str, Any]], snapshot: dict[str, Any]) -> None:
        """A turn of its engine."""
        events = [read(event, EVENTS[event.pop("type")]) for event in news]
        async with self._changed:
            self.client.snapshot = snapshot
            self.events += events
            self._changed.notify_all()

    async def enter(self, link: str) -> None:
        await self._drivers.ask(self.name, "open")
        try:
            await self._drivers.ask(self.name, "join", link, self.name)
        except Refused:
            await self.close()
            raise

    async def link_to(self, owner: Person, label: str) -> None:
        await self._drivers.ask(self.name, "open")
        offer = await owner.offer()
        joined = asyncio.create_task(offer.joined())
        digits = await self._drivers.ask(self.name, "takeLink", offer.url, label)
        await joined
        async with asyncio.TaskGroup() as both:
            both.create_task(offer.confirm(digits))
            both.create_task(self._drivers.ask(self.name, "linkFinished"))

    async def offer(self) -> Any:
        made = await self.client.ask("offerLink")
        offer = msgspec.json.decode(json.dumps(made["offer"]), type=bytes).hex()
        return SimpleNamespace(
            url=made["url"],
            joined=lambda: self.client.ask("linkJoined", offer),
            confirm=lambda digits: self.client.ask("confirmLink", offer, digits),
        )

    async def open(self) -> None:
        if self.client.snapshot["identity"] is None:
            await self._drivers.ask(self.name, "open")

    async def close(self) -> None:
        await self._drivers.ask(self.name, "close")
        self.client.snapshot["identity"] = None

    async def reopen(self, base: str) -> None:
        await self.close()
        await self._drivers.ask(self.name, "move", base)
        await self.open()

    async def wait_until(self, state: ConnectionState) -> None:
        await self.until(lambda: self.client.state is state)

    async def turn(self) -> None:
        await self.client.ask("turn")

    async def log(self) -> list[LogEntry]:
        return read(await self.client.ask("securityLog", 1_000), list[LogEntry])

    async def office_of(self, account: AccountId) -> Door:
        shown = await self.client.ask("officeOf", account.hex())
        status = OfficeStatus(shown["state"]["status"]) if shown["state"] is not None else None
        return Door(shown["confirmed"], shown["version"], status)

    async def promise(self) -> AccountId | None:
        promised = await self.client.ask("promiseIn", self.talk.id.hex())
        return None if promised is None else AccountId(read(promised["by"], bytes))

    async def cry(self, text: str) -> MessageId:
        self.stage.texts.append(text)
        sent = await self.client.ask("sendText", self.talk.id.hex(), text, {"urgent": True})
        return MessageId(read(sent["id"], bytes))

    async def urgency(self, message: MessageId) -> Alarm:
        shown = await self.client.ask("urgencyOf", self.talk.id.hex(), message.hex())
        seen_by = None if shown["seenBy"] is None else AccountId(read(shown["seenBy"], bytes))
        return Alarm(seen_by, shown["rung"] == "confirmed", shown["silent"])

    async def offers(self, conv: ConversationId) -> MessageId:
        return MessageId(read(await self.client.ask("callOffer", conv.hex()), bytes))

    async def picks_up(self, call: MessageId) -> None:
        await self.client.ask("callAccept", call.hex())

    async def hangs_up(self, call: MessageId) -> None:
        await self.client.ask("callEvent", call.hex(), "hang_up")

    async def call_seen(self, call: MessageId) -> CallSeen:
        shown = await self.client.ask("callView", call.hex())
        return CallSeen(shown["phase"], shown["answeredElsewhere"], shown["described"], shown["outcome"])

    async def keys(self) -> list[bytes]:
        return read(await self.client.ask("keys"), list[bytes])

    async def me(self) -> Any:
        held = await self.client.ask("me")
        account, device, aik = (read(held[name], bytes) for name in ("account", "device", "aik"))
        return SimpleNamespace(account=AccountId(account), device=DeviceId(device), secrets=SimpleNamespace(aik=aik))

    async def own_head(self) -> SignedDeviceList:
        return SignedDeviceList.parse(read(await self.client.ask("head"), bytes))

    async def membership(self, conv: ConversationId) -> Standing:
        return read(await self.client.ask("membership", conv.hex()), Standing)

    async def forget(self, conv: ConversationId) -> None:
        await self.client.ask("forget", conv.hex())

    async def safety_number(self, account: AccountId) -> str:
        return str(await self.client.ask("safetyNumber", account.hex()))

    async def agreed(self) -> list[Agreed]:
        return read(await self.client.ask("agreed"), list[Agreed])

    async def knock(self, appointment: AppointmentId) -> None:
        await self.client.ask("knock", appointment.hex())

    async def room_state(self, appointment: AppointmentId) -> str:
        return str(await self.client.ask("roomState", appointment.hex()))

    async def let_in(self, appointment: AppointmentId) -> MessageId | None:
        call = await self.client.ask("letIn", appointment.hex())
        return None if call is None else MessageId(read(call, bytes))

    async def do(self, step: Callable[[Turn], T]) -> T:
        raise AssertionError("the attacker's program is the Python SDK")
