"""What the cost model takes for granted of a machine, beside what is measured on this one.

    python benchmarks/constants.py
    SCATC_FFT=mkl_fft python benchmarks/constants.py

First the constants of programs for numpy (`scatc.ir.cost.Machine`), each by a call that it stands for, on one thread
(that of element-wise passes by one within the L1 cache, which programs rarely are in). Then, for numpy and for C, what
the model predicts of one signal of each benchmark case, by what it takes on one worker in the case's batch: calls'
overhead, which the batch shares, counts in full.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from math import log2
from typing import Any

import numpy as np
import scipy.fft
from cases import CASES, Case

import scatc
from scatc.codegen import find_target
from scatc.ir.cost import Cost, fft_flops, graph_costs
from scatc.runtime import blas, fft

SHORTEST = 0.02
"""Seconds of a measurement at least."""


def seconds(call: Callable[[], Any]) -> float:
    """The median time of a call, after one that warms up."""
    call()
    taken: list[float] = []
    while sum(taken) < SHORTEST or len(taken) < 5:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measured() -> dict[str, float]:
    """The constants, measured."""
    random = np.random.default_rng(0)
    rates = []
    for n in (256, 1024, 4096, 16384):
        z = random.standard_normal((max(65536 // n, 1), n, 2), dtype=np.float32).view(np.complex64)[..., 0]
        flops = len(z) * fft_flops((n,), real=False)
        rates.append(flops / seconds(lambda z=z: scipy.fft.ifft(z, norm="ortho", overwrite_x=True)))
    a, b = random.standard_normal((128, 2048), dtype=np.float32), random.standard_normal((2048, 64), dtype=np.float32)
    out = np.empty((128, 64), np.float32)
    u = random.standard_normal(1 << 15, dtype=np.float32)
    total = np.empty_like(u)
    tiny = np.ones(4, np.complex64)
    return {
        "fft_rate": statistics.median(rates),
        "matmul_rate": 2 * 128 * 2048 * 64 / seconds(lambda: np.matmul(a, b, out=out)),
        "bandwidth": 3 * u.nbytes / seconds(lambda: np.multiply(u, u, out=total)),
        "call": seconds(lambda: [scipy.fft.ifft(tiny) for _ in range(100)]) / 100,
    }


def predicted(case: Case, target: str) -> tuple[float, float]:
    """Seconds of one signal on one worker: predicted, and measured."""
    scale = {1: {"Q": case.Q}, 2: {"L": case.L}, 3: {"L": case.L}}[case.dim]
    spec = scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, **scale)
    plan = scatc.compile(spec, target=target, workers=1)
    x = np.random.default_rng(0).standard_normal((case.batch, *case.shape), dtype=np.float32)
    costs = graph_costs(plan._program.graph, plan._options.machine, plan._options.itemsize)
    return sum(costs.values(), Cost()).seconds, seconds(lambda: plan(x)) / case.batch


def main() -> None:
    """Measure, and print."""
    argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0]).parse_args()
    provider = fft.provider()
    machine = find_target("numpy").machine(provider)
    print(f"{machine.name}: assumed, measured here")
    with fft.choose().context(), blas.single_thread():
        for name, value in measured().items():
            print(f"  {name:<12}{getattr(machine, name):10.2e}{value:10.2e}")
    print("predicted by measured, one signal on one worker")
    for target in ("numpy", "cpu"):
        ratios = []
        for case in CASES:
            guess, took = predicted(case, target)
            ratios.append(guess / took)
            print(f"  {target:<6}{case.name:<18}{1e3 * guess:9.3f} ms{1e3 * took:9.3f} ms{guess / took:6.2f}")
        mean = 2 ** statistics.fmean(map(log2, ratios))
        print(f"  {target:<6}{'geometric mean':<18}{mean:29.2f}")


if __name__ == "__main__":
    main()
