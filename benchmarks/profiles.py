"""Where C code spends its time: shares of its functions, by Linux's perf.

    python benchmarks/profiles.py                                # one case of each dimension
    python benchmarks/profiles.py --cases 2d-224 --seconds 10

One worker, so that nothing waits. Functions are those of `plan.source()`; what the compiler made part of another one
counts for that. *Elsewhere* is NumPy, Python and the system, for the call that they surround.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from cases import CASES, Case

CHOSEN = ("1d-4096-J8-Q8", "2d-256-J2-L8", "3d-64-J2-L2")

LEAST = 0.01
"""Of the time, to be listed."""


def run(case: Case, seconds: float) -> None:
    """Call the plan of a case for a while, once perf listens (the process that is profiled)."""
    import scatc

    scale = {1: {"Q": case.Q}, 2: {"L": case.L}, 3: {"L": case.L}}[case.dim]
    plan = scatc.compile(scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, **scale), target="cpu", workers=1)
    x = np.random.default_rng(0).standard_normal((case.batch, *case.shape), dtype=np.float32)
    plan(x)
    print("ready", flush=True)
    sys.stdin.readline()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        plan(x)
        calls += 1
    print(1e3 * (time.perf_counter() - start) / calls / case.batch, flush=True)


def profile(case: Case, seconds: float) -> tuple[float, Counter[str]]:
    """Milliseconds of a signal, and the share of each function."""
    command = [sys.executable, __file__, "--run", case.name, "--seconds", str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        sys.exit(f"{case.name}: the plan does not run")
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "perf.data")
        record = subprocess.Popen(["perf", "record", "-q", "-F", "997", "-o", data, "-p", str(process.pid)])
        time.sleep(0.5)  # until it listens
        process.stdin.write("go\n")
        process.stdin.close()
        took = float(process.stdout.readline())
        process.wait()
        record.wait()
        listing = ["perf", "report", "-q", "-i", data, "--stdio", "--sort", "dso,symbol", "-t", ";"]
        text = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    return took, shares(text)


def shares(text: str) -> Counter[str]:
    """The shares of our functions in a listing of perf; those that are not in one of our libraries together."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(";")]
        if len(cells) >= 3 and cells[0].endswith("%"):
            stem, _, suffix = cells[1].rpartition(".")
            ours = suffix in ("so", "dylib") and len(stem) > 64  # named by digests
            function = cells[2].removeprefix("[.]").strip().split(".")[0] if ours else "elsewhere"
            found[function] += float(cells[0][:-1]) / 100
    return found


def main() -> None:
    """Profile, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--cases", nargs="+", default=list(CHOSEN), metavar="TEXT", help="those whose names hold a text"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each (default: 5)")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(next(case for case in CASES if case.name == options.run), options.seconds)
        return
    if shutil.which("perf") is None:
        sys.exit("perf is not installed: it is in the package linux-perf, or linux-tools")
    for case in CASES:
        if any(text in case.name for text in options.cases):
            took, found = profile(case, options.seconds)
            print(f"{case.name}: {took:.2f} ms a signal, one worker")
            total = sum(found.values())
            for function, share in found.most_common():
                if share >= LEAST * total:
                    print(f"  {share / total:6.1%}  {function}")


if __name__ == "__main__":
    main()
