"""The incumbent's sequence of operations for 1D scattering on torch, restated: what GPU kernels are compared with.

Kymatio's torch backend is what people run, but the release that is measured on CPUs needs old packages, which cannot
always be installed where a GPU is. This is a stand-in: written by us from the published algorithm (Anden & Mallat 2014;
Andreux et al., "Kymatio: Scattering Transforms in Python", JMLR 2020) and from how that backend lays out its work, not
from its code. It does the same operators in the same order on arrays of the same sizes: one path at a time, each filter
as a product over the whole spectrum, complex numbers as pairs along a last axis, complex transforms of real signals,
eager operators throughout. Where that leaves a choice, the cheaper one is taken. Filters are ours, hence so are the
coefficients, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from peer_modulus import modulus
from torch import Tensor

from scatc.ir.filters import Bank, banks
from scatc.ir.paths import Path, all_paths, infos
from scatc.ir.spec import Spec


def check(spec: Spec) -> None:
    """Refuse what the incumbent does not do by default."""
    if spec.dim != 1 or spec.order > 2 or spec.average != "local" or spec.padding != "reflect" or spec.pre_pad:
        raise ValueError(
            f"{spec!r} is not possible: it must be of dim=1, order 2 at most, with local averaging and padding by "
            "reflection that is not in the input yet"
        )


def tree(paths: Sequence[Path]) -> dict[int, list[int]]:
    """Each first-order filter with the second-order ones that continue it."""
    children: dict[int, list[int]] = {path[0]: [] for path in paths if path}
    for path in paths:
        if len(path) == 2:
            children[path[0]].append(path[1])
    return children


def level(spec: Spec, path: Path) -> int:
    """log2 of the subsampling of U: by what the last filter allows, no more than the output's stride."""
    assert spec.log2_stride is not None
    return min(infos(spec, path)[-1].j, spec.log2_stride)


class Incumbent:
    """A transform, one path at a time.

    Parameters
    ----------
    spec : Spec
        In 1D, of order 2 at most, averaged locally, padded by reflection: what the incumbent does by default.
    device : torch.device or str
        Where filters are kept, and signals expected.

    Raises
    ------
    ValueError
        For any other spec.
    """

    def __init__(self, spec: Spec, device: torch.device | str) -> None:
        check(spec)
        self.spec, self.device = spec, torch.device(device)
        self.paths = all_paths(spec)
        assert spec.log2_stride is not None
        self._stride = spec.log2_stride
        self._widths = spec.padding_widths[0]
        self._kept = slice(*spec.kept(self._stride)[0])
        self._children = tree(self.paths)
        found = banks(spec)
        self._phi = [self._filter(found["phi"], 0, level) for level in range(self._stride + 1)]
        self._psi1 = {n: self._filter(found["psi1"], n, 0) for n in self._children}
        self._psi2: dict[tuple[int, int], Tensor] = {}
        for n1, n2 in (path for path in self.paths if len(path) == 2):
            key = n2, self._level((n1,))
            if key not in self._psi2:
                self._psi2[key] = self._filter(found["psi2"], *key)

    def __call__(self, x: Tensor) -> Tensor:
        """Transform signals.

        Parameters
        ----------
        x : Tensor, shape ``(batch, n)``
            float32, on the device.

        Returns
        -------
        Tensor, shape ``(batch, paths, samples)``
            Rows in the order of ``plan.meta()``.
        """
        padded = torch.nn.functional.pad(x, self._widths, mode="reflect")
        zeroth = _spectrum(padded)
        rows = {(): self._averaged(zeroth, 0)}
        for n1, following in self._children.items():
            level1 = self._level((n1,))
            first = _spectrum(modulus(_samples(_periodised(zeroth * self._psi1[n1], level1))))
            rows[(n1,)] = self._averaged(first, level1)
            for n2 in following:
                level2 = self._level((n1, n2))
                product = first * self._psi2[n2, level1]
                second = _spectrum(modulus(_samples(_periodised(product, level2 - level1))))
                rows[n1, n2] = self._averaged(second, level2)
        return torch.stack([rows[path] for path in self.paths], dim=-2)

    def _level(self, path: Path) -> int:
        return level(self.spec, path)

    def _filter(self, bank: Bank, index: int, level: int) -> Tensor:
        """A response on the whole grid, with an axis for the parts of the complex numbers that it multiplies."""
        response: NDArray[np.float64] = bank.response(index, level)[0]
        return torch.from_numpy(response.astype(np.float32)[:, None]).to(self.device)

    def _averaged(self, spectrum: Tensor, level: int) -> Tensor:
        """Multiply by phi, subsample to the output's stride, and cut the padding off."""
        product = _periodised(spectrum * self._phi[level], self._stride - level)
        return _samples(product)[..., 0][..., self._kept]


def _spectrum(u: Tensor) -> Tensor:
    """The transform of real samples, as that of complex ones whose imaginary part is zero: pairs along a last axis."""
    z = u.new_zeros((*u.shape, 2))
    z[..., 0] = u
    return torch.view_as_real(torch.fft.fft(torch.view_as_complex(z)))


def _samples(spectrum: Tensor) -> Tensor:
    return torch.view_as_real(torch.fft.ifft(torch.view_as_complex(spectrum)))


def _periodised(spectrum: Tensor, by: int) -> Tensor:
    """The spectrum of every ``2**by``-th sample: the mean over the parts of the spectrum."""
    if not by:
        return spectrum
    batch, length, _ = spectrum.shape
    return spectrum.reshape(batch, 1 << by, length >> by, 2).mean(1)
