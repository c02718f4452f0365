"""Scattering1D without its framework."""

from __future__ import annotations

import operator
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any, Literal

import numpy as np

from scatc.dropin.base import ScatteringBase, filter_attribute, one_of, read_only, stack_level
from scatc.ir.filters import Bank, banks
from scatc.ir.filters.morlet1d import frequencies
from scatc.ir.paths import all_paths, path_table
from scatc.ir.spec import ALPHA, R_PSI, SIGMA0, Spec

Averaging = Literal["local", "global", False]

_OVERSAMPLING = "oversampling is deprecated: pass stride=2**(log2(T) - oversampling) instead"


class ScatteringBase1D(ScatteringBase):
    """See `scatc.numpy.Scattering1D`."""

    sigma0 = SIGMA0
    r_psi = R_PSI
    alpha = ALPHA

    out_type: str

    def __init__(
        self,
        J: Any,
        shape: Any,
        Q: Any,
        T: Any,
        stride: Any,
        max_order: Any,
        oversampling: Any,
        out_type: str,
        backend: object,
        average: Any = None,
    ) -> None:
        self.out_type = out_type
        shape = _signal_length(shape)
        T = _with_average(T, average)
        check_support("T", T, shape[0], "the whole signal")
        self._Q = _quality_factors(Q)
        _check_depth(self._Q, max_order)
        self._build(backend, dim=1, J=J, shape=shape, Q=self._Q, T=T, order=max_order)
        self._T = T
        self._oversampling = oversampling
        self._stride = self._with_oversampling(stride)

    def _with_oversampling(self, stride: Any) -> Any:
        """The stride, after the deprecated argument that once stood for it."""
        given = self._oversampling
        if given is None:
            return stride
        if isinstance(given, float | Integral) and float(given) < 0:
            raise ValueError(f"oversampling must be nonnegative. Got: {given}")
        if isinstance(given, bool) or not isinstance(given, Integral):
            raise ValueError(f"oversampling must be integer. Got: {given}")
        k = int(given)
        if k == 0:
            return stride
        warnings.warn(_OVERSAMPLING, DeprecationWarning, stacklevel=stack_level())
        if k > self.log2_T:
            raise ValueError(f"oversampling must be at most log2(T)={self.log2_T}. Got: {k}")
        implied: int = 2 ** (self.log2_T - k)
        if stride is not None and stride != implied:
            raise ValueError(f"oversampling={k} and stride={stride} are incompatible")
        return implied

    def _change(self, **fields: Any) -> None:
        if "order" in fields:
            _check_depth(self._Q, fields["order"])
        super()._change(**fields)
        self._strided: Spec | None = None

    @property
    def spec(self) -> Spec:
        """What is computed, in the compiler's terms; ValueError if the stride is not possible."""
        # The stride is looked at only here, so that a wrong one is an error of the call, as in Kymatio.
        if self._strided is None:
            self._strided = self._completed(self._valid)
        return self._strided

    def _completed(self, spec: Spec) -> Spec:
        """A spec with what is looked at only by calls."""
        if self._stride is None:
            return spec
        check_stride("stride", self._stride, f"T={self._T}", self.average)
        return replace(spec, stride=self._stride)

    @property
    def Q(self) -> tuple[int, ...]:
        """Wavelets per octave, one number per order."""
        return self._Q

    @property
    def T(self) -> int | float:
        """Support of the low-pass filter in samples; ``2**J`` for None, 0 and 'global'."""
        return self._valid.T_support

    @property
    def average(self) -> Averaging:
        """How coefficients are averaged over time."""
        return local_or_global(self._valid.average)

    @property
    def stride(self) -> int:
        """Distance of the outputs, in samples; ValueError if it is not possible."""
        return 1 << self.log2_stride

    @property
    def log2_stride(self) -> int:
        """Log2 of `stride`."""
        log2 = self.spec.log2_stride
        return self.log2_T if log2 is None else log2

    @property
    def log2_T(self) -> int:
        """Largest integer whose power of two is at most `T`."""
        return self._valid.log2_T

    @property
    def oversampling(self) -> int:
        """The deprecated constructor argument."""
        warnings.warn(_OVERSAMPLING, DeprecationWarning, stacklevel=2)
        number: int = self._oversampling
        return number

    @property
    def pad_left(self) -> int:
        """Samples added before the signal."""
        return self._valid.padding_widths[0][0]

    @property
    def pad_right(self) -> int:
        """Samples added after the signal."""
        return self._valid.padding_widths[0][1]

    @property
    def _N_padded(self) -> int:
        return self._valid.padded_shape[0]

    @property
    def ind_start(self) -> dict[int, int]:
        """First sample of the padded signal that is kept, by log2 of the subsampling."""
        return self._borders(0)

    @property
    def ind_end(self) -> dict[int, int]:
        """End (excluded) of the samples of the padded signal that are kept, by log2 of the subsampling."""
        return self._borders(1)

    def _borders(self, which: int) -> dict[int, int]:
        return {level: self._valid.kept(level)[0][which] for level in range(max(self.log2_T, self.J) + 1)}

    @property
    def filterbank(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """A function of J and Q that gives pairs of centre frequency and width, and its further arguments."""
        return frequencies, {}

    @property
    def _banks(self) -> Mapping[str, Bank]:
        # both orders, whatever `max_order` is at the moment
        return banks(Spec(**self._fields | {"order": max(2, self.max_order)}))

    def _levels(self) -> dict[str, list[int]]:
        first, second = ([info.j for info in self._banks[name].info] for name in ("psi1", "psi2"))
        coarsest = 1 + self.log2_T
        return {
            "phi": [max(*first, *second, coarsest)],
            "psi1": [1] * len(first),
            "psi2": [max(1, min(max(first), j, coarsest)) for j in second],
        }

    def _filters(self, name: str) -> list[dict[str, Any]]:
        """The filters of a bank as dictionaries, with their responses at every level."""
        bank = self._banks[name]
        return [
            {
                "levels": [read_only(bank.response(index, level)[0]) for level in range(count)],
                "xi": info.xi,
                "sigma": info.sigma,
                "j": info.j,
            }
            for index, (info, count) in enumerate(zip(bank.info, self._levels()[name], strict=True))
        ]

    @filter_attribute
    def phi_f(self) -> dict[str, Any]:
        """The low-pass filter: 'j', 'xi', 'sigma', 'N' and 'levels' (its response at each subsampling)."""
        return self._filters("phi")[0] | {"N": self._N_padded}

    @filter_attribute
    def psi1_f(self) -> list[dict[str, Any]]:
        """The first-order wavelets, each with 'j', 'xi', 'sigma' and 'levels' (its response)."""
        return self._filters("psi1")

    @filter_attribute
    def psi2_f(self) -> list[dict[str, Any]]:
        """The second-order wavelets, each with 'j', 'xi', 'sigma' and 'levels' (its response at each subsampling)."""
        return self._filters("psi2")

    def meta(self) -> dict[str, Any]:
        """What each row of the output is.

        Returns
        -------
        dict
            'order', an array of shape (paths,); 'key', a list of tuples of filter indices; 'n' (these indices),
            'xi' and 'sigma' (centre frequency and bandwidth, in cycles per sample) and 'j' (log2 of the scale):
            float arrays of shape (paths, max_order), NaN beyond a path's order.
        """
        rows = path_table(self._valid)

        def table(entries: list[tuple[float, ...]]) -> Any:
            out = np.full((len(rows), self.max_order), np.nan)
            for i, entry in enumerate(entries):
                out[i, : len(entry)] = entry
            return out

        return {
            "order": np.array([row.order for row in rows]),
            "key": [row.path for row in rows],
            "n": table([row.path for row in rows]),
            "xi": table([row.xi for row in rows]),
            "sigma": table([row.sigma for row in rows]),
            "j": table([row.j for row in rows]),
        }

    def output_size(self, detail: bool = False) -> int | tuple[int, ...]:
        """Number of paths.

        Parameters
        ----------
        detail : bool, optional
            Whether to give one number per order, from 0 to `max_order`.
        """
        orders = [len(path) for path in all_paths(self._valid)]
        if not detail:
            return len(orders)
        counts = Counter(orders)
        return tuple(counts[order] for order in range(self.max_order + 1))

    def _check_call(self) -> None:
        if not one_of(self.out_type, "array", "dict", "list"):
            raise ValueError(f"out_type must be one of 'array', 'dict', or 'list'. Got: {self.out_type}")
        if self.average is False and self.out_type == "array":
            raise ValueError("Cannot convert to out_type='array' with T=0. Please set out_type to 'dict' or 'list'.")

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if not shape:
            raise ValueError("Input tensor x should have at least one axis, got 0")
        if shape[-1:] != self.shape:
            raise RuntimeError(
                f"The last axis of the input has length {shape[-1]} and the filters are made for {self.shape[0]}: "
                "these are not compatible for multiplication."
            )

    def _layout(self, result: Any) -> Any:
        if self.out_type == "array":
            return result
        if self.out_type == "dict":
            return {row.path: coef for row, coef in self._by_path(result)}
        return [{"coef": coef, "j": row.j, "n": row.path, "order": row.order} for row, coef in self._by_path(result)]


def _signal_length(shape: Any) -> tuple[int]:
    if isinstance(shape, tuple):
        if len(shape) != 1:
            raise ValueError(f"If shape is specified as a tuple, it must have exactly one element. Got: {shape}")
        (shape,) = shape
    try:
        return (operator.index(shape),)
    except TypeError:
        raise ValueError(f"shape must be an integer or a 1-tuple. Got: {shape}") from None


def _with_average(T: Any, average: Any) -> Any:
    """T, after the deprecated argument that once said whether to average at all."""
    if average is None:
        return T
    warnings.warn(
        "average is deprecated: pass T=0 instead of average=False, and nothing instead of average=True",
        DeprecationWarning,
        stacklevel=stack_level(),
    )
    zero = isinstance(T, int | float | np.number) and T == 0
    if zero if average else not (zero or T is None):
        raise ValueError(f"average={average} and T={T} are incompatible")
    return T if average else 0


def check_support(name: str, support: Any, longest: int, whole: str) -> None:
    """Raise if the support of a low-pass filter (T, F) is a number that is not possible, in Kymatio's words."""
    if support is None or isinstance(support, str | complex | np.complexfloating):
        return
    try:
        number = float(support)
    except (TypeError, ValueError, OverflowError):
        return  # for `Spec` to refuse
    if number > longest:
        raise ValueError(
            f"The support {name} of the low-pass filter cannot exceed input length (got {support} > {longest}). "
            f"To average over {whole}, pass {name}='global'."
        )
    if number != 0 and not number >= 1:
        raise ValueError(f"{name} must be ==0 or >=1 (got {support})")


def _quality_factors(Q: Any) -> tuple[int, ...]:
    """Q with one entry per order, and two at least."""
    try:
        too_small = bool(np.any(np.asarray(Q) < 1))
    except (TypeError, ValueError):
        too_small = False
    if too_small:
        raise ValueError(f"Q must always be >= 1, got {Q}")
    if isinstance(Q, int):
        Q = (Q,)
    if not isinstance(Q, tuple) or not Q:
        raise ValueError(f"Q must be an integer or a tuple of one integer per order. Got: {Q}")
    return Q + (1,) * (2 - len(Q))


def _check_depth(Q: tuple[int, ...], max_order: Any) -> None:
    if len(Q) > 2 and isinstance(max_order, Integral) and int(max_order) < len(Q):
        raise NotImplementedError(
            "Scattering transforms beyond order 2 are not implemented unless max_order asks for them: "
            f"Q={Q} needs max_order={len(Q)}, and it is {max_order}."
        )


def check_stride(name: str, stride: Any, support: str, average: Averaging) -> None:
    """Raise if a stride is none, or does not go with the support of the low-pass filter (which is a text: "T=0")."""
    if isinstance(stride, bool) or not isinstance(stride, Integral):
        raise ValueError(f"{name} must be integer. Got: {stride}")
    if int(stride) < 1 or int(stride).bit_count() > 1:
        raise ValueError(f"{name} must be a power of two. Got: {stride}")
    if average != "local":
        raise ValueError(f"{name}={stride} is incompatible with {support}.")


def local_or_global(average: str) -> Averaging:
    """How a `Spec` averages, in Kymatio's terms."""
    return "local" if average == "local" else "global" if average == "global" else False
