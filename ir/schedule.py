"""The depth-first schedule: how many siblings and signals run together, and where each value lives.

A `Program` is a batched graph with loops. Every fold may split its filters into chunks; everything below it runs inside
that loop, so at any moment only one chain of ancestors is alive. Buffers of values whose lives do not overlap share
memory in one arena per worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from typing import Protocol

from scatc.ir.cost import Cost, graph_costs
from scatc.ir.errors import CompileError
from scatc.ir.graph import Graph
from scatc.ir.nodes import Fold, Ifft, Input, Node, Output, Unpad
from scatc.ir.options import Options
from scatc.ir.text import print_node
from scatc.ir.values import Value, infer

ALIGNMENT = 64

MOST_OVERHEAD = 0.1
"""Calls' overhead beyond this share of the work makes a batch larger than the cache would have it."""
MOST_BUDGETS = 2
"""How much larger."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a node for one row: in the arena, held outside of it while the value lives, and during the step only."""

    arena: int = 0
    held: int = 0
    scratch: int = 0


class MemoryModel(Protocol):
    """What a target's code allocates."""

    def footprint(self, node: Node, x: Value, y: Value) -> Footprint:
        """The footprint of a node for one row of its input (one signal and one parent path) and one filter."""
        ...


@dataclass(frozen=True)
class Program:
    """A graph with its schedule.

    Attributes
    ----------
    graph : Graph
        Batched.
    batch : int
        Most signals of a batch that one worker transforms at a time.
    chunks : Mapping of str to int
        For each fold, how many of its filters run together.
    workers : int
    offsets : Mapping of str to int
        Where in the arena each value lives, in bytes for one signal (a chunk of n signals uses n times as much).
    arena, outside : int
        Bytes for one signal: of the arena, and of the most that lives outside of it at one time.
    rows : Mapping of str to int
        Rows of each value for one signal, at most.
    deaths : Mapping of str to tuple of str
        After which node which values outside of the arena, and views of such, are of no more use.
    seconds_a_call : float
        Predicted work of the mean library call for one signal, its overhead not counted.
    """

    graph: Graph
    batch: int
    chunks: Mapping[str, int]
    workers: int
    offsets: Mapping[str, int] = field(default_factory=dict)
    arena: int = 0
    outside: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    deaths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seconds_a_call: float = 0.0

    @cached_property
    def values(self) -> dict[str, Value]:
        """The inferred type of each value."""
        return infer(self.graph)

    @property
    def working_bytes(self) -> int:
        """Bytes that all workers together need besides input and output."""
        return self.workers * self.batch * (self.arena + self.outside)

    @cached_property
    def outputs(self) -> tuple[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]], ...]:
        """Output arrays, one for each shape that occurs: (samples per path, paths in output order)."""
        from scatc.ir.paths import all_paths

        shapes = {p: self.values[name].shape for name, output in self.graph.outputs for p in output.paths}
        groups: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for path in all_paths(self.graph.spec):
            if path in shapes:
                groups.setdefault(shapes[path], []).append(path)
        return tuple((shape, tuple(paths)) for shape, paths in groups.items())

    @cached_property
    def places(self) -> dict[tuple[int, ...], tuple[int, int]]:
        """Of each path: the output array it is in, and its row there."""
        return {p: (g, row) for g, (_, paths) in enumerate(self.outputs) for row, p in enumerate(paths)}

    @cached_property
    def around(self) -> dict[str, tuple[str, ...]]:
        """Of each node: the folds in whose loops it runs, itself included if it is one, outermost first."""
        found: dict[str, tuple[str, ...]] = {}
        for name, node in self.graph:
            outer = found.get(node.x, ())
            found[name] = (*outer, name) if isinstance(node, Fold) else outer
        return found

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """The folds of the input's spectrum: what lies below one needs the trunk, and none of the others."""
        return tuple(
            name
            for name, node in self.graph
            if isinstance(node, Fold) and not node.half and self.around[name] == (name,)
        )

    def branch(self, name: str) -> str | None:
        """The branch that a node is in, or None for the trunk."""
        first = self.around[name][:1]
        return first[0] if first and first[0] in self.branches else None

    def __str__(self) -> str:
        """The schedule as text: loops indented, each value's place in the arena behind it."""
        lines = [f"program batch={self.batch} workers={self.workers} arena={self.arena} outside={self.outside}"]
        for name, node in self.graph:
            depth = sum(self.split(fold) for fold in self.around[name])
            if isinstance(node, Fold) and self.split(name):
                count = len(node.indices)
                lines.append(f"{'  ' * depth}for {self.chunks[name]} of {count} filters of {name}:")
            place = f"  # arena +{self.offsets[name]}" if name in self.offsets else ""
            lines.append(f"{'  ' * (depth + 1)}{print_node(name, node)}{place}")
        return "\n".join(lines) + "\n"

    def split(self, fold: str) -> bool:
        """Whether a fold's filters run in chunks: branches always may, so that workers can share one."""
        node = self.graph[fold]
        return isinstance(node, Fold) and (self.chunks[fold] < len(node.indices) or fold in self.branches)


def schedule(graph: Graph, options: Options, memory: MemoryModel) -> Program:
    """Size the loops so that a worker's live values fit the cache, and obey `memory_limit`.

    Raises
    ------
    CompileError
        If even one signal and one path at a time on one worker need more than `memory_limit`.
    """
    budget, workers = options.machine.cache_bytes, options.workers
    footprints = _footprints(graph, memory)
    work = seconds_a_call(graph, options)
    signals = ceil(options.machine.call / (MOST_OVERHEAD * work))
    while True:
        chunks = _sizes(graph, budget, footprints)
        one = arrange(graph, 1, chunks, workers, memory)
        program = replace(one, batch=_batch(one, budget, signals), seconds_a_call=work)
        if options.memory_limit is None or program.working_bytes <= options.memory_limit:
            return program
        if program.batch > 1 or any(chunk > 1 for chunk in program.chunks.values()):
            budget //= 2
        elif workers > 1:
            workers -= 1
        else:
            raise CompileError(
                f"memory_limit={options.memory_limit} bytes is too small: one signal and one path at a time on one "
                f"worker need {program.working_bytes} bytes; raise memory_limit, or select fewer paths"
            )


def seconds_a_call(graph: Graph, options: Options) -> float:
    """Predicted work of the mean library call for one signal, its overhead not counted."""
    total = sum(graph_costs(graph, options.machine, options.itemsize).values(), Cost())
    return max(total.seconds / max(total.calls, 1) - options.machine.call, 1e-9)


def _batch(one: Program, budget: int, signals: int) -> int:
    """Signals that run together: as many as fit the budget; more, up to a few budgets, where calls are short."""
    size = max(one.arena + one.outside, 1)
    return max(1, budget // size, min(signals, MOST_BUDGETS * budget // size))


def _sizes(graph: Graph, budget: int, footprints: Mapping[str, Footprint]) -> dict[str, int]:
    """Of each fold, how many filters keep the live values of one signal within a budget of bytes."""
    chunks: dict[str, int] = {}
    rows: dict[str, int] = {}
    for name, node in graph:
        rows[name] = rows.get(node.x, 1)
        if isinstance(node, Fold):
            count = len(node.indices)
            fit = budget // max(rows[name] * _unit(graph, footprints, name), 1)
            together = min(max(fit, 1), count)
            chunks[name] = -(-count // -(-count // together))  # equal chunks
            rows[name] *= chunks[name]
    return chunks


def arrange(graph: Graph, batch: int, chunks: Mapping[str, int], workers: int, memory: MemoryModel) -> Program:
    """The program of a graph whose loops are sized: rows, lifetimes and places in the arena follow from that."""
    footprints = _footprints(graph, memory)
    rows: dict[str, int] = {}
    for name, node in graph:
        rows[name] = rows.get(node.x, 1) * chunks.get(name, 1)
    dies = _last_uses(graph)
    offsets, arena, outside = _place(graph, footprints, rows, dies)
    deaths: dict[str, tuple[str, ...]] = {}
    order = list(graph.nodes)
    for name in order:
        if footprints[name].held or isinstance(graph[name], Unpad):
            deaths[order[dies[name]]] = (*deaths.get(order[dies[name]], ()), name)
    return Program(graph, batch, chunks, workers, offsets, arena, outside, rows, deaths)


def _footprints(graph: Graph, memory: MemoryModel) -> dict[str, Footprint]:
    values = infer(graph)
    return {
        name: Footprint() if isinstance(node, Input) else memory.footprint(node, values[node.x], values[name])
        for name, node in graph
    }


def _unit(graph: Graph, footprints: Mapping[str, Footprint], fold: str) -> int:
    """Bytes alive for one filter of a fold: its own buffers down to the next spectrum."""
    total, name = 0, fold
    while True:
        total += footprints[name].arena + footprints[name].held
        below = [user for user in graph.users[name] if not isinstance(graph[user], Output | Fold)]
        if not below:
            return max(total, 1)
        name = below[-1]


def _place(
    graph: Graph, footprints: Mapping[str, Footprint], rows: Mapping[str, int], dies: Mapping[str, int]
) -> tuple[dict[str, int], int, int]:
    """Offsets in the arena by first fit over lifetimes, the arena's size, and the peak outside of it."""
    order = list(graph.nodes)
    offsets: dict[str, int] = {}
    live: list[tuple[int, int, str]] = []  # (offset, end, name)
    held: dict[str, int] = {}
    arena = outside = 0
    for i, name in enumerate(order):
        foot = footprints[name]
        live = [slot for slot in live if dies[slot[2]] >= i]
        held = {n: size for n, size in held.items() if dies[n] >= i}
        r = rows[name]
        if foot.held:
            held[name] = r * foot.held
        parents = rows.get(graph[name].x, 1)
        outside = max(outside, sum(held.values()) + max(r, parents) * foot.scratch)
        if foot.arena:
            size = -(-r * foot.arena // ALIGNMENT) * ALIGNMENT
            start = 0
            for a, b, _ in sorted(live):
                if a - start >= size:
                    break
                start = max(start, b)
            live.append((start, start + size, name))
            offsets[name] = start
            arena = max(arena, start + size)
    return offsets, arena, outside


def _last_uses(graph: Graph) -> dict[str, int]:
    """The position of the last step at which each value must still be there.

    A fold reads its spectrum in every round of its loop, and an inverse FFT may stand in its fold's memory: such a
    value lives to the end of what its reader lives for, or of the reader's loop.
    """
    position = {name: i for i, name in enumerate(graph.nodes)}
    end = dict(position)  # the last position inside the subtree of each node
    for name in reversed(list(graph.nodes)):
        for user in graph.users[name]:
            end[name] = max(end[name], end[user])
    dies: dict[str, int] = {}
    for name in reversed(list(graph.nodes)):
        last = position[name]
        for user in graph.users[name]:
            reader = graph[user]
            if isinstance(reader, Fold):
                last = max(last, end[user])
            elif isinstance(reader, Unpad) or (isinstance(reader, Ifft) and not reader.real):
                last = max(last, dies[user])  # the reader is a view of it, or stands in its memory
            else:
                last = max(last, position[user])
        dies[name] = last
    return dies
