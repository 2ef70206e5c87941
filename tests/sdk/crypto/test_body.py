"""What a body keeps on its way, and what is no body."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapport.crypto.body import Body, RosterEntry, new_chain
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, MessageId
from tests.sdk.crypto.pair import chance

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=10) | st.binary(max_size=10)
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
ids = st.binary(min_size=16, max_size=16)
maybe_message = st.none() | ids.map(MessageId)
counts = st.integers(0, 2**53 - 1)
roster = st.lists(st.builds(RosterEntry, ids.map(AccountId), counts, ids), max_size=20).map(tuple)
known = set(Body.__struct_fields__) - {"extra"}
later = st.dictionaries(st.text(min_size=1, max_size=12).filter(lambda key: key not in known), nested, max_size=3)

bodies = st.builds(
    Body,
    type=st.text(min_size=1, max_size=64),
    content=st.dictionaries(st.text(max_size=8), nested, max_size=3),
    chain=counts,
    sseq=counts,
    roster=roster,
    prev=maybe_message,
    after=maybe_message,
    reply_to=maybe_message,
    office_version=st.none() | counts,
    attachments=st.none() | st.lists(plain, max_size=2),
    expire=st.none() | counts,
    extra=later,
)


@given(bodies)
def test_a_body_comes_back_with_everything_later_versions_put_in(body: Body) -> None:
    assert Body.parse(body.encode()) == body


@given(st.binary(max_size=300))
def test_any_bytes_are_a_body_or_refused(source: bytes) -> None:
    with contextlib.suppress(FormatError):
        Body.parse(source)


MINIMAL: dict[str, Any] = {"type": "text", "content": {}, "chain": 1, "sseq": 1, "roster": []}


def test_the_smallest_body() -> None:
    assert Body.parse(msgspec.msgpack.encode(MINIMAL)) == Body("text", {}, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"type": ""},
        {"type": "x" * 65},
        {"type": 7},
        {"content": []},
        {"chain": 2**53},
        {"chain": -1},
        {"sseq": 1.5},
        {"roster": [[bytes(16), 1, bytes(16)]] * 21},
        {"roster": [[bytes(15), 1, bytes(16)]]},
        {"roster": [[bytes(16), 1]]},
        {"prev": bytes(15)},
        {"prev": None},
        {"reply_to": "0123456789abcdef"},
        {"attachments": {}},
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        Body.parse(msgspec.msgpack.encode(MINIMAL | change))


@pytest.mark.parametrize("field", MINIMAL)
def test_a_missing_field_is_refused(field: str) -> None:
    with pytest.raises(FormatError):
        Body.parse(msgspec.msgpack.encode({key: value for key, value in MINIMAL.items() if key != field}))


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\x90",
        b"\x81\x01\x02",  # a key that is no text
        b"\x81\x91\x01\x02",  # a key that cannot be one
        b"\x81\xa1a" + b"\x91" * 16_000 + b"\x01",  # nested deeper than any reader goes
        msgspec.msgpack.encode(MINIMAL) + b"\x00",
        msgspec.msgpack.encode(MINIMAL)[:-1],
    ],
    ids=["empty", "array", "number as key", "array as key", "deep", "trailing", "cut short"],
)
def test_what_is_no_map_is_refused(source: bytes) -> None:
    with pytest.raises(FormatError):
        Body.parse(source)


def test_text_does_not_show() -> None:
    assert "secret" not in repr(Body("text", {"text": "secret"}, 1, 1))


def test_chain_numbers_fit_javascript_and_are_never_zero() -> None:
    draw = chance("chain")
    drawn = {new_chain(draw) for _ in range(200)}
    assert len(drawn) == 200
    assert all(0 < number < 2**53 for number in drawn)
    assert new_chain(bytes) == 1
    assert new_chain(lambda size: b"\xff" * size) == 2**53 - 1
