"""A name for each coefficient, as tables have for their columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from scatc.dropin.base import ScatteringBase
from scatc.dropin.timefrequency import Entry, entries
from scatc.ir.paths import PathRow, path_table
from scatc.ir.spec import Spec

Words = tuple[str, ...]


def coefficient_names(operator: ScatteringBase) -> Iterator[str]:
    """The names of all coefficients of one signal, such as ``S2[j=1,3;n=4,11;t=0]``, in the order of arrays."""
    spec, shape = operator.spec, operator.array_shape()
    if spec.joint:
        described = [(entry.order, _of_entry(entry)) for entry in entries(spec)[int(spec.format == "joint") :]]
    else:
        described = [(row.order, _of_row(spec, row)) for row in path_table(spec)]
    for order, words in described:
        for place in _places(spec, shape):
            yield f"S{order}[{';'.join([*words, *place])}]"


def _of_row(spec: Spec, row: PathRow) -> Words:
    """What a path is."""
    words = {"j": row.j, "theta": row.theta, "l": () if row.l is None else (row.l,)}
    if spec.dim == 1:
        words |= {"n": row.path}
    return tuple(f"{word}={','.join(map(str, numbers))}" for word, numbers in words.items() if numbers)


def _of_entry(entry: Entry) -> Words:
    """Which wavelets an entry of joint scattering is of."""
    if entry.family is None:
        return ()
    n1, n2 = entry.n1 if isinstance(entry.n1, int) else None, entry.family.n2
    words = {"n1": n1, "n2": n2, "n_fr": entry.family.n_fr}
    return tuple(f"{word}={n}" for word, n in words.items() if n is not None)


def _places(spec: Spec, shape: tuple[int, ...]) -> Iterator[Words]:
    """What tells the coefficients of one path from each other."""
    if spec.dim == 3:
        yield from ((f"power={power:g}",) for power in spec.integral_powers or ())
        return
    axes = ("f", "t") if spec.format == "joint" else ("t",) if spec.dim == 1 else ("y", "x")
    for index in product(*map(range, shape[1:])):
        yield tuple(f"{axis}={i}" for axis, i in zip(axes, index, strict=True))
