"""Sizes at every edge, and padding that nobody made."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapport.crypto.padding import PADDED_MOST, pad, pad_to, padded_size, unpad, unpad_from
from rapport_protocol.errors import FormatError, LocalError

BUCKETS = (256, 512, 1024, 2048, 4096)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_holds_one_byte_less_than_its_size(bucket: int) -> None:
    assert padded_size(bucket - 1) == bucket
    assert padded_size(bucket) > bucket


def test_above_the_buckets_it_is_padme() -> None:
    """By the formula of the paper, for every length there is."""
    for size in range(4096, PADDED_MOST):
        length = size + 1
        exponent = math.floor(math.log2(length))
        low_bits = exponent - (math.floor(math.log2(exponent)) + 1)
        mask = (1 << low_bits) - 1
        assert padded_size(size) == (length + mask) & ~mask


def test_the_largest_body_fits_and_one_byte_more_does_not() -> None:
    assert len(pad(bytes(PADDED_MOST - 1))) == PADDED_MOST
    with pytest.raises(LocalError, match="too_large"):
        pad(bytes(PADDED_MOST))


@given(st.binary(max_size=5000))
def test_unpad_undoes_pad(content: bytes) -> None:
    assert unpad(pad(content)) == content


@given(st.binary(max_size=300), st.integers(min_value=1, max_value=600))
def test_only_the_size_of_the_table_is_taken(content: bytes, more: int) -> None:
    size = len(content) + more
    padded = pad_to(content, size)
    assert unpad_from(padded) == content
    if size != padded_size(len(content)):
        with pytest.raises(FormatError):
            unpad(padded)


@pytest.mark.parametrize("padded", [b"", bytes(256), b"\x01" * 256, b"\x80" * 255 + b"\x01"])
def test_padding_without_its_mark_is_refused(padded: bytes) -> None:
    with pytest.raises(FormatError):
        unpad(padded)


def test_there_must_be_room_for_the_mark() -> None:
    with pytest.raises(LocalError):
        pad_to(bytes(256), 256)
