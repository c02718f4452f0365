"""Convolve in the Fourier domain, with one FFT of each U."""

from __future__ import annotations

from collections.abc import Iterator

from scatc.ir.graph import Graph
from scatc.ir.nodes import Average, Box, Fft, Filter, Fold, Ifft, Node
from scatc.ir.options import Options


def to_fourier(graph: Graph, options: Options) -> Graph:
    """`x * psi  =>  ifft(fft(x) . psi^)`, where all filters of one x share `fft(x)`.

    Legal always (the convolution theorem). Where the result is real (x real, phi even) half of the bins come back.
    """
    spectra: dict[str, str] = {}

    def lowered(name: str, node: Filter | Average) -> Iterator[tuple[str, Node]]:
        if node.x not in spectra:
            spectra[node.x] = "X0" if node.x in ("x", "U0") else "X" + node.x[1:]
            yield spectra[node.x], Fft(node.x)
        starts, widths = _window(node.support)
        real = isinstance(node, Average)
        bank, index = ("phi", 0) if isinstance(node, Average) else (node.bank, node.index)
        product = f"{'P' if real else 'Y'}{name[1:]}"
        yield product, Fold(spectra[node.x], bank, (index,), node.level, 0, starts, widths, half=real)
        yield name, Ifft(product, real=real)

    def rule(name: str, node: Node) -> Iterator[tuple[str, Node]] | None:
        convolves = isinstance(node, Filter) or (isinstance(node, Average) and node.mode == "local")
        return lowered(name, node) if convolves else None  # type: ignore[arg-type]

    return graph.rewrite(rule)


def _window(support: Box) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Start (of the one filter) and widths of a support; both empty where it is not known."""
    if not support:
        return (), ()
    return (tuple(a for a, _ in support),), tuple(b - a for a, b in support)
