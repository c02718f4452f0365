"""The depth-first schedule: how many siblings and signals run together, and where each value lives.

A `Program` is a batched graph with loops. Every fold may split its filters into chunks; everything below it runs inside
that loop, so at any moment only one chain of ancestors is alive. Buffers of values whose lives do not overlap share
memory in one arena per worker. Programs of gradients are no different: what a branch adds to the cotangent of its
parent's spectrum it adds inside its loop, to a buffer that lives outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, prod
from typing import Protocol

from scatc.ir.cost import Cost, graph_costs
from scatc.ir.errors import CompileError
from scatc.ir.graph import Graph
from scatc.ir.nodes import Average, Fold, Ifft, Input, Lowpass, Node, Stack, Unpad
from scatc.ir.options import Options
from scatc.ir.text import print_node
from scatc.ir.transposed import AverageT, Cotangent, FoldT, Gradient, IfftT, Load, ModulusT, Store, Sum
from scatc.ir.values import Value, infer

ALIGNMENT = 64

MOST_OVERHEAD = 0.06
"""Calls' overhead beyond this share of the work makes a batch larger than the cache would have it."""
MOST_BUDGETS, MOST_BUDGETS_WHOLE = 2, 16
"""How much larger; the second for programs without loops, of which the cache holds a part at a time anyway."""


_VIEWS = (Unpad, Sum, AverageT)
"""Kinds whose values may be views of others'."""
_INVERSE = (Ifft, IfftT)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a node for one row: in the arena or held outside of it while the value lives, and during the step only.

    What a step needs in the arena (`step`) counts for each row of its input.
    """

    arena: int = 0
    held: int = 0
    scratch: int = 0
    step: int = 0


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
        For each fold (or load), how many of its filters run together.
    workers : int
    offsets : Mapping of str to int
        Where in the arena each value lives (or what its step needs), in bytes for one signal (a chunk of n signals uses
        n times as much).
    arena, outside : int
        Bytes for one signal: of the arena, and of the most that lives outside of it at one time.
    rows : Mapping of str to int
        Rows of each value for one signal, at most.
    deaths : Mapping of str to tuple of str
        After which node which values outside of the arena, and views of such, are of no more use.
    seconds_a_call : float
        Predicted work of the mean library call for one signal, its overhead not counted; 0 if nobody has asked.
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
    def values(self) -> Mapping[str, Value]:
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
        shapes |= {p: node.shape for _, node in self.graph if isinstance(node, Cotangent) for p in node.paths}
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
    def slots(self) -> tuple[tuple[int, ...], ...]:
        """The shape of what each slot keeps of one signal: filters of each fold, components if several, samples."""
        found: dict[int, tuple[int, ...]] = {}
        for name, node in self.graph:
            if isinstance(node, Store | Load):
                value = self.values[name]
                counts = [filters(self.graph[fold]) for fold in self.within[name]]
                found[node.slot] = (*counts, *[value.components] * (value.components > 1), *value.shape)
        return tuple(found[slot] for slot in sorted(found))

    @cached_property
    def around(self) -> dict[str, tuple[str, ...]]:
        """Of each node: the folds in whose loops it runs, itself included if it is one, outermost first."""
        return _loops(self.graph)[0]

    @cached_property
    def within(self) -> dict[str, tuple[str, ...]]:
        """Of each node: the folds over whose filters its value has rows, outermost first."""
        return _loops(self.graph)[1]

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """The folds of the input's spectrum: what lies below one needs the trunk, and none of the others.

        None where values of several are stacked.
        """
        if is_whole(self.graph):
            return ()
        return tuple(
            name
            for name, node in self.graph
            if filters(node) and not (isinstance(node, Fold) and node.half) and self.around[name] == (name,)
        )

    def branch(self, name: str) -> str | None:
        """The branch that a node is in, or None for the trunk."""
        first = self.around[name][:1]
        return first[0] if first and first[0] in self.branches else None

    @cached_property
    def rest(self) -> frozenset[str]:
        """The nodes of the trunk that run after the branches."""
        trunk: list[str] = []
        for name in reversed(list(self.graph.nodes)):
            if self.branch(name) is not None:
                return frozenset(trunk)
            trunk.append(name)
        return frozenset()

    def __str__(self) -> str:
        """The schedule as text: loops indented, each value's place in the arena behind it."""
        lines = [f"program batch={self.batch} workers={self.workers} arena={self.arena} outside={self.outside}"]
        for name, node in self.graph:
            depth = sum(self.split(fold) for fold in self.around[name])
            if self.split(name):
                lines.append(f"{'  ' * depth}for {self.chunks[name]} of {filters(node)} filters of {name}:")
            place = f"  # arena +{self.offsets[name]}" if name in self.offsets else ""
            lines.append(f"{'  ' * (depth + 1)}{print_node(name, node)}{place}")
        return "\n".join(lines) + "\n"

    def split(self, fold: str) -> bool:
        """Whether a fold's filters run in chunks: branches always may, so that workers can share one."""
        return fold in self._splits

    @cached_property
    def _splits(self) -> frozenset[str]:
        return frozenset(
            name
            for name, node in self.graph
            if (count := filters(node)) and (self.chunks[name] < count or name in self.branches)
        )


def filters(node: Node) -> int:
    """Over how many filters a node opens a loop; 0 for a node that opens none."""
    return len(node.indices) if isinstance(node, Fold) else node.filters if isinstance(node, Load) else 0


def _loops(graph: Graph) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Of each node: the loops that its code runs in, and those over whose filters its value has rows."""
    if _loops in graph.derived:
        known: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = graph.derived[_loops]
        return known
    around: dict[str, tuple[str, ...]] = {}
    within: dict[str, tuple[str, ...]] = {}
    for name, node in graph:
        several = isinstance(node, Stack)  # of several loops, whose rows are all there
        outer = () if several else max((within[operand] for operand in node.operands), key=len, default=())
        around[name] = (*outer, name) if filters(node) else outer
        within[name] = within[node.into] if isinstance(node, FoldT) else around[name]
    graph.derived[_loops] = around, within
    return around, within


def schedule(graph: Graph, options: Options, memory: MemoryModel) -> Program:
    """Size the loops so that a worker's live values fit the cache, and obey `memory_limit`.

    Raises
    ------
    CompileError
        If even one signal and one path at a time on one worker need more than `memory_limit`.
    """
    budget, workers = options.machine.cache_bytes, options.workers
    whole = is_whole(graph)
    footprints = _footprints(graph, memory)
    work = seconds_a_call(graph, options)
    signals = ceil(options.machine.call / (MOST_OVERHEAD * work))
    while True:
        chunks = _sizes(graph, budget, footprints)
        one = arrange(graph, 1, chunks, workers, memory)
        # as many signals as fit the budget; more, up to a few budgets, where calls are short
        size, most = max(one.arena + one.outside, 1), MOST_BUDGETS_WHOLE if whole else MOST_BUDGETS
        batch = max(1, budget // size, min(signals, most * budget // size))
        program = replace(one, batch=batch, seconds_a_call=work)
        if options.memory_limit is None or program.working_bytes <= options.memory_limit:
            return program
        if program.batch > 1 or (not whole and any(chunk > 1 for chunk in program.chunks.values())):
            budget //= 2
        elif workers > 1:
            workers -= 1
        else:
            gradient = any(isinstance(node, Gradient | Store) for _, node in graph)
            raise CompileError(
                f"memory_limit={options.memory_limit} bytes is too small{' for the gradient' if gradient else ''}: "
                f"one signal {'' if whole else 'and one path '}at a time on one worker need {program.working_bytes} "
                "bytes; raise memory_limit, or select fewer paths"
            )


def is_whole(graph: Graph) -> bool:
    """Whether rows of several loops are stacked, so that every value has all its rows at once."""
    return any(isinstance(node, Stack) for _, node in graph)


def seconds_a_call(graph: Graph, options: Options) -> float:
    """Predicted work of the mean library call for one signal, its overhead not counted."""
    total = sum(graph_costs(graph, options.machine, options.itemsize).values(), Cost())
    return max(total.seconds / max(total.calls, 1) - options.machine.call, 1e-9)


def _sizes(graph: Graph, budget: int, footprints: Mapping[str, Footprint]) -> dict[str, int]:
    """Of each loop, how many filters keep the live values of one signal within a budget of bytes."""
    if is_whole(graph):
        return {name: count for name, node in graph if (count := filters(node))}
    chunks: dict[str, int] = {}
    around, within = _loops(graph)
    for name, node in graph:
        if count := filters(node):
            rows = prod(chunks[fold] for fold in around[name][:-1])
            unit = sum(_lasting(graph[n], footprints[n]) for n in graph.nodes if within[n] == around[name])
            together = min(max(budget // max(rows * unit, 1), 1), count)
            chunks[name] = -(-count // -(-count // together))  # equal chunks
    return chunks


def _lasting(node: Node, footprint: Footprint) -> int:
    """Bytes of a value for one filter, those of averages, which are small and soon gone, not counted."""
    return 0 if isinstance(node, Lowpass | Average) else footprint.arena + footprint.held


def arrange(graph: Graph, batch: int, chunks: Mapping[str, int], workers: int, memory: MemoryModel) -> Program:
    """The program of a graph whose loops are sized: rows, lifetimes and places in the arena follow from that."""
    footprints = _footprints(graph, memory)
    within = _loops(graph)[1]
    rows = {name: prod(chunks[fold] for fold in within[name]) for name in graph.nodes}
    if whole := is_whole(graph):
        rows = {name: value.paths for name, value in infer(graph).items()}
    dies = _last_uses(graph)
    offsets, arena, outside = _place(graph, footprints, rows, dies)
    if whole:  # such code has no arena
        offsets, arena, outside = {}, 0, arena + outside
    deaths: dict[str, tuple[str, ...]] = {}
    order = list(graph.nodes)
    for name in order:
        if footprints[name].held or isinstance(graph[name], _VIEWS):
            deaths[order[dies[name]]] = (*deaths.get(order[dies[name]], ()), name)
    return Program(graph, batch, chunks, workers, offsets, arena, outside, rows, deaths)


def _footprints(graph: Graph, memory: MemoryModel) -> dict[str, Footprint]:
    values = infer(graph)
    return {
        name: Footprint() if isinstance(node, Input) else memory.footprint(node, values[node.x], values[name])
        for name, node in graph
    }


def _place(
    graph: Graph, footprints: Mapping[str, Footprint], rows: Mapping[str, int], dies: Mapping[str, int]
) -> tuple[dict[str, int], int, int]:
    """Offsets in the arena by first fit over lifetimes, the arena's size, and the peak outside of it."""
    offsets: dict[str, int] = {}
    live: dict[str, tuple[int, int]] = {}
    ending: dict[int, list[str]] = {}
    for name, last in dies.items():
        ending.setdefault(last, []).append(name)
    arena = outside = held = 0
    for i, (name, node) in enumerate(graph):
        foot, r = footprints[name], rows[name]
        held += r * foot.held
        parents = rows.get(node.x, 1)
        outside = max(outside, held + max(r, parents) * foot.scratch)
        if needed := r * foot.arena or parents * foot.step:
            size = -(-needed // ALIGNMENT) * ALIGNMENT
            start = 0
            for a, b in sorted(live.values()):
                if a - start >= size:
                    break
                start = max(start, b)
            if foot.arena:
                live[name] = start, start + size
            offsets[name] = start
            arena = max(arena, start + size)
        for ended in ending.get(i, ()):
            live.pop(ended, None)
            held -= rows[ended] * footprints[ended].held
    return offsets, arena, outside


def _last_uses(graph: Graph) -> dict[str, int]:
    """The position of the last step at which each value must still be there.

    What a loop reads that was made outside of it is read in every round: it lives to the loop's end. A value in whose
    memory its reader stands lives as long as the reader.
    """
    position = {name: i for i, name in enumerate(graph.nodes)}
    around, within = _loops(graph)
    ends = {fold: position[name] for name in graph.nodes for fold in around[name]}
    dies: dict[str, int] = {}
    for name in reversed(list(graph.nodes)):
        last = position[name]
        for user in graph.users[name]:
            inner = around[user][len(within[name]) :]
            last = max(last, ends[inner[0]] if inner else position[user])
            if name in _reused(graph[user]):
                last = max(last, dies[user])
        dies[name] = last
    return dies


def _reused(node: Node) -> tuple[str, ...]:
    """The operands in whose memory a node's value may stand."""
    if isinstance(node, _VIEWS) or (isinstance(node, _INVERSE) and not node.real):
        return (node.x,)
    return (node.v,) if isinstance(node, ModulusT) else (node.into,) if isinstance(node, FoldT) else ()
