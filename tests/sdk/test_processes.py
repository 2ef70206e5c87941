"""The processes under a harness say what is wrong instead of hanging, and leave nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import rapport
import rapport.testing
from rapport.crypto.invites import OwnerLink
from rapport.events import Message, MessageChanged, MessageKind, Placeholder, PlaceholderReason, Status
from rapport.testing.history import read
from rapport.testing.journal import Journal
from rapport.testing.journaled import JournaledClient
from rapport.testing.processes import Player, ProcessProblem, ServerProcess
from rapport_protocol.ids import ConversationId, DeviceId, MessageId


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", {"server.prot": "1"})
    with pytest.raises(ProcessProblem, match=r"init.*server\.port"):
        await server.init()
    with pytest.raises(ProcessProblem, match="does not run"):
        server.freeze()


async def test_a_server_is_gone_after_its_block(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server")
    await server.init()
    async with server:
        await server.start()
        pid = server.pid
        server.freeze()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_player_answers_what_it_cannot_do_and_its_end_is_noticed(tmp_path: Path) -> None:
    async with Player.start(tmp_path, "player") as player:
        with pytest.raises(ProcessProblem, match="dance: KeyError"):
            await player.order("dance", "dana")
        with pytest.raises(ProcessProblem, match="join: FormatError"):
            await player.order("join", "dana", link="no link")
        with pytest.raises(ProcessProblem, match="join: Unreachable"):
            await player.order("join", "dana", link=OwnerLink("http://127.0.0.1:9", bytes(32), bytes(32)).encode())
        with pytest.raises(ProcessProblem, match=r"did not answer|has ended"):
            await player.order("meet", "nobody", within_s=0)


@pytest.mark.long
def test_a_demo_that_is_told_to_end_ends_its_server_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rapport", "demo", "--headless", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        try:
            assert demo.stderr is not None
            assert b"talk" in demo.stderr.readline()
            listed = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text()
            children = [int(number) for number in listed.split()]
            assert len(children) >= 3, "a server, two players, and a relay where there is one"
            demo.terminate()
            assert demo.wait(60) == 128 + signal.SIGTERM
        finally:
            demo.kill()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


async def test_a_journal_tells_of_a_message_that_healed_once(tmp_path: Path) -> None:
    """What only later could be opened counts as shown from then on, or whoever waits for it waits for ever."""
    async with rapport.testing.server() as server:
        await rapport.join(await server.owner_link(), vault=tmp_path / "weiss", name="Dr. Weiss")
        async with rapport.Client(vault=tmp_path / "weiss") as sdk:
            with Journal(tmp_path / "weiss.jsonl", "weiss") as journal:
                client = JournaledClient(sdk, journal)
                conversation, ident = ConversationId(b"c" * 16), MessageId(b"m" * 16)
                other = Message(
                    ident, conversation, sdk.account, DeviceId(b"d" * 16), 7, 1, MessageKind.TEXT, "x", Status.RECEIVED
                )
                waiting = msgspec.structs.replace(other, placeholder=PlaceholderReason.WAITING)
                for event in (
                    Placeholder(conversation, ident, PlaceholderReason.WAITING),
                    MessageChanged(conversation, waiting),
                    MessageChanged(conversation, other),
                    MessageChanged(conversation, other),
                ):
                    client._note(event)
    entries = read((tmp_path / "weiss.jsonl").read_bytes())
    assert [(entry.kind, entry.seq) for entry in entries] == [("recv", 0), ("shown", 7)]
