"""Public holidays, for the editor that makes closed dates of them.

They come from the package `holidays`, which knows countries and regions by their ISO 3166 codes. It is asked in a
thread: the first question about a country loads its module, some 50 ms.

Source: docs/protocol.md, section 15.4.
"""

import asyncio
import threading
import warnings
from functools import lru_cache
from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.requests import Holiday, Holidays

__all__ = ["FIRST_YEAR", "LAST_YEAR", "holidays_of"]

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100
"""Years that may be asked for; of some countries fewer are known, and the others have no days."""
_KEPT: Final = 512
"""Answers remembered, about 2 KB each."""
_ENGLISH: Final = "en_US"

_alone = threading.Lock()
"""Warnings are switched off for the whole process: one question at a time, so that they are switched on again."""


async def holidays_of(country: str, region: str, year: int) -> Holidays:
    """The public holidays of a country, or of one of its regions; empty region = those of the whole country.

    Raises Rejected: NOT_FOUND for a country that is not known, BAD_FORMAT for a region that it does not have, and for
    a year outside 2000 to 2100.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise Rejected(ErrorCode.BAD_FORMAT, "holidays are listed for the years 2000 to 2100")
    return await asyncio.to_thread(_listed, country, region, year)


@lru_cache(maxsize=_KEPT)
def _listed(country: str, region: str, year: int) -> Holidays:
    import holidays  # noqa: PLC0415 - 80 ms and 4 MB that most servers never need

    regions = holidays.list_supported_countries(include_aliases=False).get(country)
    if regions is None:
        raise Rejected(ErrorCode.NOT_FOUND, "no such country: two letters as in ISO 3166, like GB")
    if region and region not in regions:
        raise Rejected(ErrorCode.BAD_FORMAT, "the country has no such region")
    with _alone, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # years that it does not know
        days = holidays.country_holidays(country, subdiv=region or None, years=year, language=_ENGLISH)
    listed = [Holiday(date.isoformat(), name) for date, name in sorted(days.items()) if date.year == year]
    return Holidays(listed, list(regions))
