"""What the emitted numpy code allocates, node by node; the templates and this file must agree."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from scatc.codegen.numpy.folding import buffers
from scatc.ir.cost import frame_outputs
from scatc.ir.nodes import Average, Fft, Fold, Ifft, Lowpass, Modulus, Node, Pad
from scatc.ir.schedule import Footprint
from scatc.ir.values import Value


@dataclass(frozen=True, slots=True)
class NumpyMemory:
    """Footprints of numpy code.

    Attributes
    ----------
    itemsize : int
        Bytes of a real number.
    fft_in_place : bool
        Whether complex inverse FFTs reuse their input's memory.
    """

    itemsize: int
    fft_in_place: bool

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
        if isinstance(node, Ifft):
            if node.real:
                return Footprint(held=size * real)
            return Footprint(held=0 if self.fft_in_place else size * cplx)
        if isinstance(node, Modulus):
            return Footprint(arena=size * real * (1 if x.components == 1 else 2))
        if isinstance(node, Lowpass):
            return Footprint(held=size * real, scratch=self._lowpass_scratch(node, x) * real)
        if isinstance(node, Average):
            return Footprint(held=size * real, scratch=prod(x.shape) * real * (node.mode == "integral"))
        return Footprint()

    def _fold(self, node: Fold, x: Value, y: Value) -> Footprint:
        cplx = 2 * self.itemsize
        widths = node.widths or x.grid
        if node.half:
            return Footprint(held=prod(y.shape) * cplx, scratch=prod(widths) * cplx)
        gathered = len(set(node.starts)) > 1
        stages = sum(map(prod, buffers(widths, y.grid).values()))
        return Footprint(arena=(prod(y.grid) + stages) * cplx, scratch=prod(widths) * cplx * gathered)

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
