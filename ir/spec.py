"""`Spec`: the frozen, validated statement of one scattering transform.

Equal transforms have equal specs: whatever way the fields are written, they are brought to one canonical form, whose
JSON text and hash name the transform (in the cache, in generated sources). What cannot exist raises `SpecError`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Literal, SupportsFloat, SupportsIndex, cast

import numpy as np

from . import frequency, geometry
from .fields import (
    as_float,
    as_int,
    as_items,
    boolean,
    choice,
    clamp,
    clamp_all,
    distance,
    either,
    fail,
    integer,
    is_positive,
    log2,
    positive,
    support,
    whole,
)
from .geometry import Padding

ALPHA = 5.0
"""1D: a filter of centre xi and width sigma is taken to end at ``|xi| + ALPHA * sigma`` (cycles per sample)."""
SIGMA0 = geometry.SIGMA0
"""1D: frequency width of the low-pass filter of support T = 1, and of the narrowest wavelets at J = 0."""
R_PSI = math.sqrt(0.5)
"""1D: height at which neighbouring wavelets of peak 1 cross."""

# Beyond these a transform is out of reach of any machine, or of double precision; they also keep validation quick.
MAX_SIDE = 2**32
MAX_ORDER = 32
MAX_COUNT = 4096  # wavelets per octave (1D), angles (2D)
MAX_DEGREE = 100  # of solid harmonics (3D)
MAX_J_3D = 32

Average = Literal["local", "global", "none", "integral"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, init=False, repr=False)
class Spec:
    """What is to be computed: one scattering transform of signals of one shape.

    Fields that have no meaning for a `dim` are None, and must be left so. All fields are canonical once the spec is
    built (for instance ``Q=8`` reads back as ``(8, 1)``, and ``T=None`` as ``2**J``), so that two specs are equal
    however they were written. (A default is filled in once: `dataclasses.replace(spec, J=...)` keeps the
    `T` and `stride` that the old J gave, unless they are set to None as well.)

    Parameters
    ----------
    dim : {1, 2, 3}
        Number of axes of a signal.
    shape : int or tuple of int
        Lengths of these axes, in samples and without padding: at least 2 each (3D: 1).
    J : int
        Log2 of the largest wavelet scale; at least 1 (3D: 0). ``2**J`` is at most the padded length in 1D and the
        smallest side in 2D.
    Q : int or tuple of int, optional
        1D: wavelets per octave, one number per order; missing ones are 1. Default 1.
    L : int, optional
        2D: number of angles (default 8). 3D: largest degree of the solid harmonics (default 3).
    order : int
        Largest number of wavelets in a row, at least 0 (3D: 1).
    T : number, 'global', 0 or None, optional
        1D, 2D: support of the averaging in samples. None: ``2**J``. 'global': over the whole signal. 0 or 'none': no
        averaging. Otherwise a number from 1 to the smallest side.
    stride : int, optional
        1D, 2D with local averaging: distance of the outputs in samples, a power of two up to ``2**max(J, log2_T)``.
        None: ``2**log2_T``.
    padding : {'reflect', 'zero', 'periodic'}, optional
        How signals go on beyond their ends. 3D: 'periodic' alone; else 'reflect' is the default.
    pre_pad : bool
        1D, 2D: inputs are of shape `padded_shape` already (`shape` remains that without padding).
    sigma_0 : float, optional
        3D: width of the finest scale in samples, default 1.
    rotation_covariant : bool, optional
        3D: take the norm over the orders m of each degree, default True.
    integral_powers : sequence of float, optional
        3D: the powers that are integrated, default (0.5, 1, 2).
    J_fr : int, optional
        1D: makes the transform a joint time-frequency scattering, of order 2. Log2 of the largest scale along
        log-frequency, in first-order wavelets; at least 1.
    Q_fr : int or tuple of one int, optional
        Joint: wavelets per octave along log-frequency, default 1.
    F : number, 'global', 0 or None, optional
        Joint: support of the averaging along log-frequency, in first-order wavelets, as `T` is in time.
    stride_fr : int, optional
        Joint, with local averaging along log-frequency: distance of the outputs along it, a power of two.
    format : {'time', 'joint'}, optional
        Joint: whether outputs along log-frequency are those of the wavelets there are, or all of the padded axis, as
        many for each pair of wavelets.

    Raises
    ------
    SpecError
        For any other value or combination of values, of whatever type.
    """

    dim: int
    shape: tuple[int, ...]
    J: int
    Q: tuple[int, ...] | None
    L: int | None
    order: int
    T: int | float | Literal["global"] | None
    stride: int | None
    padding: Padding
    pre_pad: bool
    sigma_0: float | None
    rotation_covariant: bool | None
    integral_powers: tuple[float, ...] | None
    J_fr: int | None
    Q_fr: tuple[int, ...] | None
    F: int | float | Literal["global"] | None
    stride_fr: int | None
    format: Literal["time", "joint"] | None

    # Written out, because it takes more types than the fields hold.
    def __init__(
        self,
        *,
        dim: SupportsIndex,
        shape: SupportsIndex | Sequence[SupportsIndex],
        J: SupportsIndex,
        Q: SupportsIndex | Sequence[SupportsIndex] | None = None,
        L: SupportsIndex | None = None,
        order: SupportsIndex = 2,
        T: SupportsFloat | str | None = None,
        stride: SupportsIndex | None = None,
        padding: str | None = None,
        pre_pad: bool | np.bool_ = False,
        sigma_0: SupportsFloat | None = None,
        rotation_covariant: bool | np.bool_ | None = None,
        integral_powers: Iterable[SupportsFloat] | None = None,
        J_fr: SupportsIndex | None = None,
        Q_fr: SupportsIndex | Sequence[SupportsIndex] | None = None,
        F: SupportsFloat | str | None = None,
        stride_fr: SupportsIndex | None = None,
        format: str | None = None,
    ) -> None:
        def put(**fields: object) -> None:
            for field, value in fields.items():
                object.__setattr__(self, field, value)

        put(dim=(dim := integer("dim", dim, 1, 3)), order=(order := _order(dim, order)))
        put(shape=(shape := _shape(dim, shape)))
        joint = {"J_fr": J_fr, "Q_fr": Q_fr, "F": F, "stride_fr": stride_fr, "format": format}
        if dim > 1:
            _meaningless(dim, **joint)
            put(**joint)
        if dim == 3:
            _meaningless(dim, Q=Q, T=T, stride=stride)
            put(J=integer("J", J, 0, MAX_J_3D), L=integer("L", either(L, 3), 0, MAX_DEGREE))
            put(padding=choice("padding", either(padding, "periodic"), "periodic"))
            put(pre_pad=boolean("pre_pad", pre_pad, False))
            put(sigma_0=positive("sigma_0", either(sigma_0, 1.0)))
            put(rotation_covariant=boolean("rotation_covariant", either(rotation_covariant, True)))
            put(integral_powers=_powers(either(integral_powers, (0.5, 1.0, 2.0))))
            put(Q=None, T=None, stride=None)
            return
        _meaningless(dim, sigma_0=sigma_0, rotation_covariant=rotation_covariant, integral_powers=integral_powers)
        J, T = _scales(dim, shape, J, T)
        put(J=J, T=T, stride=distance("stride", stride, J, "T", T))
        if dim == 1:
            _meaningless(dim, L=L)
            put(Q=_wavelets_per_octave(order, either(Q, 1)), L=None)
            put(**frequency.joint_fields(self, **joint))
        else:
            _meaningless(dim, Q=Q)
            put(L=integer("L", either(L, 8), 1, MAX_COUNT), Q=None)
        put(padding=choice("padding", either(padding, "reflect"), "reflect", "zero", "periodic"))
        put(pre_pad=boolean("pre_pad", pre_pad), sigma_0=None, rotation_covariant=None, integral_powers=None)

    def __repr__(self) -> str:
        fields = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return f"Spec({', '.join(f'{name}={value!r}' for name, value in fields if value is not None)})"

    @property
    def average(self) -> Average:
        """How each path ends: 'local', 'global' or 'none' (1D, 2D), 'integral' (3D)."""
        if self.dim == 3:
            return "integral"
        if self.T == "global":
            return "global"
        return "none" if self.T == 0 else "local"

    @property
    def T_support(self) -> int | float:
        """Support of the low-pass filter in samples: `T` where that is a length, else ``2**J``."""
        return cast("int | float", self.T) if self.average == "local" else 2**self.J

    @property
    def log2_T(self) -> int:
        """Largest integer whose power of two is at most `T_support`."""
        return log2(self.T_support)

    @property
    def log2_stride(self) -> int | None:
        """Log2 of `stride`, None where there is none."""
        return None if self.stride is None else log2(self.stride)

    @property
    def joint(self) -> bool:
        """Whether it is a joint time-frequency scattering."""
        return self.J_fr is not None

    @property
    def family(self) -> str:
        """What such a transform is called."""
        return "joint time-frequency" if self.joint else f"{self.dim}D"

    @property
    def average_fr(self) -> Literal["local", "global", "none"]:
        """Joint: how the outputs are averaged along log-frequency."""
        return "global" if self.F == "global" else "none" if self.F == 0 else "local"

    @property
    def F_support(self) -> int | float:
        """Joint: support of the low-pass filter along log-frequency: `F` where that is a length, else ``2**J_fr``."""
        assert self.J_fr is not None
        return cast("int | float", self.F) if self.average_fr == "local" else 2**self.J_fr

    @property
    def log2_F(self) -> int:
        """Joint: largest integer whose power of two is at most `F_support`."""
        return log2(self.F_support)

    @property
    def log2_stride_fr(self) -> int | None:
        """Joint: log2 of `stride_fr`, None where there is none."""
        return None if self.stride_fr is None else log2(self.stride_fr)

    @property
    def padded_fr(self) -> int:
        """Joint: length of the log-frequency axis with its padding."""
        return frequency.padded_length(self)

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of a signal with its padding."""
        if self.dim == 1:
            return (geometry.padded_length(self.shape[0], self.T_support),)
        if self.dim == 2:
            return tuple(geometry.padded_side(side, max(self.J, self.log2_T)) for side in self.shape)
        return self.shape

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the signals that are given: `padded_shape` if `pre_pad`, else `shape`."""
        return self.padded_shape if self.pre_pad else self.shape

    @property
    def padding_widths(self) -> tuple[tuple[int, int], ...]:
        """Samples of padding before and after the signal, per axis; also if they are in the input (`pre_pad`)."""
        # an image's odd sample is on the right, as a signal's is
        return tuple(geometry.padding_1d(N, padded) for N, padded in zip(self.shape, self.padded_shape, strict=True))

    def kept(self, level: int) -> tuple[tuple[int, int], ...]:
        """Samples ``start, stop`` per axis of a padded signal, subsampled by ``2**level``, that are given back."""
        kept_axis = geometry.kept_2d if self.dim == 2 else geometry.kept_1d
        return tuple(kept_axis(N, left, level) for N, (left, _) in zip(self.shape, self.padding_widths, strict=True))

    def to_json(self) -> str:
        """Return the canonical JSON text: all fields, sorted, without spaces; those of joint scattering if it is."""
        names = [f.name for f in dataclasses.fields(self) if self.joint or f.name not in frequency.FIELDS]
        fields = {name: getattr(self, name) for name in names}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Return the spec whose fields `text` holds; fields at their default may be missing.

        Raises
        ------
        SpecError
            With field 'json' if the text is not a JSON object of such fields, else as the constructor does.
        """
        try:
            fields = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            fail("json", text, "the text of a JSON object")
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(fields.keys() - known):
            fail("json", text, f"of fields of Spec, which {', '.join(unknown)} is not")
        if missing := [name for name in ("dim", "shape", "J") if name not in fields]:
            fail("json", text, f"complete, but {', '.join(missing)} is missing")
        return cls(**fields)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON text, in hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


# Each function below brings one field to its canonical form, or raises SpecError.


def _meaningless(dim: int, **fields: object) -> None:
    for field, value in fields.items():
        if value is not None:
            fail(field, value, f"left at None, since it has no meaning in {dim}D")


def _shape(dim: int, value: object) -> tuple[int, ...]:
    smallest = 1 if dim == 3 else 2  # the finest wavelets need two samples
    allowed = f"{dim} integer{'s' * (dim > 1)} from {smallest} to {MAX_SIDE}"
    sides = as_items(value)
    if sides is None:
        if dim == 1 and (side := as_int(value)) is not None and smallest <= side <= MAX_SIDE:
            return (side,)
        side = clamp(value, smallest, MAX_SIDE)
        fail("shape", value, allowed, None if side is None else (side,) * dim)
    nearest = clamp_all(sides, smallest, MAX_SIDE) if len(sides) == dim else None
    if nearest is None or nearest != tuple(map(as_int, sides)):
        fail("shape", value, allowed, nearest)
    return nearest


def _scales(dim: int, shape: tuple[int, ...], J: object, T: object) -> tuple[int, int | float | Literal["global"]]:
    """Return J and T, which limit each other."""
    side = min(shape)
    allowed = f"None, 'global', 0 or a number from 1 to {side}"
    given = support("T", T, allowed)
    local = given if isinstance(given, float) and given else None

    if dim == 2:
        largest, reason = log2(side), f"2**J is at most the smallest side {side}"
    else:
        largest = geometry.max_log2_padded(side)
        if local is not None and local <= side:
            largest = log2(geometry.padded_length(side, local))
        reason = f"2**J is at most the padded length {2**largest}"
    J = integer("J", J, 1, largest, reason)

    if given is None or isinstance(given, str):
        return J, given or 2**J
    # T=2**J is T=None in its canonical form, which in 1D may exceed the signal
    if given > side and given != 2**J:
        fail("T", T, allowed, side)
    return J, whole(given)


def _wavelets_per_octave(order: int, value: object) -> tuple[int, ...]:
    allowed = f"an integer from 1 to {MAX_COUNT} or a tuple of them, one per order"
    numbers = as_items(value)
    if numbers is None:
        if (number := as_int(value)) is None or not 1 <= number <= MAX_COUNT:
            fail("Q", value, allowed, clamp(value, 1, MAX_COUNT))
        numbers = (number,)
    # two entries are fine at any order, as the first-order transform has the same wavelets as the second-order one
    most = max(order, 2)
    nearest = clamp_all(numbers[:most], 1, MAX_COUNT)
    if len(numbers) > most:
        fail("Q", value, f"an integer or a tuple of at most {most} (order={order})", nearest)
    if nearest is None or nearest != tuple(map(as_int, numbers)) or (order and not numbers):
        fail("Q", value, allowed, nearest or (None if numbers else 1))
    return (nearest + (1,) * order)[:order]


def _powers(value: object) -> tuple[float, ...]:
    allowed = "a non-empty sequence of finite numbers above 0"
    items = as_items(value)
    if items is None:
        number = as_float(value)
        fail("integral_powers", value, allowed, (number,) if is_positive(number) else None)
    numbers = tuple(as_float(item) for item in items)
    good = tuple(number for number in numbers if is_positive(number))
    if not items or len(good) < len(items):
        fail("integral_powers", value, allowed, good or None)
    return cast("tuple[float, ...]", good)


def _order(dim: int, value: object) -> int:
    if dim == 3:
        return integer("order", value, 1, MAX_ORDER, "3D has no coefficients of order 0")
    return integer("order", value, 0, MAX_ORDER)
