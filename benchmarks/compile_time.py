"""Measure how long it takes until a transform can be called: with nothing known, and from the disk cache.

    python benchmarks/compile_time.py
    python benchmarks/compile_time.py --target numpy --cases 2d --rounds 5 --json result.json

Every figure is that of a process of its own, which does nothing else: *cold* with an empty cache folder, *warm* with
the folder that the cold one left. *Compile* is `scatc.compile`; *first call* is what the first call on one signal takes
longer than the second, such as loading what was built. A process pays once, which is printed last, for its imports,
numpy being there already: those of `import scatc` and the compilation of a tiny transform of the same dimension (or
its reading), and those of the first call of that one, such as SciPy's FFT. As in an installed package, modules are
compiled to bytecode before. Printed is the fastest of all rounds: each does the same work, and what else the machine
does can only slow it. ``--clock processor`` counts the seconds of processors instead of those that passed: all but the
first calls are one thread's work, and wait for little. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import turns
from cases import CASES, Case

WIDTHS = (18, 11, 13, 11, 13)
HEADER = ("case", "cold: s", "first call: s", "warm: ms", "first call: ms")

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}

Figures = dict[str, float]


def spec_of(scatc: Any, case: Case) -> Any:
    """State a case."""
    more = {"Q": case.Q} if case.dim == 1 else {"L": case.L}
    return scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, **more)


def once(case: Case, target: str, clock: str) -> Figures:
    """Measure in this process."""
    now = CLOCKS[clock]
    start = now()
    import scatc

    tiny = scatc.compile(spec_of(scatc, case.tiny()), target=target)
    imported = now()
    tiny(np.zeros((1, *case.tiny().shape), np.float32))
    started = now()
    plan = scatc.compile(spec_of(scatc, case), target=target)
    compiled = now()
    x = np.zeros((1, *case.shape), np.float32)
    calls = []
    for _ in range(2):
        begin = now()
        plan(x)
        calls.append(now() - begin)
    return {
        "import": imported - start,
        "start": started - imported,
        "compile": compiled - started,
        "first": max(calls[0] - calls[1], 0.0),
    }


def fresh(case: Case, options: argparse.Namespace, cache: str) -> Figures:
    """Measure in a new process, which keeps what it makes in a cache folder."""
    given = ["--target", options.target, "--clock", options.clock]
    arguments = [sys.executable, __file__, "--once", json.dumps(case.to_json()), *given]
    environment = {**os.environ, "SCATC_CACHE_DIR": cache, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{case.name}: {done.stderr}")
    found: Figures = json.loads(done.stdout)
    return found


def measure(case: Case, options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Cold and warm processes, one of each a round."""
    found: dict[str, list[Figures]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory(prefix="scatc-benchmark-") as cache:
        fresh(case.tiny(), options, cache)  # writes the bytecode
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="scatc-benchmark-") as cache:
            for several in found.values():
                several.append(fresh(case, options, cache))
    return found


def best(several: list[Figures], key: str) -> float:
    """The fastest round's."""
    return min(one[key] for one in several)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    made.add_argument("--target", default="numpy", help="what plans are compiled for (default: numpy)")
    made.add_argument("--cases", nargs="+", default=[""], metavar="TEXT", help="only those whose names hold a text")
    made.add_argument("--rounds", type=int, default=3, help="processes of each kind (default: 3)")
    made.add_argument("--clock", choices=CLOCKS, default="wall", help="which seconds (default: wall)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    made.add_argument("--once", help=argparse.SUPPRESS)
    return made


def main() -> None:
    """Measure, print, and write the figures down."""
    options = parser().parse_args()
    if options.once:
        print(json.dumps(once(Case.from_json(json.loads(options.once)), options.target, options.clock)))
        return
    print(
        f"{platform.platform()}, target={options.target!r}, {options.rounds} rounds, clock={options.clock!r}, "
        f"load {turns.load()}\n"
    )
    print(turns.line(HEADER, WIDTHS), flush=True)
    rows = []
    for case in CASES:
        if not any(text in case.name for text in options.cases):
            continue
        found = measure(case, options)
        rows.append({"case": case.to_json(), **found})
        seconds = [best(found["cold"], key) for key in ("compile", "first")]
        milliseconds = [1e3 * best(found["warm"], key) for key in ("compile", "first")]
        cells = [case.name, *(f"{s:.3f}" for s in seconds), *(f"{ms:.1f}" for ms in milliseconds)]
        print(turns.line(cells, WIDTHS), flush=True)
    print()
    for key, what in (("import", "once a process: import and a tiny transform"), ("start", "its first call")):
        print(f"{what}: {1e3 * min(best(row['cold'] + row['warm'], key) for row in rows):.0f} ms")
    if options.json:
        how = {"target": options.target, "rounds": options.rounds, "clock": options.clock}
        written = {"platform": platform.platform(), **how, "cases": rows}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
