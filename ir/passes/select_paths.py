"""Keep the selected paths and what they need."""

from __future__ import annotations

from scatc.ir.graph import Graph
from scatc.ir.nodes import Node, Output
from scatc.ir.options import Options


def select_paths(graph: Graph, options: Options) -> Graph:
    """`{S[p] : p in all paths}  =>  {S[p] : p in select}`, and every value that no selected path needs is gone.

    Legal always. Does nothing when no selection is made.
    """
    if options.select is None:
        return graph
    selected = options.select

    def rule(name: str, node: Node) -> Node | tuple[()] | None:
        return () if isinstance(node, Output) and node.paths[0] not in selected else None

    return graph.rewrite(rule).without_dead()
