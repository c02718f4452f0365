"""A compiled plan as an entry of the cache or of a file: data only, its source is emitted anew when it is read."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from scatc.codegen import find_target
from scatc.ir.cost import Machine
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.graph import Graph
from scatc.ir.nodes import Fold
from scatc.ir.options import Options
from scatc.ir.schedule import arrange, seconds_a_call
from scatc.ir.text import parse_graph, print_graph
from scatc.ir.verify import verify
from scatc.runtime.entry import Entry, EntryError, read_entry, write_entry
from scatc.runtime.plan import Compiled, Record

__all__ = ["EntryError", "from_entry", "read_entry", "to_entry", "write_entry"]


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


def from_entry(entry: Entry, version: str, record: Record) -> Compiled:
    """The compiled plan of an entry.

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
        graph = parse_graph(entry.texts["graph"])
        verify(graph, "program")
        _check_sizes(graph, header)
        target = find_target(header["target"])
        program = arrange(graph, header["batch"], header["chunks"], header["workers"], target.memory(options))
        program = replace(program, seconds_a_call=seconds_a_call(graph, options))
        tables = entry.arrays if header["tables"] else target.tables(program, options)
        source = target.emit(program, options, tables, version)
    except (CompileError, TargetError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EntryError(f"this is not a plan: {error}") from error
    return Compiled(header["target"], program, options, tables, source, version, record)
