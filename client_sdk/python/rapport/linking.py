"""Linking another device to an account: the offer on a device that belongs to it, and the new device's side.

    offer = await client.link()                            # shows offer.code, or offer.url as a QR code
    await offer.joined()                                   # the new device has read it
    device = await offer.confirm(input("digits: "))        # what the new device shows

    async with rapport.link_device(code, vault=Path("phone"), label="Phone", server=base) as linking:
        print(linking.digits)
        await linking.finished()

Nothing runs by itself: whoever waits for the other side polls the server while waiting, until the three minutes are
over. Source: docs/protocol.md, chapter 13.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from msgspec import Struct

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.adapters.vault_keys import wipe_vault
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.crypto.linking import (
    LinkAnswer,
    LinkCode,
    LinkContent,
    LinkDone,
    LinkEnd,
    LinkPackage,
    commitment_of,
    digits_of,
    link_key,
    open_step,
    parse_code,
    seal_step,
)
from rapport.crypto.primitives import same
from rapport.engine.bodies.content import DEVICE_NAME_BYTES
from rapport.engine.devices import linking_steps
from rapport.engine.joining import registration
from rapport.engine.link.loop import Engine
from rapport.engine.vault.turn import Me, Turn
from rapport.events import Device
from rapport.ports import Api, Unreachable, Vault
from rapport_protocol.errors import ErrorCode, FormatError, LocalError, RapportError, Rejected, RemoteError, Retry
from rapport_protocol.ids import AccountId, DeviceId, LinkId
from rapport_protocol.requests import LinkOpen, LinkState, LinkStep

__all__ = ["DIGITS_TRIES", "DeviceLinking", "LinkOffer", "LinkProblem", "LinkTrouble", "link_device"]

C = TypeVar("C", bound=LinkContent)
T = TypeVar("T")

DIGITS_TRIES: Final = 3
"""How often digits may be typed: one in 333,333 for somebody who guesses."""
LISTED_WITHIN_S: Final = 30.0
"""How long `confirm` waits for the server to take the new device list, seconds; what is asked for stays asked for."""
_POLL_FIRST_S: Final = 0.1
_POLL_MOST_S: Final = 1.0
"""The server is asked for the other side's step this often at most, seconds; sooner at first."""
_ENDED: Final = b"\x00"
"""In place of the package: opens to nothing, so that the other side stops waiting."""


class LinkTrouble(StrEnum):
    """Why two devices did not come together."""

    WRONG_DIGITS = "wrong_digits"
    """Other digits than the new device shows; it may be typed again while tries are left."""
    ENDED = "ended"
    """The other side has given up, the offer was cancelled, or the digits were wrong three times."""
    EXPIRED = "expired"
    """Three minutes are over, or another offer of the account has replaced this one."""
    TAKEN = "taken"
    """Another device has opened this code first."""
    FORGED = "forged"
    """What came is not what an honest other side sends."""


_SENTENCES: Final = {
    LinkTrouble.WRONG_DIGITS: "these are not the digits that the new device shows",
    LinkTrouble.ENDED: "the link was ended: start again with a new code",
    LinkTrouble.EXPIRED: "the code is no longer valid: start again with a new one",
    LinkTrouble.TAKEN: "another device has used this code: if that was not you, do not confirm; start again",
    LinkTrouble.FORGED: "the other side's answer does not fit this code: start again",
}
_CODES: Final = {
    LinkTrouble.WRONG_DIGITS: ErrorCode.FORBIDDEN,
    LinkTrouble.ENDED: ErrorCode.EXPIRED,
    LinkTrouble.EXPIRED: ErrorCode.EXPIRED,
    LinkTrouble.TAKEN: ErrorCode.CONFLICT,
    LinkTrouble.FORGED: ErrorCode.INVALID_SIGNATURE,
}


class LinkProblem(RapportError):
    """The devices were not linked. `detail` is one sentence for the person. tries_left: of typing the digits."""

    def __init__(self, trouble: LinkTrouble, tries_left: int = 0) -> None:
        super().__init__(_CODES[trouble], _SENTENCES[trouble])
        self.trouble = trouble
        self.tries_left = tries_left


class _Meeting:
    """The server's list of steps of one link, as one of the two sides sees it."""

    def __init__(self, link: LinkId, request: Callable[[str, Struct | None], Awaitable[Struct]]) -> None:
        self.link = link
        self._request = request

    async def ask(self, operation: str, body: Struct | None = None) -> LinkState:
        """One operation. LinkProblem when the link is gone, or a step is taken; Rejected, Unreachable."""
        try:
            state = await self._request(operation, body)
        except Rejected as refusal:
            if refusal.code is ErrorCode.NOT_FOUND:
                raise LinkProblem(LinkTrouble.EXPIRED) from None
            if refusal.code is ErrorCode.CONFLICT:
                raise LinkProblem(LinkTrouble.TAKEN) from None
            raise
        if not isinstance(state, LinkState):
            raise LocalError(ErrorCode.INTERNAL, "another answer than was asked for")
        return state

    async def until(self, steps: int) -> LinkState:
        """Polls until so many steps are there. A try without an answer is repeated until the link has expired.

        LinkProblem; Rejected when the server refuses for good.
        """
        wait_s = _POLL_FIRST_S
        while True:
            try:
                state = await self.ask("linking.state")
                if len(state.steps) >= steps:
                    return state
            except Unreachable:
                pass
            except Rejected as refusal:
                if refusal.retry is not Retry.LATER:
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _POLL_MOST_S)


# --- on a device of the account ---------------------------------------------------------------------------------------


class LinkOffer:
    """An offer to one new device, for three minutes. Made by `Client.link`; a newer offer ends it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._secret = LinkCode.make(os.urandom)
        self._end = LinkEnd.make(os.urandom)
        self._meeting = _Meeting(self._secret.id, self._request)
        self._key: bytes | None = None
        self._sealed: tuple[bytes, int] | None = None
        self._listed: tuple[DeviceId, bytes] | None = None
        self._tries = DIGITS_TRIES
        self._over = False
        self.code = self._secret.text()
        """8 groups of 4 characters, to be read aloud or typed. A secret."""
        self.url = self._secret.url(engine.core.me.base)
        """The same with the server's address, for a QR code. A secret."""
        self.expires_ms = 0
        """By the server's clock."""

    def __repr__(self) -> str:
        return "LinkOffer()"

    async def _request(self, operation: str, body: Struct | None) -> Struct:
        path = {} if operation == "linking.open" else {"link": self._secret.id}
        return await self._engine.request(operation, path, {}, body)

    async def open(self) -> None:
        """Makes the offer known to the server; `Client.link` does it. Rejected, Unreachable."""
        link = self._secret.id
        state = await self._meeting.ask("linking.open", LinkOpen(link, self._end.commitment(link)))
        self.expires_ms = state.expires_ms

    async def joined(self) -> None:
        """Returns once a device has opened the code; from then on it shows digits. LinkProblem, Rejected."""
        if self._over:
            raise LinkProblem(LinkTrouble.ENDED)
        if self._key is not None:
            return
        state = await self._meeting.until(2)
        try:
            key = link_key(self._secret, self._end, self._end.public, state.steps[1])
        except RapportError:
            raise LinkProblem(LinkTrouble.FORGED) from None
        await self._meeting.ask("linking.step", LinkStep(2, self._end.public))
        self._key = key

    async def confirm(self, digits: str) -> Device:
        """Links the device that shows these digits; returns it once the account's device list holds it.

        LinkProblem: WRONG_DIGITS (three tries), ENDED, EXPIRED, FORGED. LocalError(TOO_MANY) when the account has as
        many devices as it may. Rejected, Unreachable: call it again with the same digits. Cancelled at any moment it
        leaves nothing half done: the device list changes in one step.
        """
        await self.joined()
        if self._key is None:
            raise LinkProblem(LinkTrouble.ENDED)
        if self._sealed is None:
            await self._compare(self._key, digits)
            package, known = await self._engine.do(linking_steps.make_package)
            self._sealed = (seal_step(self._key, self._secret.id, package, os.urandom), known)
        content, known = self._sealed
        await self._meeting.ask("linking.step", LinkStep(3, content))
        if self._listed is None:
            self._listed = await self._take_answer(self._key, known)
        device, errand = self._listed
        try:
            async with asyncio.timeout(LISTED_WITHIN_S):
                await self._engine.errand_done(errand)
        except TimeoutError:
            raise Unreachable from None
        self._over = True
        return self._shown(device)

    async def _compare(self, key: bytes, digits: str) -> None:
        typed = "".join(character for character in digits if character.isdigit()).encode()
        if same(typed, digits_of(key).encode()):
            return
        self._tries -= 1
        if not self._tries:
            await self.cancel()
            raise LinkProblem(LinkTrouble.ENDED)
        raise LinkProblem(LinkTrouble.WRONG_DIGITS, self._tries)

    async def _take_answer(self, key: bytes, known: int) -> tuple[DeviceId, bytes]:
        state = await self._meeting.until(5)
        link = self._secret.id
        try:
            answer = open_step(key, link, LinkAnswer, state.steps[4])
            return await self._engine.do(lambda turn: linking_steps.accept_answer(turn, link, key, known, answer))
        except RemoteError:
            raise LinkProblem(LinkTrouble.FORGED) from None

    def _shown(self, device: DeviceId) -> Device:
        found = self._engine.devices.get(self._engine.core.me.account, ())
        return next((held for held in found if held.id == device), Device(device, "", 0))

    async def cancel(self) -> None:
        """Takes the offer back. The other side, if it waits, is told when it can be; else the code expires."""
        self._over = True
        key, self._key = self._key, None
        if key is not None and self._sealed is None:
            with suppress(RapportError):  # it expires by itself
                await self._meeting.ask("linking.step", LinkStep(3, _ENDED))


# --- on the new device ------------------------------------------------------------------------------------------------


def link_device(code: str, *, vault: Path, label: str, server: str | None = None) -> "DeviceLinking":
    """The new device's side of a link, to be used with `async with`.

    code: the code or the address that the other device shows. vault: an empty folder, or one that does not exist yet.
    label: what this device is called, at most 40 bytes of UTF-8. server: its address, needed with a bare code.

    FormatError says what is wrong with the code; LocalError (TOO_LARGE: the label; BAD_FORMAT: no server).
    """
    base, parsed = parse_code(code)
    if len(label.encode()) > DEVICE_NAME_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"a device's name has at most {DEVICE_NAME_BYTES} bytes of UTF-8")
    base = (server or base).rstrip("/")
    if not base:
        raise LocalError(ErrorCode.BAD_FORMAT, "a code alone does not say where the server is: give its address too")
    return DeviceLinking(base, parsed, vault, label)


class DeviceLinking:
    """One attempt to become a device of an account. Left before `finished` has returned, it leaves an empty folder."""

    def __init__(self, base: str, code: LinkCode, folder: Path, label: str) -> None:
        self._base = base
        self._secret = code
        self._folder = folder
        self._label = label
        self._end = LinkEnd.make(os.urandom)
        self._address = ServerAddress.parse(base)
        self._api: Api = HttpApi(self._address)
        self._meeting = _Meeting(code.id, self._request)
        self._vault: Vault | None = None
        self._key = b""
        self._done = False
        self.digits = ""
        """Six digits, to be typed on the other device."""

    def __repr__(self) -> str:
        return "DeviceLinking()"

    async def _request(self, operation: str, body: Struct | None) -> Struct:
        return await self._api.call(operation, body, path={"link": self._secret.id})

    async def __aenter__(self) -> Self:
        """Opens the code: returns once the other device has answered and `digits` are there.

        LinkProblem (EXPIRED, TAKEN, FORGED), Rejected, Unreachable, VaultProblem; LocalError(CONFLICT) for a vault that
        belongs to an account already.
        """
        self._vault = await SqliteVault.open(self._folder, create=True)
        fresh = False
        try:
            me = await self._vault.run(registration.load_me)
            fresh = me is None or (me.role is None and not me.aik_seed)  # nothing, or a link that was cut off
            if not fresh:
                raise LocalError(ErrorCode.CONFLICT, "this vault belongs to an account already: use an empty folder")
            if me is not None:
                await self._empty(self._vault)
            await self._meet()
        except BaseException:
            await self._close(wipe=fresh)
            raise
        return self

    async def _empty(self, vault: Vault) -> None:
        """What an earlier attempt left, whose process ended, is of no use to anybody."""
        await vault.close()
        await asyncio.to_thread(wipe_vault, self._folder)
        self._vault = await SqliteVault.open(self._folder, create=True)

    async def _meet(self) -> None:
        await self._meeting.ask("linking.answer", LinkStep(1, self._end.public))
        state = await self._meeting.until(3)
        theirs, link = state.steps[2], self._secret.id
        try:
            self._key = link_key(self._secret, self._end, theirs, self._end.public)
        except RapportError:
            raise LinkProblem(LinkTrouble.FORGED) from None
        if not same(state.steps[0], commitment_of(link, theirs)) or not same(state.steps[1], self._end.public):
            raise LinkProblem(LinkTrouble.FORGED)
        self.digits = digits_of(self._key)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the vault; it is wiped unless `finished` has returned."""
        await self._close(wipe=not self._done)

    async def _close(self, *, wipe: bool) -> None:
        try:
            await self._api.close()
        finally:  # a second cancellation must not leave the vault locked
            vault, self._vault = self._vault, None
            if vault is not None:
                await vault.close()
                if wipe:
                    await asyncio.to_thread(wipe_vault, self._folder)

    async def finished(self) -> AccountId:
        """Returns the account once this device is in its list and everything is kept.

        From then on `Client(vault=…)` works. LinkProblem: ENDED (the other side gave up or met wrong digits), EXPIRED,
        FORGED. VaultProblem, Unreachable.
        """
        if self._vault is None or not self._key:
            raise LocalError(ErrorCode.INTERNAL, "linking is used outside its `async with` block")
        vault, link = self._vault, self._secret.id
        state = await self._meeting.until(4)
        package = self._opened(LinkPackage, state.steps[3], LinkTrouble.ENDED)
        me = linking_steps.new_device(package, self._base, os.urandom, state.server_time_ms)
        label, now_ms = self._label, state.server_time_ms
        answer = await self._step(vault, me, now_ms, lambda turn: linking_steps.prepare_device(turn, package, label))
        await self._meeting.ask("linking.answer", LinkStep(4, seal_step(self._key, link, answer, os.urandom)))
        state = await self._meeting.until(6)
        done = self._opened(LinkDone, state.steps[5], LinkTrouble.FORGED)
        linked = await self._step(vault, me, now_ms, lambda turn: linking_steps.finish_linked(turn, done))
        self._done = True
        return linked.account

    def _opened(self, wanted: type[C], sealed: bytes, otherwise: LinkTrouble) -> C:
        try:
            return open_step(self._key, self._secret.id, wanted, sealed)
        except (FormatError, RemoteError):
            raise LinkProblem(otherwise) from None

    @staticmethod
    async def _step(vault: Vault, me: Me, now_ms: int, step: Callable[[Turn], T]) -> T:
        try:
            return await vault.run(lambda tx: step(Turn(tx, me, now_ms, os.urandom)))
        except RemoteError:
            raise LinkProblem(LinkTrouble.FORGED) from None
