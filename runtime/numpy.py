"""Plans for numpy: arrays are checked and brought to shape, volumes scaled to where squares can be taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scatc.ir.paths import Path
from scatc.ir.schedule import Program
from scatc.runtime.code import Code, Differentiable, GradientCode, Runnable
from scatc.runtime.derived import gradient, keeping, save_mode
from scatc.runtime.plan import Compiled, Plan
from scatc.runtime.workers import checked_workers

Array = NDArray[Any]

LARGEST_PEAK = 1e6
"""Samples between the inverse of this and this need no scaling, in single precision either."""


class NumpyPlan(Plan):
    """A plan that is called on numpy arrays.

    Attributes
    ----------
    workers : int
        Threads that share a call.
    """

    def __init__(self, compiled: Compiled) -> None:
        super().__init__(compiled)
        self.workers = compiled.program.workers
        self._code = self._loaded()

    def _loaded(self) -> Runnable:
        """The code of the transform."""
        return Code(self._compiled)

    @cached_property
    def _module(self) -> ModuleType:
        """The source, loaded, with its tables."""
        code = self._code
        assert isinstance(code, Code)
        return code.module

    def with_workers(self, workers: int) -> NumpyPlan:
        """The same plan for another number of workers; it shares its tables with this one."""
        workers, compiled = checked_workers(workers), self._compiled
        program, options = replace(compiled.program, workers=workers), replace(compiled.options, workers=workers)
        return type(self)(replace(compiled, program=program, options=options, given_tables=compiled.tables))

    @cached_property
    def save_mode(self) -> str:
        """What `forward` keeps for `vjp`: 'inputs', 'first_order' or 'all'."""
        return save_mode(self._compiled)

    @cached_property
    def _storing(self) -> Runnable:
        compiled = keeping(self._compiled, self.save_mode)
        return self._code if compiled is self._compiled else Code(compiled, beside=self._code)

    @property
    def slots(self) -> tuple[tuple[int, ...], ...]:
        """The shape, for one signal, of each array that `forward` keeps."""
        return self._storing.program.slots

    @cached_property
    def _gradient(self) -> Differentiable:
        """From the input alone."""
        return GradientCode(gradient(self._compiled, "inputs"), beside=self._code)

    @cached_property
    def _saved_gradient(self) -> Differentiable:
        """From what `forward` kept."""
        return (
            self._gradient
            if self.save_mode == "inputs"
            else GradientCode(gradient(self._compiled, self.save_mode), beside=self._code)
        )

    def __call__(self, x: ArrayLike) -> Any:
        """Transform signals.

        Parameters
        ----------
        x : array_like, shape ``batch + spec.input_shape``
            Real, of any real dtype (converted to the plan's), contiguous or not; any number of leading batch axes.

        Returns
        -------
        array, shape ``batch + (paths, *samples)``
            Rows in the order of `meta()`; in 3D ``batch + (paths, powers)``. Where paths differ in their number of
            samples (no averaging): a dict of path to array, shape ``batch + samples``, in the same order.

        Raises
        ------
        TypeError
            If x is complex or not numeric.
        ValueError
            If the last axes of x are not `spec.input_shape`.
        """
        array = self._checked("x", x)
        batch = self.check_shape(array.shape)
        return self.from_groups(self.run_groups(array)[0], batch)

    def grouped(self, x: ArrayLike) -> list[Array]:
        """Transform signals into the arrays of `groups`, of shape ``batch + (paths, *samples)`` each; see a call."""
        array = self._checked("x", x)
        batch = self.check_shape(array.shape)
        return [out.reshape(batch + out.shape[1:]) for out in self.run_groups(array)[0]]

    def forward(self, x: ArrayLike) -> tuple[Any, list[Array]]:
        """Transform signals, and keep what the gradient at x needs.

        Parameters
        ----------
        x : array_like, shape ``batch + spec.input_shape``

        Returns
        -------
        y : array or dict
            As a call returns it.
        saved : list of array
            For `vjp`, with the same x: empty if nothing but x is kept (`save_mode`).
        """
        array = self._checked("x", x)
        batch = self.check_shape(array.shape)
        outs, saved = self.run_groups(array, store=True)
        return self.from_groups(outs, batch), saved

    def vjp(self, x: ArrayLike, g: ArrayLike | Mapping[Path, ArrayLike], saved: Sequence[Array] = ()) -> Array:
        """The vector-Jacobian product: the gradient of ``sum(g * plan(x))`` with respect to x.

        The derivative of a modulus, and of a power of one, counts as 0 where it is 0.

        Parameters
        ----------
        x : array_like, shape ``batch + spec.input_shape``
        g : array_like, or dict of path to array_like
            Shaped as what a call returns.
        saved : list of array, optional
            What `forward` returned for the same x. Without it everything is computed again.

        Returns
        -------
        array, shape of x
            In the plan's dtype.

        Raises
        ------
        TypeError
            If x or g is complex or not numeric, or `saved` is no list.
        ValueError
            If x or g is not of the right shape, or `saved` is of another batch or plan.
        CompileError
            If the gradient cannot obey `memory_limit`, though the transform does.
        """
        array = self._checked("x", x)
        batch = self.check_shape(array.shape)
        groups = self._grouped(g, batch)
        if not isinstance(saved, Sequence):
            raise TypeError(f"saved is {type(saved).__name__}: it must be the list that plan.forward returned with y")
        if len(saved):
            wanted = [(math.prod(batch), *slot) for slot in self._saved_gradient.program.slots]
            if (shapes := [np.shape(kept) for kept in saved]) != wanted:
                raise ValueError(f"saved has shapes {shapes}: for this x, plan.forward returns {wanted}")
        return self.vjp_groups(array, groups, saved)

    def from_groups(self, outs: Sequence[Any], batch: tuple[int, ...]) -> Any:
        """What a call returns, of the arrays that the program writes: one for each shape of coefficients."""
        if self.spec.average != "none":
            return outs[0].reshape(batch + outs[0].shape[1:])
        found = {
            path: out[:, row].reshape(batch + samples)
            for out, (samples, paths) in zip(outs, self._program.outputs, strict=True)
            for row, path in enumerate(paths)
        }
        return {path: found[path] for path in self.paths}

    def _grouped(self, g: Any, batch: tuple[int, ...]) -> list[Array]:
        """Cotangents as arrays, one for each shape of coefficients."""
        count = math.prod(batch)
        if self.spec.average != "none":
            (samples, paths) = self._program.outputs[0]
            array = self._checked("g", g)
            if array.shape != (expected := (*batch, len(paths), *samples)):
                raise ValueError(f"g has shape {array.shape}: it must be that of the output, {expected}")
            return [array.reshape(count, len(paths), *samples)]
        if not isinstance(g, Mapping) or set(g) != set(self.paths):
            raise ValueError("g must be a dict with the paths of the output, which plan.paths lists")
        groups = []
        for samples, paths in self._program.outputs:
            rows = [self._checked("g", g[path]) for path in paths]
            for path, row in zip(paths, rows, strict=True):
                if row.shape != (*batch, *samples):
                    raise ValueError(
                        f"g[{path}] has shape {row.shape}: it must be that of the output, {batch + samples}"
                    )
            groups.append(np.stack([row.reshape(count, *samples) for row in rows], axis=1))
        return groups

    def _checked(self, name: str, x: ArrayLike) -> Array:
        array = np.asarray(x)
        if array.dtype.kind == "c":
            raise TypeError(
                f"{name} is complex ({array.dtype}): scattering of complex signals is not supported, pass {name}.real"
            )
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} has dtype {array.dtype}: it must be an array of real numbers")
        return array

    def run_groups(self, x: Array, *, store: bool = False) -> tuple[list[Array], list[Array]]:
        """Transform an array that was checked: the program's output arrays, and what it keeps if it is to `store`."""
        code = self._storing if store else self._code
        signals = self._signals(x)
        outs, saved = self._empty(code.program, len(signals))
        if len(signals) and any(out.size for out in outs):
            # spectra, and squares that the norm over m takes, must stay within the numbers' range, and so must the
            # quotients that the gradient makes of what is stored
            scales = _scales(signals)
            code(self._divided(signals, scales), [*outs, *saved])
            self._multiply(outs, scales)
        return outs, saved

    def _empty(self, program: Program, count: int) -> tuple[list[Array], list[Array]]:
        """Arrays for so many signals: what a program outputs, and what it keeps."""
        outs = [np.empty((count, len(paths), *samples), self.dtype) for samples, paths in program.outputs]
        return outs, [np.empty((count, *slot), np.result_type(self.dtype, np.complex64)) for slot in program.slots]

    def _multiply(self, outs: Sequence[Array], scales: Array | None) -> None:
        """Make the coefficients of signals of those of signals divided by their scales."""
        if scales is not None:
            with np.errstate(all="ignore"):
                for out in outs:
                    np.multiply(out, self._factors(scales, out.ndim), out=out, casting="same_kind")

    def vjp_groups(self, x: Array, gs: Sequence[Array], saved: Sequence[Array] = ()) -> Array:
        """The gradient for cotangents of the program's output arrays; see `vjp`."""
        code = self._saved_gradient if len(saved) else self._gradient
        signals = self._signals(x)
        gradient = np.zeros(signals.shape, self.dtype)
        if len(signals) and any(g.size for g in gs):
            with np.errstate(all="ignore"):
                scales, sizes = self._sizes(signals), self._sizes(*gs)
                if scales is not None:  # S(x) = s^q S(x / s), so the gradient is s^(q-1) times that at x / s
                    gs = [g * self._factors(scales, g.ndim, lower=1) for g in gs]
                    sizes = self._sizes(*gs)
                gs = [np.asarray(self._divided(g, sizes), self.dtype) for g in gs]
                self._differentiate(code, self._divided(signals, scales), [*gs, *saved], gradient)
                if sizes is not None:
                    gradient *= _column(sizes, gradient.ndim)
        return gradient.reshape(x.shape)

    def _differentiate(self, code: Differentiable, signals: Array, given: Sequence[Array], gradient: Array) -> None:
        code(signals, given, gradient)

    def _sizes(self, *arrays: Array) -> Array | None:
        """By what each signal, or its cotangents, is divided on the way to its gradient."""
        return _scales(*arrays)

    def _signals(self, x: Array) -> Array:
        """One axis of batch."""
        return x.reshape(math.prod(x.shape[: x.ndim - len(self.spec.input_shape)]), *self.spec.input_shape)

    def _factors(self, scales: Array, ndim: int, lower: int = 0) -> Array:
        """What coefficients of signals divided by `scales` are multiplied by: S is homogeneous, integrals by powers.

        Slopes are homogeneous of one power less.
        """
        return np.asarray(_column(scales, ndim) ** (np.array(self.spec.integral_powers or (1.0,)) - lower))

    def _divided(self, arrays: Array, scales: Array | None) -> Array:
        return arrays if scales is None else (arrays / _column(scales, arrays.ndim)).astype(self.dtype)

    def _vjp_part(self) -> Differentiable:
        return self._saved_gradient

    def working_bytes(self, of: str = "forward") -> int:
        """The most bytes that a call allocates besides its output (and its input, if that must be converted).

        With `of` 'vjp', what `vjp` allocates.
        """
        return self._part(of).program.working_bytes


def _scales(*arrays: Array) -> Array | None:
    """Powers of two, one for each signal, by which it is divided to be of usual size (exactly); None: all are."""
    peaks = np.maximum.reduce([peaks_of(array) for array in arrays])
    usual = (peaks == 0) | ~np.isfinite(peaks) | ((peaks > 1 / LARGEST_PEAK) & (peaks < LARGEST_PEAK))
    return None if usual.all() else np.where(usual, 1.0, powers_of_two(np.where(usual, 1.0, peaks)))


def peaks_of(array: Array) -> Array:
    """The largest magnitude in each signal, in double precision; NaN where there is one."""
    axes = tuple(range(1, array.ndim))
    extremes = [np.asarray(f(array, axis=axes, initial=0), np.float64) for f in (np.max, np.min)]
    return np.maximum(extremes[0], -extremes[1])


def powers_of_two(peaks: Array) -> Array:
    """The next lower ones."""
    return np.asarray(np.ldexp(1.0, np.frexp(peaks)[1] - 1))  # by logarithms the largest number's would be infinity


def _column(scales: Array, ndim: int) -> Array:
    """One number a signal, for arrays of so many axes."""
    return scales.reshape(-1, *(1,) * (ndim - 1))


PLAN = NumpyPlan
