"""Reads the vector files of the protocol for the tests of both packages."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from rapport.crypto.failures import AuthenticationFailed, DuplicatePosition, TooFarAhead
from rapport_protocol.errors import RapportError
from rapport_protocol.rules import RuleBroken
from tests.house.tree import ROOT

FOLDER = ROOT / "client_sdk/protocol/vectors"

Case = dict[str, Any]


@functools.cache
def _file(name: str) -> tuple[Case, ...]:
    read = json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))
    return tuple(read["cases"])


def cases(name: str, *kinds: str) -> list[Case]:
    """The cases of a file, of some kinds or of all; never none."""
    found = [case for case in _file(name) if not kinds or case.get("kind") in kinds]
    assert found, f"{name}.json holds no {kinds}"
    return found


def case_name(case: Case) -> str:
    return str(case["name"])


def raw(case: Case, *names: str) -> tuple[bytes, ...]:
    """Fields of a case as bytes."""
    return tuple(bytes.fromhex(case[name]) for name in names)


def verdict(run: Callable[[], object]) -> str:
    """What an implementation answers, in the words of docs/protocol.md, section 1.4."""
    try:
        run()
    except RuleBroken as broken:
        return broken.rule.value
    except AuthenticationFailed:
        return "authentication"
    except DuplicatePosition:
        return "duplicate"
    except TooFarAhead:
        return "too_far"
    except RapportError as error:
        return error.code.value
    return "ok"


def plain(value: object) -> Any:
    """Structs and bytes in the form of the files."""
    match value:
        case bytes():
            return value.hex()
        case list() | tuple():
            return [plain(held) for held in value]
        case dict():
            return {key: plain(held) for key, held in value.items()}
        case _ if hasattr(value, "__struct_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        case _:
            return value
