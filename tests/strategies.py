"""What property tests draw: small transforms of every kind, signals, selections of paths.

Each spec is built so that it is valid, from the bounds that `Spec` itself states: nothing drawn is thrown away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from scatc.ir import geometry
from scatc.ir.paths import Path, all_paths
from scatc.ir.spec import Spec

PADDINGS = ("reflect", "zero", "periodic")
SIGNALS = ("noise", "zeros", "impulse", "constant", "chirp")


@st.composite
def specs(
    draw: st.DrawFn, dims: Sequence[int] = (1, 2, 3), max_side: int = 64, max_paths: int = 80, max_order: int = 3
) -> Spec:
    """Draw a small spec.

    Parameters
    ----------
    dims : sequence of int
        The dimensions to draw from.
    max_side : int
        Longest signal in 1D; images have sides up to 3/8 of it (at least 2), volumes up to 1/8 of it (at least 1).
    max_paths : int
        The order is lowered until the transform has at most so many paths.
    max_order : int
        Largest order to begin with.
    """
    dim = draw(st.sampled_from(tuple(dims)))
    orders = [o for o in (2, 1, 3, 0) if (dim == 3) <= o <= max_order]
    fields: dict[str, Any] = {"dim": dim, "order": draw(st.sampled_from(orders))}
    draw_fields = {1: _fields_1d, 2: _fields_2d, 3: _fields_3d}[dim]
    spec = Spec(**fields, **draw(draw_fields(max_side, fields["order"])))
    while len(all_paths(spec)) > max_paths and spec.order > (dim == 3):
        Q = None if spec.Q is None else spec.Q[: spec.order - 1]
        spec = dataclasses.replace(spec, order=spec.order - 1, Q=Q)
    return spec


@st.composite
def _averaging(draw: st.DrawFn, side: int) -> int | float | str | None:
    """Draw T: 2**J, a length (whole, a power of two, broken), the whole signal, or no averaging."""
    lengths = [
        st.integers(1, side),
        st.sampled_from([1 << k for k in range(side.bit_length()) if 1 << k <= side]),
        st.integers(4, 4 * side).map(lambda quarters: quarters / 4),
    ]
    return draw(st.one_of(st.none(), *lengths, st.just("global"), st.just(0)))


@st.composite
def _averaged_fields(draw: st.DrawFn, T: int | float | str | None, J: int) -> dict[str, Any]:
    """Draw the fields that 1D and 2D share, besides T and J."""
    fields: dict[str, Any] = {"J": J, "T": T, "padding": draw(st.sampled_from(PADDINGS))}
    fields["pre_pad"] = draw(st.booleans())
    if T not in ("global", 0):
        log2_T = J if T is None else int(np.log2(T))
        fields["stride"] = draw(st.one_of(st.none(), st.integers(0, max(J, log2_T)).map(lambda k: 1 << k)))
    return fields


@st.composite
def _fields_1d(draw: st.DrawFn, max_side: int, order: int) -> dict[str, Any]:
    powers = [1 << k for k in range(1, max_side.bit_length()) if 1 << k <= max_side]
    N = draw(st.one_of(st.integers(2, max_side), st.sampled_from(powers)))
    T = draw(_averaging(N))
    bound = geometry.max_log2_padded(N)
    if T not in (None, "global", 0):
        bound = int(np.log2(geometry.padded_length(N, T)))
    J = draw(st.one_of(st.integers(1, bound), st.sampled_from([1, min(N.bit_length() - 1, bound)])))
    Q = draw(st.one_of(st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=max(order, 1)).map(tuple)))
    return {"shape": N, "Q": Q, **draw(_averaged_fields(T, J))}


@st.composite
def _fields_2d(draw: st.DrawFn, max_side: int, order: int) -> dict[str, Any]:
    shape = draw(st.tuples(*[st.integers(2, max(3 * max_side // 8, 2))] * 2))
    T = draw(_averaging(min(shape)))
    J = draw(st.integers(1, min(shape).bit_length() - 1))
    return {"shape": shape, "L": draw(st.integers(1, 4)), **draw(_averaged_fields(T, J))}


@st.composite
def _fields_3d(draw: st.DrawFn, max_side: int, order: int) -> dict[str, Any]:
    powers = st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]), min_size=1, max_size=3, unique=True)
    return {
        "shape": draw(st.tuples(*[st.integers(1, max(max_side // 8, 1))] * 3)),
        "J": draw(st.integers(0, 2)),
        "L": draw(st.integers(0, 2)),
        "sigma_0": draw(st.sampled_from([1.0, 0.7, 1.5])),
        "rotation_covariant": draw(st.booleans()),
        "integral_powers": draw(powers),
    }


def without_roots(spec: Spec) -> Spec:
    """Return the spec with integral powers of at least 1.

    Below 1, a power makes of a rounding error (of a U that should be zero, on a volume of few samples) a number far
    above it: what is compared to many digits on any small spec must leave them out.
    """
    if spec.dim < 3:
        return spec
    return dataclasses.replace(spec, integral_powers=tuple(max(q, 1.0) for q in spec.integral_powers or ()))


@st.composite
def signals(draw: st.DrawFn, shape: tuple[int, ...], kinds: Sequence[str] = SIGNALS) -> NDArray[np.float64]:
    """Draw a float64 signal of a shape: `noise`, `zeros`, an `impulse` anywhere, a `constant` or a `chirp`."""
    kind = draw(st.sampled_from(tuple(kinds)))
    return signal(kind, shape, draw(st.integers(0, 2**16)))


def signal(kind: str, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float64]:
    """Make one of the signals that `signals` draws; the seed chooses the noise, the place, the height, the slope."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.standard_normal(shape)
    x = np.zeros(shape)
    if kind == "impulse":
        x[tuple(rng.integers(n) for n in shape)] = 1.0
    elif kind == "constant":
        x += rng.uniform(-3, 3)
    elif kind == "chirp":
        ramp = sum(np.ix_(*(np.arange(n) / n for n in shape)))
        x += np.cos(np.pi * rng.uniform(0.1, 0.5) * max(shape, default=1) * ramp**2)
    elif kind != "zeros":
        raise ValueError(f"no signal is called {kind!r}")
    return x


@st.composite
def selections(draw: st.DrawFn, spec: Spec) -> frozenset[Path]:
    """Draw a selection of at least one path: few, or all but few."""
    paths = all_paths(spec)
    if not paths:
        return frozenset()
    few = frozenset(draw(st.lists(st.sampled_from(paths), min_size=1, max_size=8)))
    rest = frozenset(paths) - few
    return rest if rest and draw(st.booleans()) else few
