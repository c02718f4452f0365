"""Compute of a spectrum only the bins that are read."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from scatc.ir.graph import Graph
from scatc.ir.nodes import Box, Fft, Fold, Node
from scatc.ir.options import Options
from scatc.ir.values import infer

MOST_REPEATED = 1.1
"""A box in natural order may have at most so many times the bins of the grid."""


def narrow_spectra(graph: Graph, options: Options) -> Graph:
    """`fft(u)  =>  fft(u)|B` with B the smallest box that holds every window its folds read, in natural order.

    Legal always. In natural order a window around bin 0 is contiguous. Where windows reach around the circle from both
    sides B is longer than the grid and holds some bins twice; where that would be many, the whole spectrum stays in FFT
    order (unless siblings gather windows of their own, or a low-pass reads around bin 0: that takes natural order).
    """
    values = infer(graph)

    def rule(name: str, node: Node) -> Node | None:
        if not isinstance(node, Fft):
            return None
        folds = [fold for user in graph.users[name] if isinstance(fold := graph[user], Fold)]
        box = _hull(folds, graph.spec.dim)
        grid = values[name].grid
        ordered = any(fold.half or len(set(fold.starts)) > 1 for fold in folds)
        wasteful = prod(b - a for a, b in box) > MOST_REPEATED * prod(grid) and not ordered
        return replace(node, box=() if wasteful or box == tuple((0, n) for n in grid) else box)

    return graph.rewrite(rule)


def _hull(folds: list[Fold], dim: int) -> Box:
    """The smallest box around all windows; empty if some fold reads everything."""
    if not folds or any(not fold.widths for fold in folds):
        return ()
    lows = [min(start[a] for fold in folds for start in fold.starts) for a in range(dim)]
    highs = [max(start[a] + fold.widths[a] for fold in folds for start in fold.starts) for a in range(dim)]
    return tuple(zip(lows, highs, strict=True))
