"""The two kernels that transform long signals as matrices: first along columns, then along rows.

A signal of ``columns * rows`` samples does not fit the registers of a program, but its columns and its rows do (the
four-step algorithm, Bailey 1989). With ``k = rows k1 + k2`` and ``n = n1 + columns n2``,

    exp(2 pi i k n / length) = exp(2 pi i k1 n1 / columns) exp(2 pi i k2 n1 / length) exp(2 pi i k2 n2 / rows)

so that the first kernel transforms over k1, for a tile of neighbouring k2 (`low_k` in its text), and turns the result;
the second transforms over k2, for a tile of neighbouring n1 (`low_n`), and takes the modulus. Between them everything
goes through memory once; the library's transform takes two passes, besides those that fold and take moduli.
"""

from __future__ import annotations

from dataclasses import dataclass

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton.fft import radices, register_fft
from scatc.codegen.triton.lines.wavelet import ROWS as TILES
from scatc.codegen.triton.lines.wavelet import WARPS, sensible
from scatc.codegen.triton.planes import At, loaded, read, stacks
from scatc.codegen.triton.tuned import MOST_WARPS, around, space

LEAST, MOST = 1 << 14, 1 << 22
"""The lengths that this is for: shorter ones fit the registers, longer ones have columns that do not."""

LEAST_TILE = 16
"""Neighbouring numbers of a tile: 128 bytes, as memory wants them."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What a program of one of the kernels has.

    Attributes
    ----------
    length : int
        Of its transforms.
    beside : int
        How many of these the signal has.
    width : int
        Bins of the window that it reads; 0 of the second kernel.
    count, warps : int
        Transforms of a program, side by side; its warps.
    back : bool
        Whether it is one of the kernels of `matrix_t.py`.
    """

    length: int
    beside: int
    width: int
    count: int
    warps: int
    back: bool = False

    def candidates(self) -> list[Tile]:
        """Half, as many and twice the transforms and the warps, with a sensible share for each thread."""

        def legal(other: Tile) -> bool:
            tiles = min(LEAST_TILE, self.beside) <= other.count <= self.beside
            return tiles and sensible(other.count * other.length, other.warps)

        return space(self, legal, count=around(self.count), warps=around(self.warps, most=MOST_WARPS))


def default_tile(length: int, beside: int, width: int = 0) -> Tile:
    """To begin with: as many warps as for moduli in registers, more where there is more to do."""
    count = min(max(TILES[length], LEAST_TILE), beside)
    return Tile(length, beside, width, count, max(min(16, WARPS[length] * count // TILES[length]), 1))


@dataclass(frozen=True, slots=True)
class Matrix:
    """What the kernels are specialised to.

    Attributes
    ----------
    length : int
        Samples of the signal.
    width : int
        Bins of a window, padded with zeros to whole planes of the first stage along columns.
    masked : bool
        Whether parents' lengths are powers of two, so that bins wrap around by a mask.
    first, second : Tile
        Of the two kernels.
    """

    length: int
    width: int
    masked: bool
    first: Tile
    second: Tile

    @property
    def columns(self) -> int:
        """Length of the first transform."""
        return self.first.length

    @property
    def rows(self) -> int:
        """Length of the second."""
        return self.second.length

    @property
    def turns(self) -> int:
        """Length of the table of small turns; that of large ones has ``length // turns``."""
        return 1 << ((self.length.bit_length() - 1) // 2)


def shape(parent: int, length: int, width: int) -> Matrix:
    """The kernels for a window of a parent's spectrum."""
    columns = 1 << (length.bit_length() // 2)
    rows, plane = length // columns, length // radices(columns)[0]
    padded = -(-width // plane) * plane
    first, second = default_tile(columns, rows, padded), default_tile(rows, columns)
    return Matrix(length, padded, parent & (parent - 1) == 0, first, second)


NUMBERS = ("bins", "filters", "pairs")

COLUMNS = {
    "X": "*i64",
    "start": "*i32",
    "w": "*fp32",
    "twiddles": "*i64",
    "small": "*i64",
    "large": "*i64",
    "T": "*i64",
    **dict.fromkeys(NUMBERS, "i32"),
}
"""Arguments of the first kernel, and their types."""

ROWS = {"T": "*i64", "twiddles": "*i64", "U": "*fp32", "n": "i32", "pairs": "i32"}
"""Those of the second."""


def columns(matrix: Matrix) -> str:
    """The statements of the first kernel: window, product, transform over k1, turn."""
    code, length, rows = Code(), matrix.columns, matrix.rows
    tile, stages = matrix.first.count, radices(matrix.columns)
    rest = length // stages[0]
    code.write(
        "signal = tl.program_id(0)",
        "child = tl.program_id(1)",
        f"low_k = (tl.program_id(2) * {tile} + tl.arange(0, {tile}))[:, None]",
        "filter = child % filters",
        "parent = (child // filters).to(tl.int64)",
        "spectrum = X + (parent * pairs + (signal >> 1)) * bins",
        "first = (signal & 1) == 0",
        "begin = tl.load(start + filter)",
        f"weights = w + filter * {matrix.width}",
        f"place = low_k + {rows} * tl.arange(0, {rest})[None, :]",
    )
    wrap = "{} & (bins - 1)" if matrix.masked else "({} % bins + bins) % bins"

    def product(at: At) -> Complex:
        k = code.let("k", f"begin + {at} + place")
        ahead, behind = f"spectrum + ({wrap.format(k)})", f"spectrum + ({wrap.format('-' + k)})"
        z, m = (code.let("z", f"tl.load({at.pointers(to, down=True)})") for to in (ahead, behind))
        weight = code.let("weight", f"tl.load({at.pointers(f'weights + {at} + place', down=True)})")
        re = f"(tl.where(first, low({z}), high({z})) + tl.where(first, low({m}), high({m}))) * {weight}"
        im = f"(tl.where(first, high({z}), low({m})) - tl.where(first, high({m}), low({z}))) * {weight}"
        return code.pair(re, im)

    planes: list[Plane] = [None] * stages[0]
    for start in range(0, matrix.width, matrix.length):
        places = range(start, min(start + matrix.length, matrix.width), rest * rows)
        for i, z in enumerate(read(code, places, (tile, rest), product)):
            planes[i] = code.add(planes[i], z)
    planes = register_fft(code, planes, tile, stages, 1, "twiddles")
    last = length // stages[-1]
    code.write("# turn", f"line = T + (child.to(tl.int64) * 2 * pairs + signal) * {matrix.length}")
    for at, z in stacks(code, planes, range(0, length, last), (tile, last)):
        n1 = code.let("n", f"{at} + tl.arange(0, {last})[None, :]")
        re, im = code.times(z, turned_by(code, matrix, f"low_k * {n1}"))
        to = at.pointers(f"line + {n1} * {rows} + low_k", down=True)
        code.write(f"tl.store({to}, both({re}, {im}))")
    return str(code)


def turned_by(code: Code, matrix: Matrix, product: str) -> Complex:
    """The turn between the two transforms, for a product of places: of a small and a large one."""
    turn, bits = code.let("turn", product), matrix.turns.bit_length() - 1
    a, b = (
        code.let("w", f"tl.load({table})")
        for table in (f"small + ({turn} & {matrix.turns - 1})", f"large + ({turn} >> {bits})")
    )
    return code.times((f"low({a})", f"high({a})"), (f"low({b})", f"high({b})"))


def lines(matrix: Matrix) -> str:
    """The statements of the second kernel: transform over k2, modulus, packed in pairs."""
    code, length = Code(), matrix.rows
    tile, stages = matrix.second.count, radices(length)
    rest, last = length // stages[0], length // stages[-1]
    code.write(
        "signal = tl.program_id(0)",
        "child = tl.program_id(1).to(tl.int64)",
        f"low_n = (tl.program_id(2) * {tile} + tl.arange(0, {tile}))[:, None]",
        f"line = T + (child * 2 * pairs + signal) * {matrix.length} + low_n * {length}",
        f"p = tl.arange(0, {rest})[None, :]",
    )
    planes: list[Plane] = read(
        code, range(0, length, rest), (tile, rest), lambda at: loaded(code, at.pointers(f"line + {at} + p"))
    )
    planes = register_fft(code, planes, tile, stages, 1, "twiddles")
    code.write(
        "# pack: a signal that is not there has no samples",
        "there = tl.where(signal < n, 1.0, 0.0)",
        f"packed = U + (child * pairs + (signal >> 1)) * {2 * matrix.length} + (signal & 1) + 2 * low_n",
    )
    moduli = [(code.let("u", f"tl.sqrt({z[0]} * {z[0]} + {z[1]} * {z[1]})"),) for z in planes if z is not None]
    for at, (u,) in stacks(code, moduli, range(0, length, last), (tile, last)):
        n2 = code.let("n", f"{at} + tl.arange(0, {last})[None, :]")
        code.write(f"tl.store({at.pointers(f'packed + {2 * matrix.columns} * {n2}', down=True)}, {u} * there)")
    return str(code)
