"""The cost model: arithmetic, traffic, calls and predicted time of each node, for a described machine.

Figures are for one signal of the batch and all paths of a node. The same figures choose between implementations
(`passes/lower_leaves.py`), size the loops (`schedule.py`) and print in `plan.report()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2, prod

from scatc.ir.graph import Graph
from scatc.ir.nodes import Average, Fft, Fold, Ifft, Input, Lowpass, Modulus, Node, Output, Pad, Ripple, Unpad
from scatc.ir.transposed import FftT, FoldT, IfftT, LowpassT, ModulusT
from scatc.ir.values import Value, infer


@dataclass(frozen=True, slots=True)
class Machine:
    """What the cost model needs to know of a machine and of the libraries that run on it, per worker.

    Attributes
    ----------
    name : str
    fft_rate, matmul_rate : float
        Sustained flop/s of FFTs (counted as 5 N log2 N, half of it for real ones) and of matrix products.
    bandwidth : float
        Bytes per second of element-wise passes over data in the cache.
    call : float
        Seconds of overhead per library call.
    cache_bytes : int
        Size that a worker's live values should fit.
    fft_in_place : bool
        Whether complex FFTs reuse their input's memory.
    """

    name: str = "cpu"
    fft_rate: float = 18e9
    matmul_rate: float = 70e9
    bandwidth: float = 12e9
    call: float = 4e-6
    cache_bytes: int = 1 << 20
    fft_in_place: bool = True


@dataclass(frozen=True, slots=True)
class Cost:
    """Flops, bytes read and written, library calls, and the seconds predicted from them."""

    flops: float = 0.0
    bytes: float = 0.0
    calls: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.calls + other.calls,
            self.seconds + other.seconds,
        )


def fft_flops(shape: tuple[int, ...], *, real: bool) -> float:
    """Flops of one DFT by the usual count: 5 N log2 N, half of it if one side is real."""
    n = prod(shape)
    return (2.5 if real else 5.0) * n * log2(max(n, 2))


def frame_outputs(taps: int, by: int) -> int:
    """Outputs per frame of a banded low-pass: the smallest number whose frame of samples is as long as the taps."""
    return max(-(-taps // (1 << by)), 1)


def graph_costs(graph: Graph, machine: Machine, itemsize: int) -> Mapping[str, Cost]:
    """The cost of every node of a graph, by name.

    Parameters
    ----------
    graph : Graph
    machine : Machine
    itemsize : int
        Bytes of a real number.
    """
    key = (graph_costs, machine, itemsize)
    if key not in graph.derived:
        values = infer(graph)
        graph.derived[key] = {
            name: node_cost(node, values.get(node.x), values[name], machine, itemsize) for name, node in graph
        }
    known: Mapping[str, Cost] = graph.derived[key]
    return known


def node_cost(node: Node, x: Value | None, y: Value, machine: Machine, itemsize: int) -> Cost:
    """The cost of one node, given the types of what it reads and yields."""
    if x is None or isinstance(node, Input):
        return Cost()
    flops, rate, calls = _arithmetic(node, x, y, machine)
    moved = float(_bytes(x, itemsize) + _bytes(y, itemsize))
    if isinstance(node, Fold):  # reads a window of the spectrum for each filter, and the filter
        window = prod(node.widths or x.shape) * len(node.indices) * y.components
        moved = _bytes(y, itemsize) + x.paths * window * 4.0 * itemsize
        flops = x.paths * window * (6.0 if y.components > 1 else 2.0)
    if isinstance(node, FoldT):  # the product with the filters is written, and read again to be summed
        window = prod(node.widths or y.grid) * len(node.indices) * x.components
        moved = _bytes(x, itemsize) + y.paths * window * 6.0 * itemsize
        flops = y.paths * window * 8.0
    seconds = flops / rate + moved / machine.bandwidth + calls * machine.call
    return Cost(flops, moved, calls, seconds)


def _bytes(value: Value, itemsize: int) -> int:
    return value.samples * itemsize * (1 if value.real else 2)


def _arithmetic(node: Node, x: Value, y: Value, machine: Machine) -> tuple[float, float, int]:
    """Flops, the rate at which they run, and library calls."""
    if isinstance(node, Fft):
        return x.paths * fft_flops(x.shape, real=node.real), machine.fft_rate, 2
    if isinstance(node, FftT):
        return y.paths * fft_flops(y.shape, real=node.real), machine.fft_rate, 6
    if isinstance(node, (Ifft, IfftT)):
        return y.paths * y.components * fft_flops(y.grid, real=node.real), machine.fft_rate, 1
    if isinstance(node, (Lowpass, LowpassT)):
        whole = x if isinstance(node, Lowpass) else y
        return x.paths * lowpass_flops(node, whole), machine.matmul_rate, 2 * len(node.methods)
    if isinstance(node, Ripple):
        between = node.whole * prod(x.shape)
        averaged = 2.0 * node.whole * y.samples if node.mode else 0.0
        return between * ((4.0 if x.real else 8.0) * x.paths + 4.0) + averaged, machine.matmul_rate, 4
    if isinstance(node, Modulus):
        return 4.0 * x.samples, machine.bandwidth, 1
    if isinstance(node, ModulusT):
        return 8.0 * y.samples, machine.bandwidth, 4
    if isinstance(node, Average):
        return float(x.samples * max(len(node.powers), 1)), machine.bandwidth, max(2 * len(node.powers), 1)
    if isinstance(node, Fold):
        aliases = [-(-w // m) + node.half for w, m in zip(node.widths or x.grid, y.grid, strict=True)]
        return 0.0, machine.bandwidth, 2 + (prod(aliases) if node.half else sum(aliases) - len(aliases))
    return 0.0, machine.bandwidth, {Pad: 2, Unpad: 0, Output: 1, FoldT: 4}.get(type(node), 1)


def lowpass_flops(node: Lowpass | LowpassT, x: Value) -> float:
    """Flops of a low-pass for one path: a matrix product per axis, last axis first."""
    shape = list(x.shape)
    total = 0.0
    for axis in reversed(range(len(shape))):
        start, stop = node.kept[axis]
        others = prod(shape[:axis]) * prod(shape[axis + 1 :])
        if node.methods[axis] == "dense":
            total += 2.0 * others * (stop - start) * shape[axis]
        else:
            outputs = frame_outputs(node.taps[axis], node.by)
            frames = -(-(stop - start) // outputs) + 1
            total += 2.0 * others * frames * (outputs << node.by) * 2 * outputs
        shape[axis] = stop - start
    return total
