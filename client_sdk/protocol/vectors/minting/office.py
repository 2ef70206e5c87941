"""Chapters 15 and 17: the rules of an office as a map, the signed document, the server's reports of urgent messages."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from minting.base import NOT_UTF8, T0, Stream, case, flipped, refused
from minting.cast import BEN, DANA
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.office.document import DOCUMENT_LIFE_MS, OfficeDocument
from rapport_protocol.office.hours import (
    AnswerRow,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Override,
    OverrideState,
    PushClosed,
    WeeklyWindow,
    Window,
    WithinOpenTime,
)
from rapport_protocol.urgent import CoverAsked, Report, Rung

__all__ = ["office", "urgent"]

FULL = OfficeHours(
    "Europe/London",
    (WeeklyWindow(0, 540, 780), WeeklyWindow(0, 840, 1020), WeeklyWindow(6, 1320, 1560)),
    (DateWindows("2026-12-24"), DateWindows("2026-12-28", (Window(600, 660), Window(1439, 2879)))),
    (Leave("2027-01-01", "2027-01-01"), Leave("2027-02-01", "2027-02-14", BEN.account)),
    Override(OverrideState.IN_SESSION, T0, T0 + 3_000_000),
    ByTable((AnswerRow(720, 1080, 0), AnswerRow(1440, 720, 1))),
    BEN.account,
    ring_closed=True,
    push_closed=PushClosed.NONE,
)
SHORT = OfficeHours("UTC", promise=WithinOpenTime(240))


def office() -> list[dict[str, Any]]:
    """Rules and documents, then what must not be read or believed."""
    cases = [
        case(
            "every key",
            kind="hours",
            messagepack=FULL.encode(),
            fields=msgspec.to_builtins(FULL, builtin_types=[bytes]),
        ),
        case("open time", kind="hours", messagepack=SHORT.encode(), fields=msgspec.to_builtins(SHORT)),
    ]
    return [*cases, *_no_hours(), *_documents()]


def _no_hours() -> list[dict[str, Any]]:
    zone = {"zone": "UTC"}
    maps: list[tuple[str, object]] = [
        ("no zone", {}),
        ("empty zone", {"zone": ""}),
        ("zone of 65 letters", {"zone": "x" * 65}),
        ("zone that is not UTF-8", {"zone": NOT_UTF8}),
        ("an array", ["UTC"]),
        ("a day 7", zone | {"weekly": [[7, 0, 60]]}),
        ("a start of 1,440", zone | {"weekly": [[0, 1440, 1500]]}),
        ("an end of 0", zone | {"weekly": [[0, 0, 0]]}),
        ("a start below 0", zone | {"weekly": [[0, -1, 60]]}),
        ("a window of two", zone | {"weekly": [[0, 540]]}),
        ("71 windows", zone | {"weekly": [[0, 0, 60]] * 71}),
        ("weekly nil", zone | {"weekly": None}),
        ("a date of nine characters", zone | {"dates": [["2026-1-01", []]]}),
        ("a date with a line feed", zone | {"dates": [["2026-01-01\n", []]]}),
        ("11 windows of a date", zone | {"dates": [["2026-01-01", [[0, 60]] * 11]]}),
        ("367 dates", zone | {"dates": [["2026-01-01"]] * 367}),
        ("a leave without end", zone | {"leaves": [["2026-01-01"]]}),
        ("a leave until nil", zone | {"leaves": [["2026-01-01", None]]}),
        ("a cover of 15 bytes", zone | {"leaves": [["2026-01-01", "2026-01-01", bytes(15)]]}),
        ("33 leaves", zone | {"leaves": [["2026-01-01", "2026-01-01"]] * 33}),
        ("an unknown override", zone | {"override": ["asleep", 0, 1]}),
        ("an override above 2^53 - 1", zone | {"override": ["away", 0, 2**53]}),
        ("a promise of another kind", zone | {"promise": {"kind": "soon", "minutes": 60}}),
        ("a promise without a kind", zone | {"promise": {"minutes": 60}}),
        ("a promise of 14 minutes", zone | {"promise": {"kind": "open_time", "minutes": 14}}),
        ("a table without rows", zone | {"promise": {"kind": "table", "rows": []}}),
        ("a row of 15 days", zone | {"promise": {"kind": "table", "rows": [[1440, 0, 15]]}}),
        ("ring_closed 1", zone | {"ring_closed": 1}),
        ("push_closed some", zone | {"push_closed": "some"}),
        ("cover of 17 bytes", zone | {"cover": bytes(17)}),
    ]
    encoded = [(name, msgspec.msgpack.encode(value)) for name, value in maps]
    encoded += [
        ("cut off", FULL.encode()[:-1]),
        ("16,385 bytes", msgspec.msgpack.encode(zone | {"new": bytes(16_385 - len(msgspec.msgpack.encode(zone)) - 7)})),
        ("something after the end", SHORT.encode() + b"\xc0"),
    ]
    largest = msgspec.msgpack.encode(zone | {"new": bytes(16_384 - len(msgspec.msgpack.encode(zone)) - 7)})
    if len(largest) != 16_384 or len(encoded[-2][1]) != 16_385:
        raise AssertionError("16 KiB")
    bad = [
        case(name, kind="hours", messagepack=bytes_, verdict=refused("bad_format", partial(OfficeHours.parse, bytes_)))
        for name, bytes_ in encoded
    ]
    longer = msgspec.msgpack.encode(zone | {"weekly": [[1, 2, 3, "later"]], "leaves": [["2026-01-01", "2026-01-01"]]})
    fields = msgspec.to_builtins(OfficeHours.parse(longer))
    return [
        *bad,
        case("longer arrays of a later version", kind="hours", messagepack=longer, fields=fields, again=False),
        case("16,384 bytes with a key of later", kind="hours", messagepack=largest, fields=zone, again=False),
    ]


def _documents() -> list[dict[str, Any]]:
    device = DANA.devices[0]
    key = device.signing_key()
    make = partial(OfficeDocument.make, DANA.account, device.device, key)
    made = [
        ("first", make(FULL, version=1, issued_ms=T0)),
        ("later, for a minute", make(SHORT, version=2**53 - 1, issued_ms=T0 + 5, life_ms=60_000)),
    ]
    cases = [
        case(
            name,
            kind="document",
            seed=key.seed,
            public=key.public,
            account=document.account,
            device=document.device,
            version=document.version,
            issued_ms=document.issued_ms,
            valid_until_ms=document.valid_until_ms,
            rules=document.rules,
            encoded=document.encode(),
        )
        for name, document in made
    ]
    good = made[0][1].encode()
    u64 = 33
    unread = [
        ("another version of the layout", b"\x02" + good[1:], "unsupported"),
        ("short", good[:-1], "bad_format"),
        ("long", good + b"\x00", "bad_format"),
        ("version 0", good[:u64] + bytes(8) + good[u64 + 8 :], "bad_format"),
        ("version 2^53", good[:u64] + (2**53).to_bytes(8, "big") + good[u64 + 8 :], "bad_format"),
        ("no life", good[: u64 + 16] + good[u64 + 8 : u64 + 16] + good[u64 + 24 :], "bad_format"),
        (
            "35 days and a millisecond",
            good[: u64 + 16] + (T0 + DOCUMENT_LIFE_MS + 1).to_bytes(8, "big") + good[u64 + 24 :],
            "bad_format",
        ),
        ("rules of 16,385 bytes", good[:57] + (16_385).to_bytes(4, "big") + bytes(16_385 + 64), "bad_format"),
        ("nothing", b"", "bad_format"),
    ]
    for name, bytes_, expected in unread:
        verdict = refused(expected, partial(OfficeDocument.parse, bytes_))
        cases.append(case(name, kind="check", public=key.public, encoded=bytes_, verdict=verdict))
    for name, at in (("account", 1), ("device", 17), ("version", 40), ("issue", 48), ("rules", 70), ("signature", -1)):
        changed = OfficeDocument.parse(flipped(good, at, 1))
        verdict = refused("invalid_signature", partial(changed.check, key.public))
        cases.append(
            case(f"{name} changed", kind="check", public=key.public, encoded=changed.encode(), verdict=verdict)
        )
    other = BEN.devices[0].signing_key().public
    verdict = refused("invalid_signature", partial(made[0][1].check, other))
    return [*cases, case("of another device", kind="check", public=other, encoded=good, verdict=verdict)]


def urgent() -> list[dict[str, Any]]:
    """Both sorts of reports, and what is none."""
    random = Stream("urgent")
    message = MessageId(random(16))
    cases = []
    for rung in Rung:
        next_ms = 0 if rung >= Rung.ENDED else T0 + 300_000
        told = Report(message, rung, T0 + rung, next_ms)
        fields = {"message": message, "rung": int(rung), "at_ms": told.at_ms, "next_ms": next_ms}
        cases.append(case(f"rung {int(rung)}", kind="report", encoded=told.encode(), **fields))
    asked = CoverAsked(message, AccountId(random(16)), AccountId(random(16)), T0)
    people = {"message": message, "client": asked.client, "therapist": asked.therapist, "at_ms": T0}
    cases.append(case("cover asked", kind="cover", encoded=asked.encode(), **people))
    report = Report(message, Rung.STORED, T0, 0).encode()
    for name, bytes_ in (
        ("rung 7", report[:16] + b"\x07" + report[17:]),
        ("short", report[:-1]),
        ("long", report + b"\x00"),
        ("a time of 2^53", report[:17] + (2**53).to_bytes(8, "big") + report[25:]),
    ):
        verdict = refused("bad_format", partial(Report.parse, bytes_))
        cases.append(case(name, kind="report", encoded=bytes_, verdict=verdict))
    for name, bytes_ in (("cover asked, short", asked.encode()[:-1]), ("cover asked, long", asked.encode() + b"\x00")):
        verdict = refused("bad_format", partial(CoverAsked.parse, bytes_))
        cases.append(case(name, kind="cover", encoded=bytes_, verdict=verdict))
    return cases
