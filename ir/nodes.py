"""The node kinds of both levels of the intermediate representation.

The *scattering graph* says what is meant (`Input Pad Filter Subsample Modulus Average Unpad Output`); the *spectral
program* says how it is computed (`Fft Fold Ifft Modulus Lowpass Average Unpad Output`). Joint time-frequency
scattering has `Stack` besides, at both levels, and `Mix` in the graph, of which programs have `Ripple`. Both are graphs
of these frozen dataclasses, so every pass is a rewrite from one graph to another. A node names its input; what a value
looks like is inferred (`values.py`), what it means is written once (`interpret.py`), and each target has its own rules
for emission.

Programs of gradients (`adjoint.py`) have the transposed kinds besides, which `transposed.py` defines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

Box = tuple[tuple[int, int], ...]
"""Bins per axis, `start <= k < stop`, in natural order: negative frequencies are negative bins."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation; `x` is the name of the value it works on.

    Attributes
    ----------
    kind : str
        What it is called in print.
    inputs : tuple of str
        The fields that name values; all come first, and a name may be left empty only where it is the default.
    variadic : bool
        Whether the last of these is a tuple of names, of any number.
    """

    kind: ClassVar[str] = ""
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    variadic: ClassVar[bool] = False
    x: str

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the values that it works on."""
        if len(self.inputs) == 1:  # the rule, and asked for often
            return (self.x,) if self.x else ()
        return tuple(name for field in self.inputs if (name := getattr(self, field)))

    def reading(self, names: Mapping[str, str]) -> Self:
        """The same node, of other values in place of some that it works on."""
        changed = {field: names[name] for field in self.inputs if (name := getattr(self, field)) in names}
        return replace(self, **changed) if changed else self

    def attributes(self) -> dict[str, object]:
        """What the node states besides its inputs, without what is at its default."""
        return {name: v for name, default in _attributes(type(self)) if (v := getattr(self, name)) != default}


_ATTRIBUTES: dict[type, tuple[tuple[str, object], ...]] = {}


def _attributes(kind: type[Node]) -> tuple[tuple[str, object], ...]:
    """The fields of a kind besides its inputs, and their defaults."""
    if kind not in _ATTRIBUTES:
        _ATTRIBUTES[kind] = tuple((f.name, f.default) for f in fields(kind)[len(kind.inputs) :])
    return _ATTRIBUTES[kind]


@dataclass(frozen=True, slots=True)
class Input(Node):
    """The signal: real, of the spec's input shape."""

    kind: ClassVar[str] = "input"
    x: str = ""


@dataclass(frozen=True, slots=True)
class Pad(Node):
    """Extend each axis by `widths` (left, right) samples, by reflection, zeros or periodically."""

    kind: ClassVar[str] = "pad"
    widths: tuple[tuple[int, int], ...] = ()
    mode: str = "reflect"


@dataclass(frozen=True, slots=True)
class Filter(Node):
    """Circular convolution with filter `index` of `bank`, at the resolution of the input (`level` = log2 subsampling).

    `support` is what `infer_support` found: the bins outside which the filter is negligible.
    """

    kind: ClassVar[str] = "filter"
    bank: str = ""
    index: int = 0
    level: int = 0
    support: Box = ()


@dataclass(frozen=True, slots=True)
class Subsample(Node):
    """Keep one sample in `2**by` on every axis."""

    kind: ClassVar[str] = "subsample"
    by: int = 0


@dataclass(frozen=True, slots=True)
class Modulus(Node):
    """`sqrt(sum_c w_c |x_c|^2)` over the components of x: the modulus, or in 3D the norm over m.

    Weights are 1 unless they are given.
    """

    kind: ClassVar[str] = "modulus"
    weights: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Average(Node):
    """`local`: convolution with phi; `global`: the sum over samples; `integral`: sums of the powers `powers`."""

    kind: ClassVar[str] = "average"
    mode: str = "local"
    level: int = 0
    powers: tuple[float, ...] = ()
    support: Box = ()


@dataclass(frozen=True, slots=True)
class Unpad(Node):
    """Keep samples `start <= n < stop` of each axis."""

    kind: ClassVar[str] = "unpad"
    kept: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Output(Node):
    """The value is the coefficient of `paths` (one path, or after batching one for each row, in row order)."""

    kind: ClassVar[str] = "output"
    paths: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Stack(Node):
    """The rows of several values, one behind the other: those that `rows` counts, in its order (all if it is empty)."""

    kind: ClassVar[str] = "stack"
    inputs: ClassVar[tuple[str, ...]] = ("x", "others")
    variadic: ClassVar[bool] = True
    others: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the values that it works on."""
        return (self.x, *self.others)

    def reading(self, names: Mapping[str, str]) -> Stack:
        """The same node, of other values in place of some that it works on."""
        x, *others = (names.get(name, name) for name in self.operands)
        return replace(self, x=x, others=tuple(others))


@dataclass(frozen=True, slots=True)
class Mix(Node):
    """Convolution along rows instead of samples: the rows of x are a log-frequency axis.

    They are followed by zeros, up to the length of the axis with its padding subsampled by `2**level`, filtered by
    filter `index` of `bank`, and subsampled by `2**by`; the first `kept` rows are kept. Without a bank, rows are added.
    """

    kind: ClassVar[str] = "mix"
    bank: str = ""
    index: int = 0
    level: int = 0
    by: int = 0
    kept: int = 1


@dataclass(frozen=True, slots=True)
class Ripple(Node):
    """The modulus of `x` mixed by filter `index` of `psi_fr`, `whole` rows at level `by`, averaged along these.

    `mode` says how: by `phi_fr`, subsampled by `2**then`, of which `kept` rows are kept; as the `sum`; or (empty) not
    at all. One node, because the rows between need never be there all at once.
    """

    kind: ClassVar[str] = "ripple"
    index: int = 0
    by: int = 0
    whole: int = 1
    mode: str = ""
    then: int = 0
    kept: int = 1

    @property
    def mixes(self) -> tuple[Mix, ...]:
        """What it does before the modulus and, if anything, behind it."""
        first = Mix(self.x, "psi_fr", self.index, by=self.by, kept=self.whole)
        if not self.mode:
            return (first,)
        if self.mode == "sum":
            return first, Mix(self.x)
        return first, Mix(self.x, self.mode, level=self.by, by=self.then, kept=self.kept)


@dataclass(frozen=True, slots=True)
class Fft(Node):
    """The DFT of x on the bins of `box` (all of them if empty).

    `real` says that x is real, so half is computed; `centred` takes the mean of x off before.
    """

    kind: ClassVar[str] = "fft"
    box: Box = ()
    real: bool = False
    centred: bool = False


@dataclass(frozen=True, slots=True)
class Fold(Node):
    """Multiply a spectrum by filters and fold it (alias it) into the spectrum subsampled by `2**by`.

    Filter `indices[f]` is read on the box that begins at bin `starts[f]` and is `widths` bins wide. The product's
    bin `k` is added to bin `k mod M` of the result, M being the subsampled length; with `shifted`, to bin
    `(k - start) mod M`, which only multiplies the signal by a phase ramp (legal where only its modulus is used).
    `half` keeps the bins `0 .. M // 2` of the last axis, enough for a real result. `components` lists those of a
    filter's components that are computed (all if empty). An empty `widths` stands for the whole grid.
    """

    kind: ClassVar[str] = "fold"
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
class Ifft(Node):
    """The inverse DFT; `real` where the result is real (the input then holds half of the bins)."""

    kind: ClassVar[str] = "ifft"
    real: bool = False


@dataclass(frozen=True, slots=True)
class Lowpass(Node):
    """`unpad(subsample(x * phi))` as one linear map per axis; `methods` says how each axis applies it.

    `dense`: one matrix; `banded`: the same block-bidiagonal matrix for each frame of samples, with phi cut to `taps`
    samples.
    """

    kind: ClassVar[str] = "lowpass"
    level: int = 0
    by: int = 0
    kept: tuple[tuple[int, int], ...] = ()
    methods: tuple[str, ...] = ()
    taps: tuple[int, ...] = ()


SCATTERING_KINDS = (Input, Pad, Filter, Subsample, Modulus, Average, Unpad, Stack, Mix, Output)
PROGRAM_KINDS = (Input, Pad, Fft, Fold, Ifft, Modulus, Lowpass, Average, Unpad, Stack, Ripple, Output)
