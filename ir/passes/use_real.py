"""Use that U is real."""

from __future__ import annotations

from dataclasses import replace

from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.nodes import Fft, Fold, Modulus, Node
from scatc.ir.options import Options
from scatc.ir.values import infer

PARITY_SLACK = 100.0
"""How far, in units of the filters' tolerance, psi(l,-m) may be from mirroring psi(l,m)."""


def use_real(graph: Graph, options: Options) -> Graph:
    """`fft(u)[-k] = conj(fft(u)[k])` for real u: half of the bins are computed. In 3D also
    `sum_m |u * psi(l,m)|^2  =>  |u * psi(l,0)|^2 + 2 sum_(m>0) |u * psi(l,m)|^2`.

    The first is legal wherever u is real. The second needs `psi(l,-m)^(k) = c conj(psi(l,m)^(-k))`, |c| = 1, on the
    grid: on even grids the Nyquist planes break it for the narrow wavelets of j = 0, so it is tested for each filter.
    """
    values = infer(graph)
    known = banks(graph.spec)
    mirrored: dict[int, bool] = {}

    def halves(node: Node) -> bool:
        if graph.spec.dim < 3 or not isinstance(node, Fold) or node.components:
            return False
        index = node.indices[0]
        if index not in mirrored:
            bank = known[node.bank]
            mirrored[index] = bank.components(index) > 1 and bank.parity(index, PARITY_SLACK * options.tolerance)
        return mirrored[index]

    def rule(name: str, node: Node) -> Node | None:
        if isinstance(node, Fft) and values[node.x].real:
            return replace(node, real=True)
        if isinstance(node, Fold) and halves(node):
            count = known[node.bank].components(node.indices[0])
            return replace(node, components=tuple(range(count // 2, count)))  # m = 0 .. l
        if isinstance(node, Modulus) and halves(fold := graph[graph[node.x].x]):
            assert isinstance(fold, Fold)
            return replace(node, weights=(1,) + (2,) * (known[fold.bank].components(fold.indices[0]) // 2))
        return None

    return graph.rewrite(rule)
