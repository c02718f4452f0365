"""The DFT of a list as straight-line code, for every target that transforms in registers.

Mixed radices after Cooley and Tukey (1965): 4 and 2 while they divide the length, then odd primes. Factors without a
common one have no twiddles between them (Good 1958, Thomas 1963). What is written are operations of
`scatc.codegen.code.Code`, so a number may be whatever a target holds in one name: a tensor of Triton, a vector of C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scatc.codegen.code import Code, Complex, Plane


def dft(code: Code, x: Sequence[Plane], sign: int, factors: Sequence[Complex | None] = ()) -> list[Plane]:
    """The DFT over a list, ``y[k] = sum_j x[j] exp(sign 2 pi i j k / n)``, in natural order.

    Not normalised. If there are `factors`, inputs are multiplied by them first, as `Code.times` does by `sign`; the
    length must be a multiple of 4 then.
    """
    n = len(x)
    if factors:
        return _radix4(code, x, sign, factors)
    if n == 1:
        return list(x)
    power = _power(n)
    if power < n:
        return _coprime(code, x, power, sign)
    if n % 4 == 0:
        return _radix4(code, x, sign)
    if n % 2 == 0:
        return _split(code, x, 2, sign)
    factor = next(p for p in range(3, n + 1, 2) if n % p == 0)
    return _odd(code, x, sign) if factor == n else _split(code, x, factor, sign)


def _power(n: int) -> int:
    """The power of its smallest prime that divides n."""
    prime = next(p for p in range(2, n + 1) if n % p == 0)
    power = prime
    while n % (power * prime) == 0:
        power *= prime
    return power


def _coprime(code: Code, x: Sequence[Plane], radix: int, sign: int) -> list[Plane]:
    """Transforms of a radix, and then of the rest, which has no common factor with it."""
    n, rest = len(x), len(x) // radix
    done = [dft(code, [x[(i * rest + j * radix) % n] for i in range(radix)], sign) for j in range(rest)]
    columns = [dft(code, [row[q] for row in done], sign) for q in range(radix)]
    return [columns[k % radix][k % rest] for k in range(n)]


def _split(code: Code, x: Sequence[Plane], radix: int, sign: int) -> list[Plane]:
    """One stage of a given radix within the list, then transforms of the rest."""
    n, rest = len(x), len(x) // radix
    columns: list[list[Plane]] = [[] for _ in range(radix)]
    for j in range(rest):
        parts = x[j::rest]
        done = [code.add(*parts), code.subtract(*parts)] if radix == 2 else _odd(code, parts, sign)
        for q, y in enumerate(done):
            columns[q].append(code.rotate(y, q * j, n, sign))
    return _interleave([dft(code, column, sign) for column in columns])


def _radix4(code: Code, x: Sequence[Plane], sign: int, factors: Sequence[Complex | None] = ()) -> list[Plane]:
    n, rest = len(x), len(x) // 4
    columns: list[list[Plane]] = [[], [], [], []]
    turns: list[list[Complex | None]] = [[], [], [], []]
    later = code.fused and rest % 4 == 0
    for j in range(rest):
        a, b, c, d = x[j::rest]
        if factors:
            a, b = code.scaled(a, factors[j], sign), code.scaled(b, factors[j + rest], sign)
            even, first = code.butterfly(a, c, factors[j + 2 * rest], sign)
            odd, second = code.butterfly(b, d, factors[j + 3 * rest], sign)
        else:
            even, odd = code.add(a, c), code.add(b, d)
            first, second = code.subtract(a, c), code.subtract(b, d)
        second = code.turn(second, sign)
        done = code.add(even, odd), code.add(first, second), code.subtract(even, odd), code.subtract(first, second)
        for q, y in enumerate(done):
            turn = code.root(q * j, n) if later and 8 * q * j % n else None  # eighths of a turn are cheap
            columns[q].append(y if turn else code.rotate(y, q * j, n, sign))
            turns[q].append(turn)
    return _interleave([dft(code, columns[q], sign, turns[q] if later else ()) for q in range(4)])


def _interleave(columns: list[list[Plane]]) -> list[Plane]:
    """Output ``q + radix * k`` is output k of column q."""
    return [column[k] for k in range(len(columns[0])) for column in columns]


def _odd(code: Code, x: Sequence[Plane], sign: int) -> list[Plane]:
    """A DFT of odd prime length: cosines of sums and sines of differences of opposite inputs."""
    n, half = len(x), len(x) // 2
    sums = [code.add(x[j], x[n - j]) for j in range(1, half + 1)]
    differences = [code.subtract(x[j], x[n - j]) for j in range(1, half + 1)]
    live = [j for j in range(half) if sums[j] is not None]
    if not live:
        return [x[0]] * n
    first = x[0]
    for j in live:
        first = code.add(first, sums[j])
    found: list[Plane] = [first, *[None] * (n - 1)]
    for k in range(1, half + 1):
        turns = [2 * math.pi * (j + 1) * k / n for j in live]
        even = [
            code.combine([(math.cos(t), (sums[j] or ("", ""))[part]) for t, j in zip(turns, live, strict=True)], start)
            for part, start in enumerate(x[0] or ("", ""))
        ]
        sines = [
            [(sign * math.sin(t), (differences[j] or ("", ""))[part]) for t, j in zip(turns, live, strict=True)]
            for part in (0, 1)
        ]
        if code.fused:
            one = code.combine([(-sine, part) for sine, part in sines[1]], even[0]), code.combine(sines[0], even[1])
            found[k], found[n - k] = one, code.twice_less((even[0], even[1]), one)
        else:
            odd = [code.combine(terms) for terms in sines]
            found[k] = code.pair(f"{even[0]} - {odd[1]}", f"{even[1]} + {odd[0]}")
            found[n - k] = code.pair(f"{even[0]} + {odd[1]}", f"{even[1]} - {odd[0]}")
    return found
