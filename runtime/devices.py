"""Whose programs serve tensors of a device, and whether kernels can run there."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from scatc.codegen import Target, find_target
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime.choice import asked_gpu
from scatc.runtime.driver import find_plan
from scatc.runtime.load import load_source

if TYPE_CHECKING:
    from scatc.runtime.triton import TritonPlan

T = TypeVar("T")
K = TypeVar("K")

OLDEST = (8, 0)
"""Compute capability that Triton asks of NVIDIA's GPUs."""

TRIAL = '''"""Does Triton work here?"""

import triton
import triton.language as tl


@triton.jit
def double(x):
    tl.store(x, 2 * tl.load(x))
'''


def kind_of(device: torch.device) -> str:
    """By whose programs tensors of a device are transformed, where these have the transform.

    'cpu': those for arrays; 'cuda' and 'hip': kernels of that target; 'torch': the emitted source.
    """
    if device.type == "cpu":
        return "cpu"
    if device.type == "cuda" and torch.cuda.is_available():  # without a GPU such tensors are fake
        return "hip" if torch.version.hip else "cuda"
    return "torch"


def elsewhere(make: Callable[[], T]) -> T:
    """What a function returns in a thread of its own, where no mode of the caller is on.

    Inference mode would make tensors that no derivative can keep, a mode for fake tensors such that hold nothing; and
    while a CUDA graph warms up, memory comes from a pool of its own, in which nothing may stay.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


def placed(tables: Mapping[K, NDArray[Any]], device: torch.device) -> dict[K, Tensor]:
    """Tables on a device, to stay there.

    Raises
    ------
    RuntimeError
        If a CUDA graph is being captured there: it would copy them again whenever it is replayed.
    """
    if device.type == "cuda" and torch.cuda.is_available():
        with torch.cuda.device(device):
            if torch.cuda.is_current_stream_capturing():
                raise RuntimeError(
                    f"a CUDA graph is being captured, and this transform has not run on {device} before: call it once, "
                    "so that its kernels are compiled and its tables are there"
                )
    return elsewhere(lambda: {name: torch.from_numpy(table.copy()).to(device) for name, table in tables.items()})


@functools.cache
def trouble(device: torch.device) -> str | None:
    """Why Triton cannot run kernels on a device, if so: found out once in a process."""
    if "tensorflow" in sys.modules and "triton" not in sys.modules:
        return "TensorFlow is loaded, and one process cannot load Triton as well"
    try:
        importlib.import_module("triton")
    except ModuleNotFoundError:
        return "triton is not installed (pip install 'scatc[cuda]', or on AMD's GPUs 'scatc[hip]')"
    except Exception as error:  # a library that is missing, say: whatever it is, transforms must go on
        return f"triton cannot be imported: {_line(error)}"
    if device.type == "cuda" and not torch.version.hip:
        found = torch.cuda.get_device_capability(device)
        if found < OLDEST:
            name, (major, minor) = torch.cuda.get_device_name(device), found
            return f"{name} has compute capability {major}.{minor}, and Triton asks for {OLDEST[0]}.{OLDEST[1]}"
    try:
        works = elsewhere(lambda: _tried(device))
    except Exception as error:  # no C compiler for what launches kernels, say
        return f"a first kernel fails: {_line(error)}"
    return None if works else "a first kernel computes wrong numbers"


def _tried(device: torch.device) -> bool:
    x = torch.ones(1, device=device)
    with torch.cuda.device_of(x):
        load_source(TRIAL, "triton").double[(1,)](x)
        return x.item() == 2


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


class Kernels:
    """The kernels of one transform, on the GPUs that can run them. They keep nothing for the gradient but x.

    Parameters
    ----------
    spec : Spec
    options : callable
        The options for a target.
    dtype : str
    """

    def __init__(self, spec: Spec, options: Callable[[Target], Options], dtype: str) -> None:
        self._spec, self._options, self._dtype = spec, options, dtype
        self._plans: dict[tuple[torch.device, str], TritonPlan | None] = {}
        self._failed: set[tuple[torch.device, str]] = set()
        self._lock = threading.Lock()

    def plan(self, device: torch.device) -> TritonPlan | None:
        """The plan for a device; None where the emitted source runs.

        Raises
        ------
        CompileError, TargetError
            If ``SCATC_GPU_TARGET=triton``, and it is a GPU on which kernels cannot do this.
        ValueError
            If ``SCATC_GPU_TARGET`` is not possible.
        """
        place = device, asked_gpu()
        if place not in self._plans:
            with self._lock:
                if place not in self._plans:
                    self._plans[place] = self._find(*place)
        return self._plans[place]

    def _find(self, device: torch.device, choice: str) -> TritonPlan | None:
        kind, forced = kind_of(device), choice == "triton"
        if kind in ("cpu", "torch") or choice == "torch" or (self._dtype != "float32" and not forced):
            return None
        if reason := trouble(device):
            if forced:
                raise TargetError(f"SCATC_GPU_TARGET=triton is not possible on {device}: {reason}")
            _warn(reason)
            return None
        from scatc.runtime.triton import TritonPlan

        target = find_target(kind)
        try:
            plan = find_plan(self._spec, target, replace(self._options(target), save=None))
        except (CompileError, TargetError):  # kernels do not have this transform
            if forced:
                raise
            return None
        assert isinstance(plan, TritonPlan)
        return plan

    def said(self) -> str:
        """Which programs serve tensors of a GPU of this machine, or of one that Triton can run on, as text."""
        choice = asked_gpu()
        if choice == "torch":
            return "this source, as SCATC_GPU_TARGET says"
        if self._dtype != "float32":
            return f"this source: kernels do not compute in {self._dtype}"
        devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
        if not devices:
            return "the plan for target='cuda', or 'hip'"
        reasons = [trouble(device) for device in devices]
        return f"this source: {reasons[0]}" if all(reasons) else f"the plan for target={kind_of(devices[0])!r}"

    def forward(self, x: Tensor) -> list[Tensor] | None:
        """The output arrays for x of shape ``(n, *spec.input_shape)``; None where the emitted source makes them."""
        return self._launched("forward", x, lambda plan: plan.run_groups(x))

    def vjp(self, x: Tensor, g: Sequence[Tensor]) -> Tensor | None:
        """The gradient, from x alone; None where the emitted source makes it."""
        return self._launched("vjp", x, lambda plan: plan.vjp_groups(x, g))

    def _launched(self, of: str, x: Tensor, launch: Callable[[TritonPlan], T | None]) -> T | None:
        """What kernels make, unless Triton cannot compile them for this device."""
        plan = self.plan(x.device)
        if plan is None or (x.device, of) in self._failed:
            return None
        try:
            return launch(plan)
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "triton" or asked_gpu() == "triton":
                raise
            self._failed.add((x.device, of))
            _warn(f"a kernel cannot run on {x.device}: {_line(error)}")
            return None


@functools.cache  # once, however many transforms go without
def _warn(reason: str) -> None:
    warnings.warn(f"scatc goes on with torch's operators on GPUs: {reason}", RuntimeWarning, stacklevel=4)
