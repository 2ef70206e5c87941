"""Safety numbers are Signal's, and change with an identity key and with nothing else."""

from __future__ import annotations

import pytest

from rapport.crypto.safety_number import numeric_fingerprint, safety_number, shown_in_groups
from rapport_protocol.errors import LocalError
from rapport_protocol.ids import AccountId
from tests.vector_files import Case, case_name, cases, raw

#: The example of Signal's own implementations: version 0, keys of type 5, telephone numbers, 5,200 rounds.
ALICE = bytes.fromhex("0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868")
BOB = bytes.fromhex("05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b")
PUBLISHED = "300354477692869396892869876765458257569162576843440918079131"

DANA = (AccountId(b"d" * 16), b"D" * 32)
KIM = (AccountId(b"k" * 16), b"K" * 32)


def test_signals_published_number() -> None:
    halves = numeric_fingerprint(0, ALICE, b"+14152222222"), numeric_fingerprint(0, BOB, b"+14153333333")
    assert "".join(sorted(halves)) == PUBLISHED


def test_both_sides_see_the_same_sixty_digits() -> None:
    number = safety_number(DANA, KIM)
    assert number == safety_number(KIM, DANA)
    assert len(number) == 60
    assert number.isdecimal()
    assert [len(group) for group in shown_in_groups(number).split(" ")] == [5] * 12


def test_either_key_and_either_account_count() -> None:
    others = [
        safety_number((DANA[0], b"E" * 32), KIM),
        safety_number(DANA, (KIM[0], b"E" * 32)),
        safety_number((AccountId(b"e" * 16), DANA[1]), KIM),
    ]
    assert len({safety_number(DANA, KIM), *others}) == 4


@pytest.mark.parametrize("key", [b"K" * 31, b"K" * 33])
def test_a_key_of_another_length_is_no_key(key: bytes) -> None:
    with pytest.raises(LocalError):
        safety_number(DANA, (KIM[0], key))


@pytest.mark.parametrize("case", cases("safety_number", "fingerprint"), ids=case_name)
def test_fingerprints(case: Case) -> None:
    key, identifier = raw(case, "key", "identifier")
    assert numeric_fingerprint(case["version"], key, identifier) == case["digits"]


@pytest.mark.parametrize("case", cases("safety_number", "number"), ids=case_name)
def test_numbers(case: Case) -> None:
    one, one_aik, other, other_aik = raw(case, "one", "one_aik", "other", "other_aik")
    number = safety_number((AccountId(one), one_aik), (AccountId(other), other_aik))
    assert (number, shown_in_groups(number)) == (case["digits"], case["shown"])
