"""Gradients of transforms of images: there and back through each branch, the deepest first, keeping nothing of others.

Of a filter's product with the spectrum X of a pair of images, which more may be made of,

    V = ifft2(fold(w X)),  U = |V|,  X_U = fft2 U,  what is below adds up gX_U,  gU = ifft2 gX_U + averages, transposed,
    gV = gU V / U,  gX += unfold(w fft2 gV)

`gather_image` does the last for all filters of a signal and both images of a pair: it adds up, bin by bin, what the
signal's children put there, so that no two programs write to the same place. What happens along columns is one kernel
where sizes allow (`columns_t.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton.cost import REAL, Work
from scatc.codegen.triton.emitter import power
from scatc.codegen.triton.images import columns, columns_t
from scatc.codegen.triton.images import tables as image_tables
from scatc.codegen.triton.images.choices import LEAST_BLOCK, MOST_ROWS, Way, constants, product
from scatc.codegen.triton.images.choices_t import ImageChoicesT, spread_product
from scatc.codegen.triton.images.cost_t import Share, columns_work, static_work
from scatc.codegen.triton.images.kernels import ARGUMENTS, TRANSPOSED, of_slopes
from scatc.codegen.triton.images.walk import Images
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.launch import Launch, Transform, kernel_name
from scatc.codegen.triton.tuned import Gathered

SIZES = 12
"""Operators of torch that find the sizes of cotangents."""

BINS, TOGETHER = 128, 4
"""Bins of one half of a spectrum that a program of `gather_image` does, of so many pairs."""


class ImagesT(Images):
    """The walk over a program of images, there and back."""

    title = "Gradient of 2D scattering"
    template = "images_t.py.j2"
    arguments = ARGUMENTS | TRANSPOSED

    def prepare(self) -> None:
        """What the walk gathers."""
        super().prepare()
        self.choices: ImageChoicesT = ImageChoicesT(self.spec, self.options, self.pad, self.only)
        self.of_slopes: dict[str, columns.Columns] = {}
        self._shares: dict[int, Share] = {}  # of windows, by the launches of `gather_image`

    def generated(self) -> Iterable[Written]:
        """The kernels for rows, for columns, and for columns there and back."""
        yield from super().generated()
        yield from (of_slopes(shape, name) for name, shape in self.of_slopes.items())

    def before(self) -> list[Work]:
        """What finds the sizes of cotangents, and zeros for those of spectra."""
        outputs = sum(len(paths) * prod(shape) for shape, paths in self.program.outputs)
        sizes = Work("sizes", REAL * float(prod(self.spec.input_shape) + outputs), launches=SIZES)
        parents = [signal for signal in self.root.all() if signal.children]
        spectra = sum(signal.paths * prod(signal.shape) for signal in parents)
        return [sizes, Work("zeros", REAL * float(spectra), launches=len(parents))]

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one image."""
        if isinstance(step, Launch) and step.kernel in self.of_slopes:
            return columns_work(step.paths, self.of_slopes[step.kernel])
        if isinstance(step, Launch) and step.kernel in TRANSPOSED:
            return static_work(step, self._shares.get(id(step)))
        return super().work(step)

    def transforms(self, signal: Signal) -> float:
        """How many complex transforms lead to a signal and back from it, for each image of the batch."""
        return 2 * super().transforms(signal)

    # There and back.

    def trunk(self) -> str:
        """The padded images in pairs, their spectrum, and room for its gradient."""
        root, self.lines = self.root, []
        if root.children:
            self.find_levels()
            pair = self.choices.pair_columns(root)
            if pair is None:
                self.padded()
                self.forward(root, "U0")
            else:
                self.pair_columns(root, pair)
                self._cotangent_room(root)
        return "\n".join(self.lines)

    def passed(self) -> str:
        """What the trunk hands to branches, besides its gradient."""
        return self.spectrum(self.root)

    def forward(self, signal: Signal, packed: str) -> None:
        """The spectrum of signals that are packed in pairs, and room for its gradient."""
        self.transformed(signal, packed)
        self.write(f"del {packed}")
        self._cotangent_room(signal)

    def _cotangent_room(self, signal: Signal) -> None:
        """Zeros, for the gradient of a spectrum."""
        self.write(f"g{self.spectrum(signal)} = torch.zeros_like({self.spectrum(signal)})")

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it, there and back."""
        self.note(*signal.nodes)
        way = self.choices.way(signal)
        if way is Way.STAGED:
            waves = self.staged_waves(signal)
        else:
            waves = self._rows(signal) if way is Way.FUSED else self._library_rows(signal)
        if signal.children:
            pair = self.choices.pair_columns(signal) if way is Way.FUSED else None
            if pair is None:
                packed = self.pack(signal, waves) if way is Way.STAGED else self._columns_packed(signal, waves)
                self.forward(signal, packed)
            else:
                self.pair_columns(signal, pair, waves, kept=True)
                self._cotangent_room(signal)
            for child in signal.children:
                self.branch(child)
            self.write(f"del {self.spectrum(signal)}")
        products = self._staged_slopes(signal, waves) if way is Way.STAGED else self._slopes(signal, waves)
        self.gather(signal, products)

    def _columns_packed(self, signal: Signal, waves: str) -> str:
        """Moduli in pairs, from transformed rows."""
        shape, modulus = self.choices.columns(signal, paired=self._paired(signal)), signal.nodes[2]
        assert shape is not None
        shape = self.taken(shape)
        self.room(modulus, signal, "pairs")
        arguments = [f"{waves}.view(torch.int64)", *self.twiddles(shape.split), f"{modulus}.view(torch.float32)", "1"]
        self._along_columns(signal, shape, self.of_columns, "columns", columns.parameters(shape), arguments)
        return modulus

    def _slopes(self, signal: Signal, waves: str) -> str:
        """The cotangents of products with filters, from transformed rows: columns there and back, and rows back."""
        shape = self.choices.slopes(signal, paired=self._paired(signal))
        assert shape is not None
        shape = self.taken(shape)
        arguments = [f"{waves}.view(torch.int64)", *self.twiddles(shape.split)]
        used = [self.spread_rows(signal, result, "live") for result in signal.results if result.kind in shape.sinks]
        arguments += used
        if shape.multiplied:
            self._used.add("product_left")
            (result,) = (result for result in signal.results if result.kind == "local")
            order = "_coprime" if shape.split.coprime else ""
            arguments += self.split(f"phi{signal.level}_column_t{order}", self.column_matrix(signal, result, shape))
        if "pack" in shape.sinks:
            used.append(self.cotangent(signal, "live", shape.sinks))
            arguments.append(f"{used[-1]}.view(torch.float32)")
        self._along_columns(signal, shape, self.of_slopes, "slopes", columns_t.parameters(shape), arguments)
        products = f"g{signal.nodes[0]}"
        self.write(f"del {', '.join(used)}", f"{products} = torch.fft.fft({waves})", f"del {waves}")
        self.steps.append(Transform(signal.shape[1], signal.paths * signal.shape[0], packed=False))
        return products

    def _along_columns(
        self,
        signal: Signal,
        shape: columns.Columns,
        known: dict[str, columns.Columns],
        stem: str,
        types: dict[str, str],
        arguments: list[str],
    ) -> None:
        """Launch a kernel for columns."""
        kernel = kernel_name(known, shape, f"{stem}_{shape.split.length}")
        grid = (f"triton.cdiv(2 * pairs * {shape.width}, {shape.tile})", str(signal.paths))
        self.launch(Launch(kernel, types, grid, [*arguments, "n", "pairs"], {}, shape.warps, signal.paths, shape))

    def _staged_slopes(self, signal: Signal, waves: str) -> str:
        """The cotangents of products with filters, from what the library transformed."""
        cotangent, samples, products = self.cotangent(signal, "live"), prod(signal.shape), f"g{signal.nodes[0]}"
        shape = self.elementwise("slope", samples)
        arguments = [f"{waves}.view(torch.int64)", f"{cotangent}.view(torch.int64)"]
        grid = (f"{signal.paths} * pairs * {-(-samples // shape.block)}",)
        self.static_launch("slope", signal.paths, grid, arguments, {"SAMPLES": samples, "BLOCK": shape.block}, shape)
        self.write(f"del {cotangent}", f"{products} = torch.fft.fft2({waves})", f"del {waves}")
        self.steps.append(Transform(samples, signal.paths, packed=False, axes=2))
        return products

    def _paired(self, signal: Signal) -> bool:
        """Whether waves are sums and differences of the images of a pair."""
        return self.choices.way(signal) is Way.FUSED

    def end(self) -> str:
        """The gradient of the input from that of its spectrum, and that of order 0."""
        root, self.lines = self.root, []
        if root.children or any(result.kind != "raw" for result in root.results):
            self._unpad(self.cotangent(root, "inverse"))
        for result in root.results:
            if result.kind == "raw":
                self.note(*result.nodes)
                self._input_cotangent(result)
        return "\n".join(self.lines)

    def _input_cotangent(self, result: Result) -> None:
        """Order 0 without averaging is the input."""
        cut = "".join(f", {a}:{a + kept}" for a, kept in zip(result.first, result.kept, strict=True))
        place = f"gradient[:{cut}]" if self.spec.pre_pad else "gradient"
        self.write(f"{place} += gs[{result.group}][:, {self.program.places[result.paths[0]][1]}]")

    def _unpad(self, cotangent: str) -> None:
        """The gradient of the images from that of what they were padded to."""
        root = self.root
        times = []
        for axis, name in enumerate(("unpad_rows", "unpad_columns")):
            index = image_tables.pad_index(root.shape[axis], self.pad, axis)
            sources = image_tables.repetitions(index, self.spec.input_shape[axis])
            self.table(name, sources)
            times.append(len(sources))
        height, width = self.spec.input_shape
        sizes = {"HEIGHT": height, "WIDTH": width, "ROWS": root.shape[0], "COLUMNS": root.shape[1]}
        shape = self.elementwise("unpad_image", height * width)
        sizes |= {"ROW_TIMES": times[0], "COLUMN_TIMES": times[1], "BLOCK": shape.block}
        grid = (f"triton.cdiv({height * width}, {shape.block})", "pairs")
        arguments = [f"{cotangent}.view(torch.int64)", *self.named("unpad_rows", "unpad_columns"), "size", "gradient"]
        self.static_launch("unpad_image", 1, grid, [*arguments, "n"], sizes, shape)

    # Cotangents of moduli.

    def cotangent(self, signal: Signal, inverse: str, done: Sequence[str] = ()) -> str:
        """The cotangents of a signal, in pairs: from that of its spectrum, and from those of its coefficients.

        Kinds of coefficients that are `done` come in elsewhere.
        """
        name, there = f"g{signal.name}", False
        if signal.children:
            before = f"g{self.spectrum(signal)}"
            self.write(f'{name} = torch.fft.ifft2({before}, norm="forward")', f"del {before}")
            self.steps.append(Transform(prod(signal.shape), signal.paths, packed=True, axes=2))
            there = True
        for result in signal.results:
            if result.kind in done or (signal.parent is None and result.kind == "raw"):
                continue
            if not there:
                self.room(name, signal, "pairs")
            self.note(*result.nodes)
            if result.kind == "raw":
                self._spread_raw(signal, result, name, inverse, there=there)
            else:
                self._spread(signal, result, name, inverse, there=there)
            there = True
        return name

    def _cotangents_of(self, signal: Signal, result: Result, inverse: str) -> list[str]:
        """The first arguments of what reads cotangents of coefficients."""
        return [f"gs[{result.group}]", inverse, self.rows(signal.nodes[0] if signal.nodes else signal.name, result)]

    def spread_rows(self, signal: Signal, result: Result, inverse: str) -> str:
        """Cotangents of averages, spread along rows."""
        matrix = image_tables.averaging(self.spec, signal.level, result, 1).T
        tiles = self.taken(product("spread_rows", matrix.shape[0], matrix.shape[1], tile=MOST_ROWS, block=LEAST_BLOCK))
        name = f"gT_of_{signal.name}"
        (outputs, kept), width = self._kept(result), signal.shape[1]
        self.write(f"{name} = torch.empty(({signal.paths}, n, {outputs}, {width}), device=x.device)")
        arguments = self._cotangents_of(signal, result, inverse)
        arguments += self._matrix(f"{_phi(signal, result)}_rows_t", matrix, tiles)
        sizes: dict[str, Any] = {
            "PATHS": len(self.program.outputs[result.group][1]),
            "COLUMNS": width,
            "HEIGHT": outputs,
            **constants(tiles),
            "KEPT": kept,
        }
        grid = (f"triton.cdiv(n * {outputs}, {tiles.rows})", str(signal.paths), str(tiles.programs))
        self._used.add("settled")
        self.static_launch("spread_rows", signal.paths, grid, [*arguments, name, "n"], sizes, tiles)
        return name

    def _spread(self, signal: Signal, result: Result, into: str, inverse: str, *, there: bool) -> None:
        """Cotangents of averages, spread along both axes."""
        (height, width), (outputs, _) = signal.shape, self._kept(result)
        rows = self.spread_rows(signal, result, inverse)
        matrix = image_tables.averaging(self.spec, signal.level, result, 0).T
        tiles = self.taken(spread_product(matrix.shape[0], matrix.shape[1]))
        pads = ((0, tiles.columns - height), (0, tiles.padded - matrix.shape[0]))
        name = f"{_phi(signal, result)}_columns_t_{tiles.columns}x{tiles.padded}"
        arguments = [rows, *self.split(name, np.pad(matrix.T, pads))]
        self._used.add("settled")
        arguments += [f"{into}.view(torch.int64)", "n", "pairs"]
        sizes = {"ROWS": height, "COLUMNS": width, "HEIGHT": outputs, **constants(tiles), "ADD": there}
        del sizes["KEPT"]
        grid = (f"triton.cdiv(pairs * {width}, {tiles.rows})", str(signal.paths), str(tiles.programs))
        self.static_launch("spread_columns", signal.paths, grid, arguments, sizes, tiles)
        self.write(f"del {rows}")

    def _spread_raw(self, signal: Signal, result: Result, into: str, inverse: str, *, there: bool) -> None:
        """Cotangents of moduli themselves."""
        samples = prod(signal.shape)
        shape = self.elementwise("spread_raw", samples)
        sizes = {"PATHS": len(self.program.outputs[result.group][1]), "ROWS": signal.shape[0]}
        sizes |= {"COLUMNS": signal.shape[1], "FIRST_ROW": result.first[0], "FIRST_COLUMN": result.first[1]}
        sizes |= {"KEPT_ROWS": result.kept[0], "KEPT_COLUMNS": result.kept[1], "BLOCK": shape.block, "ADD": there}
        arguments = self._cotangents_of(signal, result, inverse)
        arguments += [f"{into}.view(torch.int64)", "n", "pairs"]
        grid = (f"pairs * {-(-samples // shape.block)}", str(signal.paths))
        self.static_launch("spread_raw", signal.paths, grid, arguments, sizes, shape)

    def _kept(self, result: Result) -> tuple[int, int]:
        """Averages along columns and along rows."""
        return (result.kept[0], result.kept[1]) if result.kind == "local" else (1, 1)

    # Cotangents of spectra.

    def gather(self, signal: Signal, products: str) -> None:
        """Add what all filters of a signal make of the cotangents of their products."""
        fold, parent, paired = signal.fold, signal.parent, self._paired(signal)
        assert fold is not None and parent is not None
        shape = self.choices.rows(signal) if paired else None
        if shape is None:
            start, w = image_tables.filters(self.spec, fold, parent.shape)
        else:
            start, w = self.choices.filters(signal)
        filters = self._filters(signal, "thinned" if paired else "fold", start=start, w=w)
        sizes = {"PARENT_ROWS": parent.shape[0], "PARENT_COLUMNS": parent.shape[1], "ROWS": signal.shape[0]}
        sizes |= {"COLUMNS": signal.shape[1], "HEIGHT": w.shape[1], "WIDTH": w.shape[2]}
        half = (parent.shape[0] // 2 + 1) * parent.shape[1]
        tiles = self.taken(Gathered("gather_image", half, len(fold.indices), min(BINS, power(half)), TOGETHER))
        sizes |= {"FILTERS": tiles.filters, "BLOCK": tiles.block, "PAIRS": tiles.pairs, "TURNED": paired}
        grid = (f"triton.cdiv({half}, {tiles.block})", str(parent.paths), f"triton.cdiv(pairs, {tiles.pairs})")
        arguments = [f"{products}.view(torch.int64)", *filters, f"g{self.spectrum(parent)}.view(torch.int64)", "pairs"]
        self.static_launch("gather_image", signal.paths, grid, arguments, sizes, tiles)
        self._shares[id(self.steps[-1])] = self.choices.share(signal, self.choices.way(signal))
        self.write(f"del {products}")


def _phi(signal: Signal, result: Result) -> str:
    """The stem of the names of matrices that average."""
    return f"{'sum' if result.kind == 'total' else 'phi'}{signal.level}"
