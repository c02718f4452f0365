"""What users call: a spec, a target and options in, a plan out."""

from __future__ import annotations

import numbers
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from scatc.codegen import find_target
from scatc.ir.errors import CompileError
from scatc.ir.options import TOLERANCE, Options
from scatc.ir.paths import Path, PathRow, path_table
from scatc.ir.spec import Spec
from scatc.runtime import fft
from scatc.runtime.choice import find_cpu_plan
from scatc.runtime.driver import build, find_plan, installed_version
from scatc.runtime.plan import Plan, Record, make_plan
from scatc.runtime.store import from_entry, read_entry
from scatc.runtime.trials import tuned
from scatc.runtime.workers import checked_workers, default_workers

Select = Callable[[PathRow], bool] | Iterable[Path]


def compile(
    spec: Spec,
    target: str = "numpy",
    *,
    dtype: Any = "float32",
    memory_limit: int | None = None,
    workers: int | None = None,
    select: Select | None = None,
    save: str | None = None,
    tune: bool | int = False,
    cache: bool = True,
) -> Plan:
    """Compile a transform.

    Parameters
    ----------
    spec : Spec
        What to compute.
    target : str, optional
        What to emit code for.
    dtype : {'float32', 'float64'}, optional
        Precision of all arithmetic and of the output (numpy dtypes are accepted).
    memory_limit : int, optional
        Most bytes of working memory of one call: of all workers together, the output not counted.
    workers : int, optional
        Threads that share a call, at most 1024; by default one for each core (or ``SCATC_WORKERS``).
    select : callable or iterable of paths, optional
        Which paths to output: a predicate on rows of `Plan.meta`, or the paths. Nothing else is computed.
    save : {'inputs', 'first_order', 'all'}, optional
        What a forward run keeps for its gradient: nothing but the input, the wavelet coefficients of order 1, or those
        of all orders; the rest is computed again. By default nothing, unless keeping more is predicted to spare a tenth
        of the time, within a bound on memory. JAX and TensorFlow differentiate by themselves: they keep the input, and
        nothing else can be asked for.
    tune : bool or int, optional
        Whether to time alternatives on this machine and take the quickest, instead of what is predicted to be that;
        an int is the number of signals of the calls that it is for. That takes seconds the first time, on a GPU as long
        as compiling each kernel several times; the choice is kept in the disk cache, for this kind of CPU, or this GPU.
    cache : bool, optional
        Whether plans, and what was tuned for a CPU, may come from, and go to, the memory and disk caches.

    Returns
    -------
    Plan

    Raises
    ------
    CompileError
        If the options cannot be met: an unknown dtype or path, an empty selection, too small a memory limit, or a
        memory limit or workers for a target whose framework sees to both, or `tune` for one that has no alternatives.
    TargetError
        If there is no such target, its framework is not installed, or `tune` is for a GPU that is not there.
    """
    if not isinstance(spec, Spec):
        raise TypeError(f"spec must be a scatc.Spec, got {type(spec).__name__}")
    emitter = find_target(target)
    if not emitter.scheduled:
        _refuse(target, memory_limit=memory_limit, workers=workers)
    if save is not None and not _is_one_of(save, emitter.saves):
        allowed = ", ".join(map(repr, emitter.saves))
        raise CompileError(f"save={save!r} is not possible with target={target!r}: save must be {allowed} or None")
    if save not in (None, "inputs") and spec.joint:
        raise CompileError(f"save={save!r} is not possible: frameworks differentiate joint scattering, leave save out")
    if not isinstance(cache, bool | np.bool_):
        raise CompileError(f"cache={cache!r} is not possible: cache must be True or False")
    options = Options(
        dtype=_dtype(dtype),
        select=_selection(spec, select),
        memory_limit=_positive("memory_limit", memory_limit),
        workers=default_workers() if workers is None else checked_workers(workers),
        machine=emitter.machine(fft.provider()),
        save=save,
    )
    batch = _positive("tune", None if isinstance(tune, bool | np.bool_) else tune)
    if tune and emitter.scheduled:
        options = tuned(spec, emitter, options, batch, keep=cache)
    plan = find_plan(spec, emitter, options) if cache else make_plan(build(spec, emitter, options))
    return _tuned_on_device(plan, tune, batch) if tune and not emitter.scheduled else plan


def compile_for_arrays(spec: Spec, dtype: Any = "float32") -> Plan:
    """Compile a transform of numpy arrays for the target that ``SCATC_TARGET`` names, else C where a compiler works.

    Raises
    ------
    CompileError
        If the dtype is not possible.
    TargetError
        If ``SCATC_TARGET=cpu``, and there is no C compiler that works.
    ValueError
        If ``SCATC_TARGET`` is not possible.
    """
    name, workers = _dtype(dtype), default_workers()
    return find_cpu_plan(
        spec, lambda target: Options(dtype=name, workers=workers, machine=target.machine(fft.provider()))
    )


def load(path: str | os.PathLike[str]) -> Plan:
    """Read a plan that `Plan.save` wrote. Only data is read: nothing in the file is executed.

    Raises
    ------
    ValueError
        If the file is damaged, or is not a plan.
    """
    start = time.perf_counter()
    entry = read_entry(path)
    record = Record(f"read from {os.fspath(path)}", time.perf_counter() - start)
    return make_plan(from_entry(entry, installed_version("scatc"), record, own=False))


def _tuned_on_device(plan: Plan, tune: int, batch: int | None) -> Plan:
    """A plan for GPUs whose kernels were timed there."""
    device_tune: Callable[..., Plan] | None = getattr(plan, "tune", None)
    if device_tune is None:
        raise CompileError(
            f"tune={tune!r} is not possible with target={plan.target!r}, whose framework runs what is emitted as it "
            "likes; leave tune out, or use target='numpy', 'cpu', 'cuda' or 'hip'"
        )
    return device_tune() if batch is None else device_tune(batch)


def _refuse(target: str, **given: Any) -> None:
    """Refuse options that are the framework's business."""
    for name, value in given.items():
        if value is not None:
            raise CompileError(
                f"{name}={value!r} is not possible with target={target!r}, whose framework sees to memory and threads "
                f"by itself; leave {name} out, or use target='numpy'"
            )


def _dtype(dtype: Any) -> str:
    try:
        name = str(dtype if dtype is None else np.dtype(dtype))  # numpy reads None as float64
    except TypeError:
        name = str(dtype)
    if name not in TOLERANCE:
        raise CompileError(f"dtype={dtype!r} is not possible: dtype must be 'float32' or 'float64'")
    return name


def _positive(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise CompileError(f"{name}={value!r} is not possible: {name} must be a whole number of at least 1, or None")
    return int(value)


def _selection(spec: Spec, select: Any) -> frozenset[Path] | None:
    if select is None:
        return None
    table = path_table(spec)
    if callable(select):
        chosen = {row.path for row in table if select(row)}
    else:
        there = {row.path for row in table}
        chosen = set()
        for path in select if _has_items(select) else [select]:
            indices = tuple(path) if _has_items(path) else (None,)
            whole = all(isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in indices)
            if not whole or indices not in there:
                raise CompileError(
                    f"select: there is no path {path!r}; plan.meta() lists the {len(there)} paths there are"
                )
            chosen.add(tuple(map(int, indices)))
    if not chosen:
        raise CompileError("select: no path is left; at least one must be selected")
    return frozenset(chosen)


def _has_items(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1) != 0


def _is_one_of(value: Any, allowed: tuple[str, ...]) -> bool:
    return isinstance(value, str) and value in allowed
