#!/usr/bin/env python3
"""Write docs/errors.md, the catalogue of errors, from the code that raises them.

Without arguments it writes the file; with `--check` it writes nothing, and its exit code is 1 when the file is not what
the code says.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import rapport
from rapport_protocol import errors
from rapport_protocol.errors import ErrorCode, RapportError, Retry
from rapport_server.doors.http.refusals import STATUS

__all__ = ["catalogue", "main"]

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

TEXT: Final = """\
# Errors

Written by `deploy/list_errors.py` from `rapport_protocol/errors.py`, the exceptions of the Python SDK and the server's
table of HTTP statuses; do not edit by hand.

## Codes

The same codes stand in `error` on the stream, in `application/problem+json` over HTTP and in the exceptions below. They
are stable; texts are not. None holds user text, names, tokens or keys. What the one who was refused does next:

| next | meaning |
|---|---|
{nexts}

| code | HTTP | next | meaning |
|---|---|---|---|
{codes}

A client that does not know a code does what `retryable` beside it says: `later`, or `never`.

## Exceptions of the Python SDK

All of them carry `code` and `detail`. Their tree, and where each is found; those under `rapport` are for programs to
catch, the others reach a program only where a docstring says so.

| exception | from | meaning |
|---|---|---|
{exceptions}

Exit codes of the commands: [operate.md](operate.md). Close codes of the stream: [protocol.md](protocol.md), 12.5.
"""


def catalogue() -> str:
    """The page, from the code."""
    meanings = member_docs(ErrorCode)
    nexts = member_docs(Retry)
    return TEXT.format(
        nexts="\n".join(f"| `{way.value}` | {nexts[way.name]} |" for way in Retry),
        codes="\n".join(
            f"| `{code}` | {STATUS[code].value} | {code.retry.value} | {meanings[code.name]} |" for code in ErrorCode
        ),
        exceptions="\n".join(exceptions(RapportError, 0)),
    )


def member_docs(kind: type) -> dict[str, str]:
    """What stands under each member of an enumeration of `rapport_protocol.errors`; the language forgets it."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(errors)).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    found = {}
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name) and isinstance(text, ast.Expr):
            found[member.targets[0].id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def exceptions(kind: type[RapportError], depth: int) -> Iterator[str]:
    """A row for the exception, then those of its children, by name."""
    where = "rapport" if kind.__name__ in rapport.__all__ else kind.__module__
    summary = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    yield f"| {'· ' * depth}`{kind.__name__}` | `{where}` | {summary} |"
    for child in sorted(kind.__subclasses__(), key=lambda child: child.__name__):
        if not child.__module__.startswith("rapport_server"):
            yield from exceptions(child, depth + 1)


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == catalogue():
            return 0
        print(f"{PAGE.name} is not what the code says: run deploy/list_errors.py", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    PAGE.write_text(catalogue(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
