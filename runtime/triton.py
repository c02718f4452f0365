"""Plans for GPUs: Triton kernels on a device's tensors; without a device, all that can be read of them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scatc.codegen import Tables, find_target
from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.predict import Prediction, prediction
from scatc.codegen.triton.target import TritonTarget
from scatc.codegen.triton.tuned import Tunable, Tuned
from scatc.ir.errors import TargetError
from scatc.ir.paths import Path
from scatc.runtime import ahead, kernels, timing
from scatc.runtime.cache import DiskCache
from scatc.runtime.devices import placed
from scatc.runtime.load import load_source
from scatc.runtime.plan import Compiled, Plan
from scatc.runtime.store import to_entry, write_entry
from scatc.runtime.torch_ops import plainly
from scatc.runtime.tuning import texts, tune
from scatc.runtime.workers import default_workers


def interpreted() -> bool:
    """Whether Triton interprets kernels on the CPU: it looks at this when they are defined."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def architecture(device: torch.device) -> str:
    """What kernels are compiled for on a GPU, as `TritonPlan.asm` calls it."""
    if torch.version.hip:
        return str(torch.cuda.get_device_properties(device).gcnArchName).split(":", maxsplit=1)[0]
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _check_part(of: str) -> None:
    """Refuse what is neither the transform nor its gradient."""
    if of not in ("forward", "vjp"):
        raise ValueError(f"of={of!r} is not possible: of must be 'forward' or 'vjp'")


def _plain(x: Tensor) -> Tensor:
    """A tensor as kernels read it: float32, contiguous, nothing put off."""
    return x.to(torch.float32).resolve_neg().contiguous()


class _Differentiable(torch.autograd.Function):
    """A call whose derivative is `TritonPlan.vjp`; that has none of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: TritonPlan) -> tuple[Tensor, ...]:
        """The transform: one array for each shape of coefficients."""
        ctx.save_for_backward(x)
        ctx.plan = plan
        return tuple(plan.run_groups(x.detach()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor, None]:
        """The gradient."""
        (x,) = ctx.saved_tensors
        return ctx.plan.vjp_groups(x, gs).to(x.dtype), None


class TritonPlan(Plan):
    """A plan that is called on tensors of a GPU; it can be read and compiled to machine code without one."""

    def __init__(self, compiled: Compiled, tuned: Tuned | None = None, tuned_gradient: Tuned | None = None) -> None:
        target: object = find_target(compiled.target)
        assert isinstance(target, TritonTarget)
        self._as_chosen, self._tuned, self._tuned_gradient = compiled, tuned, tuned_gradient
        if tuned:
            emitted = target.emitted(compiled.program, compiled.options, compiled.version, tuned)
            compiled = replace(compiled, given_source=emitted.source, given_tables=emitted.tables)
        super().__init__(compiled)
        self._vendor = target
        self._on_device: dict[tuple[torch.device, str], dict[str, Tensor]] = {}
        self._placing = threading.Lock()
        self._measured: dict[int, tuple[str, float]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._as_chosen, self._tuned, self._tuned_gradient)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file, data only; `scatc.load` reads it back, not tuned: another device may load it."""
        write_entry(path, to_entry(self._as_chosen))

    def tune(self, batch: int = 64, of: str = "forward") -> TritonPlan:
        """A plan of the same transform, whose kernels are cut up as is quickest here: rows, tiles, warps.

        A few candidates of each kernel are compiled and timed on the current GPU (`scatc.runtime.tuning`). The first
        time that takes as long as to compile them, for long signals half a minute for some; what was found is kept in
        the cache folder for this device.

        Parameters
        ----------
        batch : int, optional
            Signals of the calls that it is for.
        of : {'forward', 'vjp'}, optional
            Whose kernels: those of the transform, or of its gradient. The others stay as they are, tuned or not.

        Raises
        ------
        ValueError
            If `of` is something else.
        TargetError
            If there is no GPU.
        """
        _check_part(of)
        if not torch.cuda.is_available():
            raise TargetError("kernels are tuned on a GPU, and torch finds none on this machine")
        return self._tuned_by(timing.seconds, batch, torch.device("cuda"), torch.cuda.get_device_name(), of)

    def _tuned_by(
        self, clock: timing.Clock, batch: int, device: torch.device, name: str, of: str = "forward"
    ) -> TritonPlan:
        """`tune` with a clock and a device of one's own."""
        import triton

        emitted = self._vendor.emitted_gradient if of == "vjp" else self._vendor.emitted
        usual = emitted(self._program, self._options)

        def timer(tuned: Tuned) -> dict[Tunable, float]:
            emitter = emitted(self._program, self._options, tuned=tuned)
            n = min(batch, emitter.chunk)  # all at once: each launch is run through once
            x = torch.randn(n, *self.spec.input_shape, device=device)
            tables = {key: torch.from_numpy(table.copy()).to(device) for key, table in emitter.tables.items()}
            numbers = [torch.randn((n, len(paths), *shape), device=device) for shape, paths in self.groups]

            def run(module: ModuleType) -> None:
                if of == "vjp":
                    module.run(x, numbers, tables, torch.empty_like(x))
                else:
                    module.run(x, tables, numbers)

            with torch.no_grad():
                return timing.time_launches(self._loaded(emitter.source), emitter, run, tuned, clock)

        found = tune(texts(usual), batch, name, triton.__version__, timer)
        tuned, tuned_gradient = (self._tuned, found) if of == "vjp" else (found, self._tuned_gradient)
        return TritonPlan(self._as_chosen, tuned, tuned_gradient)

    @cached_property
    def _module(self) -> ModuleType:
        """The kernels, loaded when they are first needed: what is only read needs no Triton."""
        return self._loaded(self._compiled.source)

    def _loaded(self, source: str) -> ModuleType:
        name = f"{self.target}-{_digest(source)}"
        try:
            return load_source(source, self.target, DiskCache().keep_source(name, source))
        except ModuleNotFoundError as error:
            raise TargetError(
                f"target={self.target!r} needs {error.name} to run, which is not installed: "
                f"pip install 'scatc[{self.target}]'"
            ) from error

    def __call__(self, x: Tensor) -> Any:
        """Transform signals.

        Parameters
        ----------
        x : Tensor, shape ``batch + spec.input_shape``
            On a GPU, strided in any way, of any real dtype (converted to float32); any number of leading batch axes.

        Returns
        -------
        Tensor, shape ``batch + (paths, *samples)``
            On the device of x, rows in the order of `meta()`. Where paths differ in their number of samples (no
            averaging): a dict of path to tensor, shape ``batch + samples``.

        Raises
        ------
        TypeError
            If x is not a tensor, or complex.
        ValueError
            If the last axes of x are not `spec.input_shape`.
        TargetError
            If x is not on a GPU, or on another vendor's.
        """
        batch = self._checked("x", x)
        if x.requires_grad and torch.is_grad_enabled():
            return self._from_groups(_Differentiable.apply(x, self), batch)  # type: ignore[no-untyped-call]
        return self._from_groups(self.run_groups(x), batch)

    def vjp(self, x: Tensor, g: Tensor | Mapping[Path, Tensor]) -> Tensor:
        """The vector-Jacobian product: the gradient of ``sum(g * plan(x))`` with respect to x.

        The derivative of a modulus, and of a power of one, counts as 0 where it is 0. Nothing of a forward call is
        needed.

        Parameters
        ----------
        x : Tensor, shape ``batch + spec.input_shape``
        g : Tensor, or dict of path to Tensor
            Shaped as what a call returns, on the same device.

        Returns
        -------
        Tensor, shape of x
            float32.

        Raises
        ------
        TypeError, ValueError
            As a call does, for x and for g.
        TargetError
            If x is not on a GPU.
        """
        batch = self._checked("x", x)
        return self.vjp_groups(x, self._grouped(g, batch))

    def _grouped(self, g: Tensor | Mapping[Path, Tensor], batch: tuple[int, ...]) -> list[Tensor]:
        """Cotangents as tensors, one for each shape of coefficients."""
        if self.spec.average != "none":
            (samples, paths) = self.groups[0]
            return [self._cotangent("g", g, (*batch, len(paths), *samples))]
        if not isinstance(g, Mapping) or set(g) != set(self.paths):
            raise ValueError("g must be a dict with the paths of the output, which plan.paths lists")
        return [
            torch.stack([self._cotangent(f"g[{path}]", g[path], (*batch, *samples)) for path in paths], len(batch))
            for samples, paths in self.groups
        ]

    def _cotangent(self, name: str, g: Any, expected: tuple[int, ...]) -> Tensor:
        self._checked(name, g)
        if tuple(g.shape) != expected:
            raise ValueError(f"{name} has shape {tuple(g.shape)}: it must be that of the output, {expected}")
        numbers: Tensor = g.to(torch.float32)
        return numbers

    def vjp_groups(self, x: Tensor, gs: Sequence[Tensor]) -> Tensor:
        """The gradient for cotangents of the arrays of `run_groups`; see `vjp`."""
        gradient = torch.zeros(x.shape, device=x.device)
        if x.numel() and any(g.numel() for g in gs):
            with plainly(), torch.no_grad(), torch.cuda.device_of(x):
                each = gradient.view(-1, *self.spec.input_shape)
                given = [
                    _plain(g.reshape(len(each), len(paths), *samples))
                    for g, (samples, paths) in zip(gs, self.groups, strict=True)
                ]
                tables = self._tables(x.device, self._gradient.tables)
                self._gradient_module.run(_plain(x.reshape(each.shape)), given, tables, each)
        return gradient

    @cached_property
    def _gradient(self) -> Emitter:
        version = self._compiled.version
        return self._vendor.emitted_gradient(self._program, self._options, version, self._tuned_gradient)

    @cached_property
    def _gradient_module(self) -> ModuleType:
        return self._loaded(self._gradient.source)

    def source(self, of: str = "forward") -> str:
        """The source text that runs, to the letter; `of` may be 'vjp', for that of the gradient."""
        return self._gradient.source if of == "vjp" else super().source(of)

    def run_groups(self, x: Tensor) -> list[Tensor]:
        """The output arrays for x, one for each shape of coefficients; all axes of batch are one of theirs."""
        x = x.reshape(-1, *self.spec.input_shape) if x.numel() else x.new_empty((0, 1))
        n = len(x)
        outs = [torch.empty((n, len(paths), *shape), device=x.device) for shape, paths in self.groups]
        if n and any(out.numel() for out in outs):
            with plainly(), torch.no_grad(), torch.cuda.device_of(x):
                self._module.run(_plain(x), self._tables(x.device), outs)
        return outs

    def _from_groups(self, outs: Sequence[Tensor], batch: tuple[int, ...]) -> Any:
        if self.spec.average != "none":
            return outs[0].reshape(batch + outs[0].shape[1:])
        found = {
            path: out[:, row].reshape(batch + samples)
            for out, (samples, paths) in zip(outs, self.groups, strict=True)
            for row, path in enumerate(paths)
        }
        return {path: found[path] for path in self.paths}

    def _checked(self, name: str, x: Tensor) -> tuple[int, ...]:
        """Check that an argument is a real tensor on the device; the batch, if it is x."""
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name} is {type(x).__name__}, not a torch tensor: pass torch.as_tensor({name}, device='cuda'), or "
                "compile with target='numpy'"
            )
        if x.is_complex():
            raise TypeError(
                f"{name} is complex ({x.dtype}): scattering of complex signals is not supported, pass {name}.real"
            )
        batch = self.check_shape(tuple(x.shape)) if name == "x" else ()
        self._check_device(x, name)
        return batch

    def _check_device(self, x: Tensor, name: str = "x") -> None:
        if x.is_cuda:
            vendor = "hip" if torch.version.hip else "cuda"
            if vendor != self.target:
                raise TargetError(f"target={self.target!r} is not for the GPU here: compile with target={vendor!r}")
            return
        if interpreted() and x.device.type == "cpu":
            return
        there = f"pass {name}.cuda()" if torch.cuda.is_available() else "torch finds no GPU on this machine"
        raise TargetError(
            f"{name} is on {x.device}, and a plan for target={self.target!r} runs on a GPU: {there}; "
            "plans for target='torch' run on any device"
        )

    def _tables(self, device: torch.device, tables: Tables | None = None) -> dict[str, Tensor]:
        """What kernels read, on a device; what is the same there and back is there once."""
        of = "forward" if tables is None else "vjp"
        if (device, of) not in self._on_device:
            with self._placing:
                if (device, of) not in self._on_device:
                    wanted = self._placed(device, self._compiled.tables if tables is None else tables)
                    if device.type == "cuda":
                        self._compile_ahead(architecture(device), of)
                    self._on_device[device, of] = wanted
        return self._on_device[device, of]

    def _compile_ahead(self, arch: str, of: str) -> None:
        """Have the kernels of a part compiled side by side, before each is launched for the first time."""
        source = self.source(of)
        ahead.compile_ahead(source, self._launches(of), arch, _digest(source), default_workers())

    def _placed(self, device: torch.device, wanted: Tables) -> dict[str, Tensor]:
        """Tables on a device: those of the forward run that are there, where they are the same, and the others."""
        same = {
            name: table
            for name, table in self._on_device.get((device, "forward"), {}).items()
            if name in wanted and np.array_equal(wanted[name], self._compiled.tables[name])
        }
        return same | placed({name: table for name, table in wanted.items() if name not in same}, device)

    @cached_property
    def _emitted(self) -> Emitter:
        return self._vendor.emitted(self._program, self._options, tuned=self._tuned)

    def _launches(self, of: str = "forward") -> list[Launch]:
        return [step for step in self._part_emitted(of).steps if isinstance(step, Launch)]

    def _part_emitted(self, of: str) -> Emitter:
        """The walk that wrote the transform, or its gradient."""
        _check_part(of)
        return self._gradient if of == "vjp" else self._emitted

    def predict(self, batch: int = 64, device: str = "H200", of: str = "forward") -> Prediction:
        """The time that a call should take on a device, as the cost model has it: nothing is measured.

        Parameters
        ----------
        batch : int, optional
            Signals of the call.
        device : str, optional
            One of those that `scatc.codegen.triton.cost.DEVICES` describes.
        of : {'forward', 'vjp'}, optional
            The transform, or its gradient.

        Raises
        ------
        ValueError
            If there is no such device.
        """
        return prediction(self._part_emitted(of), batch, device)

    def measure(self, batch: int = 64) -> float:
        """The time of a call on the current GPU, in seconds: a median, on random signals; reports then show it.

        Parameters
        ----------
        batch : int, optional
            Signals of the call.

        Raises
        ------
        TargetError
            If there is no GPU.
        """
        if not torch.cuda.is_available():
            raise TargetError("calls are timed on a GPU, and torch finds none on this machine")
        x = torch.randn(batch, *self.spec.input_shape, device="cuda")
        with torch.no_grad():
            took = timing.median_seconds(lambda: self(x))
        self._measured[batch] = torch.cuda.get_device_name(), took
        return took

    def report(self, batch: int = 64, device: str = "H200") -> str:
        """Arithmetic, traffic, passes, for a batch on a device the predicted times, and what was chosen, as text.

        With the time that `measure` found for such a batch, if it was called.
        """
        measured = ""
        if batch in self._measured:
            name, took = self._measured[batch]
            measured = f"measured  {1e3 * took:.3f} ms on {name}, eager\n"
        parts = super().report(), str(self.predict(batch, device)), measured, self._emitted.explain()
        return "\n".join(part for part in parts if part)

    def asm(self, arch: str, of: str = "forward") -> str:
        """The machine code of all kernels for an architecture, compiled without a device.

        Parameters
        ----------
        arch : str
            Such as ``'sm_80'``, ``'sm_90'`` (NVIDIA) or ``'gfx942'`` (AMD).
        of : {'forward', 'vjp'}, optional
            The transform, or its gradient.

        Returns
        -------
        str
            PTX, or the assembler of the AMD GPU; each kernel once.

        Raises
        ------
        TargetError
            If Triton is not installed, or does not know the architecture.
        """
        launches = self._launches(of)
        return kernels.assembler(self._part_module(of), launches, arch)

    def resources(self, arch: str, workers: int = 1, of: str = "forward") -> tuple[kernels.Resources, ...]:
        """Registers, spills and shared memory of each kernel on an architecture, compiled without a device.

        Parameters
        ----------
        arch : str
            As for `asm`.
        workers : int, optional
            Processes that compile side by side.
        of : {'forward', 'vjp'}, optional
            The transform, or its gradient.
        """
        launches = self._launches(of)
        if workers > 1:
            return kernels.compile_all(self.source(of), launches, arch, workers)
        return kernels.resources(self._part_module(of), launches, arch)

    def _part_module(self, of: str) -> ModuleType:
        """The kernels of the transform, or of its gradient."""
        return self._gradient_module if of == "vjp" else self._module


PLAN = TritonPlan
