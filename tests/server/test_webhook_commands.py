"""`rapport webhooks` and `rapport notifications`: what an operator does by hand."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rapport_server.cli import commands
from rapport_server.notification_keys import key_files
from rapport_server.sealing import new_key

PRIVATE = ("--set", "webhooks.allow_networks=127.0.0.0/8")
URL = "https://127.0.0.1:8443/hook"


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `rapport init` makes."""
    folder = tmp_path_factory.mktemp("init")
    assert asked("init", "--store", str(folder / "rapport-data/rapport.db")).exit_code == 0
    return folder / "rapport-data"


@pytest.fixture(autouse=True)
def home(initialised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a fresh store."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RAPPORT_")]:
        monkeypatch.delenv(name)
    shutil.copytree(initialised, tmp_path / "rapport-data")
    return tmp_path


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(commands, list(arguments))


def done(*arguments: str) -> str:
    result = asked(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def added(url: str = URL) -> dict[str, str]:
    found: dict[str, str] = json.loads(done("webhooks", "add", url, "--json", *PRIVATE))
    return found


def listed() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(done("webhooks", "list", "--json"))
    return found


def test_a_webhook_is_added_listed_and_removed() -> None:
    assert listed() == []
    new = added()
    assert new["url"] == URL
    assert new["secret"].startswith("whsec_")
    (kept,) = listed()
    assert kept == {**new, "secret": ""}, "the secret is shown once"
    assert URL in done("webhooks", "list")
    assert asked("webhooks", "remove", "00" * 16).exit_code == 78
    done("webhooks", "remove", new["id"])
    assert listed() == []


def test_the_secret_is_printed_for_people_too() -> None:
    said = done("webhooks", "add", URL, *PRIVATE)
    assert said.count("whsec_") == 1


def test_where_the_server_never_goes_no_webhook_is_added() -> None:
    for url in (URL, "http://example.org/", "https://example.org:22/", "https://localhost/", "not a url"):
        refused = asked("webhooks", "add", url)
        assert refused.exit_code == 78
        assert "does not go there" in refused.stderr
    assert listed() == []


def test_a_practice_is_named_where_there_are_several() -> None:
    second = json.loads(done("init", "--practice", "--json"))["practice"]
    assert asked("webhooks", "add", URL, *PRIVATE).exit_code == 78
    assert asked("webhooks", "add", URL, "--practice", "00" * 16, *PRIVATE).exit_code == 78
    done("webhooks", "add", URL, "--practice", second, *PRIVATE)
    assert [webhook["practice"] for webhook in listed()] == [second]


def test_a_test_event_says_what_became_of_it() -> None:
    new = added()
    tried = asked("webhooks", "test", new["id"], *PRIVATE)
    assert (tried.exit_code, tried.stdout.startswith("not reached: ")) == (1, True)
    refused = asked("webhooks", "test", new["id"])
    assert (refused.exit_code, refused.stdout) == (1, "not reached: an address that is not allowed\n")


def test_without_keys_there_are_no_webhooks(home: Path) -> None:
    for path in (home / "rapport-data").glob("*.key"):
        path.unlink()
    refused = asked("webhooks", "list")
    assert refused.exit_code == 78
    assert "new-keys" in refused.stderr


def test_keys_are_changed_without_losing_anything(home: Path) -> None:
    new = added()
    file = home / "rapport-data/notification.key"
    old, newer = file.read_text().strip(), new_key()
    file.write_text(f"{newer},{old}\n")
    assert done("notifications", "reseal").startswith("1 values are under the newest key now, 0 ")
    assert done("notifications", "reseal").startswith("0 values")
    file.write_text(f"{newer}\n")
    assert listed() == [{**new, "secret": ""}], "the old key is not needed any more"
    file.write_text(f"{new_key()}\n")
    assert listed()[0]["url"] == "(sealed under another key)"
    assert asked("notifications", "reseal").exit_code == 1


def test_printed_keys_can_be_used(home: Path) -> None:
    (home / "rapport.toml").write_text(done("notifications", "new-keys"))
    for path in (home / "rapport-data").glob("*.key"):
        path.unlink()
    assert added()["url"] == URL
    shown = json.loads(asked("doctor", "--json").stdout)["findings"]
    assert {finding["check"]: finding["state"] for finding in shown}["notifications"] == "ok"


def test_a_fresh_store_has_keys_for_its_owner_alone(home: Path) -> None:
    from rapport_server.config import Config

    for path in key_files(Config()):
        assert (home / path).stat().st_mode & 0o777 == 0o600
