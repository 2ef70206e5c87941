"""Where configuration values come from, and what is said when one of them is wrong.

Defaults < `rapport.toml` < environment < flags. Source: docs/configuration.md.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from rapport_server.config import Config, ConfigurationProblem, check

__all__ = ["DEFAULT_FILE", "ENVIRONMENT_PREFIX", "as_tables", "leaves", "load"]

DEFAULT_FILE: Final = Path("rapport.toml")
"""Read from the working folder when no file is named and it exists."""
ENVIRONMENT_PREFIX: Final = "RAPPORT_"
"""Variables with this prefix and a double underscore are settings: RAPPORT_SERVER__PORT is server.port."""

_FROM_FILE: Final = "_file"


def leaves(kind: type[Struct] = Config, prefix: str = "") -> Iterator[tuple[str, type[Struct], msgspec.inspect.Field]]:
    """Every setting: dotted key, the section it stands in, and its field with type, default and description."""
    info = msgspec.inspect.type_info(kind)
    if not isinstance(info, msgspec.inspect.StructType):
        raise TypeError("a section is a struct")
    for field in info.fields:
        section = _section(field)
        if section is None:
            yield f"{prefix}{field.name}", kind, field
        else:
            yield from leaves(section, f"{prefix}{field.name}.")


def _section(field: msgspec.inspect.Field) -> type[Struct] | None:
    inner = field.type.type if isinstance(field.type, msgspec.inspect.Metadata) else field.type
    return inner.cls if isinstance(inner, msgspec.inspect.StructType) else None


def load(
    file: Path | None = None, environment: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
) -> Config:
    """The configuration from all its sources.

    file: a file that must exist; None reads `rapport.toml` of the working folder if there is one. environment:
    variables; foreign ones are left alone. flags: dotted keys to text. Raises ConfigurationProblem for anything
    unknown, malformed or against a rule.
    """
    known = {key: field for key, _, field in leaves()}
    values: dict[str, Any] = {}
    values.update(_from_toml(file, known))
    values.update(_from_environment(environment or {}, known))
    for key, text in (flags or {}).items():
        _require_known(key, known, "flag")
        values[key] = _parsed(key, text, known)
    config = _converted(values)
    check(config)
    return config


def _from_toml(file: Path | None, known: Mapping[str, msgspec.inspect.Field]) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if file is None:
            return {}
        raise ConfigurationProblem(f"the configuration file {path} does not exist") from None
    except OSError as problem:
        raise ConfigurationProblem(f"the configuration file {path} cannot be read: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationProblem(f"the configuration file {path} is not valid TOML: {problem}") from None
    flat = dict(_flattened(tables, known))
    for key in flat:
        _require_known(key, known, str(path))
    return flat


def _flattened(
    tables: Mapping[str, Any], known: Mapping[str, msgspec.inspect.Field], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in tables.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in known:
            yield from _flattened(value, known, f"{key}.")
        else:
            yield key, value


def _from_environment(environment: Mapping[str, str], known: Mapping[str, msgspec.inspect.Field]) -> dict[str, Any]:
    found = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        if key not in known and key.endswith(_FROM_FILE):
            key = key.removesuffix(_FROM_FILE)
            text = _content(variable, text)
        _require_known(key, known, variable)
        found[key] = _parsed(key, text, known)
    return found


def _content(variable: str, path: str) -> str:
    """A secret out of a file, without the line end that editors add."""
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationProblem(f"the file that {variable} names cannot be read") from None


def _require_known(key: str, known: Mapping[str, msgspec.inspect.Field], source: str) -> None:
    if key in known:
        return
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"; the nearest known one is {nearest[0]}" if nearest else ""
    raise ConfigurationProblem(f"{source}: there is no setting {key}{hint}")


def _parsed(key: str, text: str, known: Mapping[str, msgspec.inspect.Field]) -> Any:
    """Text of a variable or flag as the setting's own type. Lists are separated by commas."""
    kind = known[key].type
    inner = kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind
    match inner:
        case msgspec.inspect.ListType():
            return [piece.strip() for piece in text.split(",") if piece.strip()]
        case msgspec.inspect.IntType():
            return _converted_text(key, text, int)
        case msgspec.inspect.FloatType():
            return _converted_text(key, text, float)
        case msgspec.inspect.BoolType():
            return _converted_text(key, text.lower(), bool)
        case _:
            return text


def _converted_text(key: str, text: str, kind: type) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise ConfigurationProblem(f"{key} must be {wanted}") from None


def as_tables(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, section by section."""
    tables: dict[str, Any] = msgspec.to_builtins(config)
    return tables


def _converted(values: Mapping[str, Any]) -> Config:
    tables = as_tables(Config())
    for key, value in values.items():
        *sections, name = key.split(".")
        table = tables
        for section in sections:
            table = table[section]
        table[name] = value
    try:
        return msgspec.convert(tables, Config)
    except msgspec.ValidationError as problem:
        what, _, where = str(problem).partition(" - at ")
        key = where.strip("`").removeprefix("$.") or "the configuration"
        raise ConfigurationProblem(f"{key}: {what[:1].lower()}{what[1:]}") from None
