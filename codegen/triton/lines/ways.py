"""Which way each signal takes: all that are legal are predicted, the cheapest is taken.

What can be chosen: how a signal is made of its parent (`Way`), and what its children read of it: the spectrum of all
its samples, those of blocks, or that of a thinned signal, each for some of the children. Signals below choose by
themselves, so that the choice of a signal is the least sum over its children.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import (
    COMPLEX,
    REAL,
    USUAL,
    Work,
    average_work,
    cut_work,
    lowpass_work,
    matrix_work,
    static_work,
    thin_work,
    wavelet_work,
)
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import blocks, matrix, wavelet
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.choices import Choice, Follow, Line, Spectrum, Tiles, Way, held_bins
from scatc.codegen.triton.lines.parts import MANY
from scatc.codegen.triton.lines.spans import Span, Thinning, reach, spans, thinning
from scatc.ir.options import Options
from scatc.ir.spec import Spec


@dataclass(frozen=True, slots=True)
class Facts:
    """What a signal asks of the blocks that it is made of.

    Attributes
    ----------
    reach : int
        Of its filters, in samples of its parent.
    bins : int
        Of a block's spectrum, around 0.
    span : Span
        Of its parent, the samples where it is needed.
    """

    reach: int
    bins: int
    span: Span


class Choices(Tiles):
    """The choices for the signals of one program.

    Attributes
    ----------
    root : Choice
        Of the padded input, which is made in no way.
    """

    def __init__(self, spec: Spec, options: Options, root: Signal, *, together: bool = False) -> None:
        super().__init__(spec, options)
        self.together = together
        self.spans = self.needed(root)
        self._whole: dict[tuple[str, int], Choice] = {}
        self._pieces: dict[tuple[str, Blocks], Choice] = {}
        self._known: dict[tuple[str, int], Facts | None] = {}
        self._reaches: dict[str, int | None] = {}
        line = Line(0, root.length, True)
        self.signals: dict[str, Choice] = {}
        self._enter(root.name, Choice(Way.STAGED, line, self._follow(root, line), 0.0))

    def results(self, signal: Signal) -> list[Result]:
        """The coefficients of a signal that come from its spectrum where it is thinned."""
        return signal.results

    def needed(self, root: Signal) -> dict[str, Span]:
        """Of each signal by name, the samples that are needed."""
        return spans(self.spec, root, self.options.tolerance)

    def _enter(self, name: str, choice: Choice) -> None:
        self.signals[name] = choice
        for child, below in choice.follow.children.items():
            self._enter(child, below)

    @property
    def seconds(self) -> float:
        """Of a call for `MANY` signals, less what every choice would take."""
        return next(iter(self.signals.values())).follow.seconds

    def spectrum_bins(self, signal: Signal) -> int:
        """Bins of a signal's spectrum, if it has one."""
        spectrum = self.signals[signal.name].follow.spectrum
        return spectrum.bins if spectrum else 0

    # What follows from the samples of a signal.

    def _follow(self, signal: Signal, line: Line) -> Follow:
        """The quickest of what can follow; it takes forever if nothing can: some need samples that are not there."""
        if not signal.children and signal.parent is not None:
            return Follow(0.0)
        found = [*self._without_blocks(signal, line), *self._with_blocks(signal, line)]
        return min(found, key=lambda follow: follow.seconds, default=Follow(inf))

    def _without_blocks(self, signal: Signal, line: Line) -> Iterator[Follow]:
        if line.whole:
            spectrum = self._spectrum(signal, signal.length, signal.children)
            children = {child.name: self._of_spectrum(child, spectrum.bins) for child in signal.children}
            found = Follow(0.0, spectrum, children=children)
            yield self._sum(found, signal, line, [self._transform_work(signal, spectrum)])

    def _spectrum(self, signal: Signal, length: int, readers: list[Signal]) -> Spectrum:
        """The quicker transform of a signal of so many samples, thinned or not."""
        library = Spectrum(length, length, False)
        if length & (length - 1) or not wavelet.LEAST <= length <= wavelet.MOST:
            return library
        highest = held_bins(self.spec, signal.level, self.options.tolerance) if signal.results else 1
        for child in readers:
            assert child.fold is not None
            starts, width = tables.windows(child.fold, signal.length)
            highest = max([highest, *(max(-start, start + width) for start in starts)])
        bins = min(length, max(blocks.least_bins(length), 1 << (2 * highest + 1).bit_length()))
        own = Spectrum(length, bins, True)
        if self.together and signal.parent is not None and signal.parent.parent is None:
            return own
        return min(own, library, key=lambda one: self._seconds([self._transform_work(signal, one)]))

    def _transform_work(self, signal: Signal, spectrum: Spectrum) -> Work:
        if spectrum.own:
            return cut_work(signal.paths, blocks.default_cut(spectrum.length, spectrum.bins, around=True))
        return static_work(Transform(spectrum.length, signal.paths, packed=True))

    def _with_blocks(self, signal: Signal, line: Line) -> Iterator[Follow]:
        n = signal.length
        if n & (n - 1) or n < 2 * blocks.LENGTHS[0] or any(result.kind != "local" for result in signal.results):
            return
        steps = sorted({child.level - signal.level for child in signal.children})
        for split in range(len(steps) + 1):
            near = [c for c in signal.children if c.level - signal.level in steps[:split]]
            far = [c for c in signal.children if c not in near]
            for length in (*blocks.LENGTHS, None):
                if (length is not None and (signal.paths == 1 or length >= n)) or (length is None and signal.paths > 1):
                    continue
                for thinned in self._thinnings(signal, line, near, far):
                    found = self._pieced(signal, line, near, far, length, thinned)
                    if found is not None:
                        yield found

    def _thinnings(
        self, signal: Signal, line: Line, near: list[Signal], far: list[Signal]
    ) -> Iterator[Thinning | None]:
        """How a signal may be thinned for its far children and its averages; None: it is not."""
        if near and (not far or line.whole):
            yield None
        held = held_bins(self.spec, signal.level, self.options.tolerance)
        band = held / signal.length if self.results(signal) else 0.0
        for child in far:
            assert child.fold is not None
            starts, width = tables.windows(child.fold, signal.length)
            band = max([band, *(max(abs(s), abs(s + width)) / signal.length for s in starts)])
        found = thinning(band) if far or signal.results else None
        by = min([found.by if found else 0, *(child.level - signal.level for child in far)])
        if found is not None and by > 0:
            yield replace(found, by=by)

    def _read_thinned(self, signal: Signal, far: list[Signal]) -> Span:
        """The samples of a signal that are read where it is thinned: by far children, and its averages."""
        needed: Span | None = None
        for result in self.results(signal):
            before, length = tables.window(self.spec, signal.level, result.by, result.kept[0], self.options.tolerance)
            first = (result.first[0] << result.by) - before
            one = Span(first, first + length).within(signal.length)
            needed = one if needed is None else needed.hull(one)
        for child in far:
            assert child.fold is not None
            away = self._reach(child)
            whole = away is None or self.spans[child.name] == Span(0, child.length)
            one = self.spans[child.name].before(child.level - signal.level).wider(away or 0)
            one = Span(0, signal.length) if whole else one
            needed = one if needed is None else needed.hull(one)
        assert needed is not None
        return needed.within(signal.length)

    def _pieced(
        self,
        signal: Signal,
        line: Line,
        near: list[Signal],
        far: list[Signal],
        length: int | None,
        thinned: Thinning | None,
    ) -> Follow | None:
        """With blocks for the near children; all of one length, or each with those that suit it."""
        works: list[Work] = []
        found = Follow(0.0, thinning=thinned)
        if length is None:
            for child in near:
                options = [(self._blocks(signal, line, [child], [], None, f), child) for f in blocks.LENGTHS]
                made = [self._of_blocks(child, cut, line.whole) for cut, _ in options if cut is not None]
                if not made:
                    return None
                best = min(made, key=lambda c: c.total + self._cut_seconds(signal, c.cut))
                found.children[child.name] = best
                works.append(self._cut_work(signal, best.cut))
            if thinned is not None:
                cuts = [self._blocks(signal, line, [], far, thinned, f) for f in blocks.LENGTHS]
                legal = [cut for cut in cuts if cut is not None]
                if not legal:
                    return None
                found.cut = min(legal, key=lambda cut: self._cut_seconds(signal, cut))
                works.append(self._cut_work(signal, found.cut))
        else:
            cut = self._blocks(signal, line, near, far, thinned, length)
            if cut is None:
                return None
            found.cut = cut if thinned is not None else None
            works.append(self._cut_work(signal, cut))
            found.children |= {child.name: self._of_blocks(child, cut, line.whole) for child in near}
        if found.cut is not None and thinned is not None:
            works.append(thin_work(signal.paths * found.cut.count, found.cut.length >> thinned.by))
        if thinned is not None or far:
            found.spectrum = self._spectrum(signal, signal.length >> (thinned.by if thinned else 0), far)
            works.append(self._transform_work(signal, found.spectrum))
            found.children |= {child.name: self._of_spectrum(child, found.spectrum.bins) for child in far}
        found.children = {child.name: found.children[child.name] for child in signal.children}
        return self._sum(found, signal, line, works)

    def _averages(self, signal: Signal, line: Line, follow: Follow) -> list[Work]:
        """Of a signal that goes on: from bins, if there are some and that pays, else from samples."""
        works = []
        for result in signal.results:
            if result.kind == "raw":
                continue
            if self.from_bins(signal, result, follow):
                works.append(average_work(signal.paths, self.bins(signal, result)))
            else:
                works.append(lowpass_work(signal.paths, self.window(signal, result), line.length, packed=True))
        return works

    def from_bins(self, signal: Signal, result: Result, follow: Follow) -> bool:
        """Whether an average is taken from a spectrum, if there is one, and not from samples."""
        if follow.spectrum is None:
            return False
        return follow.thinning is not None or self.averages_bins(signal, result, follow.spectrum.bins)

    # Blocks.

    def _blocks(
        self,
        signal: Signal,
        line: Line,
        near: list[Signal],
        far: list[Signal],
        thinned: Thinning | None,
        length: int,
    ) -> Blocks | None:
        """Blocks of a length for some children, and a thinning for others; None if filters reach too far for that."""
        n, away, bins = signal.length, 0, blocks.least_bins(length)
        needed: Span | None = None
        steps = [thinned.by] if thinned else []
        if length >= n:
            return None
        if thinned is not None:
            if length >> thinned.by < wavelet.LEAST:
                return None
            away, bins = thinned.reach, max(bins, 2 * (length >> thinned.by))
            needed = self._read_thinned(signal, far)
            read = needed.wider(away)
            if not line.whole and (read.first < line.first or read.stop > line.first + line.length):
                return None
        for child in near:
            facts = self._facts(child, length)
            if facts is None:
                return None
            steps.append(child.level - signal.level)
            away, bins = max(away, facts.reach), max(bins, facts.bins)
            needed = facts.span if needed is None else needed.hull(facts.span)
        assert needed is not None
        step = 1 << max(steps)
        halo = -(-away // step) * step
        if blocks.OVERLAP * halo > length or needed.stop <= needed.first:
            return None
        if line.whole and needed.stop - needed.first >= n:
            needed = Span(0, n)
        first = needed.first // step * step
        count = -(-(needed.stop - first) // (length - 2 * halo))
        return Blocks(length, halo, first, count, bins)

    def _facts(self, child: Signal, length: int) -> Facts | None:
        """What blocks of a length have to offer for a signal to be made of them; None if they cannot."""
        key = (child.name, length)
        if key not in self._known:
            self._known[key] = self._found(child, length)
        return self._known[key]

    def _found(self, child: Signal, length: int) -> Facts | None:
        fold, parent = child.fold, child.parent
        assert fold is not None and parent is not None
        by, far = child.level - parent.level, self._reach(child)
        # whatever is made of it must come from its packed samples
        packs = all(result.kind == "local" for result in child.results)
        if far is None or not packs or length >> by < wavelet.LEAST or length >= parent.length:
            return None
        starts, width = tables.block_window(fold, parent.length, length)
        if width < 1:
            return None
        widest = max(max(-s, s + width) for s in starts)
        bins = min(length, 1 << (2 * widest + 1).bit_length())
        return Facts(far, bins, self.spans[child.name].before(by))

    def _reach(self, child: Signal) -> int | None:
        if child.name not in self._reaches:
            assert child.fold is not None
            self._reaches[child.name] = reach(self.spec, child.fold, self.options.tolerance)
        return self._reaches[child.name]

    def _of_blocks(self, child: Signal, cut: Blocks, whole: bool) -> Choice:
        key = (child.name, cut)
        if key not in self._pieces:
            assert child.parent is not None
            by = child.level - child.parent.level
            circle = whole and cut.first == 0 and cut.count * cut.hop >= child.parent.length
            line = Line(0, child.length, True) if circle else Line(cut.first >> by, cut.count * cut.hop >> by, False)
            shape = self.shape_of_blocks(child, cut, line)
            works = [wavelet_work(Launch("", {}, (), [], paths=child.paths * cut.count), shape)]
            works += self._leaf_averages(child, line, packed=True)
            choice = Choice(Way.BLOCKS, line, self._follow(child, line), self._seconds(works), cut=cut)
            choice.others = dict(self._whole_ways(child, child.parent.length))
            self._pieces[key] = choice
        return self._pieces[key]

    def _cut_work(self, signal: Signal, cut: Blocks | None) -> Work:
        assert cut is not None
        return cut_work(signal.paths * cut.count, blocks.default_cut(cut.length, cut.bins, around=True))

    def _cut_seconds(self, signal: Signal, cut: Blocks | None) -> float:
        return self._seconds([self._cut_work(signal, cut)])

    # Ways from a whole spectrum.

    def _of_spectrum(self, child: Signal, bins: int) -> Choice:
        key = (child.name, bins)
        if key not in self._whole:
            line = Line(0, child.length, True)
            follow = self._follow(child, line)
            seconds = dict(self._whole_ways(child, bins))
            found = [Choice(way, line, follow, one) for way, one in seconds.items()]
            if Way.REGISTERS in seconds and self.averages_besides(child):
                works = [
                    wavelet_work(
                        Launch("", {}, (), [], paths=child.paths), self.shape(child, Way.REGISTERS, bins, averaged=True)
                    )
                ]
                found.append(Choice(Way.REGISTERS, line, follow, self._seconds(works), averaged=True))
            best = min(found, key=lambda choice: choice.total)
            best.others = {way: one for way, one in seconds.items() if way is not best.way}
            self._whole[key] = best
        return self._whole[key]

    def _whole_ways(self, child: Signal, bins: int) -> Iterator[tuple[Way, float]]:
        for way in self.legal(child):
            yield way, self._seconds(self._works(child, way, bins))

    def _works(self, signal: Signal, way: Way, bins: int) -> list[Work]:
        """What is done for a signal, from its parent's spectrum to its samples, or a leaf's coefficients."""
        assert signal.fold is not None and signal.parent is not None
        m, paths = signal.length, signal.paths
        line = Line(0, m, True)
        _, width = tables.windows(signal.fold, signal.parent.length)
        if way is Way.STAGED:
            fold = Launch("fold", {}, (), [], {"WIDTH": width, "LENGTH": m}, paths=paths)
            works = [static_work(fold), static_work(Transform(m, paths, packed=False))]
            if signal.spectrum:
                works.append(static_work(Launch("pack", {}, (), [], {"LENGTH": m}, paths=paths)))
            return works + self._leaf_averages(signal, line, packed=False)
        if way is Way.MATRIX:
            shape = matrix.shape(bins, m, width)
            launch = Launch("", {}, (), [], paths=paths)
            works = [matrix_work(launch, shape, along_columns=along) for along in (True, False)]
            return works + self._leaf_averages(signal, line, packed=True)
        works = [wavelet_work(Launch("", {}, (), [], paths=paths), self.shape(signal, way, bins))]
        return works + (self._leaf_averages(signal, line, packed=True) if way is Way.PACKED else [])

    def _leaf_averages(self, signal: Signal, line: Line, *, packed: bool) -> list[Work]:
        """What reads the samples of a signal, if nothing below it does."""
        works = []
        for result in signal.results:
            if result.kind == "local" and not signal.spectrum:
                works.append(lowpass_work(signal.paths, self.window(signal, result), line.length, packed=packed))
            elif not packed and (result.kind == "raw" or not signal.spectrum):
                constants = {"LENGTH": signal.length, "KEPT": result.kept[0] if result.kind == "raw" else 1}
                kernel = "moduli" if result.kind == "raw" else "total"
                works.append(static_work(Launch(kernel, {}, (), [], constants, paths=signal.paths)))
        return works

    # Sums.

    def _seconds(self, works: list[Work]) -> float:
        return sum(work.seconds(USUAL, MANY, MANY * work.bytes) for work in works)

    def _sum(self, follow: Follow, signal: Signal, line: Line, works: list[Work]) -> Follow:
        follow.averages = self._seconds(self._averages(signal, line, follow))
        below = sum(choice.total for choice in follow.children.values())
        follow.seconds = self._seconds(works) + follow.averages + below
        return follow

    # Memory.

    def live_bytes(self, signal: Signal) -> int:
        """Bytes in use at a time, at most, for one signal of the batch: what a branch holds, the deepest last."""
        choice = self.signals[signal.name]
        follow, samples = choice.follow, choice.line.length * signal.paths
        packed = REAL * samples
        during = packed
        if choice.way is Way.REGISTERS and not signal.spectrum:
            during = 0
        elif choice.way in (Way.MATRIX, Way.STAGED) and signal.parent is not None:
            during += COMPLEX * signal.length * signal.paths
        cuts = {below.cut for below in follow.children.values() if below.cut} | ({follow.cut} if follow.cut else set())
        held = REAL * signal.paths * sum(cut.count * cut.bins for cut in cuts)
        if follow.spectrum is not None:
            held += REAL * (1 if follow.spectrum.own else 2) * follow.spectrum.bins * signal.paths
        if signal.parent is None and any(below.cut for below in follow.children.values()):
            held += packed  # of the input, blocks are cut where they are read
        below = max((self.live_bytes(child) for child in signal.children), default=0)
        return max(during, packed + held if signal.children else 0, held + below)
