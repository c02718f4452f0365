"""The kernel that takes a signal there and back without leaving the registers: from its parent's spectrum to the
spectrum of its cotangent.

It begins as that of `wavelet.py` does: one program has a block of rows (signals) for one filter, reads the filter's
window, folds, and transforms back. Then it turns the cotangent of the modulus by the phase, `gU V / |V|`, and
transforms forward, by the same stages in reverse order, for the planes in which one transform ends are those with which
the other begins. Where the cotangent of the modulus comes from is the kernel's `source`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from scatc.codegen.code import Code
from scatc.codegen.triton.fft import register_fft, wide_radices
from scatc.codegen.triton.fused import FusedCode
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.lines import wavelet
from scatc.codegen.triton.lines.wavelet import Shape
from scatc.codegen.triton.modulus import turned
from scatc.codegen.triton.planes import At, read, stacks, within
from scatc.codegen.triton.tuned import MOST_WARPS, WARP, around, space

ROWS = {1024: 8, 2048: 4}
WARPS = {1024: 8, 2048: 16}
"""Rows and warps of a program, where those of the way there alone would spill: numbers are held longer."""

WIDE_WARPS = {2048: 4}
"""Warps where there are two stages with long lists: for narrow windows, of which a program has fewer planes to hold."""

NARROW = 0.3
"""The widest of these windows, as a share of the samples: all registers are taken, and wider ones compile for long."""

MOST = 2048
"""Longest signal that goes there and back in registers."""

MOST_AVERAGED = 512
"""Longest signal whose averages' cotangents are brought to samples there: of longer ones a program has too few rows."""

MOST_HELD = 32
"""Complex numbers that a thread may hold, where kernels are tuned."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a kernel is specialised to.

    Attributes
    ----------
    there : Shape
        How a row gets to its waves.
    source : {'memory', 'local', 'total', 'raw'}
        Whence the cotangent of the modulus comes: it lies in memory, packed in pairs, or follows from the cotangents of
        averages, of a sum, or of samples that were output. Of blocks it lies in memory.
    """

    there: Shape
    source: str

    @property
    def warps(self) -> int:
        """Of a program."""
        return self.there.warps

    def candidates(self) -> list[Turn]:
        """As of the way there alone, with fewer numbers for each thread."""

        def legal(other: Shape) -> bool:
            held = other.rows * other.length / (WARP * other.warps)
            return wavelet.LEAST_HELD <= held <= MOST_HELD and other.averages

        rows, warps = around(self.there.rows), around(self.there.warps, most=MOST_WARPS)
        return [replace(self, there=there) for there in space(self.there, legal, rows=rows, warps=warps)]

    @property
    def matrix(self) -> tuple[int, int, int, int]:
        """The axes of the matrix that takes averages to samples: products, warps, averages, samples of a warp."""
        depth, warps = self.there.depth, self.there.warps
        return self.there.length // (depth * warps), warps, self.there.columns, depth


def default(bins: int, length: int, width: int, source: str, **more: Any) -> Turn:
    """The kernel to begin with, for a window of a parent's spectrum, or of its blocks', of so many bins."""
    sinks = () if source == "memory" else (source,)
    there = wavelet.default(bins, length, width, sinks, **more)
    rows, warps, stages = ROWS.get(length, there.rows), WARPS.get(length, there.warps), there.stages
    if length in WIDE_WARPS and width <= NARROW * length:
        warps, stages = WIDE_WARPS[length], wide_radices(length)
    plane = length // stages[0]
    padded = -(-width // plane) * plane
    return Turn(replace(there, width=padded, rows=rows, warps=warps, stages=stages), source)


def parameters(shape: Turn) -> dict[str, str]:
    """Names and types of a kernel's arguments."""
    found = {"X": "*i64"} | ({"places": "*i32"} if shape.there.together else {})
    found |= {"start": "*i32", "w": "*fp32", "twiddles": "*i64"}
    if shape.source == "memory":
        found["gU"] = "*fp32"
    else:
        found |= {"g": "*fp32", "weight": "*fp32", "row": "*i32"}
    if shape.source == "local":
        found |= {"phi_high": "*fp32", "phi_low": "*fp32"}
    return found | {"P": "*i64"} | dict.fromkeys(wavelet.numbers(shape.there), "i32")


def written(shape: Turn, name: str) -> Written:
    """The kernel of a shape."""
    there = shape.there
    doc = f"From {there.width} bins of a spectrum to {there.length} of a cotangent's in registers: {shape.source}"
    return Written(name, doc, parameters(shape), body(shape))


def body(shape: Turn) -> str:
    """The statements of the kernel."""
    code, there = FusedCode(), shape.there
    wavelet.begin(code, there)
    if there.cut:
        code.write("all_pairs = pairs", "pairs = pairs * blocks")
    planes = register_fft(code, wavelet.folded(code, there), there.rows, there.stages, 1, "twiddles")
    code.write(f"# cotangents: {shape.source}", f"at = tl.arange(0, {there.last})")
    if shape.source != "memory":
        code.write(
            "live = signal < n",
            "by = tl.load(weight + signal, mask=live, other=0.0)[:, None]",
            "line = g + ((signal.to(tl.int64) * paths + tl.load(row + child)) * "
            f"{there.outputs or there.kept or 1})[:, None]",
        )
    slopes = _SOURCES[shape.source](code, shape)
    code.write("# phase")
    cotangents = [turned(code, plane, g) if g else None for plane, g in zip(planes, slopes, strict=True)]
    spectrum = register_fft(code, cotangents, there.rows, there.stages[::-1], -1, "twiddles")
    code.write(
        "# store",
        f"into = P + ((child * 2 * pairs + signal) * {there.length})[:, None] + tl.arange(0, {there.plane})[None, :]",
        "there = (signal < 2 * pairs)[:, None]",
    )
    # no filter reads what is beyond its window
    places = range(0, min(there.length, there.width), there.plane)
    for place, (re, im) in stacks(code, spectrum, places, (there.rows, there.plane)):
        code.write(f"tl.store({place.pointers(f'into + {place}')}, both({re}, {im}), mask=there)")
    return str(code)


def _memory(code: Code, shape: Turn) -> list[str]:
    """Real parts are of even signals, imaginary ones of odd signals; of a block only the middle has cotangents."""
    there = shape.there
    first, stop = (there.crop, there.crop + there.hop) if there.cut else (0, there.length)
    if there.cut:
        code.write(
            f"before = (pair % blocks) * {there.hop} - {there.crop}",
            "of_pair = child * all_pairs + pair // blocks",
            "packed = gU + (2 * (of_pair * line + before) + (signal & 1))[:, None] + 2 * at[None, :]",
            "end = (line - before)[:, None]",
        )
    else:
        whole = f"(child * pairs + pair) * {2 * there.length} + (signal & 1)"
        code.write(f"packed = gU + ({whole})[:, None] + 2 * at[None, :]")
    code.write("i = at[None, :]")
    places, edges = within(there.length, there.last, first, stop)
    mask = (edges + (" & (i < end - {at})" if there.tail else "")).removeprefix(" & ")

    def cotangents(place: At) -> tuple[str]:
        masked = f", mask={mask}, other=0.0".format(at=place) if mask else ""
        pointers = code.let("here", place.pointers(f"packed + 2 * {place}"))
        return (code.let("g_u", f"tl.load({pointers}{masked})"),)

    found = read(code, places, (there.rows, there.last), cotangents)
    return [g[0] if g else "" for g in found]


def _local(code: Code, shape: Turn) -> list[str]:
    """A product for each group of planes, with the warps along an axis of its own: as on the way there, reversed."""
    there = shape.there
    products, warps, columns, depth = shape.matrix
    together = depth * warps // there.last
    code.write(
        f"t = tl.arange(0, {columns})[None, :]",
        f"averages = tl.load(line + t, mask=live[:, None] & (t < {there.outputs}), other=0.0) * by",
        f"averages = tl.broadcast_to(averages[None, :, :], [{warps}, {there.rows}, {columns}])",
        f"warp = tl.arange(0, {warps})[:, None, None] * {columns}",
        f"place = (warp + tl.arange(0, {columns})[None, :, None]) * {depth} + tl.arange(0, {depth})[None, None, :]",
    )
    found = []
    for group in range(products):
        at = f"{group * warps * columns * depth} + place"
        zeros = f"tl.zeros(({warps}, {there.rows}, {depth}), tl.float32)"
        product = f"product({zeros}, averages, {wavelet.of_phi(code, there, (warps, columns, depth), at)})"
        moved = code.let("t", f"tl.permute({product}, [1, 0, 2])")
        twos = ", 2" * (together.bit_length() - 1)
        split = code.let("t", f"tl.reshape({moved}, [{there.rows}, {there.last}{twos}])")
        found += code.unstack(split, together)
    return found


def _total(code: Code, shape: Turn) -> list[str]:
    code.write("total = tl.load(line, mask=live[:, None], other=0.0) * by")
    return ["total"] * shape.there.stages[-1]


def _raw(code: Code, shape: Turn) -> list[str]:
    there = shape.there

    def cotangents(place: At) -> tuple[str]:
        i = code.let("i", f"at[None, :] + {place} - {there.first}")
        inside = f"live[:, None] & ({i} >= 0) & ({i} < {there.kept})"
        pointers = code.let("here", place.pointers(f"line + {i}"))
        return (code.let("g_u", f"tl.load({pointers}, mask={inside}, other=0.0) * by"),)

    found = read(code, range(0, there.length, there.last), (there.rows, there.last), cotangents)
    return [g[0] for g in found if g is not None]


_SOURCES = {"memory": _memory, "local": _local, "total": _total, "raw": _raw}
