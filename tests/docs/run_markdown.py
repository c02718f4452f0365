"""Run the Python code of Markdown documents, so that what they show is true.

    python tests/docs/run_markdown.py README.md docs/*.md

The blocks of one document run in order and share their names, as a reader would type them. A block opened by
```` ```python ```` runs; one opened by ```` ```python no-run ```` is only shown (a page says why beside it). In a block
of ``>>>`` lines the printed results are compared too, as doctest does, with ``...`` standing for anything.
Each document runs in an empty folder of its own.
"""

from __future__ import annotations

import contextlib
import doctest
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<info>[^`]*)$")
DOCTEST_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """One block of code and the number of its first line in the document."""

    line: int
    code: str


def python_blocks(text: str) -> Iterator[Block]:
    """Yield the blocks that a document asks to run."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opened = FENCE.match(line)
        if opened is None:
            continue
        body = []
        for _, inner in lines:
            closed = FENCE.match(inner)
            # A longer fence may show a shorter one, as the head of this file does.
            if closed and closed["marks"].startswith(opened["marks"]) and not closed["info"].strip():
                break
            body.append(inner.removeprefix(opened["indent"]))
        if opened["info"].split() == ["python"]:
            yield Block(number + 1, "\n".join(body) + "\n")


def run_block(block: Block, name: str, names: dict[str, Any]) -> None:
    """Run one block; errors and wrong results carry the document's own line numbers."""
    if block.code.lstrip().startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(block.code, names, name, name, block.line - 1)
        test.globs = names  # doctest works on a copy; the next block needs what this one defined
        runner = doctest.DocTestRunner(optionflags=DOCTEST_OPTIONS)
        if runner.run(test, clear_globs=False).failed:
            raise AssertionError(f"{name}:{block.line}: printed something else, see above")
        return
    exec(compile("\n" * (block.line - 1) + block.code, name, "exec"), names)


def run_document(path: Path) -> int:
    """Run a document's blocks in a folder of their own and return how many there were."""
    blocks = list(python_blocks(path.read_text(encoding="utf-8")))
    names: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for block in blocks:
            run_block(block, str(path), names)
    return len(blocks)


def main(arguments: Sequence[str]) -> int:
    """Run every document named; a failing one does not keep the others from running."""
    failed = False
    for path in map(Path, arguments):
        if not path.exists():  # an unmatched docs/*.md
            continue
        try:
            print(f"{path}: {run_document(path.resolve())} blocks ran")
        except Exception:
            failed = True
            traceback.print_exc()
            print(f"{path}: FAILED")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
