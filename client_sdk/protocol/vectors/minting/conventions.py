"""Chapter 1: labels, HKDF, hashes, signatures, weak keys; and what signing in signs (chapter 9)."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

from nacl import bindings

from minting.base import T0, Stream, case, flipped, refused, stored
from minting.cast import DANA
from rapport.crypto.primitives import (
    hkdf,
    hmac_sha256,
    kem_decapsulate,
    kem_encapsulate,
    kem_public,
    x25519,
)
from rapport_protocol.ids import AccountId, StoreEpoch
from rapport_protocol.signed import (
    LABELS,
    AuthTranscript,
    SigningKey,
    h256,
    http_token_hash,
    invite_id,
    key_commitment,
    label,
    lp,
    owner_token_hash,
    self_conversation,
    session_id,
    sign_auth_ok,
    verify,
    verify_auth_ok,
)

__all__ = ["hashes", "kdfs", "kem", "labels", "sign_in", "signatures", "weak_keys"]


def labels() -> list[dict[str, Any]]:
    """L(label) of every label."""
    return [case(name, use=use, bytes=label(name)) for name, use in LABELS.items()]


def kdfs() -> list[dict[str, Any]]:
    """HKDF-SHA256 with RFC 5869's first three cases, and HMAC-SHA256 as the chains use it."""
    published = [
        ("RFC 5869 A.1", bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42),
        ("RFC 5869 A.2", bytes(range(0x60, 0xB0)), bytes(range(0x50)), bytes(range(0xB0, 0x100)), 82),
        ("RFC 5869 A.3", b"", b"\x0b" * 22, b"", 42),
    ]
    random = Stream("hkdf")
    own = [
        ("root step", random(32), random(32), label("root"), 64),
        ("invite card key", bytes(32), random(32), label("invite-card"), 32),
    ]
    cases = [
        case(name, kind="hkdf", salt=salt, ikm=ikm, info=info, size=size, output=hkdf(salt, ikm, info, size))
        for name, salt, ikm, info, size in published + own
    ]
    for name, message in (("message key", b"\x01"), ("next chain key", b"\x02")):
        key = random(32)
        cases.append(case(name, kind="hmac", key=key, message=message, output=hmac_sha256(key, message)))
    return cases


def hashes() -> list[dict[str, Any]]:
    """H256 and everything that is one H256 away."""
    random = Stream("hashes")
    cases = [
        case(f"H256 {name}", kind="h256", label=name, content=content, output=h256(name, content))
        for name, content in (("body", b""), ("sid", random(32)), ("device-list-hash", random(300)))
    ]
    token, account, transcript, key = random(32), AccountId(random(16)), random(32), random(32)
    return [
        *cases,
        case("invite id", kind="invite_id", input=token, output=invite_id(token)),
        case("self conversation", kind="self_conversation", input=account, output=self_conversation(account)),
        case("session id", kind="session_id", input=transcript, output=session_id(transcript)),
        case("owner token", kind="owner_token", input=token, output=owner_token_hash(token)),
        case("HTTP token", kind="http_token", input=token, output=http_token_hash(token)),
        case("key commitment", kind="commitment", input=key, output=key_commitment(key)),
    ]


_RFC_8032 = (
    ("RFC 8032 7.1 test 1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", ""),
    ("RFC 8032 7.1 test 2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72"),
    ("RFC 8032 7.1 test 3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82"),
)


def signatures() -> list[dict[str, Any]]:
    """Plain Ed25519 samples, labelled signatures, and signatures that must not verify."""
    cases = []
    for name, seed_hex, message_hex in _RFC_8032:
        seed, message = bytes.fromhex(seed_hex), bytes.fromhex(message_hex)
        public, secret = bindings.crypto_sign_seed_keypair(seed)
        made = bindings.crypto_sign(message, secret)[:64]
        cases.append(case(name, kind="plain", seed=seed, public=public, message=message, signature=made))
    random = Stream("signatures")
    key, content = SigningKey(random(32)), random(50)
    good = key.sign("membership", content)
    cases.append(
        case(
            "labelled",
            kind="labelled",
            seed=key.seed,
            public=key.public,
            label="membership",
            content=content,
            signature=good,
            verdict=refused("ok", lambda: verify(key.public, "membership", content, good)),
        )
    )
    high_s = good[:32] + (int.from_bytes(good[32:], "little") + _ORDER).to_bytes(32, "little")
    bad = [
        ("under another label", "join", key.public, content, good),
        ("content changed", "membership", key.public, flipped(content, 49), good),
        ("signature changed", "membership", key.public, content, flipped(good, 3)),
        ("S not below the group order", "membership", key.public, content, high_s),
        ("another key", "membership", SigningKey(random(32)).public, content, good),
    ]
    for name, use, public, said, made in bad:
        found = refused("invalid_signature", partial(verify, public, use, said, made))
        cases.append(case(name, kind="labelled", public=public, label=use, content=said, signature=made, verdict=found))
    return cases


_ORDER = 2**252 + 27742317777372353535851937790883648493

_RFC_7748 = (
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
)
_SMALL_ORDER_X25519 = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
_SMALL_ORDER_ED25519 = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


def _small_order_r(key: SigningKey) -> dict[str, Any]:
    """A signature by a good key whose R is the neutral point: S = h * a satisfies the plain equation all the same."""
    content, point = b"anything", b"\x01" + bytes(31)
    expanded = hashlib.sha512(key.seed).digest()[:32]
    scalar = int.from_bytes(expanded, "little") & ~(7 | 1 << 255) & (1 << 255) - 1 | 1 << 254
    hashed = hashlib.sha512(point + key.public + label("auth") + content).digest()
    made = point + (int.from_bytes(hashed, "little") * scalar % _ORDER).to_bytes(32, "little")
    found = refused("invalid_signature", partial(verify, key.public, "auth", content, made))
    fields = {"public": key.public, "label": "auth", "content": content, "signature": made}
    return case("Ed25519 R of small order", kind="ed25519", **fields, verdict=found)


def weak_keys() -> list[dict[str, Any]]:
    """Public keys that every implementation refuses, beside good ones that it takes (RFC 7748 among them)."""
    random = Stream("weak keys")
    cases = []
    secret = random(32)
    for at, public in enumerate(_SMALL_ORDER_X25519):
        point = bytes.fromhex(public)
        found = refused("weak_key", partial(x25519, secret, point))
        cases.append(case(f"X25519 small order {at}", kind="x25519", secret=secret, public=point, verdict=found))
    # R = identity and S = 0 verify for a small-order key under the equation alone.
    forged = bytes.fromhex("01") + bytes(63)
    for at, public in enumerate(_SMALL_ORDER_ED25519):
        point = bytes.fromhex(public)
        found = refused("invalid_signature", partial(verify, point, "auth", b"anything", forged))
        cases.append(
            case(
                f"Ed25519 small order {at}",
                kind="ed25519",
                public=point,
                label="auth",
                content=b"anything",
                signature=forged,
                verdict=found,
            )
        )
    cases.append(_small_order_r(SigningKey(random(32))))
    good = kem_public(random(64))
    malformed = [
        ("ML-KEM public key, coefficient q", b"\x01\x0d" + good[2:]),
        ("ML-KEM public key, all ones", b"\xff" * 1184),
        ("ML-KEM public key, short", good[:-1]),
        ("ML-KEM public key, long", good + b"\x00"),
    ]
    for name, public_key in malformed:
        found = refused("bad_format", partial(kem_encapsulate, public_key))
        cases.append(case(name, kind="ml-kem", public=public_key, verdict=found))
    cases.append(case("ML-KEM public key, good", kind="ml-kem", public=good, verdict="ok"))
    own, public_key = (bytes.fromhex(piece) for piece in _RFC_7748)
    shared = x25519(own, public_key)
    cases.append(case("RFC 7748 6.1", kind="x25519", secret=own, public=public_key, output=shared, verdict="ok"))
    return cases


def _key_pair(name: str, seed: bytes, ciphertext: bytes, secret: bytes) -> dict[str, Any]:
    if kem_decapsulate(seed, ciphertext) != secret:
        raise AssertionError("the kept ML-KEM ciphertext does not belong to its secret")
    wrong = flipped(ciphertext, 100)
    return case(
        name,
        seed=seed,
        public=kem_public(seed),
        ciphertext=ciphertext,
        secret=secret,
        wrong_ciphertext=wrong,
        rejection_secret=kem_decapsulate(seed, wrong),
    )


def kem() -> list[dict[str, Any]]:
    """ML-KEM-768 key pairs with one encapsulation each. Encapsulation is random, so what was minted once is kept."""
    random, kept = Stream("kem"), stored("kem.json")
    cases = []
    for at, name in enumerate(("one-time bundle", "last-resort key")):
        seed = random(64)
        public = kem_public(seed)
        held = kept["cases"][at] if kept else None
        if held and held["public"] == public.hex():
            ciphertext, secret = bytes.fromhex(held["ciphertext"]), bytes.fromhex(held["secret"])
        else:
            ciphertext, secret = kem_encapsulate(public)
        cases.append(_key_pair(name, seed, ciphertext, secret))
    published = stored("minting/published_kem.json")
    shown = kem_public(bytes.fromhex(published["seed"])).hex()
    if not (shown.startswith(published["public_starts"]) and shown.endswith(published["public_ends"])):
        raise AssertionError("the published ML-KEM key pair")
    values = (bytes.fromhex(published[part]) for part in ("seed", "ciphertext", "secret"))
    return [*cases, _key_pair("published sample of C2SP", *values)]


def sign_in() -> list[dict[str, Any]]:
    """A device signs in, the server answers; then everything that must not pass."""
    random = Stream("sign-in")
    device, server = DANA.devices[0], SigningKey(random(32))
    transcript = AuthTranscript(
        origin="https://rapport.example:8443",
        server_id=server.public,
        conn=random(16),
        server_nonce=random(32),
        client_nonce=random(32),
        account=device.account,
        device=device.device,
        state_rev=41,
        server_time_ms=T0 + 7,
    )
    dsig, store_epoch = device.signing_key(), StoreEpoch(random(16))
    signature = transcript.sign(dsig)
    answer = sign_auth_ok(server, transcript, signature, store_epoch)
    verify_auth_ok(server.public, transcript, signature, store_epoch, answer)
    signed = transcript.encode()
    cases = [
        case(
            "sign-in",
            fields=transcript,
            dsig_seed=dsig.seed,
            dsig=dsig.public,
            server_seed=server.seed,
            signed_bytes=signed,
            signature=signature,
            transcript_hash=h256("auth-transcript", signed + signature),
            store_epoch=store_epoch,
            answer=answer,
            last_auth=signed + signature,
            verdict="ok",
        )
    ]
    for name, at in (("another origin", 8), ("another server", 32), ("another nonce", 90), ("another device", 170)):
        changed = flipped(signed, at)
        found = refused("invalid_signature", partial(verify, dsig.public, "auth", changed, signature))
        cases.append(case(name, dsig=dsig.public, signed_bytes=changed, signature=signature, verdict=found))
    for name, changed in (
        ("cut short", signed[:-1]),
        ("with trailing bytes", signed + b"\x00"),
        ("origin of another scheme", lp(b"ftp://x") + signed[32:]),
        ("origin with a blank", lp(b"https://a b") + signed[32:]),
        ("origin that is not ASCII", lp("https://\u00e4".encode()) + signed[32:]),
        ("origin of 513 bytes", lp(b"https://" + b"x" * 505) + signed[32:]),
        ("state_rev 2^63", signed[:-16] + b"\x80" + bytes(7) + signed[-8:]),
    ):
        found = refused("bad_format", partial(AuthTranscript.parse, changed))
        cases.append(case(name, signed_bytes=changed, verdict=found))
    return cases
