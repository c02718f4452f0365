"""Which way back each signal of a gradient takes, and the tiles of its kernels.

As there (`ways.py`), whatever is legal is predicted and the cheapest is taken; what is predicted is both ways: of a
signal that something is made of, how it comes about once more and how its cotangent goes back; of others the latter.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import COMPLEX, REAL, USUAL, Work, matrix_work, slope_work, static_work
from scatc.codegen.triton.emitter import power
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import blocks_t, cost_t, matrix, matrix_t, tables_t, wavelet, wavelet_t
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.choices import MOST_FUSED, Choice, Follow, Line, Way
from scatc.codegen.triton.lines.parts import MANY
from scatc.codegen.triton.lines.spans import Span, spans
from scatc.codegen.triton.lines.sums_t import Sum
from scatc.codegen.triton.lines.ways import Choices, Facts
from scatc.codegen.triton.tuned import LEAST_DOT, Product
from scatc.ir.options import Options
from scatc.ir.spec import Spec

ROWS = 16
"""Of a program with a matrix product."""


class Back(enum.Enum):
    """How the spectrum of a signal's cotangent comes about."""

    REGISTERS = "one kernel, which goes to the waves and back in registers"
    BLOCKS = "the same kernel, on the blocks of the signal's parent"
    MATRIX = "three kernels, along columns, along rows there and back, along columns, for long signals"
    STAGED = "waves by the library, a kernel that turns them into their cotangents, the library again"


@dataclass(slots=True)
class Return(Choice):
    """How a signal comes about, how its cotangent goes back, and what follows.

    Attributes
    ----------
    back : Back
    backs : dict of Back to float
        What each way back takes, in seconds, with the best way there if there must be one.
    """

    back: Back = Back.STAGED
    backs: dict[Back, float] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether what a signal was made of is kept until its cotangent is known."""
        return (self.way, self.back) in ((Way.STAGED, Back.STAGED), (Way.MATRIX, Back.MATRIX))


class Returns(Choices):
    """The ways there and back of the signals of one program.

    Attributes
    ----------
    coefficients : mapping of str to list of Result
        By the names of signals, which themselves have none on the way there.
    apart : mapping of str to int
        Of leaves that are grouped (`together_t.py`), where their spectra begin.
    """

    def __init__(
        self,
        spec: Spec,
        options: Options,
        root: Signal,
        coefficients: Mapping[str, list[Result]],
        *,
        together: bool = False,
    ) -> None:
        self.root, self.coefficients = root, coefficients
        self.apart: Mapping[str, int] = {}
        super().__init__(spec, options, root, together=together)

    @property
    def ways(self) -> dict[str, Back]:
        """By the name of the signal, its way back."""
        return {name: one.back for name, one in self.signals.items() if isinstance(one, Return)}

    def of(self, signal: Signal) -> Return:
        """What was chosen for a signal that has a parent."""
        found = self.signals[signal.name]
        assert isinstance(found, Return)
        return found

    def ways_back(self, signal: Signal) -> list[Back]:
        """The ways that a signal may take to the whole spectrum of its parent."""
        m = signal.length
        found = [Back.STAGED]
        if m & (m - 1) == 0 and matrix_t.LEAST <= m <= matrix.MOST:
            found.insert(0, Back.MATRIX)
        if m & (m - 1) == 0 and wavelet.LEAST <= m <= wavelet_t.MOST:
            found.insert(0, Back.REGISTERS)
        return found

    def needed(self, root: Signal) -> dict[str, Span]:
        """Of each signal by name, the samples that are needed, by what its coefficients are."""
        return spans(self.spec, root, self.options.tolerance, self.coefficients)

    def results(self, signal: Signal) -> list[Result]:
        """The coefficients of a signal whose cotangents come by way of its spectrum where it is thinned."""
        return self.coefficients[signal.name]

    # What kernels are.

    def source(self, signal: Signal) -> Result | None:
        """The coefficients whose cotangents a kernel in registers takes; None: it reads those of samples."""
        results = self.coefficients[signal.name]
        if signal.spectrum or len(results) != 1:
            return None
        few = results[0].kept[0] <= MOST_FUSED and signal.length <= wavelet_t.MOST_AVERAGED
        return results[0] if results[0].kind != "local" or few else None

    def matrix(self, signal: Signal, bins: int) -> matrix.Matrix:
        """The kernels of a long signal, whose parent's spectrum has so many bins."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        return matrix.shape(bins, signal.length, tables.windows(fold, parent.length)[1])

    def turn(self, signal: Signal, bins: int) -> wavelet_t.Turn:
        """The kernel in registers, of the whole spectrum of the parent."""
        fold, parent, result = signal.fold, signal.parent, self.source(signal)
        assert fold is not None and parent is not None
        _, width = tables.windows(fold, parent.length)
        if result is None:
            return wavelet_t.default(bins, signal.length, width, "memory")
        more = {"outputs": result.kept[0]} if result.kind == "local" else {}
        if result.kind == "raw":
            more = {"first": result.first[0], "kept": result.kept[0]}
        return wavelet_t.default(bins, signal.length, width, result.kind, **more)

    def turn_of_blocks(self, signal: Signal, cut: Blocks, line: Line) -> wavelet_t.Turn:
        """The kernel in registers, of blocks of the parent."""
        assert signal.fold is not None and signal.parent is not None
        there = self.shape_of_blocks(signal, cut, line)
        _, width = tables.block_window(signal.fold, signal.parent.length, cut.length)
        more = {"crop": there.crop, "hop": there.hop, "tail": there.tail}
        return wavelet_t.default(cut.bins, there.length, width, "memory", **more)

    def from_bins(self, signal: Signal, result: Result, follow: Follow) -> bool:
        """Whether the cotangent of an average comes in at the few bins that the average comes from."""
        if result.kind == "raw" or follow.spectrum is None:
            return False
        return follow.thinning is not None or self.averages_bins(signal, result, signal.length)

    def spread_tiles(self, signal: Signal, result: Result, line: Line) -> Product:
        """The tiles of an average's way to samples: outputs are samples, terms the frames that they hear."""
        samples = min(max(power(signal.length), tables_t.LEAST_SAMPLES), tables_t.MOST_SAMPLES)
        frames = signal.length >> result.by
        return Product("spread", frames, line.length, samples, ROWS, tables_t.FRAMES)

    def spread_shape(self, signal: Signal, result: Result, tiles: Product) -> tables_t.Spread:
        """Which frames blocks of samples hear."""
        return tables_t.spread(self.spec, signal, result, self.options.tolerance, tiles.outputs, tiles.block)

    def spread(self, signal: Signal, result: Result, line: Line, tiles: Product) -> dict[str, Any]:
        """The constants of an average's way to samples, less those that say where it comes from."""
        shape = self.spread_shape(signal, result, tiles)
        return {
            "KEPT": result.kept[0],
            "LENGTH": line.length,
            "START": line.first // shape.samples * shape.samples,
            "LINE": line.first,
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
        there = self.bins(signal, result)
        return Product("average_t", there.kept, there.terms, there.block, ROWS, LEAST_DOT)

    def average_t(self, tiles: Product) -> dict[str, Any]:
        """The constants of an average's way to bins, less those that say where it comes from."""
        return {
            "BINS": tiles.kept,
            "KEPT": tiles.terms,
            "COLUMNS": tiles.padded,
            "FREQUENCIES": tiles.outputs,
            "ROWS": tiles.rows,
            "BLOCK": tiles.block,
        }

    def sums(self, signal: Signal, follow: Follow) -> list[Sum]:
        """The sums over filters of a signal: by what its children read; those that go back in registers share one.

        Leaves that are grouped have one of theirs. So has each branch, but where leaves are grouped.
        """
        found: list[Sum] = []
        branches = signal.parent is None and not self.together
        for cut in dict.fromkeys(choice.cut for choice in follow.children.values()):
            children = [child for child in signal.children if follow.children[child.name].cut == cut]
            if cut is not None:
                groups = [[child] for child in children] if signal.parent is None else [children]
                found += [Sum(tuple(group), cut.bins, cut, True) for group in groups]
                continue
            assert follow.spectrum is not None
            apart = [child for child in children if child.name in self.apart]
            rest = [child for child in children if child not in apart]
            short = [] if branches else [child for child in rest if self._returns(follow, child) is Back.REGISTERS]
            groups = [apart, *([child] for child in rest if child not in short), short]
            for group in filter(None, groups):
                places = tuple(self.apart[child.name] for child in group if child.name in self.apart)
                fresh = not any(one.cut is None for one in found)
                found.append(Sum(tuple(group), follow.spectrum.length, None, fresh, places))
        return found

    def _returns(self, follow: Follow, child: Signal) -> Back:
        choice = follow.children[child.name]
        assert isinstance(choice, Return)
        return choice.back

    # Costs.

    def _with_blocks(self, signal: Signal, line: Line) -> Iterator[Follow]:
        if self._local(signal):
            yield from super()._with_blocks(signal, line)

    def _found(self, child: Signal, length: int) -> Facts | None:
        assert child.parent is not None
        if not self._local(child) or length >> (child.level - child.parent.level) > wavelet_t.MOST:
            return None
        return super()._found(child, length)

    def _local(self, signal: Signal) -> bool:
        return all(result.kind == "local" for result in self.coefficients[signal.name])

    def _sum(self, follow: Follow, signal: Signal, line: Line, works: list[Work]) -> Follow:
        works = [*works, *(one.work() for one in self.sums(signal, follow))]
        if follow.spectrum is not None:
            works.append(static_work(Transform(follow.spectrum.length, signal.paths, packed=True)))
        if follow.thinning is not None:
            assert follow.cut is not None
            shared = any(choice.cut == follow.cut for choice in follow.children.values())
            works.append(self._unthin_work(signal, follow.cut, follow.thinning.by, add=shared))
        for cut, fresh in self.joined(signal, follow):
            works += self._joins(signal, cut, line.length, fresh=fresh)
        for result in self.results(signal):
            if self.from_bins(signal, result, follow):
                constants = self.average_t(self.average_tiles(signal, result))
                works.append(cost_t.STATIC["average_t"](_of(signal), constants))
            elif signal.parent is not None or result.kind != "raw":
                works.append(self._incoming(signal, result, line, add=follow.spectrum is not None))
        follow.seconds = self._seconds(works) + sum(choice.total for choice in follow.children.values())
        return follow

    def _cut_seconds(self, signal: Signal, cut: Blocks | None) -> float:
        """With adding blocks up, on the way back."""
        assert cut is not None
        return self._seconds([self._cut_work(signal, cut), *self._joins(signal, cut, signal.length, fresh=False)])

    def _joins(self, signal: Signal, cut: Blocks, line: int, *, fresh: bool) -> list[Work]:
        works = []
        for i, (_, _, count) in enumerate(blocks_t.turns(cut, line, whole=line == signal.length)):
            shape = blocks_t.default_join(cut.length, cut.bins, around=True, fresh=fresh and i == 0)
            works.append(cost_t.join_work(signal.paths * count, shape, signal.paths * line))
        return works

    def joined(self, signal: Signal, follow: Follow) -> list[tuple[Blocks, bool]]:
        """Which blocks are added to the cotangent of a signal's samples, and whether they are the first of it.

        They are where neither averages nor a spectrum of all samples bring anything.
        """
        cuts = [choice.cut for choice in follow.children.values() if choice.cut]
        cuts += [follow.cut] if follow.cut else []
        if signal.parent is None:
            return [(cut, False) for cut in cuts]
        whole = follow.spectrum is not None and follow.thinning is None
        known = whole or not all(self.from_bins(signal, result, follow) for result in self.results(signal))
        return [(cut, i == 0 and not known) for i, cut in enumerate(dict.fromkeys(cuts))]

    def _unthin_work(self, signal: Signal, cut: Blocks, by: int, *, add: bool) -> Work:
        shape = blocks_t.default_unthin(cut.length >> by, cut.bins, cut.halo >> by, add=add)
        return cost_t.unthin_work(signal.paths * cut.count, shape)

    def _of_blocks(self, child: Signal, cut: Blocks, whole: bool) -> Choice:
        known = self._pieces.get((child.name, cut))
        if known is None:
            there = super()._of_blocks(child, cut, whole)
            works = [cost_t.turn_work(child.paths * cut.count, self.turn_of_blocks(child, cut, there.line))]
            works += [] if child.spectrum else self._leaf(child, there.line)
            seconds = self._seconds(works) + (there.seconds if child.spectrum else 0.0)
            known = Return(Way.BLOCKS, there.line, there.follow, seconds, cut=cut, back=Back.BLOCKS)
            self._pieces[child.name, cut] = known
        return known

    def _of_spectrum(self, child: Signal, bins: int) -> Choice:
        key = (child.name, bins)
        if key not in self._whole:
            line = Line(0, child.length, True)
            follow = self._follow(child, line)
            found = [
                Return(way, line, follow, self._seconds(self._returning(child, way, back, bins)), back=back)
                for way in (self.legal(child) if child.spectrum else [Way.STAGED])
                for back in self.ways_back(child)
            ]
            best = min(found, key=lambda choice: choice.seconds)
            for one in found:
                best.backs[one.back] = min(one.seconds, best.backs.get(one.back, one.seconds))
            self._whole[key] = best
        return self._whole[key]

    def _whole_ways(self, child: Signal, bins: int) -> Iterator[tuple[Way, float]]:
        yield from ()

    def _returning(self, signal: Signal, way: Way, back: Back, bins: int) -> list[Work]:
        """What is done for a signal: there, if something is made of it, and from its cotangent to that's spectrum."""
        m, paths, launch = signal.length, signal.paths, _of(signal)
        works = self._works(signal, way, bins) if signal.spectrum else []
        kept = bool(signal.spectrum) and Return(way, Line(0, m, True), Follow(0.0), 0.0, back=back).kept
        if back is Back.REGISTERS:
            works.append(cost_t.turn_work(paths, self.turn(signal, bins)))
        elif back is Back.MATRIX:
            shape = self.matrix(signal, bins)
            works += [cost_t.matrix_work(paths, shape, along_rows=along) for along in (True, False)]
            if not kept:
                works.append(matrix_work(launch, shape, along_columns=True))
        else:
            assert signal.fold is not None and signal.parent is not None
            constants = {"WIDTH": tables.windows(signal.fold, signal.parent.length)[1], "LENGTH": m}
            transform = static_work(Transform(m, paths, packed=False))
            works += [transform, slope_work(paths, m)]
            if not kept:
                works += [static_work(Launch("fold", {}, (), [], constants, paths=paths)), transform]
        if signal.spectrum or (back is Back.REGISTERS and self.source(signal)):
            return works
        return works + self._leaf(signal, Line(0, m, True))

    def _leaf(self, signal: Signal, line: Line) -> list[Work]:
        """What brings the cotangents of a leaf's coefficients to samples in memory."""
        results = self.coefficients[signal.name]
        return [self._incoming(signal, result, line, add=i > 0) for i, result in enumerate(results)]

    def _incoming(self, signal: Signal, result: Result, line: Line, *, add: bool) -> Work:
        kernel = "spread" if result.kind == "local" else "given"
        constants = {"KEPT": 1, "LENGTH": line.length}
        if result.kind == "local":
            constants = self.spread(signal, result, line, self.spread_tiles(signal, result, line))
        return cost_t.STATIC[kernel](_of(signal), constants | {"ADD": add})

    def explain(self) -> str:
        """Which way each signal takes, and what others would have taken."""
        lines = [
            f"ways back, as predicted for {MANY} signals on {USUAL.name}: us to the spectrum of a signal's cotangent",
            f"{'signal':<24}{'samples':>8}{'rows':>6}  {'there':<10}{'back':<10}{'us':>8}  {'of':<14}others",
        ]
        for signal in self.root.all():
            if signal.parent is None:
                continue
            choice, name = self.of(signal), signal.name
            there = choice.way.name if signal.spectrum else "-"
            source = f"blocks {choice.cut.length}" if choice.cut else "spectrum"
            others = ", ".join(
                f"{back.name} {1e6 * one:.1f}" for back, one in choice.backs.items() if back is not choice.back
            )
            lines.append(
                f"{name:<24}{signal.length:>8}{signal.paths:>6}  {there:<10}{choice.back.name:<10}"
                f"{1e6 * choice.seconds:>8.1f}  {source:<14}{others}".rstrip()
            )
        return "\n".join(lines) + "\n"

    # Memory.

    def live_bytes(self, signal: Signal, *, shared: bool = False) -> int:
        """Bytes in use at a time, at most, for one signal of the batch: what a branch holds, the deepest last.

        Without its product with filters, if that lies in an array which signals share.
        """
        choice, follow = self.signals[signal.name], self.signals[signal.name].follow
        packed, during = REAL * choice.line.length * signal.paths, 0
        if isinstance(choice, Return):
            during = self._product(signal) * ((0 if shared else 1) + (choice.back is Back.STAGED))
            during += 0 if choice.back is Back.REGISTERS and self.source(signal) else packed
            if not signal.children:
                return during
        cuts = {below.cut for below in follow.children.values() if below.cut} | ({follow.cut} if follow.cut else set())
        cotangents = held = REAL * signal.paths * sum(cut.count * cut.bins for cut in cuts)
        if follow.spectrum is not None:
            own = 1 if follow.spectrum.own else 2
            held += REAL * signal.paths * (own * follow.spectrum.bins + follow.spectrum.length)
        if signal.parent is None:  # all others' samples are gone when they are cut
            held += (2 if cuts else 1) * packed
        if isinstance(choice, Return) and choice.kept:
            held += self._product(signal)
        below = 0
        for i, one in enumerate(self.sums(signal, follow)):
            several = len(one.children) > 1
            products = sum(self._product(child) for child in one.children) if several else 0
            inside = max(self.live_bytes(child, shared=several) for child in one.children)
            # cotangents of blocks begin with the first sum, when what led to it is gone
            below = max(below, products + (inside + cotangents if i else max(inside, cotangents)))
        return max(during, packed + held + cotangents, held + below)

    def _product(self, signal: Signal) -> int:
        """Bytes of the spectra of a signal's cotangent."""
        cut, samples = self.signals[signal.name].cut, signal.length
        if cut is not None:
            assert signal.parent is not None
            samples = cut.count * (cut.length >> (signal.level - signal.parent.level))
        return COMPLEX * samples * signal.paths


def _of(signal: Signal) -> Launch:
    """A launch for the rows of a signal, as the cost model asks."""
    return Launch("", {}, (), [], paths=signal.paths)
