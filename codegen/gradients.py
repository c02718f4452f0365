"""The program of a gradient as the tree of signals that it computes again: `scatc.codegen.signals`, read backwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from scatc.codegen.signals import Result, Signal
from scatc.ir.nodes import Fold, Ifft, Input, Node
from scatc.ir.schedule import Program
from scatc.ir.transposed import (
    AverageT,
    Blank,
    Cotangent,
    FftT,
    FoldT,
    Gradient,
    IfftT,
    LowpassT,
    ModulusT,
    PadT,
    Sum,
    UnpadT,
)


@dataclass(slots=True)
class Tree:
    """The signals of a gradient.

    Attributes
    ----------
    root : Signal
        The padded input. The nodes of results are those of their cotangents.
    back : dict of str to tuple of str
        Of each signal: the nodes that its cotangent goes through, to where it is added to that of its parent.
    """

    root: Signal
    back: dict[str, tuple[str, ...]] = field(default_factory=dict)


def tree(program: Program) -> Tree:
    """The signals of a gradient that keeps nothing but the input.

    Raises
    ------
    ValueError
        If the program loads what a forward run kept.
    """
    return _Reader(program).found


class _Reader:
    """Walks from the gradient of the input to the cotangents of the outputs."""

    def __init__(self, program: Program) -> None:
        self.program, self.graph = program, program.graph
        x = next(name for name, node in self.graph if isinstance(node, Input))
        last = next(name for name, node in self.graph if isinstance(node, Gradient))
        parts = list(self._summands(self.graph[last].x))
        pads = [part for part in parts if isinstance(self.graph[part], PadT)]
        root = Signal(x, program.values[x].shape, 0, 1, ())
        for part in pads:
            padded = self.graph[part].x
            name = part.removeprefix("g").removesuffix("_t")
            root = Signal(name, program.values[padded].shape, 0, 1, (name,))
        self.found = Tree(root)
        for part in pads:
            self.found.back[root.name] = (part,)
            self._read(root, self.graph[part].x)
        for part in parts:
            if part not in pads:
                self._read(root, part)

    def _summands(self, name: str) -> Iterator[str]:
        node = self.graph[name]
        if isinstance(node, Sum):
            yield from self._summands(node.x)
            yield from self._summands(node.y)
        else:
            yield name

    def _read(self, signal: Signal, cotangent: str) -> None:
        """Enter all that a signal's cotangent is the sum of."""
        for part in self._summands(cotangent):
            node = self.graph[part]
            if isinstance(node, FftT):
                signal.spectrum = part.removeprefix("g").removesuffix("_t")
                self.found.back[signal.spectrum] = (part,)
                self._spectrum(signal, node.x)
            else:
                self._result(signal, part)

    def _spectrum(self, signal: Signal, name: str) -> None:
        """The folds that add to the cotangent of a spectrum, the last one first."""
        node = self.graph[name]
        while isinstance(node, FoldT):
            if node.half:
                self._result(signal, name)
            else:
                self._fold(signal, name, node)
            name, node = node.into, self.graph[node.into]
        assert isinstance(node, Blank)
        self.found.back[signal.spectrum] = (name, *self.found.back[signal.spectrum])
        signal.children.reverse()

    def _fold(self, parent: Signal, name: str, node: FoldT) -> None:
        phase = self.graph[self.graph[node.x].x]
        assert isinstance(phase, ModulusT)
        inverse = self.graph[phase.v]
        if not isinstance(inverse, Ifft):
            raise ValueError(f"{phase.v}: a gradient that loads what was kept has no tree of signals")
        fold = self.graph[inverse.x]
        assert isinstance(fold, Fold)
        value = self.program.values[phase.u]
        nodes = (inverse.x, phase.v, phase.u)
        child = Signal(phase.u, value.shape, value.level, value.paths, nodes, fold, parent)
        self.found.back[child.name] = (self.graph[node.x].x, node.x, name)
        parent.children.append(child)
        self._read(child, phase.x)

    def _result(self, signal: Signal, name: str) -> None:
        """The coefficients whose cotangent comes in at a node."""
        nodes = [name]
        while not isinstance(self.graph[nodes[-1]], Cotangent):
            nodes.append(self.graph[nodes[-1]].x)
        kinds: dict[type[Node], Node] = {type(self.graph[node]): self.graph[node] for node in nodes}
        cotangent = kinds[Cotangent]
        assert isinstance(cotangent, Cotangent)
        kept = cotangent.shape
        kind, first, by = "raw", (0,) * len(kept), 0
        for node in kinds.values():
            if isinstance(node, AverageT):
                kind = "integral" if node.mode == "integral" else "total"
            elif isinstance(node, LowpassT | FoldT):
                kind, by = "local", node.by
            if isinstance(node, LowpassT | UnpadT):
                first = tuple(start for start, _ in node.kept)
            assert not isinstance(node, IfftT) or node.real
        group = self.program.places[cotangent.paths[0]][0]
        signal.results.append(Result(kind, cotangent.paths, group, first, kept, by, tuple(reversed(nodes))))
