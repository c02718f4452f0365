"""Scattering transforms as Keras layers, on TensorFlow, torch, JAX or numpy: whatever Keras runs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from scatc.dropin.needs import needs

with needs("keras"):
    import keras

from scatc import numpy as on_numpy
from scatc.compiler import compile as compile_plan
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

__all__ = ["HarmonicScattering3D", "Scattering1D", "Scattering2D"]

Shape = tuple[int | None, ...]


class _ScatteringLayer(keras.layers.Layer):  # type: ignore[misc]
    """What the layers share: arguments that wait for the shape of the input, and the plan that is made for it.

    An object of `scatc.numpy` made of both (`as_numpy`) says what they mean. A layer has no weights.
    """

    _numpy: ClassVar[Any]  # the class that knows the arguments
    _dim: ClassVar[int]

    def __init__(self, arguments: dict[str, Any], keywords: dict[str, Any]) -> None:
        # the transform computes in float32 at least: inputs of half precision come as they are, and results leave so
        super().__init__(autocast=False, **keywords)
        self._arguments = tuple((name, _plain(value)) for name, value in arguments.items())
        self._as_numpy: Any = None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make the layer that `get_config` described; what JSON made lists of may come as lists."""
        keywords: dict[str, Any] = {
            n: tuple(value) if isinstance(value, list) else value for n, value in config.items()
        }
        return cls(**keywords)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as plain Python values."""
        config: dict[str, Any] = super().get_config()
        return config | dict(self._arguments)

    def build(self, input_shape: Shape) -> None:
        """Check the arguments, now that the shape of the signals is known.

        Parameters
        ----------
        input_shape : tuple of int or None
            Any number of leading axes, None where unknown, then those of one signal, which must be known.

        Raises
        ------
        ValueError, RuntimeError, NotImplementedError
            As the class of the same name in `scatc.numpy`; ValueError also if the shape of the signals is not known.
        """
        self._as_numpy = self._made_for(input_shape)
        sides = {axis - self._dim: side for axis, side in enumerate(self.spec.input_shape)}
        self.input_spec = keras.layers.InputSpec(min_ndim=self._dim, axes=sides)
        self.built = True

    def _made_for(self, input_shape: Shape) -> Any:
        """The transform, for inputs of a shape."""
        input_shape = tuple(input_shape or ())
        sides = input_shape[-self._dim :]
        if len(sides) < self._dim or None in sides:
            axes = "axis" if self._dim == 1 else f"{self._dim} axes"
            example = (64,) * self._dim
            raise ValueError(
                f"{type(self).__name__} needs to know the last {axes} of its input, the shape of a signal. Got an "
                f"input of shape {input_shape}: make one such as keras.Input(shape={example})"
            )
        transform = self._numpy(**dict(self._arguments), shape=self._shape_of(sides))
        if transform.spec.average == "none":
            raise ValueError(
                "Cannot convert to one tensor with T=0: paths differ in their number of samples. Give T at least 1, or "
                f"use scatc.{keras.config.backend()}.{type(self).__name__} with out_type='dict'"
            )
        transform._check_call()
        return transform

    def _shape_of(self, sides: tuple[Any, ...]) -> tuple[int, ...]:
        """Shape of a signal, without padding, of which inputs have such sides."""
        return sides

    def as_numpy(self) -> Any:
        """The same transform as an object of `scatc.numpy`: its `meta()`, its filters, its resolved parameters.

        Raises
        ------
        ValueError
            If the layer is not built yet: only its input tells the shape of the signals.
        """
        if self._as_numpy is None:
            raise ValueError(f"{self.name} has met no input yet: call it, or build it with build(input_shape)")
        return self._as_numpy

    @property
    def spec(self) -> Spec:
        """What is computed, in the compiler's terms."""
        spec: Spec = self.as_numpy().spec
        return spec

    def plan(self) -> Plan:
        """The compiled transform that calls run, with its source, schedule and report.

        Raises
        ------
        ValueError
            If the layer is not built yet.
        TargetError
            If Keras runs on a framework for which nothing is compiled.
        """
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        return compile_plan(self.spec, keras.config.backend(), dtype=dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output: the leading axes of the input, then ``array_shape()`` of the transform.

        Parameters
        ----------
        input_shape : tuple of int or None

        Raises
        ------
        ValueError, RuntimeError, NotImplementedError
            As `build`.
        """
        return (*input_shape[: -self._dim], *self._made_for(input_shape).array_shape())

    def call(self, x: Any) -> Any:
        """Apply the transform; see `scattering`."""
        y = self.plan()(x)
        shape = self.as_numpy().array_shape()
        lead = keras.ops.shape(x)[: len(x.shape) - self._dim]
        return keras.ops.cast(keras.ops.reshape(y, (*lead, *shape)), self.compute_dtype)

    def scattering(self, x: Any) -> Any:
        """The same as a call of the layer.

        Parameters
        ----------
        x : tensor, shape ``batch + shape``
            Of the framework that Keras runs on, or whatever Keras converts to it; any number of leading axes.

        Returns
        -------
        tensor, shape ``batch + array_shape``
            In the precision of the layer's policy; computed in float32, or in float64 if the policy says so.

        Raises
        ------
        ValueError
            If signals have another shape than those the layer was built for.
        """
        return self(x)


def _plain(value: Any) -> Any:
    """A value as `get_config` may return it: numbers of numpy as those of Python, arrays as tuples."""
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, np.ndarray | np.generic):
        return _plain(tuple(np.asarray(value))) if value.ndim else value.item()
    return value


def _argument(name: str, doc: str) -> Any:
    """A read-only attribute: an argument as it was given."""
    return property(lambda self: dict(self._arguments)[name], doc=doc)


@keras.saving.register_keras_serializable(package="scatc")
class Scattering1D(_ScatteringLayer):
    """The scattering transform of signals, a layer: inputs ``batch + (N,)``, outputs ``batch + (paths, samples)``.

    Parameters
    ----------
    J, Q, T, max_order, oversampling, stride
        As for `scatc.numpy.Scattering1D`. With ``T=0`` paths differ in their number of samples: no layer can do that.
    name, dtype, trainable
        As for any layer.

    Raises
    ------
    ValueError, NotImplementedError
        For arguments that are not possible, when the layer meets its input.
    """

    _numpy = on_numpy.Scattering1D
    _dim = 1

    J = _argument("J", "Log2 of the largest scale.")
    Q = _argument("Q", "Wavelets per octave.")
    T = _argument("T", "Support of the averaging.")
    max_order = _argument("max_order", "Largest number of wavelets in a row.")
    oversampling = _argument("oversampling", "Deprecated; halves the stride so many times.")
    stride = _argument("stride", "Distance of the outputs in samples.")

    def __init__(
        self,
        J: SupportsIndex,
        Q: int | tuple[SupportsIndex, ...] = 1,
        T: SupportsFloat | str | None = None,
        max_order: SupportsIndex = 2,
        oversampling: int | None = 0,
        *,
        stride: SupportsIndex | None = None,
        **keywords: Any,
    ) -> None:
        arguments = {"J": J, "Q": Q, "T": T, "max_order": max_order, "oversampling": oversampling, "stride": stride}
        super().__init__(arguments, keywords)

    def meta(self) -> dict[str, Any]:
        """What each row of the output is; see `scatc.numpy.Scattering1D.meta`. The layer must be built."""
        found: dict[str, Any] = self.as_numpy().meta()
        return found

    def output_size(self, detail: bool = False) -> int | tuple[int, ...]:
        """Number of paths; see `scatc.numpy.Scattering1D.output_size`. The layer must be built."""
        found: int | tuple[int, ...] = self.as_numpy().output_size(detail)
        return found


@keras.saving.register_keras_serializable(package="scatc")
class Scattering2D(_ScatteringLayer):
    """The scattering transform of images, a layer: inputs ``batch + (M, N)``, outputs ``batch + (paths, m, n)``.

    Parameters
    ----------
    J, L, max_order
        As for `scatc.numpy.Scattering2D`.
    pre_pad : bool, optional
        Whether inputs are padded already, by ``2**J`` samples or more on each side; sides are multiples of ``2**J``.
    name, dtype, trainable
        As for any layer.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that are not possible, when the layer meets its input.
    """

    _numpy = on_numpy.Scattering2D
    _dim = 2

    J = _argument("J", "Log2 of the largest scale.")
    L = _argument("L", "Number of angles.")
    max_order = _argument("max_order", "Largest number of wavelets in a row.")
    pre_pad = _argument("pre_pad", "Whether inputs are padded already.")

    def __init__(
        self,
        J: SupportsIndex,
        L: SupportsIndex = 8,
        max_order: SupportsIndex = 2,
        pre_pad: bool | np.bool_ = False,
        **keywords: Any,
    ) -> None:
        super().__init__({"J": J, "L": L, "max_order": max_order, "pre_pad": pre_pad}, keywords)

    def _shape_of(self, sides: tuple[Any, ...]) -> tuple[int, ...]:
        if not self.pre_pad:
            return sides
        # many sides have the same padded one: what is computed of it does not depend on which
        unit = 2**self.J
        if any(side % unit or side < 3 * unit for side in sides):
            raise ValueError(
                f"with pre_pad=True and J={self.J}, sides of the input must be multiples of {unit}, at least "
                f"{3 * unit}. Got: {sides}"
            )
        return tuple(side - 2 * unit for side in sides)


@keras.saving.register_keras_serializable(package="scatc")
class HarmonicScattering3D(_ScatteringLayer):
    """The solid harmonic scattering transform of volumes (Eickenberg et al. 2017), a layer.

    Inputs are ``batch + (M, N, O)``, outputs ``batch + (scales, L + 1, powers)``.

    Parameters
    ----------
    J, L, sigma_0, max_order, rotation_covariant, method, integral_powers
        As for `scatc.numpy.HarmonicScattering3D`.
    name, dtype, trainable
        As for any layer.

    Raises
    ------
    ValueError
        For arguments that are not possible, when the layer meets its input.
    """

    _numpy = on_numpy.HarmonicScattering3D
    _dim = 3

    J = _argument("J", "Log2 of the largest scale.")
    L = _argument("L", "Largest degree of the solid harmonics.")
    sigma_0 = _argument("sigma_0", "Width of the finest scale, in samples.")
    max_order = _argument("max_order", "Largest number of wavelets in a row.")
    rotation_covariant = _argument("rotation_covariant", "Whether moduli are norms over all orders of a degree.")
    method = _argument("method", "How coefficients are averaged: 'integral'.")
    integral_powers = _argument("integral_powers", "The powers that are integrated.")

    def __init__(
        self,
        J: SupportsIndex,
        L: SupportsIndex = 3,
        sigma_0: SupportsFloat = 1,
        max_order: SupportsIndex = 2,
        rotation_covariant: bool | np.bool_ = True,
        method: str = "integral",
        integral_powers: Sequence[SupportsFloat] | NDArray[Any] = (0.5, 1.0, 2.0),
        **keywords: Any,
    ) -> None:
        arguments = {
            "J": J,
            "L": L,
            "sigma_0": sigma_0,
            "max_order": max_order,
            "rotation_covariant": rotation_covariant,
            "method": method,
            "integral_powers": integral_powers,
        }
        super().__init__(arguments, keywords)
