"""Scattering transforms of numpy arrays: Kymatio's classes, computed by plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from scatc.compiler import compile_for_arrays
from scatc.dropin import (
    ScatteringBase,
    ScatteringBase1D,
    ScatteringBase2D,
    ScatteringBase3D,
    TimeFrequencyScatteringBase,
    not_an_array,
)
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

__all__ = ["HarmonicScattering3D", "Scattering1D", "Scattering2D", "TimeFrequencyScattering"]


class _NumPyFrontend(ScatteringBase):
    """How a numpy array reaches a plan."""

    frontend_name = "numpy"
    backends = ("numpy",)
    target = "numpy"
    array_name = "NumPy array"
    padded_name = "Padded array"

    def _compiled(self, spec: Spec, dtype: Any) -> Plan:
        return compile_for_arrays(spec, dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._valid!r})"

    def __call__(self, x: NDArray[Any]) -> Any:
        """The same as `scattering`."""
        return self.scattering(x)

    def scattering(self, x: NDArray[Any]) -> Any:
        """Apply the transform.

        Parameters
        ----------
        x : ndarray, shape ``batch + shape``
            Real; any number of leading axes, also none. float32 input is computed in float32, float64 in float64;
            other dtypes are converted as numpy promotes them with float32 (int16 to float32, int64 to float64).

        Returns
        -------
        ndarray, list or dict
            An array of shape ``batch + array_shape()`` unless `out_type` asks for another layout.

        Raises
        ------
        TypeError
            If `x` is not a numpy array, or not real.
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
    if not isinstance(x, np.ndarray):
        raise not_an_array(x, "a NumPy array")
    if x.dtype.kind not in "fiub":
        raise TypeError(f"The input should be real. Got an array of {x.dtype}.")
    return "float32" if np.result_type(x.dtype, np.float32) == np.float32 else "float64"


class Scattering1D(_NumPyFrontend, ScatteringBase1D):
    """The scattering transform of signals.

    Wavelet transforms and moduli in turn, then an average over time: ``x * phi``, ``|x * psi1| * phi``,
    ``||x * psi1| * psi2| * phi`` (Andén and Mallat 2014).

    Parameters
    ----------
    J : int
        Log2 of the largest scale.
    shape : int or tuple of one int
        Length of a signal.
    Q : int or tuple of int, optional
        Wavelets per octave, of the first order or one number per order.
    T : number, 'global' or 0, optional
        Support of the averaging in samples, by default ``2**J``. 'global' sums over the padded signal; 0 does not
        average.
    stride : int, optional
        Distance of the outputs in samples, a power of two; by default the largest one that `T` allows.
    max_order : int, optional
        Largest number of wavelets in a row. It can be set later.
    oversampling : int, optional
        Deprecated; halves the stride so many times.
    out_type : {'array', 'dict', 'list'}, optional
        Layout of the output; it can be set later. 'dict' maps the tuple of filter indices of each path to its
        coefficients, 'list' has one dictionary per path.
    backend : str or object, optional
        'numpy', or an object whose `name` begins so. It changes nothing.
    average : bool, optional
        Deprecated, of Kymatio 0.3; False is ``T=0``.

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
        backend: object = "numpy",
        *,
        average: bool | None = None,
    ) -> None:
        ScatteringBase1D.__init__(self, J, shape, Q, T, stride, max_order, oversampling, out_type, backend, average)


class Scattering2D(_NumPyFrontend, ScatteringBase2D):
    """The scattering transform of images.

    Parameters
    ----------
    J : int
        Log2 of the largest scale; ``2**J`` is at most the smallest side.
    shape : tuple of int
        Height and width of an image.
    L : int, optional
        Number of angles.
    max_order : int, optional
        Largest number of wavelets in a row. It can be set later.
    pre_pad : bool, optional
        Whether inputs are padded already, to the sides ``((side + 2**J) // 2**J + 1) * 2**J``.
    backend : str or object, optional
        'numpy', or an object whose `name` begins so. It changes nothing.
    out_type : {'array', 'list'}, optional
        Layout of the output; it can be set later. 'list' has one dictionary per path.

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
        backend: object = "numpy",
        out_type: str = "array",
    ) -> None:
        ScatteringBase2D.__init__(self, J, shape, L, max_order, pre_pad, backend, out_type)


class HarmonicScattering3D(_NumPyFrontend, ScatteringBase3D):
    """The solid harmonic scattering transform of volumes (Eickenberg et al. 2017).

    Coefficients are integrals of powers of the moduli over the volume; the output has shape
    ``batch + (scales, L + 1, powers)``, where scales are j1 = 0, ..., J and then the pairs j1 < j2.

    Parameters
    ----------
    J : int
        Log2 of the largest scale.
    shape : tuple of int
        Lengths of the three axes.
    L : int, optional
        Largest degree of the solid harmonics.
    sigma_0 : float, optional
        Width of the finest scale, in samples.
    max_order : int, optional
        Largest number of wavelets in a row. It can be set later.
    rotation_covariant : bool, optional
        Whether to take the norm over all orders of each degree.
    method : {'integral'}, optional
        It can be set later.
    points : object, optional
        Not used.
    integral_powers : sequence of float, optional
        The powers. They can be set later.
    backend : str or object, optional
        'numpy', or an object whose `name` begins so. It changes nothing.

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
        backend: object = "numpy",
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


class TimeFrequencyScattering(_NumPyFrontend, TimeFrequencyScatteringBase):
    """The joint time-frequency scattering transform of signals (Andén, Lostanlen and Mallat 2019).

    First-order moduli ``X(t, n1) = |x * psi1[n1]|(t)`` are filtered along time (order 1: by phi, order 2: by wavelets
    psi2) and along n1, which is log-frequency (by wavelets psi_fr, which rise or fall). The moduli of that are averaged
    along both.

    Parameters
    ----------
    J : int
        Log2 of the largest scale in time.
    J_fr : int
        Log2 of the largest scale along log-frequency, in first-order wavelets.
    Q : int or tuple of int
        Wavelets per octave along time, of the first order or of both.
    shape : int or tuple of one int
        Length of a signal.
    T, stride : optional
        As for `Scattering1D`. Coefficients of order 1 are averaged over ``2**J`` with ``T=0``, too.
    Q_fr : int or tuple of one int, optional
        Wavelets per octave along log-frequency.
    F : number, 'global' or 0, optional
        Support of the averaging along log-frequency, in first-order wavelets, by default ``2**J_fr``. 'global' sums;
        0 does not average.
    stride_fr : int, optional
        Distance of the outputs along log-frequency, a power of two; by default the largest one that `F` allows.
    out_type : {'array', 'dict', 'list'}, optional
        Layout of the output; it can be set later.
    format : {'time', 'joint'}, optional
        'time': each frequency row is a path, whose coefficients have the axis of time alone. 'joint': each pair of
        wavelets psi2 and psi_fr has two axes, of log-frequency and time; an array has no order 0. It can be set later.
    backend : str or object, optional
        'numpy', or an object whose `name` begins so. It changes nothing.

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
        backend: object = "numpy",
    ) -> None:
        TimeFrequencyScatteringBase.__init__(
            self, J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, out_type, format, backend
        )
