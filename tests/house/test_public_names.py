"""Every public module says what it offers, offers what it says, and explains it."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

import pytest

from tests.house.tree import Module, modules, public_modules

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def by_name(module: Module) -> str:
    return module.name


@pytest.mark.parametrize("module", public_modules(), ids=by_name)
def test_all_lists_exactly_what_is_there(module: Module) -> None:
    if len(module.tree.body) == 1:
        return  # a package that only holds modules
    imported = importlib.import_module(module.name)
    listed = getattr(imported, "__all__", None)
    assert listed is not None, f"{module.name} has no __all__"
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not hasattr(imported, name)] == []
    defined = {node.name for node in module.tree.body if isinstance(node, Documented) and not node.name.startswith("_")}
    assert defined - set(listed) == set(), "public by its name, but not listed: list it or begin it with an underscore"


@pytest.mark.parametrize("module", modules(), ids=by_name)
def test_public_names_are_documented(module: Module) -> None:
    assert ast.get_docstring(module.tree), f"{module.name} does not say what it is for"
    assert [name for name, node in public_definitions(module.tree.body) if not ast.get_docstring(node)] == []


def public_definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Documented]]:
    """Functions, classes and methods whose name does not begin with an underscore."""
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_") and not inherits_documentation(node):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


def inherits_documentation(node: Documented) -> bool:
    """Whether the promise stands elsewhere: at the overridden method, the overload's body or the property's getter."""
    marks = {ast.unparse(decorator).split("(")[0].split(".")[-1] for decorator in node.decorator_list}
    return bool(marks & {"override", "overload", "setter"})
