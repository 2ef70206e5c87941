"""The server never holds what people write, or the keys they write with: planted secrets are nowhere to be found."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from rapport.adapters.vault_sqlite import SqliteVault
from rapport.crypto.invites import OwnerLink, parse_link
from rapport.engine.joining.registration import load_me
from rapport.testing.processes import Player, ServerProcess, free_port
from tests.chaos.canaries import hits
from tests.chaos.clear_text_client import post_in_the_clear
from tests.chaos.pairs import UNLIMITED, journals

NAMES = {"therapist": "Dr. Zoë Weißenbrunn", "client": "Dana Q. Canary-Okafor"}
TEXTS = {
    "therapist": ["The canary sang at four in the morning.", "Ünïcödé: „Angst“, 怖い, страх, said quietly."],
    "client": ['I wrote: {"mood": "canary yellow"} in my diary.'],
}
CLEAR = "This canary was never sealed: the control must find it."


def left_behind(server: ServerProcess, metrics: str) -> dict[str, bytes]:
    """Everything the server wrote: database, log of the database, its own log, its figures."""
    files = {path.name: path.read_bytes() for path in server.folder.rglob("*") if path.is_file()}
    assert "server.log" in files
    assert any(name.endswith("-wal") and content for name, content in files.items())
    return {**files, "metrics": metrics.encode()}


async def keys_of(folder: Path) -> dict[str, bytes]:
    """Every secret that makes up a device, out of its vault."""
    vault = await SqliteVault.open(folder)
    try:
        me = await vault.run(load_me)
    finally:
        await vault.close()
    assert me is not None
    keys = {
        "device signing key": me.secrets.dsig_seed,
        "device identity key": me.secrets.dik_secret,
        "account identity key": me.aik_seed,
        "archive key": me.archive_key,
        "vault key": (folder / "vault.key").read_bytes(),
    }
    assert all(len(key) == 32 for key in keys.values())
    return {f"{folder.name}'s {name}": key for name, key in keys.items()}


def token_of(link: str) -> bytes:
    """The secret part of a link."""
    parsed = parse_link(link)
    return parsed.token if isinstance(parsed, OwnerLink) else parsed.secret.token


@pytest.mark.long
async def test_no_secret_reaches_the_server_and_the_search_would_find_one(tmp_path: Path) -> None:
    metrics_port = free_port()
    settings = {
        "metrics.enabled": "true",
        "metrics.port": str(metrics_port),
        "log.level": "debug",
        "log.format": "json",
    }
    server = ServerProcess(tmp_path / "server", {**UNLIMITED, **settings})
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        await stack.enter_async_context(server)
        await server.start()
        used, unused = await converse(tmp_path, owner_link)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        figures = await (await http.get(f"http://127.0.0.1:{metrics_port}/metrics")).text()
        sealed = left_behind(server, figures)
        tokens = {"owner link": owner_link, "used link": used, "unused link": unused}
        secrets = {
            **planted(),
            **{name: token_of(link) for name, link in tokens.items()},
            **await keys_of(tmp_path / "therapist"),
            **await keys_of(tmp_path / "client"),
        }
        assert hits(secrets, sealed) == []
        assert hits(accepted_ids(tmp_path), sealed), "the search looked in the wrong place"

        await post_in_the_clear(unused, CLEAR)
        found = hits({"clear text": CLEAR}, left_behind(server, figures))
        assert [finding for finding in found if finding.startswith("clear text as raw in rapport.db")]


def planted() -> dict[str, str | bytes]:
    spoken = {f"{who} {number}": text for who, texts in TEXTS.items() for number, text in enumerate(texts)}
    return {**{f"name of {who}": name for who, name in NAMES.items()}, **spoken}


def accepted_ids(folder: Path) -> dict[str, bytes]:
    entries = [entry for journal in journals(folder) for entry in journal]
    return {entry.id[:8]: bytes.fromhex(entry.id) for entry in entries if entry.kind == "ack"}


async def converse(folder: Path, owner_link: str) -> tuple[str, str]:
    """Two people say what is planted; returns the link that brought them together, and one that nobody has used."""
    async with Player.start(folder, "therapist") as therapist, Player.start(folder, "client") as client:
        await therapist.order("join", "therapist", link=owner_link, name=NAMES["therapist"])
        link = (await therapist.order("invite", "therapist")).link
        await client.order("join", "client", link=link, name=NAMES["client"])
        await therapist.order("meet", "therapist")
        for name, player in (("therapist", therapist), ("client", client)):
            await player.order("say", name, texts=TEXTS[name])
        await therapist.order("settle", "therapist", heard=len(TEXTS["client"]))
        await client.order("settle", "client", heard=len(TEXTS["therapist"]))
        return link, (await therapist.order("invite", "therapist")).link
