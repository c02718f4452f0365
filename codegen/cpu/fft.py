"""Writes Fourier transforms along columns: straight-line code on vectors of neighbouring columns.

A transform of n rows is done in stages, the decimation in frequency of Cooley and Tukey (1965): a stage of radix r
reads r rows, transforms them in registers and turns them by twiddles. All stages but the last leave their rows in a
buffer that fits the L1 cache; the last writes rows in natural order. Lanes never meet, so there are no shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.code import Plane
from scatc.codegen.cpu.code import VectorCode
from scatc.codegen.dft import dft

LARGEST_RADIX = 16
"""Of a stage in registers: there are 32 of them, and a number takes two."""

LARGEST_PRIME = 13
"""Up to which a prime is transformed by straight-line code."""

INDENT = "    "


def prime_factors(n: int) -> list[int]:
    """The primes whose product is n, the smallest first."""
    found, p = [], 2
    while n > 1:
        while n % p == 0:
            found.append(p)
            n //= p
        p += 1
    return found


@lru_cache(maxsize=1024)
def stages(n: int) -> tuple[int, ...]:
    """The radices of a transform of n rows: as few stages as can be, as equal as can be, large primes on their own."""
    primes = prime_factors(n)
    large = tuple(p for p in primes if p > LARGEST_PRIME)
    rest = n // prod(large)
    if rest == 1:
        return large or (1,)
    count = 1
    while not (choices := list(_splits(rest, count))):
        count += 1
    best = min(choices, key=lambda radices: (sum(radices), radices))
    return (*best, *large)


def _splits(n: int, count: int, least: int = 2) -> list[tuple[int, ...]]:
    """The ways to write n as an ordered product of so many radices."""
    if count == 1:
        return [(n,)] if least <= n <= LARGEST_RADIX else []
    return [
        (r, *others) for r in range(least, LARGEST_RADIX + 1) if n % r == 0 for others in _splits(n // r, count - 1, r)
    ]


def twiddles(n: int) -> NDArray[np.float64]:
    """What the stages of a transform of n rows need, in the order in which they read it: ``exp(-2 pi i j k / m)``.

    For a stage of radix r over m rows: for each row j of ``m / r`` the turns of its outputs k, real and imaginary part.
    """
    parts, left = [np.zeros(0)], n
    for radix in stages(n)[:-1]:
        j, k = np.arange(left // radix)[:, None], np.arange(1, radix)[None, :]
        turns = np.exp(-2j * np.pi * ((j * k) % left) / left)
        parts.append(np.stack([turns.real, turns.imag], axis=-1).ravel())
        left //= radix
    return np.concatenate([*parts, *(_angles(radix) for radix in large_radices(n))])


def large_radices(n: int) -> list[int]:
    """The radices of loops."""
    return sorted({radix for radix in stages(n) if radix > LARGEST_RADIX})


def _angles(radix: int) -> NDArray[np.float64]:
    """Cosines and sines of all angles of a large prime."""
    turns = np.exp(-2j * np.pi * np.arange(radix) / radix)
    return np.stack([turns.real, turns.imag], axis=-1).ravel()


def column_dft(n: int, dtype: str) -> list[str]:
    """The function ``dft_<n>``: the DFT of n rows of V columns, exponent negative, natural order in and out."""
    radices = stages(n)
    story = f", in stages of {', '.join(map(str, radices))}" if len(radices) > 1 else ""
    lines = [
        f"/* DFT of {n} rows of V columns{story}; x and y may be the same. */",
        f"SHARED APART void dft_{n}(const real *xr, const real *xi, const ptrdiff_t xs, real *yr, real *yi, "
        "const ptrdiff_t ys, const real *t)",
        "{",
    ]
    if len(radices) > 1:
        lines.append(f"{INDENT}vec br[{n}], bi[{n}];")
    if len(radices) == 1 and radices[0] <= LARGEST_RADIX:
        lines.append(f"{INDENT}(void)t;")
    left, read = n, 0
    angles = sum(2 * (radix - 1) * (n // prod(radices[: i + 1])) for i, radix in enumerate(radices[:-1]))
    for stage, radix in enumerate(radices):
        large = large_radices(n)
        turns = f"t + {angles + sum(2 * r for r in large if r < radix)}" if radix in large else ""
        lines += _stage(Stage(n, radices, stage, read, turns), dtype)
        read += 2 * (radix - 1) * (left // radix)
        left //= radix
    return [*lines, "}"]


@lru_cache(maxsize=1024)
def operations(n: int) -> int:
    """About how many operations on vectors the DFT of n rows takes."""
    count = 0
    for stage, radix in enumerate(stages(n)):
        code = VectorCode("float32")
        if radix > LARGEST_RADIX:
            each = 2 * radix * radix
        else:
            dft(code, [("r", "i")] * radix, -1)
            each = len(code.lines)
        count += n // radix * (each + 4 * radix * (stage > 0))
    return count


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: which of `radices`, where its twiddles begin, and the angles of a large prime."""

    n: int
    radices: tuple[int, ...]
    index: int
    read: int
    turns: str

    @property
    def radix(self) -> int:
        """Rows that are transformed together."""
        return self.radices[self.index]

    @property
    def rest(self) -> int:
        """Rows between them."""
        return self.n // prod(self.radices[: self.index + 1])

    @property
    def last(self) -> bool:
        """Whether it writes the result."""
        return self.index == len(self.radices) - 1

    def base(self) -> str:
        """Where in the buffer the part of the digits that are done begins."""
        return "".join(f" + k{d} * {self.n // prod(self.radices[: d + 1])}" for d in range(self.index))

    def row(self, i: int | str) -> str:
        """Row i of those that are transformed together, and output i unless the stage is the last."""
        step = f"{i * self.rest}" if isinstance(i, int) else f"{i} * {self.rest}"
        return f"{'j + ' if self.rest > 1 else ''}{step}{self.base()}"

    def output(self, k: int | str) -> str:
        """Output k of the last stage."""
        weight = prod(self.radices[: self.index])
        digits = "".join(f" + k{d} * {prod(self.radices[:d])}" for d in range(self.index))
        return (f"{k * weight}" if isinstance(k, int) else f"{k} * {weight}") + digits


def _stage(stage: Stage, dtype: str) -> list[str]:
    """The loops of a stage: over the digits that are done, and the row within what is left."""
    loops = [f"for (ptrdiff_t k{d} = 0; k{d} < {stage.radices[d]}; k{d}++)" for d in range(stage.index)]
    loops += [f"for (ptrdiff_t j = 0; j < {stage.rest}; j++)"] * (stage.rest > 1)
    code = VectorCode(dtype)
    if not stage.last:
        code.write(f"const real *w = t + {stage.read} + j * {2 * (stage.radix - 1)};")
    (_loops if stage.turns else _straight)(code, stage)
    lines = [INDENT * (i + 1) + loop for i, loop in enumerate(loops)]
    outer, inner = INDENT * (len(loops) + 1), INDENT * (len(loops) + 2)
    return [*lines, f"{outer}{{", *(inner + line for line in code.lines), f"{outer}}}"]


def _read(stage: Stage, i: int | str) -> tuple[str, str]:
    row = stage.row(i)
    return (
        (f"load(xr + ({row}) * xs)", f"load(xi + ({row}) * xs)") if stage.index == 0 else (f"br[{row}]", f"bi[{row}]")
    )


def _straight(code: VectorCode, stage: Stage) -> None:
    """Rows are the planes of straight-line code."""
    planes: list[Plane] = [code.pair(*_read(stage, i)) for i in range(stage.radix)]
    for k, done in enumerate(dft(code, planes, -1)):
        assert done is not None
        plane = done
        if k and not stage.last:
            c, s = code.let("c", f"splat(w[{2 * k - 2}])"), code.let("s", f"splat(w[{2 * k - 1}])")
            plane = code.times(done, (c, s))
        for part, name in zip("ri", plane, strict=True):
            at = f"store(y{part} + ({stage.output(k)}) * ys, {name});"
            code.write(at if stage.last else f"b{part}[{stage.row(k)}] = {name};")


def _loops(code: VectorCode, stage: Stage) -> None:
    """Sums and differences of opposite rows, then a loop over outputs with one over rows in it."""
    p = stage.radix
    code.write(f"vec r[{p}], i[{p}];", f"for (ptrdiff_t q = 0; q < {p}; q++)", "{")
    code.write(*(f"{INDENT}{part}[q] = {text};" for part, text in zip("ri", _read(stage, "q"), strict=True)), "}")
    code.write(f"prime_dft_{p}(r, i, {stage.turns});")
    if stage.last:
        code.write(f"for (ptrdiff_t q = 0; q < {p}; q++)", "{")
        code.write(*(f"{INDENT}store(y{part} + ({stage.output('q')}) * ys, {part}[q]);" for part in "ri"), "}")
        return
    code.write(f"for (ptrdiff_t q = 0; q < {p}; q++)", "{")
    code.write(f"{INDENT}const vec c = splat(q ? w[2 * q - 2] : 1), s = splat(q ? w[2 * q - 1] : 0);")
    code.write(f"{INDENT}br[{stage.row('q')}] = r[q] * c - i[q] * s;")
    code.write(f"{INDENT}bi[{stage.row('q')}] = r[q] * s + i[q] * c;", "}")
