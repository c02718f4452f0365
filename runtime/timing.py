"""Times the kernels of an emitted module one by one, each with the tables and buffers that it has in a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.tuned import Tunable

Clock = Callable[[Callable[[], object]], float]
"""Seconds that a launch takes, which it may repeat; infinite if it cannot run."""


def seconds(launch: Callable[[], object]) -> float:
    """The time of a launch on the current GPU; infinite if the kernel does not fit it, or its assembler refuses it."""
    from triton.runtime.errors import TritonError

    try:
        return median_seconds(launch)
    except TritonError:
        return math.inf


def median_seconds(call: Callable[[], object]) -> float:
    """The time that a call takes on the current GPU: the median of many, after some that warm up."""
    from triton.testing import do_bench

    return float(do_bench(call, return_mode="median")) / 1e3


class _Launched:
    """In the place of a kernel: what a launch of it does instead."""

    def __init__(self, kernel: Any, name: str, instead: Callable[[str, Callable[[], object]], None]) -> None:
        self._kernel, self._name, self._instead = kernel, name, instead

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: Any, **options: Any) -> None:
            self._instead(self._name, lambda: self._kernel[grid](*arguments, **options))

        return launch


def time_launches(
    module: ModuleType, emitter: Emitter, run: Callable[[ModuleType], object], shapes: Iterable[Tunable], clock: Clock
) -> dict[Tunable, float]:
    """Times of the kernels that have some shapes, or what was taken in their place: of each the largest launch.

    Nothing is launched but what is timed, so that nothing else is compiled; it reads tables that are right, and buffers
    that nobody wrote.

    Parameters
    ----------
    module : module
        Its kernels are replaced: it is of no use after.
    emitter : Emitter
        That wrote it.
    run : callable
        Runs it once, on one chunk of signals.
    shapes : iterable of shapes
        As chosen without a device.
    clock : callable
    """
    wanted = set(shapes)
    timed = {i: usual for usual, i in emitter.tunable().items() if usual in wanted}
    launches = [step for step in emitter.steps if isinstance(step, Launch)]
    found: dict[Tunable, float] = {}
    steps: Iterator[tuple[int, Launch]] = iter(enumerate(launches))

    def instead(name: str, launch: Callable[[], object]) -> None:
        i, step = next(steps)
        assert step.kernel == name, f"launch {i} was to be of {step.kernel}, and is of {name}"
        if i in timed:
            found[timed[i]] = clock(launch)

    for name in {launch.kernel for launch in launches}:
        setattr(module, name, _Launched(getattr(module, name), name, instead))
    run(module)
    assert next(steps, None) is None, "a call runs all that was written"
    return found
