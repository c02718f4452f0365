"""Keep the selected paths and what they need."""

from __future__ import annotations

from collections.abc import Iterable

from scatc.ir.graph import Graph
from scatc.ir.nodes import Node, Output, Stack
from scatc.ir.options import Options


def select_paths(graph: Graph, options: Options) -> Graph:
    """`{S[p] : p in all paths}  =>  {S[p] : p in select}`, and every value that no selected path needs is gone.

    Legal always. Does nothing when no selection is made. Of an output of several paths, the rows of those are kept.
    """
    if options.select is None:
        return graph
    selected = options.select

    def rule(name: str, node: Node) -> Iterable[tuple[str, Node]] | None:
        if not isinstance(node, Output):
            return None
        rows = tuple(row for row, path in enumerate(node.paths) if path in selected)
        if len(rows) in (0, len(node.paths)):
            return None if rows else ()
        picked = f"Q{name.removeprefix('out')}"
        paths = tuple(node.paths[row] for row in rows)
        return [(picked, Stack(node.x, rows=rows)), (name, Output(picked, paths))]

    return graph.rewrite(rule).without_dead()
