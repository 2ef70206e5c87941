"""A body opens under its own payload, outer, nonce and ciphertext, and under nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport.crypto.envelope import KeyPayload, PayloadKind, SealedBody, open_body, open_note, seal_body, seal_note
from rapport.crypto.failures import AuthenticationFailed
from rapport_protocol.errors import FormatError, LocalError, RemoteError
from rapport_protocol.ids import MessageId
from rapport_protocol.signed import MessageClass, Outer, body_hash, key_commitment
from tests.sdk.crypto.pair import chance, flips, new_device, outer_of

DRAW = chance("envelope")
DEVICE = new_device(DRAW)
BODY = b"what was said"


@pytest.fixture
def sealed() -> SealedBody:
    return seal_body(outer_of(DEVICE, DRAW), BODY, DRAW)


def opened(sealed: SealedBody, payload: bytes | None = None) -> bytes:
    read = KeyPayload.parse(sealed.payload() if payload is None else payload)
    return open_body(sealed.outer, sealed.nonce, sealed.ciphertext, read)


def test_sizes_and_round_trip(sealed: SealedBody) -> None:
    assert (len(sealed.outer), len(sealed.nonce), len(sealed.payload())) == (125, 24, 96)
    assert opened(sealed) == BODY


def test_the_largest_body_is_taken_and_one_byte_more_refused() -> None:
    largest = seal_body(outer_of(DEVICE, DRAW), bytes(16_383), DRAW)
    assert len(largest.ciphertext) == 16_400
    assert opened(largest) == bytes(16_383)
    with pytest.raises(LocalError, match="too_large"):
        seal_body(outer_of(DEVICE, DRAW), bytes(16_384), DRAW)


@pytest.mark.parametrize("part", ["outer", "nonce", "ciphertext"])
def test_every_changed_byte_is_refused(sealed: SealedBody, part: str) -> None:
    for at, changed in flips(getattr(sealed, part)):
        with pytest.raises(RemoteError):
            opened(replace(sealed, **{part: changed}))
            pytest.fail(f"byte {at} of {part}")


def test_every_changed_byte_of_the_payload_is_refused(sealed: SealedBody) -> None:
    for at, changed in flips(sealed.payload()):
        with pytest.raises(RemoteError):
            opened(sealed, changed)
            pytest.fail(f"byte {at}")


def test_truncation_is_refused(sealed: SealedBody) -> None:
    payload = sealed.payload()
    cuts: list[Callable[[], object]] = [
        lambda: Outer.parse(sealed.outer[:-1]),
        lambda: Outer.parse(sealed.outer + b"\x00"),
        lambda: KeyPayload.parse(payload[:-1]),
        lambda: KeyPayload.parse(payload + b"\x00"),
        lambda: opened(replace(sealed, ciphertext=sealed.ciphertext[:-1])),
        lambda: opened(replace(sealed, ciphertext=b"")),
        lambda: opened(replace(sealed, nonce=sealed.nonce[:-1])),
    ]
    for cut in cuts:
        with pytest.raises(RemoteError):
            cut()


def test_who_knows_the_key_cannot_replace_the_body(sealed: SealedBody) -> None:
    """A recipient seals another body under the same K; the payloads of the others do not fit it."""
    key = KeyPayload.parse(sealed.payload()).key
    other = seal_body(Outer.parse(sealed.outer), b"something else", lambda size: key if size == 32 else DRAW(size))
    assert Outer.parse(other.outer).commitment == key_commitment(key)
    with pytest.raises(AuthenticationFailed, match="hash"):
        opened(other, sealed.payload())


def test_one_ciphertext_has_one_key(sealed: SealedBody) -> None:
    """A sender gives another key with the right hash: the commitment in the outer catches it before the AEAD."""
    with pytest.raises(AuthenticationFailed, match="commitment"):
        opened(sealed, KeyPayload(PayloadKind.KEY, DRAW(32), sealed.hash).encode())


def test_a_resend_opens_the_original(sealed: SealedBody) -> None:
    original = Outer.parse(sealed.outer).id
    payload = KeyPayload.parse(sealed.resend(original))
    assert (payload.kind, payload.ref) == (PayloadKind.RESEND, original)
    assert open_body(sealed.outer, sealed.nonce, sealed.ciphertext, payload) == BODY


def test_notes_are_bound_to_their_outer() -> None:
    outer, note = seal_note(outer_of(DEVICE, DRAW, MessageClass.DIRECT))
    payload = KeyPayload.parse(note)
    open_note(outer, payload)
    for at, changed in flips(outer):
        with pytest.raises(RemoteError):
            open_note(changed, payload)
            pytest.fail(f"byte {at}")
    with pytest.raises(LocalError):
        open_body(outer, b"", b"", payload)
    sealed = seal_body(outer_of(DEVICE, DRAW), BODY, DRAW)
    with pytest.raises(AuthenticationFailed):
        open_note(sealed.outer, KeyPayload.parse(sealed.payload()))
    with_commitment = sealed.outer
    hashed = body_hash(with_commitment, b"", b"")
    with pytest.raises(AuthenticationFailed):
        open_note(with_commitment, KeyPayload(PayloadKind.NOTE, bytes(32), hashed))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_outer_or_refused(source: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert Outer.parse(source).encode() == source


@given(st.sampled_from(PayloadKind), st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_payloads_round_trip_or_are_refused(kind: PayloadKind, key: bytes, ref: bytes) -> None:
    payload = KeyPayload(kind, key, bytes(32), MessageId(ref))
    try:
        assert KeyPayload.parse(payload.encode()) == payload
    except FormatError:
        fits = (kind is PayloadKind.RESEND) == (ref != bytes(16)) and (kind is PayloadKind.NOTE) == (key == bytes(32))
        assert not fits


def test_secrets_do_not_show(sealed: SealedBody) -> None:
    payload = KeyPayload.parse(sealed.payload())
    assert repr(sealed) == "SealedBody()"
    assert repr(payload) == "KeyPayload(KEY)"
