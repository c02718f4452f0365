"""Writes Fourier transforms along columns: straight-line code on vectors of neighbouring columns.

A transform of n rows is done in stages, the decimation in frequency of Cooley and Tukey (1965): a stage of radix r
reads r rows, transforms them in registers and turns them by twiddles. Where r and what is left have no common factor,
rows can be taken in an order in which there is nothing to turn (Good 1958, Thomas 1963). All stages but the last leave
their rows in a buffer that fits the L1 cache; the last writes rows in natural order. Lanes never meet, so there are no
shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd, prod

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


def _turned(radices: tuple[int, ...]) -> list[int]:
    """The stages that have twiddles."""
    return [i for i, radix in enumerate(radices[:-1]) if gcd(radix, prod(radices[i + 1 :])) > 1]


def twiddles(n: int) -> NDArray[np.float64]:
    """What the stages of a transform of n rows need, in the order in which they read it: ``exp(-2 pi i j k / m)``.

    For a stage of radix r over m rows that has any: for each row j of ``m / r`` the turns of its outputs k, real and
    imaginary part.
    """
    parts, left = [np.zeros(0)], n
    for stage, radix in enumerate(stages(n)):
        if stage in _turned(stages(n)):
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
    if not twiddles(n).size:
        lines.append(f"{INDENT}(void)t;")
    sizes = {i: 2 * (radices[i] - 1) * (n // prod(radices[: i + 1])) for i in _turned(radices)}
    large = large_radices(n)
    for stage, radix in enumerate(radices):
        turns = f"t + {sum(sizes.values()) + sum(2 * r for r in large if r < radix)}" if radix in large else ""
        read = sum(size for i, size in sizes.items() if i < stage)
        lines += _stage(Stage(n, radices, stage, read if stage in sizes else None, turns), dtype)
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
        count += n // radix * (each + 4 * radix * (stage in _turned(stages(n))))
    return count


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: which of `radices`, where its twiddles begin if it has any, and the angles of a large prime.

    Without twiddles, row i of those that are transformed together is ``i * rest + j * radix`` of `left`, modulo that,
    and the output has its remainders, by the radix and by the rest, from this stage and from those that follow.
    """

    n: int
    radices: tuple[int, ...]
    index: int
    read: int | None
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
    def left(self) -> int:
        """Rows of the part that the stage transforms."""
        return self.rest * self.radix

    @property
    def last(self) -> bool:
        """Whether it writes the result."""
        return self.index == len(self.radices) - 1

    @property
    def before(self) -> Stage:
        """The stage before."""
        i = self.index - 1
        return Stage(self.n, self.radices, i, 0 if i in _turned(self.radices) else None, "")

    @property
    def steps(self) -> tuple[int, int]:
        """How far the rows i and j of those that are read are apart, modulo `left`.

        They lie in the order in which the stage before has left them.
        """
        order = self.before.steps[1] if self.index else 1
        return self.rest * order % self.left, (1 if self.read is not None else self.radix) * order % self.left

    @property
    def whole(self) -> bool:
        """Whether rows are read in the order in which they are there."""
        return self.steps == (self.rest, 1) or self.rest == 1

    @property
    def weights(self) -> tuple[int, int]:
        """By what this stage's digit of the output, and the number that the later ones make, are multiplied."""
        own, others = (1, self.radix) if self.read is not None else (self.rest, self.radix)
        if self.read is None and self.rest > 1:
            own *= pow(self.rest, -1, self.radix)
            others *= pow(self.radix, -1, self.rest)
        scale = self.before.weights[1] if self.index else 1
        return own * scale % self.n, others * scale % self.n

    @property
    def digits(self) -> list[int]:
        """By what the digits of the output are multiplied, up to this stage's."""
        return [*(self.before.digits if self.index else []), self.weights[0]]

    @property
    def wraps(self) -> bool:
        """Whether outputs are modulo n."""
        return len(_turned(self.radices)) < self.index

    def places(self) -> list[str]:
        """Statements before those of a row: where it is read, and where it is left."""
        found, step = [], self.steps[1]
        if not self.whole:
            found.append(f"const ptrdiff_t at = j * {step} % {self.left}, left = j * {step} % {self.rest};")
        if self.last and self.wraps:
            digits = " + ".join(f"k{d} * {weight}" for d, weight in enumerate(self.digits[:-1]))
            found.append(f"const ptrdiff_t to = ({digits}) % {self.n};")
        return found

    def base(self) -> str:
        """Where in the buffer the part of the digits that are done begins."""
        return "".join(f" + k{d} * {self.n // prod(self.radices[: d + 1])}" for d in range(self.index))

    def row(self, i: int | str) -> str:
        """Row i of those that are transformed together."""
        step = _times(i, self.steps[0], self.left)
        if self.rest == 1:
            return step + self.base()
        return (f"j + {step}" if self.whole else f"below(at + {step}, {self.left})") + self.base()

    def result(self, k: int | str) -> str:
        """Where output k of a stage that is not the last is left."""
        return f"{'j' if self.whole else 'left'} + {_times(k, self.rest, self.left)}{self.base()}"

    def output(self, k: int | str) -> str:
        """Output k of the last stage."""
        step = _times(k, self.weights[0], self.n)
        if self.wraps:
            return f"below(to + {step}, {self.n})"
        return step + "".join(f" + k{d} * {weight}" for d, weight in enumerate(self.digits[:-1]))


def _times(i: int | str, step: int, n: int) -> str:
    """A product modulo n, of a number or of a variable."""
    if isinstance(i, int):
        return str(i * step % n)
    return i if step == 1 else f"{i} * {step} % {n}"


def _stage(stage: Stage, dtype: str) -> list[str]:
    """The loops of a stage: over the digits that are done, and the row within what is left."""
    loops = [f"for (ptrdiff_t k{d} = 0; k{d} < {stage.radices[d]}; k{d}++)" for d in range(stage.index)]
    loops += [f"for (ptrdiff_t j = 0; j < {stage.rest}; j++)"] * (stage.rest > 1)
    code = VectorCode(dtype)
    code.write(*stage.places())
    if stage.read is not None:
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
        if k and stage.read is not None:
            c, s = code.let("c", f"splat(w[{2 * k - 2}])"), code.let("s", f"splat(w[{2 * k - 1}])")
            plane = code.times(done, (c, s))
        for part, name in zip("ri", plane, strict=True):
            at = f"store(y{part} + ({stage.output(k)}) * ys, {name});"
            code.write(at if stage.last else f"b{part}[{stage.result(k)}] = {name};")


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
    if stage.read is None:
        code.write(*(f"{INDENT}b{part}[{stage.result('q')}] = {part}[q];" for part in "ri"), "}")
        return
    code.write(f"{INDENT}const vec c = splat(q ? w[2 * q - 2] : 1), s = splat(q ? w[2 * q - 1] : 0);")
    code.write(f"{INDENT}br[{stage.result('q')}] = r[q] * c - i[q] * s;")
    code.write(f"{INDENT}bi[{stage.result('q')}] = r[q] * s + i[q] * c;", "}")
