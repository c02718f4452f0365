"""Which samples of a signal its coefficients depend on, and how far filters reach.

What is kept is the middle of a padded signal: filters that are short beside it, as most are, leave much of the padding
unread. A filter's reach is the distance from its centre beyond which as little of its L1 mass lies as precision lets
one drop; never the distance at which it has become small, for tails add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.ir.filters import banks
from scatc.ir.nodes import Fold
from scatc.ir.spec import Spec

GRID = 1 << 14
"""Samples of the grid on which reaches are found: what reaches farther is not for blocks, and counts as endless."""


@dataclass(frozen=True, slots=True)
class Span:
    """Samples ``first .. stop - 1`` of a circle of samples, of which the first may be before sample 0."""

    first: int
    stop: int

    def wider(self, reach: int) -> Span:
        """With so many more on both sides."""
        return Span(self.first - reach, self.stop + reach)

    def before(self, by: int) -> Span:
        """The samples whose subsampling by ``2**by`` these are."""
        return Span(self.first << by, ((self.stop - 1) << by) + 1)

    def hull(self, other: Span) -> Span:
        """The samples of both, and all between."""
        return Span(min(self.first, other.first), max(self.stop, other.stop))

    def within(self, length: int) -> Span:
        """The same, or the whole circle if there are as many."""
        return self if self.stop - self.first < length else Span(0, length)


def reach(spec: Spec, fold: Fold, tolerance: float) -> int | None:
    """How far the filters of a fold reach, in samples of the parent; None if farther than blocks could be."""
    info = banks(spec)[fold.bank].info
    narrow = min(fold.indices, key=lambda i: (info[i].sigma or 0.0, -i))  # the narrowest in frequency is the longest
    return _reach(spec, fold.bank, narrow, fold.level, tolerance)


@lru_cache(maxsize=1024)
def _reach(spec: Spec, bank: str, index: int, level: int, tolerance: float) -> int | None:
    response = banks(spec)[bank].response(index, level)[0]
    step = -(-len(response) // GRID)
    if len(response) % step:
        return None
    # every so manieth bin of the response is the response of the filter wrapped around a shorter circle
    mass = np.abs(np.fft.ifft(response[::step]))
    half = len(mass) // 2
    beyond = np.cumsum(mass[half:0:-1] + mass[-half:]) if half else np.zeros(0)
    found = half - int(np.searchsorted(beyond, tolerance * mass.sum(), side="right"))
    return found if step == 1 or 4 * found <= len(mass) else None


def spans(
    spec: Spec, root: Signal, tolerance: float, results: Mapping[str, Sequence[Result]] | None = None
) -> dict[str, Span]:
    """Of each signal by name, the samples that its coefficients and those below it depend on.

    Coefficients are those of the signals, or `results` by the names of signals.
    """
    if results is None:
        results = {signal.name: signal.results for signal in root.all()}
    found: dict[str, Span] = {}
    _enter(spec, root, tolerance, results, found)
    return found


def _enter(
    spec: Spec, signal: Signal, tolerance: float, results: Mapping[str, Sequence[Result]], found: dict[str, Span]
) -> Span:
    n = signal.length
    span: Span | None = None
    for result in results[signal.name]:
        if result.kind != "local":
            span = Span(0, n)
            continue
        before, length = tables.window(spec, signal.level, result.by, result.kept[0], tolerance)
        first = (result.first[0] << result.by) - before
        one = Span(0, n) if length >= n else Span(first, first + length)
        span = one if span is None else span.hull(one)
    for child in signal.children:
        assert child.fold is not None
        by, far = child.level - signal.level, reach(spec, child.fold, tolerance)
        below = _enter(spec, child, tolerance, results, found)
        whole = far is None or below == Span(0, child.length)
        one = Span(0, n) if whole or far is None else below.before(by).wider(far + thinning_reach(by))
        span = one if span is None else span.hull(one)
    found[signal.name] = (span or Span(0, n)).within(n)
    return found[signal.name]


# Thin signals: smoothed by a Gaussian and subsampled before they are transformed.

FAINT = log(1e9)
"""What is aliased into a band that is read is smaller than what is read there by this factor, as a logarithm."""

WIDEST = 0.22
"""Of the band that is read, as a share of the subsampled rate: the Gaussian falls to a quarter there."""


@dataclass(frozen=True, slots=True)
class Thinning:
    """A signal smoothed and subsampled, for readers of its lowest bins alone, who undo the smoothing.

    Attributes
    ----------
    by : int
        log2 of the subsampling.
    band : float
        The highest frequency that is read, in cycles per sample.
    """

    by: int
    band: float

    @property
    def sigma(self) -> float:
        """Width of the Gaussian in frequency: what passes at ``rate - band`` is faint beside what does at `band`."""
        rate = 1 / (1 << self.by)
        return float(((rate * rate - 2 * rate * self.band) / (2 * FAINT)) ** 0.5)

    @property
    def reach(self) -> int:
        """Of the Gaussian in time, in samples."""
        return int((2 * FAINT) ** 0.5 / (2 * np.pi * self.sigma)) + 1

    def response(self, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the Gaussian, at frequencies in cycles per sample."""
        found: NDArray[np.float64] = np.exp(-0.5 * (frequencies / self.sigma) ** 2)
        return found


def thinning(band: float) -> Thinning | None:
    """The most that a signal may be thinned out whose readers go up to a frequency; None if not at all."""
    by = 0
    while band * (1 << (by + 1)) <= WIDEST:
        by += 1
        if by == 16:
            break
    return Thinning(by, band) if by else None


def thinning_reach(by: int) -> int:
    """At least how far a thinning reaches whose readers are subsampled by ``2**by`` from here."""
    return Thinning(by, WIDEST / (1 << by)).reach
