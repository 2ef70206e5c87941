"""Public holidays for the editor of office hours: what is listed, and what is refused."""

import pytest

from rapport_protocol.requests import Holidays
from tests.server.node import Refused, running


async def test_holidays_are_listed_and_what_does_not_exist_is_refused() -> None:
    async with running() as node:
        owner, client, _ = await node.pair()

        async def asked(query: str) -> Holidays | str:
            try:
                found = await node.ask("office.holidays", owner, query=query)
            except Refused as problem:
                return problem.problem.code
            assert isinstance(found, Holidays)
            return found

        scotland = await asked("?country=GB&region=SCT&year=2026")
        assert isinstance(scotland, Holidays)
        assert [(day.date, day.name) for day in scotland.days][:2] == [
            ("2026-01-01", "New Year's Day"),
            ("2026-01-02", "New Year Holiday"),
        ]
        assert {"ENG", "SCT", "WLS", "NIR"} <= set(scotland.regions)
        whole = await asked("?country=GB&year=2026")
        assert isinstance(whole, Holidays)
        assert "2026-01-02" not in {day.date for day in whole.days}
        now = await asked("?country=DE&region=BY")
        assert isinstance(now, Holidays)
        assert {day.date[:4] for day in now.days} == {"2027"}, "this year's"
        for query, code in (
            ("?country=XX", "not_found"),
            ("?country=gb", "not_found"),
            ("?country=GBR", "not_found"),
            ("", "not_found"),
            ("?country=GB&region=BY", "bad_format"),
            ("?country=GB&year=1999", "bad_format"),
            ("?country=GB&year=2101", "bad_format"),
            ("?country=GB&year=x", "bad_format"),
        ):
            assert await asked(query) == code, query
        with pytest.raises(Refused, match="forbidden"):
            await node.ask("office.holidays", client, query="?country=GB")
