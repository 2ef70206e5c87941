#!/usr/bin/env python3
"""Write the TypeScript SDK's part of the contract from the Python one, so that the two cannot differ.

Out of `rapport_protocol` come, under `client_sdk/web/sdk/src/protocol/`: `codes.ts` (error codes and rules),
`crisis-lines.ts`, `labels.ts`, `limits.ts`, `meeting.ts`, `messages.ts` and `requests.ts` (types and the table of
operations) and `fields.ts` (what the codec interprets). Without arguments the files are written; with `--check` nothing
is, and the exit code is 1 when a file is not what the contract says. An argument without `--` names another folder.

A field in `fields.ts` is `name:kind`, then `?` if nil is allowed and `=` if it may be missing. Kinds: `i` identifier,
`b` bytes, `s` text, `u` integer from 0 to 2^53-1, `n` any integer, `y` yes or no, `/a|b` one of these texts, `@Name`
another structure; `[]` before a kind makes it a list. Bounds follow the letter or stand in the brackets: `b32` exactly
32, `b-24` at most 24, `[1-16]` one to sixteen.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Final, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct, UnsetType

from rapport_protocol import answering, crisis, device_requests, ids, limits, meeting, messages, requests, watching
from rapport_protocol.errors import ErrorCode, Retry
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.requests import OPERATIONS, Operation, Role
from rapport_protocol.rules import Rule
from rapport_protocol.signed import LABELS

__all__ = ["files", "main"]

FOLDER: Final = Path(__file__).resolve().parent.parent / "web" / "sdk" / "src" / "protocol"

HEADER: Final = "// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand"


# --- documentation --------------------------------------------------------------------------------------------------


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _comment(text: str, indent: str = "") -> str:
    """A TSDoc comment of a docstring's text, wrapped at 120 columns."""
    text = re.sub(r"\b(\w+)\.py\b", lambda name: name[1].replace("_", "-") + ".ts", inspect.cleandoc(text))
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    if len(paragraphs) == 1 and len(indent) + len(paragraphs[0]) + 7 <= 120:
        return f"{indent}/** {paragraphs[0]} */"
    body = "\n\n".join(textwrap.fill(part, 117 - len(indent), break_on_hyphens=False) for part in paragraphs)
    lines = (f"{indent} * {line}".rstrip() for line in body.split("\n"))
    return "\n".join((f"{indent}/**", *lines, f"{indent} */"))


def _said(comment: str, code: str) -> str:
    """A declaration with its documentation."""
    return f"{_comment(comment)}\n{code}"


def _docs(body: Iterable[ast.stmt]) -> dict[str, str]:
    """The strings that follow assignments, by the name assigned."""
    found = {}
    for statement, after in pairwise(body):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                    found[name] = after.value.value
    return found


def _class_docs(cls: type) -> dict[str, str]:
    """Documentation of a class's fields or members, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - a class's source is a class
    return _docs(definition.body)


def _module_docs(module: ModuleType) -> dict[str, str]:
    return _docs(ast.parse(inspect.getsource(module)).body)


def _field_names(text: str, names: Iterable[str]) -> str:
    """The text with the fields it speaks of under their TypeScript names."""
    for name in names:
        text = re.sub(rf"\b{name}\b", _camel(name), text) if "_" in name else text
    return text


# --- fields ---------------------------------------------------------------------------------------------------------


class _Field:
    """One field of a structure, taken apart: what its TypeScript type and its description are made from."""

    def __init__(self, hint: Any, default: Any) -> None:
        self.nullable = self.optional = False
        self.default = default
        self.defaulted = default is not NODEFAULT
        self.inner = self._bare(hint)
        self.bounds = self._bounds(hint)
        self.item = _Field(get_args(self.inner)[0], NODEFAULT) if get_origin(self.inner) is list else None

    def _bare(self, hint: Any) -> Any:
        """The type without Annotated, None and UNSET."""
        if get_origin(hint) is Annotated:
            return self._bare(get_args(hint)[0])
        if get_origin(hint) in {Union, UnionType}:
            arms = get_args(hint)
            self.nullable, self.optional = NoneType in arms, UnsetType in arms
            (only,) = (arm for arm in arms if arm not in {NoneType, UnsetType})
            return self._bare(only)
        return hint

    def _bounds(self, hint: Any) -> tuple[int | None, int | None]:
        """Least and most: of the length, or of the value of an integer."""
        if get_origin(hint) in {Union, UnionType}:
            return next((self._bounds(arm) for arm in get_args(hint) if get_origin(arm) is Annotated), (None, None))
        if get_origin(hint) is not Annotated:
            return None, None
        (meta,) = (part for part in get_args(hint) if isinstance(part, Meta))
        least = meta.ge if meta.min_length is None else meta.min_length
        most = meta.le if meta.max_length is None else meta.max_length
        if meta.lt is not None:
            most = meta.lt - 1
        return least, most  # type: ignore[return-value]

    @property
    def type(self) -> str:
        """The TypeScript type."""
        plain = {bytes: "Uint8Array", int: "number", str: "string", bool: "boolean"}
        if self.item:
            name = f"readonly {self.item.type}[]"
        elif isinstance(self.inner, NewType):
            name = self.inner.__name__
        else:
            name = plain.get(self.inner) or self.inner.__name__
        return f"{name} | null" if self.nullable else name

    @property
    def kind(self) -> str:
        """The description in `fields.ts`."""
        least, most = self.bounds
        span = "" if most is None else f"{most}" if least == most else f"{'' if least is None else least}-{most}"
        if self.item:
            kind = f"[{span}]{self.item.kind}"
        elif isinstance(self.inner, NewType):
            kind = "i"
        elif issubclass(self.inner, StrEnum):
            kind = "/" + "|".join(self.inner)
        elif issubclass(self.inner, Struct):
            kind = f"@{_key(self.inner)}"
        elif self.inner is int:
            kind = "n" if most is None else "u" if self.bounds == (0, MAX_INTEGER) else f"u{span}"
        else:
            kind = {bytes: "b", str: "s", bool: "y"}[self.inner] + span
        return kind + "?" * self.nullable

    @property
    def size(self) -> str:
        """Length or range in words, for the documentation."""
        least, most = self.bounds
        if most is None or most == MAX_INTEGER or isinstance(self.inner, NewType):
            return ""
        unit = "" if self.item or self.inner is int else " characters" if self.inner is str else " bytes"
        if least == most:
            return f"{most:,}{unit}."
        return f"{least:,} to {most:,}{unit}." if least else f"At most {most:,}{unit}."


def _key(struct: type[Struct]) -> str:
    """Name of a structure in `fields.ts`: the tag of a message, else its own."""
    return str(struct.__struct_config__.tag or struct.__name__)


def _fields(struct: type[Struct]) -> Iterator[tuple[str, _Field]]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        default = field.default if field.default_factory is NODEFAULT else field.default_factory
        yield field.name, _Field(hints[field.name], default)


_EMPTY: Final = (NODEFAULT, None, 0, False, "", b"", list)


def _described(struct: type[Struct]) -> str:
    """The row of `fields.ts`. A default must be the empty value of its kind: the codec knows no other."""
    row = []
    for name, field in _fields(struct):
        if field.default not in _EMPTY:
            raise ValueError(f"{struct.__name__}.{name}: its default is not the empty value of its kind")
        row.append(f"{_camel(name)}:{field.kind}{'=' * field.defaulted}")
    return " ".join(row)


# --- types ----------------------------------------------------------------------------------------------------------


def _interface(struct: type[Struct]) -> str:
    names = [name for name, _ in _fields(struct)]
    docs = _class_docs(struct)
    lines = [_comment(_field_names(inspect.getdoc(struct) or "", names)), f"export interface {struct.__name__} {{"]
    if tag := struct.__struct_config__.tag:
        lines.append(f'  readonly tag: "{tag}";')
    for name, field in _fields(struct):
        said = " ".join((field.size, _field_names(docs.get(name, ""), names))).strip()
        if said:
            lines.append(_comment(said, "  "))
        lines.append(f"  readonly {_camel(name)}{'?' * field.optional}: {field.type};")
    return "\n".join((*lines, "}"))


def _union(name: str, comment: str, members: Iterable[tuple[str, str]]) -> str:
    """A union of texts, each with its documentation."""
    rows = (
        (f"{_comment(doc, '  ')}\n" if doc else "") + f"  | {msgspec.json.encode(value).decode()}"
        for value, doc in members
    )
    return "\n".join((_comment(comment), f"export type {name} =", *rows)) + ";"


def _number(value: float) -> str:
    return f"{int(value) if value == int(value) else value:_}"


def _structs(module: ModuleType) -> list[type[Struct]]:
    """Bodies and messages of a module in the order of its source."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Struct) and value.__module__ == module.__name__
    ]
    return [struct for struct in found if struct is not Operation]


def _imports(parts: Iterable[str], *, meeting_too: bool = True) -> str:
    fields = re.findall(r"^ +(?:readonly |\").*$", "\n".join(parts), re.MULTILINE)
    used = set(re.findall(r"\b[A-Z]\w+\b", "\n".join(fields)))
    bodies = {struct.__name__ for struct in _structs(meeting)} if meeting_too else set()
    sources = (("ids", set(ids.__all__)), ("meeting", bodies))
    return "\n".join(
        f'import type {{ {", ".join(sorted(used & names))} }} from "./{name}.ts";'
        for name, names in sources
        if used & names
    )


def _source(module: ModuleType) -> str:
    return inspect.getdoc(module) or ""


# --- the files ------------------------------------------------------------------------------------------------------


def _codes() -> str:
    code_docs, rule_docs = _class_docs(ErrorCode), _class_docs(Rule)
    retries = ", ".join(f'{code}: "{code.retry.value}"' for code in ErrorCode if code.retry is not Retry.NEVER)
    codes = ", ".join(f'{rule}: "{rule.code}"' for rule in Rule if rule.code is not ErrorCode.RULE_BROKEN)
    return "\n\n".join(
        (
            _comment("Every error code and rule of the contract by its stable name.\n\nSource: docs/protocol.md."),
            _union("ErrorCode", inspect.getdoc(ErrorCode) or "", ((c.value, code_docs[c.name]) for c in ErrorCode)),
            _said(
                "What follows from codes that are not refused for good.",
                f'export const RETRY: {{ readonly [code in ErrorCode]?: "repair" | "later" }} = {{ {retries} }};',
            ),
            _union("Rule", inspect.getdoc(Rule) or "", ((r.value, rule_docs[r.name]) for r in Rule)),
            _said(
                "Codes of the wire that rules are reported under; `rule_broken` for all others.",
                f"export const RULE_CODES: {{ readonly [rule in Rule]?: ErrorCode }} = {{ {codes} }};",
            ),
        )
    )


def _labels() -> str:
    return _union(
        "Label",
        "The one use of every label: everything signed, hashed or used as associated data starts with the label of its "
        "use, so that bytes made for one use never verify in another. Source: docs/protocol.md, chapter 1.",
        LABELS.items(),
    )


def _limits() -> str:
    docs = _module_docs(limits)
    rows = [_comment(_source(limits))]
    for name in vars(limits):
        if name in limits.__all__:
            value = getattr(limits, name)
            text = f'"{value}"' if isinstance(value, str) else _number(value)
            said = docs.get(name) or f"{name.replace('_', ' ').capitalize()}."
            rows.append(f"{_comment(said)}\nexport const {name} = {text};")
    return "\n\n".join(rows)


def _messages() -> str:
    close, notice, presence = messages.CloseCode, messages.NoticeKind, watching.PresenceState
    close_docs, notice_docs, presence_docs = _class_docs(close), _class_docs(notice), _class_docs(presence)
    codes = [
        f"{_comment(close_docs[name])}\nexport const CLOSE_{name} = {getattr(close, name)};" for name in close_docs
    ]
    notices = ((getattr(notice, name), notice_docs[name]) for name in notice_docs)
    states = ((getattr(presence, name), presence_docs[name]) for name in presence_docs)
    unions = [
        f"{_comment(said)}\nexport type {name} =\n  | " + "\n  | ".join(arm.__name__ for arm in get_args(union)) + ";"
        for name, union, said in (
            ("ClientMessage", messages.ClientMessage, "What a client may say."),
            ("ServerMessage", messages.ServerMessage, "What a server may say."),
        )
    ]
    parts = [
        f"/** Version of the protocol. */\nexport const PROTOCOL_VERSION = {messages.PROTOCOL_VERSION};",
        f"// {inspect.getdoc(close)}",
        *codes,
        _union("NoticeKind", inspect.getdoc(notice) or "", notices),
        _union("PresenceState", inspect.getdoc(presence) or "", states),
        *map(_interface, (*_structs(watching), *_structs(messages))),
        *unions,
    ]
    return "\n\n".join((_comment(_source(messages)), _imports(parts), *parts))


_ROW: Final = "readonly [method: string, path: string, request: string | null, response: string]"


def _requests() -> str:
    role_docs = {"owner": "Runs the practice.", "therapist": "Leads conversations.", "client": "Is led."}
    types, table = [], []
    for row in OPERATIONS.values():
        request = row.request.__name__ if row.request else None
        types.append(f'  "{row.name}": {{ request: {request or "null"}; response: {row.response.__name__} }};')
        body = f'"{request}"' if request else "null"
        table.append(f'  "{row.name}": ["{row.method}", "{row.path}", {body}, "{row.response.__name__}"],')
    parts = [
        _union("Role", inspect.getdoc(Role) or "", ((role.value, role_docs[role.value]) for role in Role)),
        *map(_interface, (*_structs(device_requests), *_structs(requests), *_structs(answering))),
        _said(
            "Request and response body of every HTTP operation by its name.",
            "\n".join(("export interface Operations {", *types, "}")),
        ),
        _said("The name of an HTTP operation.", "export type OperationName = keyof Operations;"),
        _said(
            "The body that an operation is asked with; null for none.",
            'export type RequestOf<Name extends OperationName> = Operations[Name]["request"];',
        ),
        _said(
            "The body that an operation is answered with.",
            'export type ResponseOf<Name extends OperationName> = Operations[Name]["response"];',
        ),
        _said(
            _module_docs(requests)["OPERATIONS"] + "\n\nA row: method, path template, structures asked and answered.",
            "\n".join((f"export const OPERATIONS: {{ readonly [name in OperationName]: {_ROW} }} = {{", *table, "};")),
        ),
    ]
    return "\n\n".join((_comment(_source(requests)), _imports(parts), *parts))


def _meeting() -> str:
    unions = [
        _union(kind.__name__, inspect.getdoc(kind) or "", ((m.value, _class_docs(kind).get(m.name, "")) for m in kind))
        for kind in (meeting.Modality, meeting.Outcome, meeting.KnockStep, meeting.RoomAct)
    ]
    docs = _module_docs(meeting)
    named = ("MINUTES_LEAST", "MINUTES_MOST", "SERIES_MOST", "APPOINTMENT_PAGE")
    numbers = [
        f"{_comment(docs.get(name) or docs['MINUTES_MOST'])}\nexport const {name} = {_number(getattr(meeting, name))};"
        for name in named
    ]
    parts = [*numbers, *unions, *map(_interface, _structs(meeting))]
    return "\n\n".join((_comment(_source(meeting)), _imports(parts, meeting_too=False), *parts))


def _field_table() -> str:
    structs = [
        struct
        for module in (watching, messages, device_requests, requests, meeting, answering)
        for struct in _structs(module)
    ]
    rows = [f'  {_key(struct)}: "{_described(struct)}",' for struct in structs if struct.__struct_config__.array_like]
    asked = ", ".join(f'"{_key(arm)}"' for arm in get_args(messages.ClientMessage))
    answered = ", ".join(f'"{_key(arm)}"' for arm in get_args(messages.ServerMessage))
    return "\n\n".join(
        (
            _comment(
                "The fields of every message and body, in order, as `codec.ts` reads and writes them.\n\n"
                + (__doc__ or "").split("\n\n", 2)[2]
            ),
            _said(
                "By tag of a message or name of another structure.",
                "\n".join(("export const FIELDS: Readonly<Record<string, string>> = {", *rows, "};")),
            ),
            _said("What a client may say.", f"export const CLIENT_TAGS: readonly string[] = [{asked}];"),
            _said("What a server may say.", f"export const SERVER_TAGS: readonly string[] = [{answered}];"),
        )
    )


def _crisis() -> str:
    """`crisis.py` with its data: interfaces and one constant."""
    rows = []
    for country, numbers in crisis.COUNTRIES.items():
        fields = [(line, line.__struct_fields__) for line in numbers.lines]
        said = (
            "{ " + ", ".join(f"{name}: {_quoted(getattr(line, name))}" for name in names) + " }"
            for line, names in fields
        )
        lines = "".join(f"\n      {line}," for line in said) + ("\n    " if numbers.lines else "")
        rows.append(f'  {country}: {{\n    emergency: "{numbers.emergency}",\n    lines: [{lines}],\n  }},')
    table = "\n".join(rows)
    return "\n\n".join(
        (
            _comment(_source(crisis)),
            _interface(crisis.CountryLine),
            _interface(crisis.CountryNumbers).replace("lines: tuple", "lines: readonly CountryLine[]"),
            _comment("By ISO 3166 code.")
            + f"\nexport const COUNTRIES: Readonly<Record<string, CountryNumbers>> = {{\n{table}\n}};",
        )
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def files() -> dict[str, str]:
    """Name and text of every file that is written."""
    texts = {
        "codes.ts": _codes(),
        "crisis-lines.ts": _crisis(),
        "fields.ts": _field_table(),
        "labels.ts": _labels(),
        "limits.ts": _limits(),
        "meeting.ts": _meeting(),
        "messages.ts": _messages(),
        "requests.ts": _requests(),
    }
    return {name: f"{HEADER}\n\n{text}\n" for name, text in texts.items()}


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` compare them; the exit code."""
    folder = next((Path(given) for given in arguments if not given.startswith("-")), FOLDER)
    stale = [name for name, text in files().items() if not _is(folder / name, text)]
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"stale: {folder / name}\n")
        return 1 if stale else 0
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
