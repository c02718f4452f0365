"""Scattering transforms of torch tensors: Kymatio's classes as modules, computed by plans."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from scatc.dropin.needs import needs

with needs("torch"):
    import torch
    from torch import Tensor, nn

from scatc.dropin import (
    ScatteringBase,
    ScatteringBase1D,
    ScatteringBase2D,
    ScatteringBase3D,
    TimeFrequencyScatteringBase,
)
from scatc.dropin.timefrequency import Entry, Groups, entries, places
from scatc.ir.paths import Path, PathRow, path_table
from scatc.runtime import torch as plans
from scatc.runtime import torch_ops
from scatc.runtime.plan import Plan

__all__ = ["HarmonicScattering3D", "Scattering1D", "Scattering2D", "TimeFrequencyScattering"]


# What Kymatio's modules call the filters that they store.
_STORED = re.compile(r"tensor(\d+|_gaussian_filter)")


class _TorchFrontend(nn.Module, ScatteringBase):
    """How a tensor reaches the operators, and what `nn.Module` asks of its subclasses.

    Two buffers say where the module is and how precise: `tables` and `indices`. They hold the filters on devices that
    read them there; plans for arrays and kernels have their own, and then they hold one zero each. All that a traced
    call reads are plain attributes, brought up to date by `_prepare` whenever something is set.
    """

    frontend_name = "torch"
    backends = ("torch",)
    target = "torch"

    tables: Tensor
    indices: Tensor

    def _finish(self) -> None:
        """The end of every constructor."""
        self.register_buffer("tables", torch.zeros(1), persistent=False)
        self.register_buffer("indices", torch.zeros(1, dtype=torch.int32), persistent=False)
        self._prepare()

    def _prepare(self) -> None:
        """Bring to date what calls read."""
        self._dtype = "float64" if self.tables.dtype == torch.float64 else "float32"
        device = self.tables.device
        numbers, indices = np.zeros(1, self._dtype), np.zeros(1, np.int32)
        self._held = False
        try:
            spec = self.spec
        except ValueError:  # of the stride: an error of the call
            self._key = ""
        else:
            self._key = torch_ops.key(spec, self._dtype)
            self._rows: tuple[PathRow, ...] = path_table(spec)
            self._groups: list[tuple[Path, ...]] = []
            if spec.average == "none":
                self._groups = torch_ops.find(self._key).paths
            self._array_shape = self._shape_of_arrays()
            if device.type != "meta" and torch_ops.find(self._key).reads_tables(device):
                self._held = True
                plan = self.plan()
                assert isinstance(plan, plans.TorchPlan)
                numbers, indices = plan.flat_tables()
        self.tables = torch.from_numpy(numbers).to(device)
        self.indices = torch.from_numpy(indices).to(device)

    def _change(self, **fields: Any) -> None:
        super()._change(**fields)
        if "tables" in self._buffers:
            self._prepare()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _TorchFrontend:
        before = self.tables
        nn.Module._apply(self, fn, recurse)
        if self.tables is not before:  # what was moved may be left out, and what was converted is made anew, exactly
            self._prepare()
        return self

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Pass over what Kymatio's module stored, if it is the filters that this one has, too."""
        more: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, more, error_msgs)
        names = [key for key in more if _STORED.fullmatch(key.removeprefix(prefix))]
        names.sort(key=lambda key: (len(key), key))
        known = set(names) if names and self._has([state_dict[name] for name in names]) else set()
        unexpected_keys.extend(key for key in more if key not in known)

    def _has(self, stored: list[Any]) -> bool:
        """Whether tensors are the filters of this transform, all of them and in their order."""
        if not all(
            isinstance(tensor, Tensor) and tensor.is_floating_point() and not tensor.is_meta for tensor in stored
        ):
            return False
        rest = iter(stored)
        for response in self._responses():
            found, wanted = next(rest, None), response.view(response.real.dtype).ravel()
            if found is None or found.numel() != wanted.size:
                return False
            error = np.max(np.abs(found.detach().double().cpu().numpy().ravel() - wanted))
            if not error <= max(1e-5, 4 * torch.finfo(found.dtype).eps) * np.max(np.abs(wanted)):
                return False
        return next(rest, None) is None

    def __setstate__(self, state: dict[str, Any]) -> None:
        nn.Module.__setstate__(self, state)
        self._prepare()

    def array_shape(self) -> tuple[int, ...]:
        """Shape of the output for one signal; see `scatc.numpy.Scattering1D.array_shape`."""
        return self._array_shape or super().array_shape()

    def _shape_of_arrays(self) -> tuple[int, ...]:
        """`array_shape`, or nothing if there is no array."""
        try:
            return super().array_shape()
        except ValueError:
            return ()

    def extra_repr(self) -> str:
        """What is printed between the parentheses."""
        return repr(self._valid)

    def plan(self, dtype: Any = None) -> Plan:
        """The compiled transform, with its source, schedule and report; by default in the module's precision."""
        return super().plan(self._dtype if dtype is None else dtype)

    def forward(self, x: Tensor) -> Any:
        """The same as `scattering`; what a call of the module runs."""
        return self.scattering(x)

    def scattering(self, x: Tensor) -> Any:
        """Apply the transform, differentiably.

        Parameters
        ----------
        x : Tensor, shape ``batch + shape``
            Real, float32 (float64 after ``double()``), on any device; any number of leading axes, also none. Half
            precision is converted, under autocast too: the transform computes in the module's precision.

        Returns
        -------
        Tensor, list or dict
            On the device of `x`. A tensor of shape ``batch + array_shape()`` unless `out_type` asks for another layout.

        Raises
        ------
        TypeError
            If `x` is not a tensor, not of floating point, or not of the module's precision.
        RuntimeError
            If `x` has too few axes (in 1D a ValueError), or signals of another shape; in 2D if it is not contiguous.
        ValueError
            If `stride`, `out_type`, `method` and `T` do not go together.
        """
        self._check_call()
        x = self._converted(x)
        if not self._key:
            _ = self.spec  # raises what is wrong with it
        self._check_strides(x)
        self._check_shape(x.shape)
        return self._layout(self._by_group(torch_ops.OPS.forward(x, self._held_tables(x), self._key, False)))

    def _held_tables(self, x: Tensor) -> list[Tensor]:
        """The buffers, if they serve an input."""
        return [self.tables, self.indices] if self._held and self.tables.device == x.device else []

    def _converted(self, x: Any) -> Tensor:
        """The input in the module's precision."""
        if not isinstance(x, Tensor):
            found = "None" if x is None else type(x).__name__
            hint = ": pass torch.from_numpy(x)" if isinstance(x, np.ndarray) else ""
            raise TypeError(f"The input should be a PyTorch tensor, got {found}{hint}.")
        if not x.dtype.is_floating_point:
            raise TypeError(f"The input should be real, of floating point. Got a tensor of {x.dtype}.")
        wanted = plans.DTYPES[self._dtype]
        if x.dtype in plans.DTYPES.values() and x.dtype != wanted:
            raise TypeError(
                f"Input and filter must be of the same dtype. Got {x.dtype} and {wanted}: "
                f"convert the input, or the module by {'float' if wanted == torch.float64 else 'double'}()."
            )
        return x.to(wanted)

    def _check_strides(self, x: Tensor) -> None:
        """Raise if the layout of a tensor is not one that the transform takes."""

    def _by_group(self, outs: list[Tensor]) -> Any:
        """One tensor; or a dict, where paths differ in their number of samples."""
        if not self._groups:
            return outs[0]
        found = {
            path: out.select(-1 - len(self.shape), row)
            for out, paths in zip(outs, self._groups, strict=True)
            for row, path in enumerate(paths)
        }
        return {row.path: found[row.path] for row in self._rows}

    def _by_path(self, result: Any) -> Iterator[tuple[PathRow, Any]]:
        for row in self._rows:
            yield row, result[row.path] if isinstance(result, dict) else result.select(-1 - len(self.shape), row.row)


class Scattering1D(_TorchFrontend, ScatteringBase1D):
    """The scattering transform of signals.

    Parameters
    ----------
    J, shape, Q, T, stride, max_order, oversampling, out_type, average
        As for `scatc.numpy.Scattering1D`.
    backend : str or object, optional
        'torch', or an object whose `name` begins so. It changes nothing.

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
        backend: object = "torch",
        *,
        average: bool | None = None,
    ) -> None:
        nn.Module.__init__(self)
        ScatteringBase1D.__init__(self, J, shape, Q, T, stride, max_order, oversampling, out_type, backend, average)
        self._finish()


class Scattering2D(_TorchFrontend, ScatteringBase2D):
    """The scattering transform of images.

    Parameters
    ----------
    J, shape, L, max_order, pre_pad, out_type
        As for `scatc.numpy.Scattering2D`.
    backend : str or object, optional
        'torch', or an object whose `name` begins so. It changes nothing.

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
        backend: object = "torch",
        out_type: str = "array",
    ) -> None:
        nn.Module.__init__(self)
        ScatteringBase2D.__init__(self, J, shape, L, max_order, pre_pad, backend, out_type)
        self._finish()

    def _check_strides(self, x: Tensor) -> None:
        if x.ndim >= 2 and not x.is_contiguous():
            raise RuntimeError("Tensor must be contiguous: pass x.contiguous().")


class HarmonicScattering3D(_TorchFrontend, ScatteringBase3D):
    """The solid harmonic scattering transform of volumes (Eickenberg et al. 2017).

    Parameters
    ----------
    J, shape, L, sigma_0, max_order, rotation_covariant, method, points, integral_powers
        As for `scatc.numpy.HarmonicScattering3D`.
    backend : str or object, optional
        'torch', or an object whose `name` begins so. It changes nothing.

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
        backend: object = "torch",
    ) -> None:
        nn.Module.__init__(self)
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
        self._finish()


class TimeFrequencyScattering(_TorchFrontend, TimeFrequencyScatteringBase):
    """The joint time-frequency scattering transform of signals (Andén, Lostanlen and Mallat 2019).

    Parameters
    ----------
    J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, out_type, format
        As for `scatc.numpy.TimeFrequencyScattering`.
    backend : str or object, optional
        'torch', or an object whose `name` begins so. It changes nothing.

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
        backend: object = "torch",
    ) -> None:
        nn.Module.__init__(self)
        TimeFrequencyScatteringBase.__init__(
            self, J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, out_type, format, backend
        )
        self._finish()

    def _prepare(self) -> None:
        super()._prepare()
        self._all_entries = entries(self.spec) if self._key else ()
        self._places = places(tuple(self._groups)) if self._key else {}

    def _entries(self) -> Sequence[Entry]:
        return self._all_entries or super()._entries()

    def _by_group(self, outs: list[Tensor]) -> Any:
        if self._groups and self.format == "joint":
            return Groups(outs, self._places)
        return super()._by_group(outs)
