"""Images averaged as a whole (J=7, L=4, 256 x 256), in images a second: ours, and the scattering_transform package.

    python benchmarks/global_images.py
    python benchmarks/global_images.py --peer ST.py --json result.json

The peer is S. Cheng's package (github.com/SihaoCheng/scattering_transform), whose README names 30 images a second on a
CPU for its fast algorithm at this size. It is one file, ST.py; at commit 04f36a6 (September 2024) its `forward` ends in
a NameError, at bebd3d6 (September 2021) it runs. It does not pad, so that its images are a quarter of what we transform
(512 x 512 samples, reflected), and its averages are of periodic images: the two are not the same numbers.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import scatc

J, L, SIDE = 7, 4, 256

Call = Callable[[], Any]


def ours(x: np.ndarray, threads: int) -> dict[str, Call]:
    """Our plans for arrays."""
    spec = scatc.Spec(dim=2, shape=(SIDE, SIDE), J=J, L=L, T="global")
    plans = {target: scatc.compile(spec, target=target, workers=threads) for target in ("cpu", "numpy")}
    return {f"scatc, {target}": lambda plan=plan: plan(x) for target, plan in plans.items()}


def peer(path: Path, x: np.ndarray, threads: int) -> dict[str, Call]:
    """The peer's calculator, of its single file."""
    import torch

    torch.set_num_threads(threads)
    found = importlib.util.spec_from_file_location("ST", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about arguments that have changed since
        filters = module.FiltersSet(SIDE, SIDE, J, L).generate_morlet()
    calculator, images = module.ST_2D(filters, J, L), torch.from_numpy(x)
    return {"scattering_transform": lambda: calculator.forward(images, J, L, algorithm="fast")}


def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--peer", type=Path, metavar="ST.py", help="the peer's file")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args()
    x = np.random.default_rng(0).standard_normal((options.batch, SIDE, SIDE), dtype=np.float32)
    calls = ours(x, options.threads)
    if options.peer:
        calls |= peer(options.peer, x, options.threads)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for warm in range(options.rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if warm:
                seconds[name].append(time.perf_counter() - start)
    print(f"{platform.platform()}, {options.threads} threads, batch {options.batch}, {options.rounds} rounds")
    for name, taken in seconds.items():
        print(f"{name:<22}{options.batch / statistics.median(taken):8.1f} images a second")
    if options.json:
        figures = {"platform": platform.platform(), "threads": options.threads, "batch": options.batch}
        options.json.write_text(json.dumps({**figures, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
