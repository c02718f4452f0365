"""Solid harmonic wavelets on pairs of volumes: which filters a degree comes down to, and what computes them.

Two real volumes A and B of the batch are one complex volume A + iB. A filter h with ``h[-k] = conj h[k]`` is real in
space, so that one product and one transform give ``A * h + i (B * h)``: nothing needs to be told apart. Every component
psi_m of a wavelet is made of two such filters,

    psi_m = H + iK,    H[k] = (psi_m[k] + conj psi_m[-k]) / 2,    K[k] = (psi_m[k] - conj psi_m[-k]) / 2i

and ``|A * psi_m|^2 = (A * H)^2 + (A * K)^2``. Where parity holds, ``psi_m[k] = (-i)^l P_m(k)`` with P_m a homogeneous
polynomial of degree l times a Gaussian; H and K are then its real and its imaginary part, and of m = 0 there is no K.
On grids where some bins have no opposite, P_m is evaluated at the wave number of bin k and at that of bin -k.

Gaussian and polynomial are computed where they are needed, from a few numbers for each axis, and never read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scatc.codegen.code import Code, Complex, number
from scatc.ir.filters.solid_harmonic import wavelet_norm

MOST_GENERATED = 8
"""The largest degree whose polynomials kernels compute: beyond, filters are tables."""


@dataclass(frozen=True, slots=True)
class Harmonic:
    """The filters of one degree, at any scale.

    Attributes
    ----------
    degree : int
    orders : tuple of int
        The orders m that are computed.
    weights : tuple of int
        Theirs, in the norm over m.
    symmetric : bool
        Whether parity holds.
    voxels : int
        Of a volume: the transform back leaves out ``1 / voxels``, which filters carry.
    generated : bool
        Whether kernels compute the filters, rather than read them.
    """

    degree: int
    orders: tuple[int, ...]
    weights: tuple[int, ...]
    symmetric: bool
    voxels: int
    generated: bool = True

    @property
    def filters(self) -> int:
        """How many filters, each of which takes one transform for two volumes."""
        if self.symmetric:
            return sum(1 if m == 0 else 2 for m in self.orders)
        return 2 * len(self.orders)

    @property
    def swaps(self) -> bool:
        """Whether the factor (-i)^l is imaginary; a sign does not matter."""
        return self.degree % 2 == 1


def evaluate(code: Code, harmonic: Harmonic, here: Sequence[str], opposite: Sequence[str]) -> list[Complex]:
    """Statements that compute the filters at some bins.

    Without the factor (-i)^l, and up to signs: neither changes what the norm over m is.

    Parameters
    ----------
    code : Code
    harmonic : Harmonic
    here : sequence of str
        The names of sigma k along z, y and x, and of the Gaussian, at the bins.
    opposite : sequence of str
        The same at the opposite bins; not used where parity holds.

    Returns
    -------
    list of pairs of names
        Real and imaginary part of each filter; a part that is zero has no name.
    """
    values = _polynomials(code, harmonic, here)
    if harmonic.symmetric:
        return [(name, "") for m in harmonic.orders for name in values[abs(m)][: 1 if m == 0 else 2]]
    others = _polynomials(code, harmonic, opposite)
    same, other = ("+", "-") if harmonic.degree % 2 == 0 else ("-", "+")
    found: list[Complex] = []
    for m in harmonic.orders:
        (a, b), (c, d) = values[abs(m)], others[abs(m)]
        if -m not in harmonic.orders:
            turned = "" if m > 0 else "-"
            found.append(code.pair(f"0.5 * ({a} {same} {c})", f"{turned}0.5 * ({b} {other} {d})"))
            found.append(code.pair(f"0.5 * ({b} {same} {d})", f"-({turned}0.5 * ({a} {other} {c}))"))
        elif m >= 0:  # |u + iv|^2 + |u - iv|^2 = 2 |u|^2 + 2 |v|^2: of m and -m, real and imaginary part alone
            root = number(math.sqrt(0.5 if m else 0.25))
            for p, q in ((a, c), (b, d))[: 2 if m else 1]:
                found.append((code.let("h", f"{root} * ({p} {same} {q})"), ""))
                found.append(("", code.let("h", f"{root} * ({p} {other} {q})")))
    return found


def _polynomials(code: Code, harmonic: Harmonic, at: Sequence[str]) -> dict[int, Complex]:
    """Real and imaginary part of P_m for each m >= 0 that is needed, up to its sign.

    The recurrence in the degree of orthonormal spherical harmonics, for homogeneous polynomials:
    ``A_n = alpha z A_(n-1) - beta r^2 A_(n-2)``, times ``(x + iy)^m``.
    """
    l, (z, y, x, gauss) = harmonic.degree, at
    weights = harmonic.weights or (1,) * len(harmonic.orders)
    wanted = {abs(m): weight for m, weight in zip(harmonic.orders, weights, strict=True)}
    r2 = code.let("r", f"{z} * {z} + {y} * {y} + {x} * {x}") if min(wanted) < l - 1 else ""
    found: dict[int, Complex] = {}
    turn: Complex = ("", "")
    for m in range(max(wanted) + 1):
        if m == 1:
            turn = (x, y)
        elif m > 1:
            turn = code.times(turn, (x, y))
        if m not in wanted:
            continue
        below, here = "", code.let("a", f"{number(_factor(harmonic, m) * math.sqrt(wanted[m]))} * {gauss}")
        for n in range(m + 1, l + 1):
            alpha = math.sqrt((2 * n + 1) * (2 * n - 1) / ((n - m) * (n + m)))
            term = f"{number(alpha)} * {z} * {here}"
            if below:
                beta = math.sqrt((2 * n + 1) * (n + m - 1) * (n - m - 1) / ((2 * n - 3) * (n - m) * (n + m)))
                term += f" - {number(beta)} * {r2} * {below}"
            below, here = here, code.let("a", term)
        found[m] = code.pair(f"{here} * {turn[0]}", f"{here} * {turn[1]}") if m else (here, "")
    return found


def _factor(harmonic: Harmonic, m: int) -> float:
    """Of ``(x + iy)^m``, in the harmonic of degree m; with the norm of the wavelet and that of the transform back."""
    if harmonic.degree == 0:
        return 1 / harmonic.voxels
    square = (2 * m + 1) / (4 * math.pi) * math.prod((2 * k - 1) / (2 * k) for k in range(1, m + 1))
    return abs(wavelet_norm(harmonic.degree)) * math.sqrt(square) / harmonic.voxels


def slices(
    code: Code, harmonic: Harmonic, here: Sequence[str], opposite: Sequence[str]
) -> list[tuple[dict[int, str], dict[int, str]]]:
    """Statements that compute the filters on lines along z, as polynomials in sigma k along z times its Gaussian.

    Parameters
    ----------
    code : Code
    harmonic : Harmonic
        Where parity does not hold, with all orders, so that every filter is real or imaginary: by turns.
    here : sequence of str
        The names of sigma k along y and x, and of their Gaussian, of each line.
    opposite : sequence of str
        The same at the opposite bins; not used where parity holds.

    Returns
    -------
    list of pairs
        Of each filter, the names of coefficients by the power of sigma k along z, and those of the polynomial in
        sigma k of the opposite bin that is added to it.
    """
    weights = dict(zip(harmonic.orders, harmonic.weights or (1,) * len(harmonic.orders), strict=True))
    if harmonic.symmetric:
        alone: list[tuple[dict[int, str], dict[int, str]]] = []
        for m, weight in weights.items():
            parts = _in_z(code, harmonic, here, abs(m), math.sqrt(weight))
            alone += [(part, {}) for part in parts[: 1 if m == 0 else 2]]
        return alone
    same, other = (1, -1) if harmonic.degree % 2 == 0 else (-1, 1)
    found = []
    for m in range(harmonic.degree + 1):
        root = math.sqrt(0.5 if m else 0.25)
        ours, theirs = (_in_z(code, harmonic, at, m, root) for at in (here, opposite))
        for part in range(2 if m else 1):
            for sign in (same, other):
                turned = {a: name if sign > 0 else code.let("c", f"-{name}") for a, name in theirs[part].items()}
                found.append((ours[part], turned))
    return found


def _in_z(
    code: Code, harmonic: Harmonic, at: Sequence[str], m: int, root: float
) -> tuple[dict[int, str], dict[int, str]]:
    """Real and imaginary part of P_m, as coefficients by the power of sigma k along z."""
    y, x, gauss = at
    turn: Complex = (gauss, "")
    for step in range(m):
        turn = code.times(turn, (x, y)) if step else code.pair(f"{gauss} * {x}", f"{gauss} * {y}")
    rho2 = code.let("rho", f"{y} * {y} + {x} * {x}") if harmonic.degree - m > 1 else ""
    parts: tuple[dict[int, str], dict[int, str]] = ({}, {})
    for a, (k, factor) in _powers_of_z(harmonic.degree, m).items():
        scale = " * ".join([number(factor * root * _factor(harmonic, m)), *[rho2] * k])
        for part, name in zip(parts, turn, strict=True):
            if name:
                part[a] = code.let("c", f"{scale} * {name}")
    return parts


def _powers_of_z(l: int, m: int) -> dict[int, tuple[int, float]]:
    """The polynomial of `_polynomials` without its first factor: by the power a of z, that of rho^2, and its factor.

    Homogeneity leaves one power of ``rho^2 = x^2 + y^2`` to each of z.
    """
    below: dict[int, float] = {}
    here = {0: 1.0}
    for n in range(m + 1, l + 1):
        alpha = math.sqrt((2 * n + 1) * (2 * n - 1) / ((n - m) * (n + m)))
        following = {a + 1: alpha * factor for a, factor in here.items()}
        if below:
            beta = math.sqrt((2 * n + 1) * (n + m - 1) * (n - m - 1) / ((2 * n - 3) * (n - m) * (n + m)))
            for a, factor in below.items():  # r^2 = z^2 + rho^2
                following[a + 2] = following.get(a + 2, 0.0) - beta * factor
                following[a] = following.get(a, 0.0) - beta * factor
        below, here = here, following
    return {a: ((l - m - a) // 2, factor) for a, factor in sorted(here.items())}
