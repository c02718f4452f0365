"""TimeFrequencyScattering without its framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from math import nan
from typing import Any, NamedTuple

import numpy as np

from scatc.dropin.base import filter_attribute, one_of
from scatc.dropin.scattering1d import Averaging, ScatteringBase1D, check_stride, check_support, local_or_global
from scatc.ir.filters import Bank, banks
from scatc.ir.frequency import inputs
from scatc.ir.joint import Family, families
from scatc.ir.paths import Path, all_paths
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan


@dataclass(frozen=True, slots=True)
class Entry:
    """What a dict has one key for, and a list one item: with format 'time' a row, with 'joint' all rows of a family.

    Attributes
    ----------
    key : tuple of int
        Indices of filters: n1 with format 'time', n2 at order 2, n_fr.
    paths : tuple of paths
        Its rows in the result of a plan, of which `first` is the place of the first one.
    family : Family or None
        None at order 0, as are the numbers below.
    n1 : int, range or None
        The first-order wavelet in the middle of what is described: of each row with format 'joint'.
    """

    key: Path
    first: int
    paths: tuple[Path, ...]
    family: Family | None = None
    n1: int | range | None = None

    @property
    def order(self) -> int:
        """Number of wavelets along time."""
        return 0 if self.family is None else 1 if self.family.n2 is None else 2

    @property
    def n(self) -> tuple[int | range | float, int | float]:
        """n1 and n2, NaN where there is none."""
        n2 = None if self.family is None else self.family.n2
        return nan if self.n1 is None else self.n1, nan if n2 is None else n2


@lru_cache(maxsize=64)
def entries(spec: Spec) -> tuple[Entry, ...]:
    """All that a joint transform puts out, order 0 first, in the format of its spec and the order of arrays."""
    paths, found = all_paths(spec), [Entry((), 0, ((),))]
    rows = [family.rows for family in families(spec)]
    for family, first in zip(families(spec), accumulate(rows, initial=1), strict=False):
        tail = (family.n_fr,) if family.n2 is None else (family.n2, family.n_fr)
        if spec.format == "joint":
            kept = min(family.rows, 1 + family.n1_max // family.n1_stride)  # further rows are of padding
            n1 = range(0, family.n1_max, family.n1_stride)
            found.append(Entry(tail, first, paths[first : first + kept], family, n1))
        else:
            found += [
                Entry(paths[row], row, (paths[row],), family, paths[row][0])
                for row in range(first, first + family.rows)
            ]
    return tuple(found)


class Groups(NamedTuple):
    """What a plan wrote where paths differ in their number of samples: arrays, and in which of them, where, paths lie.

    The rows of a family lie next to each other.
    """

    arrays: Sequence[Any]
    places: Mapping[Path, tuple[int, int]]


@lru_cache(maxsize=64)
def places(groups: tuple[tuple[Path, ...], ...]) -> Mapping[Path, tuple[int, int]]:
    """For each path of some arrays, in which of them and which row it is."""
    return {path: (group, row) for group, paths in enumerate(groups) for row, path in enumerate(paths)}


class TimeFrequencyScatteringBase(ScatteringBase1D):
    """See `scatc.numpy.TimeFrequencyScattering`."""

    def __init__(
        self,
        J: Any,
        J_fr: Any,
        Q: Any,
        shape: Any,
        T: Any,
        stride: Any,
        Q_fr: Any,
        F: Any,
        stride_fr: Any,
        out_type: str,
        format: str,
        backend: object,
    ) -> None:
        self._F, self._stride_fr, self._format = F, None, "time"
        if isinstance(Q, tuple) and len(Q) > 2:
            raise NotImplementedError(
                "Scattering transforms beyond order 2 are not implemented jointly in time and frequency: "
                f"Q must have one or two entries. Got: {Q}"
            )
        super().__init__(J, shape, Q, T, stride, 2, 0, out_type, backend)
        Q_fr = _quality_factor(Q_fr)
        check_support("F", F, inputs(self._valid), "all frequencies")
        self._change(J_fr=_given(J_fr), Q_fr=Q_fr, F=F)
        self._stride_fr, self.format = stride_fr, format

    def _completed(self, spec: Spec) -> Spec:
        _check_format(self._format)
        spec = super()._completed(spec)
        if self._stride_fr is None:
            return spec
        check_stride("stride_fr", self._stride_fr, f"F={self._F}", self.average_fr)
        return replace(spec, stride_fr=self._stride_fr)

    @property
    def format(self) -> str:
        """'time' (each frequency row is a path of its own) or 'joint'. It can be set, and the next call obeys."""
        return self._format

    @format.setter
    def format(self, value: str) -> None:
        self._format = value
        self._change(format=value if one_of(value, "time", "joint") else None)

    @property
    def J_fr(self) -> int:
        """Log2 of the largest scale along log-frequency, in first-order wavelets."""
        assert self._valid.J_fr is not None
        return self._valid.J_fr

    @property
    def Q_fr(self) -> tuple[int, ...]:
        """Wavelets per octave along log-frequency."""
        assert self._valid.Q_fr is not None
        return self._valid.Q_fr

    @property
    def F(self) -> int | float:
        """Support of the low-pass filter along log-frequency; ``2**J_fr`` for None, 0 and 'global'."""
        return self._valid.F_support

    @property
    def log2_F(self) -> int:
        """Largest integer whose power of two is at most `F`."""
        return self._valid.log2_F

    @property
    def average_fr(self) -> Averaging:
        """How coefficients are averaged over log-frequency."""
        return local_or_global(self._valid.average_fr)

    @property
    def stride_fr(self) -> int:
        """Distance of the frequency rows, in first-order wavelets; ValueError if it is not possible."""
        return 1 << self.log2_stride_fr

    @property
    def log2_stride_fr(self) -> int:
        """Log2 of `stride_fr`."""
        log2 = self.spec.log2_stride_fr
        return self.log2_F if log2 is None else log2

    @property
    def _N_padded_fr(self) -> int:
        return self.spec.padded_fr

    @property
    def _banks(self) -> Mapping[str, Bank]:
        return banks(self.spec)

    def _levels(self) -> dict[str, list[int]]:
        scales = [info.j for info in self._banks["psi_fr"].info[1:]]
        padded = self._N_padded_fr
        deepest = (padded & -padded).bit_length()  # a level halves the axis
        low, lowest = 1 + self.log2_F, max(*scales, 1 + self.J_fr)
        along = {"phi_fr": [min(low, deepest)], "psi_fr": [min(lowest, deepest), *(1 for _ in scales)]}
        return super()._levels() | along

    @filter_attribute
    def filters_fr(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The low-pass filter of support F along log-frequency, and a list: that of support ``2**J_fr``, then wavelets.

        Each is a dictionary of 'j', 'xi', 'sigma' and 'levels' (its response at each subsampling), low-pass filters
        with 'N' in addition. The sign of xi is the spin.
        """
        length = {"N": self._N_padded_fr}
        lowest, *wavelets = self._filters("psi_fr")
        return self._filters("phi_fr")[0] | length, [lowest | length, *wavelets]

    def _run(self, plan: Plan, x: Any) -> Any:
        if self.format == "joint" and self.average is False:
            return Groups(plan.grouped(x), places(tuple(paths for _, paths in plan.groups)))
        return super()._run(plan, x)

    def _entries(self) -> Sequence[Entry]:
        """What is put out, but for what an array may leave out."""
        return entries(self.spec)

    def _described(self) -> Sequence[Entry]:
        """What is put out: an array of format 'joint' has no order 0."""
        return self._entries()[int(self.format == "joint" and one_of(self.out_type, "array")) :]

    def meta(self) -> dict[str, Any]:
        """What each row of the output is; with format 'joint', each array of ``(frequency, time)``.

        Returns
        -------
        dict
            'key', a list of tuples of filter indices: with format 'time' ``()``, ``(n1, n_fr)``, ``(n1, n2, n_fr)``,
            with 'joint' the same without n1; 'order'; 'n', an array of shape (rows, 2) of n1 (with format 'joint' the
            range of all n1) and n2; 'xi', 'sigma' and 'j', of shape (rows, 2), of these two wavelets; 'n_fr', 'xi_fr',
            'sigma_fr', 'j_fr' and 'spin', of the wavelet along log-frequency. NaN where there is no such wavelet.
        """
        found = self._described()
        n = np.empty((len(found), 2), object)
        for row, entry in enumerate(found):
            n[row] = entry.n
        n_fr = [nan if entry.family is None else entry.family.n_fr for entry in found]
        meta: dict[str, Any] = {
            "key": [entry.key for entry in found],
            "n": n,
            "n_fr": np.array(n_fr),
            "order": np.array([entry.order for entry in found]),
        }
        for name in ("xi", "sigma", "j"):
            meta[name] = np.stack(
                [self._of_wavelets(name, n[:, 0], "psi1"), self._of_wavelets(name, n[:, 1], "psi2")], 1
            )
        for name in ("xi", "sigma", "j"):
            meta[f"{name}_fr"] = self._of_wavelets(name, n_fr, "psi_fr")
        return meta | {"spin": np.sign(meta["xi_fr"])}

    def _of_wavelets(self, name: str, indices: Iterable[Any], bank: str) -> Any:
        """An attribute of the filters of a bank; NaN for what is no index."""
        info = self._banks[bank].info
        return np.array([getattr(info[n], name) if isinstance(n, int) else nan for n in indices], float)

    def output_size(self, detail: bool = False) -> int | tuple[int, ...]:
        """Number of rows of the output; with format 'joint', of arrays of ``(frequency, time)``.

        Parameters
        ----------
        detail : bool, optional
            Whether to give one number per order, from 0 to 2.
        """
        counts = Counter(entry.order for entry in self._described())
        return tuple(counts[order] for order in range(3)) if detail else counts.total()

    def array_shape(self) -> tuple[int, ...]:
        """Shape of the output for one signal: rows, then samples; with format 'joint' keys, frequencies, samples.

        Raises
        ------
        ValueError
            If rows differ in their number of samples (T=0), or with format 'joint' keys in theirs of frequencies (F=0).
        """
        shape = super().array_shape()
        if self.format == "time":
            return shape
        if self.average_fr is False:
            raise ValueError("with F=0 and format='joint' the wavelets differ in their number of frequencies")
        found = families(self.spec)
        return len(found), found[0].rows, *shape[1:]

    def _check_call(self) -> None:
        super()._check_call()
        if one_of(self.format, "joint") and one_of(self.out_type, "array") and self.average_fr is False:
            raise ValueError(
                "Cannot convert to out_type='array' with format='joint' and F=0. Please set out_type to 'dict' or "
                "'list', or format to 'time'."
            )
        _check_format(self.format)

    def _layout(self, result: Any) -> Any:
        if self.out_type == "array":
            return result if self.format == "time" else self._with_frequencies(result[..., 1:, :])
        found = [(entry, self._coefficients(entry, result)) for entry in self._entries()]
        if self.out_type == "dict":
            return {entry.key: coef for entry, coef in found}
        return [{"coef": coef, "order": entry.order, **self._item(entry)} for entry, coef in found]

    def _with_frequencies(self, result: Any) -> Any:
        """An array whose axis of rows is split into keys and frequencies."""
        return result.reshape((*result.shape[:-2], *self.array_shape()))

    def _coefficients(self, entry: Entry, result: Any) -> Any:
        """Those of one entry, out of what a plan returned."""
        if isinstance(result, dict):  # in format 'time': joint ones come in groups
            return result[entry.paths[0]]
        row = entry.first
        if isinstance(result, Groups):
            group, row = result.places[entry.paths[0]]
            result = result.arrays[group]
        one = self.format == "time" or entry.family is None
        return result[..., row if one else slice(row, row + len(entry.paths)), :]

    def _item(self, entry: Entry) -> dict[str, Any]:
        """What a list tells of an entry, in Kymatio's words; with format 'joint' -1 stands for the j of all rows."""
        family = entry.family
        if family is None:
            return {"j": (), "n": ()}
        j1 = self._banks["psi1"].info[entry.n1].j if isinstance(entry.n1, int) else -1
        item = {
            "j": (j1,) if family.n2 is None else (j1, self._banks["psi2"].info[family.n2].j),
            "n": entry.key,
            "j_fr": (family.j_fr,),
            "n_fr": (family.n_fr,),
            "spin": family.spin,
        }
        return item if self.format == "time" else item | {"n1_max": family.n1_max, "n1_stride": family.n1_stride}


def _given(J_fr: Any) -> Any:
    """J_fr, of which None would mean to `Spec` that there is none."""
    if J_fr is None:
        raise ValueError("J_fr must be an integer. Got: None")
    return J_fr


def _quality_factor(Q_fr: Any) -> tuple[int]:
    """Q along log-frequency, of which there is one."""
    try:
        too_small = bool(np.any(np.asarray(Q_fr) < 1))
    except (TypeError, ValueError):
        too_small = False
    if too_small:
        raise ValueError(f"Q_fr must be >= 1, got {Q_fr}")
    if isinstance(Q_fr, int):
        return (Q_fr,)
    if not isinstance(Q_fr, tuple):
        raise ValueError(f"Q_fr must be an integer or 1-tuple. Got: {Q_fr}")
    if len(Q_fr) != 1:
        raise NotImplementedError(
            f"Q_fr must be an integer or 1-tuple: there is one order along frequency. Got: {Q_fr}"
        )
    return (Q_fr[0],)


def _check_format(format: Any) -> None:
    if not one_of(format, "time", "joint"):
        raise ValueError(f"format must be 'time' or 'joint'. Got: {format}")
