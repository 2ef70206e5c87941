"""A server keeps pages of its store in memory, up to a fixed size. Whoever measures its growth fills that first."""

from __future__ import annotations

from rapport.bench.practice import BenchAccount, BenchPractice
from rapport.bench.relay import relay_pair
from rapport.bench.resume import drain, fill
from rapport_protocol.limits import CT_BYTES
from rapport_protocol.membership_entries import MemberRole

__all__ = ["fill_caches"]

MESSAGES = 6000
"""Of the largest size: 100 MB, as much as the pages that the store keeps for writing (64 MiB) and reading (32 MiB)."""


async def fill_caches(origin: str, practice: BenchPractice, owner: BenchAccount) -> None:
    """Writes that much for a device that is away, and reads it when it comes back."""
    invite = await practice.invite(owner, MemberRole.OWNER, MemberRole.CLIENT)
    client = await practice.join(invite)
    pair = relay_pair(origin, invite.conv, owner, client, ct_bytes=CT_BYTES)
    for reader in pair.readers:
        reader.socket.close()
    fill(pair, MESSAGES)
    found = drain(origin, client.devices[0], pair)
    assert len(found) == MESSAGES
    pair.sender.socket.close()
