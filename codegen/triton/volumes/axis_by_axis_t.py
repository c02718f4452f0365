"""Gradients of transforms of volumes whose axes fit the registers; `walk_t.py` has the equations.

What the kernels look like is in `axes.py` (there) and `axes_t.py` (back).
"""

from __future__ import annotations

from scatc.codegen.signals import Signal
from scatc.codegen.triton.tuned import Tuned
from scatc.codegen.triton.volumes import axes
from scatc.codegen.triton.volumes.axes import Along, First, Kept
from scatc.codegen.triton.volumes.axes_t import Finish, Gather, Turn
from scatc.codegen.triton.volumes.axis_by_axis import AxisByAxis, possible, predicted
from scatc.codegen.triton.volumes.walk import Volumes
from scatc.codegen.triton.volumes.walk_t import ThereAndBack, VolumesT
from scatc.ir.options import Options
from scatc.ir.schedule import Program


class AxisByAxisT(ThereAndBack, AxisByAxis):
    """The walk over a program of volumes, axis by axis, there and back."""

    def _numbers(self, signal: Signal) -> int:
        """Complex numbers of a pair: a spectrum and its gradient, and transforms that wait for what is below."""
        nz, ny, _ = self.shape
        held = during = 0
        if signal.fold is not None and signal.parent is not None:
            found = []
            for f in range(len(signal.fold.indices)):
                kx = self.product_box(signal.fold, f)[2]
                found.append(self.harmonic(signal, f).filters * signal.parent.paths * nz * ny * kx.count)
            held = sum(found) if signal.spectrum else max(found)
            during = held + max(found)
        if signal.spectrum or signal.parent is None:
            kz, ky, kx = self.box(signal)
            held += 2 * signal.paths * kz.count * ky.count * kx.count
            during = max(during, held + 2 * signal.paths * nz * ny * kx.count)
        return max([during, *(held + self._numbers(child) for child in signal.children)])

    # What is launched.

    def end(self) -> str:
        """The gradient of the input from that of its spectrum."""
        self.lines = []
        nz, ny, nx = self.shape
        self.back(self.root, "g")
        shape = Finish(nz * ny, self.box(self.root)[2])
        arguments = ["g.view(torch.int64)", self.twiddles(nx), "size", "gradient", "n"]
        self.step(shape, "pairs", shape.lines // axes.TILE, arguments, nx)
        return "\n".join(self.lines)

    def back(self, signal: Signal, name: str) -> None:
        """The gradient of a signal from that of its spectrum, but for the transform along x."""
        nz, ny, _ = self.shape
        kz, ky, kx = self.box(signal)
        before, rows = f"g{self.spectrum(signal)}", self.times(signal)
        middle = before
        if kz.gap:
            middle = f"{name}_z"
            self._room(middle, f"({rows}, {nz}, {ky.count}, {kx.count})", "complex64")
        along_z = Along(kz, Kept(nz, nz, 0), ky.count * kx.count, forward=False)
        self.transform(along_z, rows, before, middle, signal.paths)
        if ky.gap:
            self._room(name, f"({rows}, {nz}, {ny}, {kx.count})", "complex64")
        else:
            self.write(f"{name} = {middle}")
        along_y = Along(ky, Kept(ny, ny, 0), kx.count, forward=False)
        self.transform(along_y, self.times(signal, nz), middle, name, signal.paths * nz)
        self.write(f"del {', '.join(dict.fromkeys((before, middle)))}")

    def transposed(self, signal: Signal, f: int, inverse: str) -> None:
        """The way back of one wavelet: slopes in the place of its transforms, their spectra, the sum over filters."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        nz, ny, nx = self.shape
        harmonic, rows, box = self.harmonic(signal, f), self.times(parent), self.product_box(fold, f)
        _, ky, kx = box
        self.note(*(name for result in signal.results for name in result.nodes))
        below = self.box(signal)[2] if signal.spectrum else None
        turn = Turn(nz * ny, kx, self.powers if signal.results else (), below, alone=harmonic.filters == 1)
        z = f"{inverse}.view(torch.int64)"
        arguments = [z, self.twiddles(nx), *self.slope_arguments(signal, f, z), str(harmonic.filters)]
        self.step(turn, rows, turn.blocks, arguments, nx, parent.paths)
        product, many = f"g{inverse}", harmonic.filters * nz
        if ky.gap:
            self._room(product, f"({harmonic.filters}, {rows}, {nz}, {ky.count}, {kx.count})", "complex64")
        else:
            self.write(f"{product} = {inverse}")
        along = Along(Kept(ny, ny, 0), ky, kx.count, forward=True)
        self.transform(along, self.times(parent, many), inverse, product, parent.paths * many)
        self.write(f"del {inverse}")
        gather = Gather(First(harmonic, self.box(parent), box))
        arguments = [f"{product}.view(torch.int64)", *self.waves(fold.indices[f]), self.twiddles(nz)]
        arguments += [f"g{self.spectrum(parent)}.view(torch.int64)", rows]
        self.step(gather, rows, gather.first.tiles, arguments, nz, parent.paths)
        self.write(f"del {product}")


def quickest_gradient(
    program: Program, options: Options, tensor_cores: bool, version: str = "", tuned: Tuned | None = None
) -> Volumes:
    """The walk there and back whose program is predicted to be quickest."""
    library = VolumesT(program, options, tensor_cores, version, tuned)
    if not possible(library):
        return library
    return min(AxisByAxisT(program, options, tensor_cores, version, tuned), library, key=predicted)
