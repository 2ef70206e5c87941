"""Numbers that answer now, by country: part of the program, so that they are there without a network.

A therapist's own lines (`card` of docs/protocol.md, section 4.8) stand before these. The browser app has the same.
"""

from typing import Final

from msgspec import Struct

__all__ = ["COUNTRIES", "CountryLine", "CountryNumbers", "numbers_of"]


class CountryLine(Struct, frozen=True):
    """Somebody who listens, day and night unless noted. number: as it is dialled, or what to text whom."""

    name: str
    number: str
    note: str = ""


class CountryNumbers(Struct, frozen=True):
    """What one country has. emergency: as it is dialled."""

    emergency: str
    lines: tuple[CountryLine, ...] = ()


_ANYWHERE: Final = CountryNumbers("112")
"""Answers from most mobile phones in most countries."""

_TEXT: Final = "If speaking is too much"
COUNTRIES: Final = {
    "AT": CountryNumbers("112", (CountryLine("Telefonseelsorge", "142", "Tag und Nacht, kostenlos"),)),
    "AU": CountryNumbers("000", (CountryLine("Lifeline", "13 11 14", "Day and night"),)),
    "BE": CountryNumbers(
        "112",
        (
            CountryLine("Zelfmoordlijn", "1813", "Nederlands"),
            CountryLine("Centre de prévention du suicide", "0800 32 123", "Français"),
        ),
    ),
    "CA": CountryNumbers("911", (CountryLine("9-8-8 Suicide Crisis Helpline", "988", "Day and night, call or text"),)),
    "CH": CountryNumbers(
        "144", (CountryLine("Die Dargebotene Hand, La Main Tendue", "143"), CountryLine("Pro Juventute", "147"))
    ),
    "DE": CountryNumbers(
        "112",
        (
            CountryLine("TelefonSeelsorge", "0800 111 0 111", "Tag und Nacht, kostenlos"),
            CountryLine("TelefonSeelsorge", "0800 111 0 222", "Tag und Nacht, kostenlos"),
            CountryLine("TelefonSeelsorge", "116 123", "Tag und Nacht, kostenlos"),
        ),
    ),
    "DK": CountryNumbers("112", (CountryLine("Livslinien", "70 201 201"),)),
    "ES": CountryNumbers("112", (CountryLine("Línea de atención a la conducta suicida", "024"),)),
    "FI": CountryNumbers("112", (CountryLine("MIELI Kriisipuhelin", "09 2525 0111"),)),
    "FR": CountryNumbers("112", (CountryLine("Numéro national de prévention du suicide", "3114", "24h/24, gratuit"),)),
    "GB": CountryNumbers(
        "999",
        (
            CountryLine("Samaritans", "116 123", "Day and night, free, nothing is too small"),
            CountryLine("NHS mental health crisis line", "111, then 2"),
            CountryLine("Shout", "Text SHOUT to 85258", _TEXT),
        ),
    ),
    "IE": CountryNumbers(
        "112",
        (
            CountryLine("Samaritans", "116 123", "Day and night, free"),
            CountryLine("Text About It", "Text HELLO to 50808", _TEXT),
        ),
    ),
    "IL": CountryNumbers("101", (CountryLine("ERAN", "1201"),)),
    "IN": CountryNumbers("112", (CountryLine("Tele-MANAS", "14416"),)),
    "IT": CountryNumbers("112"),
    "JP": CountryNumbers("119"),
    "NL": CountryNumbers(
        "112",
        (CountryLine("113 Zelfmoordpreventie", "0800 0113"), CountryLine("113 Zelfmoordpreventie", "113")),
    ),
    "NO": CountryNumbers("113", (CountryLine("Mental Helse", "116 123"), CountryLine("Kirkens SOS", "22 40 00 40"))),
    "NZ": CountryNumbers("111", (CountryLine("Need to Talk?", "1737", "Call or text"),)),
    "PL": CountryNumbers("112", (CountryLine("Centrum Wsparcia", "800 70 2222"),)),
    "PT": CountryNumbers("112", (CountryLine("SNS 24", "808 24 24 24"),)),
    "SE": CountryNumbers("112", (CountryLine("Självmordslinjen", "90101"),)),
    "US": CountryNumbers(
        "911",
        (
            CountryLine("988 Suicide & Crisis Lifeline", "988", "Day and night, call or text"),
            CountryLine("Crisis Text Line", "Text HOME to 741741", _TEXT),
        ),
    ),
}
"""By ISO 3166 code. Names and notes are said as their own country says them."""


def numbers_of(country: str) -> CountryNumbers:
    """What a country has; what answers nearly anywhere for one that is not listed, and for ""."""
    return COUNTRIES.get(country, _ANYWHERE)
