"""`python -m scatc.ir.passes [FILE]`: the document about the passes, from their docstrings and live examples."""

from __future__ import annotations

import difflib
import inspect
import sys
from pathlib import Path

from scatc.ir import adjoint
from scatc.ir.graph import Graph
from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.passes import PASSES, Pass, run_passes
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

ADJOINT = """\
The program of the gradient is made by one more rewrite, of what the passes leave. It is no member of the chain: a plan
has both programs, and makes this one when a gradient is first asked for. [Gradients](gradients.md) says what it stores.
"""

ONE = Spec(dim=1, shape=16, J=2, order=1)
EXAMPLES: dict[str, tuple[Spec, Options]] = {
    "select_paths": (ONE, Options(select=frozenset({(1,)}))),
    "infer_support": (ONE, Options(select=frozenset({(), (1,)}))),
    "to_fourier": (ONE, Options(select=frozenset({(1,)}))),
    "fuse_fold": (Spec(dim=1, shape=32, J=3, order=1), Options(select=frozenset({(3,)}))),
    "fuse_ripples": (Spec(dim=1, shape=16, J=1, J_fr=1), Options(select=frozenset({(0, 0), (0, 1)}))),
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
    spec, options = EXAMPLES["narrow_spectra"]
    graph, _ = run_passes(lower(spec), options)
    example = _difference(graph, adjoint.adjoint(graph))
    parts.append(f"## The gradient: `adjoint`\n\n{ADJOINT}\n{inspect.getdoc(adjoint)}\n\n```diff\n{example}```\n")
    return "\n".join(parts)


def _example(run: Pass) -> str:
    """The lines that a pass changes, as a diff of the printed graphs."""
    spec, options = EXAMPLES[run.__name__]
    graph = lower(spec)
    for earlier in PASSES[: PASSES.index(run)]:
        graph = earlier(graph, options)
    return _difference(graph, run(graph, options))


def _difference(*graphs: Graph) -> str:
    """The lines that only one of two graphs has, and what stands between them."""
    before, after = (print_graph(graph).splitlines()[1:] for graph in graphs)
    before, after = ([_single_spaced(line) for line in lines] for lines in (before, after))
    return "".join(f"{line}\n" for line in difflib.ndiff(before, after) if not line.startswith("?"))


def _single_spaced(line: str) -> str:
    """A line whose comment is not aligned with others, so that it differs only where its node or value does."""
    node, _, comment = line.partition("#")
    return f"{node.rstrip()}  #{comment}"


def main(arguments: list[str]) -> None:
    """Print the document, or write it to the file that is named."""
    if arguments:
        Path(arguments[0]).write_text(document(), encoding="utf-8")
    else:
        print(document(), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
