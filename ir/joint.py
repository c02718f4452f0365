"""Joint time-frequency scattering along log-frequency: which filters meet which wavelets, and where their outputs lie.

    U1(n1, t) = |x * psi1[n1]|(t)                            S1 = U1 averaged in time
    S(n1, n_fr, t) = | S1 * psi_fr[n_fr] along n1 |          order 1: n_fr of positive spin, or 0
    S(n1, n2, n_fr, t) = | U1 * psi2[n2] in time * psi_fr[n_fr] along n1 |        order 2: n1 of j1 < j2

Both are then averaged along log-frequency, the second in time, too (Anden, Lostanlen & Mallat, "Joint time-frequency
scattering", IEEE Trans. Signal Processing 67, 2019; subsampling as in Kymatio).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters import banks
from scatc.ir.nodes import Mix
from scatc.ir.spec import Spec


@dataclass(frozen=True, slots=True)
class Along:
    """What happens along log-frequency behind one filter.

    Attributes
    ----------
    by : int
        log2 of the subsampling behind the filter.
    mode : {'', 'phi_fr', 'sum'}
        How its modulus is averaged, if it is.
    then : int
        log2 of the subsampling behind that.
    """

    by: int
    mode: str = ""
    then: int = 0


@dataclass(frozen=True, slots=True)
class Family:
    """The outputs of one pair of filters: the rows of one log-frequency axis.

    Attributes
    ----------
    n2 : int or None
        Second-order wavelet; None in order 1.
    n_fr : int
        Filter along log-frequency.
    n1_max, n1_stride : int
        First-order wavelets along the axis, and how many of them lie from one row to the next.
    rows : int
    j_fr, spin : int
        Scale of the filter, and the sign of its centre frequency.
    """

    n2: int | None
    n_fr: int
    n1_max: int
    n1_stride: int
    rows: int
    j_fr: int
    spin: int

    @property
    def paths(self) -> Iterator[tuple[int, ...]]:
        """The path of each row: ``(n1, n_fr)`` or ``(n1, n2, n_fr)``."""
        behind = (self.n_fr,) if self.n2 is None else (self.n2, self.n_fr)
        return ((i * self.n1_stride, *behind) for i in range(self.rows))


def parents(spec: Spec, n2: int) -> tuple[int, ...]:
    """The first-order wavelets whose moduli a second-order one filters: those of smaller scale."""
    j2 = banks(spec)["psi2"].info[n2].j
    return tuple(n1 for n1, info in enumerate(banks(spec)["psi1"].info) if info.j < j2)


def spins(spec: Spec, *, real: bool) -> tuple[int, ...]:
    """The filters along log-frequency; of real signals those of negative spin tell nothing new."""
    return tuple(n for n, info in enumerate(banks(spec)["psi_fr"].info) if not real or (info.xi or 0) >= 0)


def along(spec: Spec, n_fr: int) -> Along:
    """What happens along log-frequency behind a filter.

    The low-pass, n_fr = 0, has averaged already, unless its outputs are to lie further apart than its own scale.
    """
    info, stride = banks(spec)["psi_fr"].info[n_fr], spec.log2_stride_fr
    if stride is None:
        return Along(info.j, "sum" if spec.average_fr == "global" else "")
    by = min(info.j, stride)
    averaged = bool(info.xi) or by < stride
    return Along(by, "phi_fr", stride - by) if averaged else Along(by)


@lru_cache(maxsize=64)
def families(spec: Spec) -> tuple[Family, ...]:
    """All families, in output order."""
    found = [_family(spec, None, n_fr, len(banks(spec)["psi1"])) for n_fr in spins(spec, real=True)]
    for n2 in range(len(banks(spec)["psi2"])):
        if below := parents(spec, n2):
            found += [_family(spec, n2, n_fr, len(below)) for n_fr in spins(spec, real=False)]
    return tuple(found)


def _family(spec: Spec, n2: int | None, n_fr: int, n1_max: int) -> Family:
    info, steps = banks(spec)["psi_fr"].info[n_fr], along(spec, n_fr)
    stride = n1_max if steps.mode == "sum" else 1 << (steps.by + steps.then)
    rows = -(-n1_max // stride)
    if spec.format == "joint" and steps.mode != "sum":
        rows = spec.padded_fr // stride
    return Family(n2, n_fr, n1_max, stride, rows, info.j, int(np.sign(info.xi or 0)))


def mix_matrix(spec: Spec, node: Mix, rows: int) -> NDArray[Any]:
    """What a `Mix` by a filter multiplies so many rows by, shape ``(kept, rows)``; real where its bank is `phi_fr`."""
    bank = banks(spec)[node.bank]
    (n,) = bank.grid(node.level)
    distance = ((np.arange(node.kept) << node.by)[:, None] - np.arange(rows)) % n
    matrix: NDArray[Any] = np.fft.ifft(bank.response(node.index, node.level)[0])[distance]
    return matrix.real if node.bank == "phi_fr" else matrix
