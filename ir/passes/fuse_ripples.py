"""Take modulus and average along log-frequency with the filter that comes before them."""

from __future__ import annotations

from dataclasses import replace

from scatc.ir.graph import Graph
from scatc.ir.nodes import Mix, Modulus, Node, Ripple
from scatc.ir.options import Options


def fuse_ripples(graph: Graph, options: Options) -> Graph:
    """`mix_phi(|mix_psi(x)|)  =>  ripple(x)`, and `|mix_psi(x)|  =>  ripple(x)` where nothing averages it along rows.

    All three act on each sample in time by itself, so that a few at a time can go through all of them: the rows
    between, up to a hundred times as much as comes out, need no memory. Legal where nobody else reads what is between.
    """
    fused: dict[str, Ripple] = {}
    gone: set[str] = set()
    for name, node in graph:
        if not (isinstance(node, Mix) and node.bank == "psi_fr" and (modulus := _only_reader(graph, name, Modulus))):
            continue
        whole = Ripple(node.x, node.index, node.by, node.kept, kept=node.kept)
        gone.add(name)
        end, last = modulus, _only_reader(graph, modulus, Mix)
        if last:
            average = graph[last]
            assert isinstance(average, Mix)
            whole = replace(whole, mode=average.bank or "sum", then=average.by, kept=average.kept)
            gone.add(modulus)
            end = last
        fused[end] = whole

    def rule(name: str, node: Node) -> Node | tuple[()] | None:
        return () if name in gone else fused.get(name)

    return graph.rewrite(rule) if fused else graph


def _only_reader(graph: Graph, name: str, kind: type[Node]) -> str:
    """The node that alone reads a value, if it is of a kind; empty otherwise."""
    readers = graph.users[name]
    return readers[0] if len(readers) == 1 and isinstance(graph[readers[0]], kind) else ""
