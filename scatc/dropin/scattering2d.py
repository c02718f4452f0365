"""Scattering2D without its framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scatc.dropin.base import ScatteringBase, filter_attribute, one_of, read_only, truth
from scatc.ir.errors import SpecError
from scatc.ir.filters import Bank, banks
from scatc.ir.geometry import extension_index


class ScatteringBase2D(ScatteringBase):
    """See `scatc.numpy.Scattering2D`."""

    out_type: str

    def __init__(
        self, J: Any, shape: Any, L: Any, max_order: Any, pre_pad: Any, backend: object, out_type: str
    ) -> None:
        self.out_type = out_type
        try:
            self._build(backend, dim=2, J=J, shape=shape, L=L, order=max_order, pre_pad=truth("pre_pad", pre_pad))
        except SpecError as error:
            if error.field == "J" and isinstance(error.nearest, int) and error.value > error.nearest:  # type: ignore[operator]
                raise RuntimeError(
                    f"The smallest dimension should be at least 2**J: {min(shape)} is below 2**{J}, "
                    f"and the largest J that works is {error.nearest}."
                ) from None
            raise

    @property
    def L(self) -> int:
        """Number of angles."""
        assert self._valid.L is not None
        return self._valid.L

    @property
    def pre_pad(self) -> bool:
        """Whether inputs are padded already."""
        return self._valid.pre_pad

    @property
    def M(self) -> int:
        """Height of the image, `shape[0]`."""
        return self.shape[0]

    @property
    def N(self) -> int:
        """Width of the image, `shape[1]`."""
        return self.shape[1]

    @property
    def _M_padded(self) -> int:
        return self._valid.padded_shape[0]

    @property
    def _N_padded(self) -> int:
        return self._valid.padded_shape[1]

    @property
    def _banks(self) -> Mapping[str, Bank]:
        return banks(self._valid)

    def _levels(self) -> dict[str, list[int]]:
        deepest = max(self.J - 1, 1)
        return {"phi": [self.J], "psi": [min(info.j + 1, deepest) for info in self._banks["psi"].info]}

    @filter_attribute
    def phi(self) -> dict[str, Any]:
        """The low-pass filter: 'j' and 'levels', its response after each subsampling."""
        bank = self._banks["phi"]
        return {"levels": [read_only(bank.response(0, level)[0]) for level in range(self.J)], "j": self.J}

    @filter_attribute
    def psi(self) -> list[dict[str, Any]]:
        """The wavelets, angles fastest: each with 'j', 'theta' and 'levels', its response after each subsampling."""
        bank = self._banks["psi"]
        return [
            {
                "levels": [read_only(bank.response(n, level)[0]) for level in range(count)],
                "j": info.j,
                "theta": info.theta,
            }
            for n, (info, count) in enumerate(zip(bank.info, self._levels()["psi"], strict=True))
        ]

    def pad(self, x: Any) -> Any:
        """Mirror images beyond their borders, as the transform does; with `pre_pad`, `x` itself.

        Parameters
        ----------
        x : array, shape ``batch + (M, N)``

        Returns
        -------
        array, shape ``batch + padded``
        """
        if self.pre_pad:
            return x
        widths = zip(self.shape, self._valid.padding_widths, strict=True)
        rows, columns = (extension_index(n, left, right, "reflect") for n, (left, right) in widths)
        return x[..., rows[:, None], columns]

    @staticmethod
    def unpad(x: Any) -> Any:
        """Drop the samples of padding that are left at the coarsest resolution: one on each side."""
        return x[..., 1:-1, 1:-1]

    def _check_call(self) -> None:
        if not one_of(self.out_type, "array", "list"):
            raise RuntimeError(f"The out_type must be one of 'array' or 'list'. Got: {self.out_type}")

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise RuntimeError(f"Input array must have at least two dimensions. Got: {len(shape)}")
        expected = self._valid.input_shape
        if shape[-2:] != expected:
            name = self.padded_name if self.pre_pad else self.array_name
            raise RuntimeError(f"{name} must be of spatial size ({expected[0]},{expected[1]}). Got: {shape[-2:]}")

    def _layout(self, result: Any) -> Any:
        if self.out_type == "array":
            return result
        return [{"coef": coef, "j": row.j, "n": row.path, "theta": row.theta} for row, coef in self._by_path(result)]
