"""What the checkout consists of: the files that belong to the project, and its Python modules."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "Function", "Module", "functions", "modules", "project_files", "public_modules"]

ROOT = Path(__file__).resolve().parents[2]

#: Import name -> where it lies.
PACKAGES = {
    "rapport_protocol": ROOT / "client_sdk/protocol/rapport_protocol",
    "rapport": ROOT / "client_sdk/python/rapport",
    "rapport_server": ROOT / "server/rapport_server",
}

NOT_OURS = {".git", ".venv", "node_modules", "__pycache__", "dist", "build", "web_app", ".rapport"}


@dataclass(frozen=True)
class Module:
    """A Python module of one of the three packages."""

    name: str
    path: Path

    @property
    def public(self) -> bool:
        """Whether no part of its name begins with an underscore."""
        return not any(part.startswith("_") for part in self.name.split("."))

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return parsed(self.path)


@dataclass(frozen=True)
class Function:
    """A function or method and its length in lines, the docstring not counted."""

    name: str
    lines: int


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Read and parse a file, once."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def project_files() -> Iterator[Path]:
    """Every file that a release of the source would hold; needs no git."""
    pending = [ROOT]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            if (
                path.name in NOT_OURS
                or path.name.endswith(("_cache", ".egg-info", ".pyc"))
                or path.name == ".hypothesis"
            ):
                continue
            if path.is_dir() and not path.is_symlink():
                pending.append(path)
            elif path.is_file():
                yield path


@functools.cache
def modules() -> tuple[Module, ...]:
    """All modules of the three packages; a package's `__init__` goes by the package's name.

    Migrations are left out: Alembic runs them, nothing imports them.
    """
    found = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if "migrations" in path.parts:
                continue
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found.append(Module(".".join(parts).removesuffix(".__init__"), path))
    return tuple(found)


def public_modules() -> list[Module]:
    """The modules that other code may import from."""
    return [module for module in modules() if module.public]


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function of a module, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            undocumented = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(node.name, undocumented - (docstring.count("\n") + 1 if docstring else 0))
