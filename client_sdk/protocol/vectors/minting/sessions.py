"""Chapters 5 and 6: handshakes and ratchet traces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from minting.base import T0, Stream, case, flipped, plain, refused, stored, verdict
from minting.cast import BEN, DANA
from rapport.crypto.handshake import (
    Party,
    PrekeyHeader,
    initiate,
    initiator_agreement,
    respond,
    session_key,
    transcript,
)
from rapport.crypto.identity import LastResortSecret, OneTimeSecret, SignedPrekeySecret, new_signed_prekey
from rapport.crypto.primitives import hkdf, hmac_sha256, kem_public, seal, x25519_public
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt, start_as_initiator, start_as_responder
from rapport_protocol.ids import SessionId
from rapport_protocol.prekeys import LastResortKey, OneTimeBundle, PrekeyBundle
from rapport_protocol.signed import label, session_id

__all__ = ["handshakes", "ratchets"]


def _kem(at: int) -> tuple[bytes, tuple[bytes, bytes]]:
    """Seed and (ciphertext, secret) of a case of kem.json, which is minted first."""
    held = stored("kem.json")["cases"][at]
    return bytes.fromhex(held["seed"]), (bytes.fromhex(held["ciphertext"]), bytes.fromhex(held["secret"]))


def _handshake(last_resort: bool) -> tuple[dict[str, Any], bytes, SignedPrekeySecret, OneTimeSecret | LastResortSecret]:
    """Dana's device starts a session with Ben's: (vector, first message, Ben's private keys)."""
    name = "with the last-resort key" if last_resort else "with a one-time bundle"
    random, own, other = Stream(name), DANA.devices[0], BEN.devices[0]
    seed, kem = _kem(1 if last_resort else 0)
    spk_secret, spk = new_signed_prekey(other, random, 21, T0)
    public = kem_public(seed)
    secret: OneTimeSecret | LastResortSecret
    one_time = b""
    if last_resort:
        secret = LastResortSecret(23, seed, T0)
        bundle_key: OneTimeBundle | LastResortKey = LastResortKey.make(
            BEN.account, other.device, other.signing_key(), 23, public, T0
        )
    else:
        secret = OneTimeSecret(22, random(32), seed, T0)
        one_time = x25519_public(secret.x25519)
        bundle_key = OneTimeBundle.make(BEN.account, other.device, other.signing_key(), 22, (one_time, public), T0)
    bundle = PrekeyBundle(other.device, spk, bundle_key)
    draws = Stream(f"{name}, initiator")
    session = initiate(own, Party.own(other), bundle, kem, draws, T0)
    ephemeral = draws.given[0]
    header = PrekeyHeader.parse(session.prekey_header)
    hashed = transcript(Party.own(own), Party.own(other), header, spk.public, one_time or bytes(32), public)
    agreement = initiator_agreement(own.dik_secret, ephemeral, other.entry().dik, spk.public, one_time)
    key = session_key(agreement, kem[1], hashed)
    if (session.transcript, session.sid, session.root) != (hashed, session_id(hashed), key):
        raise AssertionError("handshake")
    payload = random(96)
    after, message = encrypt(session, payload, draws)
    vector = case(
        name,
        kind="handshake",
        initiator={
            "party": Party.own(own),
            "dsig_seed": own.dsig_seed,
            "dik_secret": own.dik_secret,
            "ephemeral_secret": ephemeral,
        },
        responder={
            "party": Party.own(other),
            "dsig_seed": other.dsig_seed,
            "dik_secret": other.dik_secret,
            "spk_secret": spk_secret.secret,
            "one_time_secret": secret.x25519 if isinstance(secret, OneTimeSecret) else b"",
            "kem_seed": seed,
        },
        bundle=bundle.encode(),
        kem_ciphertext=kem[0],
        kem_secret=kem[1],
        prekey_header=session.prekey_header,
        dh=[agreement[at : at + 32] for at in range(0, len(agreement), 32)],
        transcript=hashed,
        sid=session.sid,
        session_key=key,
        ratchet_secret=after.dh_secret,
        nonce=draws.given[-1],
        payload=payload,
        message=message,
        verdict="ok",
    )
    return vector, message, spk_secret, secret


def _opened(spk: SignedPrekeySecret, key: OneTimeSecret | LastResortSecret, first: bytes, peer: Party) -> bytes:
    """Ben's device takes a first message from `peer`."""
    message = RatchetMessage.parse(first)
    return decrypt(respond(BEN.devices[0], peer, message, spk, key, T0), message, T0)[1]


def _weak_ephemeral(vector: dict[str, Any], peer: Party, opened: Callable[[bytes, Party], bytes]) -> dict[str, Any]:
    """EK_a of small order, under the session id of its own transcript: only the agreement can notice."""
    random, shown = Stream("weak ephemeral"), vector["responder"]
    header = PrekeyHeader.parse(bytes.fromhex(vector["prekey_header"]))
    weak = msgspec.structs.replace(header, ephemeral=bytes(32))
    one_time = bytes.fromhex(shown["one_time_secret"])
    spk = x25519_public(bytes.fromhex(shown["spk_secret"]))
    kem = kem_public(bytes.fromhex(shown["kem_seed"]))
    public = x25519_public(one_time) if one_time else bytes(32)
    hashed = transcript(peer, Party.own(BEN.devices[0]), weak, spk, public, kem)
    session = start_as_initiator(session_id(hashed), hashed, bytes(32), weak.encode(), spk, T0)
    _, message = encrypt(session, bytes(96), random)
    found = refused("weak_key", partial(opened, message, peer))
    fields = {"of": vector["name"], "initiator_party": peer, "message": message}
    return case(f"{vector['name']}: ephemeral key of small order", kind="refused", **fields, verdict=found)


def handshakes() -> list[dict[str, Any]]:
    """Both kinds of handshake, then first messages that must not start a session."""
    cases = []
    for last_resort in (False, True):
        vector, message, spk, key = _handshake(last_resort)
        cases.append(vector)
        peer = Party.own(DANA.devices[0])
        opened = partial(_opened, spk, key)
        if opened(message, peer).hex() != vector["payload"]:
            raise AssertionError("responder")
        stranger = msgspec.structs.replace(peer, dik=Party.own(DANA.devices[2]).dik)
        made = [
            ("session id changed", flipped(message, 4), peer),
            ("ephemeral changed", flipped(message, 25), peer),
            ("ML-KEM ciphertext changed", flipped(message, 500), peer),
            ("ratchet key changed", flipped(message, 1150), peer),
            ("tag changed", flipped(message, 1323), peer),
            ("another initiator", message, stranger),
        ]
        cases.append(_weak_ephemeral(vector, peer, opened))
        kind = message[:55] + b"\x02" + message[56:]
        found = refused("unsupported", partial(opened, kind, peer))
        shown = {"of": vector["name"], "initiator_party": peer, "message": kind}
        cases.append(case(f"{vector['name']}: kind 2", kind="refused", **shown, verdict=found))
        for name, bytes_, who in made:
            found = refused("authentication", partial(opened, bytes_, who))
            cases.append(
                case(
                    f"{vector['name']}: {name}",
                    kind="refused",
                    of=vector["name"],
                    initiator_party=who,
                    message=bytes_,
                    verdict=found,
                )
            )
    return cases


class _Trace:
    """Two ends of a ratchet; every step is written down."""

    def __init__(self, name: str) -> None:
        self.random = Stream(f"trace {name}")
        secret, hashed, spk = self.random(32), self.random(32), self.random(32)
        sid, header = SessionId(session_id(hashed)), self.random(1129)
        self.ends: dict[str, Session] = {
            "initiator": start_as_initiator(sid, hashed, secret, header, x25519_public(spk), T0),
            "responder": start_as_responder(sid, hashed, secret, spk, T0),
        }
        self.start = {
            "session_key": secret,
            "transcript": hashed,
            "sid": sid,
            "prekey_header": header,
            "spk_secret": spk,
        }
        self.steps: list[dict[str, Any]] = []

    def send(self, end: str, note: str = "") -> bytes:
        """One `encrypt`."""
        draws, payload = Stream(f"{end} step {len(self.steps)} of {self.start['sid']!r}"), self.random(96)
        self.ends[end], message = encrypt(self.ends[end], payload, draws)
        secret = {"ratchet_secret": draws.given[0]} if len(draws.given) > 1 else {}
        step = {"end": end, "do": "encrypt", "payload": payload, **secret, "nonce": draws.given[-1], "message": message}
        self._write(step, note)
        return message

    def quietly(self, end: str, count: int) -> None:
        """`count` messages that nobody ever sees; their payloads and nonces do not matter to the chain."""
        draws = Stream(f"{end} lost messages")
        turns = not self.ends[end].send_key
        for _ in range(count):
            self.ends[end], _ = encrypt(self.ends[end], bytes(96), draws)
        secret = {"ratchet_secret": draws.given[0]} if turns else {}
        self._write({"end": end, "do": "lose", "count": count, **secret}, "")

    def receive(self, end: str, message: bytes, expected: str = "ok", note: str = "") -> None:
        """One `decrypt` with its verdict."""
        before = self.ends[end]
        parsed = partial(RatchetMessage.parse, message)
        found = refused(expected, lambda: decrypt(before, parsed(), T0))
        step: dict[str, Any] = {"end": end, "do": "decrypt", "message": message, "verdict": found}
        if found == "ok":
            self.ends[end], payload = decrypt(before, parsed(), T0)
            step["payload"] = payload
        self._write(step, note)

    def _write(self, step: dict[str, Any], note: str) -> None:
        end = self.ends[step["end"]]
        state = {
            "root": end.root,
            "send_key": end.send_key,
            "send_n": end.send_n,
            "receive_key": end.receive_key,
            "receive_n": end.receive_n,
            "skipped": len(end.skipped),
        }
        self.steps.append(plain({"note": note} | step | {"after": state}))

    def case(self, name: str) -> dict[str, Any]:
        """The vector."""
        return case(name, start=self.start, steps=self.steps)


def _three_turns() -> dict[str, Any]:
    trace = _Trace("turns")
    first, second, third = (trace.send("initiator") for _ in range(3))
    trace.receive("responder", second, note="out of order: position 0 is skipped")
    trace.receive("responder", flipped(third, 1320), "authentication", "damaged tag: nothing changes")
    trace.receive("responder", first, note="with the skipped key")
    trace.receive("responder", first, "duplicate")
    answer = trace.send("responder", "first turn of the responder")
    trace.receive("initiator", answer)
    fourth = trace.send("initiator", "the answer ends the prekey header; a new turn")
    fifth = trace.send("initiator")
    trace.receive("responder", fifth, note="closes the old chain at pn = 3: position 2 is skipped; so is position 0")
    trace.receive("responder", third, note="from the closed chain")
    trace.receive("responder", third, "duplicate", "a retired remote key is no new turn")
    trace.receive("responder", fourth)
    trace.receive("responder", fourth, "duplicate")
    trace.receive("initiator", answer, "duplicate")
    later = trace.send("responder")
    trace.receive("initiator", flipped(later, 20), "authentication", "another ratchet key: a turn that fails")
    trace.receive("initiator", flipped(later, 3), "authentication", "another session")
    trace.receive("initiator", flipped(later, 54), "authentication", "another pn")
    trace.receive("initiator", flipped(later, 58), "authentication", "position 1: one key is skipped, then it fails")
    trace.receive("initiator", later)
    return trace.case("three turns")


def _limits() -> dict[str, Any]:
    trace = _Trace("limits")
    trace.quietly("initiator", 2000)
    at_limit = trace.send("initiator", "position 2000, 2,000 before it never arrive")
    beyond = trace.send("initiator", "position 2001")
    trace.receive("responder", beyond, "too_far", "2,001 to skip")
    at = len(beyond) - 96 - 16 - 24 - 4
    trace.receive("responder", beyond[:at] + b"\xff" * 4 + beyond[at + 4 :], "too_far", "position 2^32 - 1")
    trace.receive("responder", at_limit, note="2,000 to skip")
    trace.receive("responder", beyond)
    return trace.case("limits")


def _retired() -> dict[str, Any]:
    trace = _Trace("retired keys")
    first = trace.send("initiator")
    lost = trace.send("initiator", "arrives last")
    third = trace.send("initiator")
    trace.receive("responder", first)
    trace.receive("responder", third)
    for at in range(33):
        trace.receive("initiator", trace.send("responder"))
        trace.receive("responder", trace.send("initiator"))
        if at == 31:
            trace.receive("responder", first, "duplicate", "its ratchet key is the oldest of the 32 retired ones")
    trace.receive("responder", first, "authentication", "33 keys have been retired since: taken for a turn")
    trace.receive("responder", lost, note="the skipped key is still there")
    return trace.case("retired keys")


def _dropped() -> dict[str, Any]:
    trace = _Trace("dropped keys")
    first, second = trace.send("initiator"), trace.send("initiator")
    trace.quietly("initiator", 1498)
    trace.receive("responder", trace.send("initiator"), note="skips 1,500")
    trace.quietly("initiator", 500)
    trace.receive("responder", trace.send("initiator"), note="skips 500: 2,000 are kept")
    trace.quietly("initiator", 1)
    trace.receive("responder", trace.send("initiator"), note="skips one more: the oldest goes")
    trace.receive("responder", first, "duplicate", "its key was dropped")
    trace.receive("responder", second)
    return trace.case("dropped keys")


def _weak_turn() -> dict[str, Any]:
    trace = _Trace("weak turn")
    trace.receive("responder", trace.send("initiator"))
    own = trace.ends["responder"]
    derived = hkdf(own.root, bytes(32), label("root"), 64)
    head = b"\x01\x00\x01" + own.sid + bytes(32) + (1).to_bytes(4, "big") + bytes(4) + bytes(24)
    forged = head + seal(hmac_sha256(derived[32:], b"\x01"), bytes(24), bytes(96), own.transcript + head)
    trace.receive("responder", forged, "authentication", "dh of small order, sealed under what follows from it")
    return trace.case("weak turn")


def _before_the_first() -> dict[str, Any]:
    trace = _Trace("before the first answer")
    trace.send("initiator")
    initiator = trace.ends["initiator"]
    made = b"\x01\x00\x01" + initiator.sid + initiator.remote + bytes(8) + bytes(24) + bytes(112)
    trace.receive("initiator", made, "authentication", "the signed prekey as ratchet key: there is no chain")
    return trace.case("before the first answer")


def _malformed() -> list[dict[str, Any]]:
    trace = _Trace("malformed")
    prekey = trace.send("initiator")
    trace.receive("responder", prekey)
    normal = trace.send("responder")
    made = [
        ("type 3", b"\x03" + normal[1:], "unsupported"),
        ("suite 2", normal[:2] + b"\x02" + normal[3:], "unsupported"),
        ("short", normal[:-1], "bad_format"),
        ("long", normal + b"\x00", "bad_format"),
        ("prekey message called normal", b"\x01" + prekey[1:], "bad_format"),
        ("normal message called prekey", b"\x02" + normal[1:], "bad_format"),
        ("empty", b"", "unsupported"),
    ]
    return [
        case(name, kind="malformed", message=bytes_, verdict=refused(expected, partial(RatchetMessage.parse, bytes_)))
        for name, bytes_, expected in made
    ]


def ratchets() -> list[dict[str, Any]]:
    """Traces of both ends, then messages that cannot be read."""
    if verdict(_three_turns) != "ok":
        raise AssertionError("trace")
    return [_three_turns(), _limits(), _retired(), _dropped(), _weak_turn(), _before_the_first(), *_malformed()]
