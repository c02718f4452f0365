"""Average by matrix products."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from math import inf

from scatc.ir.cost import node_cost
from scatc.ir.graph import Graph
from scatc.ir.lowpass import frames, taps
from scatc.ir.nodes import Fft, Fold, Ifft, Lowpass, Unpad
from scatc.ir.options import Options
from scatc.ir.values import Value, infer


def lower_leaves(graph: Graph, options: Options) -> Graph:
    """`unpad(ifft(fold_k(fft(u) . phi^)))  =>  A u`, one matrix A per axis, where that is predicted to be cheaper.

    Legal always: phi, subsampling and unpadding are linear, and phi is separable. An axis is `dense` (A as it stands)
    or, if phi's taps are short against the axis and the kept outputs' taps lie within it, `banded` (A is
    block-bidiagonal and Toeplitz, so each frame of samples meets the same small matrix). The FFT's price counts only
    where nobody else needs it.
    """
    values = infer(graph)
    known: dict[Hashable, Lowpass | None] = {}
    chosen: dict[str, Lowpass] = {}
    for name, node in graph:
        if isinstance(node, Unpad) and (chain := _chain(graph, name)):
            fft, fold = graph[chain[0]], graph[chain[1]]
            alike = (
                values[fft.x],
                *fft.attributes().items(),
                *fold.attributes().items(),
                node.kept,
                _alone(graph, chain),
            )
            if alike not in known:
                known[alike] = _chosen(graph, values, name, chain, options)
            if lowpass := known[alike]:
                chosen[name] = replace(lowpass, x=fft.x)
    return graph.rewrite(lambda name, node: chosen.get(name)).without_dead()


def _chosen(
    graph: Graph, values: Mapping[str, Value], name: str, chain: tuple[str, str, str], options: Options
) -> Lowpass | None:
    """The matrix product in place of a low-pass, if it is cheaper."""
    unpad = graph[name]
    assert isinstance(unpad, Unpad)
    lowpass = _cheapest(graph, values, chain, unpad.kept, options)
    cost = node_cost(lowpass, values[lowpass.x], values[name], options.machine, options.itemsize)
    return lowpass if cost.seconds < _fft_price(graph, values, chain, options) else None


def _chain(graph: Graph, name: str) -> tuple[str, str, str] | None:
    """The names of the spectrum, the fold and the inverse FFT behind an unpad, if the unpad ends a low-pass."""
    inverse = graph[name].x
    ifft = graph[inverse]
    if isinstance(ifft, Ifft) and ifft.real and isinstance(fold := graph[ifft.x], Fold):
        return fold.x, ifft.x, inverse
    return None


def _alone(graph: Graph, chain: tuple[str, str, str]) -> bool:
    """Whether nobody else needs the spectrum."""
    return graph.users[chain[0]] == (chain[1],)


def _fft_price(graph: Graph, values: Mapping[str, Value], chain: tuple[str, str, str], options: Options) -> float:
    """Predicted seconds of the low-pass through the FFT."""
    spectrum, product, inverse = chain
    steps = [product, inverse, *[spectrum] * _alone(graph, chain)]
    return sum(
        node_cost(graph[n], values[graph[n].x], values[n], options.machine, options.itemsize).seconds for n in steps
    )


def _cheapest(
    graph: Graph,
    values: Mapping[str, Value],
    chain: tuple[str, str, str],
    kept: tuple[tuple[int, int], ...],
    options: Options,
) -> Lowpass:
    """The cheapest methods, chosen axis by axis."""
    fft, fold = graph[chain[0]], graph[chain[1]]
    assert isinstance(fft, Fft) and isinstance(fold, Fold)
    grid = values[chain[0]].grid
    methods = ["dense"] * len(grid)
    spans = tuple(taps(graph.spec, fold.level, axis, options.tolerance) for axis in range(len(grid)))
    for axis, n in enumerate(grid):
        best = inf
        for method in ("dense", "banded"):
            layout = frames(kept[axis], fold.by, spans[axis])
            if method == "banded" and not 0 <= layout.base < layout.stop <= n:
                continue
            outputs = kept[axis][1] - kept[axis][0]
            flops = n * outputs if method == "dense" else (layout.blocks + 1) * layout.length * 2 * layout.outputs
            if flops < best:
                best, methods[axis] = flops, method
    return Lowpass(fft.x, fold.level, fold.by, kept, tuple(methods), spans)
