"""Checks that a graph is well formed; runs after each pass in tests and in debug mode."""

from __future__ import annotations

from scatc.ir.errors import CompileError
from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.nodes import PROGRAM_KINDS, SCATTERING_KINDS, Average, Fft, Filter, Fold, Ifft, Input, Node, Output, Unpad
from scatc.ir.values import Value, infer_node

_KINDS = {"scattering": SCATTERING_KINDS, "program": PROGRAM_KINDS}


def verify(graph: Graph, level: str = "any") -> None:
    """Check a graph.

    Parameters
    ----------
    graph : Graph
    level : {'any', 'scattering', 'program'}
        Also check that only the kinds of that level occur.

    Raises
    ------
    CompileError
        With the node's line and what is wrong with it.
    """
    if sum(isinstance(node, Input) for _, node in graph) > 1:
        raise CompileError("a graph has one input")
    values: dict[str, Value] = {}
    for name, node in graph:
        if level != "any" and not isinstance(node, _KINDS[level]):
            _fail(name, node, f"a {level} graph has no node of kind {node.kind}")
        if not isinstance(node, Input) and node.x not in values:
            _fail(name, node, f"{node.x!r} is not defined above")
        x = values.get(node.x)
        for problem in _problems(graph, node, x):
            _fail(name, node, problem)
        values[name] = infer_node(graph.spec, node, x)
    paths = [path for _, output in graph.outputs for path in output.paths]
    if len(paths) != len(set(paths)):
        raise CompileError("a path is output twice")


def _fail(name: str, node: Node, problem: str) -> None:
    from scatc.ir.text import print_node

    raise CompileError(f"{print_node(name, node)}: {problem}")


def _problems(graph: Graph, node: Node, x: Value | None) -> list[str]:
    """What is wrong with a node, each as a sentence."""
    if x is None:
        return []
    found = []
    if isinstance(node, Fold | Ifft) != x.spectrum:
        found.append("it needs a spectrum" if not x.spectrum else "it needs samples, not a spectrum")
    if isinstance(node, Filter | Average) and not x.real:
        found.append("its input must be real")
    if isinstance(node, Fft) and node.real and not x.real:
        found.append("real=True needs a real input")
    if isinstance(node, Unpad) and any(not 0 <= a <= b <= n for (a, b), n in zip(node.kept, x.shape, strict=True)):
        found.append(f"it keeps samples outside of the {x.shape} there are")
    if isinstance(node, Output) and len(node.paths) != x.paths:
        found.append(f"it names {len(node.paths)} paths of {x.paths}")
    if isinstance(node, Fold):
        found += _fold_problems(graph, node, x)
    return found


def _fold_problems(graph: Graph, node: Fold, x: Value) -> list[str]:
    found = []
    bank = banks(graph.spec).get(node.bank)
    if bank is None or any(not 0 <= i < len(bank) for i in node.indices):
        return [f"there is no filter {node.indices} in bank {node.bank!r}"]
    if not node.indices:
        found.append("it names no filter")
    if any(n % (1 << node.by) for n in x.grid):
        found.append(f"2**{node.by} does not divide the grid {x.grid}")
    if node.widths and len(node.starts) != len(node.indices):
        found.append("it needs one start for each filter")
    for start in node.starts if x.band else ():
        for (a, b), s, w in zip(x.band, start, node.widths, strict=True):
            if not a <= s <= s + w <= b:
                found.append(f"it reads bins {s}:{s + w} of a spectrum that holds {a}:{b}")
    return found
