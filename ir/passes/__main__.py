"""`python -m scatc.ir.passes [FILE]`: the document about the passes, from their docstrings and live examples."""

from __future__ import annotations

import difflib
import inspect
import sys
from pathlib import Path

from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.passes import PASSES, Pass
from scatc.ir.spec import Spec
from scatc.ir.text import print_graph

HEAD = """# Passes

<!-- Written by `python -m scatc.ir.passes` from the docstrings in `ir/passes/`: change those, then `make docs
ARGS=--update`. -->

Lowering makes of a `Spec` a graph that says what is meant. The passes below rewrite it, one after the other and in this
order, into a program that says how it is computed. Each states its rewrite, and when it is legal; none changes what
the graph means by more than the tolerance of the precision asked for, which the tests check on random transforms.
Below each stand the lines that it changed in a small graph, those before it marked `-`, those after it `+`.
(`scatc.ir.text` says how to read a line; what follows `#` is the kind, shape and log2 subsampling of the value.)
"""

ONE = Spec(dim=1, shape=16, J=2, order=1)
EXAMPLES: dict[str, tuple[Spec, Options]] = {
    "select_paths": (ONE, Options(select=frozenset({(1,)}))),
    "infer_support": (ONE, Options(select=frozenset({(), (1,)}))),
    "to_fourier": (ONE, Options(select=frozenset({(1,)}))),
    "fuse_fold": (Spec(dim=1, shape=32, J=3, order=1), Options(select=frozenset({(3,)}))),
    "use_real": (Spec(dim=3, shape=(8, 8, 8), J=0, L=2, order=1, sigma_0=3.0), Options(select=frozenset({(2,)}))),
    "lower_leaves": (ONE, Options(select=frozenset({(1,)}))),
    "batch_siblings": (ONE, Options(select=frozenset({(0,), (1,), (2,)}))),
    "narrow_spectra": (Spec(dim=1, shape=64, J=4, order=1, T="global"), Options(select=frozenset({(4,)}))),
    "centre_spectra": (ONE, Options(select=frozenset({(1,)}))),
}
"""Of each pass, the transform and the options on which it is shown."""


def document() -> str:
    """The text of the document."""
    parts = [HEAD]
    for number, run in enumerate(PASSES, 1):
        parts.append(f"## {number}. `{run.__name__}`\n\n{inspect.getdoc(run)}\n\n```diff\n{_example(run)}```\n")
    return "\n".join(parts)


def _example(run: Pass) -> str:
    """The lines that a pass changes, as a diff of the printed graphs."""
    spec, options = EXAMPLES[run.__name__]
    graph = lower(spec)
    for earlier in PASSES[: PASSES.index(run)]:
        graph = earlier(graph, options)
    before, after = (print_graph(g).splitlines()[1:] for g in (graph, run(graph, options)))
    before, after = ([_single_spaced(line) for line in lines] for lines in (before, after))
    return "".join(f"{line}\n" for line in _differences(before, after))


def _single_spaced(line: str) -> str:
    """A line whose comment is not aligned with others, so that it differs only where its node or value does."""
    node, _, comment = line.partition("#")
    return f"{node.rstrip()}  #{comment}"


def _differences(before: list[str], after: list[str]) -> list[str]:
    """Lines that only one side has, and what stands between them."""
    return [line for line in difflib.ndiff(before, after) if not line.startswith("?")]


def main(arguments: list[str]) -> None:
    """Print the document, or write it to the file that is named."""
    if arguments:
        Path(arguments[0]).write_text(document(), encoding="utf-8")
    else:
        print(document(), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
