"""The incumbent's sequence of operations for 2D scattering on torch, restated; see `peer_lines.py`, which is for 1D.

Written by us from the published algorithm (Bruna & Mallat 2013; Andreux et al., "Kymatio: Scattering Transforms in
Python", JMLR 2020) and from how that backend lays out its work, not from its code: one path at a time, each filter as a
product over the whole spectrum, complex numbers as pairs along a last axis, complex transforms of real images, eager
operators throughout. Where that leaves a choice, the cheaper one is taken. Filters are ours.
"""

from __future__ import annotations

import numpy as np
import torch
from peer_modulus import modulus
from torch import Tensor

from scatc.ir.filters import Bank, banks
from scatc.ir.paths import Path, all_paths, infos
from scatc.ir.spec import Spec


class IncumbentImages:
    """A transform of images, one path at a time.

    Parameters
    ----------
    spec : Spec
        In 2D, of order 2 at most, averaged locally, padded by reflection: what the incumbent does by default.
    device : torch.device or str
        Where filters are kept, and images expected.

    Raises
    ------
    ValueError
        For any other spec.
    """

    def __init__(self, spec: Spec, device: torch.device | str) -> None:
        if spec.dim != 2 or spec.order > 2 or spec.average != "local" or spec.padding != "reflect" or spec.pre_pad:
            raise ValueError(
                f"{spec!r} is not possible: it must be of dim=2, order 2 at most, with local averaging and padding by "
                "reflection that is not in the input yet"
            )
        self.spec, self.device = spec, torch.device(device)
        self.paths = all_paths(spec)
        assert spec.log2_stride is not None
        self._stride = spec.log2_stride
        (top, bottom), (left, right) = spec.padding_widths
        self._widths = (left, right, top, bottom)
        self._kept = tuple(slice(*kept) for kept in spec.kept(self._stride))
        # The tree: each first-order filter with the second-order ones that continue it.
        self._children: dict[int, list[int]] = {path[0]: [] for path in self.paths if path}
        for path in self.paths:
            if len(path) == 2:
                self._children[path[0]].append(path[1])
        found = banks(spec)
        self._phi = [self._filter(found["phi"], 0, level) for level in range(self._stride + 1)]
        keys = {(n1, 0) for n1 in self._children} | {(p[1], self._level(p[:1])) for p in self.paths if len(p) == 2}
        self._psi = {key: self._filter(found["psi"], *key) for key in keys} if keys else {}

    def __call__(self, x: Tensor) -> Tensor:
        """Transform images.

        Parameters
        ----------
        x : Tensor, shape ``(batch, rows, columns)``
            float32, on the device.

        Returns
        -------
        Tensor, shape ``(batch, paths, rows, columns)``
            Paths in the order of ``plan.meta()``.
        """
        padded = torch.nn.functional.pad(x[:, None], self._widths, mode="reflect")[:, 0]
        zeroth = _spectrum(padded)
        rows = {(): self._averaged(zeroth, 0)}
        for n1, following in self._children.items():
            level1 = self._level((n1,))
            first = _spectrum(modulus(_samples(_periodised(zeroth * self._psi[n1, 0], level1))))
            rows[(n1,)] = self._averaged(first, level1)
            for n2 in following:
                level2 = self._level((n1, n2))
                product = first * self._psi[n2, level1]
                second = _spectrum(modulus(_samples(_periodised(product, level2 - level1))))
                rows[n1, n2] = self._averaged(second, level2)
        return torch.stack([rows[path] for path in self.paths], dim=-3)

    def _level(self, path: Path) -> int:
        """log2 of the subsampling of U: by what the last filter allows, no more than the output's stride."""
        return min(infos(self.spec, path)[-1].j, self._stride)

    def _filter(self, bank: Bank, index: int, level: int) -> Tensor:
        """A response on the whole grid, with an axis for the parts of the complex numbers that it multiplies."""
        response = bank.response(index, level)[0]
        return torch.from_numpy(response.astype(np.float32)[..., None]).to(self.device)

    def _averaged(self, spectrum: Tensor, level: int) -> Tensor:
        """Multiply by phi, subsample to the output's stride, and cut the padding off."""
        product = _periodised(spectrum * self._phi[level], self._stride - level)
        return _samples(product)[..., 0][(..., *self._kept)]


def _spectrum(u: Tensor) -> Tensor:
    """The transform of real samples, as that of complex ones whose imaginary part is zero: pairs along a last axis."""
    z = u.new_zeros((*u.shape, 2))
    z[..., 0] = u
    return torch.view_as_real(torch.fft.fft2(torch.view_as_complex(z)))


def _samples(spectrum: Tensor) -> Tensor:
    return torch.view_as_real(torch.fft.ifft2(torch.view_as_complex(spectrum)))


def _periodised(spectrum: Tensor, by: int) -> Tensor:
    """The spectrum of every ``2**by``-th sample on each axis: the mean over the parts of the spectrum."""
    if not by:
        return spectrum
    batch, rows, columns, _ = spectrum.shape
    return spectrum.reshape(batch, 1 << by, rows >> by, 1 << by, columns >> by, 2).mean((1, 3))
