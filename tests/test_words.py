"""The glossary of CONTRIBUTING.md holds: no name of its left column is bound in code."""

import ast
from collections.abc import Iterator

import pytest

from tests.test_walls import ROOT, TREES

COMMAND_LINE = {("worldsim_app", "blind"), ("worldsim", "blind"), ("training", "blind")} | {
    ("training/evaluation/config.py", "alone"),
    ("training/evaluation/config.py", "alone_after"),
    ("worldsim/cli/options.py", "alone_after"),
    ("worldsim/dream/registry.py", "alone_after"),
    ("worldsim_app", "alone_after"),
}
"""What is typed keeps its words: (a file or the package it lies in, a name)."""


def _left_column() -> set[str]:
    rows = [
        line.split("|")[1]
        for line in (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()
        if "|" in line
    ]
    words = {word.strip() for row in rows for word in row.split(",")}
    return {word for word in words if word.isidentifier()} - {"not"}


def _bound(tree: ast.AST) -> Iterator[str]:
    """Every name that a file gives to something: functions, arguments, variables, attributes, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


def test_no_name_of_the_glossarys_left_column_is_bound() -> None:
    left = _left_column()
    assert {"told", "led", "stand", "Mind", "own_pixels", "judge", "SEEN", "alone_after"} <= left
    found = {
        (name, word)
        for name, tree in TREES.items()
        for word in _bound(tree)
        if word.strip("_") in left and not {(name, word), (name.partition("/")[0], word)} & COMMAND_LINE
    }
    assert not found


@pytest.mark.parametrize(
    "source", ["told = 1", "def _told(): ...", "x.told = 1", "lambda told: 1", "import a as told"]
)
def test_every_way_of_binding_is_seen(source: str) -> None:
    assert any(word.strip("_") == "told" for word in _bound(ast.parse(source)))
