"""Compute of a spectrum only the bins that are read."""

from __future__ import annotations

from dataclasses import replace

from scatc.ir.graph import Graph
from scatc.ir.nodes import Box, Fft, Fold, Node
from scatc.ir.options import Options
from scatc.ir.values import infer


def narrow_spectra(graph: Graph, options: Options) -> Graph:
    """`fft(u)  =>  fft(u)|B` with B the smallest box that holds every window its folds read, in natural order.

    Legal always. In natural order a window around bin 0 is contiguous; where windows reach around the circle from both
    sides B may be longer than the grid, and then holds a few bins twice.
    """
    values = infer(graph)

    def rule(name: str, node: Node) -> Node | None:
        if not isinstance(node, Fft):
            return None
        folds = [fold for user in graph.users[name] if isinstance(fold := graph[user], Fold)]
        box = _hull(folds, graph.spec.dim)
        whole = tuple((0, n) for n in values[name].grid)
        return replace(node, box=() if box == whole else box)

    return graph.rewrite(rule)


def _hull(folds: list[Fold], dim: int) -> Box:
    """The smallest box around all windows; empty if some fold reads everything."""
    if not folds or any(not fold.widths for fold in folds):
        return ()
    lows = [min(start[a] for fold in folds for start in fold.starts) for a in range(dim)]
    highs = [max(start[a] + fold.widths[a] for fold in folds for start in fold.starts) for a in range(dim)]
    return tuple(zip(lows, highs, strict=True))
