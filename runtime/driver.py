"""A spec, a target and options in, a plan out, by way of the caches."""

from __future__ import annotations

import importlib
import time
from dataclasses import asdict, replace
from functools import lru_cache

from scatc.codegen import Target, table_bytes
from scatc.ir.filters import banks
from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.passes import run_passes
from scatc.ir.schedule import schedule
from scatc.ir.spec import Spec
from scatc.runtime.cache import DiskCache, MemoryCache, cache_key
from scatc.runtime.collector import paused
from scatc.runtime.entry import FORMAT
from scatc.runtime.plan import Compiled, Plan, Record, make_plan
from scatc.runtime.private import open_to_others
from scatc.runtime.store import EntryError, code_digest, from_entry, recipe, to_entry

LARGEST_SMALL_TABLES = 1 << 23
"""Bytes up to which tables are kept on disk even if their filters are quick to compute."""

LARGEST_TABLES = 1 << 27
"""Bytes beyond which tables are not kept on disk: to read them back takes about as long as to make them."""

PLANS: MemoryCache[Plan] = MemoryCache(64)


def find_plan(spec: Spec, target: Target, options: Options) -> Plan:
    """The plan of a spec: out of memory, from the disk, or compiled."""
    key = plan_key(spec, target, options)
    return PLANS.get_or_create(key, lambda: make_plan(_through_disk(key, spec, target, options)))


@paused()
def build(spec: Spec, target: Target, options: Options) -> Compiled:
    """Compile a spec."""
    start = time.perf_counter()
    graph, records = run_passes(lower(spec), options)
    program = schedule(graph, options, target.memory(options))
    tables = target.tables(program, options)
    version = installed_version("scatc")
    source = target.emit(program, options, tables, version)
    record = Record("compiled", time.perf_counter() - start, tuple(records))
    compiled = Compiled(target.name, program, options, tables, source, version, record=record)
    return replace(compiled, recipe=recipe(compiled))


def _through_disk(key: str, spec: Spec, target: Target, options: Options) -> Compiled:
    start = time.perf_counter()
    disk = DiskCache()
    entry = disk.load(key)
    if entry is not None:
        try:
            compiled = from_entry(entry, installed_version("scatc"), Record(), own=open_to_others(disk.folder) is None)
        except EntryError:
            pass  # of another layout: compiled anew and replaced below
        else:
            return replace(compiled, record=Record("read from the disk cache", time.perf_counter() - start))
    compiled = build(spec, target, options)
    disk.store(key, to_entry(compiled, tables=_keeps_tables(compiled)))
    return compiled


def _keeps_tables(compiled: Compiled) -> bool:
    """Whether to read the tables of a plan is quicker than to make them again."""
    size = table_bytes(compiled.tables)
    quick = any(bank.quick for bank in banks(compiled.program.graph.spec).values()) and size > LARGEST_SMALL_TABLES
    return not quick and size <= LARGEST_TABLES


def plan_key(spec: Spec, target: Target, options: Options) -> str:
    """The name of a plan in the caches."""
    kept = asdict(options) | {"select": None if options.select is None else sorted(map(list, options.select))}
    versions = {name: installed_version(name) for name in ("scatc", *target.requires)}
    versions |= {"code": code_digest(), "layout": str(FORMAT)}
    return cache_key(spec=spec.to_json(), target=target.name, options=kept, versions=versions)


@lru_cache
def installed_version(package: str) -> str:
    """The version of a package that emitted code imports; none where it is missing, which is said when a plan is made.

    It has to be imported anyway; to ask `importlib.metadata` would take longer than that.
    """
    try:
        return str(importlib.import_module(package).__version__)
    except ImportError:
        return ""
