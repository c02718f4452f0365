"""Which way each signal of a gradient of images goes, there and back."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton.cost import COMPLEX, Work, slope_work
from scatc.codegen.triton.emitter import power
from scatc.codegen.triton.images import columns, cost, cost_t
from scatc.codegen.triton.images import tables as image_tables
from scatc.codegen.triton.images.choices import LEAST_BLOCK, ImageChoices, Way, along_columns, product
from scatc.codegen.triton.images.columns import Columns
from scatc.codegen.triton.images.mixed import MOST_LISTED, USUAL_LISTED, Stages
from scatc.codegen.triton.tuned import Product
from scatc.ir.nodes import Pad
from scatc.ir.options import Options
from scatc.ir.spec import Spec

THREADS_OF_A_WARP = 32

MOST_MULTIPLIED = 32
"""Averages of a column whose cotangents a program multiplies with a matrix, beside what it transforms."""


class ImageChoicesT(ImageChoices):
    """Choices for the signals of one program."""

    def __init__(self, spec: Spec, options: Options, pad: Pad | None = None, only: Way | None = None) -> None:
        super().__init__(spec, options, pad, only)
        self._shares: dict[tuple[str, Way], cost_t.Share] = {}

    def columns(self, signal: Signal, *, paired: bool) -> Columns | None:
        """The kernel for columns on the way there, which does nothing but pack; None if their length has no stages."""
        split = along_columns(signal, paired=paired)
        return None if split is None else _default(split, signal.shape[1], paired, ("pack",))

    def _sums(self, signal: Signal, split: Stages) -> tuple[tuple[tuple[float, ...], ...], bool]:
        """On the way there nothing is averaged."""
        return (), False

    def slopes(self, signal: Signal, *, paired: bool) -> Columns | None:
        """The kernel for columns there and back, whose sinks are sources."""
        split = along_columns(signal, paired=paired)
        if split is None:
            return None
        sources: list[str] = []
        more: dict[str, Any] = {}
        for result in signal.results:
            if result.kind == "local":
                weights = self._weights(signal, result, split.second)
                # what is packed anyway has them added in memory: with a product as well, there are not the registers
                few = split.second > 1 and split.first <= USUAL_LISTED and result.kept[0] <= MOST_MULTIPLIED
                if weights or (few and not signal.children):
                    sources.append("local")
                    more = {"outputs": result.kept[0], "weights": weights}
            elif result.kind == "total":
                sources.append("total")
        if signal.children or len(sources) < len(signal.results):
            sources.append("pack")
        return _default(split, signal.shape[1], paired, tuple(sources), back=True, **more)

    def _works(self, signal: Signal, way: Way) -> list[Work]:
        """What leads to the cotangents of a parent's spectrum, but for what all ways have in common."""
        assert signal.fold is not None and signal.parent is not None
        paths, samples, filters = signal.paths, prod(signal.shape), len(signal.fold.indices)
        parent = signal.parent.shape
        fold = cost.fold_work(paths, prod(signal.fold.widths or parent), samples)
        gather = cost_t.gather_work(paths, filters, parent, signal.shape, self.share(signal, way))
        if way is Way.STAGED:
            transform = cost.transform_work(samples, paths, 2)
            found = [fold, transform, slope_work(paths, samples), transform, gather]
            if signal.children:
                found += [Work("pack", paths * samples * 1.5 * COMPLEX), cost.forward_work(signal, 2)]
            return found + [self._spread(signal, result) for result in signal.results]
        paired = way is Way.FUSED
        slopes, pack = self.slopes(signal, paired=paired), self.columns(signal, paired=paired)
        rows = self.rows(signal) if paired else None
        if slopes is None or pack is None or (paired and rows is None):
            return []
        line = cost_t.lines_work(paths, signal.shape)
        found = [cost_t.columns_work(paths, slopes), line, gather]
        if signal.children:
            pair = self.pair_columns(signal) if paired else None
            if pair is None:
                found += [cost.columns_work(paths, pack), cost.forward_work(signal, 2)]
            else:
                found += self._pair_works(signal, pair)
        found += [self._spread(signal, result) for result in signal.results if result.kind not in slopes.sinks]
        return found + ([fold, line] if rows is None else [self.rows_work(signal, rows)])

    def share(self, signal: Signal, way: Way) -> cost_t.Share:
        """What of a parent's spectrum the windows of a signal hold."""
        assert signal.fold is not None and signal.parent is not None
        key = signal.name, way
        if key not in self._shares:
            rows = self.rows(signal) if way is Way.FUSED else None
            if rows is None:
                start, w = image_tables.filters(self.spec, signal.fold, signal.parent.shape)
            else:
                start, w = self.filters(signal)
            self._shares[key] = cost_t.share(start, w, signal.parent.shape)
        return self._shares[key]

    def _spread(self, signal: Signal, result: Result) -> Work:
        outputs = result.kept[0] if result.kind == "local" else 1
        padded = spread_product(outputs, signal.shape[0]).padded
        return cost_t.spread_work(signal.paths, signal.shape, outputs, padded, add=bool(signal.children))

    def live_bytes(self, signal: Signal) -> int:
        """Waves that wait for what is below, a spectrum and its cotangent, and what is made of them meanwhile."""
        numbers = COMPLEX * prod(signal.shape) * signal.paths
        held = numbers if signal.parent is not None else 0
        during = 2 * numbers
        if signal.spectrum or signal.parent is None:
            during = max(during, held + numbers + numbers // 2)
            held += numbers
        return max([during, *(held + self.live_bytes(child) for child in signal.children)])


def _default(split: Stages, width: int, paired: bool, sinks: tuple[str, ...], **more: Any) -> Columns:
    """A kernel for columns, with so many warps that a thread holds no more numbers than the longest list has."""
    found = columns.default(split, width, paired, sinks, **more)
    held = split.length * found.tile // (MOST_LISTED * THREADS_OF_A_WARP)
    return replace(found, warps=max(found.warps, power(held)))


SPREAD = 64
"""Columns of a pair that a program spreads averages along: it reads the matrix for all of them."""


def spread_product(averages: int, samples: int) -> Product:
    """The tiles of a product that spreads averages along columns."""
    return product("spread_columns", averages, samples, SPREAD, LEAST_BLOCK)
