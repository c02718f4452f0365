"""Filter banks: one wavelet family a file, one way to ask them for responses and supports."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from scatc.ir.filters.bank import Bank, FilterInfo
from scatc.ir.filters.gaussian import Gaussian1DBank, Gaussian2DBank
from scatc.ir.filters.morlet1d import Morlet1DBank, SpinnedBank
from scatc.ir.filters.morlet2d import Morlet2DBank
from scatc.ir.filters.solid_harmonic import SolidHarmonicBank
from scatc.ir.filters.support import Band, arc

if TYPE_CHECKING:
    from scatc.ir.spec import Spec

__all__ = [
    "Band",
    "Bank",
    "FilterInfo",
    "Gaussian1DBank",
    "Gaussian2DBank",
    "Morlet1DBank",
    "Morlet2DBank",
    "SolidHarmonicBank",
    "SpinnedBank",
    "arc",
    "banks",
]


@lru_cache(maxsize=16)
def banks(spec: Spec) -> Mapping[str, Bank]:
    """The filter banks of a transform, by name.

    1D: `phi`, and `psi1`, `psi2`, ... one for each entry of `Q`; of joint scattering also `phi_fr` and `psi_fr`, along
    log-frequency. 2D: `phi`, `psi`. 3D: `psi`.
    Banks are cached by what they depend on, so that transforms that differ in the order or in T share wavelets.
    """
    if spec.dim == 1:
        (N,) = spec.padded_shape
        psis = [_cached(Morlet1DBank, N, spec.J, Q, f"psi{order}") for order, Q in enumerate(spec.Q or (), start=1)]
        found = [_cached(Gaussian1DBank, N, spec.T_support), *psis]
        if spec.joint:
            assert spec.Q_fr is not None
            found.append(_cached(Gaussian1DBank, spec.padded_fr, spec.F_support, "phi_fr"))
            found.append(_cached(SpinnedBank, spec.padded_fr, spec.J_fr, spec.Q_fr[0]))
    elif spec.dim == 2:
        shape = tuple(spec.padded_shape)
        found = [_cached(Gaussian2DBank, shape, spec.J, spec.T_support), _cached(Morlet2DBank, shape, spec.J, spec.L)]
    else:
        shape = tuple(spec.padded_shape)
        found = [_cached(SolidHarmonicBank, shape, spec.J, spec.L, spec.sigma_0, spec.rotation_covariant)]
    return MappingProxyType({bank.name: bank for bank in found})


@lru_cache(maxsize=16)
def _cached(family: type[Bank], *arguments: object) -> Bank:
    return family(*arguments)
