"""Which way back each signal of a gradient takes, and the tiles of its kernels."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import COMPLEX, REAL, USUAL, Work, static_work
from scatc.codegen.triton.emitter import power
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import cost_t, tables_t
from scatc.codegen.triton.lines.choices import Follow, Line, Tuned, Way, held_bins
from scatc.codegen.triton.lines.ways import MANY, Choices
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
        tuned: Tuned | None = None,
    ) -> None:
        self.spec, self.options, self.root, self.coefficients = spec, options, root, coefficients
        self.there = There(spec, options, root, tuned)
        self.ways: dict[str, Back] = {}
        self.seconds: dict[str, dict[Back, float]] = {}
        for signal in root.all():
            if signal.parent is not None:
                found = {way: self._seconds(self._works(signal, way)) for way in self.legal(signal)}
                self.seconds[signal.name] = found
                self.ways[signal.name] = min(found, key=lambda way: found[way])

    def legal(self, signal: Signal) -> list[Back]:
        """The ways that a signal may take."""
        return [Back.STAGED]

    def from_bins(self, signal: Signal, result: Result) -> bool:
        """Whether the cotangent of an average comes in at the few bins that the average comes from."""
        if result.kind == "raw" or (signal.parent is not None and not signal.spectrum):
            return False
        return self.there.averages_bins(signal, result, signal.length)

    # Tiles.

    def spread(self, signal: Signal, result: Result) -> dict[str, Any]:
        """The constants of an average's way to samples, less those that say where it comes from."""
        shape = tables_t.spread(self.spec, signal, result, self.options.tolerance)
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
            "ROWS": ROWS,
            "BLOCK": tables_t.FRAMES,
        }

    def average(self, signal: Signal, result: Result) -> dict[str, Any]:
        """The constants of an average's way to bins, PADDED with zeros, less those that say where it comes from."""
        count, kept = 1, 1
        if result.kind == "local":
            count, kept = held_bins(self.spec, signal.level, self.options.tolerance), result.kept[0]
        choice = self.there.bins(count, kept)
        return {
            "KEPT": kept,
            "BINS": count,
            "COLUMNS": choice.columns,
            "PADDED": choice.padded,
            "FREQUENCIES": choice.block,
            "ROWS": ROWS,
            "BLOCK": 16,
        }

    def gather(self, signal: Signal) -> dict[str, Any]:
        """The constants of the sum over a signal's filters."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        starts, width = tables.windows(fold, parent.length)
        highest = max(max(abs(start), abs(start + width - 1)) for start in starts)
        bins = 2 * highest + 1
        whole = bins >= parent.length
        return {
            "PARENT": parent.length,
            "LENGTH": signal.length,
            "WIDTH": width,
            "FILTERS": len(starts),
            "FIRST": 0 if whole else -highest,
            "BINS": parent.length if whole else bins,
            "BLOCK": min(BINS, power(min(bins, parent.length))),
            "PAIRS": PAIRS,
        }

    # Costs.

    def _works(self, signal: Signal, way: Back) -> list[Work]:
        """What is done from the cotangent of a signal's spectrum, if it has one, to the spectrum of its cotangent."""
        m, paths = signal.length, signal.paths
        constants = {"WIDTH": self.gather(signal)["WIDTH"], "LENGTH": m}
        transform = static_work(Transform(m, paths, packed=False))
        works = [transform, cost_t.STATIC["slope"](Launch("slope", {}, (), [], paths=paths), constants)]
        if not signal.spectrum or self.there.signals[signal.name].way is not Way.STAGED:
            works += [static_work(Launch("fold", {}, (), [], constants, paths=paths)), transform]
        for result in self.coefficients[signal.name]:
            if not self.from_bins(signal, result):
                kernel = "spread" if result.kind == "local" else "given"
                constants = self.spread(signal, result) if result.kind == "local" else {"KEPT": 1, "LENGTH": m}
                launch = Launch(kernel, {}, (), [], paths=paths)
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
        during = 0 if signal.parent is None else 2 * waves + packed
        if not signal.children and signal.parent is not None:
            return during
        spectrum = self.there.signals[signal.name].follow.spectrum
        held = packed
        if spectrum is not None:
            held += REAL * (1 if spectrum.own else 2) * spectrum.bins * signal.paths
        if signal.parent is not None and self._kept(signal):
            held += waves
        below = max((self.live_bytes(child) for child in signal.children), default=0)
        return max(during, packed + held, held + below)

    def _kept(self, signal: Signal) -> bool:
        """Whether a signal's waves are kept until its cotangent is known."""
        return self.there.signals[signal.name].way is Way.STAGED and self.ways[signal.name] is Back.STAGED
