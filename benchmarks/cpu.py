"""Compare scatc with Kymatio 0.3.0 on the CPU: same machine, same threads, same inputs, turn by turn.

    python benchmarks/cpu.py                                  # everything; a quarter of an hour on two cores
    python benchmarks/cpu.py --cases 2d --rounds 5 --threads 1 --json result.json

The incumbent needs old packages and gets an environment of its own, made at the first run in
``benchmarks/.venv-kymatio``. Per case: the medians, the median of the ratios of neighbouring runs, the peak memory of a
first call, and how far the results differ, order by order. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, Case

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv-kymatio"
# torch comes first and by its exact version: asked for as a dependency, it would bring gigabytes of GPU libraries.
INCUMBENT = (("torch==2.13.0",), ("kymatio==0.3.0", "scipy<1.15"))


def incumbent_python() -> str:
    """Return the interpreter of the incumbent's environment, making the environment if there is none."""
    stamp, python = VENV / ".made", VENV / "bin" / "python"
    if not stamp.exists():
        print(f"making {VENV}", file=sys.stderr)
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        for packages in INCUMBENT:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        stamp.touch()
    return str(python)


class Remote:
    """A worker process of one side."""

    def __init__(self, side: str, threads: int, fft: str) -> None:
        self.side = side
        environment = {**os.environ, "SCATC_FFT": fft}
        # A library picks its number of threads when it is loaded; whatever either side uses gets the same.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(threads)
        # GNU OpenMP, which the incumbent's torch uses, spins some 300000 times at a barrier before it sleeps: a partner
        # whose core another program holds then costs milliseconds each time, up to fifty times the run. A shorter
        # spin bounds that; on an idle machine it is as fast as the default, which sleeping at once is not.
        environment.setdefault("GOMP_SPINCOUNT", "20000")
        python = sys.executable if side == "scatc" else incumbent_python()
        self.process = subprocess.Popen(
            [python, HERE / "worker.py", side, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for the reply."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.side}: the worker ended with status {self.process.wait()} in {do!r}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise RuntimeError(f"{self.side}: {do}: {reply['error']}")
        return reply

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def differences(case: Case, sides: Sequence[Remote]) -> dict[str, float]:
    """Return ``||ours - theirs|| / ||theirs||`` per order, as the last prepared case gives them."""
    with tempfile.TemporaryDirectory() as folder:
        stored = {}
        for side in sides:
            path = str(Path(folder) / f"{side.side}.npz")
            side.ask("save", path=path)
            with np.load(path) as arrays:
                stored[side.side] = {key: arrays[key] for key in arrays.files}
    theirs, order = stored["kymatio"]["coefficients"].astype(float), stored["kymatio"]["order"]
    ours = stored["scatc"]["coefficients"].astype(float)
    if case.dim == 3:  # a plan has one axis of paths, where the classes split scales and degrees
        ours = ours.reshape(*theirs.shape[:2], -1, theirs.shape[-1])
    if ours.shape != theirs.shape:
        raise RuntimeError(f"the results differ in shape: ours {ours.shape}, theirs {theirs.shape}")
    errors = {}
    for n in sorted(set(order.astype(int).tolist())):
        difference, reference = (ours - theirs)[:, order == n], theirs[:, order == n]
        errors[str(n)] = float(np.linalg.norm(difference) / np.linalg.norm(reference))
    return errors


def peaks(case: Case, names: Sequence[str], options: argparse.Namespace) -> dict[str, dict[str, int]]:
    """Measure memory, each side in a process that has run nothing else."""
    found = {}
    for name in names:
        with Remote(name, options.threads, options.fft) as fresh:
            found[name] = fresh.ask("memory", case=case.to_json())
    return found


def measure(case: Case, sides: Sequence[Remote], options: argparse.Namespace) -> dict[str, Any]:
    """Run one case on every side, in turns, and gather its figures."""
    names = [side.side for side in sides]
    row: dict[str, Any] = {"case": case.to_json()}
    row["prepare_seconds"] = {side.side: side.ask("prepare", case=case.to_json())["seconds"] for side in sides}
    for side in sides:
        side.ask("run")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for side in sides:
            seconds[side.side].append(side.ask("run")["seconds"])
    row["seconds"] = seconds
    row["median_seconds"] = {name: statistics.median(times) for name, times in seconds.items()}
    if len(sides) > 1:
        pairs = zip(seconds["scatc"], seconds["kymatio"], strict=True)
        row["ratio"] = statistics.median(theirs / ours for ours, theirs in pairs)
        row["ratio_of_best"] = min(seconds["kymatio"]) / min(seconds["scatc"])
        row["relative_difference"] = differences(case, sides)
    row["peak_bytes"] = peaks(case, names, options)
    return row


HEADER = ("case", "batch", "ours ms", "theirs ms", "ratio", "ours MiB", "theirs MiB", "ratio", "difference by order")
WIDTHS = (18, 5, 10, 10, 6, 9, 10, 6, 0)


def line(cells: Sequence[str]) -> str:
    """Set one line of the table."""
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))
    return "  ".join([first.strip().ljust(WIDTHS[0]), *rest])


def printed(row: dict[str, Any]) -> str:
    """Return one case's line."""

    def figure(values: dict[str, Any], name: str, unit: float, digits: int) -> str:
        return f"{values[name] / unit:.{digits}f}" if name in values else "-"

    memory = {name: peak["forward"] for name, peak in row["peak_bytes"].items()}
    saved = memory["kymatio"] / max(memory["scatc"], 1) if len(memory) > 1 else math.nan
    errors = row.get("relative_difference", {})
    return line(
        [
            row["case"]["name"],
            str(row["case"]["batch"]),
            figure(row["median_seconds"], "scatc", 1e-3, 2),
            figure(row["median_seconds"], "kymatio", 1e-3, 2),
            f"{row['ratio']:.1f}" if "ratio" in row else "-",
            figure(memory, "scatc", 2**20, 1),
            figure(memory, "kymatio", 2**20, 1),
            "-" if math.isnan(saved) else f"{saved:.1f}",
            "  ".join(f"{order}: {error:.1e}" for order, error in errors.items()),
        ]
    )


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the figures over all cases."""
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    if not ratios:
        return {}
    best = [row["ratio_of_best"] for row in rows]
    return {
        "geometric_mean": statistics.geometric_mean(ratios),
        "minimum": min(ratios),
        "geometric_mean_of_best": statistics.geometric_mean(best),
        "minimum_of_best": min(best),
    }


def load() -> str:
    """Return how many programs wanted to run lately: with more than a few tenths, the figures are not to be trusted."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--cases", nargs="+", default=[""], metavar="TEXT", help="only those whose names hold a text")
    parser.add_argument("--rounds", type=int, default=11, help="timed runs of each side (default: 11)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores, help="of each side (default: one per core)")
    parser.add_argument("--fft", choices=("auto", "scipy", "mkl_fft"), default="auto", help="what ours transforms with")
    parser.add_argument("--only", choices=("scatc", "kymatio"), help="measure one side alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the figures down."""
    options = arguments()
    names = [options.only] if options.only else ["scatc", "kymatio"]
    chosen = [case for case in CASES if any(text in case.name for text in options.cases)]
    rows, failed = [], []
    sides = [Remote(name, options.threads, options.fft) for name in names]
    try:
        about = {side.side: side.ask("about") for side in sides}
        print(f"{platform.platform()}, {options.threads} threads, {options.rounds} rounds, load {load()}")
        for name, versions in about.items():
            print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in versions.items()))
        print("\n" + line(HEADER), flush=True)
        for case in chosen:
            try:
                rows.append(measure(case, sides, options))
            except RuntimeError as error:  # one case that fails must not cost the others' figures
                failed.append(case.name)
                print(f"{case.name}: {error}", flush=True)
            else:
                print(printed(rows[-1]), flush=True)
    finally:
        for side in sides:
            side.close()
    total = summary(rows)
    if total:
        print(f"\nmedian ratio:  geometric mean {total['geometric_mean']:.2f}, minimum {total['minimum']:.2f}")
        mean, least = total["geometric_mean_of_best"], total["minimum_of_best"]
        print(f"ratio of best: geometric mean {mean:.2f}, minimum {least:.2f}")
    if options.json:
        figures = {"platform": platform.platform(), "threads": options.threads, "rounds": options.rounds}
        text = json.dumps({**figures, "versions": about, "cases": rows, "failed": failed, "summary": total}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
