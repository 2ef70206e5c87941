"""The configuration in words: as a TOML file, as a JSON schema, as the reference page.

Source of docs/configuration.md; `python -m rapport_server.config_text > docs/configuration.md` writes it.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rapport_server.config import Config
from rapport_server.config_sources import as_tables, leaves

__all__ = ["json_schema", "reference", "toml_text"]

_INTRODUCTION = """\
# Configuration

Every setting has a default; a server for one machine needs none of them changed.
Values come from, each beating the one before:

1. the defaults below,
2. the file `rapport.toml` of the working folder, or the one named by `--config`,
3. the environment: `RAPPORT_SERVER__PORT=8000` is `server.port`. `RAPPORT_SERVER__PORT_FILE=/run/port`
   reads the value from that file, as secrets should be; lists are separated by commas,
4. flags: `--set server.port=8000`, and short forms like `--port 8000` for what is set most often.

An unknown setting is refused with the name of the nearest known one, a wrong value with what is
wrong about it; the exit code is then 78. `rapport config check` says whether a configuration can be
used, `rapport config show` prints it as a file, `rapport config schema` prints its JSON schema.

Without a proxy that speaks TLS in front, the server listens on loopback only: see
`server.trust_proxy`. Times and sizes that both sides of the protocol must agree on are no settings:
they stand in [protocol.md](protocol.md).

This page is generated: `python -m rapport_server.config_text > docs/configuration.md`.
"""


def toml_text(config: Config) -> str:
    """The configuration as the text of a `rapport.toml`."""
    return "".join(_tables(as_tables(config), ""))


def _tables(table: dict[str, Any], prefix: str) -> Iterator[str]:
    values = {name: value for name, value in table.items() if not isinstance(value, dict)}
    if values:
        yield f"[{prefix}]\n"
        # JSON's way of writing numbers, truths, strings and lists of them is TOML's too.
        yield from (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
        yield "\n"
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _tables(value, f"{prefix}.{name}" if prefix else name)


def json_schema() -> str:
    """JSON Schema (2020-12) of the configuration file, indented."""
    return json.dumps(msgspec.json.schema(Config), indent=2)


def reference() -> str:
    """The reference page: every setting with default, unit and reason."""
    return _INTRODUCTION + "".join(_sections())


def _sections() -> Iterator[str]:
    defaults = as_tables(Config())
    section = ""
    for key, _, field in leaves():
        top = key.split(".")[0]
        if top != section:
            section = top
            sections = {known.name: known.type for known in msgspec.structs.fields(Config)}
            yield f"\n## [{top}]\n\n{_prose(sections[top])}\n"
            if top == "rates":
                yield from _rates(defaults["rates"])
        if top != "rates":
            yield _setting(key, field, defaults)


def _prose(documented: Any) -> str:
    return "\n".join(line.strip() for line in (documented.__doc__ or "").strip().splitlines())


def _setting(key: str, field: msgspec.inspect.Field, defaults: dict[str, Any]) -> str:
    schema = getattr(field.type, "extra_json_schema", None) or {}
    section, name = key.split(".")
    default = json.dumps(defaults[section][name], ensure_ascii=False)
    unit = f" {schema['x-unit']}" if "x-unit" in schema else ""
    return f"\n### `{key}`\n\nDefault: `{default}`{unit}\n\n{schema.get('description', '')}\n"


def _rates(defaults: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Rates are all alike: one table."""
    yield "\nEach has two settings: `burst`, how many at once, and `per_s`, how many per second in the long run; "
    yield "`rates.post.burst` is one of them.\n"
    yield "\n| rate | burst | per second | of what, counted for whom |\n|---|---|---|---|\n"
    info = msgspec.inspect.type_info(type(Config().rates))
    for field in getattr(info, "fields", ()):
        limit = defaults[field.name]
        described = (getattr(field.type, "extra_json_schema", None) or {}).get("description", "")
        yield f"| `{field.name}` | {limit['burst']} | {limit['per_s']:.4g} | {described} |\n"


def _main(arguments: Sequence[str]) -> int:
    """Prints the reference, or with `--check FILE` says whether the file is that reference."""
    if len(arguments) == 2 and arguments[0] == "--check":
        if Path(arguments[1]).read_text(encoding="utf-8") == reference():
            return 0
        sys.stderr.write(f"{arguments[1]} is not what the settings say; generate it again\n")
        return 1
    sys.stdout.write(reference())
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
