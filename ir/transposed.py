"""The node kinds that only programs of gradients have: what transposes each kind, and what holds them together.

A value v of the forward program has a cotangent g, the derivative of a real function of the outputs: to first order, a
change dv adds `Re <g, dv>` to it. `<kind>_t` turns the cotangent of what `<kind>` yields into that of what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scatc.ir.nodes import PROGRAM_KINDS, SCATTERING_KINDS, Box, Node


@dataclass(frozen=True, slots=True)
class Cotangent(Node):
    """The cotangent of the output of `paths`, `shape` samples each; it has the rows of x."""

    kind: ClassVar[str] = "cotangent"
    paths: tuple[tuple[int, ...], ...] = ()
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Gradient(Node):
    """The value is the cotangent of the input: what the program is for."""

    kind: ClassVar[str] = "gradient"


@dataclass(frozen=True, slots=True)
class Sum(Node):
    """`x + y`."""

    kind: ClassVar[str] = "sum"
    inputs: ClassVar[tuple[str, ...]] = ("x", "y")
    y: str


@dataclass(frozen=True, slots=True)
class Blank(Node):
    """Zeros, as the cotangent of a spectrum on `box` (all bins if empty) at a level, with the rows of x."""

    kind: ClassVar[str] = "blank"
    box: Box = ()
    level: int = 0


@dataclass(frozen=True, slots=True)
class Store(Node):
    """Keep the value, a forward one, in a `slot` for the program of its gradient."""

    kind: ClassVar[str] = "store"
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Load(Node):
    """What `Store` kept in a `slot`: for each row of x the coefficients of `filters` wavelets at a level.

    `components` is how many each wavelet has.
    """

    kind: ClassVar[str] = "load"
    slot: int = 0
    filters: int = 1
    level: int = 0
    components: int = 1


@dataclass(frozen=True, slots=True)
class PadT(Node):
    """Add the cotangents of the samples of padding to those of the samples that they repeat."""

    kind: ClassVar[str] = "pad_t"
    widths: tuple[tuple[int, int], ...] = ()
    mode: str = "reflect"


@dataclass(frozen=True, slots=True)
class FftT(Node):
    """Of the cotangent of a spectrum on `box`, that of the signal: `N ifft(x)`, and its real part if `real`."""

    kind: ClassVar[str] = "fft_t"
    box: Box = ()
    real: bool = False
    centred: bool = False


@dataclass(frozen=True, slots=True)
class IfftT(Node):
    """Of the cotangent of a signal, that of its spectrum: `fft(x) / N`.

    With `real` the spectrum is a half, each of whose inner bins stands for two: these are doubled.
    """

    kind: ClassVar[str] = "ifft_t"
    real: bool = False


@dataclass(frozen=True, slots=True)
class FoldT(Node):
    """Add to the cotangent `into` of a spectrum what its products with filters contribute.

    The cotangent x of the subsampled spectra is read at every alias, multiplied by the conjugate filters, and summed
    over filters. Attributes are those of `Fold`. The result takes the place of `into`, which nothing else may read.
    """

    kind: ClassVar[str] = "fold_t"
    inputs: ClassVar[tuple[str, ...]] = ("x", "into")
    into: str
    bank: str = ""
    indices: tuple[int, ...] = ()
    level: int = 0
    by: int = 0
    starts: tuple[tuple[int, ...], ...] = ()
    widths: tuple[int, ...] = ()
    shifted: bool = False
    half: bool = False
    components: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModulusT(Node):
    """Of the cotangent x of `u = sqrt(sum_c w_c |v_c|^2)`, that of v: `w_c v_c x / u`, and 0 where u is 0."""

    kind: ClassVar[str] = "modulus_t"
    inputs: ClassVar[tuple[str, ...]] = ("x", "u", "v")
    u: str
    v: str
    weights: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AverageT(Node):
    """Of the cotangent of sums over samples (`global`) or of their `powers` (`integral`), that of the samples u.

    `integral`: `sum_q q u^(q-1) x_q`, and 0 where u is 0.
    """

    kind: ClassVar[str] = "average_t"
    inputs: ClassVar[tuple[str, ...]] = ("x", "u")
    u: str
    mode: str = "global"
    powers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class UnpadT(Node):
    """Zeros around the samples `start <= n < stop` of each axis, at a level."""

    kind: ClassVar[str] = "unpad_t"
    kept: tuple[tuple[int, int], ...] = ()
    level: int = 0


@dataclass(frozen=True, slots=True)
class LowpassT(Node):
    """The transpose of the linear map of a `Lowpass` with the same attributes."""

    kind: ClassVar[str] = "lowpass_t"
    level: int = 0
    by: int = 0
    kept: tuple[tuple[int, int], ...] = ()
    methods: tuple[str, ...] = ()
    taps: tuple[int, ...] = ()


TRANSPOSED_KINDS = (
    Cotangent,
    Gradient,
    Sum,
    Blank,
    Store,
    Load,
    PadT,
    FftT,
    IfftT,
    FoldT,
    ModulusT,
    AverageT,
    UnpadT,
    LowpassT,
)
KINDS: dict[str, type[Node]] = {c.kind: c for c in (*SCATTERING_KINDS, *PROGRAM_KINDS, *TRANSPOSED_KINDS)}
