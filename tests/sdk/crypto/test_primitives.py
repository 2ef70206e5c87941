"""Samples of the RFCs, and what every implementation must refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.primitives import (
    hkdf,
    kem_decapsulate,
    kem_encapsulate,
    kem_public,
    open_sealed,
    seal,
    x25519,
    x25519_public,
)
from rapport_protocol.errors import FormatError, LocalError
from rapport_protocol.rules import Rule, RuleBroken
from rapport_protocol.signed import SigningKey, verify
from tests.sdk.crypto.pair import chance, flips


@pytest.mark.parametrize(
    ("salt", "ikm", "info", "output"),
    [
        (
            "000102030405060708090a0b0c",
            "0b" * 22,
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            "",
            "0b" * 22,
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
    ids=["RFC 5869 A.1", "RFC 5869 A.3"],
)
def test_hkdf(salt: str, ikm: str, info: str, output: str) -> None:
    wanted = bytes.fromhex(output)
    assert hkdf(bytes.fromhex(salt), bytes.fromhex(ikm), bytes.fromhex(info), len(wanted)) == wanted


def test_hkdf_over_several_blocks() -> None:
    """RFC 5869 A.2."""
    output = hkdf(bytes(range(0x60, 0xB0)), bytes(range(0x50)), bytes(range(0xB0, 0x100)), 82)
    assert output.hex().startswith("b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c")
    assert output.hex().endswith("cc30c58179ec3e87c14c01d5c1f3434f1d87")


def test_x25519() -> None:
    """RFC 7748, section 6.1."""
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert x25519_public(alice).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert x25519(alice, x25519_public(bob)).hex() == x25519(bob, x25519_public(alice)).hex() == shared


def test_ed25519() -> None:
    """RFC 8032, section 7.1, tests 1 and 2; our signatures put a label in front."""
    for seed, public, message, start in (
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        ),
    ):
        assert SigningKey(bytes.fromhex(seed)).public.hex() == public
        pair = bindings.crypto_sign_seed_keypair(bytes.fromhex(seed))
        assert bindings.crypto_sign(bytes.fromhex(message), pair[1]).hex().startswith(start)


def test_a_signature_holds_for_one_key_one_label_one_content() -> None:
    draw = chance("signature")
    key, content = SigningKey(draw(32)), draw(40)
    signature = key.sign("spk", content)
    verify(key.public, "spk", content, signature)
    with pytest.raises(Exception, match="invalid_signature"):
        verify(key.public, "otk", content, signature)
    for _, changed in flips(signature):
        with pytest.raises(Exception, match="invalid_signature"):
            verify(key.public, "spk", content, changed)
    for cut in (b"", signature[:-1], signature + b"\x00"):
        with pytest.raises(Exception, match="invalid_signature"):
            verify(key.public, "spk", content, cut)


def test_small_order_keys_are_weak() -> None:
    for start in (b"\x00", b"\x01"):
        with pytest.raises(RuleBroken) as refused:
            x25519(b"\x09" * 32, start + bytes(31))
        assert refused.value.rule is Rule.WEAK_KEY


@given(plain=st.binary(max_size=300), associated=st.binary(max_size=100), at=st.integers(min_value=0))
def test_a_sealed_text_opens_only_unchanged(plain: bytes, associated: bytes, at: int) -> None:
    draw = chance("seal")
    key, nonce = draw(32), draw(24)
    sealed = seal(key, nonce, plain, associated)
    assert len(sealed) == len(plain) + 16
    assert open_sealed(key, nonce, sealed, associated) == plain
    changed = bytearray(sealed)
    changed[at % len(sealed)] ^= 1
    for wrong in (bytes(changed), sealed[:-1], b""):
        with pytest.raises(AuthenticationFailed):
            open_sealed(key, nonce, wrong, associated)
    with pytest.raises(AuthenticationFailed):
        open_sealed(key, nonce, sealed, associated + b"\x00")


def test_ml_kem_agrees_and_rejects_silently() -> None:
    seed = chance("kem")(64)
    ciphertext, secret = kem_encapsulate(kem_public(seed))
    assert kem_decapsulate(seed, ciphertext) == secret
    other = kem_decapsulate(seed, bytes([ciphertext[0] ^ 1]) + ciphertext[1:])
    assert other != secret
    assert len(other) == 32
    with pytest.raises(FormatError):
        kem_encapsulate(b"\xff" * 1184)
    with pytest.raises(LocalError):
        kem_decapsulate(seed, ciphertext[:-1])
