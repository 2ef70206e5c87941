"""What is checked of a direct before the store sees it, whether it comes alone or with a step of a call.

Source: docs/protocol.md, section 12.3.
"""

from typing import Final

from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.limits import CLOCK_TOLERANCE_MS
from rapport_protocol.messages import Direct
from rapport_protocol.sealed_keys import is_sealed_key
from rapport_protocol.signed import MessageClass, Outer
from rapport_server.jobs import DirectJob
from rapport_server.records import Principal

__all__ = ["DIRECT_MS", "direct_job"]

DIRECT_MS: Final = 30 * 86_400_000
"""Longest life of a direct: session acknowledgements and heartbeats."""
_NONCES: Final = (0, 24)
"""Bytes of a direct's nonce: none without a body."""


def direct_job(who: Principal, direct: Direct, now_ms: int, origin: object) -> DirectJob | ErrorCode:
    """The job for the store, or what is wrong with the direct. origin: see DirectJob."""
    try:
        outer = Outer.parse(direct.outer)
    except FormatError as problem:
        return problem.code
    if outer.account != who.account or outer.device != who.device:
        return ErrorCode.FORBIDDEN
    if outer.kind is not MessageClass.DIRECT or len(direct.nonce) not in _NONCES or not is_sealed_key(direct.key):
        return ErrorCode.BAD_FORMAT
    soon = now_ms + CLOCK_TOLERANCE_MS
    if outer.ts_ms > soon or not now_ms < outer.act_until_ms <= soon + DIRECT_MS:
        return ErrorCode.BAD_TIME
    return DirectJob(
        who.practice,
        who.account,
        who.device,
        outer.conv,
        outer.id,
        direct.outer,
        direct.nonce,
        direct.ct,
        direct.device,
        direct.key,
        outer.act_until_ms,
        origin,
    )
