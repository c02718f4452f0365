"""Which way each signal of a transform of images goes, and the tiles of its kernels."""

from __future__ import annotations

import enum
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton.cost import COMPLEX, REAL, USUAL, Work
from scatc.codegen.triton.images import columns, pair_columns, rows, short_rows, sums
from scatc.codegen.triton.images import cost as image_cost
from scatc.codegen.triton.images import tables as image_tables
from scatc.codegen.triton.images.chunks import Chunks, Held, chunks, held
from scatc.codegen.triton.images.columns import Columns
from scatc.codegen.triton.images.mixed import Stages, stages
from scatc.codegen.triton.images.pair_columns import PairColumns
from scatc.codegen.triton.images.rows import Rows
from scatc.codegen.triton.images.short_rows import ShortRows
from scatc.codegen.triton.images.sums import Sums
from scatc.codegen.triton.images.tables import Array
from scatc.codegen.triton.tuned import Product
from scatc.ir.nodes import Pad
from scatc.ir.options import Options
from scatc.ir.spec import Spec

LEAST_BLOCK = 16
"""Of a tensor core's product, along each axis."""

MOST_OUTPUTS = 64
"""Averages of one program."""

MOST_ROWS = 128
"""Columns or lines of one program, each of which it reads the matrix for."""

MANY = 64
"""Images of a call that choices are made for."""

MOST_TERMS = 12
"""Products for each sample up to which averages are sums in the text of a kernel."""


class Way(enum.Enum):
    """How moduli come about."""

    FUSED = "a kernel that folds and transforms rows, and one that transforms columns and averages or packs"
    COLUMNS = "a fold, the library's transform along rows, and the kernel for columns"
    STAGED = "a fold, the library's transform, and kernels that read its result"


def product(kernel: str, terms: int, outputs: int, tile: int = 32, block: int = 32) -> Product:
    """The tiles for a matrix of so many rows and columns."""
    block = LEAST_BLOCK if terms <= LEAST_BLOCK else block
    together = min(MOST_OUTPUTS, max(LEAST_BLOCK, 1 << (outputs - 1).bit_length()))
    return Product(kernel, terms, outputs, together, tile, block)


def constants(tiles: Product) -> dict[str, int]:
    """What a kernel is specialised to."""
    found = {"PADDED": tiles.padded, "KEPT": tiles.kept, "OUTPUTS": tiles.outputs, "TILE": tiles.rows}
    return found | {"BLOCK": tiles.block}


def along_columns(signal: Signal, *, paired: bool) -> Stages | None:
    """The stages of a transform along columns. What the kernel for rows writes, `paired`, may be in any order."""
    return stages(signal.shape[0], ordered=not paired)


class ImageChoices:
    """Choices for the signals of one program, its input padded so; `only` is a way that all go that can."""

    def __init__(self, spec: Spec, options: Options, pad: Pad | None = None, only: Way | None = None) -> None:
        self.spec, self.options, self.pad, self.only = spec, options, pad, only
        self._ways: dict[str, Way] = {}
        self._filters: dict[tuple[Any, ...], tuple[Array, Array]] = {}
        self._held: dict[tuple[Any, ...], dict[int, Held]] = {}
        self._rows: dict[str, Rows | None] = {}

    def way(self, signal: Signal) -> Way:
        """The cheapest of those that there are."""
        if signal.parent is not None and self.halfway(signal.parent):
            return Way.FUSED
        if signal.name not in self._ways:
            possible = [way for way in Way if self._works(signal, way)]
            if self.only in possible:
                possible = [self.only]
            self._ways[signal.name] = min(possible, key=lambda way: self._seconds(signal, way))
        return self._ways[signal.name]

    def rows(self, signal: Signal) -> Rows | None:
        """The kernel for rows that is the cheapest, None where their length has no stages."""
        assert signal.fold is not None and signal.parent is not None
        if signal.name not in self._rows:
            split, across = rows.stages_of(signal.shape[1]), along_columns(signal, paired=True)
            kernels: list[Rows] = []
            if split is not None and across is not None:
                filters, (height, width) = len(signal.fold.indices), signal.parent.shape
                kernels = rows.possible(split, signal.shape[0], filters, (height, width))

            def cost(kernel: Rows) -> tuple[float, float]:
                work = self.rows_work(signal, kernel)
                # of those that all wait for memory, the one that would be quickest if all came from the cache
                return work.seconds(USUAL, MANY, float("inf")), work.seconds(USUAL, MANY, 0)

            self._rows[signal.name] = min(kernels, key=cost, default=None)
        return self._rows[signal.name]

    def rows_work(self, signal: Signal, kernel: Rows) -> Work:
        """What a kernel for rows does for one image."""
        return image_cost.rows_work(signal.paths, kernel, self.held(signal, kernel))

    def filters(self, signal: Signal) -> tuple[Array, Array]:
        """Where the windows of filters begin, and the weights there, without those that are next to zero."""
        assert signal.fold is not None and signal.parent is not None
        key = _filters_key(signal)
        if key not in self._filters:
            start, w = image_tables.filters(self.spec, signal.fold, signal.parent.shape)
            self._filters[key] = start, image_tables.without_small(w, self.options.tolerance)
        return self._filters[key]

    def chunks(self, signal: Signal, kernel: Rows) -> Chunks:
        """The filters as a kernel for rows reads them."""
        across = along_columns(signal, paired=True)
        assert across is not None
        return chunks(*self.filters(signal), kernel.parent, (across, kernel.split.length), kernel.together)

    def held(self, signal: Signal, kernel: Rows) -> Held:
        """What these chunks hold."""
        key = _filters_key(signal)
        if key not in self._held:
            together = [count for count in rows.TOGETHER if kernel.filters % count == 0]
            result = kernel.height, kernel.split.length
            self._held[key] = held(*self.filters(signal), kernel.parent, result, together)
        return self._held[key][kernel.together]

    def columns(self, signal: Signal, *, paired: bool) -> Columns | None:
        """The kernel for columns, None where their length has no stages."""
        split = along_columns(signal, paired=paired)
        if split is None:
            return None
        sinks: list[str] = []
        more: dict[str, Any] = {}
        packs = bool(signal.spectrum)
        for result in signal.results:
            if result.kind == "local":
                weights = self._weights(signal, result, split.second)
                # one that packs anyway averages only by sums: with a product as well, it has not the registers
                if weights or (result.kept[0] <= columns.MOST_AVERAGES and not signal.spectrum):
                    sinks.append("local")
                    more |= {"outputs": result.kept[0], "weights": weights}
                else:
                    packs = True
            elif result.kind == "total" and not signal.spectrum:
                sinks.append("total")
            elif result.kind == "raw":
                sinks.append("raw")
                more |= {"first": result.first, "kept": result.kept}
        if packs:
            sinks.append("pack")
        return columns.default(split, signal.shape[1], paired, tuple(sinks), **more)

    def pair_columns(self, signal: Signal) -> PairColumns | None:
        """The kernel that leads to a spectrum along columns; None where there is none, or it is not quicker."""
        split = along_columns(signal, paired=True)
        if not signal.spectrum or split is None or not pair_columns.possible(split):
            return None
        averages = self._sums(signal, split)
        if averages is None or (signal.parent is None and split.second > 1):
            return None
        height, width = signal.shape
        found = PairColumns(split, width, *averages, tile=pair_columns.tile_of(split))
        if signal.parent is None:
            index = image_tables.pad_index(height, self.pad, 0)
            return replace(found, rows=tuple(map(int, index)), input=self.spec.input_shape)
        plain = self.columns(signal, paired=True)
        assert plain is not None
        ways = (
            [image_cost.columns_work(signal.paths, plain), image_cost.forward_work(signal, 2)],
            [image_cost.pair_columns_work(signal.paths, found), image_cost.forward_work(signal, 1)],
        )
        usual, ours = (sum(work.seconds(USUAL, MANY, float("inf")) for work in works) for works in ways)
        return found if ours < usual else None

    def halfway(self, signal: Signal) -> bool:
        """Whether the spectrum of a signal is one along columns, and those who read it transform rows themselves."""
        return self._could(signal) and (signal.parent is None or self.way(signal) is Way.FUSED)

    def _could(self, signal: Signal) -> bool:
        """The same, if the signal goes that way itself."""
        fused = self.only in (None, Way.FUSED) and self.pair_columns(signal) is not None
        totals = any(result.kind == "total" for result in signal.results)  # they are read from the spectrum
        return fused and not totals and all(self.short_rows(child) is not None for child in signal.children)

    def short_rows(self, signal: Signal) -> ShortRows | None:
        """The kernel that reads a spectrum along columns; None where rows are long."""
        assert signal.fold is not None and signal.parent is not None
        (rows, columns), (height, width) = signal.parent.shape, signal.shape
        return short_rows.default((rows, columns), (height, width), len(signal.fold.indices))

    def _sums(self, signal: Signal, split: Stages) -> tuple[tuple[tuple[float, ...], ...], bool] | None:
        """The sums that averages along a column are, and whether moduli are packed for those that are something else.

        None if moduli are output.
        """
        found, packs = tuple[tuple[float, ...], ...](), False
        for result in signal.results:
            if result.kind == "local":
                found = self._weights(signal, result, split.second)
                packs |= not found
            elif result.kind == "raw" and signal.parent is not None:
                return None
        return found, packs

    def _weights(self, signal: Signal, result: Result, second: int) -> tuple[tuple[float, ...], ...]:
        """The sums that averages along a column are, where a thread holds all of it and they are short."""
        if second > 1:
            return ()
        matrix = image_tables.averaging(self.spec, signal.level, result, 0)
        sums = image_tables.without_small(matrix.T, self.options.tolerance)
        if np.count_nonzero(sums) > MOST_TERMS * len(matrix):
            return ()
        return tuple(tuple(map(float, one)) for one in sums.astype(np.float32))

    def _works(self, signal: Signal, way: Way) -> list[Work]:
        """What leads to the moduli of a signal and to their averages along columns; empty if the way is barred."""
        assert signal.fold is not None and signal.parent is not None
        paths, samples = signal.paths, prod(signal.shape)
        if way is Way.FUSED:
            first, second = self.rows(signal), self.columns(signal, paired=True)
            if first is None or second is None:
                return []
            return [self.rows_work(signal, first), *self._columns_works(signal, second, self.pair_columns(signal))]
        fold = image_cost.fold_work(paths, prod(signal.fold.widths or signal.parent.shape), samples)
        if way is Way.COLUMNS:
            second = self.columns(signal, paired=False)
            if second is None:
                return []
            return [fold, image_cost.transform_work(samples, paths, 1), *self._columns_works(signal, second)]
        found = [fold, image_cost.transform_work(samples, paths, 2)]
        if signal.spectrum:
            found += [Work("pack", paths * samples * 1.5 * COMPLEX), image_cost.forward_work(signal, 2)]
        return found + [self._averages(signal, result, packed=bool(signal.spectrum)) for result in signal.results]

    def _pair_works(self, signal: Signal, pair: PairColumns) -> list[Work]:
        forward = [] if self._could(signal) else [image_cost.forward_work(signal, 1)]
        apart = [result for result in signal.results if result.kind == "local" and pair.pack]
        averages = [self._averages(signal, result, packed=True) for result in apart]
        return [image_cost.pair_columns_work(signal.paths, pair), *averages, *forward]

    def _columns_works(self, signal: Signal, shape: Columns, pair: PairColumns | None = None) -> list[Work]:
        if pair is not None:
            return self._pair_works(signal, pair)
        apart = [r for r in signal.results if r.kind == "local" and "local" not in shape.sinks]
        averages = [self._averages(signal, result, packed=True) for result in apart]
        forward = [image_cost.forward_work(signal, 2)] if signal.spectrum else []
        return [image_cost.columns_work(signal.paths, shape), *averages, *forward]

    def _averages(self, signal: Signal, result: Result, *, packed: bool) -> Work:
        shape = self.sums(signal, result) if packed and result.kind == "local" else None
        return (
            self._product(signal, result, packed=packed) if shape is None else image_cost.sums_work(signal.paths, shape)
        )

    def _product(self, signal: Signal, result: Result, *, packed: bool) -> Work:
        tiles = self.product(signal, result, packed=packed)
        return image_cost.lowpass_work(signal.paths, signal.shape, tiles, packed=packed)

    def product(self, signal: Signal, result: Result, *, packed: bool) -> Product:
        """The tiles of averages along columns from memory; of pairs, a program has half as many of both images."""
        height, width = signal.shape
        wide = max(LEAST_BLOCK, 1 << (width - 1).bit_length()) * (2 if packed else 1)
        outputs = result.kept[0] if result.kind == "local" else 1
        return product("lowpass_columns", height, outputs, min(MOST_ROWS, wide), LEAST_BLOCK)

    def sums(self, signal: Signal, result: Result) -> Sums | None:
        """The kernel that averages columns of pairs by sums; None where phi is so long that a product is quicker."""
        begin, weights = image_tables.taps(self.spec, signal.level, result, 0, self.options.tolerance)
        height, width = signal.shape
        shape = sums.default((height, width), weights, begin, 1 << result.by, result.kept[0])
        if shape is None:
            return None
        found = image_cost.sums_work(signal.paths, shape), self._product(signal, result, packed=True)
        first, second = (work.seconds(USUAL, MANY, float("inf")) for work in found)
        return shape if first <= second else None

    def _seconds(self, signal: Signal, way: Way) -> float:
        return sum(work.seconds(USUAL, MANY, float("inf")) for work in self._works(signal, way))

    def live_bytes(self, signal: Signal) -> int:
        """Bytes that are in use at a time, at most, for one image of the batch."""
        numbers = prod(signal.shape) * signal.paths
        packed = COMPLEX // 2 * numbers
        averages = max((r.kept[0] for r in signal.results if r.kind == "local"), default=0)
        averages *= REAL * signal.shape[1] * signal.paths  # along columns
        if signal.parent is None:
            during = packed + max(packed, averages)
        elif self.way(signal) is Way.FUSED:
            pair = self.pair_columns(signal)
            besides = packed if pair is not None and pair.pack else averages
            during = COMPLEX * numbers + (packed if signal.spectrum else 0) + besides
        else:
            during = 2 * COMPLEX * numbers
        held = packed if signal.spectrum else 0
        return max([during, *(held + self.live_bytes(child) for child in signal.children)])


def _filters_key(signal: Signal) -> tuple[Any, ...]:
    """What signals have in common that the same filters make of the same level."""
    assert signal.fold is not None
    return signal.fold.bank, signal.fold.level, signal.fold.indices
