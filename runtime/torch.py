"""Plans for torch: tensors of any device in, tensors out, differentiable.

CPU tensors are numpy arrays to them, tensors of a GPU go to kernels, all others to the emitted source.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatc.codegen import Target, find_target
from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.passes.select_paths import select_paths
from scatc.ir.paths import Path
from scatc.ir.schedule import Program
from scatc.ir.spec import Spec
from scatc.ir.transposed import Store
from scatc.runtime import devices, fft, torch_ops
from scatc.runtime.choice import find_cpu_plan
from scatc.runtime.derived import gradient, keeping, save_mode
from scatc.runtime.driver import find_plan
from scatc.runtime.load import load_source
from scatc.runtime.numpy import NumpyPlan
from scatc.runtime.plan import Compiled, Plan
from scatc.runtime.torch_ops import Programs, Tensors
from scatc.runtime.workers import default_workers

Outputs = tuple[tuple[tuple[int, ...], tuple[Path, ...]], ...]

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class TorchPlan(Plan):
    """A plan that is called on torch tensors.

    On CPU tensors a plan for numpy arrays does the work, without copies (C code where a compiler works, see
    `scatc.runtime.choice`); on a GPU kernels, where Triton and they can (`scatc.runtime.devices`); on other devices the
    emitted source. Either way torch sees one operator, with its derivatives (`scatc.runtime.torch_ops`).
    """

    def __init__(self, compiled: Compiled) -> None:
        super().__init__(compiled)
        options = compiled.options
        self.key = torch_ops.key(self.spec, options.dtype, options.select, options.save)
        self._on_device: dict[torch.device, dict[str, Tensor]] = {}
        # those of an equal plan do as well, and serve operators by the same key
        self._programs = torch_ops.PROGRAMS.get_or_create(self.key, lambda: TransformPrograms(self.spec, options, self))

    def __call__(self, x: Tensor) -> Any:
        """Transform signals.

        Parameters
        ----------
        x : Tensor, shape ``batch + spec.input_shape``
            On any device, strided in any way, of any real dtype (converted to the plan's); any number of leading batch
            axes.

        Returns
        -------
        Tensor, shape ``batch + (paths, *samples)``
            On the device of x. Rows in the order of `meta()`; in 3D ``batch + (paths, powers)``. Where paths differ in
            their number of samples (no averaging): a dict of path to tensor, shape ``batch + samples``.

        Raises
        ------
        TypeError
            If x is not a tensor, or complex.
        ValueError
            If the last axes of x are not `spec.input_shape`.
        """
        return self.from_groups(self.grouped(x))

    def grouped(self, x: Tensor) -> list[Tensor]:
        """Transform signals into the tensors of `groups`, of shape ``batch + (paths, *samples)`` each; see a call."""
        if not isinstance(x, Tensor):
            raise TypeError(
                f"x is {type(x).__name__}, not a torch tensor: pass torch.as_tensor(x), or compile with target='numpy'"
            )
        if x.is_complex():
            raise TypeError(f"x is complex ({x.dtype}): scattering of complex signals is not supported, pass x.real")
        self.check_shape(tuple(x.shape))
        x = x.to(DTYPES[self.dtype.name])
        found: list[Tensor] = torch_ops.OPS.forward(x, [], self.key, False)
        return found

    def from_groups(self, outs: Tensors) -> Any:
        """What a call returns, of the tensors that the operator does: one for each shape of coefficients."""
        if self.spec.average != "none":
            return outs[0]
        found = {
            path: out.select(-1 - self.spec.dim, row)
            for out, (_, paths) in zip(outs, self.groups, strict=True)
            for row, path in enumerate(paths)
        }
        return {path: found[path] for path in self.paths}

    # The tables, in as few tensors as can be.

    @cached_property
    def _places(self) -> dict[str, tuple[str, int, tuple[int, ...]]]:
        """Of each table: its kind, where it begins in the flat tensor of its kind, its shape."""
        places: dict[str, tuple[str, int, tuple[int, ...]]] = {}
        ends = {"real": 0, "index": 0}
        tables = self._compiled.tables
        for name in sorted(tables, key=lambda name: (tables[name].dtype.kind != "c", name)):  # complex ones aligned
            table = tables[name]
            kind = "index" if table.dtype.kind == "i" else "real"
            places[name] = (table.dtype.kind, ends[kind], table.shape)
            ends[kind] += table.size * (2 if table.dtype.kind == "c" else 1)
        return places

    def flat_tables(self) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """All tables in two arrays: numbers (complex ones as pairs), and indices."""
        tables = {name: self._compiled.tables[name] for name in self._places}
        numbers = [t.view(self.dtype).reshape(-1) for t in tables.values() if t.dtype.kind != "i"]
        indices = [t.reshape(-1) for t in tables.values() if t.dtype.kind == "i"]
        return np.concatenate([np.empty(0, self.dtype), *numbers]), np.concatenate([np.empty(0, np.int32), *indices])

    def tables(self, device: torch.device, flat: Tensors = ()) -> dict[str, Tensor]:
        """The tables by name: parts of flat tensors, or what this plan itself keeps on the device."""
        if not flat and device in self._on_device:
            return self._on_device[device]
        if not flat:
            flat = list(devices.placed(dict(enumerate(self.flat_tables())), device).values())
        numbers, indices = flat
        found = {}
        for name, (kind, start, shape) in self._places.items():
            size = int(np.prod(shape))
            if kind == "i":
                found[name] = indices[start : start + size].view(shape)
            elif kind == "c":
                found[name] = torch.view_as_complex(numbers[start : start + 2 * size].view(*shape, 2))
            else:
                found[name] = numbers[start : start + size].view(shape)
        if not flat:
            self._on_device[device] = found
        return found

    # What is emitted: the transform, the same with what it keeps for its gradient, and the gradient.

    @cached_property
    def save_mode(self) -> str:
        """What the forward run keeps for the gradient, on devices that run this source."""
        return save_mode(self._compiled)

    @cached_property
    def _keeping(self) -> Compiled:
        return keeping(self._compiled, self.save_mode)

    @cached_property
    def _storing(self) -> ModuleType:
        kept = self._keeping
        return self._module if kept is self._compiled else load_source(kept.source, self.target)

    @cached_property
    def _vjp(self) -> Compiled:
        return gradient(self._compiled, self.save_mode)

    @cached_property
    def _gradient(self) -> ModuleType:
        return load_source(self._vjp.source, self.target)

    @cached_property
    def _gradient_alone(self) -> ModuleType:
        """The gradient from the input alone."""
        if self.save_mode == "inputs":
            return self._gradient
        return load_source(gradient(self._compiled, "inputs").source, self.target)

    @cached_property
    def slots(self) -> list[tuple[int, ...]]:
        """The shape, for one signal, of each tensor that is kept: complex numbers as pairs."""
        program = self._keeping.program
        components = any(value.components > 1 for value in program.values.values())
        stored = [(node.slot, program.values[name]) for name, node in program.graph if isinstance(node, Store)]
        return [(v.paths, *[v.components] * components, *v.shape, 2) for _, v in sorted(stored, key=lambda s: s[0])]

    def run(self, x: Tensor, tables: Tensors = (), *, store: bool = False) -> list[Tensor]:
        """The emitted code, for x of shape ``(n, *spec.input_shape)``: outputs, and if it is to `store` what it keeps.

        Without `store`, torch can differentiate this by itself.
        """
        saved: dict[int, Tensor] = {}
        module = self._storing if store else self._module
        outs: list[Tensor] = module.run(x, self.tables(x.device, tables), saved if store else None)
        return outs + [torch.view_as_real(saved[slot]) for slot in sorted(saved)]

    def vjp(self, x: Tensor, g: Tensors, saved: Tensors = (), tables: Tensors = ()) -> Tensor:
        """The emitted code of the gradient, for x of shape ``(n, *spec.input_shape)`` and cotangents of its outputs.

        Of joint scattering none is emitted: torch differentiates the transform.
        """
        if self.spec.joint:
            with torch.enable_grad():
                z = x.detach().requires_grad_()
                return torch.autograd.grad(self.run(z, tables), z, list(g))[0]
        module = self._gradient if saved else self._gradient_alone
        kept = {slot: torch.view_as_complex(t) for slot, t in enumerate(saved)}
        gradient: Tensor = module.vjp(x, g, self.tables(x.device, tables), kept)
        return gradient

    def _vjp_part(self) -> Compiled:
        return self._vjp

    def report(self) -> str:
        """Arithmetic, traffic, memory, loops and passes, as text."""
        head, _, rest = super().report().partition("\n\n")
        assert isinstance(self._programs, TransformPrograms)
        target = self._programs.numpy.target
        cpu = f"cpu       the plan for target={target!r}, {torch.get_num_threads()} workers"
        gpu = f"gpu       {self._programs.kernels.said()}; other devices: this source"
        return f"{head}\n{cpu}\n{gpu}\n\n{rest}"


class TransformPrograms(Programs):
    """The programs of one transform, each found or compiled when it is first needed.

    Parameters
    ----------
    spec : Spec
    options : Options
        Of which dtype, select and save count.
    plan : TorchPlan, optional
        The plan, if it is there already.
    """

    def __init__(self, spec: Spec, options: Options, plan: TorchPlan | None = None) -> None:
        self.spec, self.axes, self.dtype = spec, spec.dim, DTYPES[options.dtype]
        self._options = options
        self._numpy: dict[int, NumpyPlan] = {}
        self.kernels = devices.Kernels(spec, self._options_for, options.dtype)
        if plan is not None:
            self.plan = plan

    @cached_property
    def plan(self) -> TorchPlan:
        """For second derivatives, and for devices that neither arrays nor kernels serve."""
        target = find_target("torch")
        plan = find_plan(self.spec, target, self._options_for(target))
        assert isinstance(plan, TorchPlan)
        return plan

    @property
    def numpy(self) -> NumpyPlan:
        """For CPU tensors, with as many workers as torch has threads."""
        workers = torch.get_num_threads()
        plan = self._numpy.get(workers)
        if plan is None:
            found = find_cpu_plan(self.spec, self._options_for)
            assert isinstance(found, NumpyPlan)
            plan = self._numpy[workers] = found if found.workers == workers else found.with_workers(workers)
        return plan

    def _options_for(self, target: Target) -> Options:
        return Options(
            dtype=self._options.dtype,
            select=self._options.select,
            workers=default_workers(),
            machine=target.machine(fft.provider()),
            save=self._options.save,
        )

    @cached_property
    def _outputs(self) -> Outputs:
        """The outputs: what each path has, and which paths; nothing is compiled to know that."""
        plans: list[Plan] = [*self._numpy.values(), *(vars(self)[name] for name in ("plan",) if name in vars(self))]
        if plans:
            return plans[0].groups
        graph = select_paths(lower(self.spec), self._options)
        return Program(graph, 1, {}, 1).outputs

    @cached_property
    def groups(self) -> list[tuple[int, ...]]:  # type: ignore[override]
        """The shape of each output for one signal."""
        return [(len(paths), *samples) for samples, paths in self._outputs]

    @cached_property
    def paths(self) -> list[tuple[Path, ...]]:  # type: ignore[override]
        """The paths of each output."""
        return [paths for _, paths in self._outputs]

    def slots(self, device: torch.device) -> list[tuple[int, ...]]:
        """The shape, for one signal, of each tensor that `forward` keeps for `vjp` on a device: kernels keep none."""
        if devices.kind_of(device) == "cpu":
            return [(*slot, 2) for slot in self.numpy.slots]
        return [] if self.kernels.plan(device) else self.plan.slots

    def reads_tables(self, device: torch.device) -> bool:
        """Whether flat tables on a device are what is read there: arrays and kernels have their own."""
        return devices.kind_of(device) != "cpu" and self.kernels.plan(device) is None

    def forward(self, x: Tensor, tables: Tensors, store: bool) -> list[Tensor]:
        """The outputs for a batch of signals and, if it is to `store`, what is kept."""
        if devices.kind_of(x.device) == "cpu":
            outs, saved = self.numpy.run_groups(x.resolve_neg().numpy(), store=store)
            return [*map(torch.from_numpy, outs), *(torch.view_as_real(torch.from_numpy(kept)) for kept in saved)]
        found = self.kernels.forward(x)
        if found is not None:
            return found
        with torch_ops.plainly(), torch.no_grad():
            return self.plan.run(x, tables, store=store and bool(self.slots(x.device)))

    def vjp(self, x: Tensor, tables: Tensors, g: Tensors, saved: Tensors) -> Tensor:
        """The gradient for cotangents of the outputs.

        On a GPU kernels compute it from x. Where they cannot, the emitted source does: from what its forward run kept,
        or from x, if kernels ran forward.
        """
        if devices.kind_of(x.device) == "cpu" and not self.spec.joint:
            kept = [torch.view_as_complex(t.contiguous()).numpy() for t in saved]
            gs: Sequence[Any] = [t.resolve_neg().numpy() for t in g]
            return torch.from_numpy(self.numpy.vjp_groups(x.resolve_neg().numpy(), gs, kept))
        found = None if saved or self.spec.joint else self.kernels.vjp(x, g)
        if found is not None:
            return found
        with torch_ops.plainly():
            return self.plan.vjp(x, g, saved, tables)

    def run(self, x: Tensor, tables: Tensors) -> list[Tensor]:
        """The outputs, by operators that torch can differentiate."""
        return self.plan.run(x, tables)


def programs(key: str) -> TransformPrograms:
    """The programs of a transform that `scatc.runtime.torch_ops.key` describes."""
    fields = json.loads(key)
    spec = Spec.from_json(json.dumps(fields["spec"]))
    select = None if fields["select"] is None else frozenset(map(tuple, fields["select"]))
    return TransformPrograms(spec, Options(dtype=fields["dtype"], select=select, save=fields["save"]))


PLAN = TorchPlan
