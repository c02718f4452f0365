"""Scattering transforms of JAX arrays: Kymatio's classes, computed by plans; pure functions of their input."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from scatc.dropin.needs import needs

with needs("jax"):
    import jax
    import jax.numpy as jnp

from scatc.dropin import (
    ScatteringBase,
    ScatteringBase1D,
    ScatteringBase2D,
    ScatteringBase3D,
    TimeFrequencyScatteringBase,
    not_an_array,
)
from scatc.runtime.jax import has_float64

__all__ = ["HarmonicScattering3D", "Scattering1D", "Scattering2D", "TimeFrequencyScattering"]

# Attributes that are not in the spec of the constructor's arguments: looked at, or set, later.
_CHANGE_RESULTS = ("_stride", "_stride_fr", "_format", "out_type", "method")


class _JaxFrontend(ScatteringBase):
    """How an array reaches a plan, and what JAX may know of the object.

    Objects are equal if they compute the same. To JAX they are nodes without arrays in them: they may be arguments of
    traced functions, which are traced again for an object that computes something else.
    """

    frontend_name = "jax"
    backends = ("jax",)
    target = "jax"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # what JAX keeps is a copy: attributes of the object itself may be set later
        jax.tree_util.register_pytree_node(cls, lambda S: ((), copy.copy(S)), lambda S, _: copy.copy(S))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._valid!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _JaxFrontend) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        """All that a result depends on, what can be set later included."""
        return (type(self), self._valid, *(getattr(self, name, None) for name in _CHANGE_RESULTS))

    def __call__(self, x: jax.Array | NDArray[Any]) -> Any:
        """The same as `scattering`."""
        return self.scattering(x)

    def scattering(self, x: jax.Array | NDArray[Any]) -> Any:
        """Apply the transform: a pure function, which `jax.jit`, `jax.grad`, `jax.vmap` and the like may trace.

        Parameters
        ----------
        x : jax.Array or ndarray, shape ``batch + shape``
            Real; any number of leading axes, also none. Computed in float64 if x is float64 and JAX is set up for it
            (``jax_enable_x64``), otherwise in float32.

        Returns
        -------
        jax.Array, list or dict
            An array of shape ``batch + array_shape()`` unless `out_type` asks for another layout.

        Raises
        ------
        TypeError
            If `x` is not an array, or not real.
        RuntimeError
            If `x` has too few axes (in 1D a ValueError), or signals of another shape.
        ValueError
            If `stride`, `out_type`, `method` and `T` do not go together.
        """
        self._check_call()
        dtype = _precision(x)
        self._check_shape(x.shape)
        return self._layout(self._run(self.plan(dtype), x))


def _precision(x: object) -> Literal["float32", "float64"]:
    """The precision in which an input is transformed."""
    if not isinstance(x, jax.Array | np.ndarray):
        raise not_an_array(x, "a JAX or NumPy array")
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    if not (floating or x.dtype.kind in "iub"):
        raise TypeError(f"The input should be real. Got an array of {x.dtype}.")
    return "float64" if floating and x.dtype.itemsize >= 8 and has_float64() else "float32"


class Scattering1D(_JaxFrontend, ScatteringBase1D):
    """The scattering transform of signals.

    Parameters
    ----------
    J, shape, Q, T, stride, max_order, oversampling, out_type, average
        As for `scatc.numpy.Scattering1D`.
    backend : str or object, optional
        'jax', or an object whose `name` begins so. It changes nothing.

    Raises
    ------
    ValueError
        For a J, shape, Q, T, max_order or oversampling that is not possible. (stride and out_type: when called.)
    NotImplementedError
        For more entries in Q than `max_order`, if more than two.
    ImportError
        For another backend.
    """

    def __init__(
        self,
        J: SupportsIndex,
        shape: SupportsIndex | tuple[SupportsIndex],
        Q: int | tuple[SupportsIndex, ...] = 1,
        T: SupportsFloat | str | None = None,
        stride: SupportsIndex | None = None,
        max_order: SupportsIndex = 2,
        oversampling: int | None = 0,
        out_type: str = "array",
        backend: object = "jax",
        *,
        average: bool | None = None,
    ) -> None:
        ScatteringBase1D.__init__(self, J, shape, Q, T, stride, max_order, oversampling, out_type, backend, average)


class Scattering2D(_JaxFrontend, ScatteringBase2D):
    """The scattering transform of images.

    Parameters
    ----------
    J, shape, L, max_order, pre_pad, out_type
        As for `scatc.numpy.Scattering2D`.
    backend : str or object, optional
        'jax', or an object whose `name` begins so. It changes nothing.

    Raises
    ------
    RuntimeError
        If ``2**J`` exceeds a side. (For a wrong `out_type`: when called.)
    ValueError
        For another value that is not possible.
    ImportError
        For another backend.
    """

    def __init__(
        self,
        J: SupportsIndex,
        shape: Sequence[SupportsIndex],
        L: SupportsIndex = 8,
        max_order: SupportsIndex = 2,
        pre_pad: bool | np.bool_ = False,
        backend: object = "jax",
        out_type: str = "array",
    ) -> None:
        ScatteringBase2D.__init__(self, J, shape, L, max_order, pre_pad, backend, out_type)


class HarmonicScattering3D(_JaxFrontend, ScatteringBase3D):
    """The solid harmonic scattering transform of volumes (Eickenberg et al. 2017).

    Parameters
    ----------
    J, shape, L, sigma_0, max_order, rotation_covariant, method, points, integral_powers
        As for `scatc.numpy.HarmonicScattering3D`.
    backend : str or object, optional
        'jax', or an object whose `name` begins so. It changes nothing.

    Raises
    ------
    ValueError
        For a value that is not possible. (For a wrong `method`: when called.)
    ImportError
        For another backend.
    """

    def __init__(
        self,
        J: SupportsIndex,
        shape: Sequence[SupportsIndex],
        L: SupportsIndex = 3,
        sigma_0: SupportsFloat = 1,
        max_order: SupportsIndex = 2,
        rotation_covariant: bool | np.bool_ = True,
        method: str = "integral",
        points: object = None,
        integral_powers: Sequence[SupportsFloat] | NDArray[Any] = (0.5, 1.0, 2.0),
        backend: object = "jax",
    ) -> None:
        ScatteringBase3D.__init__(
            self,
            J,
            shape,
            L,
            sigma_0,
            max_order,
            rotation_covariant,
            method,
            points,
            integral_powers,
            backend,
        )


class TimeFrequencyScattering(_JaxFrontend, TimeFrequencyScatteringBase):
    """The joint time-frequency scattering transform of signals (Andén, Lostanlen and Mallat 2019).

    Parameters
    ----------
    J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, out_type, format
        As for `scatc.numpy.TimeFrequencyScattering`.
    backend : str or object, optional
        'jax', or an object whose `name` begins so. It changes nothing.

    Raises
    ------
    ValueError
        For a J, J_fr, Q, shape, T, Q_fr or F that is not possible. (stride, stride_fr, out_type, format: when called.)
    NotImplementedError
        For more than two entries in Q, or more than one in Q_fr.
    ImportError
        For another backend.
    """

    def __init__(
        self,
        J: SupportsIndex,
        J_fr: SupportsIndex,
        Q: int | tuple[SupportsIndex, ...],
        shape: SupportsIndex | tuple[SupportsIndex],
        T: SupportsFloat | str | None = None,
        stride: SupportsIndex | None = None,
        Q_fr: int | tuple[SupportsIndex] = 1,
        F: SupportsFloat | str | None = None,
        stride_fr: SupportsIndex | None = None,
        out_type: str = "array",
        format: str = "time",
        backend: object = "jax",
    ) -> None:
        TimeFrequencyScatteringBase.__init__(
            self, J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, out_type, format, backend
        )
