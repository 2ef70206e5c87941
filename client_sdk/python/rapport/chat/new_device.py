"""The new device's side of `/link`: shows six digits and waits."""

import platform
from collections.abc import Callable
from pathlib import Path

from rapport.chat.key_place import place_key
from rapport.linking import link_device

__all__ = ["link_here", "usual_label"]


def usual_label() -> str:
    """What a device is called unless its owner says otherwise: nothing that a host name would tell."""
    return f"{platform.system() or 'Computer'} terminal"


async def link_here(code: str, vault: Path, label: str, server: str | None, show: Callable[[str], None]) -> str:
    """Makes the vault's folder a device of the account that shows the code; returns once it is one.

    Returns what the person must be told once about where the key is, or "". Raises what `rapport.link_device` and its
    parts raise.
    """
    notice = await place_key(vault)
    async with link_device(code, vault=vault, label=label, server=server) as linking:
        show(f"Type these digits on the other device: {linking.digits[:3]} {linking.digits[3:]}")
        show("Waiting for it … (Ctrl-C gives up; nothing is changed then.)")
        await linking.finished()
    show("This device belongs to the account now.")
    return notice
