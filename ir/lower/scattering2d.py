"""2D scattering (Bruna & Mallat 2013): the rules of 1D on both axes."""

from __future__ import annotations

from scatc.ir.lower.scattering1d import Scattering1D


class Scattering2D(Scattering1D):
    """Averaging modes, T and stride mean the same as in 1D; only the filters and the geometry differ."""
