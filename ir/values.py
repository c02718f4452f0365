"""What each node yields: inference of shape, kind, resolution and frequency support."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.nodes import (
    Average,
    Box,
    Fft,
    Filter,
    Fold,
    Ifft,
    Input,
    Lowpass,
    Mix,
    Modulus,
    Node,
    Output,
    Pad,
    Ripple,
    Stack,
    Subsample,
    Unpad,
)
from scatc.ir.spec import Spec
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


class Value(NamedTuple):
    """The type of a value.

    Attributes
    ----------
    shape : tuple of int
        Samples per axis, or bins per axis of a spectrum.
    grid : tuple of int
        Length of each axis at this resolution: of the signal whose samples or spectrum this is.
    real : bool
        Real or complex.
    level : int
        log2 of the subsampling since the input, the same on every axis.
    spectrum : bool
        Bins of a DFT instead of samples.
    band : Box
        Frequency support: the bins, per axis, outside which the value is negligible (empty: not known to be limited).
    paths, components : int
        Sibling paths, and components per path (3D: the orders m), that the value holds.
    """

    shape: tuple[int, ...]
    grid: tuple[int, ...]
    real: bool = True
    level: int = 0
    spectrum: bool = False
    band: Box = ()
    paths: int = 1
    components: int = 1

    @property
    def samples(self) -> int:
        """Numbers held for one signal of the batch."""
        return self.paths * self.components * prod(self.shape)

    def __str__(self) -> str:
        number = "real" if self.real else "complex"
        leading = [f"{self.paths}p"] * (self.paths > 1) + [f"{self.components}c"] * (self.components > 1)
        what = "bins" if self.spectrum else "samples"
        band = "".join(f" band[{a}:{b}]" for a, b in self.band)
        return f"{number} {'x'.join([*leading, *map(str, self.shape)])} {what} @{self.level}{band}"


def infer(graph: Graph) -> Mapping[str, Value]:
    """The value of every node of a graph, by name."""
    known: Mapping[str, Value] | None = graph.derived.get(infer)
    if known is not None:
        return known
    values: dict[str, Value] = {}
    for name, node in graph:
        values[name] = infer_node(graph.spec, node, *[values[operand] for operand in node.operands])
    return keep_values(graph, values)


def keep_values(graph: Graph, values: dict[str, Value]) -> Mapping[str, Value]:
    """Let `infer` know what it would find."""
    kept: Mapping[str, Value] = graph.derived.setdefault(infer, values)
    return kept


def infer_node(spec: Spec, node: Node, *operands: Value) -> Value:
    """The value of one node, given those of its operands."""
    if isinstance(node, Input):
        return Value(spec.input_shape, spec.input_shape)
    return _RULES[type(node)](spec, node, *operands)


def _pad(spec: Spec, node: Pad, x: Value) -> Value:
    shape = tuple(left + n + right for n, (left, right) in zip(x.shape, node.widths, strict=True))
    return x._replace(shape=shape, grid=shape)


def _filter(spec: Spec, node: Filter, x: Value) -> Value:
    components = banks(spec)[node.bank].components(node.index)
    return x._replace(real=False, components=components, band=node.support)


def _subsample(spec: Spec, node: Subsample, x: Value) -> Value:
    shape = tuple(n >> node.by for n in x.shape)
    return x._replace(shape=shape, grid=shape, level=x.level + node.by, band=())


def _modulus(spec: Spec, node: Modulus, x: Value) -> Value:
    return x._replace(real=True, components=1, band=())


def _average(spec: Spec, node: Average, x: Value) -> Value:
    if node.mode == "local":
        return x._replace(band=node.support)
    shape = (len(node.powers),) if node.mode == "integral" else (1,) * spec.dim
    return x._replace(shape=shape, band=())


def _unpad(spec: Spec, node: Unpad, x: Value) -> Value:
    return x._replace(shape=tuple(b - a for a, b in node.kept))


def _fft(spec: Spec, node: Fft, x: Value) -> Value:
    shape = tuple(b - a for a, b in node.box) or x.shape
    return x._replace(shape=shape, real=False, spectrum=True, band=node.box)


def _fold(spec: Spec, node: Fold, x: Value) -> Value:
    grid = tuple(n >> node.by for n in x.grid)
    shape = (*grid[:-1], grid[-1] // 2 + 1) if node.half else grid
    components = len(node.components) or banks(spec)[node.bank].components(node.indices[0])
    return x._replace(
        shape=shape,
        grid=grid,
        level=x.level + node.by,
        paths=x.paths * len(node.indices),
        components=components,
        band=(),
    )


def _ifft(spec: Spec, node: Ifft, x: Value) -> Value:
    return x._replace(shape=x.grid, real=node.real, spectrum=False)


def _lowpass(spec: Spec, node: Lowpass, x: Value) -> Value:
    grid = tuple(n >> node.by for n in x.grid)
    return x._replace(shape=tuple(b - a for a, b in node.kept), grid=grid, level=x.level + node.by)


def _stack(spec: Spec, node: Stack, x: Value, *others: Value) -> Value:
    return x._replace(paths=len(node.rows) or x.paths + sum(other.paths for other in others))


def _mix(spec: Spec, node: Mix, x: Value) -> Value:
    return x._replace(real=x.real and node.bank != "psi_fr", paths=node.kept)


def _ripple(spec: Spec, node: Ripple, x: Value) -> Value:
    return x._replace(real=True, paths=node.kept)


def _grid(spec: Spec, level: int) -> tuple[int, ...]:
    return tuple(n >> level for n in spec.padded_shape)


def _cotangent(spec: Spec, node: Cotangent, x: Value) -> Value:
    return Value(node.shape, x.grid, level=x.level, paths=len(node.paths))


def _blank(spec: Spec, node: Blank, x: Value) -> Value:
    grid = _grid(spec, node.level)
    shape = tuple(b - a for a, b in node.box) or grid
    return Value(shape, grid, real=False, level=node.level, spectrum=True, band=node.box, paths=x.paths)


def _load(spec: Spec, node: Load, x: Value) -> Value:
    grid = _grid(spec, node.level)
    paths = x.paths * node.filters
    return Value(grid, grid, real=False, level=node.level, paths=paths, components=node.components)


def _first(spec: Spec, node: Node, x: Value, *others: Value) -> Value:
    return x


def _pad_t(spec: Spec, node: PadT, x: Value) -> Value:
    return x._replace(shape=spec.input_shape, grid=spec.input_shape)


def _fft_t(spec: Spec, node: FftT, x: Value) -> Value:
    return x._replace(shape=x.grid, real=node.real, spectrum=False, band=())


def _ifft_t(spec: Spec, node: IfftT, x: Value) -> Value:
    shape = (*x.grid[:-1], x.grid[-1] // 2 + 1) if node.real else x.grid
    return x._replace(shape=shape, real=False, spectrum=True)


def _fold_t(spec: Spec, node: FoldT, x: Value, into: Value) -> Value:
    return into


def _modulus_t(spec: Spec, node: ModulusT, x: Value, u: Value, v: Value) -> Value:
    return v


def _average_t(spec: Spec, node: AverageT, x: Value, u: Value) -> Value:
    return u


def _upsampled(spec: Spec, node: UnpadT | LowpassT, x: Value) -> Value:
    grid = _grid(spec, node.level)
    return x._replace(shape=grid, grid=grid, level=node.level)


_RULES: dict[type[Node], Callable[..., Value]] = {
    Pad: _pad,
    Filter: _filter,
    Subsample: _subsample,
    Modulus: _modulus,
    Average: _average,
    Unpad: _unpad,
    Output: _first,
    Fft: _fft,
    Fold: _fold,
    Ifft: _ifft,
    Lowpass: _lowpass,
    Stack: _stack,
    Mix: _mix,
    Ripple: _ripple,
    Cotangent: _cotangent,
    Gradient: _first,
    Sum: _first,
    Blank: _blank,
    Store: _first,
    Load: _load,
    PadT: _pad_t,
    FftT: _fft_t,
    IfftT: _ifft_t,
    FoldT: _fold_t,
    ModulusT: _modulus_t,
    AverageT: _average_t,
    UnpadT: _upsampled,
    LowpassT: _upsampled,
}
