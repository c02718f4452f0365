"""Which target serves where nobody names one: arrays of the CPU, C if a compiler works, else numpy; GPUs, kernels."""

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

CHOICES = {"SCATC_TARGET": ("auto", "cpu", "numpy"), "SCATC_GPU_TARGET": ("auto", "triton", "torch")}
"""Variables of the environment, and what they may say."""


def asked() -> str:
    """The value of ``SCATC_TARGET``, for arrays of the CPU.

    Raises
    ------
    ValueError
        If it is none of `CHOICES`.
    """
    return _value("SCATC_TARGET")


def asked_gpu() -> str:
    """The value of ``SCATC_GPU_TARGET``, for tensors of GPUs (`scatc.runtime.devices` obeys it).

    Raises
    ------
    ValueError
        If it is none of `CHOICES`.
    """
    return _value("SCATC_GPU_TARGET")


def _value(variable: str) -> str:
    value = os.environ.get(variable, "").strip() or "auto"
    if value not in CHOICES[variable]:
        allowed = ", ".join(CHOICES[variable])
        raise ValueError(f"{variable}={value!r} is not possible: it must be one of {allowed}, or unset")
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
