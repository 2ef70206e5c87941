"""Joining a practice: by the owner link that `rapport init` prints, or by an invite."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.clock import SystemClock
from rapport.adapters.http import HttpApi
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.crypto.invites import InviteLink, OwnerLink, open_card, parse_link
from rapport.engine.bodies.content import NAME_BYTES
from rapport.engine.joining import registration
from rapport.engine.vault.turn import Me, Turn
from rapport.ports import Api, Clock, Random, Transaction, Vault
from rapport_protocol.errors import ErrorCode, LocalError, Rejected, Retry
from rapport_protocol.ids import AccountId
from rapport_protocol.requests import InviteView, Register, Registered

__all__ = ["Joining", "join"]

_TRIES: Final = 8
"""Tries while the server asks for patience or the conversation moves on."""
_LONGEST_WAIT_S: Final = 10.0


async def join(link: str, *, vault: Path, name: str, clock: Clock | None = None) -> AccountId:
    """Makes an account with this device as its first, and a vault in the folder `vault`; returns the account.

    link: an owner link (`…/o#…`) or an invite (`…/i/…#…`). name: what others will see, 1 to 200 bytes of UTF-8.
    clock: for tests; None = the machine's clocks.

    All keys are in the vault before the server hears of them. After a crash, a lost answer or Unreachable call it again
    with the same arguments: it goes on with the same keys, and once it has succeeded it only returns the account.

    Raises FormatError (no such link), LocalError (name; CONFLICT: the vault belongs to another link), VaultProblem,
    Unreachable, Rejected (NOT_FOUND: used, expired or unknown link), InviteMismatch and AuthenticationFailed (the
    server shows another invite than the link vouches for), RuleBroken.
    """
    parsed = parse_link(link)
    if not 0 < len(name.encode()) <= NAME_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE if name else ErrorCode.BAD_FORMAT, f"name: 1 to {NAME_BYTES} bytes")
    address = ServerAddress.parse(parsed.base)
    opened = await SqliteVault.open(vault, create=True)
    api = HttpApi(address)
    try:
        return await Joining(opened, api, clock or SystemClock(), os.urandom, parsed, name).run()
    finally:
        try:
            await api.close()
        finally:  # a second cancellation must not leave the vault locked
            await opened.close()


class Joining:
    """One registration, from an empty vault or from where it was interrupted: what `join` does with an open vault."""

    def __init__(
        self, vault: Vault, api: Api, clock: Clock, random: Random, link: InviteLink | OwnerLink, name: str
    ) -> None:
        self._vault = vault
        self._api = api
        self._clock = clock
        self._random = random
        self._link = link
        self._name = name

    async def run(self) -> AccountId:
        """Returns the account once the server has it; raises what `join` raises."""
        me = await self._vault.run(registration.load_me)
        if me is not None:
            await self._require_same_link()
            if me.role is not None:
                return me.account
        register = await self._vault.run(registration.waiting_registration)
        if me is None or register is None:
            me, register = await self._prepare(None)
        answer = await self._register(me, register)
        done = await self._step(me, self._clock.now_ms(), lambda turn: registration.registered(turn, answer))
        return done.account

    async def _require_same_link(self) -> None:
        if await self._vault.run(registration.joined_with) != registration.link_hash(self._link.encode()):
            raise LocalError(ErrorCode.CONFLICT, "this vault was made with another link")

    async def _step(self, me: Me, now_ms: int, step: Callable[[Turn], Me]) -> Me:
        def run(tx: Transaction) -> Me:
            return step(Turn(tx, me, now_ms, self._random))

        return await self._vault.run(run)

    async def _prepare(self, me: Me | None) -> tuple[Me, Register]:
        """Makes the account (or only its join anew) and commits it. me: the account, if it was made before."""
        link, name = self._link, self._name
        if isinstance(link, OwnerLink):
            now_ms = self._clock.now_ms()
            made = registration.new_me(link.base, link.server_id, self._random, now_ms)
            await self._vault.run(
                lambda tx: registration.prepare_owner(Turn(tx, made, now_ms, self._random), link, name)
            )
        else:
            view = await self._view(link)
            server_id = open_card(link.secret, view.card).server_id
            now_ms = view.server_time_ms
            made = me or registration.new_me(link.base, server_id, self._random, now_ms)
            await self._vault.run(
                lambda tx: registration.prepare_invitee(Turn(tx, made, now_ms, self._random), link, view, name)
            )
        register = await self._vault.run(registration.waiting_registration)
        if register is None:
            raise LocalError(ErrorCode.INTERNAL, "the registration was not kept")
        return made, register

    async def _view(self, link: InviteLink) -> InviteView:
        try:
            view = await self._api.call("invite.view", path={"invite": link.secret.id})
        except Rejected as refusal:
            raise _worded(refusal, "this invite was used already or has expired: ask for a new one") from None
        if not isinstance(view, InviteView):
            raise LocalError(ErrorCode.INTERNAL, "another answer than was asked for")
        return view

    async def _register(self, me: Me, register: Register) -> Registered:
        """Sends it until it is answered.

        Anew when the conversation has moved on, later when the server asks for patience.
        """
        for attempt in range(_TRIES):
            try:
                answer = await self._api.call("account.register", register)
            except Rejected as refusal:
                if attempt == _TRIES - 1:
                    raise
                if refusal.code is ErrorCode.EPOCH_STALE and isinstance(self._link, InviteLink):
                    _, register = await self._prepare(me)
                elif refusal.retry is Retry.LATER:
                    await asyncio.sleep(min(refusal.retry_after_ms / 1000 or 2.0**attempt / 4, _LONGEST_WAIT_S))
                else:
                    await self._vault.run(registration.abandon)
                    raise _worded(refusal, "this link was used already or has expired: ask for a new one") from None
            else:
                if isinstance(answer, Registered):
                    return answer
                break
        raise LocalError(ErrorCode.INTERNAL, "another answer than was asked for")


def _worded(refusal: Rejected, gone: str) -> Rejected:
    """The refusal as a person should read it, when all it says is that the link leads nowhere (any more)."""
    if refusal.code in (ErrorCode.NOT_FOUND, ErrorCode.EXPIRED, ErrorCode.CONFLICT):
        return Rejected(refusal.code, gone)
    return refusal
