"""The paths of a transform: which exist, in which order they are output, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import Any

from scatc.ir.filters import FilterInfo, banks
from scatc.ir.joint import families
from scatc.ir.spec import Spec

Path = tuple[int, ...]
"""One filter index per order; the empty path is order 0. Of joint scattering: (n1, n_fr) and (n1, n2, n_fr)."""


def bank_name(spec: Spec, order: int) -> str:
    """The bank whose filters make order `order` (1D has one per order)."""
    return f"psi{order}" if spec.dim == 1 else "psi"


def infos(spec: Spec, path: Path) -> tuple[FilterInfo, ...]:
    """What is known of each filter along a path; of joint scattering, of those in time that there are."""
    if spec.joint:
        path = path[:-1]
        path = path if not path or path[0] < len(banks(spec)["psi1"]) else ()  # a row of padding
    return tuple(banks(spec)[bank_name(spec, m)].info[n] for m, n in enumerate(path, 1))


def children(spec: Spec, path: Path) -> Iterator[int]:
    """Indices of the filters that continue a path.

    Only larger scales do (`j` grows along a path): U at scale j has next to no energy at finer ones (Mallat 2012).
    In 3D the degree l stays the same (Eickenberg et al. 2017).
    """
    if len(path) >= spec.order:
        return
    bank = banks(spec)[bank_name(spec, len(path) + 1)]
    last = infos(spec, path)[-1] if path else None
    for index, info in enumerate(bank.info):
        if last is None or (info.j > last.j and info.l == last.l):
            yield index


@lru_cache(maxsize=64)
def all_paths(spec: Spec) -> tuple[Path, ...]:
    """Every path, in output order.

    1D and 2D: by order, then by indices. 3D: by order, then by scales, then by degree; order 0 is not output. Joint:
    family by family (`scatc.ir.joint`), each along log-frequency.
    """
    if spec.joint:
        return ((), *(path for family in families(spec) for path in family.paths))
    found: list[Path] = []
    frontier: list[Path] = [()]
    while frontier:
        found += frontier
        frontier = [(*path, n) for path in frontier for n in children(spec, path)]
    if spec.dim < 3:
        return tuple(sorted(found, key=lambda path: (len(path), path)))

    def scales_then_degree(path: Path) -> tuple[int, tuple[int, ...], int]:
        along = infos(spec, path)
        return len(path), tuple(info.j for info in along), along[-1].l or 0

    return tuple(sorted((path for path in found if path), key=scales_then_degree))


@dataclass(frozen=True, slots=True)
class PathRow:
    """One row of the path table.

    Attributes
    ----------
    row : int
        Its place on the path axis of the output.
    order : int
    path : tuple of int
        Filter index per order.
    j : tuple of int
        Scale per order (log2).
    xi, sigma : tuple of float
        Centre frequency and bandwidth per order, in cycles per sample, or in Hz if a sampling rate was given;
        empty in 3D, where a wavelet has neither.
    theta : tuple of int
        2D: angle index per order.
    l : int or None
        3D: degree.
    n_fr, j_fr : int or None
        Joint: filter along log-frequency, and its scale (log2); a path is then ``(n1, n_fr)`` or ``(n1, n2, n_fr)``.
    xi_fr, sigma_fr : float or None
        Joint: its centre frequency and bandwidth, in cycles per first-order wavelet.
    """

    row: int
    order: int
    path: Path
    j: tuple[int, ...]
    xi: tuple[float, ...]
    sigma: tuple[float, ...]
    theta: tuple[int, ...] = ()
    l: int | None = None
    n_fr: int | None = None
    j_fr: int | None = None
    xi_fr: float | None = None
    sigma_fr: float | None = None


def order_of(spec: Spec, path: Path) -> int:
    """How many wavelets in a row a path stands for."""
    return len(path) - (spec.joint and bool(path))


@lru_cache(maxsize=64)
def path_table(spec: Spec, sampling_rate: float = 1.0) -> tuple[PathRow, ...]:
    """The tidy table of paths, in output order.

    Parameters
    ----------
    spec : Spec
    sampling_rate : float, optional
        Samples per second (or per unit of length); frequencies are multiplied by it.
    """
    rows = []
    for row, path in enumerate(all_paths(spec)):
        along = infos(spec, path)
        frequencies = [_in_cycles(spec.dim, i) for i in along if i.xi is not None and i.sigma is not None]
        rows.append(
            PathRow(
                row=row,
                order=order_of(spec, path),
                path=path,
                j=tuple(i.j for i in along),
                xi=tuple(xi * sampling_rate for xi, _ in frequencies),
                sigma=tuple(sigma * sampling_rate for _, sigma in frequencies),
                theta=tuple(i.theta for i in along if i.theta is not None),
                l=along[-1].l if along else None,
                **_along_frequency(spec, path),
            )
        )
    return tuple(rows)


def _along_frequency(spec: Spec, path: Path) -> dict[str, Any]:
    """The fields of a row of joint scattering."""
    if not spec.joint or not path:
        return {}
    info = banks(spec)["psi_fr"].info[path[-1]]
    return {"n_fr": path[-1], "j_fr": info.j, "xi_fr": info.xi, "sigma_fr": info.sigma}


def _in_cycles(dim: int, info: FilterInfo) -> tuple[float, float]:
    """Centre frequency and width of the response, in cycles per sample (in 2D along the wave)."""
    assert info.xi is not None and info.sigma is not None
    return (info.xi, info.sigma) if dim == 1 else (info.xi / (2 * pi), 1 / (2 * pi * info.sigma))
