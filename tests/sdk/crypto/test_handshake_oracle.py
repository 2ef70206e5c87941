"""300 random handshakes against the independent `x3dh`, both roles.

X3DH has no KEM secret: here, and only here, it is left out.
"""

from __future__ import annotations

import os
import random
import warnings
from typing import Any

from rapport.crypto.handshake import initiator_agreement, responder_agreement, session_key
from rapport.crypto.primitives import Random, x25519_public
from rapport_protocol.signed import label
from tests.sdk.crypto.pair import chance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import x3dh
    import xeddsa
    from x3dh.identity_key_pair import IdentityKeyPairPriv

SCHEDULES = 300


class Oracle(x3dh.BaseState):
    """An X3DH party with identity keys like our DIK."""

    @staticmethod
    def _encode_public_key(key_format: x3dh.IdentityKeyFormat, pub: bytes) -> bytes:
        return pub


def oracle(info: bytes, identity: bytes, prekeys: int) -> Oracle:
    state: Any = Oracle.create(
        identity_key_format=x3dh.IdentityKeyFormat.CURVE_25519,
        hash_function=x3dh.HashFunction.SHA_256,
        info=info,
        identity_key_pair=IdentityKeyPairPriv(identity),
    )
    state.generate_pre_keys(prekeys)
    made: Oracle = state
    return made


async def ours_starts(draw: Random, one_time: bool) -> None:
    hashed, dik, ephemeral = draw(32), draw(32), draw(32)
    theirs = oracle(label("pqxdh") + hashed, draw(32), int(one_time))
    bundle = theirs.bundle
    (pre_key,) = bundle.pre_keys or {b""}
    agreement = initiator_agreement(dik, ephemeral, bundle.identity_key, bundle.signed_pre_key, pre_key)
    header = x3dh.Header(
        identity_key=x25519_public(dik),
        ephemeral_key=x25519_public(ephemeral),
        signed_pre_key=bundle.signed_pre_key,
        pre_key=pre_key or None,
    )
    secret, _, _ = await theirs.get_shared_secret_passive(header, require_pre_key=False)
    assert session_key(agreement, b"", hashed) == secret


async def theirs_starts(draw: Random, one_time: bool) -> None:
    hashed, dik, spk, otk = draw(32), draw(32), draw(32), draw(32)
    theirs = oracle(label("pqxdh") + hashed, draw(32), 0)
    signed = x25519_public(spk)
    bundle = x3dh.Bundle(
        identity_key=x25519_public(dik),
        signed_pre_key=signed,
        signed_pre_key_sig=xeddsa.ed25519_priv_sign(xeddsa.priv_force_sign(dik, False), signed, draw(64)),
        pre_keys=frozenset({x25519_public(otk)} if one_time else ()),
    )
    secret, _, header = await theirs.get_shared_secret_active(bundle, require_pre_key=False)
    agreement = responder_agreement(header.identity_key, header.ephemeral_key, dik, spk, otk if one_time else b"")
    assert session_key(agreement, b"", hashed) == secret


async def test_random_handshakes_agree_with_x3dh() -> None:
    run = os.urandom(4).hex()
    for at in range(SCHEDULES):
        seed = f"{run}/{at}"
        choice = random.Random(seed)
        role = choice.choice((ours_starts, theirs_starts))
        try:
            await role(chance(seed), choice.random() < 0.7)
        except AssertionError as error:
            raise AssertionError(f"handshake {seed}, {role.__name__}") from error
