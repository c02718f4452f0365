"""The oracle of gradients: a float64 reverse sweep through a scattering graph, node by node, as calculus says.

It shares nothing with the programs of gradients that `adjoint.py` makes, and knows no spectra: a filter is transposed
by the conjugate filter, a subsampling by putting zeros between samples, a modulus by the phase.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters import banks
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.graph import Graph
from scatc.ir.interpret import evaluate
from scatc.ir.nodes import Average, Filter, Modulus, Node, Output, Pad, Subsample, Unpad
from scatc.ir.paths import Path
from scatc.ir.spec import Spec

Array = NDArray[Any]


def reverse(graph: Graph, x: Array, g: Mapping[Path, Array]) -> Array:
    """The gradient of ``sum_p <g_p, S_p(x)>`` with respect to x.

    Parameters
    ----------
    graph : Graph
        A scattering graph (what `lower` gives).
    x : array, shape ``batch + spec.input_shape``
    g : mapping of path to array
        Shaped as `interpret` returns the coefficients.

    Returns
    -------
    array, shape of x
    """
    spec = graph.spec
    x = np.asarray(x, dtype=np.float64)
    values = evaluate(graph, x)
    cotangents = {name: np.zeros_like(value) for name, value in values.items()}
    for name in reversed(list(graph.nodes)):
        node = graph[name]
        if isinstance(node, Output):
            rows = [np.asarray(g[path], np.float64) for path in node.paths]
            shape = (len(values[name]), 1, *values[name].shape[2:])
            cotangents[node.x] += np.concatenate([row.reshape(shape) for row in rows], axis=1)
        elif node.operands:
            part = _RULES[type(node)](spec, node, cotangents[name], values[node.x], values[name])
            cotangents[node.x] += part if np.iscomplexobj(values[node.x]) else part.real
    return cotangents[next(iter(graph.nodes))].reshape(x.shape)


def _axes(spec: Spec) -> tuple[int, ...]:
    return tuple(range(-spec.dim, 0))


def _along(x: Array, axis: int, matrix: Array) -> Array:
    """Samples along an axis times a matrix."""
    return np.moveaxis(np.moveaxis(x, axis, -1) @ matrix, -1, axis)


def _correlate(spec: Spec, g: Array, response: Array) -> Array:
    """The transpose of the circular convolution with a filter of this response."""
    spectrum = np.fft.fftn(g, axes=_axes(spec)) * np.conj(response)
    return np.fft.ifftn(spectrum, axes=_axes(spec))


def _pad(spec: Spec, node: Pad, g: Array, x: Array, y: Array) -> Array:
    for axis, n, (left, right) in zip(_axes(spec), spec.input_shape, node.widths, strict=True):
        index = extension_index(n, left, right, cast(Padding, node.mode))
        g = _along(g, axis, (index[:, None] == np.arange(n)).astype(np.float64))
    return g


def _filter(spec: Spec, node: Filter, g: Array, x: Array, y: Array) -> Array:
    response = banks(spec)[node.bank].response(node.index, node.level)
    return np.asarray(_correlate(spec, g, response).sum(axis=2, keepdims=True))


def _subsample(spec: Spec, node: Subsample, g: Array, x: Array, y: Array) -> Array:
    spread = np.zeros(x.shape, g.dtype)
    index: Any = (..., *[slice(None, None, 1 << node.by)] * spec.dim)
    spread[index] = g
    return spread


def _modulus(spec: Spec, node: Modulus, g: Array, x: Array, y: Array) -> Array:
    weights = np.reshape(node.weights or (1,) * x.shape[2], (-1,) + (1,) * spec.dim)
    safe = np.where(y > 0, y, 1)
    phase = x.real / safe + 1j * (x.imag / safe)  # by parts: 1 / y may be infinite
    return np.where(y > 0, weights * phase * g, 0)


def _average(spec: Spec, node: Average, g: Array, x: Array, y: Array) -> Array:
    if node.mode == "local":
        return _correlate(spec, g, banks(spec)["phi"].response(0, node.level))
    if node.mode == "global":
        return np.broadcast_to(g, x.shape)
    safe = np.where(x > 0, x, 1)
    slopes = [q * np.where(x > 0, safe ** (q - 1), 0) for q in node.powers]
    parts = [slope * g[..., i].reshape(*g.shape[:-1], *(1,) * spec.dim) for i, slope in enumerate(slopes)]
    return np.asarray(sum(parts, np.zeros(x.shape)))


def _unpad(spec: Spec, node: Unpad, g: Array, x: Array, y: Array) -> Array:
    index: Any = (..., *[slice(a, b) for a, b in node.kept])
    padded = np.zeros(x.shape, g.dtype)
    padded[index] = g
    return padded


_RULES: dict[type[Node], Callable[[Spec, Any, Array, Array, Array], Array]] = {
    Pad: _pad,
    Filter: _filter,
    Subsample: _subsample,
    Modulus: _modulus,
    Average: _average,
    Unpad: _unpad,
}
