"""Transforms of volumes: walks the tree of signals and launches, for each wavelet, products, transforms and norms.

What a kernel looks like is in `templates/kernels/`, or written by `solid.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from scatc.codegen.signals import Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import COMPLEX, Work
from scatc.codegen.triton.emitter import Emitter, power
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.tuned import Warps
from scatc.codegen.triton.volumes import solid
from scatc.codegen.triton.volumes.harmonic import MOST_GENERATED, Harmonic
from scatc.codegen.triton.volumes.solid_cost import PAIR, norm_work, product_work, static_work, transform_work
from scatc.ir.filters import banks
from scatc.ir.filters.solid_harmonic import SolidHarmonicBank
from scatc.ir.nodes import Fold, Modulus
from scatc.ir.passes.use_real import PARITY_SLACK

FACTORS = 2
"""Launches of what finds by how much the integrals of each volume are multiplied."""

MOST_SUMS = 256
"""Partial results that a program takes at a time."""

PEAK_BLOCK = 4096
"""Samples of a program that finds the size of a part of a volume."""


class Volumes(Emitter):
    """The walk over a program of volumes.

    Attributes
    ----------
    products : dict of Harmonic to str
        The kernels of products with wavelets, by what they are specialised to.
    norms : dict of Norm to str
        Those of the norm over m.
    """

    title = "3D scattering"
    template = "volumes.py.j2"

    def prepare(self) -> None:
        """What the walk gathers."""
        self.products: dict[Harmonic, str] = {}
        self.norms: dict[solid.Norm, str] = {}
        self.bank = banks(self.spec)["psi"]
        self.powers = self.spec.integral_powers or ()
        self.exponents = np.array(self.powers)
        self.shape = self.spec.input_shape
        self.voxels, self.sizes = prod(self.shape), ", ".join(map(str, self.shape))
        self._symmetric: dict[int, bool] = {}

    def generated(self) -> Iterable[Written]:
        """The kernels of products and norms."""
        for harmonic, name in self.products.items():
            doc = f"Spectra of pairs times the wavelets of degree {harmonic.degree}, as {harmonic.filters} real filters"
            types = solid.MULTIPLY if harmonic.generated else solid.READ
            yield Written(name, doc, types, solid.multiply(harmonic, self.shape))
        for norm, name in self.norms.items():
            doc = f"The norm over m from {norm.filters} transforms, and sums of its powers"
            yield Written(name, doc, solid.NORM, solid.norm(norm))

    # What it costs.

    def before(self) -> list[Work]:
        """What finds the factors of integrals."""
        return [Work("factors", 8.0 * len(self.powers), launches=FACTORS)]

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one volume."""
        if isinstance(step, Transform):
            return transform_work(step, self.shape)
        for harmonic, name in self.products.items():
            if step.kernel == name:
                return product_work(step, harmonic, self.voxels)
        for norm, name in self.norms.items():
            if step.kernel == name:
                return norm_work(step, norm)
        return static_work(step)

    def transforms(self, signal: Signal) -> float:
        """How many complex transforms lead to a signal, for each volume of the batch."""
        if signal.fold is None or signal.parent is None:
            return 0.0
        filters = sum(self.harmonic(signal, f).filters for f in range(len(signal.fold.indices)))
        return signal.parent.paths * filters / PAIR

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one volume of the batch."""
        return self.voxels * self._live(self.root)

    def _live(self, signal: Signal) -> int:
        """Bytes for each voxel: the spectrum, below it products and transforms, or a norm and its spectrum."""
        half, during = COMPLEX // 2, COMPLEX // 2
        if signal.fold is not None and signal.parent is not None:
            filters = max(self.harmonic(signal, f).filters for f in range(len(signal.fold.indices)))
            during = half * (2 * filters * signal.parent.paths + (signal.paths if signal.spectrum else 0))
        held = half * signal.paths if signal.spectrum or signal.parent is None else 0
        return max([during, 2 * held, *(held + self._live(child) for child in signal.children)])

    # What is launched.

    def trunk(self) -> str:
        """The volumes in pairs, and their spectrum."""
        self.lines = []
        self.begin()
        self.write(
            f"U0 = torch.empty((pairs, {', '.join(map(str, self.shape))}), dtype=torch.complex64, device=x.device)"
        )
        blocks = -(-self.voxels // solid.BLOCK)
        constants = {"VOXELS": self.voxels, "BLOCK": solid.BLOCK}
        arguments = ["x", "peak", "ratio", "U0.view(torch.int64)", "n"]
        shape = self.taken(Warps("pair", self.voxels))
        self.static_launch("pair", 1, (f"pairs * {blocks}",), arguments, constants, shape)
        self.forward(self.root, "U0")
        return "\n".join(self.lines)

    def begin(self) -> None:
        """Launch what finds the size of each volume, and make room for sums of all paths' powers."""
        self.table("powers", self.exponents)
        shape = self.elementwise("peaks", self.voxels, PEAK_BLOCK)
        blocks = -(-self.voxels // shape.block)
        self.write(f"largest, squares = torch.empty((2, n, {blocks}), device=x.device)")
        constants = {"VOXELS": self.voxels, "BLOCK": shape.block}
        self.static_launch("peaks", 1, (f"n * {blocks}",), ["x", "largest", "squares"], constants, shape)
        self.write("peak, ratio = torch.empty((2, n), device=x.device)")
        constants = {"VOXELS": self.voxels, "BLOCKS": blocks, "BLOCK": min(MOST_SUMS, power(blocks))}
        few = self.taken(Warps("ratios", self.voxels))
        self.static_launch("ratios", 1, ("n",), ["largest", "squares", "peak", "ratio"], constants, few)
        self.room_for_sums()

    def room_for_sums(self) -> None:
        """Room for what `integrate` reads."""
        shape = f"({self.integrated()}, pairs, 2, {self.blocks}, {len(self.powers)})"
        self._room("sums", shape, "float32")

    def integrated(self, before: Signal | None = None) -> int:
        """Paths that are integrated: of all signals, or of those before one."""
        count = 0
        for signal in self.root.all():
            if signal is before:
                break
            count += signal.paths if signal.results else 0
        return count

    def _room(self, name: str, shape: str, dtype: str) -> None:
        self.write(f"{name} = torch.empty({shape}, dtype=torch.{dtype}, device=x.device)")

    def forward(self, signal: Signal, volumes: str) -> None:
        """The spectrum of a signal."""
        self.note(signal.spectrum)
        self.write(f"{self.spectrum(signal)} = torch.fft.fftn({volumes}, dim=(-3, -2, -1))", f"del {volumes}")
        self.steps.append(Transform(self.voxels, signal.paths, packed=True))

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it."""
        assert signal.fold is not None
        self.note(*signal.nodes)
        if signal.spectrum:
            self._room(signal.name, self.norm_room(signal), "complex64")
        partial = f"sums[{self.integrated(signal)} :]" if signal.results else "ratio"
        for f in range(len(signal.fold.indices)):
            self.filtered(signal, f, partial)
        if signal.spectrum:
            self.forward(signal, signal.name)
        for child in signal.children:
            self.branch(child)
        if signal.spectrum:
            self.write(f"del {self.spectrum(signal)}")

    def norm_room(self, signal: Signal) -> str:
        """The shape in which norms are written for their spectrum."""
        return f"({self.times(signal)}, {self.sizes})"

    def times(self, signal: Signal, more: int = 1) -> str:
        """How many rows there are, and more of each, as text."""
        count = signal.paths * more
        return f"{count} * pairs" if count > 1 else "pairs"

    @property
    def blocks(self) -> int:
        """How many partial sums a row has."""
        return solid.Norm(1, self.voxels, self.powers, stored=False).blocks

    def filtered(self, signal: Signal, f: int, partial: str) -> None:
        """The transforms of the products with one wavelet, their norm, and sums of its powers."""
        inverse = signal.nodes[1]
        self.transformed(signal, f, inverse)
        self.normed(signal, f, inverse, partial, self.powers if signal.results else ())
        self.write(f"del {inverse}")

    def transformed(self, signal: Signal, f: int, inverse: str) -> None:
        """The transforms of the products with one wavelet."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        harmonic, product = self.harmonic(signal, f), signal.nodes[0]
        name = self.products.setdefault(harmonic, f"wavelet_{harmonic.degree}_{len(self.products)}")
        rows = self.times(parent)
        self._room(product, f"({harmonic.filters}, {rows}, {self.sizes})", "complex64")
        source = f"{self.spectrum(parent)}.view(torch.int64)"
        grid = (str(-(-self.voxels // solid.BLOCK)), f"triton.cdiv({rows}, {solid.TOGETHER})")
        types = solid.MULTIPLY if harmonic.generated else solid.READ
        arguments = [source, *self.read(fold.indices[f], harmonic), f"{product}.view(torch.int64)", rows]
        shape = self.taken(Warps("wavelet", harmonic))
        self.launch(Launch(name, types, grid, arguments, {}, shape.warps, parent.paths, shape))
        self.write(f'{inverse} = torch.fft.ifftn({product}, dim=(-3, -2, -1), norm="forward")', f"del {product}")
        self.steps.append(Transform(self.voxels, parent.paths * harmonic.filters, packed=True))

    def normed(self, signal: Signal, f: int, inverse: str, partial: str, powers: tuple[float, ...]) -> None:
        """The norm of one wavelet's transforms, and sums of its powers."""
        assert signal.parent is not None
        norm = solid.Norm(self.harmonic(signal, f).filters, self.voxels, powers, bool(signal.spectrum))
        name = self.norms.setdefault(norm, f"norm_{norm.filters}_{len(self.norms)}")
        arguments = self.norm_arguments(signal, f, [f"{inverse}.view(torch.int64)"], partial)
        grid = (f"{self.times(signal.parent)} * {norm.blocks}",)
        shape = self.taken(Warps("norm", norm))
        self.launch(Launch(name, solid.NORM, grid, arguments, {}, shape.warps, signal.parent.paths, shape))

    def read(self, index: int, harmonic: Harmonic) -> list[str]:
        """What kernels compute a wavelet's filters from, or its filters."""
        return self.waves(index) if harmonic.generated else self._filters(index, harmonic)

    def norm_arguments(self, signal: Signal, f: int, source: list[str], partial: str) -> list[str]:
        """The arguments of a norm's kernel, of which the first say what it reads."""
        assert signal.fold is not None and signal.parent is not None
        stored = f"{signal.name}.view(torch.int64)" if signal.spectrum else source[0]
        numbers = ["n", "pairs", self.times(signal.parent), str(len(signal.fold.indices)), str(f)]
        return [*source, "ratio", stored, partial, *numbers]

    def slope_arguments(self, signal: Signal, f: int, z: str) -> list[str]:
        """The arguments of a gradient's kernel of slopes, behind what it reads."""
        assert signal.fold is not None and signal.parent is not None
        # without integrals, what is not read may be any table
        places = self.rows(signal.nodes[0], signal.results[0]) if signal.results else "ratio.view(torch.int32)"
        below = f"g{signal.name}.view(torch.int64)" if signal.spectrum else z
        numbers = ["n", "pairs", self.times(signal.parent), str(len(self.program.outputs[0][1]))]
        return ["ratio", "cotangent", places, below, *numbers, str(len(signal.fold.indices)), str(f)]

    def end(self) -> str:
        """The coefficients of all paths, from sums over blocks."""
        self.lines = []
        results = [result for signal in self.root.all() for result in signal.results]
        paths = [path for result in results for path in result.paths]
        if not paths:
            return ""
        for result in results:
            self.note(*result.nodes)
        self.write(
            'factor = peak.double()[:, None] ** t["powers"]  # S of a multiple is a multiple of S, by each power'
        )
        constants = {
            "PATHS": len(self.program.outputs[0][1]),
            "BLOCKS": self.blocks,
            "POWERS": len(self.powers),
            "BLOCK": min(MOST_SUMS, power(self.blocks)),
        }
        self.table("integrals_row", np.array([self.program.places[path][1] for path in paths], np.int32))
        arguments = ["sums", "factor", *self.named("integrals_row"), "outs[0]", "n", "pairs"]
        shape = self.taken(Warps("integrate", (self.blocks, len(self.powers))))
        self.static_launch("integrate", len(paths), ("n", str(len(paths))), arguments, constants, shape)
        return "\n".join(self.lines)

    # Which filters.

    def harmonic(self, signal: Signal, f: int) -> Harmonic:
        """What one filter of a signal comes down to: components and weights are those that the passes left."""
        assert signal.fold is not None and isinstance(self.bank, SolidHarmonicBank)
        modulus = self.graph[signal.nodes[2]]
        assert isinstance(modulus, Modulus)
        index = signal.fold.indices[f]
        degree = self.bank.info[index].l or 0
        every = range(-degree, degree + 1) if self.spec.rotation_covariant else range(-degree, -degree + 1)
        components: Sequence[int] = signal.fold.components or range(len(every))
        return Harmonic(
            degree,
            tuple(every[c] for c in components),
            modulus.weights,
            self.parity(signal.fold, index),
            self.voxels,
            degree <= MOST_GENERATED,
        )

    def parity(self, fold: Fold, index: int) -> bool:
        """Whether opposite bins have opposite wave numbers, as far as it matters."""
        assert isinstance(self.bank, SolidHarmonicBank)
        if index not in self._symmetric:
            self._symmetric[index] = bool(fold.components) or self.bank.parity(
                index, PARITY_SLACK * self.options.tolerance
            )
        return self._symmetric[index]

    def waves(self, index: int) -> list[str]:
        """The tables of wave numbers and Gaussians, axis by axis."""
        sigma, j = self.bank.info[index].sigma, self.bank.info[index].j
        assert sigma is not None
        for size in self.shape:
            self.table(f"waves_{size}_{j}", tables.waves(size, sigma))
        return self.named(*(f"waves_{size}_{j}" for size in self.shape))

    def _filters(self, index: int, harmonic: Harmonic) -> list[str]:
        """The table of a wavelet's filters."""
        assert isinstance(self.bank, SolidHarmonicBank)
        self.table(f"filters_{index}", tables.harmonics(self.bank, index, harmonic))
        return self.named(f"filters_{index}")
