"""The relay of `deploy/coturn`, asked of a real coturn."""

from __future__ import annotations

from pathlib import Path

import pytest
from aioice import stun

from rapport.testing.turn import TurnProcess
from tests.calls.turn_probe import CONFIGURATION, DENIED, FORBIDDEN, PUBLIC, allocate, credentials, permission, probe

pytestmark = pytest.mark.nodes

UNAUTHORISED = 401


@pytest.mark.parametrize("address", DENIED)
async def test_the_relay_reaches_the_public_internet_and_nothing_else(address: str) -> None:
    answers = await probe(CONFIGURATION, address, (*DENIED[address], *PUBLIC[address]))
    assert answers == dict.fromkeys(DENIED[address], FORBIDDEN) | dict.fromkeys(PUBLIC[address], 0)


async def test_a_forgotten_range_is_seen(tmp_path: Path) -> None:
    weaker = tmp_path / "turnserver.conf"
    text = CONFIGURATION.read_text(encoding="utf-8")
    weaker.write_text(text.replace("denied-peer-ip=10.0.0.0-10.255.255.255\n", ""), encoding="utf-8")
    assert await probe(weaker, "127.0.0.1", ["10.1.2.3", "192.168.1.1"]) == {"10.1.2.3": 0, "192.168.1.1": FORBIDDEN}


async def test_a_name_that_has_ended_or_was_not_made_with_the_secret_gets_nothing(tmp_path: Path) -> None:
    async with TurnProcess(tmp_path / "turn", base=CONFIGURATION) as relay:
        for username, password in (
            credentials(relay.secret, lives_s=-10),
            credentials("another secret"),
            (credentials(relay.secret, "somebody")[0], credentials(relay.secret, "else")[1]),
        ):
            with pytest.raises(stun.TransactionFailed) as refused:
                await allocate(relay, username, password)
            assert refused.value.response.attributes["ERROR-CODE"][0] == UNAUTHORISED
        client = await allocate(relay, *credentials(relay.secret))
        assert await permission(client, "8.8.8.8") == 0
        await client.delete()


async def test_a_relay_for_one_machine_reaches_that_machine_alone(tmp_path: Path) -> None:
    """As `deploy/local_cluster.py` runs it."""
    lines = ["allow-loopback-peers", "allowed-peer-ip=127.0.0.1"]
    async with TurnProcess(tmp_path / "turn", base=CONFIGURATION, lines=lines, secret="kept") as relay:
        client = await allocate(relay, *credentials("kept"))
        assert [await permission(client, peer) for peer in ("127.0.0.1", "10.0.0.1")] == [0, FORBIDDEN]
        await client.delete()
