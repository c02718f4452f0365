"""The log-frequency axis of joint time-frequency scattering: its fields of a `Spec`, and its length.

Along it lie the first-order wavelets, from high to low; it is filtered as time is, with zeros beyond its ends
(Anden, Lostanlen & Mallat, "Joint time-frequency scattering", IEEE Trans. Signal Processing 67, 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fields import as_int, as_items, choice, clamp, distance, either, fail, integer, log2, support, whole
from .filters.morlet1d import frequencies

if TYPE_CHECKING:
    from .spec import Spec

FIELDS = ("J_fr", "Q_fr", "F", "stride_fr", "format")
"""Those of a `Spec` that only joint scattering has."""

MAX_COUNT = 64
"""Wavelets per octave."""

SUPPORTS = 8
"""Zeros behind the axis, in supports of its low-pass: wavelets have fallen to next to nothing there."""


def joint_fields(spec: Spec, **given: Any) -> dict[str, object]:
    """The canonical form of the fields of the log-frequency axis, all None if `J_fr` is.

    Raises
    ------
    SpecError
        For values that are not possible, or if there are others without `J_fr`.
    """
    if given["J_fr"] is None:
        for field, value in given.items():
            if value is not None:
                fail(field, value, "left at None, since J_fr, which makes a transform joint, is not given")
        return given
    if spec.order != 2:
        fail("order", spec.order, "2, as joint time-frequency scattering has no other (J_fr is given)", 2)
    wavelets = inputs(spec)
    most = log2(2 * wavelets - 1)
    J_fr = integer("J_fr", given["J_fr"], 1, most, f"a signal has some {wavelets} first-order wavelets")
    F = _F(J_fr, wavelets, given["F"])
    return {
        "J_fr": J_fr,
        "Q_fr": _Q_fr(either(given["Q_fr"], 1)),
        "F": F,
        "stride_fr": distance("stride_fr", given["stride_fr"], J_fr, "F", F),
        "format": choice("format", either(given["format"], "time"), "time", "joint"),
    }


def inputs(spec: Spec) -> int:
    """How many first-order wavelets there are about: Q an octave and one octave besides, or as many as there are."""
    assert spec.Q is not None
    return max((spec.J + 1) * spec.Q[0], len(frequencies(spec.J, spec.Q[0])))


def padded_length(spec: Spec) -> int:
    """Length of the axis with the zeros behind it, a multiple of every stride along it."""
    assert spec.J_fr is not None
    bare = inputs(spec) + SUPPORTS * int(min(spec.F_support, 2**spec.J_fr))
    length = bare >> spec.J_fr << spec.J_fr
    if length <= inputs(spec):  # long wavelets, and a short F
        length += 2**spec.J_fr
    coarsest = spec.stride_fr or 1
    return -(-length // coarsest) * coarsest


def _Q_fr(value: object) -> tuple[int, ...]:
    allowed = f"an integer from 1 to {MAX_COUNT}, or a tuple of one"
    numbers = as_items(value)
    number = as_int(value) if numbers is None else as_int(numbers[0]) if len(numbers) == 1 else None
    if number is None or not 1 <= number <= MAX_COUNT:
        fail("Q_fr", value, allowed, clamp(numbers[0] if numbers else value, 1, MAX_COUNT))
    return (number,)


def _F(J_fr: int, wavelets: int, value: object) -> int | float | str:
    """As T: None is ``2**J_fr``."""
    allowed = f"None, 'global', 0 or a number from 1 to {wavelets}, of first-order wavelets"
    given = support("F", value, allowed)
    if given is None or isinstance(given, str):
        return given or 1 << J_fr
    if given > wavelets and given != 1 << J_fr:
        fail("F", value, allowed, wavelets)
    return whole(given)
