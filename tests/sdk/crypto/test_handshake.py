"""Two devices agree on a session, or on nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.handshake import Party, PrekeyHeader, initiate, respond, session_key, transcript
from rapport.crypto.primitives import kem_encapsulate
from rapport.crypto.ratchet import PREKEY_MESSAGE_BYTES, RatchetMessage, Session, decrypt, encrypt
from rapport_protocol.errors import FormatError, LocalError, RapportError, RemoteError
from rapport_protocol.ids import AccountId, SessionId
from rapport_protocol.prekeys import OneTimeBundle, PrekeyBundle
from rapport_protocol.rules import Rule, RuleBroken
from rapport_protocol.signed import session_id
from tests.sdk.crypto.pair import NOW, Ends, Responder, chance, flips, new_device

PAYLOAD = bytes(range(96))


@pytest.mark.parametrize("last_resort", [False, True], ids=["one-time", "last resort"])
def test_both_sides_agree(last_resort: bool) -> None:
    ends = Ends(chance("agree"), last_resort)
    ours, first = encrypt(ends.ours, PAYLOAD, ends.draw)
    assert len(first) == PREKEY_MESSAGE_BYTES
    theirs, payload = ends.responder.take(first, ends.party)
    assert payload == PAYLOAD
    assert (theirs.sid, theirs.transcript) == (ours.sid, ours.transcript)
    theirs, answer = encrypt(theirs, PAYLOAD, ends.draw)
    ours, payload = decrypt(ours, RatchetMessage.parse(answer), NOW)
    assert payload == PAYLOAD
    assert Session.decode(ours.encode()) == ours


def test_any_of_the_first_messages_may_arrive_first() -> None:
    ends = Ends(chance("any first"))
    ours, sent = ends.ours, []
    for n in range(4):
        ours, message = encrypt(ours, bytes([n]) * 96, ends.draw)
        sent.append(message)
    theirs, payload = ends.responder.take(sent[2], ends.party)
    assert payload == b"\x02" * 96
    for n in (0, 3, 1):
        theirs, payload = decrypt(theirs, RatchetMessage.parse(sent[n]), NOW)
        assert payload == bytes([n]) * 96


@pytest.mark.parametrize("last_resort", [False, True], ids=["one-time", "last resort"])
def test_every_changed_byte_of_a_first_message_is_refused(last_resort: bool) -> None:
    ends = Ends(chance("flips"), last_resort)
    _, first = encrypt(ends.ours, PAYLOAD, ends.draw)
    for at, changed in flips(first):
        with pytest.raises((RemoteError, KeyError)):
            ends.responder.take(changed, ends.party)
            pytest.fail(f"byte {at}")
    for cut in (first[:-1], first[:195], first + b"\x00"):
        with pytest.raises(RemoteError):
            ends.responder.take(cut, ends.party)


def test_the_session_id_is_checked_before_anything_is_derived() -> None:
    ends = Ends(chance("sid"))
    _, first = encrypt(ends.ours, PAYLOAD, ends.draw)
    message, responder = RatchetMessage.parse(first), ends.responder
    renamed = replace(message, sid=SessionId(ends.draw(16)))
    with pytest.raises(AuthenticationFailed, match="transcript"):
        respond(responder.device, ends.party, renamed, responder.spk, responder.otk, NOW)


def test_every_part_of_both_identities_is_bound() -> None:
    ends = Ends(chance("identities"))
    _, first = encrypt(ends.ours, PAYLOAD, ends.draw)
    own, party = ends.responder.device, ends.party
    for name in ("aik", "account", "device", "dsig", "dik"):
        stranger = replace(party, **{name: ends.draw(len(getattr(party, name)))})
        with pytest.raises(AuthenticationFailed):
            ends.responder.take(first, stranger)
    for name in ("aik", "account", "device", "dsig_seed", "dik_secret"):
        ends.responder.device = replace(own, **{name: ends.draw(len(getattr(own, name)))})
        with pytest.raises(AuthenticationFailed):
            ends.responder.take(first, party)
    ends.responder.device = own
    assert ends.responder.take(first, party)[1] == PAYLOAD


def test_every_changed_byte_of_a_bundle_is_refused() -> None:
    draw = chance("bundles")
    responder, own = Responder(draw), new_device(draw)
    for last_resort in (False, True):
        encoded = responder.bundle(last_resort=last_resort).encode()
        assert PrekeyBundle.parse(encoded).last_resort is last_resort
        for at, changed in flips(encoded):
            with pytest.raises(RemoteError):
                PrekeyBundle.parse(changed).check(responder.device.account, responder.device.entry())
                pytest.fail(f"byte {at}")
        for cut in (encoded[:-1], encoded + b"\x00", b""):
            with pytest.raises(FormatError):
                PrekeyBundle.parse(cut)
        bundle = PrekeyBundle.parse(encoded)
        kem = kem_encapsulate(bundle.key.kem)
        for peer in (
            Party.own(own),
            replace(responder.party, account=AccountId(draw(16))),
            replace(responder.party, dsig=draw(32)),
        ):
            with pytest.raises(RemoteError):
                initiate(own, peer, bundle, kem, draw, NOW)


def test_a_weak_key_in_a_well_signed_bundle_is_refused() -> None:
    draw = chance("weak")
    responder, own = Responder(draw), new_device(draw)
    device = responder.device
    key, kem = device.signing_key(), responder.one_time.kem
    weak = OneTimeBundle.make(device.account, device.device, key, 9, (bytes(32), kem), NOW)
    with pytest.raises(RuleBroken) as refused:
        initiate(
            own,
            responder.party,
            PrekeyBundle(device.device, responder.signed, weak),
            kem_encapsulate(kem),
            draw,
            NOW,
        )
    assert refused.value.rule is Rule.WEAK_KEY
    malformed = OneTimeBundle.make(
        device.account, device.device, key, 9, (responder.one_time.x25519, b"\xff" * 1184), NOW
    )
    with pytest.raises(FormatError):
        kem_encapsulate(malformed.kem)


def test_a_weak_ephemeral_key_is_refused() -> None:
    """With the right session id for its transcript, so that only the agreement can notice."""
    ends = Ends(chance("weak ephemeral"))
    header = replace(PrekeyHeader.parse(ends.ours.prekey_header), ephemeral=bytes(32))
    responder = ends.responder
    hashed = transcript(
        ends.party, responder.party, header, responder.signed.public, responder.one_time.x25519, responder.one_time.kem
    )
    forged = replace(ends.ours, prekey_header=header.encode(), sid=session_id(hashed), transcript=hashed)
    _, first = encrypt(forged, PAYLOAD, ends.draw)
    with pytest.raises(RuleBroken) as refused:
        responder.take(first, ends.party)
    assert refused.value.rule is Rule.WEAK_KEY


def test_the_post_quantum_secret_counts_and_cannot_be_left_out() -> None:
    draw = chance("kem counts")
    responder, own = Responder(draw), new_device(draw)
    bundle = responder.bundle()
    ciphertext, secret = kem_encapsulate(bundle.key.kem)
    for short in (b"", secret[:-1]):
        with pytest.raises(LocalError):
            initiate(own, responder.party, bundle, (ciphertext, short), draw, NOW)
    agreement, hashed = draw(128), draw(32)
    assert session_key(agreement, secret, hashed) != session_key(agreement, bytes(32), hashed)
    wrong = initiate(own, responder.party, bundle, (ciphertext, draw(32)), draw, NOW)
    _, first = encrypt(wrong, PAYLOAD, draw)
    with pytest.raises(AuthenticationFailed):
        responder.take(first, Party.own(own))


def test_the_responder_must_bring_the_keys_that_are_named() -> None:
    ends = Ends(chance("named keys"))
    _, first = encrypt(ends.ours, PAYLOAD, ends.draw)
    message, responder = RatchetMessage.parse(first), ends.responder
    for key in (responder.pqlr, replace(responder.otk, id=77)):
        with pytest.raises(LocalError):
            respond(responder.device, ends.party, message, responder.spk, key, NOW)
    header = PrekeyHeader.parse(message.prekey_header)
    assert PrekeyHeader.parse(header.encode()) == header
    assert len(header.replay_key()) == 40
    with pytest.raises(FormatError):
        PrekeyHeader.parse(header.encode()[:-1])


def test_secrets_do_not_show() -> None:
    ends = Ends(chance("repr"))
    ours, theirs = ends.established()
    responder = ends.responder
    shown = [repr(thing) for thing in (ours, theirs, ends.device, responder.spk, responder.otk, responder.pqlr)]
    assert all(text.endswith("()") for text in shown)


def test_a_responder_that_has_not_received_cannot_send() -> None:
    ends = Ends(chance("early"))
    _, first = encrypt(ends.ours, PAYLOAD, ends.draw)
    responder = ends.responder
    waiting = respond(responder.device, ends.party, RatchetMessage.parse(first), responder.spk, responder.otk, NOW)
    with pytest.raises(RapportError):
        encrypt(waiting, PAYLOAD, ends.draw)
