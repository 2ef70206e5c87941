"""The account's devices: the part of `Client` that lists, names, links and removes them."""

import asyncio
from collections.abc import Callable
from typing import Final

from rapport.engine.devices import own_devices
from rapport.engine.vault.turn import Turn
from rapport.events import Device
from rapport.linking import LinkOffer
from rapport.part import Part
from rapport.ports import Unreachable
from rapport_protocol.ids import AccountId, DeviceId

__all__ = ["LIST_WITHIN_S", "Devices"]

LIST_WITHIN_S: Final = 30.0
"""How long `revoke` and `sign_out` wait for the server, seconds; what is asked for stays asked for."""


class Devices(Part):
    """Devices of our account, and of contacts. A part of `Client`."""

    async def _leave(self) -> None:
        """Closes the client and deletes its vault."""
        raise NotImplementedError

    def devices(self) -> list[Device]:
        """Our account's devices, this one included, as the newest signed list says."""
        engine = self._running
        return list(engine.devices.get(engine.core.me.account, ()))

    def contact_devices(self, account: AccountId) -> list[Device]:
        """A contact's devices; empty for an account that is not known."""
        return list(self._running.devices.get(account, ()))

    async def name_device(self, label: str) -> None:
        """What this device is called, at most 40 bytes of UTF-8; our other devices and contacts are told, sealed.

        LocalError(TOO_LARGE).
        """
        await self._running.do(lambda turn: own_devices.name_device(turn, label))

    async def link(self) -> LinkOffer:
        """Offers to link another device: its code is valid for three minutes, and for one device.

        LocalError(TOO_MANY) when the account has 8 devices; Rejected, Unreachable.
        """
        await self._running.do(own_devices.require_room)
        offer = LinkOffer(self._running)
        await offer.open()
        return offer

    async def revoke(self, device: DeviceId) -> None:
        """Removes another device from the account, for good and at once; returns when the server has the new list.

        From then on nothing is sealed for it, and it cannot sign in. Contacts and our other devices are told.
        LocalError (FORBIDDEN: this device; NOT_FOUND), Rejected. Unreachable: no answer within 30 s; the removal stays
        asked for.
        """
        await self._changed(lambda turn: own_devices.revoke(turn, device))

    async def sign_out(self) -> None:
        """Removes this device from the account and deletes its vault; the client is closed afterwards.

        The account's last device cannot be removed: only its vault is deleted, and with it everything. The same goes
        for one that is signed out already. What has not been sent is lost. Rejected, or Unreachable after 30 s without
        an answer: nothing is deleted then, and the removal stays asked for.
        """
        if not self._running.halted:
            await self._changed(own_devices.leave)
        await self._leave()

    async def _changed(self, step: Callable[[Turn], bytes | None]) -> None:
        engine = self._running
        errand = await engine.do(step)
        if errand is None:
            return
        try:
            async with asyncio.timeout(LIST_WITHIN_S):
                await engine.errand_done(errand)
        except TimeoutError:
            raise Unreachable from None
