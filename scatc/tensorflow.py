"""Scattering transforms of TensorFlow tensors: Kymatio's classes, computed by plans; each is a `tf.Module`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from scatc.dropin.needs import needs

with needs("tensorflow"):
    import tensorflow as tf

from scatc.dropin import (
    ScatteringBase,
    ScatteringBase1D,
    ScatteringBase2D,
    ScatteringBase3D,
    TimeFrequencyScatteringBase,
    not_an_array,
)
from scatc.ir.geometry import extension_index
from scatc.runtime.tensorflow import as_tensor, unconverted, with_batch_of

__all__ = ["HarmonicScattering3D", "Scattering1D", "Scattering2D", "TimeFrequencyScattering"]

# What TensorFlow must neither look into for variables nor wrap: dicts with keys that it cannot sort, and what the user
# gave.
_OPAQUE = frozenset({"_fields", "_plans", "backend", "integral_powers", "points"})


class _TensorFlowFrontend(ScatteringBase, tf.Module):  # type: ignore[misc]
    """How a tensor reaches a plan, and what `tf.Module` may know of the object. It has no variables."""

    frontend_name = "tensorflow"
    backends = ("tensorflow",)
    target = "tensorflow"

    _TF_MODULE_IGNORED_PROPERTIES = tf.Module._TF_MODULE_IGNORED_PROPERTIES | _OPAQUE

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OPAQUE:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._valid!r})"

    def __call__(self, x: Any) -> Any:
        """The same as `scattering`."""
        return self.scattering(x)

    @unconverted
    def scattering(self, x: Any) -> Any:
        """Apply the transform, in float32. It can be traced by `tf.function`, compiled by XLA, and differentiated.

        Parameters
        ----------
        x : tf.Tensor, tf.Variable, ndarray or array of another framework on the CPU, shape ``batch + shape``
            Real; any number of leading axes, also none, also of unknown sizes.

        Returns
        -------
        tf.Tensor, list or dict
            A tensor of float32, shape ``batch + array_shape()``, unless `out_type` asks for another layout.

        Raises
        ------
        TypeError
            If `x` is not a tensor or array, or not of real floating-point numbers.
        RuntimeError
            If `x` has too few axes (in 1D a ValueError), or signals of another shape.
        ValueError
            If `stride`, `out_type`, `method` and `T` do not go together.
        """
        self._check_call()
        tensor = _real(x)
        if tensor.shape.rank is not None:
            self._check_shape(_with_unknown(tensor.shape, self.spec.input_shape))
        with self.name_scope:
            return self._layout(self._run(self.plan("float32"), tensor))


def _real(x: Any) -> Any:
    """The input as a tensor of real numbers."""
    if not (tf.is_tensor(x) or hasattr(x, "__tf_tensor__") or hasattr(x, "__array__")):
        raise not_an_array(x, "a tensor, a variable or an array")
    try:
        tensor = as_tensor(x)
    except TypeError:
        raise TypeError("The input should be real. Got an array of something that is no number.") from None
    if not tensor.dtype.is_floating:
        raise TypeError(f"The input should be real. Got a tensor of {tensor.dtype.name}.")
    return tensor


def _with_unknown(shape: Any, expected: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with the samples that are expected where TensorFlow does not know them yet."""
    sizes = list(shape)
    for axis in range(-min(len(expected), len(sizes)), 0):
        sizes[axis] = expected[axis] if sizes[axis] is None else sizes[axis]
    return tuple(sizes)


class Scattering1D(_TensorFlowFrontend, ScatteringBase1D):
    """The scattering transform of signals, a `tf.Module`.

    Parameters
    ----------
    J, shape, Q, T, stride, max_order, oversampling, out_type, average
        As for `scatc.numpy.Scattering1D`.
    backend : str or object, optional
        'tensorflow', or an object whose `name` begins so. It changes nothing.
    name : str, optional
        Of the module, and of the name scope of its operations.

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
        backend: object = "tensorflow",
        name: str | None = "Scattering1D",
        *,
        average: bool | None = None,
    ) -> None:
        tf.Module.__init__(self, name=name)
        ScatteringBase1D.__init__(self, J, shape, Q, T, stride, max_order, oversampling, out_type, backend, average)


class Scattering2D(_TensorFlowFrontend, ScatteringBase2D):
    """The scattering transform of images, a `tf.Module`.

    Parameters
    ----------
    J, shape, L, max_order, pre_pad
        As for `scatc.numpy.Scattering2D`.
    backend : str or object, optional
        'tensorflow', or an object whose `name` begins so. It changes nothing.
    name : str, optional
        Of the module, and of the name scope of its operations.
    out_type : {'array', 'list'}, optional
        As for `scatc.numpy.Scattering2D`.

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
        backend: object = "tensorflow",
        name: str | None = "Scattering2D",
        out_type: str = "array",
    ) -> None:
        tf.Module.__init__(self, name=name)
        ScatteringBase2D.__init__(self, J, shape, L, max_order, pre_pad, backend, out_type)

    def pad(self, x: Any) -> Any:
        """Mirror images beyond their borders, as the transform does; with `pre_pad`, `x` itself.

        Parameters
        ----------
        x : tf.Tensor or array, shape ``batch + (M, N)``

        Returns
        -------
        tf.Tensor, shape ``batch + padded``
        """
        if self.pre_pad:
            return x
        for axis, n, (left, right) in zip((-2, -1), self.shape, self._valid.padding_widths, strict=True):
            x = tf.gather(x, extension_index(n, left, right, "reflect"), axis=axis)
        return x


class HarmonicScattering3D(_TensorFlowFrontend, ScatteringBase3D):
    """The solid harmonic scattering transform of volumes (Eickenberg et al. 2017), a `tf.Module`.

    Parameters
    ----------
    J, shape, L, sigma_0, max_order, rotation_covariant, method, points, integral_powers
        As for `scatc.numpy.HarmonicScattering3D`.
    backend : str or object, optional
        'tensorflow', or an object whose `name` begins so. It changes nothing.
    name : str, optional
        Of the module, and of the name scope of its operations.

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
        backend: object = "tensorflow",
        name: str | None = "HarmonicScattering3D",
    ) -> None:
        tf.Module.__init__(self, name=name)
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

    def _layout(self, result: Any) -> Any:
        return with_batch_of(result, 2, result, self.array_shape())


class TimeFrequencyScattering(_TensorFlowFrontend, TimeFrequencyScatteringBase):
    """The joint time-frequency scattering transform of signals (Andén, Lostanlen and Mallat 2019), a `tf.Module`.

    Parameters
    ----------
    J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, out_type
        As for `scatc.numpy.TimeFrequencyScattering`.
    backend : str or object, optional
        'tensorflow', or an object whose `name` begins so. It changes nothing.
    format : {'time', 'joint'}, optional
        As for `scatc.numpy.TimeFrequencyScattering`.
    name : str, optional
        Of the module, and of the name scope of its operations.

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
        backend: object = "tensorflow",
        format: str = "time",
        name: str | None = "TimeFrequencyScattering",
    ) -> None:
        tf.Module.__init__(self, name=name)
        TimeFrequencyScatteringBase.__init__(
            self, J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, out_type, format, backend
        )

    def _with_frequencies(self, result: Any) -> Any:
        return with_batch_of(result, 2, result, self.array_shape())
