"""Layouts that belong to no other chapter: integers, outer, sign-in, signals."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport_protocol.errors import ErrorCode, FormatError, LocalError, RemoteError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, StoreEpoch
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.signed import (
    AuthTranscript,
    MessageClass,
    MessageFlags,
    Outer,
    Reader,
    SignalFields,
    SigningKey,
    archive_aad,
    exact,
    lp,
    sign_auth_ok,
    u16,
    u32,
    u64,
    verify_auth_ok,
)

draw = random.Random("signed").randbytes
ids = st.binary(min_size=16, max_size=16)
counts = st.integers(0, MAX_INTEGER)


def test_integers_fit_or_are_refused() -> None:
    assert (u16(65_535), u32(2**32 - 1), u64(MAX_INTEGER)) == (b"\xff" * 2, b"\xff" * 4, b"\x00\x1f" + b"\xff" * 6)
    for make, most in ((u16, 2**16 - 1), (u32, 2**32 - 1), (u64, MAX_INTEGER)):
        for wrong in (-1, most + 1):
            with pytest.raises(LocalError):
                make(wrong)
    with pytest.raises(LocalError):
        exact(bytes(15), 16)


def test_a_reader_stops_at_every_misfit() -> None:
    read = Reader(u16(7) + lp(b"abc") + u64(9), "test")
    assert (read.u16(), read.lp(3), read.u64()) == (7, b"abc", 9)
    read.end()
    steps: list[tuple[bytes, Callable[[Reader], object]]] = [
        (b"\x00", lambda r: r.u16()),
        (b"\x00\x20" + bytes(6), lambda r: r.u64()),
        (lp(b"abcd"), lambda r: r.lp(3)),
        (u32(9) + b"abc", lambda r: r.lp(9)),
        (b"x", lambda r: r.end()),
    ]
    for source, step in steps:
        with pytest.raises(FormatError):
            step(Reader(source, "test"))


outers = st.builds(
    Outer,
    conv=ids.map(ConversationId),
    epoch=counts,
    account=ids.map(AccountId),
    device=ids.map(DeviceId),
    id=ids.map(MessageId),
    ts_ms=counts,
    kind=st.sampled_from(MessageClass),
    flags=st.integers(0, 7).map(MessageFlags),
    act_until_ms=counts,
    commitment=st.binary(min_size=32, max_size=32),
)


@given(outers)
def test_outers_round_trip_in_125_bytes(outer: Outer) -> None:
    encoded = outer.encode()
    assert len(encoded) == 125
    assert Outer.parse(encoded) == outer


@given(outers, st.sampled_from(["epoch", "ts_ms", "act_until_ms"]), st.sampled_from([-1, MAX_INTEGER + 1, 2**70]))
def test_an_outer_with_a_number_out_of_range_is_not_written(outer: Outer, name: str, value: int) -> None:
    with pytest.raises(LocalError):
        replace(outer, **{name: value}).encode()


@pytest.mark.parametrize(
    ("at", "value", "code"),
    [
        (0, 2, ErrorCode.UNSUPPORTED),
        (0, 0, ErrorCode.UNSUPPORTED),
        (1, 1, ErrorCode.UNSUPPORTED),
        (2, 2, ErrorCode.UNSUPPORTED),
        (83, 3, ErrorCode.UNSUPPORTED),
        (84, 8, ErrorCode.UNSUPPORTED),
        (19, 0x20, ErrorCode.BAD_FORMAT),
        (75, 0x80, ErrorCode.BAD_FORMAT),
        (85, 0xFF, ErrorCode.BAD_FORMAT),
    ],
)
def test_an_outer_of_another_version_is_told_from_damage(at: int, value: int, code: ErrorCode) -> None:
    encoded = bytearray(b"\x01\x00\x01" + bytes(122))
    Outer.parse(bytes(encoded))
    encoded[at] = value
    with pytest.raises(FormatError) as refused:
        Outer.parse(bytes(encoded))
    assert refused.value.code is code


def test_an_outer_has_one_length_and_its_fields_too() -> None:
    outer = Outer.parse(b"\x01\x00\x01" + bytes(122))
    for size in (0, 124, 126):
        with pytest.raises(FormatError):
            Outer.parse(b"\x01\x00\x01" + bytes(size)[3:])
    with pytest.raises(LocalError):
        replace(outer, commitment=b"").encode()
    with pytest.raises(LocalError):
        replace(outer, conv=ConversationId(b"short")).encode()


@given(st.builds(SignalFields, ids, counts, ids, ids, ids, st.integers(0, 2**32 - 1), counts))
def test_signal_fields_round_trip_in_84_bytes(fields: SignalFields) -> None:
    assert len(fields.encode()) == 84
    assert SignalFields.parse(fields.encode() + b"sealed") == fields
    for name, value in (("ctr", 2**32), ("ctr", -1), ("epoch", MAX_INTEGER + 1), ("ts_ms", -1)):
        with pytest.raises(LocalError):
            replace(fields, **{name: value}).encode()
    with pytest.raises(FormatError):
        SignalFields.parse(fields.encode()[:76] + b"\xff" * 8)


def test_archive_associated_data_has_one_length() -> None:
    place = AccountId(draw(16)), ConversationId(draw(16)), MessageId(draw(16))
    assert len(archive_aad(*place, 1)) == 4 + len("Rapport/1 archive-entry") + 52
    with pytest.raises(LocalError):
        archive_aad(*place, 2**32)


# --- signing in -------------------------------------------------------------------------------------------------------

DEVICE, SERVER = SigningKey(draw(32)), SigningKey(draw(32))
EPOCH = StoreEpoch(draw(16))
TRANSCRIPT = AuthTranscript(
    origin="https://rapport.example",
    server_id=SERVER.public,
    conn=draw(16),
    server_nonce=draw(32),
    client_nonce=draw(32),
    account=AccountId(draw(16)),
    device=DeviceId(draw(16)),
    state_rev=3,
    server_time_ms=1_800_000_000_000,
)


def test_both_sides_prove_themselves() -> None:
    signature = TRANSCRIPT.sign(DEVICE)
    TRANSCRIPT.verify(DEVICE.public, signature)
    answer = sign_auth_ok(SERVER, TRANSCRIPT, signature, EPOCH)
    verify_auth_ok(SERVER.public, TRANSCRIPT, signature, EPOCH, answer)
    assert AuthTranscript.parse(TRANSCRIPT.encode()) == TRANSCRIPT


@pytest.mark.parametrize("name", AuthTranscript.__struct_fields__)
def test_every_field_of_a_sign_in_counts(name: str) -> None:
    value = getattr(TRANSCRIPT, name)
    other: object = value + 1 if isinstance(value, int) else value[:-1] + (b"~" if isinstance(value, bytes) else "~")
    signature = TRANSCRIPT.sign(DEVICE)
    answer = sign_auth_ok(SERVER, TRANSCRIPT, signature, EPOCH)
    relayed = replace(TRANSCRIPT, **{name: other})
    with pytest.raises(RemoteError, match="invalid_signature"):
        relayed.verify(DEVICE.public, signature)
    with pytest.raises(RemoteError, match="invalid_signature"):
        verify_auth_ok(SERVER.public, relayed, signature, EPOCH, answer)


def test_the_answer_is_bound_to_signature_store_and_server() -> None:
    signature = TRANSCRIPT.sign(DEVICE)
    answer = sign_auth_ok(SERVER, TRANSCRIPT, signature, EPOCH)
    for public, made, epoch in (
        (DEVICE.public, signature, EPOCH),
        (SERVER.public, bytes(64), EPOCH),
        (SERVER.public, signature, StoreEpoch(bytes(16))),
    ):
        with pytest.raises(RemoteError, match="invalid_signature"):
            verify_auth_ok(public, TRANSCRIPT, made, epoch, answer)


@given(st.integers(0, 200), st.integers(0, 7))
def test_damaged_transcripts_are_refused_or_differ(at: int, bit: int) -> None:
    changed = bytearray(TRANSCRIPT.encode())
    changed[at % len(changed)] ^= 1 << bit
    with contextlib.suppress(FormatError):
        assert AuthTranscript.parse(bytes(changed)) != TRANSCRIPT


def test_transcripts_have_limits() -> None:
    encoded = TRANSCRIPT.encode()
    for wrong in (encoded[:-1], encoded + b"\x00", b"", b"\xff" * 200, lp(b"\xff\xfe") + bytes(160)):
        with pytest.raises(FormatError):
            AuthTranscript.parse(wrong)
    with pytest.raises(LocalError):
        replace(TRANSCRIPT, origin="https://" + "x" * 505).encode()
    replace(TRANSCRIPT, origin="https://" + "x" * 504).encode()


def test_a_signing_key_does_not_show_its_seed() -> None:
    assert repr(DEVICE) == "SigningKey()"
    assert SigningKey(DEVICE.seed).public == DEVICE.public
    with pytest.raises(LocalError):
        SigningKey(bytes(31))
