"""Verifies uploaded prekeys before the store takes them: nobody can be handed a key that its device did not sign.

Source: docs/protocol.md, chapters 2 and 5.
"""

from collections.abc import Sequence

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.prekeys import LastResortKey, OneTimeBundle, SignedPrekey
from rapport_server.records import NewPrekeys

__all__ = ["checked_prekeys"]


def checked_prekeys(
    account: AccountId,
    device: DeviceId,
    dsig: bytes,
    signed: bytes | None,
    last_resort: bytes | None,
    one_time: Sequence[bytes],
) -> NewPrekeys:
    """Parsed and verified prekeys of one device, under the signing key of its listed entry.

    About 0.1 ms per bundle: callers in the event loop run it in a thread. Raises FormatError,
    RemoteError(INVALID_SIGNATURE), RuleBroken(WEAK_KEY), Rejected(CONFLICT) when an id occurs twice.
    """
    taken_signed = taken_last = None
    if signed is not None:
        prekey = SignedPrekey.parse(signed)
        prekey.check(account, device, dsig)
        taken_signed = (prekey.id, signed)
    if last_resort is not None:
        key = LastResortKey.parse(last_resort)
        key.check(account, device, dsig)
        taken_last = (key.id, last_resort)
    taken: dict[int, bytes] = {}
    for raw in one_time:
        bundle = OneTimeBundle.parse(raw)
        bundle.check(account, device, dsig)
        if taken.setdefault(bundle.id, raw) is not raw:
            raise Rejected(ErrorCode.CONFLICT, "a one-time bundle's id occurs twice")
    return NewPrekeys(taken_signed, taken_last, list(taken.items()))
