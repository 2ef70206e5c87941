"""The public face: one device of one account, at work as long as its `async with` block lasts."""

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.clock import SystemClock
from rapport.adapters.http import HttpApi
from rapport.adapters.vault_keys import wipe_vault
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.adapters.websocket import WebSocketConnector
from rapport.calls import Calling, Calls
from rapport.conversation import Conversation
from rapport.cover import Accepting
from rapport.devices import Devices
from rapport.engine import composing
from rapport.engine.joining import inviting, registration
from rapport.engine.link.loop import Engine
from rapport.engine.listeners import Listener
from rapport.engine.vault.turn import Me
from rapport.identities import Identities
from rapport.keeping import Keeping
from rapport.office import AnsweringTimes
from rapport.ports import Api, Clock, Connector, Random, Unreachable, Vault
from rapport.waiting_room import Meeting
from rapport_protocol.connection import ConnectionState
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId
from rapport_protocol.requests import Role

__all__ = ["INVITE_WITHIN_S", "Client"]

INVITE_WITHIN_S = 30.0
"""How long `invite` waits for the server, seconds: a link that the server does not know is of no use to anybody."""


class Client(Identities, Keeping, AnsweringTimes, Devices, Accepting, Meeting, Calling):
    """An account on this device. The vault must hold a registration (`rapport.join`).

        async with rapport.Client(vault=Path("dana")) as client:
            async for event in client.events(): ...

    Connects in the background and reconnects for ever; everything but `invite` works without a connection. One client
    per vault (VaultLocked otherwise).

    vault: the folder that `join` filled. clock: for tests (`rapport.testing.FakeClock`); None = the machine's clocks.
    """

    def __init__(self, vault: Path, *, clock: Clock | None = None) -> None:
        self._folder = vault
        self._clock: Clock = clock or SystemClock()
        self._vault: Vault | None = None
        self._task: asyncio.Task[None] | None = None
        self._api: Api | None = None
        self._conversations: dict[ConversationId, Conversation] = {}

    async def __aenter__(self) -> Self:
        """Opens the vault and starts to connect.

        VaultProblem, VaultLocked; LocalError when nobody has joined with it.
        """
        vault = await SqliteVault.open(self._folder)
        try:
            await self._start(vault)
        except BaseException:
            await self._close(vault)
            raise
        return self

    async def _start(self, vault: Vault) -> None:
        me = await vault.run(registration.load_me)
        if me is None or me.role is None:
            raise LocalError(ErrorCode.NOT_FOUND, "nobody has joined with this vault yet")
        address = ServerAddress.parse(me.base)
        self._api = HttpApi(address)
        await self._work(vault, me, WebSocketConnector(address), self._api, self._clock, os.urandom)

    async def _work(self, vault: Vault, me: Me, connector: Connector, api: Api, clock: Clock, random: Random) -> None:
        self._vault, self._api = vault, api
        self._engine = Engine(vault, me, connector, api, clock, random)
        self._calls = Calls(self._engine)
        self._task = asyncio.create_task(self._engine.run(), name="rapport-engine")
        await self._engine.wait_started(self._task)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection and the vault. What is queued stays queued for the next time."""
        if self._vault is not None:
            await self._close(self._vault)

    async def _leave(self) -> None:
        vault, self._vault = self._vault, None
        if vault is not None:
            await self._close(vault)
            await asyncio.to_thread(wipe_vault, self._folder)

    async def _close(self, vault: Vault) -> None:
        try:
            if self._calls is not None:
                await self._calls.close()
            if self._engine is not None and self._task is not None:
                self._engine.stop()
                await self._task
        finally:
            try:
                if self._api is not None:
                    await self._api.close()
            finally:  # a second cancellation must not leave the vault locked
                await vault.close()

    # --- who and where ------------------------------------------------------------------------------------------------

    @property
    def account(self) -> AccountId:
        """Our account, 16 bytes."""
        return self._running.core.me.account

    @property
    def device(self) -> DeviceId:
        """This device, 16 bytes."""
        return self._running.core.me.device

    @property
    def role(self) -> Role | None:
        """What our account is in its practice."""
        return self._running.core.me.role

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._running.state

    async def wait_until(self, state: ConnectionState, timeout_s: float | None = None) -> None:
        """Returns once the connection stands there. TimeoutError after timeout_s seconds, None waits for ever."""
        async with asyncio.timeout(timeout_s):
            await self._running.wait_until(state)

    async def caught_up(self) -> None:
        """Returns once everything that waited on the server is in the vault.

        Waits for a connection if there is none.
        """
        await self._running.caught_up.wait()

    def network(self, *, available: bool) -> None:
        """Tells what the host knows of the network: back (try at once) or gone (stop trying)."""
        self._running.online(available=available)

    # --- what there is ------------------------------------------------------------------------------------------------

    def events(self) -> Listener:
        """Everything that happens from now on, in order; any number of listeners.

        A slow listener slows the reading of the socket down and loses nothing. One that leaves 16,384 events unread is
        ended with EventsUnread; the history holds what it missed.
        """
        return self._running.listen()

    def conversations(self) -> list[Conversation]:
        """All conversations with others, the most recently active first."""
        views = [view for view in self._running.views.values() if not view.is_self]
        return [self.conversation(view.id) for view in sorted(views, key=lambda view: -view.active_ms)]

    def conversation(self, conv: ConversationId) -> Conversation:
        """The conversation of that id. LocalError(NOT_FOUND)."""
        if conv not in self._running.views:
            raise LocalError(ErrorCode.NOT_FOUND, "no such conversation")
        return self._conversations.setdefault(conv, Conversation(self._running, conv))

    # --- doing --------------------------------------------------------------------------------------------------------

    async def invite(self, role: Role = Role.CLIENT, welcome: str | None = None) -> str:
        """Opens a new conversation and returns the link that lets one person join it: single use, 7 days, a secret.

        welcome: shown to the invitee as the first message, at most 4,096 bytes. LocalError(FORBIDDEN) for a role that
        may not invite; Rejected when the server refuses; Unreachable when it does not answer within 30 s (the link is
        then void).
        """
        engine = self._running
        invite = await engine.do(lambda turn: inviting.new_invite(turn, role, welcome))
        try:
            async with asyncio.timeout(INVITE_WITHIN_S):
                await engine.errand_done(inviting.invite_errand(invite))
        except TimeoutError:
            await engine.do(lambda turn: inviting.withdraw(turn, invite))
            raise Unreachable from None
        return await engine.do(lambda turn: inviting.invite_link(turn, invite)[0])

    async def rename(self, name: str) -> None:
        """What others call us; told to every conversation, sealed. LocalError(TOO_LARGE) above 200 bytes."""
        await self._running.do(lambda turn: composing.change_name(turn, name))
