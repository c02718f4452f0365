"""The incumbent's sequence of operations for 3D scattering on torch, restated: what GPU kernels are compared with.

As `peer_lines.py` does for 1D, from the published algorithm (Eickenberg et al., NIPS 2017) and from how Kymatio's torch
backend lays out its work, not from its code: one path and one order m at a time, each filter as a complex product over
the whole spectrum, complex numbers as pairs along a last axis, complex transforms of real volumes, squares added up in
an array of their own, one power of U at a time. Where that leaves a choice, the cheaper one is taken. Filters are ours,
hence so are the coefficients, to rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scatc.ir.filters import banks
from scatc.ir.paths import Path, all_paths
from scatc.ir.spec import Spec

AXES = (-3, -2, -1)


class Incumbent3D:
    """A transform, one path at a time.

    Parameters
    ----------
    spec : Spec
        In 3D, of order 2 at most, with the norm over m: what the incumbent does by default.
    device : torch.device or str
        Where filters are kept, and volumes expected.

    Raises
    ------
    ValueError
        For any other spec.
    """

    def __init__(self, spec: Spec, device: torch.device | str) -> None:
        if spec.dim != 3 or spec.order > 2 or not spec.rotation_covariant:
            raise ValueError(f"{spec!r} is not possible: it must be of dim=3, order 2 at most, with the norm over m")
        self.spec, self.device = spec, torch.device(device)
        self.paths = all_paths(spec)
        # The tree: each first-order filter with the second-order ones that continue it.
        self._children: dict[int, list[int]] = {path[0]: [] for path in self.paths if len(path) == 1}
        for path in self.paths:
            if len(path) == 2:
                self._children[path[0]].append(path[1])
        bank = banks(spec)["psi"]
        self._filters = [
            torch.view_as_real(torch.from_numpy(bank.response(index).astype(np.complex64))).to(self.device)
            for index in range(len(bank.info))
        ]

    def __call__(self, x: Tensor) -> Tensor:
        """Transform volumes.

        Parameters
        ----------
        x : Tensor, shape ``(batch, *shape)``
            float32, on the device.

        Returns
        -------
        Tensor, shape ``(batch, paths, powers)``
            Rows in the order of ``plan.meta()``.
        """
        rows: dict[Path, Tensor] = {}
        spectrum = _spectrum(x)
        for n1, following in self._children.items():
            u = self._norm(spectrum, n1)
            rows[(n1,)] = self._integrals(u)
            if following:
                first = _spectrum(u)
                for n2 in following:
                    rows[n1, n2] = self._integrals(self._norm(first, n2))
        return torch.stack([rows[path] for path in self.paths], dim=-2)

    def _norm(self, spectrum: Tensor, index: int) -> Tensor:
        """The norm over m of the responses of one filter."""
        total: Tensor | None = None
        for psi in self._filters[index]:
            square = (_samples(_product(spectrum, psi)) ** 2).sum(-1)
            total = square if total is None else total + square
        assert total is not None
        return total.sqrt()

    def _integrals(self, u: Tensor) -> Tensor:
        return torch.stack([(u**q).flatten(1).sum(1) for q in self.spec.integral_powers or ()], dim=-1)


def _spectrum(u: Tensor) -> Tensor:
    """The transform of real samples, as that of complex ones whose imaginary part is zero: pairs along a last axis."""
    z = u.new_zeros((*u.shape, 2))
    z[..., 0] = u
    return torch.view_as_real(torch.fft.fftn(torch.view_as_complex(z), dim=AXES))


def _samples(spectrum: Tensor) -> Tensor:
    return torch.view_as_real(torch.fft.ifftn(torch.view_as_complex(spectrum), dim=AXES))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Of complex numbers, part by part."""
    out = torch.empty_like(a)
    out[..., 0] = a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1]
    out[..., 1] = a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]
    return out
