"""The oracle: every node evaluated in float64 as its definition says, one after the other.

No batching over paths beyond what the graph states, no real-FFT shortcuts, no reuse of memory. Values are arrays of
shape `(batch, paths, components, *samples or bins)`; spectra hold the bins of their box in natural order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters import Band, banks
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.graph import Graph
from scatc.ir.nodes import (
    Average,
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
from scatc.ir.paths import Path
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
from scatc.ir.values import Value, infer_node

Array = NDArray[Any]


def interpret(graph: Graph, x: Array) -> dict[Path, Array]:
    """Evaluate a graph.

    Parameters
    ----------
    graph : Graph
        At either level.
    x : array, shape ``batch + spec.input_shape``
        Real; computed in float64.

    Returns
    -------
    dict of path to array, shape ``batch + samples``
        In the order of the graph's outputs.
    """
    x = np.asarray(x, dtype=np.float64)
    batch = x.shape[: x.ndim - graph.spec.dim]
    values = evaluate(graph, x)
    found: dict[Path, Array] = {}
    for name, node in graph.outputs:
        rows = values[name][:, :, 0]
        found |= {path: rows[:, i].reshape(batch + rows.shape[2:]) for i, path in enumerate(node.paths)}
    return found


def interpret_vjp(graph: Graph, x: Array, g: Mapping[Path, Array], saved: Mapping[int, Array] | None = None) -> Array:
    """Evaluate a program that `scatc.ir.adjoint` made.

    Parameters
    ----------
    graph : Graph
    x : array, shape ``batch + spec.input_shape``
    g : mapping of path to array
        Cotangents of the outputs, shaped as `interpret` returns these.
    saved : mapping of slot to array, optional
        What the forward graph stored (`evaluate` has it under the names of the stores).

    Returns
    -------
    array, shape of x
    """
    x = np.asarray(x, dtype=np.float64)
    values = evaluate(graph, x, g, saved or {})
    (name,) = (name for name, node in graph if isinstance(node, Gradient))
    return values[name].reshape(x.shape)


def evaluate(
    graph: Graph, x: Array, g: Mapping[Path, Array] | None = None, saved: Mapping[int, Array] | None = None
) -> dict[str, Array]:
    """The value of every node, by name, each of shape ``(batch, paths, components, *samples or bins)``."""
    spec = graph.spec
    count = math.prod(x.shape[: x.ndim - spec.dim])
    values: dict[str, Array] = {}
    types: dict[str, Value] = {}
    for name, node in graph:
        types[name] = infer_node(spec, node, *(types[operand] for operand in node.operands))
        if isinstance(node, Input):
            values[name] = x.reshape(count, 1, 1, *spec.input_shape)
        elif isinstance(node, Cotangent):
            rows = [np.asarray((g or {})[path], np.float64).reshape(count, 1, *node.shape) for path in node.paths]
            values[name] = np.stack(rows, axis=1)
        elif isinstance(node, Load):
            values[name] = (saved or {})[node.slot]
        else:
            operands = [values[operand] for operand in node.operands]
            values[name] = _RULES[type(node)](spec, node, *operands, types[node.operands[-1]])
    return values


def _axes(spec: Spec) -> tuple[int, ...]:
    return tuple(range(-spec.dim, 0))


def _cut(x: Array, last_axes: list[slice]) -> Array:
    index: Any = (..., *last_axes)
    return np.asarray(x[index])


def _pad(spec: Spec, node: Pad, x: Array, value: Value) -> Array:
    for axis, (left, right) in zip(_axes(spec), node.widths, strict=True):
        index = extension_index(x.shape[axis], left, right, cast(Padding, node.mode))
        shape = [1] * x.ndim
        shape[axis] = -1
        x = np.where((index >= 0).reshape(shape), np.take(x, np.maximum(index, 0), axis), 0.0)
    return x


def _convolve(spec: Spec, x: Array, response: Array) -> Array:
    return np.fft.ifftn(np.fft.fftn(x, axes=_axes(spec)) * response, axes=_axes(spec))


def _filter(spec: Spec, node: Filter, x: Array, value: Value) -> Array:
    return _convolve(spec, x, banks(spec)[node.bank].response(node.index, node.level))


def _subsample(spec: Spec, node: Subsample, x: Array, value: Value) -> Array:
    return _cut(x, [slice(None, None, 1 << node.by)] * spec.dim)


def _modulus(spec: Spec, node: Modulus, x: Array, value: Value) -> Array:
    if x.shape[2] == 1 and node.weights in ((), (1,)):
        return np.asarray(np.abs(x))
    weights = np.reshape(node.weights or (1,) * x.shape[2], (-1,) + (1,) * spec.dim)
    return np.asarray(np.sqrt(np.sum(weights * np.abs(x) ** 2, axis=2, keepdims=True)))


def _average(spec: Spec, node: Average, x: Array, value: Value) -> Array:
    if node.mode == "local":
        return _convolve(spec, x, banks(spec)["phi"].response(0, node.level)).real
    if node.mode == "global":
        return np.asarray(np.sum(x, axis=_axes(spec), keepdims=True))
    return np.stack([(x**q).sum(axis=_axes(spec)) for q in node.powers], axis=-1)


def _unpad(spec: Spec, node: Unpad, x: Array, value: Value) -> Array:
    return _cut(x, [slice(a, b) for a, b in node.kept])


def _output(spec: Spec, node: Output, x: Array, value: Value) -> Array:
    return x


def _fft(spec: Spec, node: Fft, x: Array, value: Value) -> Array:
    if node.centred:
        x = x - np.mean(x, axis=_axes(spec), keepdims=True)
    spectrum = np.fft.fftn(x, axes=_axes(spec))
    for axis, (start, stop) in zip(_axes(spec), node.box, strict=False):
        spectrum = np.take(spectrum, np.arange(start, stop), axis, mode="wrap")
    return spectrum


def _fold(spec: Spec, node: Fold, x: Array, value: Value) -> Array:
    """One filter at a time, one axis at a time: `folding[m, i]` is 1 where bin i of the window lands on bin m."""
    held = value.band or tuple((0, n) for n in value.grid)
    widths = node.widths or value.grid
    rows = []
    for f, index in enumerate(node.indices):
        starts = node.starts[f] if node.starts else (0,) * spec.dim
        box = tuple(Band(s, s + w) for s, w in zip(starts, widths, strict=True))
        response = banks(spec)[node.bank].window(index, node.level, box)
        y = x
        for axis, start, width, (first, _) in zip(_axes(spec), starts, widths, held, strict=True):
            y = np.take(y, np.arange(start, start + width) - first, axis, mode="wrap")
        y = y * (response[list(node.components)] if node.components else response)
        for axis, start, n in zip(_axes(spec), starts, value.grid, strict=True):
            bins, length = np.arange(y.shape[axis]), n >> node.by
            folding = np.zeros((length, len(bins)))
            folding[(bins if node.shifted else start + bins) % length, bins] = 1 / (1 << node.by)
            y = np.moveaxis(np.moveaxis(y, axis, -1) @ folding.T, -1, axis)
        rows.append(y[..., : y.shape[-1] // 2 + 1] if node.half else y)
    stacked = np.stack(rows, axis=2)
    return stacked.reshape(len(x), x.shape[1] * len(rows), *stacked.shape[3:])


def _ifft(spec: Spec, node: Ifft, x: Array, value: Value) -> Array:
    return np.fft.irfftn(x, value.grid, _axes(spec)) if node.real else np.fft.ifftn(x, axes=_axes(spec))


def _lowpass(spec: Spec, node: Lowpass, x: Array, value: Value) -> Array:
    phi = banks(spec)["phi"]
    for axis, (start, stop) in zip(_axes(spec), node.kept, strict=True):
        taps = np.fft.ifft(phi.axis_response(spec.dim + axis, node.level)).real
        centres = np.arange(start, stop) << node.by
        matrix = taps[(centres[:, None] - np.arange(x.shape[axis])) % x.shape[axis]]
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    return x


def _stack(spec: Spec, node: Stack, x: Array, *others: Any) -> Array:
    stacked = np.concatenate((x, *others[:-1]), axis=1)  # the last is a type, not a value
    return stacked[:, list(node.rows)] if node.rows else stacked


def _mix(spec: Spec, node: Mix, x: Array, value: Value) -> Array:
    if not node.bank:
        return np.asarray(x.sum(axis=1, keepdims=True))
    bank = banks(spec)[node.bank]
    (n,) = bank.grid(node.level)
    spectrum = np.moveaxis(np.fft.fft(x, n, axis=1), 1, -1)  # fft pads with zeros
    y = np.fft.ifft(spectrum * bank.response(node.index, node.level)[0])[..., :: 1 << node.by]
    y = np.moveaxis(y, -1, 1)[:, : node.kept]
    return y.real if value.real and node.bank == "phi_fr" else y


def _ripple(spec: Spec, node: Ripple, x: Array, value: Value) -> Array:
    first, *then = node.mixes
    y = np.abs(_mix(spec, first, x, value))
    return _mix(spec, then[0], y, value._replace(real=True)) if then else np.asarray(y)


def _sum(spec: Spec, node: Sum, x: Array, y: Array, value: Value) -> Array:
    return np.asarray(x + y)


def _blank(spec: Spec, node: Blank, x: Array, value: Value) -> Array:
    shape = infer_node(spec, node, value).shape
    return np.zeros((*x.shape[:2], 1, *shape), np.complex128)


def _pad_t(spec: Spec, node: PadT, x: Array, value: Value) -> Array:
    for axis, n, (left, right) in zip(_axes(spec), spec.input_shape, node.widths, strict=True):
        index = extension_index(n, left, right, cast(Padding, node.mode))
        extension = np.zeros((len(index), n))
        extension[index >= 0, index[index >= 0]] = 1
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ extension, -1, axis)
    return x


def _fft_t(spec: Spec, node: FftT, x: Array, value: Value) -> Array:
    for axis, n, (start, stop) in zip(_axes(spec), value.grid, node.box, strict=False):
        placing = np.zeros((stop - start, n))
        placing[np.arange(stop - start), np.arange(start, stop) % n] = 1
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ placing, -1, axis)
    u: Array = np.fft.ifftn(x, axes=_axes(spec), norm="forward")
    u = u.real if node.real else u
    return u - np.mean(u, axis=_axes(spec), keepdims=True) if node.centred else u


def _ifft_t(spec: Spec, node: IfftT, x: Array, value: Value) -> Array:
    if not node.real:
        return np.fft.fftn(x, axes=_axes(spec), norm="forward")
    half = np.fft.rfftn(x, axes=_axes(spec), norm="forward")
    half[..., 1 : (x.shape[-1] + 1) // 2] *= 2
    return half


def _fold_t(spec: Spec, node: FoldT, x: Array, into: Array, value: Value) -> Array:
    """As `_fold` does, with the matrices `folding` transposed, and the windows placed instead of taken."""
    grid = value.grid
    held = value.band or tuple((0, n) for n in grid)
    widths = node.widths or grid
    x = x.reshape(len(x), into.shape[1], len(node.indices), *x.shape[2:])
    total = np.array(into)
    for f, index in enumerate(node.indices):
        starts = node.starts[f] if node.starts else (0,) * spec.dim
        response = banks(spec)[node.bank].window(
            index, node.level, tuple(Band(s, s + w) for s, w in zip(starts, widths, strict=True))
        )
        response = response[list(node.components)] if node.components else response
        y = x[:, :, f]
        for axis, start, width, n in zip(_axes(spec), starts, widths, grid, strict=True):
            length = n >> node.by
            folding = np.zeros((y.shape[axis], width))
            rows = (np.arange(width) + (0 if node.shifted else start)) % length
            kept = rows < y.shape[axis]
            folding[rows[kept], np.flatnonzero(kept)] = 1 / (1 << node.by)
            y = np.moveaxis(np.moveaxis(y, axis, -1) @ folding, -1, axis)
        y = (y * np.conj(response)).sum(axis=2, keepdims=True)
        for axis, start, width, (first, stop) in zip(_axes(spec), starts, widths, held, strict=True):
            count = stop - first
            placing = np.zeros((width, count))
            placing[np.arange(width), (np.arange(start, start + width) - first) % count] = 1
            y = np.moveaxis(np.moveaxis(y, axis, -1) @ placing, -1, axis)
        total += y
    return total


def _modulus_t(spec: Spec, node: ModulusT, x: Array, u: Array, v: Array, value: Value) -> Array:
    weights = np.reshape(node.weights or (1,) * v.shape[2], (-1,) + (1,) * spec.dim)
    safe = np.where(u > 0, u, 1)
    phase = v.real / safe + 1j * (v.imag / safe)  # by parts: 1 / u may be infinite
    return np.asarray(np.where(u > 0, weights * phase * x, 0))


def _average_t(spec: Spec, node: AverageT, x: Array, u: Array, value: Value) -> Array:
    if node.mode == "global":
        return np.asarray(np.broadcast_to(x, u.shape))
    total = np.zeros_like(u)
    for i, q in enumerate(node.powers):
        slope = np.power(u, q - 1, out=np.zeros_like(u), where=u > 0)
        total += q * slope * x[..., i].reshape(*x.shape[:-1], *(1,) * spec.dim)
    return total


def _unpad_t(spec: Spec, node: UnpadT, x: Array, value: Value) -> Array:
    grid = infer_node(spec, node, value).shape
    widths = [(0, 0)] * 3 + [(a, n - b) for (a, b), n in zip(node.kept, grid, strict=True)]
    return np.pad(x, widths)


def _lowpass_t(spec: Spec, node: LowpassT, x: Array, value: Value) -> Array:
    phi, grid = banks(spec)["phi"], infer_node(spec, node, value).shape
    for axis, n, (start, stop) in zip(_axes(spec), grid, node.kept, strict=True):
        taps = np.fft.ifft(phi.axis_response(spec.dim + axis, node.level)).real
        centres = np.arange(start, stop) << node.by
        matrix = taps[(centres[:, None] - np.arange(n)) % n]
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix, -1, axis)
    return x


_RULES: dict[type[Node], Callable[..., Array]] = {
    Pad: _pad,
    Filter: _filter,
    Subsample: _subsample,
    Modulus: _modulus,
    Average: _average,
    Unpad: _unpad,
    Output: _output,
    Fft: _fft,
    Fold: _fold,
    Ifft: _ifft,
    Lowpass: _lowpass,
    Stack: _stack,
    Mix: _mix,
    Ripple: _ripple,
    Gradient: _output,
    Sum: _sum,
    Blank: _blank,
    Store: _output,
    PadT: _pad_t,
    FftT: _fft_t,
    IfftT: _ifft_t,
    FoldT: _fold_t,
    ModulusT: _modulus_t,
    AverageT: _average_t,
    UnpadT: _unpad_t,
    LowpassT: _lowpass_t,
}
