"""A program as a tree of signals: what each U is made of, and what is made of it.

Targets that fuse do not follow nodes one by one: a signal is the modulus of a filtered spectrum (or, at the root, the
padded input), and one kernel may do all that leads from spectrum to coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from scatc.ir.nodes import Average, Fft, Fold, Ifft, Input, Lowpass, Modulus, Node, Output, Pad, Unpad
from scatc.ir.paths import Path
from scatc.ir.schedule import Program


@dataclass(frozen=True, slots=True)
class Result:
    """Coefficients of a signal.

    Attributes
    ----------
    kind : {'local', 'total', 'integral', 'raw'}
        Averaged by phi, summed over all samples, its powers summed over all samples, or the signal itself.
    paths : tuple of paths
        One for each row.
    group : int
        The output array.
    first, kept : tuple of int
        The samples that are output, of the subsampled average or of the signal: the first on each axis, and how many.
    by : int
        log2 of the subsampling.
    nodes : tuple of str
        The names of the nodes that this stands for.
    """

    kind: str
    paths: tuple[Path, ...]
    group: int
    first: tuple[int, ...]
    kept: tuple[int, ...]
    by: int
    nodes: tuple[str, ...]


@dataclass(slots=True)
class Signal:
    """One U: that of all paths which are computed together.

    Attributes
    ----------
    name : str
        That of its node.
    shape : tuple of int
        Samples on each axis.
    level : int
        log2 of the subsampling since the input.
    paths : int
        How many rows for each signal of the batch.
    nodes : tuple of str
        The names of the nodes that lead to it.
    fold : Fold or None
        How it is made of its parent's spectrum; None for the root.
    parent : Signal or None
    spectrum : str
        The name of its spectrum, if its children need one.
    results : list of Result
    children : list of Signal
    """

    name: str
    shape: tuple[int, ...]
    level: int
    paths: int
    nodes: tuple[str, ...]
    fold: Fold | None = None
    parent: Signal | None = None
    spectrum: str = ""
    results: list[Result] = field(default_factory=list)
    children: list[Signal] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Samples of a line."""
        (length,) = self.shape
        return length

    def all(self) -> Iterator[Signal]:
        """The signal, and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.all()


def signals(program: Program) -> Signal:
    """The root of a program: the padded input."""
    graph = program.graph
    x = next(name for name, node in graph if isinstance(node, Input))
    pad = next((name for name in graph.users[x] if isinstance(graph[name], Pad)), x)
    root = Signal(pad, program.values[pad].shape, 0, 1, (pad,) if pad != x else ())
    for name in dict.fromkeys((x, pad)):  # without padding, the input itself is the root
        _read(program, root, name)
    _prune(root)
    return root


def _prune(signal: Signal) -> None:
    """Leave out coefficients without samples, which short signals have, and whatever only led to them."""
    signal.results = [result for result in signal.results if all(result.kept)]
    for child in signal.children:
        _prune(child)
    signal.children = [child for child in signal.children if child.results or child.children]
    if not signal.children and signal.parent is not None:
        signal.spectrum = ""


def _read(program: Program, signal: Signal, name: str) -> None:
    """Enter all that is made of a node's value."""
    graph = program.graph
    for user in graph.users[name]:
        node = graph[user]
        if isinstance(node, Fft):
            signal.spectrum = user
            for fold in graph.users[user]:
                _fold(program, signal, fold)
        elif not isinstance(node, Pad):
            signal.results.append(_result(program, signal, [user]))


def _fold(program: Program, signal: Signal, name: str) -> None:
    graph = program.graph
    node = graph[name]
    assert isinstance(node, Fold)
    (inverse,) = graph.users[name]
    if node.half:
        signal.results.append(_result(program, signal, [name]))
        return
    (modulus,) = graph.users[inverse]
    if not (isinstance(graph[inverse], Ifft) and isinstance(graph[modulus], Modulus) and node.shifted):
        raise ValueError(f"{name}: a fold must lead to a modulus by way of an inverse FFT, and may begin at any bin")
    value = program.values[modulus]
    child = Signal(modulus, value.shape, value.level, value.paths, (name, inverse, modulus), node, signal)
    signal.children.append(child)
    _read(program, child, modulus)


def _result(program: Program, signal: Signal, nodes: list[str]) -> Result:
    """The coefficients that a chain of nodes leads to, of which the first is known."""
    graph = program.graph
    while not isinstance(graph[nodes[-1]], Output):
        nodes += graph.users[nodes[-1]]
    kinds: dict[type[Node], Node] = {type(graph[name]): graph[name] for name in nodes}
    output = kinds[Output]
    assert isinstance(output, Output)
    kept = program.values[nodes[-1]].shape
    kind, first, by = "raw", (0,) * len(kept), 0
    for node in kinds.values():
        if isinstance(node, Average):
            kind = "integral" if node.mode == "integral" else "total"
        elif isinstance(node, Lowpass | Fold):
            kind, by = "local", node.by
        if isinstance(node, Lowpass | Unpad):
            first = tuple(start for start, _ in node.kept)
    return Result(kind, output.paths, program.places[output.paths[0]][0], first, kept, by, tuple(nodes))
