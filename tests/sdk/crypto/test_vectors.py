"""The SDK's cryptography makes and judges what the vectors say."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from rapport.crypto.archive import ArchiveRecord, Trust, archive_key, open_entry, seal_entry
from rapport.crypto.body import Body
from rapport.crypto.envelope import KeyPayload, open_body, open_note, seal_body
from rapport.crypto.handshake import (
    Party,
    PrekeyHeader,
    initiate,
    initiator_agreement,
    respond,
    responder_agreement,
    session_key,
    transcript,
)
from rapport.crypto.identity import DeviceSecrets, LastResortSecret, OneTimeSecret, SignedPrekeySecret
from rapport.crypto.invites import InviteLink, InviteSecret, OwnerLink, open_card, parse_link
from rapport.crypto.padding import pad, padded_size, unpad
from rapport.crypto.primitives import (
    Random,
    hkdf,
    hmac_sha256,
    kem_decapsulate,
    kem_encapsulate,
    kem_public,
    seal,
    x25519,
    x25519_public,
)
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt, start_as_initiator, start_as_responder
from rapport.crypto.signals import open_signal, signal_key
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, SessionId
from rapport_protocol.prekeys import PrekeyBundle
from rapport_protocol.signed import Outer, SignalFields, card_aad, session_id
from tests.sdk.crypto.pair import NOW
from tests.vector_files import Case, case_name, cases, plain, raw, verdict


def given_out(pieces: Iterable[bytes]) -> Random:
    """Randomness that gives these pieces, in this order and of these sizes."""
    left = list(pieces)

    def draw(size: int) -> bytes:
        piece = left.pop(0)
        assert len(piece) == size
        return piece

    return draw


@pytest.mark.parametrize("case", cases("kdf"), ids=case_name)
def test_key_derivation(case: Case) -> None:
    if case["kind"] == "hkdf":
        salt, ikm, info = raw(case, "salt", "ikm", "info")
        assert hkdf(salt, ikm, info, case["size"]).hex() == case["output"]
    else:
        assert hmac_sha256(*raw(case, "key", "message")).hex() == case["output"]


@pytest.mark.parametrize("case", cases("kem"), ids=case_name)
def test_ml_kem(case: Case) -> None:
    seed, ciphertext, wrong = raw(case, "seed", "ciphertext", "wrong_ciphertext")
    assert kem_public(seed).hex() == case["public"]
    assert kem_decapsulate(seed, ciphertext).hex() == case["secret"]
    assert kem_decapsulate(seed, wrong).hex() == case["rejection_secret"]


@pytest.mark.parametrize("case", cases("weak_keys", "x25519", "ml-kem"), ids=case_name)
def test_weak_keys(case: Case) -> None:
    (public,) = raw(case, "public")
    if case["kind"] == "ml-kem":
        assert verdict(lambda: kem_encapsulate(public)) == case["verdict"]
        return
    (secret,) = raw(case, "secret")
    assert verdict(lambda: x25519(secret, public)) == case["verdict"]
    if case["verdict"] == "ok":
        assert x25519(secret, public).hex() == case["output"]


# --- invites ----------------------------------------------------------------------------------------------------------


def test_what_follows_from_a_token() -> None:
    (case,) = cases("invites", "invite")
    secret = InviteSecret(*raw(case, "token"))
    key = secret.signing_key()
    found = {"invite": secret.id, "isk_seed": key.seed, "ipk": key.public, "card_key": secret.card_key()}
    assert plain(found) == {name: case[name] for name in found}
    assert InviteLink("https://rapport.example", secret).encode() == case["link"]
    (case,) = cases("invites", "owner_link")
    assert OwnerLink("https://rapport.example", *raw(case, "token", "server_id")).encode() == case["link"]


@pytest.mark.parametrize("case", cases("invites", "card"), ids=case_name)
def test_cards(case: Case) -> None:
    token, sealed = raw(case, "token", "sealed")
    secret = InviteSecret(token)
    assert verdict(lambda: open_card(secret, sealed)) == case["verdict"]
    if case["verdict"] == "ok":
        nonce, inside = raw(case, "nonce", "messagepack")
        assert nonce + seal(secret.card_key(), nonce, pad(inside), card_aad(secret.id)) == sealed
        shown = {key: value for key, value in plain(open_card(secret, sealed)).items() if value is not None}
        assert shown == case["fields"]


@pytest.mark.parametrize("case", cases("invites", "link"), ids=case_name)
def test_links(case: Case) -> None:
    assert verdict(lambda: parse_link(case["link"])) == case["verdict"]
    if case["verdict"] == "ok":
        assert parse_link(case["link"]).encode() == case["link"]


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("padding"), ids=case_name)
def test_padding(case: Case) -> None:
    if case["kind"] == "size":
        expected = case.get("verdict", "ok")
        assert verdict(lambda: pad(bytes(case["size"]))) == expected
        if expected == "ok":
            assert padded_size(case["size"]) == case["padded"]
        return
    (padded,) = raw(case, "padded")
    assert verdict(lambda: unpad(padded)) == case["verdict"]
    if case["verdict"] == "ok":
        assert unpad(padded).hex() == case["content"]


@pytest.mark.parametrize("case", cases("messages", "body"), ids=case_name)
def test_bodies(case: Case) -> None:
    (encoded,) = raw(case, "messagepack")
    assert verdict(lambda: Body.parse(encoded)) == case.get("verdict", "ok")
    if "verdict" in case:
        return
    assert plain(msgspec.msgpack.decode(encoded)) == case["fields"]
    assert Body.parse(Body.parse(encoded).encode()) == Body.parse(encoded)


@pytest.mark.parametrize("case", cases("messages", "seal"), ids=case_name)
def test_sealing(case: Case) -> None:
    outer, body, key, nonce, ciphertext, payload = raw(case, "outer", "body", "key", "nonce", "ciphertext", "payload")
    assert plain(Outer.parse(outer)) == case["fields"]
    sealed = seal_body(Outer.parse(outer), body, given_out([key, nonce]))
    assert (sealed.outer, sealed.ciphertext, sealed.hash.hex()) == (outer, ciphertext, case["hash"])
    assert sealed.payload() == payload
    assert Outer.parse(sealed.outer).commitment.hex() == case["commitment"]
    assert open_body(outer, nonce, ciphertext, KeyPayload.parse(payload)) == body


@pytest.mark.parametrize("case", cases("messages", "note", "payload", "open", "outer"), ids=case_name)
def test_message_verdicts(case: Case) -> None:
    def judged() -> object:
        match case["kind"]:
            case "note":
                outer, payload = raw(case, "outer", "payload")
                open_note(outer, KeyPayload.parse(payload))
                return None
            case "payload":
                return KeyPayload.parse(*raw(case, "payload"))
            case "open":
                outer, nonce, ciphertext, payload = raw(case, "outer", "nonce", "ciphertext", "payload")
                return open_body(outer, nonce, ciphertext, KeyPayload.parse(payload))
        return Outer.parse(*raw(case, "outer"))

    assert verdict(judged) == case["verdict"]


@pytest.mark.parametrize("case", cases("archive"), ids=case_name)
def test_archive(case: Case) -> None:
    key, account, conv, message, entry = raw(case, "archive_key", "account", "conv", "message", "entry")
    place = AccountId(account), ConversationId(conv), MessageId(message)
    assert verdict(lambda: open_entry(key, place, entry)) == case["verdict"]
    if case["verdict"] == "ok":
        epoch_key, nonce = raw(case, "epoch_key", "nonce")
        assert archive_key(epoch_key, place[0], place[1]) == key
        record = open_entry(key, place, entry)
        assert plain(record) == case["record"]
        again = ArchiveRecord(
            record.key, record.body_hash, record.account, record.device, Trust(record.trust), record.received_ms
        )
        assert seal_entry(key, case["archive_epoch"], place, again, given_out([nonce])) == entry


@pytest.mark.parametrize("case", cases("signals"), ids=case_name)
def test_signals(case: Case) -> None:
    key, frame = raw(case, "signal_key", "frame")
    assert verdict(lambda: open_signal(frame, key)) == case["verdict"]
    if case["verdict"] == "ok":
        fields = SignalFields.parse(frame)
        assert plain(fields) == case["fields"]
        (message_key,) = raw(case, "message_key")
        assert signal_key(message_key, fields.ref, fields.device) == key
        assert len(frame) == 84 + 24 + case["padded_size"] + 16
        assert msgspec.msgpack.encode(open_signal(frame, key)).hex() == case["content"]


# --- sessions ---------------------------------------------------------------------------------------------------------


def party_of(shown: Case) -> Party:
    aik, account, device, dsig, dik = raw(shown, "aik", "account", "device", "dsig", "dik")
    return Party(aik, AccountId(account), DeviceId(device), dsig, dik)


def device_of(shown: Case) -> DeviceSecrets:
    party = party_of(shown["party"])
    dsig_seed, dik = raw(shown, "dsig_seed", "dik_secret")
    device = DeviceSecrets(party.account, party.aik, party.device, dsig_seed, dik, 0, bytes(64))
    assert Party.own(device) == party
    return device


def take(case: Case, first: bytes, initiator: Party) -> tuple[Session, bytes]:
    """What the responder of a handshake case makes of a first message."""
    shown, header = case["responder"], PrekeyHeader.parse(*raw(case, "prekey_header"))
    spk, one_time, seed = raw(shown, "spk_secret", "one_time_secret", "kem_seed")
    key = OneTimeSecret(header.key_id, one_time, seed, 0) if one_time else LastResortSecret(header.key_id, seed, 0)
    message, signed = RatchetMessage.parse(first), SignedPrekeySecret(header.spk_id, spk, 0)
    return decrypt(respond(device_of(shown), initiator, message, signed, key, NOW), message, NOW)


@pytest.mark.parametrize("case", cases("handshake", "handshake"), ids=case_name)
def test_handshakes(case: Case) -> None:
    ours, theirs = case["initiator"], case["responder"]
    initiator, responder = party_of(ours["party"]), party_of(theirs["party"])
    dik, ephemeral = raw(ours, "dik_secret", "ephemeral_secret")
    spk, one_time, seed, other_dik = raw(theirs, "spk_secret", "one_time_secret", "kem_seed", "dik_secret")
    bundle, header = PrekeyBundle.parse(*raw(case, "bundle")), PrekeyHeader.parse(*raw(case, "prekey_header"))
    ciphertext, kem_secret = raw(case, "kem_ciphertext", "kem_secret")
    one_time_public = x25519_public(one_time) if one_time else b""
    hashed = transcript(
        initiator, responder, header, x25519_public(spk), one_time_public or bytes(32), kem_public(seed)
    )
    assert (hashed.hex(), session_id(hashed).hex()) == (case["transcript"], case["sid"])
    agreement = initiator_agreement(dik, ephemeral, responder.dik, bundle.signed.public, one_time_public)
    assert agreement.hex() == "".join(case["dh"])
    assert agreement == responder_agreement(initiator.dik, header.ephemeral, other_dik, spk, one_time)
    assert kem_decapsulate(seed, ciphertext) == kem_secret
    assert session_key(agreement, kem_secret, hashed).hex() == case["session_key"]
    ratchet_secret, nonce, payload = raw(case, "ratchet_secret", "nonce", "payload")
    draws = given_out([ephemeral, ratchet_secret, nonce])
    session = initiate(device_of(ours), responder, bundle, (ciphertext, kem_secret), draws, NOW)
    _, message = encrypt(session, payload, draws)
    assert message.hex() == case["message"]
    assert take(case, message, initiator)[1] == payload


@pytest.mark.parametrize("case", cases("handshake", "refused"), ids=case_name)
def test_handshake_refusals(case: Case) -> None:
    (of,) = (other for other in cases("handshake", "handshake") if other["name"] == case["of"])
    (first,) = raw(case, "message")
    found = verdict(lambda: take(of, first, party_of(case["initiator_party"])))
    assert found == case["verdict"]


def state_of(session: Session) -> Case:
    shown = plain({name: getattr(session, name) for name in ("root", "send_key", "send_n", "receive_key", "receive_n")})
    return shown | {"skipped": len(session.skipped)}  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", [case for case in cases("ratchet") if "steps" in case], ids=case_name)
def test_ratchet_traces(case: Case) -> None:
    key, hashed, sid, header, spk = raw(
        case["start"], "session_key", "transcript", "sid", "prekey_header", "spk_secret"
    )
    ends = {
        "initiator": start_as_initiator(SessionId(sid), hashed, key, header, x25519_public(spk), NOW),
        "responder": start_as_responder(SessionId(sid), hashed, key, spk, NOW),
    }
    for step in case["steps"]:
        ends[step["end"]] = take_step(ends[step["end"]], step)
        assert state_of(ends[step["end"]]) == step["after"]


def take_step(session: Session, step: Case) -> Session:
    secret = raw(step, "ratchet_secret") if "ratchet_secret" in step else ()
    if step["do"] == "lose":
        draws = given_out([*secret, *[bytes(24)] * step["count"]])
        for _ in range(step["count"]):
            session, _ = encrypt(session, bytes(96), draws)
        return session
    wire, payload = raw({"payload": ""} | step, "message", "payload")
    if step["do"] == "encrypt":
        session, made = encrypt(session, payload, given_out([*secret, *raw(step, "nonce")]))
        assert made == wire
        return session
    message = RatchetMessage.parse(wire)
    assert verdict(lambda: decrypt(session, message, NOW)) == step["verdict"]
    if step["verdict"] != "ok":
        return session
    after, found = decrypt(session, message, NOW)
    assert found == payload
    return after


@pytest.mark.parametrize("case", cases("ratchet", "malformed"), ids=case_name)
def test_malformed_ratchet_messages(case: Case) -> None:
    assert verdict(lambda: RatchetMessage.parse(*raw(case, "message"))) == case["verdict"]
