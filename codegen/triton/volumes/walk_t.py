"""Gradients of transforms of volumes: there and back through each branch, the deepest first, keeping nothing of others.

Of a wavelet's transforms Z_f and their norm U, of which more may be made,

    Z_f = ifft(F_f X),  U,  X_U = fft U,  what is below adds up gX_U,  gU = ifft gX_U + slopes of its powers,
    gZ_f = gU Z_f / U,  gX += sum over f of conj(F_f) fft(gZ_f)

What the kernels look like is written by `solid.py` (there) and `solid_t.py` (back); transforms are the library's.
"""

from __future__ import annotations

from collections.abc import Iterable

from scatc.codegen.signals import Signal
from scatc.codegen.triton.cost import COMPLEX, Work
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.tuned import Warps
from scatc.codegen.triton.volumes import solid, solid_t
from scatc.codegen.triton.volumes.harmonic import Harmonic
from scatc.codegen.triton.volumes.solid_cost import gather_work, slope_work
from scatc.codegen.triton.volumes.walk import Volumes

COTANGENTS = 17
"""Operators of torch that find the sizes of cotangents."""


class ThereAndBack(Volumes):
    """What the walks there and back share: their order."""

    title = "Gradient of 3D scattering"
    template = "volumes_t.py.j2"

    def transforms(self, signal: Signal) -> float:
        """How many complex transforms lead to a signal and back from it, for each volume of the batch."""
        return 2 * super().transforms(signal)

    def forward(self, signal: Signal, volumes: str) -> None:
        """The spectrum of a signal, and room for its gradient."""
        super().forward(signal, volumes)
        self.write(f"g{self.spectrum(signal)} = torch.zeros_like({self.spectrum(signal)})")

    def before(self) -> list[Work]:
        """What brings the cotangents of integrals to like size."""
        return [Work("cotangents", 0.0, launches=COTANGENTS)]

    def room_for_sums(self) -> None:
        """Nothing is integrated."""

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it."""
        assert signal.fold is not None
        self.note(*signal.nodes)
        filters = range(len(signal.fold.indices))
        names = [signal.nodes[1] + (f"_{f}" if len(filters) > 1 else "") for f in filters]
        if not signal.spectrum:
            for f, name in zip(filters, names, strict=True):
                self.transformed(signal, f, name)
                self.transposed(signal, f, name)
            return
        self._room(signal.name, self.norm_room(signal), "complex64")
        for f, name in zip(filters, names, strict=True):
            self.transformed(signal, f, name)
            self.normed(signal, f, name, "ratio", ())
        self.forward(signal, signal.name)
        for child in signal.children:
            self.branch(child)
        self.write(f"del {self.spectrum(signal)}")
        self.back(signal, f"g{signal.name}")
        for f, name in zip(filters, names, strict=True):
            self.transposed(signal, f, name)
        self.write(f"del g{signal.name}")

    def back(self, signal: Signal, name: str) -> None:
        """The gradient of a signal from that of its spectrum."""
        raise NotImplementedError

    def transposed(self, signal: Signal, f: int, inverse: str) -> None:
        """The way back of one wavelet: slopes in the place of its transforms, their spectra, the sum over filters."""
        raise NotImplementedError


class VolumesT(ThereAndBack):
    """The walk over a program of volumes, there and back.

    Attributes
    ----------
    sums : dict of Harmonic to str
        The kernels of sums over filters.
    slopes : dict of Slope to str
        Those of slopes.
    """

    def prepare(self) -> None:
        """What the walk gathers."""
        super().prepare()
        self.sums: dict[Harmonic, str] = {}
        self.slopes: dict[solid_t.Slope, str] = {}

    def generated(self) -> Iterable[Written]:
        """The kernels of products, norms, slopes and sums."""
        yield from super().generated()
        for slope, name in self.slopes.items():
            doc = f"The norm over m from {slope.filters} transforms, and its slopes in their place"
            yield Written(name, doc, solid_t.SLOPE, solid_t.slope(slope))
        for harmonic, name in self.sums.items():
            doc = f"The {harmonic.filters} filters of degree {harmonic.degree}, transposed: a sum over them is added"
            types = solid_t.GATHER if harmonic.generated else solid_t.READ
            yield Written(name, doc, types, solid_t.gather(harmonic, self.shape))

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one volume."""
        if isinstance(step, Launch):
            for slope, name in self.slopes.items():
                if step.kernel == name:
                    return slope_work(step, slope)
            for harmonic, name in self.sums.items():
                if step.kernel == name:
                    return gather_work(step, harmonic, self.voxels)
        return super().work(step)

    def _live(self, signal: Signal) -> int:
        """Bytes for each voxel: a spectrum and its gradient, transforms that wait for what is below, and one more."""
        half, held, during = COMPLEX // 2, 0, COMPLEX
        if signal.fold is not None and signal.parent is not None:
            found = [self.harmonic(signal, f).filters for f in range(len(signal.fold.indices))]
            held = half * signal.parent.paths * (sum(found) if signal.spectrum else max(found))
            during = held + half * signal.parent.paths * max(found)
        if signal.spectrum or signal.parent is None:
            held += 2 * half * signal.paths
            during = max(during, held + half * signal.paths)
        return max([during, *(held + self._live(child) for child in signal.children)])

    # What is launched.

    def end(self) -> str:
        """The gradient of the input from that of its spectrum."""
        self.lines = []
        self.back(self.root, "g")
        blocks = -(-self.voxels // solid.BLOCK)
        constants = {"VOXELS": self.voxels, "BLOCK": solid.BLOCK}
        arguments = ["g.view(torch.int64)", "size", "gradient", "n"]
        shape = self.taken(Warps("unpair", self.voxels))
        self.static_launch("unpair", 1, (f"pairs * {blocks}",), arguments, constants, shape)
        return "\n".join(self.lines)

    def back(self, signal: Signal, name: str) -> None:
        """The gradient of a signal from that of its spectrum."""
        self.write(
            f'{name} = torch.fft.ifftn(g{self.spectrum(signal)}, dim=(-3, -2, -1), norm="forward")',
            f"del g{self.spectrum(signal)}",
        )
        self.steps.append(Transform(self.voxels, signal.paths, packed=True))

    def transposed(self, signal: Signal, f: int, inverse: str) -> None:
        """The way back of one wavelet: slopes in the place of its transforms, their spectra, the sum over filters."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        harmonic, rows = self.harmonic(signal, f), self.times(parent)
        self.note(*(name for result in signal.results for name in result.nodes))
        powers = self.powers if signal.results else ()
        slope = solid_t.Slope(harmonic.filters, self.voxels, powers, bool(signal.spectrum))
        name = self.slopes.setdefault(slope, f"slope_{slope.filters}_{len(self.slopes)}")
        z = f"{inverse}.view(torch.int64)"
        arguments = [z, *self.slope_arguments(signal, f, z)]
        shape, grid = self.taken(Warps("slope", slope)), (f"{rows} * {slope.blocks}",)
        self.launch(Launch(name, solid_t.SLOPE, grid, arguments, {}, shape.warps, parent.paths, shape))
        product = f"g{inverse}"
        self.write(f"{product} = torch.fft.fftn({inverse}, dim=(-3, -2, -1))", f"del {inverse}")
        self.steps.append(Transform(self.voxels, parent.paths * harmonic.filters, packed=True))
        name = self.sums.setdefault(harmonic, f"filters_{harmonic.degree}_{len(self.sums)}")
        types = solid_t.GATHER if harmonic.generated else solid_t.READ
        shape = self.taken(Warps("filters", harmonic))
        grids = (str(-(-self.voxels // solid.BLOCK)), f"triton.cdiv({rows}, {solid.TOGETHER})")
        read = self.read(fold.indices[f], harmonic)
        arguments = [f"{product}.view(torch.int64)", *read, f"g{self.spectrum(parent)}.view(torch.int64)", rows]
        self.launch(Launch(name, types, grids, arguments, {}, shape.warps, parent.paths, shape))
        self.write(f"del {product}")
