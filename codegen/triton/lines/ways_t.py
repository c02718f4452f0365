"""Which way back each signal of a gradient takes, and the tiles of its kernels."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import COMPLEX, REAL, USUAL, Work, matrix_work, slope_work, static_work
from scatc.codegen.triton.emitter import power
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import cost_t, matrix, matrix_t, tables_t, wavelet, wavelet_t
from scatc.codegen.triton.lines.choices import MOST_FUSED, Follow, Line, Way
from scatc.codegen.triton.lines.ways import MANY, Choices
from scatc.codegen.triton.tuned import LEAST_DOT, Product
from scatc.ir.options import Options
from scatc.ir.spec import Spec

BINS = 256
"""Of a program that adds up over filters."""

PAIRS = 4
"""Rows of it."""

ROWS = 16
"""Of a program with a matrix product."""


class Back(enum.Enum):
    """How the spectrum of a signal's cotangent comes about."""

    REGISTERS = "one kernel, which goes to the waves and back in registers"
    MATRIX = "three kernels, along columns, along rows there and back, along columns, for long signals"
    STAGED = "waves by the library, a kernel that turns them into their cotangents, the library again"


class There(Choices):
    """Which way signals come about that something is made of: whole, for they are computed again on the way back."""

    def _with_blocks(self, signal: Signal, line: Line) -> Iterator[Follow]:
        yield from ()


class Returns:
    """The ways back of the signals of one program.

    Attributes
    ----------
    there : There
        How signals come about on the way there.
    ways : dict of str to Back
        By the name of the signal.
    """

    def __init__(
        self,
        spec: Spec,
        options: Options,
        root: Signal,
        coefficients: Mapping[str, list[Result]],
    ) -> None:
        self.spec, self.options, self.root, self.coefficients = spec, options, root, coefficients
        self.there = There(spec, options, root)
        self.ways: dict[str, Back] = {}
        self.seconds: dict[str, dict[Back, float]] = {}
        for signal in root.all():
            if signal.parent is not None:
                found = {way: self._seconds(self._works(signal, way)) for way in self.legal(signal)}
                self.seconds[signal.name] = found
                self.ways[signal.name] = min(found, key=lambda way: found[way])

    def legal(self, signal: Signal) -> list[Back]:
        """The ways that a signal may take."""
        m = signal.length
        found = [Back.STAGED]
        if m & (m - 1) == 0 and matrix_t.LEAST <= m <= matrix.MOST:
            found.insert(0, Back.MATRIX)
        if m & (m - 1) == 0 and wavelet.LEAST <= m <= wavelet_t.MOST:
            found.insert(0, Back.REGISTERS)
        return found

    def source(self, signal: Signal) -> Result | None:
        """The coefficients whose cotangents a kernel in registers takes; None: it reads those of samples."""
        results = self.coefficients[signal.name]
        if signal.spectrum or len(results) != 1:
            return None
        few = results[0].kept[0] <= MOST_FUSED and signal.length <= wavelet_t.MOST_AVERAGED
        return results[0] if results[0].kind != "local" or few else None

    def matrix(self, signal: Signal) -> matrix.Matrix:
        """The kernels of a long signal."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        return matrix.shape(self.there.spectrum_bins(parent), signal.length, tables.windows(fold, parent.length)[1])

    def shape(self, signal: Signal) -> wavelet_t.Turn:
        """The kernel in registers."""
        fold, parent, result = signal.fold, signal.parent, self.source(signal)
        assert fold is not None and parent is not None
        bins, (_, width) = self.there.spectrum_bins(parent), tables.windows(fold, parent.length)
        if result is None:
            return wavelet_t.default(bins, signal.length, width, "memory")
        more = {"outputs": result.kept[0]} if result.kind == "local" else {}
        if result.kind == "raw":
            more = {"first": result.first[0], "kept": result.kept[0]}
        return wavelet_t.default(bins, signal.length, width, result.kind, **more)

    def from_bins(self, signal: Signal, result: Result) -> bool:
        """Whether the cotangent of an average comes in at the few bins that the average comes from."""
        if result.kind == "raw" or (signal.parent is not None and not signal.spectrum):
            return False
        return self.there.averages_bins(signal, result, signal.length)

    # Tiles.

    def spread_tiles(self, signal: Signal, result: Result) -> Product:
        """The tiles of an average's way to samples: outputs are samples, terms the frames that they hear."""
        samples = min(max(power(signal.length), tables_t.LEAST_SAMPLES), tables_t.MOST_SAMPLES)
        frames = signal.length >> result.by
        return Product("spread", frames, signal.length, samples, ROWS, tables_t.FRAMES)

    def spread_shape(self, signal: Signal, result: Result, tiles: Product) -> tables_t.Spread:
        """Which frames blocks of samples hear."""
        return tables_t.spread(self.spec, signal, result, self.options.tolerance, tiles.outputs, tiles.block)

    def spread(self, signal: Signal, result: Result, tiles: Product) -> dict[str, Any]:
        """The constants of an average's way to samples, less those that say where it comes from."""
        shape = self.spread_shape(signal, result, tiles)
        return {
            "KEPT": result.kept[0],
            "LENGTH": signal.length,
            "STEP": shape.step,
            "FRAMES": shape.frames,
            "BEFORE": shape.before,
            "FIRST": result.first[0],
            "WINDOW": shape.window,
            "PERIOD": shape.period,
            "SAMPLES": shape.samples,
            "ROWS": tiles.rows,
            "BLOCK": tiles.block,
        }

    def average_tiles(self, signal: Signal, result: Result) -> Product:
        """The tiles of an average's way to bins, which are the outputs, and averages the terms."""
        there = self.there.bins(signal, result)
        return Product("average_t", there.kept, there.terms, there.block, ROWS, LEAST_DOT)

    def gathered(self, signal: Signal) -> list[list[Signal]]:
        """The children of a signal by groups, whose sums over filters are one: those that come back in registers."""
        short = [child for child in signal.children if self.ways[child.name] is Back.REGISTERS]
        alone = [[child] for child in signal.children if child not in short]
        return [*alone, short] if short and signal.parent is not None else [[child] for child in signal.children]

    def gather(self, children: Sequence[Signal]) -> dict[str, Any]:
        """The constants of the sum over the filters of some children of a signal."""
        highest = filters = 0
        for child in children:
            assert child.fold is not None and child.parent is not None
            starts, width = tables.windows(child.fold, child.parent.length)
            highest = max([highest, *(max(abs(start), abs(start + width - 1)) for start in starts)])
            filters += len(starts)
        assert children[0].parent is not None
        parent, bins = children[0].parent.length, 2 * highest + 1
        return {
            "PARENT": parent,
            "FILTERS": filters,
            "FIRST": 0 if bins >= parent else -highest,
            "BINS": min(bins, parent),
            "BLOCK": min(BINS, power(min(bins, parent))),
            "PAIRS": PAIRS,
        }

    # Costs.

    def _works(self, signal: Signal, way: Back) -> list[Work]:
        """What is done from the cotangent of a signal's spectrum, if it has one, to the spectrum of its cotangent."""
        m, paths = signal.length, signal.paths
        if way is Back.REGISTERS:
            works = [cost_t.turn_work(paths, self.shape(signal))]
            return works if self.source(signal) else works + self._incoming(signal)
        if way is Back.MATRIX:
            shape = self.matrix(signal)
            works = [cost_t.matrix_work(paths, shape, along_rows=along) for along in (True, False)]
            if not signal.spectrum or self.there.signals[signal.name].way is not Way.MATRIX:
                works.append(matrix_work(Launch("", {}, (), [], paths=paths), shape, along_columns=True))
            return works + self._incoming(signal)
        assert signal.fold is not None and signal.parent is not None
        constants = {"WIDTH": tables.windows(signal.fold, signal.parent.length)[1], "LENGTH": m}
        transform = static_work(Transform(m, paths, packed=False))
        works = [transform, slope_work(paths, m)]
        if not signal.spectrum or self.there.signals[signal.name].way is not Way.STAGED:
            works += [static_work(Launch("fold", {}, (), [], constants, paths=paths)), transform]
        return works + self._incoming(signal)

    def _incoming(self, signal: Signal) -> list[Work]:
        """What brings the cotangents of coefficients to samples in memory."""
        works = []
        for result in self.coefficients[signal.name]:
            if not self.from_bins(signal, result):
                kernel = "spread" if result.kind == "local" else "given"
                constants = {"KEPT": 1, "LENGTH": signal.length}
                if result.kind == "local":
                    constants = self.spread(signal, result, self.spread_tiles(signal, result))
                launch = Launch(kernel, {}, (), [], paths=signal.paths)
                works.append(cost_t.STATIC[kernel](launch, constants | {"ADD": bool(signal.spectrum)}))
        return works

    def _seconds(self, works: list[Work]) -> float:
        return sum(work.seconds(USUAL, MANY, MANY * work.bytes) for work in works)

    def explain(self) -> str:
        """Which way each signal takes, and what others would have taken."""
        lines = [
            f"ways back, as predicted for {MANY} signals on {USUAL.name}: us to the spectrum of a signal's cotangent",
            f"{'signal':<24}{'samples':>8}{'rows':>6}  {'there':<10}{'back':<10}{'us':>8}  others",
        ]
        for signal in self.root.all():
            if signal.parent is None:
                continue
            way, seconds = self.ways[signal.name], self.seconds[signal.name]
            there = self.there.signals[signal.name].way.name if signal.spectrum else "-"
            others = ", ".join(f"{other.name} {1e6 * one:.1f}" for other, one in seconds.items() if other is not way)
            lines.append(
                f"{signal.name:<24}{signal.length:>8}{signal.paths:>6}  {there:<10}{way.name:<10}"
                f"{1e6 * seconds[way]:>8.1f}  {others}".rstrip()
            )
        return "\n".join(lines) + "\n"

    # Memory.

    def live_bytes(self, signal: Signal) -> int:
        """Bytes in use at a time, at most, for one signal of the batch: what a branch holds, the deepest last."""
        waves, packed = COMPLEX * signal.length * signal.paths, REAL * signal.length * signal.paths
        during = 0
        if signal.parent is not None:
            way = self.ways[signal.name]
            during = waves * (2 if way is Back.STAGED else 1)
            during += 0 if way is Back.REGISTERS and self.source(signal) else packed
        if not signal.children and signal.parent is not None:
            return during
        spectrum = self.there.signals[signal.name].follow.spectrum
        held = packed
        if spectrum is not None:
            held += REAL * (1 if spectrum.own else 2) * spectrum.bins * signal.paths
        if signal.parent is not None and self.kept(signal):
            held += waves
        below = 0
        for group in self.gathered(signal):
            shared = sum(COMPLEX * child.length * child.paths for child in group) if len(group) > 1 else 0
            below = max([below, *(shared + self.live_bytes(child) for child in group)])
        return max(during, packed + held, held + below)

    def kept(self, signal: Signal) -> bool:
        """Whether what a signal was made of is kept until its cotangent is known."""
        there, back = self.there.signals[signal.name].way, self.ways[signal.name]
        return (there, back) in ((Way.STAGED, Back.STAGED), (Way.MATRIX, Back.MATRIX))
