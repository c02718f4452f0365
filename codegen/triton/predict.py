"""What the cost model says of a call: time by kernel, in all, and the floor beneath."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2, prod

from scatc.codegen.signals import Signal
from scatc.codegen.triton.cost import DEVICES, REAL, Device
from scatc.codegen.triton.emitter import Emitter


@dataclass(frozen=True, slots=True)
class Row:
    """All launches of one kind: how many in a call, bytes and seconds."""

    title: str
    launches: int
    bytes: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A call, predicted; `str` is a table.

    Attributes
    ----------
    device : Device
    batch, chunk : int
        Signals of the call, and how many go at a time.
    rows : tuple of Row
        The longest first.
    floor : float
        Seconds that no implementation beats: input and output through memory once, the transforms' arithmetic at the
        peak of float32.
    """

    device: Device
    batch: int
    chunk: int
    rows: tuple[Row, ...]
    floor: float

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(row.seconds for row in self.rows)

    @property
    def bytes(self) -> float:
        """Read and written in all, whatever lies in a cache."""
        return sum(row.bytes for row in self.rows)

    def __str__(self) -> str:
        lines = [
            f"predicted, not measured: {self.batch} signals, up to {self.chunk} at a time, on {self.device.name}",
            f"{'kernel':<20}{'launches':>9}{'MB moved':>12}{'ms':>9}",
        ]
        for row in (*self.rows, Row("total", sum(r.launches for r in self.rows), self.bytes, self.seconds)):
            lines.append(f"{row.title:<20}{row.launches:>9}{row.bytes / 1e6:>12.1f}{1e3 * row.seconds:>9.3f}")
        lines.append(f"floor{1e3 * self.floor:>45.3f}")
        return "\n".join(lines) + "\n"


def prediction(emitter: Emitter, batch: int, device: str) -> Prediction:
    """What the cost model says of a call on so many signals.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if device not in DEVICES:
        raise ValueError(f"device={device!r} is not possible: device must be one of {', '.join(map(repr, DEVICES))}")
    gpu = DEVICES[device]
    works = emitter.works()
    chunk, live = emitter.chunk, emitter.live_bytes
    whole, rest = divmod(batch, chunk)
    rows: dict[str, Row] = {}
    for one in works:
        seconds = sum(
            count * one.seconds(gpu, size, size * live) for count, size in ((whole, chunk), (1, rest)) if size
        )
        launches = one.launches * (whole + (rest > 0))
        known = rows.get(one.title, Row(one.title, 0, 0.0, 0.0))
        rows[one.title] = Row(
            one.title, known.launches + launches, known.bytes + batch * one.bytes, known.seconds + seconds
        )
    ordered = tuple(sorted(rows.values(), key=lambda row: -row.seconds))
    return Prediction(gpu, batch, chunk, ordered, _floor(emitter, gpu) * batch)


def _floor(emitter: Emitter, device: Device) -> float:
    """Of one signal."""
    outputs = sum(len(paths) * prod(shape) for shape, paths in emitter.program.outputs)
    compulsory = REAL * (prod(emitter.spec.input_shape) + outputs)
    flops = sum(_flops(emitter, signal) for signal in emitter.root.all())
    return max(compulsory / device.bandwidth, flops / device.flops)


def _flops(emitter: Emitter, signal: Signal) -> float:
    """Of the transforms that lead to a signal and on to its spectrum, and of its modulus."""
    samples = prod(signal.shape)
    numbers, one = signal.paths * samples, 5 * log2(max(samples, 2))
    back = emitter.transforms(signal) * samples * (one + 6) if signal.parent is not None else 0.0
    return back + (0.5 * numbers * one if signal.spectrum or signal.parent is None else 0.0)
