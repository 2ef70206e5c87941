"""Configuration: where values come from, which of them wins, and the one sentence about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapport_server.config import Config, ConfigurationProblem, Server, check, origin_of
from rapport_server.config_sources import as_tables, leaves, load


def problem(**sources: object) -> str:
    """The sentence about a configuration that cannot be used."""
    with pytest.raises(ConfigurationProblem) as refused:
        load(**sources)  # type: ignore[arg-type]
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


def written(folder: Path, text: str) -> Path:
    path = folder / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_listen_on_this_machine_only() -> None:
    assert load() == Config()
    assert Config().server.host == "127.0.0.1"


def test_each_source_beats_the_one_before(tmp_path: Path) -> None:
    file = written(tmp_path, '[server]\nport = 1\nhost = "127.0.0.2"\norigins = ["https://a.example"]\n')
    environment = {"RAPPORT_SERVER__PORT": "2", "RAPPORT_RATES__POST__BURST": "7"}
    config = load(file, environment, {"server.port": "3"})
    assert (config.server.port, config.server.host) == (3, "127.0.0.2")
    assert config.rates.post.burst == 7
    assert config.rates.post.per_s == Config().rates.post.per_s, "the rest of a section keeps its default"
    assert load(file, environment).server.port == 2
    assert load(file).server.port == 1


def test_the_file_of_the_working_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == Config()
    (tmp_path / "rapport.toml").write_text("[log]\nlevel = 'error'\n")
    assert load().log.level == "error"


def test_lists_numbers_and_truths_out_of_the_environment() -> None:
    config = load(
        None,
        {
            "RAPPORT_SERVER__ORIGINS": "https://a.example, https://b.example",
            "RAPPORT_SERVER__TRUST_PROXY": "True",
            "RAPPORT_LIMITS__BODY_S": "2.5",
            "RAPPORT_HOME": "/elsewhere",
            "PATH": "/bin",
        },
    )
    assert config.server.origins == ["https://a.example", "https://b.example"]
    assert config.server.trust_proxy is True
    assert config.limits.body_s == 2.5


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("/data/rapport.db\n")
    assert load(None, {"RAPPORT_STORE__PATH_FILE": str(secret)}).store.path == "/data/rapport.db"
    sentence = problem(environment={"RAPPORT_STORE__PATH_FILE": str(tmp_path / "missing")})
    assert sentence == "the file that RAPPORT_STORE__PATH_FILE names cannot be read"


@pytest.mark.parametrize(
    ("source", "nearest"),
    [
        ({"environment": {"RAPPORT_SERVER__PROT": "1"}}, "server.port"),
        ({"environment": {"RAPPORT_SEVER__PORT": "1"}}, "server.port"),
        ({"flags": {"store.pth": "x"}}, "store.path"),
        ({"flags": {"rates.posts.burst": "1"}}, "rates.post.burst"),
    ],
)
def test_an_unknown_setting_names_the_nearest_known_one(source: dict[str, object], nearest: str) -> None:
    assert problem(**source).endswith(f"; the nearest known one is {nearest}")


def test_unknown_settings_in_a_file(tmp_path: Path) -> None:
    assert "no setting server.prot; the nearest known one is server.port" in problem(
        file=written(tmp_path, "[server]\nprot = 1\n")
    )
    assert "no setting zzz" in problem(file=written(tmp_path, "zzz = 1\n"))
    assert "no setting server" in problem(file=written(tmp_path, "server = 1\n"))


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("server.port", "http", "server.port must be a whole number"),
        ("server.port", "70000", "server.port: expected `int` <= 65535"),
        ("server.trust_proxy", "perhaps", "server.trust_proxy must be true or false"),
        ("limits.body_s", "0", "limits.body_s: expected `float` > 0.0"),
        ("limits.body_s", "soon", "limits.body_s must be a number"),
        ("log.level", "loud", "log.level: invalid enum value 'loud'"),
        ("rates.post.burst", "0", "rates.post.burst: expected `int` >= 1"),
    ],
)
def test_a_wrong_value_is_named(key: str, text: str, sentence: str) -> None:
    assert problem(flags={key: text}) == sentence


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert problem(file=missing) == f"the configuration file {missing} does not exist"
    assert "is not valid TOML" in problem(file=written(tmp_path, "[server"))
    assert "cannot be read" in problem(file=tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "rapport.example", "127.0.0.1.example"])
def test_clear_text_stays_on_this_machine(host: str) -> None:
    assert "clear text" in problem(flags={"server.host": host})
    assert load(None, None, {"server.host": host, "server.trust_proxy": "true"}).server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_proxy(host: str) -> None:
    check(Config(server=Server(host=host)))


def test_a_public_address_is_encrypted_unless_it_is_this_machine() -> None:
    assert "https" in problem(flags={"server.public_url": "http://rapport.example"})
    load(None, None, {"server.public_url": "http://localhost:8470"})
    load(None, None, {"server.public_url": "https://rapport.example/"})


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Rapport.Example", "https://rapport.example"),
        ("https://rapport.example:443/", "https://rapport.example"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://rapport.example:8443", "https://rapport.example:8443"),
        ("http://[::1]:8470", "http://[::1]:8470"),
    ],
)
def test_origins_are_written_as_browsers_write_them(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "rapport.example",
        "https://",
        "https://a.example/path",
        "https://a.example:x",
        "wss://a.example",
        "https://u@a.example",
    ],
)
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationProblem):
        origin_of(url)
    assert "server.public_url" in problem(flags={"server.public_url": url})
    assert "server.origins" in problem(flags={"server.origins": url})


def test_every_setting_says_what_it_is() -> None:
    for key, _, field in leaves():
        kind = field.type
        assert getattr(kind, "extra_json_schema", None), key
        described = kind.extra_json_schema  # type: ignore[attr-defined]
        assert described["description"].endswith("."), key
        assert ("x-unit" in described) == key.endswith(("_s", "_ms", "_bytes")), key


def test_the_tables_can_be_read_again(tmp_path: Path) -> None:
    assert as_tables(Config())["server"]["port"] == Config().server.port
