"""The driver: a spec and a target in, a plan out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import numbers
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

import numpy as np

import scatc.codegen
import scatc.ir
from scatc.codegen import Target, find_target
from scatc.ir.errors import CompileError
from scatc.ir.lower import lower
from scatc.ir.options import TOLERANCE, Options
from scatc.ir.passes import run_passes
from scatc.ir.paths import Path, PathRow, path_table
from scatc.ir.schedule import schedule
from scatc.ir.spec import Spec
from scatc.runtime import fft
from scatc.runtime.cache import DiskCache, MemoryCache, cache_key
from scatc.runtime.plan import Compiled, Plan, Record, make_plan
from scatc.runtime.store import EntryError, from_entry, read_entry, to_entry
from scatc.runtime.workers import MOST_WORKERS, default_workers
from scatc.version import __version__

Select = Callable[[PathRow], bool] | Iterable[Path]

LARGEST_ENTRY = 1 << 27
"""Bytes of tables beyond which a plan is not kept on disk: to read them back takes about as long as to make them."""

_PLANS: MemoryCache[Plan] = MemoryCache(64)


def compile(
    spec: Spec,
    target: str = "numpy",
    *,
    dtype: Any = "float32",
    memory_limit: int | None = None,
    workers: int | None = None,
    select: Select | None = None,
    save: str | None = None,
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
        of all orders; the rest is computed again. By default what is predicted to be quickest within a bound on memory.
        JAX and TensorFlow differentiate by themselves: they keep the input, and nothing else can be asked for.
    cache : bool, optional
        Whether plans may come from, and go to, the memory and disk caches.

    Returns
    -------
    Plan

    Raises
    ------
    CompileError
        If the options cannot be met: an unknown dtype or path, an empty selection, too small a memory limit, or a
        memory limit or workers for a target whose framework sees to both.
    TargetError
        If there is no such target, or its framework is not installed.
    """
    if not isinstance(spec, Spec):
        raise TypeError(f"spec must be a scatc.Spec, got {type(spec).__name__}")
    emitter = find_target(target)
    if not emitter.scheduled:
        _refuse(target, memory_limit=memory_limit, workers=workers)
    if save is not None and save not in emitter.saves:
        allowed = ", ".join(map(repr, emitter.saves))
        raise CompileError(f"save={save!r} is not possible with target={target!r}: save must be {allowed} or None")
    options = Options(
        dtype=_dtype(dtype),
        select=_selection(spec, select),
        memory_limit=_positive("memory_limit", memory_limit),
        workers=_workers(workers) or default_workers(),
        machine=emitter.machine(fft.provider()),
        save=save,
    )
    if not cache:
        return make_plan(_compile(spec, emitter, options))
    key = _key(spec, emitter, options)
    return _PLANS.get_or_create(key, lambda: make_plan(_through_disk(key, spec, emitter, options)))


def load(path: str | os.PathLike[str]) -> Plan:
    """Read a plan that `Plan.save` wrote. Only data is read: nothing in the file is executed.

    Raises
    ------
    ValueError
        If the file is damaged, or is not a plan.
    """
    start = time.perf_counter()
    entry = read_entry(path)
    compiled = from_entry(entry, __version__, Record(f"read from {os.fspath(path)}", time.perf_counter() - start))
    return make_plan(compiled)


def _compile(spec: Spec, target: Target, options: Options) -> Compiled:
    start = time.perf_counter()
    graph, records = run_passes(lower(spec), options)
    program = schedule(graph, options, target.memory(options))
    tables = target.tables(program, options)
    source = target.emit(program, options, tables, __version__)
    record = Record("compiled", time.perf_counter() - start, tuple(records))
    return Compiled(target.name, program, options, tables, source, __version__, record)


def _through_disk(key: str, spec: Spec, target: Target, options: Options) -> Compiled:
    start = time.perf_counter()
    disk = DiskCache()
    entry = disk.load(key)
    if entry is not None:
        try:
            compiled = from_entry(entry, __version__, Record())
        except EntryError:
            pass  # of another layout: compiled anew and replaced below
        else:
            return replace(compiled, record=Record("read from the disk cache", time.perf_counter() - start))
    compiled = _compile(spec, target, options)
    if sum(table.nbytes for table in compiled.tables.values()) <= LARGEST_ENTRY:
        disk.store(key, to_entry(compiled))
    return compiled


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """A digest of the compiler's own text: tables made by other code do not fit the source that this code emits."""
    digest = hashlib.sha256()
    for room in (scatc.ir, scatc.codegen):
        folder = FilePath(next(iter(room.__path__)))
        for file in sorted(f for f in folder.rglob("*") if f.suffix in (".py", ".j2")):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _key(spec: Spec, target: Target, options: Options) -> str:
    kept = asdict(options) | {"select": None if options.select is None else sorted(map(list, options.select))}
    versions = {"scatc": __version__, "code": _code_digest()} | {name: _version(name) for name in target.requires}
    return cache_key(spec=spec.to_json(), target=target.name, options=kept, versions=versions)


@lru_cache
def _version(distribution: str) -> str:
    """The installed version of a distribution; none where it is missing, which is said when the plan is made."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


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


def _workers(value: Any) -> int | None:
    workers = _positive("workers", value)
    if workers is not None and workers > MOST_WORKERS:
        raise CompileError(f"workers={workers} is not possible: workers must be at most {MOST_WORKERS}")
    return workers


def _selection(spec: Spec, select: Any) -> frozenset[Path] | None:
    if select is None:
        return None
    table = path_table(spec)
    if callable(select):
        chosen = {row.path for row in table if select(row)}
    else:
        there = {row.path for row in table}
        chosen = set()
        for path in select if isinstance(select, Iterable) and not isinstance(select, str) else [select]:
            indices = tuple(path) if isinstance(path, Iterable) and not isinstance(path, str) else (None,)
            whole = all(isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in indices)
            if not whole or indices not in there:
                raise CompileError(
                    f"select: there is no path {path!r}; plan.meta() lists the {len(there)} paths there are"
                )
            chosen.add(tuple(map(int, indices)))
    if not chosen:
        raise CompileError("select: no path is left; at least one must be selected")
    return frozenset(chosen)
