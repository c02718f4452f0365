"""A compiled plan as an entry of the cache or of a file: data only, its source is emitted anew.

That waits until somebody asks for it. For a C compiler nobody does where something was built of it before: libraries
are known by the *recipe*, a digest of all that the source is emitted from. They are in a folder that this user alone
can write, so that an entry, whoever wrote it, leads to a library only if this user's compiler had the very text that it
would lead to.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import scatc.codegen
import scatc.ir
from scatc.codegen import Tables, find_target
from scatc.ir.cost import Machine
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.graph import Graph
from scatc.ir.nodes import Fold
from scatc.ir.options import TOLERANCE, Options
from scatc.ir.schedule import arrange
from scatc.ir.text import parse_graph, print_graph
from scatc.ir.verify import verify
from scatc.runtime.collector import paused
from scatc.runtime.entry import Entry, EntryError, read_entry, write_entry
from scatc.runtime.plan import Compiled, Record

__all__ = ["EntryError", "code_digest", "from_entry", "read_entry", "recipe", "to_entry", "write_entry"]


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A digest of the compiler's own text: tables made by other code do not fit the source that this code emits."""
    digest = hashlib.sha256()
    for room in (scatc.ir, scatc.codegen):
        folder = Path(next(iter(room.__path__)))
        for file in sorted(f for f in folder.rglob("*") if f.suffix in (".py", ".j2")):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def recipe(compiled: Compiled, graph: str = "") -> str:
    """What the source is known by: a digest of all that it is emitted from (of tables, no more than their shapes).

    Empty where nothing is built of the source. `graph` is the text of the program's graph, if that is at hand.
    """
    builds = find_target(compiled.target).builds
    if not builds:
        return ""
    options = asdict(compiled.options)
    kept = {"target": compiled.target, "tables": _shapes(compiled.tables)} | {name: options[name] for name in builds}
    graph = graph or print_graph(compiled.program.graph, comments=False)
    parts = (compiled.version, code_digest(), graph, json.dumps(kept, sort_keys=True))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _shapes(tables: Tables) -> dict[str, tuple[str, list[int]]]:
    """Types and shapes of tables, by name."""
    return {name: (table.dtype.str, list(table.shape)) for name, table in sorted(tables.items())}


def to_entry(compiled: Compiled, *, tables: bool = True) -> Entry:
    """What has to be kept of a compiled plan; without its tables, they are made again when it is read."""
    program, options = compiled.program, compiled.options
    header = {
        "target": compiled.target,
        "options": asdict(options) | {"select": None if options.select is None else sorted(options.select)},
        "batch": program.batch,
        "chunks": dict(program.chunks),
        "workers": program.workers,
        "tables": tables,
    }
    texts = {"header": json.dumps(header, sort_keys=True), "graph": print_graph(program.graph, comments=False)}
    return Entry(texts, compiled.tables if tables else {})


def _check_sizes(graph: Graph, header: dict[str, Any]) -> None:
    """What reaches emitted code must be the numbers it is taken for."""
    chunks = header["chunks"]
    folds = {name: len(node.indices) for name, node in graph if isinstance(node, Fold)}
    sizes = (header["batch"], header["workers"], *chunks.values())
    if any(type(size) is not int or size < 1 for size in sizes):
        raise ValueError(f"batch, workers and chunks must be whole numbers of at least 1, not {sizes}")
    if chunks.keys() != folds.keys() or any(chunks[name] > folds[name] for name in folds):
        raise ValueError("chunks must name each fold, with no more filters than it has")


def _check_options(options: Options) -> None:
    """What later divides, or names a type, must be what it is taken for."""
    if options.dtype not in TOLERANCE:
        raise ValueError(f"dtype must be one of {', '.join(TOLERANCE)}, not {options.dtype!r}")
    machine = options.machine
    rates: tuple[Any, ...] = (machine.fft_rate, machine.matmul_rate, machine.bandwidth, machine.cache_bytes)
    if any(not isinstance(rate, int | float) or not 0 < rate < math.inf for rate in rates):
        raise ValueError(f"rates and sizes of a machine must be finite and above 0, not {rates}")


@paused()
def from_entry(entry: Entry, version: str, record: Record, *, own: bool) -> Compiled:
    """The compiled plan of an entry.

    Parameters
    ----------
    entry : Entry
    version : str
        Of the package.
    record : Record
    own : bool
        Whether nobody but this user can have written the entry. C does not check what its tables say of where to read:
        those of others are made anew.

    Raises
    ------
    EntryError
        If the entry is not that of a plan.
    """
    try:
        header = json.loads(entry.texts["header"])
        kept = header["options"]
        select = None if kept["select"] is None else frozenset(map(tuple, kept["select"]))
        options = Options(**kept | {"select": select, "machine": Machine(**kept["machine"])})
        _check_options(options)
        graph = parse_graph(entry.texts["graph"])
        verify(graph, "program")
        _check_sizes(graph, header)
        target = find_target(header["target"])
        program = arrange(graph, header["batch"], header["chunks"], header["workers"], target.memory(options))
        tables = entry.arrays if header["tables"] else None
        if target.builds and (tables is None or not own):  # C trusts tables and their shapes
            tables = target.tables(program, options)
        compiled = Compiled(target.name, program, options, tables, version=version, record=record)
        compiled = replace(compiled, recipe=recipe(compiled, entry.texts["graph"]))
        if not own:  # what comes of somebody else's entry is known before it is a plan
            compiled = replace(compiled, given_source=compiled.source)
    except (CompileError, TargetError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EntryError(f"this is not a plan: {error}") from error
    return compiled
