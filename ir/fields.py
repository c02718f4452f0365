"""Fields of a `Spec`: values of whatever type to their canonical form, or `SpecError`."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
from typing import Any, Literal, NoReturn, cast

import numpy as np

from .errors import SpecError


def fail(field: str, value: object, allowed: str, nearest: object = None) -> NoReturn:
    """Raise `SpecError`; a value that cannot be printed is named by its type."""
    try:
        repr(value)
    except Exception:  # an integer of 5000 digits, a broken __repr__: still a SpecError
        value = f"<{type(value).__name__}>"
    raise SpecError(field, value, allowed, nearest)


def either(value: object, default: object) -> object:
    """The value, or the default where it is None."""
    return default if value is None else value


def integer(field: str, value: object, low: int, high: int, reason: str = "") -> int:
    """The integer that a value is, from low to high."""
    number = as_int(value)
    if number is None or not low <= number <= high:
        because = f" ({reason})" if reason else ""
        fail(field, value, f"an integer from {low} to {high}{because}", clamp(value, low, high))
    return number


def boolean(field: str, value: object, *allowed: bool) -> bool:
    """The boolean that a value is, of those that are allowed."""
    value = plain(value)
    allowed = allowed or (True, False)
    if not isinstance(value, bool) or value not in allowed:
        fail(field, value, " or ".join(map(repr, allowed)), allowed[0] if len(allowed) == 1 else None)
    return value


def choice(field: str, value: object, *allowed: str) -> str:
    """The text that a value is, of those that are allowed."""
    text = as_text(value)
    if text not in allowed:
        close = allowed if len(allowed) == 1 else get_close_matches((text or "").lower(), allowed, 1)
        fail(field, value, " or ".join(map(repr, allowed)), close[0] if close else None)
    return text


def positive(field: str, value: object) -> float:
    """The finite number above 0 that a value is."""
    number = as_float(value)
    if number is None or not is_positive(number):
        fail(field, value, "a finite number above 0")
    return number


def is_positive(number: float | None) -> bool:
    """Whether a number is finite and above 0."""
    return number is not None and 0 < number < math.inf


def support(field: str, value: object, allowed: str) -> float | Literal["global"] | None:
    """The support of a low-pass filter: None as it is, 0 for none, 'global', or a number of at least 1."""
    if value is None:
        return None
    text, number = as_text(value), as_float(value)
    if text == "global":
        return "global"
    if text == "none" or number == 0:
        return 0.0
    if number is None:
        nearest = get_close_matches((text or "").lower(), ["global"], 1)
        fail(field, value, allowed, nearest[0] if nearest else None)
    if number < 1:
        fail(field, value, allowed, 1)
    return number


def whole(number: float) -> int | float:
    """A number as an integer, if it is one."""
    return int(number) if number.is_integer() else number


def distance(field: str, value: object, J: int, of: str, length: int | float | str) -> int | None:
    """The distance of outputs, a power of two, by default as the support `of`; None where that has no length."""
    if isinstance(length, str) or length == 0:
        if value is not None:
            fail(field, value, f"left at None, since {of}={length!r} does not average locally")
        return None
    if value is None:
        return 1 << log2(length)
    coarsest = 1 << max(J, log2(length))
    number = as_int(value)
    if number is not None and 1 <= number <= coarsest and number.bit_count() == 1:
        return number
    near = clamp(value, 1, coarsest)
    fail(field, value, f"a power of two from 1 to {coarsest}", None if near is None else 1 << round(math.log2(near)))


# Reading values of any type: None stands for "no such thing".


def plain(value: object) -> object:
    """The Python scalar of a number in NumPy's types, and anything else as it is."""
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 and value.dtype.kind in "biuf":
        return float(value) if value.dtype.kind == "f" else value.item()
    return value


def as_int(value: object) -> int | None:
    """The integer that a value is, of whatever type."""
    value = plain(value)
    if isinstance(value, bool | np.ndarray | np.generic):
        return None
    try:
        return int(operator.index(cast(Any, value)))
    except Exception:
        return None


def as_float(value: object) -> float | None:
    """The real number that a value is, of whatever type."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer or a fraction above all floats
        return math.inf if cast(Any, value) > 0 else -math.inf
    except Exception:
        return None
    return None if math.isnan(number) else number


def clamp(value: object, low: int, high: int) -> int | None:
    """The integer from `low` to `high` that is nearest to a number."""
    number = as_int(value)
    real = as_float(value) if number is None else None
    if real is not None:
        number = round(max(low, min(real, high)))
    return None if number is None else max(low, min(number, high))


def clamp_all(values: Iterable[object], low: int, high: int) -> tuple[int, ...] | None:
    """The integers from low to high that are nearest to numbers; None if one of them is none."""
    clamped = tuple(clamp(value, low, high) for value in values)
    return None if None in clamped else cast("tuple[int, ...]", clamped)


def as_text(value: object) -> str | None:
    """The text that a value is."""
    return str.__str__(value) if isinstance(value, str) else None


def as_items(value: object) -> tuple[Any, ...] | None:
    """The items of a tuple, a list, a range or an array of one axis."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return tuple(value)
    return tuple(value) if isinstance(value, tuple | list | range) else None


def log2(number: int | float) -> int:
    """The floor of log2, exactly."""
    return math.frexp(number)[1] - 1
