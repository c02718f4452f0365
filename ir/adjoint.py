"""The vector-Jacobian product of a program, as another program.

    y = S(x),  g given  =>  gx = (dS/dx)^T g

Every value v of the forward graph that leads to an output has a cotangent gv, the sum over v's readers of what their
transposes make of theirs. The graph that results runs depth first both ways: below each fold the forward values are
computed again (or loaded, see `SAVES`), used and forgotten, and what the branch contributes is added to the cotangent
of the spectrum it began from. A modulus is the only kind that is not linear (integrals of powers apart): its derivative
is the phase, and 0 at 0, where it has none.
"""

from __future__ import annotations

from math import inf, prod

from scatc.ir.cost import graph_costs
from scatc.ir.graph import Graph
from scatc.ir.nodes import (
    Average,
    Fft,
    Fold,
    Ifft,
    Input,
    Lowpass,
    Modulus,
    Node,
    Output,
    Pad,
    Unpad,
)
from scatc.ir.options import Options
from scatc.ir.transposed import (
    AverageT,
    Blank,
    Cotangent,
    FftT,
    FoldT,
    Gradient,
    IfftT,
    Load,
    LowpassT,
    ModulusT,
    PadT,
    Store,
    Sum,
    UnpadT,
)
from scatc.ir.values import infer

SAVES: dict[str, int | None] = {"inputs": 0, "first_order": 1, "all": None}
"""What a forward run keeps for its gradient: the orders whose wavelet coefficients are stored (None: all orders)."""

STORE_BANDWIDTH = 4e9
"""Bytes per second at which what is kept is written: to fresh memory, beyond the cache."""

MOST_KEPT = 8
"""What is kept may be so many times as large as the spectrum of the padded signal, which every run holds anyway."""

WORTH_KEEPING = 0.9
"""To this share of what it takes otherwise the time must fall, for memory that grows with the batch."""


def storing(graph: Graph, save: str) -> Graph:
    """The graph with a `store` of the wavelet coefficients Z (before the modulus) of each fold whose order is kept."""
    slots = _slots(graph, save)
    nodes: dict[str, Node] = {}
    for name, node in graph:
        nodes[name] = node
        if name in slots:
            nodes[f"K{slots[name]}"] = Store(name, slots[name])
    return Graph(graph.spec, nodes)


def adjoint(graph: Graph, save: str = "inputs") -> Graph:
    """The graph that computes the cotangent of the input.

    Parameters
    ----------
    graph : Graph
        A spectral program: what the passes leave.
    save : {'inputs', 'first_order', 'all'}
        What the forward run kept. All else is computed again.

    Returns
    -------
    Graph
        Forward values keep their names; the cotangent of `v` is called `gv`.
    """
    return _Adjoint(graph, save).run()


def cheapest_save(graph: Graph, options: Options) -> str:
    """What a forward run should keep: what makes both runs quicker by a tenth or more, within a bound on memory.

    Keeping costs a write and a read; it spares the fold and the inverse FFT, and below that what only they need.
    """
    values = infer(graph)
    spectrum = max(prod(value.grid) for value in values.values()) * 2 * options.itemsize
    best, least = "inputs", inf
    for save in SAVES:
        kept = sum(values[name].samples for name in _slots(graph, save)) * 2 * options.itemsize
        costs = graph_costs(adjoint(graph, save), options.machine, options.itemsize).values()
        seconds = sum(cost.seconds for cost in costs) + kept / STORE_BANDWIDTH
        if kept <= MOST_KEPT * spectrum and seconds < WORTH_KEEPING * least:
            best, least = save, seconds
    return best


def _orders(graph: Graph) -> dict[str, int]:
    """Of each node, how many moduli lie above it or at it."""
    found: dict[str, int] = {}
    for name, node in graph:
        found[name] = found.get(node.x, 0) + isinstance(node, Modulus)
    return found


def _slots(graph: Graph, save: str) -> dict[str, int]:
    """The inverse FFTs whose results are stored, and their slots."""
    deepest = SAVES[save]
    orders = _orders(graph)
    kept = [node.x for name, node in graph if isinstance(node, Modulus) and orders[name] <= (deepest or orders[name])]
    return {name: slot for slot, name in enumerate(kept)} if deepest != 0 else {}


class _Adjoint:
    """Walks the forward graph depth first; `nodes` is the program so far."""

    def __init__(self, graph: Graph, save: str) -> None:
        self.graph, self.values = graph, infer(graph)
        self.slots = _slots(graph, save)
        self.nodes: dict[str, Node] = {}

    def run(self) -> Graph:
        root = next(name for name, node in self.graph if isinstance(node, Input))
        self.nodes[root] = self.graph[root]
        self.add(f"g{root}_out", Gradient(self.samples(root)))
        return Graph(self.graph.spec, self.nodes).without_dead()

    def add(self, name: str, node: Node) -> str:
        self.nodes[name] = node
        return name

    def again(self, name: str) -> None:
        """Compute a forward value again."""
        self.nodes[name] = self.graph[name]

    def samples(self, name: str) -> str:
        """The cotangent of a value in samples: what all its readers contribute, the deepest branch first."""
        total = ""
        shallow = (Output, Average, Lowpass, Unpad)
        for reader in sorted(self.graph.users[name], key=lambda user: isinstance(self.graph[user], shallow)):
            part = self.through(reader, name)
            total = self.add(f"g{name}_{reader}", Sum(total, part)) if total else part
        return total

    def through(self, reader: str, name: str) -> str:
        """What a reader contributes to the cotangent of `name`."""
        node, value = self.graph[reader], self.values[name]
        if isinstance(node, Output):
            return self.add(f"g{reader}", Cotangent(name, node.paths, value.shape))
        if isinstance(node, Fft):
            spectrum = self.spectrum(reader, node)
            return self.add(f"g{reader}_t", FftT(spectrum, node.box, value.real, node.centred))
        if isinstance(node, Pad):
            self.again(reader)
            return self.add(f"g{reader}_t", PadT(self.samples(reader), node.widths, node.mode))
        below = self.leaf(reader, name)
        if isinstance(node, Lowpass):
            return self.add(f"g{reader}_t", LowpassT(below, node.level, node.by, node.kept, node.methods, node.taps))
        if isinstance(node, Average):
            return self.add(f"g{reader}_t", AverageT(below, name, node.mode, node.powers))
        assert isinstance(node, Unpad)
        return self.add(f"g{reader}_t", UnpadT(below, node.kept, value.level))

    def leaf(self, name: str, u: str) -> str:
        """The cotangent of coefficients; `u` is a value of the new program that has as many rows."""
        (reader,) = self.graph.users[name]
        node, value = self.graph[reader], self.values[name]
        if isinstance(node, Output):
            return self.add(f"g{reader}", Cotangent(u, node.paths, value.shape))
        assert isinstance(node, Unpad)
        return self.add(f"g{reader}_t", UnpadT(self.leaf(reader, u), node.kept, value.level))

    def spectrum(self, name: str, fft: Fft) -> str:
        """The cotangent of a spectrum, to which each fold of it adds what it contributes."""
        self.again(name)
        total = self.add(f"g{name}", Blank(fft.x, fft.box, self.values[name].level))
        folds = [user for user in self.graph.users[name] if isinstance(self.graph[user], Fold)]
        for fold in sorted(folds, key=lambda user: self.fold(user).half):
            node = self.fold(fold)
            part = self.averaged(fold, fft.x) if node.half else self.wavelets(fold, fft.x)
            transposed = FoldT(part, total, *(getattr(node, field) for field in Fold.__slots__))
            total = self.add(f"g{name}_{fold}", transposed)
        return total

    def fold(self, name: str) -> Fold:
        node = self.graph[name]
        assert isinstance(node, Fold)
        return node

    def averaged(self, fold: str, u: str) -> str:
        """The cotangent of a spectrum averaged by phi."""
        (inverse,) = self.graph.users[fold]
        return self.add(f"g{fold}", IfftT(self.leaf(inverse, u), real=True))

    def wavelets(self, fold: str, parent: str) -> str:
        """The cotangent of what a fold yields: forward to U, all that lies below, and back."""
        (v,) = self.graph.users[fold]
        (u,) = self.graph.users[v]
        modulus, value = self.graph[u], self.values[v]
        assert isinstance(self.graph[v], Ifft) and isinstance(modulus, Modulus)
        if v in self.slots:
            filters = len(self.fold(fold).indices)
            self.add(v, Load(parent, self.slots[v], filters, value.level, value.components))
        else:
            self.again(fold)
            self.again(v)
        self.again(u)
        phase = self.add(f"g{v}", ModulusT(self.samples(u), u, v, modulus.weights))
        return self.add(f"g{fold}", IfftT(phase))
