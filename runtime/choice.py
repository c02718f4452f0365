"""Which target serves arrays of the CPU where nobody names one: C if a compiler works, else numpy."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable

from scatc.codegen import Target, find_target
from scatc.ir.errors import TargetError
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime import toolchain
from scatc.runtime.driver import find_plan
from scatc.runtime.plan import Plan

CHOICES = ("auto", "cpu", "numpy")


def asked() -> str:
    """The value of ``SCATC_TARGET``, checked.

    Raises
    ------
    ValueError
        If it is none of `CHOICES`.
    """
    value = os.environ.get("SCATC_TARGET", "").strip() or "auto"
    if value not in CHOICES:
        raise ValueError(f"SCATC_TARGET={value!r} is not possible: it must be one of {', '.join(CHOICES)}, or unset")
    return value


def find_cpu_plan(spec: Spec, options: Callable[[Target], Options]) -> Plan:
    """The plan for arrays of the CPU: for what ``SCATC_TARGET`` says, else for the first target that can do it.

    Parameters
    ----------
    spec : Spec
    options : callable
        The options for a target, whose machine is its own.

    Raises
    ------
    ValueError
        If ``SCATC_TARGET`` is not possible.
    TargetError
        If ``SCATC_TARGET=cpu``, and there is no C compiler that works.
    """
    choice = asked()
    if choice == "cpu" or (choice == "auto" and not toolchain.missing()):
        try:
            target = find_target("cpu")
            return find_plan(spec, target, options(target))
        except toolchain.ToolchainError as error:
            if choice == "cpu":
                raise
            _warn(str(error))
        except TargetError:  # it does not have this transform
            if choice == "cpu":
                raise
    target = find_target("numpy")
    return find_plan(spec, target, options(target))


@functools.cache  # once, however many transforms go without
def _warn(reason: str) -> None:
    warnings.warn(f"scatc goes on with target='numpy': {reason}", RuntimeWarning, stacklevel=4)
