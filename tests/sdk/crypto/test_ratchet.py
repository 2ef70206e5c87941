"""The ratchet at its limits, and that a refusal changes nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rapport.crypto.failures import AuthenticationFailed, DuplicatePosition, TooFarAhead
from rapport.crypto.primitives import Random
from rapport.crypto.ratchet import (
    MAX_SKIP,
    RETIRED_KEYS,
    SKIPPED_LIFE_MS,
    RatchetMessage,
    Session,
    decrypt,
    drop_expired,
    encrypt,
)
from rapport_protocol.errors import ErrorCode, FormatError, LocalError, RemoteError
from tests.sdk.crypto.pair import NOW, Ends, chance, flips

PAYLOAD = bytes(range(96))


def opened(session: Session, message: bytes, now_ms: int = NOW) -> Session:
    after, payload = decrypt(session, RatchetMessage.parse(message), now_ms)
    assert payload == PAYLOAD
    return after


def sent(session: Session, draw: Random, count: int = 1) -> tuple[Session, list[bytes]]:
    messages = []
    for _ in range(count):
        session, message = encrypt(session, PAYLOAD, draw)
        messages.append(message)
    return session, messages


def turn(ours: Session, theirs: Session, draw: Random) -> tuple[Session, Session]:
    """One message each way."""
    ours, (there,) = sent(ours, draw)
    theirs, (back,) = sent(opened(theirs, there), draw)
    return opened(ours, back), theirs


@pytest.fixture
def ends() -> Ends:
    return Ends(chance("ratchet"))


def test_every_changed_byte_is_refused_and_changes_nothing(ends: Ends) -> None:
    ours, theirs = ends.established()
    ours, messages = sent(ours, ends.draw, 2)
    for message in messages:
        before = theirs.encode()
        for at, changed in flips(message):
            with pytest.raises(RemoteError):
                opened(theirs, changed)
                pytest.fail(f"byte {at}")
        assert theirs.encode() == before
        theirs = opened(theirs, message)


def test_every_changed_byte_of_a_skipped_message_is_refused_and_its_key_kept(ends: Ends) -> None:
    ours, theirs = ends.established()
    _, (late, early) = sent(ours, ends.draw, 2)
    theirs = opened(theirs, early)
    for at, changed in flips(late):
        with pytest.raises(RemoteError):
            opened(theirs, changed)
            pytest.fail(f"byte {at}")
    opened(theirs, late)


def test_unreadable_messages(ends: Ends) -> None:
    ours, _ = ends.established()
    message = sent(ours, ends.draw)[1][0]
    for wrong, code in (
        (message[:-1], ErrorCode.BAD_FORMAT),
        (message + b"\x00", ErrorCode.BAD_FORMAT),
        (b"\x02" + message[1:], ErrorCode.BAD_FORMAT),
        (b"\x03" + message[1:], ErrorCode.UNSUPPORTED),
        (message[:2] + b"\x02" + message[3:], ErrorCode.UNSUPPORTED),
        (b"", ErrorCode.UNSUPPORTED),
    ):
        with pytest.raises(FormatError) as refused:
            RatchetMessage.parse(wrong)
        assert refused.value.code is code


def test_a_message_of_another_session_is_refused(ends: Ends) -> None:
    ours, _ = ends.established()
    _, others = Ends(chance("another")).established()
    message = RatchetMessage.parse(sent(ours, ends.draw)[1][0])
    with pytest.raises(AuthenticationFailed):
        decrypt(others, message, NOW)


def test_duplicates_are_told_from_damage(ends: Ends) -> None:
    ours, theirs = ends.established()
    ours, (first, second) = sent(ours, ends.draw, 2)
    theirs = opened(opened(theirs, second), first)
    for message in (first, second):
        with pytest.raises(DuplicatePosition):
            opened(theirs, message)
    ours, theirs = turn(ours, theirs, ends.draw)
    for message in (first, second):
        with pytest.raises(DuplicatePosition):
            opened(theirs, message)


def test_2000_may_be_skipped_and_2001_may_not(ends: Ends) -> None:
    ours, theirs = ends.established()
    _, messages = sent(ours, ends.draw, MAX_SKIP + 2)
    with pytest.raises(TooFarAhead):
        opened(theirs, messages[MAX_SKIP + 1])
    theirs = opened(theirs, messages[MAX_SKIP])
    assert len(theirs.skipped) == MAX_SKIP
    theirs = opened(theirs, messages[MAX_SKIP + 1])
    for at in (0, MAX_SKIP - 1):
        theirs = opened(theirs, messages[at])
    assert len(theirs.skipped) == MAX_SKIP - 2


def test_skips_of_the_old_and_the_new_chain_count_together(ends: Ends) -> None:
    ours, theirs = ends.established()
    ours, (first, *_) = sent(ours, ends.draw, 1501)  # 1,500 of this chain are lost
    theirs, (answer,) = sent(opened(theirs, first), ends.draw)
    ours, later = sent(opened(ours, answer), ends.draw, 502)
    with pytest.raises(TooFarAhead):
        opened(theirs, later[501])
    assert len(opened(theirs, later[500]).skipped) == MAX_SKIP


def test_the_store_of_skipped_keys_drops_the_oldest(ends: Ends) -> None:
    ours, theirs = ends.established()
    _, messages = sent(ours, ends.draw, 2003)
    theirs = opened(theirs, messages[1500])
    theirs = opened(theirs, messages[2002])
    assert len(theirs.skipped) == MAX_SKIP
    with pytest.raises(DuplicatePosition):
        opened(theirs, messages[0])
    opened(theirs, messages[1])


def test_the_largest_position_is_refused_without_work(ends: Ends) -> None:
    ours, theirs = ends.established()
    message = bytearray(sent(ours, ends.draw)[1][0])
    message[55:59] = b"\xff" * 4
    with pytest.raises(TooFarAhead):
        opened(theirs, bytes(message))
    message[51:55] = b"\xff" * 4
    with pytest.raises(TooFarAhead):
        opened(theirs, bytes(message))


def test_a_chain_ends_at_its_last_position(ends: Ends) -> None:
    ours, _ = ends.established()
    ours, _ = sent(ours, ends.draw)
    last, _ = sent(replace(ours, send_n=2**32 - 1), ends.draw)
    with pytest.raises(LocalError):
        sent(last, ends.draw)


def test_32_retired_keys_are_remembered_and_skipped_ones_outlive_them(ends: Ends) -> None:
    ours, theirs = ends.established()
    ours, (lost, used) = sent(ours, ends.draw, 2)
    theirs = opened(theirs, used)
    for _ in range(RETIRED_KEYS):
        ours, theirs = turn(ours, theirs, ends.draw)
    with pytest.raises(DuplicatePosition):
        opened(theirs, used)
    ours, theirs = turn(ours, theirs, ends.draw)
    ours, theirs = turn(ours, theirs, ends.draw)
    assert len(theirs.retired) == RETIRED_KEYS
    with pytest.raises(AuthenticationFailed):
        opened(theirs, used)
    theirs = opened(theirs, lost)


def test_skipped_keys_expire_after_97_days(ends: Ends) -> None:
    ours, theirs = ends.established()
    _, (late, early) = sent(ours, ends.draw, 2)
    theirs = opened(theirs, early)
    assert drop_expired(theirs, NOW + SKIPPED_LIFE_MS) is theirs
    with pytest.raises(DuplicatePosition):
        opened(drop_expired(theirs, NOW + SKIPPED_LIFE_MS + 1), late)


def test_a_weak_ratchet_key_is_refused(ends: Ends) -> None:
    ours, theirs = ends.established()
    message = sent(ours, ends.draw)[1][0]
    with pytest.raises(AuthenticationFailed):
        opened(theirs, message[:19] + bytes(32) + message[51:])


def test_the_initiators_chain_does_not_start_at_the_signed_prekey(ends: Ends) -> None:
    """A message that claims the SPK as ratchet key has no chain to be opened with."""
    ours, _ = sent(ends.ours, ends.draw)
    _, theirs = ends.established()
    message = sent(theirs, ends.draw)[1][0]
    with pytest.raises(AuthenticationFailed):
        opened(ours, message[:3] + ours.sid + ours.remote + message[51:])


def test_counters_and_confirmation(ends: Ends) -> None:
    ours, theirs = ends.established()
    assert (ours.confirmed, theirs.confirmed) == (True, False)
    assert (ours.prekey_header, ours.received_ms) == (b"", NOW)
    ours, messages = sent(ours, ends.draw, 3)
    assert (ours.unanswered, ours.unreturned, ours.messages) == (3, 0, 5)
    theirs = opened(opened(theirs, messages[0]), messages[1], NOW + 5)
    assert (theirs.confirmed, theirs.unanswered, theirs.unreturned, theirs.received_ms) == (True, 0, 2, NOW + 5)


def test_the_payload_has_one_size(ends: Ends) -> None:
    for size in (0, 95, 97):
        with pytest.raises(LocalError):
            encrypt(ends.ours, bytes(size), ends.draw)


def test_a_stored_session_is_a_session_or_refused(ends: Ends) -> None:
    ours, theirs = ends.established()
    ours, messages = sent(ours, ends.draw, 3)
    theirs = opened(theirs, messages[2])
    for session in (ours, theirs, ends.ours):
        assert Session.decode(session.encode()) == session
    assert repr(theirs.skipped) == "(SkippedKey(), SkippedKey())"
    stored = ours.encode()
    for wrong in (b"", b"\x02" + stored[1:], stored[:-1], stored + b"\x00", b"\x01\x90"):
        with pytest.raises(FormatError):
            Session.decode(wrong)
