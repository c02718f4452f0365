"""Bounds that keep the code readable: files of at most 500 lines, functions of about 60."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support import ROOMS, ROOT, python_files

FILES = python_files(*ROOMS, "tests", "examples", "docs", "benchmarks")
FILE_LINES = 500
BODY_LINES = 60  # statements and comments: a docstring of any length is welcome, within the next bound
FUNCTION_LINES = 80


def lengths(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
    """Return the lines of a function in all, and without its docstring."""
    assert function.end_lineno is not None
    total = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return total, total
    return total, total - (first.end_lineno - first.lineno + 1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_LINES, "split this file by what its parts are about"
    long = []
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            total, body = lengths(node)
            if total > FUNCTION_LINES or body > BODY_LINES:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {total} lines, {body} of them body")
    assert not long, "\n".join(long)
