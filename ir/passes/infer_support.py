"""Find the bins outside which each filter is negligible."""

from __future__ import annotations

from dataclasses import replace

from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.nodes import Average, Filter, Node
from scatc.ir.options import Options


def infer_support(graph: Graph, options: Options) -> Graph:
    """`x * psi  =>  x * psi|B` with B the smallest box of bins that holds all but a tolerance of psi's L1 mass.

    Legal because `|x * (psi - psi|B)|` is at most that mass times the largest bin of x. A filter is from here on a
    short vector and not an array of the signal's size. The mass is what counts, never the maximum: phi's tails are long
    in 2D.
    """
    known = banks(graph.spec)
    found: dict[tuple[str, int, int], tuple[tuple[int, int], ...]] = {}

    def support(bank: str, index: int, level: int) -> tuple[tuple[int, int], ...]:
        key = bank, index, level
        if key not in found:
            found[key] = tuple((b.start, b.stop) for b in known[bank].support(index, level, options.tolerance))
        return found[key]

    def rule(name: str, node: Node) -> Node | None:
        if isinstance(node, Filter):
            return replace(node, support=support(node.bank, node.index, node.level))
        if isinstance(node, Average) and node.mode == "local":
            return replace(node, support=support("phi", 0, node.level))
        return None

    return graph.rewrite(rule)
