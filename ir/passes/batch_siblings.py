"""Compute siblings together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from itertools import accumulate
from math import prod

from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.nodes import Fft, Fold, Node, Output, Stack
from scatc.ir.options import Options
from scatc.ir.values import Value, infer

SHARED_READ = 1.2
"""Siblings read one common window if it has at most so many times the bins of their own: a copy costs about that."""

NEARLY_WHOLE = 0.8
"""A window wider than this share of an axis is widened to all of it: contiguous reads are worth the few bins."""


def batch_siblings(graph: Graph, options: Options) -> Graph:
    """`(u * psi_a, u * psi_b, ..)  =>  u * (psi_a, psi_b, ..)`: one node with a path axis.

    Legal for paths under one parent (itself perhaps already batched) whose nodes have equal shapes and resolutions and
    the same descendants; filters of different scales stay apart, for their windows differ in size. Rows are ordered
    parent first. Windows get a common width, and a common start where that costs little: then the product reads the
    spectrum in place, otherwise each filter's window is gathered. What is stacked is batched up to there, and read from
    wherever its rows have come to lie.
    """
    merger = _Merger(graph)
    root = next(iter(graph.nodes), None)
    if root is not None:
        merger.merge([root], "")
    merger.stack({name: node for name, node in graph if isinstance(node, Stack)})
    return Graph(graph.spec, merger.nodes)


class _Merger:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values = infer(graph)
        self.signatures = _signatures(graph)
        self.nodes: dict[str, Node] = {}
        self.places: dict[str, tuple[str, int]] = {}  # of each value: the batched one that has it, and its first row
        self.counts: dict[str, int] = {}  # rows of batched values

    def merge(self, members: list[str], x: str) -> None:
        """Add one node for isomorphic `members` (in row order), which reads `x`, then its descendants."""
        name = _group_name(members)
        first = self.graph[members[0]]
        rows = self.values[members[0]].paths
        self.places |= {member: (name, rows * i) for i, member in enumerate(members)}
        self.counts[name] = rows * len(members)
        if isinstance(first, Output):
            self.nodes[name] = Output(x, tuple(p for m in members for p in self._output(m).paths))
        elif isinstance(first, Fold):
            self.nodes[name] = self._merge_folds(members, replace(first, x=x))
        else:
            self.nodes[name] = replace(first, x=x)
        self._below(members, name)

    def stack(self, waiting: dict[str, Stack]) -> None:
        """Add all stacks whose rows are there, then what follows of each of them, one after the other."""
        there = [name for name, node in waiting.items() if self.places.keys() >= set(node.operands)]
        for name in there:
            self._add_stack(name, waiting.pop(name))
        for name in there:
            self._below([name], name)
            self.stack(waiting)

    def _add_stack(self, name: str, node: Stack) -> None:
        """Add a stack of rows of batched values."""
        batched = dict.fromkeys(self.places[operand][0] for operand in node.operands)
        starts = dict(zip(batched, accumulate((self.counts[value] for value in batched), initial=0), strict=False))
        rows: list[int] = []
        for operand in node.operands:
            value, first = self.places[operand]
            rows += range(starts[value] + first, starts[value] + first + self.values[operand].paths)
        rows = [rows[row] for row in node.rows] if node.rows else rows
        everything = rows == list(range(sum(self.counts[value] for value in batched)))
        x, *others = batched
        self.nodes[name] = Stack(x, tuple(others), () if everything else tuple(rows))
        self.places[name], self.counts[name] = (name, 0), len(rows)

    def _below(self, members: list[str], name: str) -> None:
        """Add the descendants of isomorphic members, which one node computes, up to where values are stacked."""
        for family in self._families(members[0]):
            positions = [self.graph.users[members[0]].index(child) for child in family]
            self.merge([self.graph.users[m][p] for m in members for p in positions], name)

    def _families(self, name: str) -> list[list[str]]:
        """The users of a node, grouped into those that can be computed together, in order of first appearance.

        The spectrum comes last: with its own coefficient out of the way, U's memory is free for its children.
        """
        families: dict[int, list[str]] = {}
        for user in self.graph.users[name]:
            if isinstance(self.graph[user], Stack):
                continue
            families.setdefault(self.signatures[user], []).append(user)
        return sorted(families.values(), key=lambda family: isinstance(self.graph[family[0]], Fft))

    def _output(self, name: str) -> Output:
        node = self.graph[name]
        assert isinstance(node, Output)
        return node

    def _merge_folds(self, members: list[str], node: Fold) -> Fold:
        """One fold for the filters of all members (each filter once: members repeat them for each parent row)."""
        folds: dict[int, Fold] = {}
        for member in members:
            fold = self.graph[member]
            assert isinstance(fold, Fold)
            folds.setdefault(fold.indices[0], fold)
        starts, widths = _common_windows(list(folds.values()), self.values[self.graph[members[0]].x])
        return replace(node, indices=tuple(folds), starts=starts, widths=widths)


def _common_windows(folds: list[Fold], spectrum: Value) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Starts and common widths of the windows of sibling folds."""
    if any(not fold.widths for fold in folds):
        return (), ()
    grid = spectrum.grid
    widest = [max(fold.widths[a] for fold in folds) for a in range(len(grid))]
    widths = tuple(n if w > NEARLY_WHOLE * n else w for w, n in zip(widest, grid, strict=True))
    starts = tuple(
        tuple(0 if w == n else s for s, w, n in zip(fold.starts[0], widths, grid, strict=True)) for fold in folds
    )
    low = tuple(min(s[a] for s in starts) for a in range(len(grid)))
    hull = tuple(max(s[a] for s in starts) + widths[a] - low[a] for a in range(len(grid)))
    if all(h <= n for h, n in zip(hull, grid, strict=True)) and prod(hull) <= SHARED_READ * prod(widths):
        return (low,) * len(folds), hull
    return starts, widths


def _signatures(graph: Graph) -> dict[str, int]:
    """A number for each node, equal where nodes and all their descendants are alike.

    What a sibling may have for itself (its filter, its window, its path) does not count for the node itself, but the
    filters of its children do: children are batched over all rows of their parent, so all rows must have the same.
    """
    known = banks(graph.spec)
    numbers: dict[Hashable, int] = {}
    found: dict[str, int] = {}
    for name in reversed(list(graph.nodes)):
        node = graph[name]
        below = tuple((getattr(graph[user], "indices", ()), found[user]) for user in graph.users[name])
        own: tuple[Hashable, ...] = (node.kind,)
        if isinstance(node, Fold):
            bank, index = known[node.bank], node.indices[0]
            own += (node.bank, node.level, node.by, node.shifted, node.half, node.components)
            own += (bank.components(index), bank.info[index].j)
        elif isinstance(node, Stack):
            below = ()  # values are batched whoever reads them then
        elif not isinstance(node, Output):
            own += tuple(node.attributes().items())
        found[name] = numbers.setdefault((own, below), len(numbers))
    return found


def _group_name(members: list[str]) -> str:
    """The name of the first member, extended by the last one's path."""
    if len(members) == 1:
        return members[0]
    return f"{members[0]}_to{members[-1][members[-1].index('_') :]}"
