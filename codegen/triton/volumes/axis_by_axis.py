"""Transforms of volumes whose axes fit the registers: kernels that transform along one axis and do the rest on the way.

What the kernels look like is in `axes.py`. Where it is predicted to be quicker than the transforms of a library, this
is how volumes are done.
"""

from __future__ import annotations

from collections.abc import Iterable

from scatc.codegen.signals import Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import COMPLEX, USUAL, Work
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.tuned import Tuned, Warps
from scatc.codegen.triton.volumes import axes, axes_t, solid
from scatc.codegen.triton.volumes.axes import Along, Begin, Box, First, Kept, Last
from scatc.codegen.triton.volumes.axes_cost import plane_work, work
from scatc.codegen.triton.volumes.axes_t import Finish, Gather, Turn
from scatc.codegen.triton.volumes.edges import EDGE, Edge, edge
from scatc.codegen.triton.volumes.walk import Volumes
from scatc.ir.nodes import Fold
from scatc.ir.options import Options
from scatc.ir.schedule import Program

USUAL_BATCH = 64
"""Volumes of a call, where the ways are compared."""

Shape = First | Along | Last | Begin | Turn | Gather | Finish | Edge


class AxisByAxis(Volumes):
    """The walk over a program of volumes, axis by axis.

    Attributes
    ----------
    kernels : dict of Shape to str
        By what they are specialised to.
    """

    def prepare(self) -> None:
        """What the walk gathers."""
        super().prepare()
        self.kernels: dict[Shape, str] = {}

    def generated(self) -> Iterable[Written]:
        """The kernels of all axes."""
        for shape, name in self.kernels.items():
            yield written(shape, name)

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one volume."""
        if isinstance(step, Transform):
            return plane_work(step)
        known = {name: shape for shape, name in self.kernels.items()}
        return work(step, known[step.kernel]) if step.kernel in known else super().work(step)

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one volume of the batch."""
        return COMPLEX // 2 * self._numbers(self.root)

    def _numbers(self, signal: Signal) -> int:
        """Complex numbers of a pair: a spectrum, below it products on two of their ways, or a norm on its."""
        nz, ny, _ = self.shape
        during = held = 0
        if signal.spectrum or signal.parent is None:
            kz, ky, kx = (kept.count for kept in self.box(signal))
            held = signal.paths * kz * ky * kx
            norm = signal.paths * nz * ny * kx
            during = norm + signal.paths * nz * ky * kx
        if signal.fold is not None and signal.parent is not None:
            for f in range(len(signal.fold.indices)):
                _, ky, kx = (kept.count for kept in self.product_box(signal.fold, f))
                rows = self.filters(signal, f) * signal.parent.paths * nz
                stored = norm if signal.spectrum else 0
                during = max(during, rows * (ky * kx + ny * kx if ky < ny else ny * kx) + stored)
        return max([during, *(held + self._numbers(child) for child in signal.children)])

    # Which bins are in memory.

    def box(self, signal: Signal) -> Box:
        """The bins of a signal's spectrum that are read."""
        found = [
            self.product_box(child.fold, f)
            for child in signal.children
            if child.fold is not None
            for f in range(len(child.fold.indices))
        ]
        box = found[0]
        for other in found[1:]:
            box = _together(box, other)
        return box

    def product_box(self, fold: Fold, f: int) -> Box:
        """The bins of a product that are not zero."""
        if not fold.widths:
            return _box(*(Kept(size, size, 0) for size in self.shape))
        starts = fold.starts[f]
        return _box(*(Kept.of(*axis) for axis in zip(self.shape, starts, fold.widths, strict=True)))

    # What is launched.

    def trunk(self) -> str:
        """The volumes in pairs, and their spectrum."""
        self.lines = []
        self.begin()
        nz, ny, nx = self.shape
        kept = self.box(self.root)[2]
        self._room("U0", f"(pairs, {nz}, {ny}, {kept.count})", "complex64")
        shape = self.taken(Begin(nz * ny, kept))
        arguments = ["x", self.twiddles(nx), "peak", "ratio", "U0.view(torch.int64)", "n"]
        self.step(shape, "pairs", shape.tiles, arguments, nx)
        self.forward(self.root, "U0")
        return "\n".join(self.lines)

    def norm_room(self, signal: Signal) -> str:
        """The shape in which norms are written: transformed along x already."""
        nz, ny, _ = self.shape
        return f"({self.times(signal)}, {nz}, {ny}, {self.box(signal)[2].count})"

    @property
    def blocks(self) -> int:
        """How many partial sums a row has."""
        nz, ny, _ = self.shape
        return nz * ny // axes.TILE

    def forward(self, signal: Signal, volumes: str) -> None:
        """The spectrum of a signal that was transformed along x already."""
        self.note(signal.spectrum)
        nz, ny, _ = self.shape
        kz, ky, kx = self.box(signal)
        found, rows = self.spectrum(signal), self.times(signal)
        along_y = Along(Kept(ny, ny, 0), ky, kx.count, forward=True)
        along_z = Along(Kept(nz, nz, 0), kz, ky.count * kx.count, forward=True)
        middle = volumes
        if ky.gap:
            middle = f"{volumes}_y"
            self._room(middle, f"({rows}, {nz}, {ky.count}, {kx.count})", "complex64")
        self.transform(along_y, self.times(signal, nz), volumes, middle, signal.paths * nz)
        if ky.gap:
            self.write(f"del {volumes}")
        if kz.gap:
            self._room(found, f"({rows}, {kz.count}, {ky.count}, {kx.count})", "complex64")
        else:
            self.write(f"{found} = {middle}")
        self.transform(along_z, rows, middle, found, signal.paths)
        self.write(f"del {middle}")

    def transform(self, shape: Along, rows: str, before: str, after: str, paths: int) -> None:
        """Launch a transform along an axis, in place if nothing is left out or added."""
        shape = self.taken(shape)
        arguments = [f"{before}.view(torch.int64)", self.twiddles(shape.before.size), f"{after}.view(torch.int64)"]
        self.step(shape, rows, shape.tiles, arguments, shape.before.size, paths)

    def transformed(self, signal: Signal, f: int, inverse: str) -> None:
        """The transforms of the products with one wavelet, but for that along x."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        harmonic, product = self.harmonic(signal, f), signal.nodes[0]
        nz, ny, _ = self.shape
        box = self.product_box(fold, f)
        _, ky, kx = box
        first = self.taken(First(harmonic, self.box(parent), box, self.edged(signal, f)))
        rows, count = self.times(parent), first.filters
        self._room(product, f"({count}, {rows}, {nz}, {ky.count}, {kx.count})", "complex64")
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *self.waves(fold.indices[f]), self.twiddles(nz)]
        self.step(first, rows, first.tiles, [*arguments, f"{product}.view(torch.int64)", rows], nz, parent.paths)
        if ky.gap:
            self._room(inverse, f"({count}, {rows}, {nz}, {ny}, {kx.count})", "complex64")
        else:
            self.write(f"{inverse} = {product}")
        along = Along(ky, Kept(ny, ny, 0), kx.count, forward=False)
        many = count * nz
        self.transform(along, self.times(parent, many), product, inverse, parent.paths * many)
        self.write(f"del {product}")

    def normed(self, signal: Signal, f: int, inverse: str, partial: str, powers: tuple[float, ...]) -> None:
        """The transforms of one wavelet along x, their norm, and sums of its powers."""
        assert signal.fold is not None and signal.parent is not None
        nz, ny, nx = self.shape
        after = self.box(signal)[2] if signal.spectrum else None
        source, filters, edges = [f"{inverse}.view(torch.int64)", self.twiddles(nx)], self.filters(signal, f), None
        planes = self._planes(signal, f) if self.edged(signal, f) else []
        if planes:
            source, edges = [*(f"{plane}.view(torch.int64)" for plane in planes), *source], (nz, ny)
        last = self.taken(Last(nz * ny, self.product_box(signal.fold, f)[2], powers, after, edges))
        arguments = [*self.norm_arguments(signal, f, source, partial), str(filters)]
        self.step(last, self.times(signal.parent), last.blocks, arguments, nx, signal.parent.paths)
        if planes:
            self.write(f"del {', '.join(planes)}")

    def edged(self, signal: Signal, f: int) -> bool:
        """Whether what has no opposite is taken from planes of bins."""
        return False

    def filters(self, signal: Signal, f: int) -> int:
        """How many transforms of volumes one wavelet takes."""
        return self.harmonic(signal, f).filters // (2 if self.edged(signal, f) else 1)

    def _planes(self, signal: Signal, f: int) -> list[str]:
        """The transforms of the planes of bins that have no opposite, by axis."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        nz, ny, nx = self.shape
        found, rows, count = [], self.times(parent), self.filters(signal, f)
        for axis in range(3):
            shape = Edge(self.harmonic(signal, f), (nz, ny, nx), axis)
            a, b = shape.sides
            name = f"{solid.AXES[axis]}_edge_of_{signal.nodes[0]}"
            self._room(name, f"({count}, {rows}, {a}, {b})", "complex64")
            arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *self.waves(fold.indices[f])]
            arguments += [f"{name}.view(torch.int64)", rows]
            self.step(shape, rows, shape.tiles, arguments, solid.BLOCK, parent.paths)
            self.write(f'{name} = torch.fft.ifft2({name}, norm="forward")')
            self.steps.append(Transform(a * b, parent.paths * count, packed=True))
            found.append(name)
        return found

    def step(self, shape: Shape, rows: str, tiles: int, arguments: list[str], size: int, paths: int = 1) -> None:
        """Launch a kernel of so many programs for each of so many rows."""
        title = type(shape).__name__.lower()
        name = self.kernels.setdefault(shape, f"{title}_{size}_{len(self.kernels)}")
        grid = (f"{rows} * {tiles}",)
        if isinstance(shape, axes.Tiled):
            self.launch(Launch(name, types(shape), grid, arguments, {}, shape.warps(size), paths, shape))
        else:
            fixed = self.taken(Warps(title, shape, axes.warps(size)))
            self.launch(Launch(name, types(shape), grid, arguments, {}, fixed.warps, paths, fixed))

    def twiddles(self, size: int) -> str:
        """The table of a transform."""
        self.table(f"twiddles_{size}", tables.twiddles(size))
        return self.named(f"twiddles_{size}")[0]


class WithEdges(AxisByAxis):
    """The same with fewer transforms of volumes, and more launches, where filters have no parity."""

    def edged(self, signal: Signal, f: int) -> bool:
        """Whether what has no opposite is taken from planes of bins: where all are in memory."""
        assert signal.fold is not None and signal.parent is not None
        whole = not any(kept.gap for kept in (*self.product_box(signal.fold, f), *self.box(signal.parent)))
        return whole and not self.harmonic(signal, f).symmetric


TYPES: dict[type[Shape], dict[str, str]] = {
    First: axes.FIRST,
    Along: axes.ALONG,
    Last: axes.LAST,
    Begin: axes.BEGIN,
    Edge: EDGE,
    Turn: axes_t.TURN,
    Gather: axes_t.GATHER,
    Finish: axes_t.FINISH,
}


def written(shape: Shape, name: str) -> Written:
    """The kernel of a shape."""
    if isinstance(shape, First):
        harmonic = shape.harmonic
        doc = (
            f"Spectra times the wavelets of degree {harmonic.degree}, as {harmonic.filters} real filters; back along z"
        )
        body = axes.first(shape)
    elif isinstance(shape, Along):
        doc = f"The transform {'forward' if shape.forward else 'back'} along an axis of {shape.before.size}"
        body = axes.along(shape)
    elif isinstance(shape, Last):
        forward = "" if shape.after is None else "; its spectrum along x"
        doc = f"Back along x, the norm over m, and sums of its powers{forward}"
        body = axes.last(shape)
    elif isinstance(shape, Edge):
        doc, body = f"The plane of Nyquist bins along {solid.AXES[shape.axis]}, times what has no opposite", edge(shape)
    elif isinstance(shape, Turn):
        doc = "Transforms along x once more, their norm and its slopes; the products of both forward along x"
        body = axes_t.turn(shape)
    elif isinstance(shape, Gather):
        harmonic = shape.first.harmonic
        doc = f"Forward along z; the {harmonic.filters} filters of degree {harmonic.degree}, transposed, and their sum"
        body = axes_t.gather(shape)
    elif isinstance(shape, Finish):
        doc, body = "Back along x, to two volumes, each brought back to its size", axes_t.finish(shape)
    else:
        doc, body = "Two volumes, brought to like size, as one; forward along x", axes.begin(shape)
    return Written(name, doc, types(shape), body)


def types(shape: Shape) -> dict[str, str]:
    """The arguments of a kernel, and their types."""
    return axes.EDGED if isinstance(shape, Last) and shape.edges else TYPES[type(shape)]


def _box(*kept: Kept) -> Box:
    z, y, x = kept
    return z, y, x


def _together(a: Box, b: Box) -> Box:
    return _box(*(p.with_(q) for p, q in zip(a, b, strict=True)))


def possible(volumes: Volumes) -> bool:
    """Whether all axes fit the registers, and all wavelets are such as `first` computes."""
    fits = all(axes.LEAST <= size <= axes.MOST and size & (size - 1) == 0 for size in volumes.shape)
    found = [volumes.harmonic(s, f) for s in volumes.root.all() if s.fold for f in range(len(s.fold.indices))]
    return fits and all(
        harmonic.degree <= axes.MOST_DEGREE and (harmonic.symmetric or len(harmonic.orders) == 2 * harmonic.degree + 1)
        for harmonic in found
    )


def quickest(
    program: Program, options: Options, tensor_cores: bool, version: str = "", tuned: Tuned | None = None
) -> Volumes:
    """The walk whose program is predicted to be quickest."""
    library = Volumes(program, options, tensor_cores, version, tuned)
    if not possible(library):
        return library
    ways = (WithEdges, AxisByAxis)
    return min(*(way(program, options, tensor_cores, version, tuned) for way in ways), library, key=predicted)


def predicted(volumes: Volumes) -> float:
    """Seconds for a batch of `USUAL_BATCH`."""
    chunk = min(volumes.chunk, USUAL_BATCH)
    return sum(one.seconds(USUAL, chunk, chunk * volumes.live_bytes) for one in volumes.works()) * USUAL_BATCH / chunk
