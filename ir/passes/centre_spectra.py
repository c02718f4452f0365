"""Take the mean off a signal whose mean nobody wants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scatc.ir.filters import Band, banks
from scatc.ir.graph import Graph
from scatc.ir.nodes import Fft, Fold, Input, Node, Pad
from scatc.ir.options import Options


def centre_spectra(graph: Graph, options: Options) -> Graph:
    """`fft(x)  =>  fft(x - mean(x))` for the input's spectrum, where all filters that read it vanish at bin 0.

    Legal because bin 0 is all that changes. An FFT errs by some epsilons of its input's norm: without the mean, what
    the wavelets see is as precise for a signal around 10000 as for one around 0. Later spectra are left alone: the mean
    of a modulus is no larger than its fluctuations warrant. In 3D little changes, as the Gaussian (l = 0) reads bin 0.
    """

    def rule(name: str, node: Node) -> Node | None:
        if not isinstance(node, Fft) or not isinstance(graph[node.x], Input | Pad):
            return None
        folds = [fold for user in graph.users[name] if isinstance(fold := graph[user], Fold)]
        return replace(node, centred=True) if folds and all(_vanishes(graph, fold) for fold in folds) else None

    return graph.rewrite(rule)


def _vanishes(graph: Graph, fold: Fold) -> bool:
    """Whether all filters of a fold are zero, but for rounding, at bin 0."""
    bank = banks(graph.spec)[fold.bank]
    zero = (Band(0, 1),) * graph.spec.dim
    largest = max(float(np.abs(bank.window(index, fold.level, zero)).max()) for index in fold.indices)
    # a solid harmonic may be small everywhere: an axis of one sample has nothing but frequencies far from its peak
    return largest == 0 if graph.spec.dim == 3 else largest < 1e-14
