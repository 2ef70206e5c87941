"""What stands in `deploy/` fits the server: settings, figures, passwords, users. `tests.deploy.check` asks programs."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.processes import ServerProcess, free_port
from rapport.testing.programs import ProcessProblem
from rapport_server.config import Config
from rapport_server.config_sources import as_tables, load
from tests.house.tree import ROOT

DEPLOY = ROOT / "deploy"
LIMIT_S = 60
ADMIN = "user admin on >admin ~* &* +@all"


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `deploy/make_secrets.py` makes."""
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    made = secrets_made(folder)
    assert made.returncode == 0, made.stderr
    return folder


def secrets_made(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEPLOY / "make_secrets.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_the_example_shows_every_section_and_can_be_used() -> None:
    path = DEPLOY / "rapport.example.toml"
    shown = tomllib.loads(path.read_text())
    assert set(shown) == set(as_tables(Config()))
    config = load(path)
    assert config.store.url.startswith("postgresql://")
    assert config.bus.url.startswith("redis://")


def test_compose_sets_only_what_exists(passwords: Path) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    found = dict(re.findall(r'^ +(RAPPORT_[A-Z]+__\w+): "?([^"\n]+)"?$', text, re.MULTILINE))
    assert len(found) >= 8
    named = {
        variable: str(passwords / value.removeprefix("/run/secrets/")) if variable.endswith("_FILE") else value
        for variable, value in found.items()
    }
    named["RAPPORT_SERVER__PUBLIC_URL"] = "https://rapport.example.org"
    assert "${RAPPORT_TURN:-" not in text, "a relay that is nobody's must not be handed out: it has to be named"
    assert named["RAPPORT_TURN__URLS"].count("${RAPPORT_TURN:?") == 2
    config = load(None, named)
    assert (config.server.trust_proxy, config.metrics.enabled) == (True, True)
    assert config.store.url.startswith("postgresql://rapport:")
    assert config.store.owner_url.startswith("postgresql://rapport_owner:")
    assert config.bus.url.startswith("redis://rapport:")


def test_every_secret_of_compose_is_made_and_no_other(passwords: Path) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert {path.name for path in passwords.iterdir()} == set(re.findall(r"file: \./secrets/(\w+)", text))


def test_secrets_are_made_once_and_closed_to_others(passwords: Path) -> None:
    before = {path.name: path.read_text() for path in passwords.iterdir()}
    assert secrets_made(passwords).returncode == 1
    assert {path.name: path.read_text() for path in passwords.iterdir()} == before
    assert len(set(before.values())) == len(before)
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o700


async def test_every_figure_that_is_watched_is_shown(tmp_path: Path, redis_server: RedisProcess) -> None:
    watched = set()
    for path in (DEPLOY / "prometheus/rules.yaml", DEPLOY / "grafana/rapport.json"):
        found = set(re.findall(r"\brapport_\w+", path.read_text()))
        assert len(found) >= 8, path
        watched |= found
    port = free_port()
    settings = {
        "metrics.enabled": "true",
        "metrics.port": str(port),
        "bus.url": redis_server.url(),
        "bus.namespace": "figures",
    }
    async with ServerProcess(tmp_path, settings) as server:
        await server.init()
        await server.start()
        fetched(f"{server.origin}/readyz")
        page = fetched(f"http://127.0.0.1:{port}/metrics")
    shown = set(re.findall(r"^(rapport_\w+)", page, re.MULTILINE))
    assert watched - shown == set()


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        text: str = answer.read().decode()
        return text


def test_the_dashboard_asks_the_source_that_is_chosen() -> None:
    board = json.loads((DEPLOY / "grafana/rapport.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 12
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)


async def test_the_redis_user_may_do_what_the_server_does_and_no_more(tmp_path: Path, passwords: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text(f"{(passwords / 'redis_users').read_text()}{ADMIN}\n")
    redis = RedisProcess(tmp_path / "redis", options={"aclfile": str(users)})
    url = (passwords / "bus_url").read_text().strip().replace("@redis:6379", f"@127.0.0.1:{redis.port}")
    password = url.partition("rapport:")[2].partition("@")[0]

    def asked(*words: str, user: str = "rapport", secret: str = password) -> str:
        return redis.ask("--user", user, "--pass", secret, "--no-auth-warning", *words)

    async with redis, ServerProcess(tmp_path / "server", {"bus.url": url}) as server:
        await server.init()
        await server.start()
        assert fetched(f"{server.origin}/readyz") == "ready\n"
        assert asked("CLIENT", "LIST", user="admin", secret="admin").count("user=rapport ") >= 1
        assert asked("ACL", "LOG", user="admin", secret="admin") == ""
        for words in (["GET", "other"], ["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["PUBLISH", "other", "x"]):
            with pytest.raises(ProcessProblem, match="NOPERM"):
                asked(*words)
        with pytest.raises(ProcessProblem, match="NOAUTH"):
            redis.ask("PING")


def test_the_database_roles_are_made_by_one_script(
    postgres_server: PostgresProcess, passwords: Path, tmp_path: Path
) -> None:
    """As Compose runs it, but with other names: all tests share the server."""
    script = (DEPLOY / "postgres/roles.sql").read_text()
    for name in ("rapport_owner", "rapport"):
        script = re.sub(rf"\b(ROLE|DATABASE|OWNER|TO) {name}\b", rf"\1 {name}_deployed", script)
    postgres_server.ask(script.replace("/run/secrets", str(passwords)))
    facts = "SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname LIKE 'rapport%deployed'"
    assert postgres_server.ask(facts).split() == ["f", "f"]
    with pytest.raises(ProcessProblem, match="permission denied"):
        postgres_server.ask("SET ROLE rapport_deployed; CREATE TABLE mine ()", "rapport_deployed")
