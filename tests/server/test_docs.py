"""The reference pages are what the code says."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rapport_protocol.requests import OPERATIONS
from rapport_server import config_text, http_text
from rapport_server.config import Config, Server
from rapport_server.config_sources import leaves, load

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("module", "page"), [("config_text", "configuration.md"), ("http_text", "http.md")], ids=["configuration", "http"]
)
def test_the_page_is_up_to_date(module: str, page: str, tmp_path: Path) -> None:
    def checked(path: Path) -> int:
        command = [sys.executable, "-m", f"rapport_server.{module}", "--check", str(path)]
        return subprocess.run(command, timeout=60, capture_output=True, check=False).returncode

    assert checked(DOCS / page) == 0, f"python -m rapport_server.{module} > docs/{page}"
    stale = tmp_path / page
    stale.write_text(
        (DOCS / page).read_text().replace("Default: `8470`", "Default: `8471`").replace("`Claim`", "`Clam`")
    )
    assert checked(stale) == 1


def test_every_setting_and_operation_is_on_its_page() -> None:
    page = config_text.reference()
    for key, _, _ in leaves():
        section, _, name = key.partition(".")
        assert (f"| `{name.split('.')[0]}` |" if section == "rates" else f"### `{key}`") in page, key
    page = http_text.reference()
    for operation in OPERATIONS.values():
        assert f"`{operation.method} {operation.path}`" in page
        for body in (operation.request, operation.response):
            assert body is None or f"### {body.__name__}\n" in page


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    config = Config(server=Server(port=1, origins=["https://a.example"], trust_proxy=True))
    text = config_text.toml_text(config)
    assert tomllib.loads(text)["rates"]["register"]["burst"] == config.rates.register.burst
    path = tmp_path / "shown.toml"
    path.write_text(text)
    assert load(path) == config


def test_the_schema_describes_every_setting() -> None:
    schema = json.loads(config_text.json_schema())
    described = schema["$defs"]["Server"]["properties"]
    assert set(described) == set(Server.__struct_fields__)
    assert all(field["description"] for field in described.values())
    assert schema["$defs"]["Server"]["additionalProperties"] is False
