"""The name under which a person uses the relay in one call, which tells the relay nothing about who that is.

Source: docs/protocol.md, chapter 21.
"""

import hashlib
import hmac
from typing import Final

from rapport_protocol.ids import AccountId, PracticeId
from rapport_protocol.signed import label

__all__ = ["opaque_name"]

_NAME_BYTES: Final = 16


def opaque_name(seed: bytes, practice: PracticeId, account: AccountId, about: bytes) -> str:
    """32 hexadecimal digits. seed: the server's own; about: the call or the appointment."""
    mac = hmac.new(seed, label("turn") + practice + account + about, hashlib.sha256)
    return mac.digest()[:_NAME_BYTES].hex()
