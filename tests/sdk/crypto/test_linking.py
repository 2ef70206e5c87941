"""Linking codes, the key of a link and its digits, sealed steps: the vectors, and what people type."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapport.crypto.linking import (
    LinkAnswer,
    LinkCode,
    LinkDone,
    LinkEnd,
    LinkPackage,
    commitment_of,
    digits_of,
    link_key,
    open_step,
    parse_code,
    seal_step,
)
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import LinkId
from rapport_protocol.limits import LINK_CONTENT_BYTES
from tests.vector_files import Case, case_name, cases, plain, raw, verdict

STEPS: dict[int, Any] = {3: LinkPackage, 4: LinkAnswer, 5: LinkDone}


@pytest.mark.parametrize("case", cases("linking", "code"), ids=case_name)
def test_codes(case: Case) -> None:
    code = LinkCode(*raw(case, "secret"))
    assert (code.text(), code.url("https://rapport.example"), code.id.hex()) == (
        case["text"],
        case["url"],
        case["link"],
    )


@pytest.mark.parametrize("case", cases("linking", "read"), ids=case_name)
def test_what_is_typed(case: Case) -> None:
    assert verdict(partial(parse_code, case["text"])) == case["verdict"]
    if case["verdict"] == "ok":
        base, code = parse_code(case["text"])
        assert (base, code.secret.hex()) == (case["base"], case["secret"])


@pytest.mark.parametrize("case", cases("linking", "key"), ids=case_name)
def test_both_ends_come_to_one_key(case: Case) -> None:
    secret, existing, new = raw(case, "secret", "existing_secret", "new_secret")
    code, ends = LinkCode(secret), (LinkEnd(existing), LinkEnd(new))
    publics = ends[0].public, ends[1].public
    assert [public.hex() for public in publics] == [case["existing_public"], case["new_public"]]
    assert commitment_of(code.id, publics[0]) == ends[0].commitment(code.id) == bytes.fromhex(case["commitment"])
    for end in ends:
        key = link_key(code, end, *publics)
        assert (key.hex(), digits_of(key)) == (case["key"], case["digits"])


@pytest.mark.parametrize("case", cases("linking", "weak"), ids=case_name)
def test_a_key_of_small_order_is_refused(case: Case) -> None:
    secret, existing, new_public = raw(case, "secret", "existing_secret", "new_public")
    end = LinkEnd(existing)
    assert verdict(partial(link_key, LinkCode(secret), end, end.public, new_public)) == case["verdict"] == "weak_key"


@pytest.mark.parametrize("case", cases("linking", "step"), ids=case_name)
def test_steps(case: Case) -> None:
    key, link, nonce, messagepack, sealed = raw(case, "key", "link", "nonce", "messagepack", "sealed")
    content = open_step(key, LinkId(link), STEPS[case["step"]], sealed)
    assert msgspec.msgpack.encode(content) == messagepack
    assert plain(msgspec.to_builtins(content, builtin_types=(bytes,))) == case["fields"]
    assert seal_step(key, LinkId(link), content, lambda _size: nonce) == sealed
    assert repr(content) == f"{type(content).__name__}()"


@pytest.mark.parametrize("case", cases("linking", "open"), ids=case_name)
def test_what_does_not_open(case: Case) -> None:
    key, link, sealed = raw(case, "key", "link", "sealed")
    assert verdict(partial(open_step, key, LinkId(link), STEPS[case["step"]], sealed)) == case["verdict"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda code: code[:-1], "32 characters, this has 31"),
        (lambda code: code[:5] + "U" + code[6:], "character 6"),
        (lambda code: ("1" if code[0] == "0" else "0") + code[1:], "mistyped"),
    ],
)
def test_the_error_says_what_to_do(change: Any, sentence: str) -> None:
    typed = change(LinkCode(b"s" * 16).text().replace("-", ""))
    with pytest.raises(FormatError, match=sentence):
        parse_code(typed)


def test_every_single_mistyped_character_is_noticed() -> None:
    code = LinkCode(bytes(range(16))).text().replace("-", "")
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    for at in range(len(code)):
        for other in alphabet.replace(code[at], ""):
            with pytest.raises(FormatError):
                parse_code(code[:at] + other + code[at + 1 :])


@given(st.text(max_size=60) | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ-ilo #/:", max_size=60))
def test_whatever_is_typed_is_a_code_or_a_format_error(text: str) -> None:
    try:
        base, code = parse_code(text)
    except FormatError:
        return
    assert parse_code(code.url(base or "http://x"))[1] == code


@given(st.sampled_from(cases("linking", "step")), st.data())
def test_no_changed_byte_of_a_step_opens(case: Case, data: st.DataObject) -> None:
    key, link, sealed = raw(case, "key", "link", "sealed")
    at, bit = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(sealed)
    changed[at] ^= 1 << bit
    assert verdict(partial(open_step, key, LinkId(link), STEPS[case["step"]], bytes(changed))) == "authentication"


def test_no_secret_in_any_repr() -> None:
    assert (repr(LinkCode(b"s" * 16)), repr(LinkEnd(b"s" * 32))) == ("LinkCode()", "LinkEnd()")


def test_a_step_that_is_too_large_is_refused_before_it_is_sent() -> None:
    done = LinkDone(tuple(bytes(8192) for _ in range(LINK_CONTENT_BYTES // 8192)))
    with pytest.raises(LocalError) as refused:
        seal_step(bytes(32), LinkId(bytes(16)), done, bytes)
    assert refused.value.code is ErrorCode.TOO_LARGE
