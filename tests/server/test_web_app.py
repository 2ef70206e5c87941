"""The browser app as the server sends it: whole, unchanged, and with a policy that keeps foreign code out."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from rapport_server import web_files
from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import App, create
from rapport_server.config import Config, Limits, Server, Web
from rapport_server.doors.http.listening import Listener, bind
from rapport_server.doors.http.pages import SHELL_PATHS, page_routes
from rapport_server.doors.http.silence import SilentConnections
from rapport_server.web_files import MANIFEST_PATH, WebAppProblem, WebFiles
from rapport_server.web_verifying import verify

SHELL = b"<!doctype html><title>Rapport</title>" + b"<!-- long enough to be worth compressing -->" * 40
SCRIPT = b"export {};"


def write_app(folder: Path) -> Path:
    """A small app as `build.mjs` writes it."""
    files = {"/": ("index.html", "text/html", SHELL), "/assets/main-AB12.js": ("a.js", "text/javascript", SCRIPT)}
    listed = []
    folder.mkdir()
    for path, (name, kind, body) in files.items():
        (folder / name).write_bytes(body)
        digest = hashlib.sha256(body).hexdigest()
        listed.append({"path": path, "file": name, "type": kind, "sha256": digest, "bytes": len(body)})
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "files": listed}))
    return folder


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """A real node with this app."""
    config = Config(server=Server(port=0), web=Web(embedders=["https://health.example"]))
    clock = SystemClock()
    node = create(config, store=MemoryStore(clock), clock=clock, web_app=write_app(tmp_path / "web_app"))
    await node.start()
    yield node
    await node.close()


async def got(url: str, encoding: str = "identity") -> aiohttp.ClientResponse:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        answer = await session.get(url, headers={"Accept-Encoding": encoding})
        await answer.read()
        return answer


@pytest.mark.parametrize("path", SHELL_PATHS)
async def test_every_address_that_people_open_gives_the_shell(app: App, path: str) -> None:
    opened = path.format(invite="AAAA", conversation="00" * 16, appointment="00" * 16, call="00" * 16)
    answer = await got(f"{app.url}{opened}?anything=1")
    assert answer.status == 200
    assert await answer.read() == SHELL
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_what_is_named_by_its_hash_may_be_kept_for_ever(app: App) -> None:
    answer = await got(f"{app.url}/assets/main-AB12.js")
    assert await answer.read() == SCRIPT
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (await got(f"{app.url}/assets/main-0000.js")).status == 404


async def test_large_files_travel_compressed_to_those_who_can(app: App) -> None:
    answer = await got(app.url, "gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await answer.read()) == SHELL
    assert "Content-Encoding" not in (await got(f"{app.url}/assets/main-AB12.js", "gzip")).headers


async def test_the_policy_allows_own_scripts_and_nothing_else(app: App) -> None:
    headers = (await got(app.url)).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == "https://health.example"
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_an_api_answer_is_still_never_stored(app: App) -> None:
    assert (await got(f"{app.url}/healthz")).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("harm", ["changed", "missing", "garbled"])
def test_an_app_that_is_not_whole_is_not_served(tmp_path: Path, harm: str) -> None:
    folder = write_app(tmp_path / "web_app")
    match harm:
        case "changed":
            (folder / "a.js").write_bytes(b"alert(1)")
        case "missing":
            (folder / "a.js").unlink()
        case _:
            (folder / "manifest.json").write_text("{")
    with pytest.raises(WebAppProblem):
        WebFiles.load(folder)


def test_without_a_build_there_is_no_app(tmp_path: Path) -> None:
    assert WebFiles.load(tmp_path) is None


@web.middleware
async def without_policy(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    answer = await handler(request)
    del answer.headers["Content-Security-Policy"]
    return answer


async def serving(files: WebFiles, *, policy: bool = True) -> tuple[Listener, str]:
    """A server that serves these files, in the server's own way or without its policy."""
    application = web.Application(middlewares=[] if policy else [without_policy])
    application.add_routes(page_routes(files, ()))
    listener = Listener(application, bind("127.0.0.1", 0), Limits(), SilentConnections(16, 5.0, 16))
    await listener.start()
    return listener, f"http://127.0.0.1:{listener.port}"


async def verified(url: str, manifest: bytes) -> list[str]:
    """In another thread: the loop of this one serves."""
    result = await asyncio.to_thread(verify, url, manifest)
    return [difference.path for difference in result.differences]


async def test_verifying_finds_every_file_that_is_not_as_released(tmp_path: Path) -> None:
    released = write_app(tmp_path / "released")
    manifest = (released / "manifest.json").read_bytes()
    whole = WebFiles.load(released)
    assert whole is not None
    listener, url = await serving(whole)
    assert await verified(url, manifest) == []
    await listener.close()

    changed = tmp_path / "changed"
    shutil.copytree(released, changed)
    (changed / "a.js").write_bytes(b"import 'https://evil.example/a.js'")
    lines = json.loads(manifest)
    lines["files"][1]["sha256"] = hashlib.sha256((changed / "a.js").read_bytes()).hexdigest()
    (changed / "manifest.json").write_text(json.dumps(lines))
    other = WebFiles.load(changed)
    assert other is not None
    listener, url = await serving(other)
    assert await verified(url, manifest) == [MANIFEST_PATH, "/assets/main-AB12.js"]
    await listener.close()

    listener, url = await serving(whole, policy=False)
    assert await verified(url, manifest) == ["/", "/assets/main-AB12.js"]
    await listener.close()


def test_verifying_says_when_nobody_answers() -> None:
    command = [sys.executable, "-m", "rapport", "web", "verify", "http://127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    built = (web_files.WEB_APP / "manifest.json").exists()
    assert ("no server answers" if built else "no browser app") in done.stderr
