"""On which cores workers run, and what that costs: a call after a pause, and one after another, free and bound.

    python benchmarks/placement.py

A system may start a thread that is woken on the core of whoever wakes it, and move it only later: work of milliseconds
for two workers then takes as long as for one. Linux, for it asks each worker where it runs.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import threading
import time
from typing import Any

import numpy as np

import scatc

PAUSE = 0.1
"""Seconds."""


class Watch:
    """Calls a plan, and sees on which cores its workers are."""

    def __init__(self, plan: Any, x: np.ndarray) -> None:
        self.plan, self.x = plan, x
        self.core = ctypes.CDLL(None).sched_getcpu
        self.cores: dict[int, set[int]] = {}
        self.branch = plan._native._branch
        plan._native._branch = self._seen

    def _seen(self, *arguments: Any) -> None:
        self.cores.setdefault(threading.get_ident(), set()).add(self.core())
        self.branch(*arguments)

    def call(self, pause: float) -> tuple[float, bool]:
        """Milliseconds of a call, and whether all workers began on one core."""
        time.sleep(pause)
        self.cores = {}
        start = time.perf_counter()
        self.plan(self.x)
        took = 1e3 * (time.perf_counter() - start)
        return took, len(self.cores) > 1 and len(set().union(*self.cores.values())) == 1

    def report(self, name: str, calls: int) -> None:
        """Print medians, and how many calls had one core."""
        for pause in (0.0, PAUSE):
            found = [self.call(pause) for _ in range(calls)]
            median, shared = statistics.median(took for took, _ in found), sum(one for _, one in found)
            when = f"after {pause:g} s" if pause else "one after another"
            print(f"{name:<6} {when:<18}{median:8.2f} ms, {shared} of {calls} calls on one core")


def main() -> None:
    """Measure, bind each thread to a core, and measure again."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--calls", type=int, default=40, help="of each kind (default: 40)")
    options = parser.parse_args()
    allowed = sorted(os.sched_getaffinity(0))
    plan = scatc.compile(scatc.Spec(dim=1, shape=4096, J=8, Q=8), target="cpu", workers=2)
    x = np.random.default_rng(0).standard_normal((32, 4096), dtype=np.float32)
    plan(x)  # starts the threads
    watch = Watch(plan, x)
    watch.report("free", options.calls)
    threads = [threading.get_native_id(), *(t.native_id for t in threading.enumerate() if t.name.startswith("scatc"))]
    for i, thread in enumerate(threads):
        os.sched_setaffinity(thread, {allowed[i % len(allowed)]})
    watch.report("bound", options.calls)


if __name__ == "__main__":
    main()
