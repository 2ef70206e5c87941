"""Small rules that every store adapter shares: device sets, which key is whose, which prekeys stay, where a page ends.

Pure functions over bytes; identifiers are 16 bytes each and joined in ascending order.
Source: docs/protocol.md, sections 12.3 and 12.6.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES, DeviceId, split_ids
from rapport_protocol.limits import DORMANT_AFTER_MS, SEQ_JUMP
from rapport_protocol.requests import ArchivedItem, ArchivePage
from rapport_protocol.sealed_keys import NORMAL_KEY_BYTES, split_sealed_keys
from rapport_server.records import NewPrekeys

__all__ = [
    "BATCH_JOBS",
    "ONE_TIME_STORED",
    "PAGE_BYTES",
    "QUEUED_JOBS",
    "URGENT_KEPT_MS",
    "cut_page",
    "device_index",
    "dormant_devices",
    "fresh_bundles",
    "joined",
    "key_of",
    "mismatch",
    "newer_key",
    "next_link_step",
    "restore_jump",
    "without",
]

ONE_TIME_STORED: Final = 200
"""Most one-time bundles kept per device: four times what a device is asked to keep, so that no honest top-up is ever
refused.
"""
PAGE_BYTES: Final = 1_048_576
"""A page of history stops before it grows past this, bytes of bodies and entries."""
QUEUED_JOBS: Final = 8192
"""Most jobs waiting for the writer: 16 full batches, well under a second of work; then `busy`."""
_JUMPS: Final = 2048
"""Most SEQ_JUMPs at once: clients believe many times that."""
URGENT_KEPT_MS: Final = 7 * 86_400_000
"""How long the record of an urgent message is kept after its end, milliseconds: who confirms late is still answered."""
BATCH_JOBS: Final = 512
"""Most jobs in one transaction: beyond it the share of one sync per job no longer falls."""


def restore_jump() -> int:
    """How far numbers jump in a store that was restored, for conversations of the copy and for those it lacked.

    Not always the same: the same copy may be restored twice, and what was numbered in between is lost as well.
    """
    return SEQ_JUMP * (1 + secrets.randbelow(_JUMPS))


def joined(ids: Iterable[bytes]) -> bytes:
    """Identifiers in ascending order, concatenated."""
    return b"".join(sorted(ids))


def device_index(devices: bytes, device: bytes) -> int:
    """Place of a device in joined identifiers, -1 when it is not among them."""
    start = devices.find(device)
    while start >= 0 and start % ID_BYTES:  # a match across two neighbours is none
        start = devices.find(device, start + 1)
    return start // ID_BYTES if start >= 0 else -1


def dormant_devices(seen: Mapping[DeviceId, int], now: int) -> set[DeviceId]:
    """Which listed devices of one account need not be sealed for.

    seen: when each was last seen. Those unseen for 45 days, as long as another one was seen since; never all of them.
    """
    since = now - DORMANT_AFTER_MS
    unseen = {device for device, at in seen.items() if at <= since}
    return unseen if len(unseen) < len(seen) else set()


def without(devices: bytes, device: bytes) -> bytes:
    """Joined identifiers less one of them; unchanged when it is not there."""
    index = device_index(devices, device)
    return devices if index < 0 else devices[: index * ID_BYTES] + devices[(index + 1) * ID_BYTES :]


def mismatch(given: bytes, required: bytes) -> tuple[bytes, bytes]:
    """What a post's device set lacks and what it has too much: (missing, stale), each joined in ascending order."""
    have, want = set(split_ids(given)), set(split_ids(required))
    return joined(want - have), joined(have - want)


def key_of(keys: bytes, count: int, index: int) -> bytes:
    """The sealed key at `index` of `count` joined keys, 195 or 1,324 bytes each; a single key may have any length."""
    if count == 1:
        return keys
    if len(keys) == count * NORMAL_KEY_BYTES:
        return keys[index * NORMAL_KEY_BYTES : (index + 1) * NORMAL_KEY_BYTES]
    return split_sealed_keys(keys)[index]


def newer_key(held: tuple[int, bytes] | None, uploaded: tuple[int, bytes] | None) -> tuple[int, bytes] | None:
    """Which of two keys by id stays: the higher id. Raises Rejected(CONFLICT) for one id with two contents."""
    if held is None or uploaded is None:
        return held or uploaded
    if held[0] == uploaded[0] and held[1] != uploaded[1]:
        raise Rejected(ErrorCode.CONFLICT, "prekey id is taken")
    return max(held, uploaded)


def fresh_bundles(held: dict[int, bytes], top: int, uploaded: NewPrekeys) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """The one-time bundles that stay, and those of an upload that are new to the store.

    held: what is there now. top: highest id ever uploaded; ids grow, so one at or below it that is not there was
    claimed and is not taken again. Raises Rejected(CONFLICT) for an id with other bytes, TOO_MANY beyond
    ONE_TIME_STORED.
    """
    fresh: dict[int, bytes] = {}
    for key, raw in uploaded.one_time:
        known = held.get(key) if key <= top else fresh.setdefault(key, raw)
        if known is not None and known != raw:
            raise Rejected(ErrorCode.CONFLICT, "prekey id is taken")
    again = {key for key, _ in uploaded.one_time}
    kept = {key: raw for key, raw in held.items() if key in again} if uploaded.replace else dict(held)
    if len(kept) + len(fresh) > ONE_TIME_STORED:
        raise Rejected(ErrorCode.TOO_MANY, "too many one-time bundles")
    return kept, fresh


def next_link_step(steps: Sequence[bytes], step: int, content: bytes) -> bool:
    """Whether this step is the next one of a link; False when it stands with the same bytes.

    Raises Rejected(CONFLICT) when it stands with other bytes, RULE_BROKEN when an earlier one is missing.
    """
    if step < len(steps):
        if steps[step] != content:
            raise Rejected(ErrorCode.CONFLICT, "this step of the link is written")
        return False
    if step > len(steps):
        raise Rejected(ErrorCode.RULE_BROKEN, "an earlier step of the link is missing")
    return True


def cut_page(found: Iterable[ArchivedItem], limit: int) -> ArchivePage:
    """The first `limit` items, fewer when they pass PAGE_BYTES (never none), and where to go on.

    found: ascending by seq, one more than `limit` when there are more.
    """
    items: list[ArchivedItem] = []
    size = 0
    for item in found:
        size += len(item.outer) + len(item.nonce) + len(item.ct) + len(item.entry)
        if items and (len(items) == limit or size > PAGE_BYTES):
            return ArchivePage(items=items, next_seq=item.seq)
        items.append(item)
    return ArchivePage(items=items, next_seq=0)
