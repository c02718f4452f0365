"""Joint time-frequency scattering on CPUs: ours, and the incumbent's sequence of operators (`peer_joint.py`), in turns.

python benchmarks/joint.py
python benchmarks/joint.py --rounds 9 --json result.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_joint import Incumbent

import scatc

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "1024-J6-Q8": ({"shape": 1024, "J": 6, "Q": 8, "J_fr": 3}, 32),
    "8192-J8-Q8": ({"shape": 8192, "J": 8, "Q": 8, "J_fr": 3}, 8),
    "65536-J12-Q12": ({"shape": 65536, "J": 12, "Q": 12, "J_fr": 4}, 1),
}
"""Specs and batches."""


def measure(name: str, rounds: int, threads: int) -> dict[str, Any]:
    """Time both sides in turns, after one call of each whose results are compared."""
    fields, batch = CASES[name]
    spec = scatc.Spec(dim=1, **fields)
    x = np.random.default_rng(0).standard_normal((batch, *spec.shape), dtype=np.float32)
    plan, peer, tensor = scatc.compile(spec, workers=threads), Incumbent(spec), torch.from_numpy(x)
    calls = {"scatc": lambda: plan(x), "peer": lambda: peer(tensor)}
    with torch.no_grad():
        y, z = plan(x), peer(tensor).numpy()
        seconds: dict[str, list[float]] = {side: [] for side in calls}
        for _ in range(rounds):
            for side, call in calls.items():
                start = time.perf_counter()
                call()
                seconds[side].append(time.perf_counter() - start)
    ratios = [theirs / ours for ours, theirs in zip(seconds["scatc"], seconds["peer"], strict=True)]
    return {
        "case": name,
        "batch": batch,
        "seconds": seconds,
        "ratio": statistics.median(ratios),
        "ratio_of_best": min(seconds["peer"]) / min(seconds["scatc"]),
        "difference": float(np.linalg.norm(y - z) / np.linalg.norm(z)),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    print(f"{'case':<16}{'batch':>6}{'ours ms':>10}{'peer ms':>10}{'ratio':>8}{'of best':>9}{'difference':>12}")
    for name in options.cases:
        row = measure(name, options.rounds, options.threads)
        rows.append(row)
        ours, theirs = (1e3 * statistics.median(row["seconds"][side]) for side in ("scatc", "peer"))
        print(
            f"{name:<16}{row['batch']:>6}{ours:>10.1f}{theirs:>10.1f}{row['ratio']:>8.1f}{row['ratio_of_best']:>9.1f}"
            f"{row['difference']:>12.1e}",
            flush=True,
        )
    if options.json:
        about = {"platform": platform.platform(), "threads": options.threads, "python": platform.python_version()}
        about |= {"torch": torch.__version__, "numpy": np.__version__, "fft": scatc.runtime.fft.describe()}
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
