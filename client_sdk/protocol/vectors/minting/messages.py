"""Chapters 4, 7 and 8: bodies and sealed payloads, archive entries, signals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from minting.base import NOT_UTF8, T0, Stream, case, flipped, plain, refused
from minting.cast import BEN, DANA
from rapport.crypto.archive import ArchiveRecord, Trust, archive_key, open_entry, seal_entry
from rapport.crypto.body import Body, RosterEntry, new_chain
from rapport.crypto.envelope import KeyPayload, PayloadKind, SealedBody, open_body, open_note, seal_body, seal_note
from rapport.crypto.padding import pad, pad_to, padded_size, unpad
from rapport.crypto.primitives import seal
from rapport.crypto.signals import open_signal, seal_signal, signal_key
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.signed import (
    MessageClass,
    MessageFlags,
    Outer,
    SignalFields,
    archive_aad,
    body_hash,
    key_commitment,
)

__all__ = ["archive", "messages", "padding", "signals"]


def padding() -> list[dict[str, Any]]:
    """The table at its edges, and padding that must be refused."""
    edges = (0, 1, 254, 255, 256, 511, 512, 1023, 1024, 2047, 2048, 4095, 4096, 4351, 4352, 8191, 8192, 12_287, 16_382)
    cases = [case(f"{size} bytes", kind="size", size=size, padded=padded_size(size)) for size in (*edges, 16_383)]
    cases.append(
        case("16,384 bytes", kind="size", size=16_384, verdict=refused("too_large", partial(pad, bytes(16_384))))
    )
    content = Stream("padding")(20)
    padded = pad(content)
    for name, bytes_, expected in (
        ("padded", padded, "ok"),
        ("content of zeros", pad(bytes(20)), "ok"),
        ("content ends in 0x80", pad(b"\x80\x80"), "ok"),
        ("no 0x80", content + bytes(236), "bad_format"),
        ("all zeros", bytes(256), "bad_format"),
        ("another size", content + b"\x80" + bytes(491), "bad_format"),
        ("something after the 0x80", padded[:-1] + b"\x01", "bad_format"),
        ("empty", b"", "bad_format"),
    ):
        found = refused(expected, partial(unpad, bytes_))
        given = {"content": unpad(bytes_)} if found == "ok" else {}
        cases.append(case(name, kind="unpad", padded=bytes_, **given, verdict=found))
    return cases


def _outer(random: Stream, kind: MessageClass = MessageClass.POST) -> Outer:
    return Outer(
        conv=ConversationId(random(16)),
        epoch=3,
        account=DANA.account,
        device=DANA.devices[0].device,
        id=MessageId(random(16)),
        ts_ms=T0 + 5000,
        kind=kind,
        flags=MessageFlags.QUIET,
        act_until_ms=T0 + 30 * 86_400_000 if kind is MessageClass.DIRECT else 0,
        commitment=bytes(32),
    )


def _body(random: Stream) -> Body:
    return Body(
        type="text",
        content={"text": "Bis Dienstag \u2013 und danke."},
        chain=new_chain(random),
        sseq=2,
        roster=(
            RosterEntry(DANA.account, 4, DANA.lists[3].hash[:16]),
            RosterEntry(BEN.account, 1, BEN.lists[0].hash[:16]),
        ),
        prev=MessageId(random(16)),
        after=MessageId(random(16)),
        extra={"later_field": [1, b"\x02", None]},
    )


def _told(name: str, outer: Outer, body: bytes, sealed: SealedBody) -> dict[str, Any]:
    fields = msgspec.structs.replace(outer, commitment=key_commitment(sealed.key))
    return case(
        name,
        kind="seal",
        fields=fields,
        outer=sealed.outer,
        body=body,
        key=sealed.key,
        nonce=sealed.nonce,
        ciphertext=sealed.ciphertext,
        commitment=fields.commitment,
        hash=sealed.hash,
        payload=sealed.payload(),
        verdict="ok",
    )


def messages() -> list[dict[str, Any]]:
    """A post, the largest post, a note, a resend payload; then everything that must not open."""
    random = Stream("messages")
    outer, inner = _outer(random), _body(random)
    body = inner.encode()
    sealed = seal_body(outer, body, random)
    if Body.parse(body) != inner:
        raise AssertionError("body")
    known = {key: value for key, value in plain(inner).items() if value not in (None, {}) and key != "extra"}
    roster = [[entry.account.hex(), entry.version, entry.hash_start.hex()] for entry in inner.roster]
    cases = [
        case("body map", kind="body", messagepack=body, fields=known | plain(inner.extra) | {"roster": roster}),
        _told("post", outer, body, sealed),
    ]
    largest = b"\x5a" * 16_383
    cases.append(_told("largest post", outer, largest, seal_body(outer, largest, random)))
    note_outer, note = seal_note(_outer(random, MessageClass.DIRECT))
    cases.append(case("note", kind="note", outer=note_outer, payload=note, verdict="ok"))
    cases.append(case("resend payload", kind="payload", payload=sealed.resend(outer.id), verdict="ok"))
    return cases + _no_bodies() + _payload_refusals(sealed, note) + _open_refusals(sealed, note_outer, note)


def _payload_refusals(sealed: SealedBody, note: bytes) -> list[dict[str, Any]]:
    good, resend = sealed.payload(), sealed.resend(MessageId(sealed.hash[:16]))
    made = [
        ("payload kind 4", b"\x04" + good[1:], "unsupported"),
        ("payload kind 0", b"\x00" + good[1:], "unsupported"),
        ("payload flag", good[:1] + b"\x01" + good[2:], "unsupported"),
        ("payload tail", good[:-1] + b"\x01", "unsupported"),
        ("payload short", good[:-1], "bad_format"),
        ("payload long", good + b"\x00", "bad_format"),
        ("key with a ref", flipped(good, 70), "bad_format"),
        ("resend without a ref", resend[:66] + bytes(30), "bad_format"),
        ("note with a key", flipped(note, 5), "bad_format"),
        ("key of zeros", good[:2] + bytes(32) + good[34:], "bad_format"),
    ]
    return [
        case(name, kind="payload", payload=bytes_, verdict=refused(expected, partial(KeyPayload.parse, bytes_)))
        for name, bytes_, expected in made
    ]


def _open_refusals(sealed: SealedBody, note_outer: bytes, note: bytes) -> list[dict[str, Any]]:
    outer, nonce, ciphertext, good = sealed.outer, sealed.nonce, sealed.ciphertext, sealed.payload()
    other = seal_body(Outer.parse(outer), b"something else", Stream("other body"))
    another_key = KeyPayload.parse(flipped(good, 20)).encode()
    rehashed = SealedBody(outer, nonce, ciphertext, KeyPayload.parse(another_key).key, sealed.hash).payload()
    same_key = seal_body(Outer.parse(outer), b"something else", _pieces(KeyPayload.parse(good).key, nonce))
    made = [
        ("time stamp changed", flipped(outer, 82), nonce, ciphertext, good),
        ("sender changed", flipped(outer, 30), nonce, ciphertext, good),
        ("commitment changed", flipped(outer, 124), nonce, ciphertext, good),
        ("nonce changed", outer, flipped(nonce, 0), ciphertext, good),
        ("ciphertext changed", outer, nonce, flipped(ciphertext, 40), good),
        ("body replaced by one under another key", other.outer, other.nonce, other.ciphertext, good),
        ("another key with the right hash", outer, nonce, ciphertext, rehashed),
        ("another body under the same key", same_key.outer, same_key.nonce, same_key.ciphertext, good),
        ("only the commitment is wrong", *_wrong_commitment(sealed)),
    ]
    cases = []
    for name, o, n, c, payload in made:
        found = refused("authentication", partial(open_body, o, n, c, KeyPayload.parse(payload)))
        cases.append(case(name, kind="open", outer=o, nonce=n, ciphertext=c, payload=payload, verdict=found))
    committed = note_outer[:-32] + outer[-32:]
    hashed = KeyPayload(PayloadKind.NOTE, bytes(32), body_hash(committed, b"", b"")).encode()
    found = refused("authentication", partial(open_note, committed, KeyPayload.parse(hashed)))
    cases.append(case("note with a commitment", kind="note", outer=committed, payload=hashed, verdict=found))
    changed = flipped(note_outer, 60)
    found = refused("authentication", partial(open_note, changed, KeyPayload.parse(note)))
    cases.append(case("note under another outer", kind="note", outer=changed, payload=note, verdict=found))
    for name, bytes_, expected in (
        ("outer version 2", b"\x02" + outer[1:], "unsupported"),
        ("outer suite 2", outer[:2] + b"\x02" + outer[3:], "unsupported"),
        ("outer class 3", outer[:83] + b"\x03" + outer[84:], "unsupported"),
        ("outer flag 8", outer[:84] + b"\x08" + outer[85:], "unsupported"),
        ("outer time 2^53", outer[:75] + (2**53).to_bytes(8, "big") + outer[83:], "bad_format"),
        ("outer short", outer[:-1], "bad_format"),
        ("outer long", outer + b"\x00", "bad_format"),
    ):
        cases.append(case(name, kind="outer", outer=bytes_, verdict=refused(expected, partial(Outer.parse, bytes_))))
    return cases


def _pieces(*given: bytes) -> Callable[[int], bytes]:
    """Randomness that gives these pieces."""
    left = list(given)
    return lambda _: left.pop(0)


def _wrong_commitment(sealed: SealedBody) -> tuple[bytes, bytes, bytes, bytes]:
    """Outer, nonce, ciphertext, payload: hash and tag are right, the commitment is that of another key."""
    outer = sealed.outer[:-32] + key_commitment(bytes(31) + b"\x01")
    ciphertext = seal(sealed.key, sealed.nonce, pad(b"committed to another key"), outer)
    hashed = body_hash(outer, sealed.nonce, ciphertext)
    return outer, sealed.nonce, ciphertext, KeyPayload(PayloadKind.KEY, sealed.key, hashed).encode()


def _no_bodies() -> list[dict[str, Any]]:
    """Maps that are no body."""
    good: dict[str, Any] = {"type": "text", "content": {}, "chain": 1, "sseq": 1, "roster": []}
    entry = [bytes(16), 1, bytes(16)]
    made: list[tuple[str, object]] = [
        ("body that is an array", [good]),
        ("body without content", {key: value for key, value in good.items() if key != "content"}),
        ("body with a type of 65 characters", good | {"type": "x" * 65}),
        ("body with chain 2^53", good | {"chain": 2**53}),
        ("body with a negative place", good | {"sseq": -1}),
        ("body with 21 roster entries", good | {"roster": [entry] * 21}),
        ("body with a short roster entry", good | {"roster": [entry[:2]]}),
        ("body with a short prev", good | {"prev": bytes(15)}),
        ("body with nil as prev", good | {"prev": None}),
        ("body with a map as attachments", good | {"attachments": {}}),
        ("body with a text that is not UTF-8", good | {"content": {"text": NOT_UTF8}}),
    ]
    cases = []
    for name, inside in made:
        encoded = msgspec.msgpack.encode(inside)
        found = refused("bad_format", partial(Body.parse, encoded))
        cases.append(case(name, kind="body", messagepack=encoded, verdict=found))
    return cases


def archive() -> list[dict[str, Any]]:
    """An archive entry, and what must not open."""
    random = Stream("archive")
    epoch_key, conv, message = random(32), ConversationId(random(16)), MessageId(random(16))
    record = ArchiveRecord(random(32), random(32), DANA.account, DANA.devices[0].device, Trust.RESEND, T0 + 123)
    key, place = archive_key(epoch_key, BEN.account, conv), (BEN.account, conv, message)
    entry = seal_entry(key, 4, place, record, random)

    def sealed_entry(end: bytes) -> bytes:
        """An entry whose record ends in this trust and time."""
        nonce = random(24)
        return bytes(4) + nonce + seal(key, nonce, bytes(96) + end, archive_aad(*place, 0))

    common = {"archive_key": key, "account": BEN.account, "conv": conv, "message": message}
    cases = [
        case(
            "entry",
            epoch_key=epoch_key,
            archive_epoch=4,
            nonce=random.given[-1],
            record=record,
            **common,
            entry=entry,
            verdict="ok",
        )
    ]
    for name, changed, expected in (
        ("another archive epoch", flipped(entry, 3), "authentication"),
        ("nonce changed", flipped(entry, 10), "authentication"),
        ("ciphertext changed", flipped(entry, 100), "authentication"),
        ("cut short", entry[:-1], "bad_format"),
        ("with trailing bytes", entry + b"\x00", "bad_format"),
        ("trust 3", sealed_entry(b"\x03" + bytes(8)), "unsupported"),
        ("received at 2^53", sealed_entry(b"\x00" + (2**53).to_bytes(8, "big")), "bad_format"),
    ):
        found = refused(expected, partial(open_entry, key, place, changed))
        cases.append(case(name, **common, entry=changed, verdict=found))
    other = (BEN.account, conv, MessageId(flipped(message, 0)))
    found = refused("authentication", partial(open_entry, key, other, entry))
    cases.append(case("of another message", **(common | {"message": other[2]}), entry=entry, verdict=found))
    return cases


def signals() -> list[dict[str, Any]]:
    """Typing and a padded ICE signal, and what must be dropped."""
    random = Stream("signals")
    message_key, ref, conv = random(32), MessageId(random(16)), ConversationId(random(16))
    device = DANA.devices[0].device
    key = signal_key(message_key, ref, device)
    cases = []
    frame = b""
    for ctr, smallest, content in ((0, 256, {"type": "typing"}), (1, 1024, {"type": "ice", "candidates": []})):
        fields = SignalFields(conv, 3, DANA.account, device, ref, ctr, T0 + ctr)
        frame = seal_signal(fields, key, content, random, smallest)
        cases.append(
            case(
                str(content["type"]),
                message_key=message_key,
                signal_key=key,
                fields=fields,
                content=msgspec.msgpack.encode(content),
                padded_size=smallest,
                nonce=random.given[-1],
                frame=frame,
                verdict="ok",
            )
        )
    for name, changed in (
        ("counter changed", flipped(frame, 75)),
        ("nonce changed", flipped(frame, 90)),
        ("ciphertext changed", flipped(frame, 120)),
        ("cut short", frame[:-1]),
    ):
        found = refused("authentication", partial(open_signal, changed, key))
        cases.append(case(name, signal_key=key, frame=changed, verdict=found))
    clear, nonce = frame[:84], random(24)
    for name, inside in (
        ("padded to 512", pad_to(msgspec.msgpack.encode({"type": "typing"}), 512)),
        ("without padding", b"\x01" * 256),
        ("no map", pad_to(b"\x90", 256)),
        ("map without a type", pad_to(b"\x80", 256)),
        ("a number as type", pad_to(msgspec.msgpack.encode({"type": 1}), 256)),
    ):
        made = clear + nonce + seal(key, nonce, inside, clear)
        cases.append(
            case(name, signal_key=key, frame=made, verdict=refused("bad_format", partial(open_signal, made, key)))
        )
    return cases
