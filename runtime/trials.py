"""Constants of the cost model that give the quickest plan on this machine: alternatives are timed once, and kept.

What a plan is like depends on how large the cache is taken to be (how many signals and filters run together) and on
what matrix products cost beside transforms (how averages are made). Both are guessed for a usual machine. Here plans
are made for other guesses as well, `candidates`, run in turns on the same noise, and the quickest is taken.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import Target
from scatc.ir.cost import Machine
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime import fft, toolchain
from scatc.runtime.cache import DiskCache, Entry, MemoryCache, cache_key
from scatc.runtime.driver import build, plan_key
from scatc.runtime.plan import Plan, make_plan

FACTORS = (1.0, 0.25, 4.0)
"""Of the cache, and of the rate of matrix products, in all combinations."""

ROUNDS = 7
"""Calls of each plan that are timed; after the first, plans that are far from the quickest drop out."""

FAR = 1.5

GAIN = 0.03
"""What another plan must gain to be taken instead of the usual one: less is noise."""

SHORTEST = 0.02
"""Seconds of a call that is timed, if the batch is ours to choose."""

MOST_SIGNALS, MOST_BYTES = 64, 1 << 27
"""Of the batch that is timed."""

CHOICES: MemoryCache[Machine] = MemoryCache(64)


def tuned(spec: Spec, target: Target, options: Options, batch: int | None, *, keep: bool = True) -> Options:
    """The options of the quickest plan: known from before, or found now.

    Parameters
    ----------
    spec : Spec
    target : Target
        Whose plans are called on arrays.
    options : Options
        With the usual machine.
    batch : int or None
        Signals of a call that it is for; None: so many that a call takes long enough to be timed.
    keep : bool, optional
        Whether the choice may come from, and go to, the caches.
    """
    if not keep:
        return replace(options, machine=_quickest(spec, target, options, batch))
    # what timings depend on, besides our own text, which is in the plan's key
    where = {"cpu": toolchain.cpu(), "fft": fft.describe(), "batch": batch or 0}
    where["compiler"] = str(toolchain.find()) if target.runtime == "cpu" else ""
    key = cache_key(what="machine", plan=plan_key(spec, target, options), **where)

    def find() -> Machine:
        disk = DiskCache()
        known = _read(disk.load(key), options.machine)
        if known is None:
            known = _quickest(spec, target, options, batch)
            disk.store(key, _entry(known))
        return known

    return replace(options, machine=CHOICES.get_or_create(key, find))


def candidates(usual: Machine) -> list[Machine]:
    """The machines that plans are made for, the usual one first; the others say in their names what they assume."""
    found = []
    for cache in FACTORS:
        for matmul in FACTORS:
            one = replace(usual, cache_bytes=int(usual.cache_bytes * cache), matmul_rate=usual.matmul_rate * matmul)
            if one != usual:
                said = f"tuned: cache {one.cache_bytes >> 10} KB, matrices {one.matmul_rate / 1e9:.0f} Gflop/s"
                one = replace(one, name=f"{usual.name}, {said}")
            found.append(one)
    return found


def _entry(machine: Machine) -> Entry:
    """A choice, to be kept."""
    return Entry({"machine": json.dumps(asdict(machine), sort_keys=True)}, {})


def _read(entry: Entry | None, usual: Machine) -> Machine | None:
    """The choice of an entry; None if that is none of the candidates."""
    return next((one for one in candidates(usual) if entry is not None and _entry(one).texts == entry.texts), None)


def _quickest(spec: Spec, target: Target, options: Options, batch: int | None) -> Machine:
    """The machine whose plan is quickest; plans of the same code are timed once."""
    machines: list[Machine] = []
    plans: dict[tuple[str, int], Plan] = {}
    for machine in candidates(options.machine):
        compiled = build(spec, target, replace(options, machine=machine))
        key = _code(compiled.source), compiled.program.batch
        if key not in plans:
            plans[key] = make_plan(compiled)
            machines.append(machine)
    if len(machines) == 1:
        return machines[0]
    times = _times(list(plans.values()), batch)
    best = min(range(len(times)), key=lambda i: times[i])
    return machines[best if times[best] < (1 - GAIN) * times[0] else 0]


def _code(source: str) -> str:
    """A text without its comments, which name nodes: other nodes may come down to the same code."""
    text = re.sub(r"#.*", "", re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL))
    return "\n".join(line for line in text.splitlines() if line.strip())


def _times(plans: Sequence[Plan], batch: int | None) -> list[float]:
    """The median time of a call of each plan, in turns; infinite for those that dropped out."""
    x = _signals(plans[0], batch)
    for plan in plans:
        plan(x)  # loads libraries, touches memory
    taken: list[list[float]] = [[] for _ in plans]
    running = list(range(len(plans)))
    for turn in range(ROUNDS):
        for i in running:
            taken[i].append(_seconds(plans[i], x))
        if turn == 0:
            bound = FAR * min(times[0] for times in taken)
            running = [i for i in running if i == 0 or taken[i][0] <= bound]
    return [statistics.median(times) if i in running else np.inf for i, times in enumerate(taken)]


def _seconds(plan: Plan, x: NDArray[Any]) -> float:
    start = time.perf_counter()
    plan(x)
    return time.perf_counter() - start


def _signals(plan: Plan, batch: int | None) -> NDArray[Any]:
    """Noise: as many signals as were asked for, else twice as many until a call takes long enough to be timed."""
    random = np.random.default_rng(0)
    shape, n = plan.spec.input_shape, batch or 1
    one = plan.dtype.itemsize * max(int(np.prod(shape)), 1)
    while True:
        x = random.standard_normal((n, *shape)).astype(plan.dtype)
        if batch is not None or 2 * n > MOST_SIGNALS or 2 * n * one > MOST_BYTES:
            return x
        plan(x)
        if _seconds(plan, x) >= SHORTEST:
            return x
        n *= 2
