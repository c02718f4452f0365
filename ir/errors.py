"""The exceptions that scatc raises on purpose; everything else is a bug."""

from __future__ import annotations


class ScatcError(Exception):
    """Base of the three public exceptions."""


class SpecError(ScatcError, ValueError):
    """A transform was asked for that cannot exist.

    Parameters
    ----------
    field : str
        The field of `Spec` at fault.
    value : object
        What was given.
    allowed : str
        What is allowed, as the end of the sentence "... must be".
    nearest : object, optional
        The nearest value that works, when there is one.
    """

    def __init__(self, field: str, value: object, allowed: str, nearest: object = None) -> None:
        self.field, self.value, self.allowed, self.nearest = field, value, allowed, nearest
        hint = "" if nearest is None else f"; the nearest that works is {nearest!r}"
        super().__init__(f"{field}={value!r} is not possible: {field} must be {allowed}{hint}")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.field, self.value, self.allowed, self.nearest)


class CompileError(ScatcError):
    """A valid transform cannot be compiled with these options (a memory limit, a selection of paths)."""


class TargetError(ScatcError):
    """A target is unknown, or what it needs is not installed."""
