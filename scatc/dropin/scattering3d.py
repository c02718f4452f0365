"""HarmonicScattering3D without its framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.dropin.base import ScatteringBase, filter_attribute, one_of, read_only, truth
from scatc.ir.filters import SolidHarmonicBank
from scatc.ir.paths import all_paths


class ScatteringBase3D(ScatteringBase):
    """See `scatc.numpy.HarmonicScattering3D`."""

    method: str
    points: Any

    def __init__(
        self,
        J: Any,
        shape: Any,
        L: Any,
        sigma_0: Any,
        max_order: Any,
        rotation_covariant: Any,
        method: str,
        points: Any,
        integral_powers: Any,
        backend: object,
    ) -> None:
        self.method, self.points = method, points
        self._build(
            backend,
            dim=3,
            J=J,
            shape=shape,
            L=L,
            sigma_0=sigma_0,
            order=max_order,
            rotation_covariant=truth("rotation_covariant", rotation_covariant),
            integral_powers=integral_powers,
        )

    @property
    def L(self) -> int:
        """Largest degree of the solid harmonics."""
        assert self._valid.L is not None
        return self._valid.L

    @property
    def M(self) -> int:
        """Length of the first axis, `shape[0]`."""
        return self.shape[0]

    @property
    def N(self) -> int:
        """Length of the second axis, `shape[1]`."""
        return self.shape[1]

    @property
    def O(self) -> int:  # noqa: E743  (Kymatio's name)
        """Length of the third axis, `shape[2]`."""
        return self.shape[2]

    @property
    def sigma_0(self) -> float:
        """Width of the finest scale, in samples."""
        assert self._valid.sigma_0 is not None
        return self._valid.sigma_0

    @property
    def rotation_covariant(self) -> bool:
        """Whether moduli are norms over all orders of a degree."""
        return bool(self._valid.rotation_covariant)

    @property
    def integral_powers(self) -> Any:
        """The powers that are integrated; they can be set, and the next call obeys."""
        return self._fields["integral_powers"]

    @integral_powers.setter
    def integral_powers(self, value: Any) -> None:
        self._change(integral_powers=value)

    @filter_attribute
    def filters(self) -> list[NDArray[np.complex64]]:
        """The wavelets of each degree l: responses of shape ``(J + 1, 2 l + 1, M, N, O)``."""
        return [read_only(response) for response in self._degrees()]

    @filter_attribute
    def gaussian_filters(self) -> NDArray[np.complex64]:
        """The Gaussians of scales 0 to J + 1: responses of shape ``(J + 2, M, N, O)``."""
        return read_only(self._gaussians())

    def _degrees(self) -> Iterator[NDArray[np.complex64]]:
        bank, scales = SolidHarmonicBank(self.shape, self.J, self.L, self.sigma_0), self.J + 1
        for l in range(self.L + 1):
            yield np.stack([bank.response(l * scales + j).astype(np.complex64) for j in range(scales)])

    def _gaussians(self) -> NDArray[np.complex64]:
        bank = SolidHarmonicBank(self.shape, self.J + 1, 0, self.sigma_0)  # degree 0 is the Gaussian itself
        return np.stack([bank.response(j)[0].astype(np.complex64) for j in range(self.J + 2)])

    def _responses(self) -> Iterator[NDArray[Any]]:
        yield from self._degrees()
        yield self._gaussians()

    def array_shape(self) -> tuple[int, ...]:
        """Shape of the output for one volume: pairs of scales, degrees, powers."""
        assert self._valid.integral_powers is not None
        degrees = self.L + 1
        return len(all_paths(self._valid)) // degrees, degrees, len(self._valid.integral_powers)

    def _check_call(self) -> None:
        if not one_of(self.method, "integral"):
            raise ValueError(f"method must be in ['integral']. Got: {self.method}")

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 3:
            raise RuntimeError(f"Input tensor must have at least three dimensions. Got: {len(shape)}")
        if shape[-3:] != self.shape:
            raise RuntimeError(f"Tensor must be of spatial size {self.shape}. Got: {shape[-3:]}")

    def _layout(self, result: Any) -> Any:
        return result.reshape((*result.shape[:-2], *self.array_shape()))
