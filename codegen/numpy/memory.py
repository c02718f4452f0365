"""What the emitted numpy code allocates, node by node; the templates and this file must agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from scatc.codegen.arrays.ripples import samples_at_a_time
from scatc.codegen.numpy.folding import buffers
from scatc.codegen.numpy.transposed import is_repeated, is_together, pieces_of, slab_planes
from scatc.ir.cost import frame_outputs
from scatc.ir.lowpass import frames
from scatc.ir.nodes import Average, Fft, Fold, Ifft, Lowpass, Modulus, Node, Pad, Ripple, Stack
from scatc.ir.schedule import Footprint
from scatc.ir.transposed import AverageT, Blank, Cotangent, FftT, FoldT, IfftT, Load, LowpassT, PadT, UnpadT
from scatc.ir.values import Value


@dataclass(frozen=True, slots=True)
class NumpyMemory:
    """Footprints of numpy code.

    Attributes
    ----------
    itemsize : int
        Bytes of a real number.
    fft_in_place : bool
        Whether complex FFTs reuse their input's memory.
    vector : bool
        Whether all components of a wavelet are held at once.
    """

    itemsize: int
    fft_in_place: bool
    vector: bool = False

    def footprint(self, node: Node, x: Value, y: Value) -> Footprint:
        """The footprint of a node for one row of its input and one filter."""
        real, cplx = self.itemsize, 2 * self.itemsize
        size = prod(y.shape)
        if isinstance(node, Pad):
            return Footprint(arena=size * real, scratch=prod(x.shape[:-1]) * y.shape[-1] * real * (len(x.shape) > 1))
        if isinstance(node, Fft):
            copied = prod(x.shape) * real * (node.centred and node.x == "x")  # of the caller's array, a copy is centred
            if not node.box:
                return Footprint(held=size * cplx, scratch=copied)
            half = prod(x.shape[:-1]) * (x.shape[-1] // 2 + 1)
            return Footprint(arena=size * cplx, scratch=half * cplx + copied)
        if isinstance(node, Fold):
            return self._fold(node, x, y)
        if isinstance(node, Ifft | IfftT):
            if node.real:
                return Footprint(held=size * (cplx if isinstance(node, IfftT) else real))
            return Footprint(held=0 if self.fft_in_place else size * cplx * self._together(y))
        if isinstance(node, Modulus):
            return Footprint(arena=size * real * (1 if x.components == 1 else 2))
        if isinstance(node, Lowpass):
            return Footprint(held=size * real, scratch=self._lowpass_scratch(node, x) * real)
        if isinstance(node, Average):
            return Footprint(held=size * real, scratch=prod(x.shape) * real * (node.mode == "integral"))
        if isinstance(node, Stack):  # joined, and then read in another order
            return Footprint(held=size * (real if y.real else cplx), scratch=size * (real if y.real else cplx))
        if isinstance(node, Ripple):  # some samples at a time; for all rows that are kept, there are those between once
            between = cplx * node.whole * min(samples_at_a_time(node.whole), *x.shape)
            return Footprint(held=size * real, scratch=2 * between // node.kept + 1)
        return self._transposed(node, x, y)

    def _together(self, value: Value) -> int:
        """Components that are held at once."""
        return value.components if self.vector else 1

    def _transposed(self, node: Node, x: Value, y: Value) -> Footprint:
        real, cplx, size = self.itemsize, 2 * self.itemsize, prod(y.shape)
        half = prod(y.shape[:-1]) * (y.shape[-1] // 2 + 1)
        match node:
            case Load():
                return Footprint(arena=size * cplx * y.components)
            case Blank():
                return Footprint(arena=size * cplx)
            case Cotangent() | UnpadT():
                return Footprint(held=size * real)
            case PadT():
                return Footprint(held=size * real, scratch=prod(x.shape[:-1]) * y.shape[-1] * real * (len(y.shape) > 1))
            case FftT():
                return Footprint(held=size * real, step=half * cplx, scratch=half * cplx)
            case AverageT(mode="integral", powers=powers):
                return Footprint(arena=size * real, scratch=size * real * (len(powers) > 1))
            case LowpassT():
                return Footprint(held=size * real, scratch=self._lowpass_t_scratch(node, x, y) * real)
            case FoldT(half=False) if len(y.shape) == 3:
                sizes = [piece.sizes for piece in pieces_of(node, x, y)]
                together = [prod(window) for window in sizes if is_together(node, x, window)]
                slabs = [slab_planes(window) * prod(window[1:]) for window in sizes]
                most = max(slabs + [x.components * numbers for numbers in together])
                return Footprint(step=most * cplx, scratch=max(together, default=0) * cplx)
            case FoldT(half=False):
                largest = max(prod(piece.sizes) for piece in pieces_of(node, x, y)) * cplx
                foot = Footprint(step=largest, scratch=largest)
                if not is_repeated(node, x, y):
                    return foot
                widths = node.widths or y.grid
                rows = prod(x.shape[:-1]) * widths[-1] * (len(widths) > 1)  # repeated along one axis of several
                return replace(foot, step=prod(widths) * cplx, scratch=max(foot.scratch, rows * cplx))
            case FoldT():
                return Footprint(scratch=prod(node.widths or y.grid) * cplx)
        return Footprint()

    def _lowpass_t_scratch(self, node: LowpassT, x: Value, y: Value) -> int:
        """Numbers in the largest intermediate of a transposed low-pass, its own result excepted."""
        shape, largest = list(x.shape), 0
        for axis, (n, method) in enumerate(zip(y.shape, node.methods, strict=True)):
            others = prod(shape) // max(shape[axis], 1)
            held = prod(shape) if axis else 0  # the previous axis's result is still there
            if method == "banded":
                layout = frames(node.kept[axis], node.by, node.taps[axis])
                held += others * (layout.blocks + 1) * (2 * layout.outputs + layout.length)
            shape[axis] = n
            largest = max(largest, held)
        return largest

    def _fold(self, node: Fold, x: Value, y: Value) -> Footprint:
        cplx = 2 * self.itemsize
        widths = node.widths or x.grid
        if node.half:
            return Footprint(held=prod(y.shape) * cplx, scratch=prod(widths) * cplx)
        gathered = len(set(node.starts)) > 1
        stages = sum(map(prod, buffers(widths, y.grid).values()))
        together = cplx * self._together(y)
        return Footprint(arena=(prod(y.grid) + stages) * together, scratch=prod(widths) * cplx * gathered)

    def _lowpass_scratch(self, node: Lowpass, x: Value) -> int:
        """Numbers in the largest intermediate of a low-pass, its own result excepted."""
        shape, largest = list(x.shape), 0
        for axis in reversed(range(len(shape))):
            outputs = node.kept[axis][1] - node.kept[axis][0]
            others = prod(shape) // shape[axis]
            held = prod(shape) if axis < len(shape) - 1 else 0  # the previous axis's result is still there
            if node.methods[axis] == "banded":
                per_frame = frame_outputs(node.taps[axis], node.by)
                held += others * 2 * per_frame * (-(-outputs // per_frame) + 1)
            shape[axis] = outputs
            largest = max(largest, held)
        return largest
