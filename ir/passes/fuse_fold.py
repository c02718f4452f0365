"""Subsample in the Fourier domain, while multiplying."""

from __future__ import annotations

from dataclasses import replace

from scatc.ir.graph import Graph
from scatc.ir.nodes import Fold, Ifft, Modulus, Node, Subsample
from scatc.ir.options import Options


def fuse_fold(graph: Graph, options: Options) -> Graph:
    """`subsample_k(ifft(Y))  =>  ifft(fold_k(Y))` with fold_k(Y)[m] = 2^-k sum_a Y[m + a M],
    and `|ifft(Y)|  =>  |ifft(shift(Y))|`.

    Only the filter's support is read, multiplied and folded straight into the short spectrum: nothing of full size is
    made. Legal where the subsampling is the only user of the inverse FFT. Where only the modulus of the result is used,
    the window may land on bin 0 instead of on its own bins (`shifted`): a phase ramp in time, to which |.| is blind.
    """
    by: dict[str, int] = {}
    replaced: dict[str, str] = {}
    shifted: set[str] = set()
    for name, node in graph:
        if not isinstance(node, Ifft):
            continue
        readers = graph.users[name]
        reader = graph[readers[0]] if len(readers) == 1 else None
        if isinstance(reader, Subsample):
            by[node.x], replaced[readers[0]] = reader.by, name
            readers = graph.users[readers[0]]
        if readers and all(isinstance(graph[r], Modulus) for r in readers):
            shifted.add(node.x)

    def rule(name: str, node: Node) -> Node | tuple[()] | None:
        if name in replaced:
            return ()
        if isinstance(node, Fold):
            return replace(node, by=node.by + by.get(name, 0), shifted=node.shifted or name in shifted)
        return node.reading(replaced)

    return graph.rewrite(rule)
