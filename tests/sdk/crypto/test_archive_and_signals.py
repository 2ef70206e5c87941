"""Archive entries and signals: bound to their place, closed to everybody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport.crypto.archive import ArchiveRecord, Trust, archive_key, entry_epoch, open_entry, seal_entry
from rapport.crypto.envelope import open_body, seal_body
from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.padding import pad_to
from rapport.crypto.primitives import seal
from rapport.crypto.signals import SIGNAL_SIZES, open_signal, seal_signal, signal_key, signal_rises
from rapport_protocol.errors import ErrorCode, FormatError, LocalError, RemoteError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.signed import SignalFields, archive_aad
from tests.sdk.crypto.pair import NOW, chance, flips, new_device, outer_of

DRAW = chance("archive and signals")
DEVICE = new_device(DRAW)
PLACE = (AccountId(DRAW(16)), ConversationId(DRAW(16)), MessageId(DRAW(16)))
EPOCH_KEY = DRAW(32)
KEY = archive_key(EPOCH_KEY, PLACE[0], PLACE[1])
RECORD = ArchiveRecord(DRAW(32), DRAW(32), DEVICE.account, DEVICE.device, Trust.NORMAL, NOW)


def test_an_entry_opens_the_stored_body() -> None:
    sealed = seal_body(outer_of(DEVICE, DRAW), b"said long ago", DRAW)
    record = replace(RECORD, key=sealed.key, body_hash=sealed.hash)
    entry = seal_entry(KEY, 7, PLACE, record, DRAW)
    assert (len(entry), entry_epoch(entry)) == (149, 7)
    found = open_entry(KEY, PLACE, entry)
    assert found == record
    assert open_body(sealed.outer, sealed.nonce, sealed.ciphertext, found.payload()) == b"said long ago"
    assert repr(found) == "ArchiveRecord()"


def test_every_changed_byte_of_an_entry_is_refused() -> None:
    entry = seal_entry(KEY, 1, PLACE, RECORD, DRAW)
    for at, changed in flips(entry):
        with pytest.raises(AuthenticationFailed):
            open_entry(KEY, PLACE, changed)
            pytest.fail(f"byte {at}")
    for cut in (b"", entry[:-1], entry + b"\x00"):
        with pytest.raises(FormatError):
            open_entry(KEY, PLACE, cut)


def test_an_entry_of_a_later_version_is_told_from_damage() -> None:
    def entry_with(trust: int, received: int) -> bytes:
        nonce, plain = DRAW(24), bytes(96) + bytes([trust]) + received.to_bytes(8, "big")
        return bytes(4) + nonce + seal(KEY, nonce, plain, archive_aad(*PLACE, 0))

    assert open_entry(KEY, PLACE, entry_with(2, 2**53 - 1)).trust is Trust.RESTORED
    for entry, code in (
        (entry_with(3, 0), ErrorCode.UNSUPPORTED),
        (entry_with(0, 2**53), ErrorCode.BAD_FORMAT),
    ):
        with pytest.raises(FormatError) as refused:
            open_entry(KEY, PLACE, entry)
        assert refused.value.code is code


def test_an_entry_belongs_to_one_account_conversation_and_message() -> None:
    entry = seal_entry(KEY, 1, PLACE, RECORD, DRAW)
    account, conv, message = PLACE
    for place in (
        (AccountId(DRAW(16)), conv, message),
        (account, ConversationId(DRAW(16)), message),
        (account, conv, MessageId(DRAW(16))),
    ):
        with pytest.raises(AuthenticationFailed):
            open_entry(KEY, place, entry)
    assert archive_key(EPOCH_KEY, account, ConversationId(DRAW(16))) != KEY
    with pytest.raises(LocalError):
        seal_entry(KEY, 2**32, PLACE, RECORD, DRAW)


def fields(ctr: int = 0, ts_ms: int = NOW) -> SignalFields:
    return SignalFields(PLACE[1], 3, DEVICE.account, DEVICE.device, PLACE[2], ctr, ts_ms)


SIGNAL_KEY = signal_key(DRAW(32), PLACE[2], DEVICE.device)


def test_a_signal_is_padded_and_opens() -> None:
    frame = seal_signal(fields(), SIGNAL_KEY, {"type": "typing"}, DRAW)
    assert len(frame) == 84 + 24 + 256 + 16
    assert SignalFields.parse(frame) == fields()
    assert open_signal(frame, SIGNAL_KEY) == {"type": "typing"}
    for smallest in SIGNAL_SIZES:
        assert len(seal_signal(fields(), SIGNAL_KEY, {"type": "ice"}, DRAW, smallest)) == 84 + 24 + smallest + 16
    with pytest.raises(LocalError, match="too_large"):
        seal_signal(fields(), SIGNAL_KEY, {"type": "ice", "all": bytes(4090)}, DRAW)


def test_every_changed_byte_of_a_signal_is_refused() -> None:
    frame = seal_signal(fields(), SIGNAL_KEY, {"type": "typing"}, DRAW)
    for at, changed in flips(frame):
        with pytest.raises(AuthenticationFailed):
            open_signal(changed, SIGNAL_KEY)
            pytest.fail(f"byte {at}")
    for size in (0, 83, 100, 120, len(frame) - 1):
        with pytest.raises(RemoteError):
            open_signal(frame[:size], SIGNAL_KEY)
    with pytest.raises(FormatError):
        SignalFields.parse(frame[:83])


def test_a_signal_key_belongs_to_one_device_and_message() -> None:
    secret = DRAW(32)
    keys = {
        signal_key(secret, PLACE[2], DEVICE.device),
        signal_key(secret, MessageId(DRAW(16)), DEVICE.device),
        signal_key(secret, PLACE[2], DeviceId(DRAW(16))),
        signal_key(DRAW(32), PLACE[2], DEVICE.device),
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    "inside",
    [pad_to(b"\x81\xa4type\xa1x", 512), pad_to(b"\x90", 256), pad_to(b"\x80", 256), pad_to(b"\xc1", 256), bytes(256)],
    ids=["another size", "no map", "no type", "no MessagePack", "no padding"],
)
def test_a_sealed_signal_of_no_sense_is_refused(inside: bytes) -> None:
    clear, nonce = fields().encode(), DRAW(24)
    with pytest.raises(FormatError):
        open_signal(clear + nonce + seal(SIGNAL_KEY, nonce, inside, clear), SIGNAL_KEY)


def test_only_rising_signals_of_now_count() -> None:
    assert signal_rises(fields(), None, 3, NOW)
    assert signal_rises(fields(ctr=5), (NOW, 4), 3, NOW)
    assert signal_rises(fields(ctr=0), (NOW - 1, 99), 3, NOW)
    assert not signal_rises(fields(ctr=4), (NOW, 4), 3, NOW)
    assert not signal_rises(fields(ctr=99), (NOW + 1, 0), 3, NOW)
    assert not signal_rises(fields(), None, 4, NOW)
    assert signal_rises(fields(), None, 3, NOW + 60_000)
    assert not signal_rises(fields(), None, 3, NOW + 60_001)
    assert not signal_rises(fields(), None, 3, NOW - 60_001)


@given(st.binary(max_size=400))
def test_any_bytes_are_no_signal_of_ours(source: bytes) -> None:
    with pytest.raises(RemoteError):
        open_signal(source, SIGNAL_KEY)
