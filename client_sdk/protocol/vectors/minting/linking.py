"""Chapter 13: linking codes, the key of a link and its digits, sealed steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from minting.base import NOT_UTF8, T0, Stream, case, flipped, plain, refused
from minting.cast import BEN, DANA
from rapport.crypto.identity import DeviceSecrets, new_last_resort, new_one_time, new_signed_prekey
from rapport.crypto.linking import (
    LinkAnswer,
    LinkCode,
    LinkContent,
    LinkDone,
    LinkEnd,
    LinkPackage,
    LinkPin,
    digits_of,
    link_key,
    open_step,
    parse_code,
    seal_step,
)
from rapport.crypto.primitives import seal
from rapport_protocol.ids import LinkId
from rapport_protocol.requests import Prekeys, Role
from rapport_protocol.signed import h256, label

__all__ = ["linking"]

BASE = "https://rapport.example"


def linking() -> list[dict[str, Any]]:
    """Codes and how they may be typed, keys and digits, the three sealed steps, then what must not open."""
    random = Stream("linking")
    code = LinkCode.make(random)
    return [*_codes(code, LinkCode.make(random)), *_keys(code, random), *_steps(code, random)]


def _codes(code: LinkCode, other: LinkCode) -> list[dict[str, Any]]:
    cases = [
        case(name, kind="code", secret=made.secret, text=made.text(), url=made.url(BASE), link=made.id)
        for name, made in (("a code", code), ("another code", other), ("all zeros", LinkCode(bytes(16))))
    ]
    text, bare = code.text(), code.text().replace("-", "")
    wrong = bare[:7] + ("0" if bare[7] != "0" else "1") + bare[8:]
    later = _later_version(code)
    for name, typed, expected in (
        ("as shown", text, "ok"),
        ("its address", code.url(BASE), "ok"),
        ("in lower case, with spaces", " " + text.lower().replace("-", " ") + " ", "ok"),
        ("O for 0 and L for 1", LinkCode(bytes(16)).text().replace("0", "O").replace("1", "l"), "ok"),
        ("an address on a path", code.url(BASE + "/praxis"), "ok"),
        ("one character mistyped", wrong, "bad_format"),
        ("two characters swapped", bare[:3] + bare[4] + bare[3] + bare[5:], "bad_format"),
        ("one character missing", bare[:-1], "bad_format"),
        ("one character too many", bare + "0", "bad_format"),
        ("a letter that no code has", "U" + bare[1:], "bad_format"),
        ("empty", "", "bad_format"),
        ("another address", f"{BASE}/o#{bare}", "bad_format"),
        ("not http", f"ftp://rapport.example/link#{bare}", "bad_format"),
        ("of a later version", later, "unsupported"),
    ):
        fields = {}
        if expected == "ok":
            base, parsed = parse_code(typed)
            fields = {"base": base, "secret": parsed.secret}
        cases.append(
            case(name, kind="read", text=typed, verdict=refused(expected, partial(parse_code, typed)), **fields)
        )
    return cases


def _later_version(code: LinkCode) -> str:
    content = b"\x02" + code.secret
    number = int.from_bytes(content + h256("link-code", content)[:3], "big")
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> shift & 31] for shift in range(155, -1, -5))


def _keys(code: LinkCode, random: Stream) -> list[dict[str, Any]]:
    cases = []
    existing = LinkEnd.make(random)
    for at in range(3):
        new = LinkEnd.make(random)
        key = link_key(code, existing, existing.public, new.public)
        if key != link_key(code, new, existing.public, new.public):
            raise AssertionError("the two ends disagree")
        cases.append(
            case(
                f"key {at}",
                kind="key",
                secret=code.secret,
                existing_secret=existing.secret,
                new_secret=new.secret,
                existing_public=existing.public,
                new_public=new.public,
                commitment=existing.commitment(code.id),
                key=key,
                digits=digits_of(key),
            )
        )
        existing = LinkEnd.make(random)
    weak = refused("weak_key", partial(link_key, code, existing, existing.public, bytes(32)))
    cases.append(
        case(
            "key of small order",
            kind="weak",
            secret=code.secret,
            existing_secret=existing.secret,
            new_public=bytes(32),
            verdict=weak,
        )
    )
    return cases


def _contents() -> list[tuple[str, int, LinkContent]]:
    fresh = DeviceSecrets.make(DANA.account, DANA.aik.public, Stream("linked device"), T0 + 500)
    random = Stream("linked prekeys")
    prekeys = Prekeys(
        new_signed_prekey(fresh, random, 1, T0 + 500)[1].encode(),
        new_last_resort(fresh, random, 2, T0 + 500)[1].encode(),
        [bundle.encode() for _, bundle in new_one_time(fresh, random, 3, 1, T0 + 500)],
    )
    package = LinkPackage(
        account=DANA.account,
        aik=DANA.aik.public,
        lists=tuple(held.encoded for held in DANA.lists),
        keys=((1, bytes(range(32))), (4, bytes(range(32, 64)))),
        server_id=bytes(range(64, 96)),
        base=BASE,
        role=Role.OWNER,
        name="Dana",
        pins=(LinkPin(BEN.account, BEN.aik.public, 1, BEN.lists[0].hash, True, "Ben"),),
        labels=((DANA.devices[0].device, "Praxis"), (DANA.devices[2].device, "")),
        settings={"theme": "dark"},
    )
    return [
        ("package", 3, package),
        ("answer", 4, LinkAnswer(fresh.entry().encode(), prekeys, "Telefon")),
        ("done", 5, LinkDone((DANA.lists[-1].encoded,))),
    ]


def _steps(code: LinkCode, random: Stream) -> list[dict[str, Any]]:
    key, link = random(32), code.id
    cases = []
    for name, step, content in _contents():
        sealed = seal_step(key, link, content, random)
        cases.append(
            case(
                name,
                kind="step",
                key=key,
                link=link,
                step=step,
                nonce=random.given[-1],
                messagepack=msgspec.msgpack.encode(content),
                fields=plain(msgspec.to_builtins(content, builtin_types=(bytes,))),
                sealed=sealed,
                verdict="ok",
            )
        )
        cases += _closed(name, (key, link, step), type(content), sealed, random)
        cases += _misshapen(name, (key, link, step), content, random)
    return cases


def _closed(
    name: str, place: tuple[bytes, LinkId, int], kind: type[LinkContent], sealed: bytes, random: Stream
) -> list[dict[str, Any]]:
    key, link, step = place
    cases = []
    for what, opener, where, bytes_ in (
        ("changed", key, link, flipped(sealed, 70)),
        ("under another key", random(32), link, sealed),
        ("of another link", key, LinkId(random(16)), sealed),
        ("cut short", key, link, sealed[:30]),
    ):
        found = refused("authentication", partial(open_step, opener, where, kind, bytes_))
        cases.append(
            case(f"{name} {what}", kind="open", key=opener, link=where, step=step, sealed=bytes_, verdict=found)
        )
    other = LinkDone if kind is not LinkDone else LinkAnswer
    found = refused("authentication", partial(open_step, key, link, other, sealed))
    other_step = 5 if other is LinkDone else 4
    cases.append(
        case(f"{name} as another step", kind="open", key=key, link=link, step=other_step, sealed=sealed, verdict=found)
    )
    return cases


def _misshapen(
    name: str, place: tuple[bytes, LinkId, int], content: LinkContent, random: Stream
) -> list[dict[str, Any]]:
    """Sealed by the right end, but no such map inside."""
    key, link, step = place
    good = msgspec.to_builtins(content, builtin_types=(bytes,))
    first = next(iter(good))
    made: list[tuple[str, object]] = [
        ("that is an array", [good]),
        (f"without {first}", {held: value for held, value in good.items() if held != first}),
        (f"with a number as {first}", good | {first: 7}),
    ]
    text = next((field for field in ("name", "label") if field in good), None)
    if text:
        made.append((f"with a {text} that is not UTF-8", good | {text: NOT_UTF8}))
    cases = []
    for what, inside in made:
        nonce = random(24)
        aad = label("link-step") + link + bytes((step,))
        sealed = nonce + seal(key, nonce, msgspec.msgpack.encode(inside), aad)
        found = refused("bad_format", partial(open_step, key, link, type(content), sealed))
        cases.append(case(f"{name} {what}", kind="open", key=key, link=link, step=step, sealed=sealed, verdict=found))
    return cases
