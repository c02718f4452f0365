"""The kernel that goes from a spectrum to moduli, or all the way to averages, without leaving the registers.

One program has a block of rows (signals) for one filter: it reads the filter's window of the parent's spectrum, tells
the two signals of a pair apart, multiplies by the filter, folds, transforms back in registers and takes the modulus.
What it does with the modulus is one of the *sinks*: average it (a product with a matrix), sum it, store it packed in
pairs for the next transform, or store it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton.fft import radices, register_ffts
from scatc.codegen.triton.planes import Run, hinted, runs, stacks, unstacked, within
from scatc.codegen.triton.tuned import MOST_WARPS, WARP, around, space

ROWS = {16: 32, 32: 32, 64: 32, 128: 16, 256: 16, 512: 16, 1024: 16, 2048: 8, 4096: 1, 8192: 1}
WARPS = {16: 1, 32: 2, 64: 4, 128: 2, 256: 4, 512: 8, 1024: 16, 2048: 8, 4096: 8, 8192: 8}
"""Rows and warps of a program for each length: 16 to 64 complex numbers a thread, no spills."""

NUMBERS = ("bins", "paths", "n", "pairs")
"""The last arguments of a kernel: bins of the parent's spectrum, rows of the output, the batch."""

OF_BLOCKS = ("blocks", "line")
"""Besides, of one whose parents are cut: blocks of a signal, and samples that are kept of all."""

PACKED_ROWS = ROWS | {2048: 4}
"""Rows where moduli are stored in pairs besides something else: addresses take registers, too."""

AVERAGING_WARPS = {1024: 8}
"""Warps where moduli are averaged: with 16, a thread may have but 128 registers, and takes a sixth more."""

PAIRS = {16: 32, 32: 32, 64: 16, 128: 8, 256: 8, 512: 8, 1024: 4, 2048: 2, 4096: 1, 8192: 1}
PAIR_WARPS = {16: 1, 32: 2, 64: 2, 128: 2, 256: 4, 512: 4, 1024: 4, 2048: 8, 4096: 8, 8192: 8}
"""Rows, which are pairs then, and warps where moduli are packed and nothing else.

A plane must have a number for each thread: where it has fewer, several threads do the same. A processor should hold
several programs, so that some compute while others wait for memory: four warps where that makes no difference else.
"""

LEAST, MOST = min(ROWS), max(ROWS)
"""The lengths that fit the registers."""

MOST_AVERAGED = 1024
"""Longest signal that is averaged where it lies: of longer ones a program has too few rows for a matrix product.

With eight rows of 2048 samples a thread takes all 255 registers, and spills some.
"""

LEAST_DOT = 16
"""Numbers along each side of a tensor core's product."""

LEAST_HELD, MOST_HELD = 8, 64
"""Complex numbers that a thread may hold, where kernels are tuned."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kernel is specialised to; parents of any length, and any number of filters, share a kernel.

    Attributes
    ----------
    length : int
        Samples of the signal.
    width : int
        Bins of a window, padded with zeros to whole planes of the first stage.
    masked : bool
        Whether parents' lengths are powers of two, so that bins wrap around by a mask.
    sinks : tuple of str
        Of 'local', 'total', 'pack' and 'raw'.
    outputs : int
        Averages that are kept ('local').
    first, kept : int
        Samples that are kept ('raw').
    rows, warps : int
        Of a program.
    stages : tuple of int
        The radices of the transform.
    crop, hop : int
        If parents are cut into blocks (`blocks.py`): a row is a block, of which so many samples are packed, and so many
        before them are not. Else 0.
    tail : bool
        Whether the last block ends behind the line's end.
    together : bool
        Whether parents are of several lengths, so that a table says of each path where its spectrum lies.
    """

    length: int
    width: int
    masked: bool
    sinks: tuple[str, ...]
    outputs: int = 0
    first: int = 0
    kept: int = 0
    rows: int = 0
    warps: int = 0
    stages: tuple[int, ...] = ()
    crop: int = 0
    hop: int = 0
    tail: bool = False
    together: bool = False

    @property
    def cut(self) -> bool:
        """Whether parents are cut into blocks."""
        return self.hop > 0

    @property
    def paired(self) -> bool:
        """Whether rows are of pairs, whose two signals go side by side; else a row is one signal."""
        return self.sinks == ("pack",)

    @property
    def signals(self) -> int:
        """Signals of a program."""
        return self.rows * (2 if self.paired else 1)

    @property
    def plane(self) -> int:
        """Bins of a plane of the first stage."""
        return self.length // self.stages[0]

    @property
    def last(self) -> int:
        """Samples of a plane of the last stage."""
        return self.length // self.stages[-1]

    @property
    def columns(self) -> int:
        """Averages, with padding."""
        return max(LEAST_DOT, 1 << (self.outputs - 1).bit_length())

    @property
    def depth(self) -> int:
        """Samples that one product of a warp sums over: those of as many planes as make enough."""
        return max(self.last // self.warps, min(LEAST_DOT, self.length // self.warps))

    def candidates(self) -> list[Shape]:
        """Half, as many and twice the rows and the warps, where a thread then holds a sensible share."""

        def legal(other: Shape) -> bool:
            return sensible(other.rows * other.length, other.warps) and other.averages

        return space(self, legal, rows=around(self.rows), warps=around(self.warps, most=MOST_WARPS))

    @property
    def averages(self) -> bool:
        """Whether a kernel can average, if it must, with its warps side by side: each has enough for a product."""
        if "local" not in self.sinks:
            return True
        return self.length // self.warps >= LEAST_DOT and self.depth * self.warps % self.last == 0


def sensible(numbers: int, warps: int) -> bool:
    """Whether a program of so many warps may have so many complex numbers."""
    return LEAST_HELD <= numbers / (WARP * warps) <= MOST_HELD


def default(parent: int, length: int, width: int, sinks: tuple[str, ...], **more: Any) -> Shape:
    """The shape to begin with, for a window of a parent's spectrum."""
    stages = radices(length)
    plane = length // stages[0]
    padded = -(-width // plane) * plane
    masked = parent & (parent - 1) == 0
    rows = (PACKED_ROWS if "pack" in sinks else ROWS)[length]
    warps = AVERAGING_WARPS.get(length, WARPS[length]) if "local" in sinks else WARPS[length]
    found = Shape(length, padded, masked, sinks, rows=rows, warps=warps, stages=stages, **more)
    return replace(found, rows=PAIRS[length], warps=PAIR_WARPS[length]) if found.paired else found


def parameters(shape: Shape) -> list[tuple[str, str]]:
    """Names and types of a kernel's arguments."""
    found = [("X", "*i64"), ("start", "*i32"), ("w", "*fp32"), ("twiddles", "*i64")]
    if shape.together:
        found.insert(1, ("places", "*i32"))
    if "local" in shape.sinks:
        found += [("phi_high", "*fp32"), ("phi_low", "*fp32")]
    if set(shape.sinks) & {"local", "total", "raw"}:
        found += [("scale", "*fp32"), ("row", "*i32"), ("out", "*fp32")]
    if "pack" in shape.sinks:
        found += [("U", "*i64" if shape.paired else "*fp32")]
    return [*found, *((name, "i32") for name in numbers(shape))]


def numbers(shape: Shape) -> tuple[str, ...]:
    """The arguments that are numbers."""
    if shape.together:
        return NUMBERS[1:]
    return NUMBERS + OF_BLOCKS if shape.cut else NUMBERS


def body(shape: Shape) -> str:
    """The statements of the kernel."""
    code = Code()
    begin(code, shape)
    (_of_pairs if shape.paired else _of_signals)(code, shape)
    return str(code)


def begin(code: Code, shape: Shape) -> None:
    """Which rows a program has, of which filter and which parent."""
    code.write(f"index = tl.program_id(0) * {shape.rows} + tl.arange(0, {shape.rows})")
    if shape.together:
        code.write("child = tl.program_id(1).to(tl.int64)", "filter = child", "bins = tl.load(places + 2 * child + 1)")
    else:
        code.write(
            "filter = tl.program_id(1)",
            "parent = tl.program_id(2).to(tl.int64)",
            "child = parent * tl.num_programs(1) + filter",
        )


def folded(code: Code, shape: Shape) -> list[Plane]:
    """The planes of the first stage where rows are signals: each reads its half of a pair's spectrum."""
    code.write("signal = index", "half = signal >> 1", "first = ((signal & 1) == 0)[:, None]")

    def product(z: str, m: str, weight: str) -> tuple[Complex]:
        re = f"(tl.where(first, low({z}), high({z})) + tl.where(first, low({m}), high({m}))) * {weight}"
        im = f"(tl.where(first, high({z}), low({m})) - tl.where(first, high({m}), low({z}))) * {weight}"
        return (code.pair(re, im),)

    (planes,) = _window(code, shape, product)
    return planes


def _of_signals(code: Code, shape: Shape) -> None:
    """Rows are signals."""
    (moduli,) = _moduli(code, shape, folded(code, shape))
    code.write("live = signal < n", f"at = tl.arange(0, {shape.last})")
    if set(shape.sinks) & {"local", "total", "raw"}:
        code.write("size = tl.load(scale + signal, mask=live, other=0.0)")
    for sink in shape.sinks:
        code.write(f"# {sink}")
        _SINKS[sink](code, shape, moduli)


def _of_pairs(code: Code, shape: Shape) -> None:
    """Rows are pairs, or blocks of pairs: what is read serves both signals, what is stored is a complex number."""
    if shape.cut:
        code.write("of_pair = index // blocks", "block = index % blocks", "all_pairs = pairs", "pairs = pairs * blocks")
    code.write("half = index")

    def products(z: str, m: str, weight: str) -> tuple[Complex, Complex]:
        a, b = code.pair(f"low({z})", f"high({z})"), code.pair(f"low({m})", f"high({m})")
        one = code.pair(f"({a[0]} + {b[0]}) * {weight}", f"({a[1]} - {b[1]}) * {weight}")
        return one, code.pair(f"({a[1]} + {b[1]}) * {weight}", f"({b[0]} - {a[0]}) * {weight}")

    one, other = _window(code, shape, products)
    firsts, seconds = _moduli(code, shape, one, other)
    _pack_pairs(code, shape, firsts, seconds)


def _moduli(code: Code, shape: Shape, *sets: list[Plane]) -> list[list[str]]:
    done = register_ffts(code, sets, shape.rows, shape.stages, 1, "twiddles")
    code.write("# modulus")
    found = [[code.let("u", f"tl.sqrt({p[0]} * {p[0]} + {p[1]} * {p[1]})") for p in planes if p] for planes in done]
    assert all(len(moduli) == shape.stages[-1] for moduli in found), "a transform has no zeros that are known"
    return found


def _window_runs(shape: Shape) -> list[Run]:
    """The planes of a window, which folds onto those of the first stage once for each `length` that it is long."""
    width, length = shape.width, shape.length
    ranges = (range(start, min(start + length, width), shape.plane) for start in range(0, width, length))
    return [run for places in ranges for run in runs(places)]


def _window(
    code: Code, shape: Shape, products: Callable[[str, str, str], Sequence[Complex]]
) -> tuple[list[Plane], ...]:
    """The planes of the first stage, for each of the `products` of bins k and -k of a spectrum and a weight."""
    plane, width = shape.plane, shape.width
    code.write(
        "# window",
        "pair = tl.minimum(half, pairs - 1)  # rows behind the last compute it again, and store nothing",
        "spectrum = X + tl.load(places + 2 * child).to(tl.int64) * pairs + pair * bins"
        if shape.together
        else "spectrum = X + (parent * pairs + pair) * bins",
        "begin = tl.load(start + filter)",
        f"p = tl.arange(0, {plane})",
        f"weights = tl.broadcast_to((w + filter * {width} + p)[None, :], [{shape.rows}, {plane}])",
    )
    found = _window_runs(shape)
    names = [(run.let(code), code.name("z"), code.name("z")) for run in found]
    code.write(
        f"if (begin > 0) & (begin + {width} <= bins):",
        "    ahead = (spectrum + begin)[:, None] + p[None, :]",
        "    behind = (spectrum + (bins - begin))[:, None] - p[None, :]",
    )
    for at, z, m in names:
        ahead, behind = at.pointers(f"ahead + {at}"), at.pointers(f"behind - {at}")
        code.write(f"    {z} = tl.load({ahead})", f"    {m} = tl.load({behind})")
    code.write("else:  # bins wrap around")
    wrap = "{} & (bins - 1)" if shape.masked else "({} % bins + bins) % bins"
    for at, z, m in names:
        ahead, behind = (wrap.format(k) for k in (f"(begin + {at} + p)", f"(-begin - {at} - p)"))
        ahead, behind = (at.pointers(f"spectrum[:, None] + ({k})") for k in (ahead, behind))
        code.write(f"    {z} = tl.load({ahead})", f"    {m} = tl.load({behind})")
    sets: list[list[Plane]] = []
    for run, (at, z, m) in zip(found, names, strict=True):
        made = products(z, m, code.let("weight", f"tl.load({at.pointers(f'weights + {at}')})"))
        sets = sets or [[None] * (shape.length // plane) for _ in made]
        for planes, number in zip(sets, made, strict=True):
            parts = (unstacked(code, part, run.size, (shape.rows, plane)) for part in number)
            for i, z_of in zip(run.places, zip(*parts, strict=True), strict=True):
                planes[i] = code.add(planes[i], z_of)
    return tuple(sets)


def of_phi(code: Code, shape: Shape, axes: tuple[int, int, int], at: str) -> str:
    """Read both parts of a tensor of phi; their names.

    Where Triton would take tensors of the transform to be alike, it would lay them out as it reads phi: several
    neighbours for each thread. So phi is read as they are then.
    """
    alike = {(run.size, shape.rows, shape.plane) for run in _window_runs(shape)}
    alike.add((shape.stages[-1], shape.rows, shape.last))
    tables = (f"phi_{part} + {at}" for part in ("high", "low"))
    return ", ".join(code.let("phi", f"tl.load({hinted(table) if axes in alike else table})") for table in tables)


def _local(code: Code, shape: Shape, moduli: list[str]) -> None:
    """A product for each group of planes, with the warps along an axis of its own, whose sum is the average.

    So each warp multiplies what it has: a plain product would want the rows laid out anew, and with them all that led
    to them.
    """
    warps, depth, columns = shape.warps, shape.depth, shape.columns
    together = depth * warps // shape.last
    code.write(
        f"warp = tl.arange(0, {warps})[:, None, None] * {depth}",
        f"sample = tl.arange(0, {depth})[None, :, None]",
        f"place = (warp + sample) * {columns} + tl.arange(0, {columns})[None, None, :]",
        f"acc = tl.zeros(({warps}, {shape.rows}, {columns}), tl.float32)",
    )
    for group in range(0, len(moduli), together):
        stacked = code.stack(moduli[group : group + together])
        split = code.let("t", f"tl.reshape({stacked}, [{shape.rows}, {warps}, {depth}])")
        moved = code.let("t", f"tl.permute({split}, [1, 0, 2])")
        at = f"{group * shape.last * columns} + place"
        code.write(f"acc = product(acc, {moved}, {of_phi(code, shape, (warps, depth, columns), at)})")
    code.write(
        "average = tl.sum(acc, 0) * size[:, None]",
        f"t = tl.arange(0, {columns})",
        f"row_of = out + (signal.to(tl.int64) * paths + tl.load(row + child))[:, None] * {shape.outputs}",
        f"tl.store(row_of + t[None, :], average, mask=live[:, None] & (t < {shape.outputs})[None, :])",
    )


def _total(code: Code, shape: Shape, moduli: list[str]) -> None:
    code.write(
        f"total = tl.sum({code.add_up(moduli)}, 1)",
        "tl.store(out + signal.to(tl.int64) * paths + tl.load(row + child), total * size, mask=live)",
    )


def _pack(code: Code, shape: Shape, moduli: list[str]) -> None:
    """Real parts are of even signals, imaginary ones of odd signals; if their number is odd, the last is zero."""
    code.write(
        f"packed = U + ((child * pairs + (signal >> 1)) * {2 * shape.length} + (signal & 1))[:, None]",
        "packed += 2 * at[None, :]",
        "there = (signal < 2 * pairs)[:, None]",
    )
    places = range(0, 2 * shape.length, 2 * shape.last)
    for place, (u,) in stacks(code, [(u,) for u in moduli], places, (shape.rows, shape.last)):
        pointers = code.let("here", place.pointers(f"packed + {place}"))
        code.write(f"tl.store({pointers}, tl.where(live[:, None], {u}, 0.0), mask=there)")


def _pack_pairs(code: Code, shape: Shape, firsts: list[str], seconds: list[str]) -> None:
    """As `_pack`, both signals at a time; of a block what no other block has."""
    code.write("# pack", f"i = tl.arange(0, {shape.last})[None, :]", "live = (index < pairs)[:, None]")
    first, stop = 0, shape.length
    if shape.cut:
        first, stop = shape.crop, shape.crop + shape.hop
        code.write(
            "there = tl.where(2 * of_pair + 1 < n, 1.0, 0.0)[:, None]",
            f"begin = block * {shape.hop} - {shape.crop}",
            "packed = (U + (child * all_pairs + of_pair) * line + begin)[:, None] + i",
            "end = (line - begin)[:, None]",
        )
    else:
        code.write(
            "there = tl.where(2 * index + 1 < n, 1.0, 0.0)[:, None]",
            f"packed = (U + (child * pairs + index) * {shape.length})[:, None] + i",
        )
    places, edges = within(shape.length, shape.last, first, stop)
    tail = " & (i < end - {at})" if shape.tail else ""
    planes = list(zip(firsts, seconds, strict=True))
    for place, (u, v) in stacks(code, planes, places, (shape.rows, shape.last)):
        mask = f"live{edges}{tail}".format(at=place)
        pointers = code.let("here", place.pointers(f"packed + {place}"))
        code.write(f"tl.store({pointers}, both({u}, {v} * there), mask={mask})")


def _raw(code: Code, shape: Shape, moduli: list[str]) -> None:
    code.write(
        f"line = out + ((signal.to(tl.int64) * paths + tl.load(row + child)) * {shape.kept} - {shape.first})[:, None]",
        "i = at[None, :]",
    )
    places, edges = within(shape.length, shape.last, shape.first, shape.first + shape.kept)
    for place, (u,) in stacks(code, [(u,) for u in moduli], places, (shape.rows, shape.last)):
        pointers = code.let("here", place.pointers(f"line + i + {place}"))
        mask = f"live[:, None]{edges}".format(at=place)
        code.write(f"tl.store({pointers}, {u} * size[:, None], mask={mask})")


_SINKS = {"local": _local, "total": _total, "pack": _pack, "raw": _raw}
