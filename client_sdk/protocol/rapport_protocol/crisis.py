"""Numbers that answer now, by country: part of the program (`crisis_lines.json`), so that they need no network.

A therapist's own lines (`card` of docs/protocol.md, section 4.8) stand before these. Only numbers stand there that the
organisation behind them publishes for everybody; `source` is its site.
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

__all__ = ["COUNTRIES", "CountryLine", "CountryNumbers", "numbers_of"]


class CountryLine(Struct, frozen=True):
    """Somebody who listens. number: as it is written; send: the word to text to it, "" = it is called.

    dial: what is dialled where that is not the digits of `number`, else "". note: in the country's own language, like
    the name. source: the site that publishes it.
    """

    name: str
    number: str
    send: str = ""
    dial: str = ""
    note: str = ""
    source: str = ""


class CountryNumbers(Struct, frozen=True):
    """What one country has. emergency: as it is dialled."""

    emergency: str
    lines: tuple[CountryLine, ...] = ()


_ANYWHERE: Final = CountryNumbers("112")
"""Answers from most mobile phones in most countries."""

COUNTRIES: Final = msgspec.json.decode(
    Path(__file__).with_name("crisis_lines.json").read_bytes(), type=dict[str, CountryNumbers]
)
"""By ISO 3166 code."""


def numbers_of(country: str) -> CountryNumbers:
    """What a country has; what answers nearly anywhere for one that is not listed, and for ""."""
    return COUNTRIES.get(country, _ANYWHERE)
