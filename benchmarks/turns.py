"""What comparisons share: worker processes that take turns, their memory, how far results differ, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
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
    """A worker process of one side (`sides.SIDES` has their names)."""

    def __init__(self, side: str, threads: int, fft: str) -> None:
        self.side = side
        self.cache = tempfile.TemporaryDirectory(prefix="scatc-benchmark-")  # nothing is compiled already
        environment = {**os.environ, "SCATC_FFT": fft, "SCATC_CACHE_DIR": self.cache.name, "TF_CPP_MIN_LOG_LEVEL": "2"}
        # A library picks its number of threads when it is loaded; whatever either side uses gets the same.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "SCATC_WORKERS"):
            environment[variable] = str(threads)
        # GNU OpenMP, which the incumbent's torch uses, spins some 300000 times at a barrier before it sleeps: a partner
        # whose core another program holds then costs milliseconds each time, up to fifty times the run. A shorter
        # spin bounds that; on an idle machine it is as fast as the default, which sleeping at once is not.
        environment.setdefault("GOMP_SPINCOUNT", "20000")
        python = incumbent_python() if side.startswith("kymatio") else sys.executable
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
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
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
        self.cache.cleanup()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Seconds = dict[str, list[float]]
"""The times of each side, one a round."""


def timed(sides: Sequence[Remote], rounds: int, calls: Sequence[str]) -> dict[str, Seconds]:
    """Run each of the named calls on every side, in turns, after one that warms up."""
    seconds: dict[str, Seconds] = {call: {side.side: [] for side in sides} for call in calls}
    for warm in range(rounds + 1):
        for call in calls:
            for side in sides:
                took = side.ask("run", call=call)["seconds"]
                if warm:
                    seconds[call][side.side].append(took)
    return seconds


def medians(seconds: Seconds) -> dict[str, float]:
    """Return each side's median."""
    return {name: statistics.median(times) for name, times in seconds.items()}


def ratio(seconds: Seconds, ours: str) -> float:
    """Return how many times as long the incumbent took: the median over neighbouring runs."""
    pairs = zip(seconds[ours], seconds["kymatio"], strict=True)
    return statistics.median(b / a for a, b in pairs)


def ratio_of_best(seconds: Seconds, ours: str) -> float:
    """Return the same of each side's fastest run."""
    return min(seconds["kymatio"]) / min(seconds[ours])


def differences(case: Case, sides: Sequence[Remote], *, gradient: bool = False) -> dict[str, dict[str, float]]:
    """Return ``||ours - theirs|| / ||theirs||`` of each of our sides, as the last prepared case gives them.

    Keys are the orders and, if asked for, ``"gradient"``.
    """
    stored = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            path = str(Path(folder) / f"{side.side}.npz")
            side.ask("save", path=path, gradient=gradient)
            with np.load(path) as arrays:
                stored[side.side] = {key: arrays[key].astype(float) for key in arrays.files}
    reference = stored.pop("kymatio")
    return {name: _differences(case, arrays, reference) for name, arrays in stored.items()}


def _differences(case: Case, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    a, b, order = ours["coefficients"], theirs["coefficients"], theirs["order"].astype(int)
    if case.dim == 3:  # a plan has one axis of paths, where the classes split scales and degrees
        a = a.reshape(*b.shape[:2], -1, b.shape[-1])
    if a.shape != b.shape:
        raise RuntimeError(f"the results differ in shape: ours {a.shape}, theirs {b.shape}")
    errors = {str(n): _relative(a[:, order == n], b[:, order == n]) for n in sorted(set(order.tolist()))}
    if "gradient" in theirs:
        errors["gradient"] = _relative(ours["gradient"], theirs["gradient"])
    return errors


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def peaks(
    case: Case, names: Sequence[str], call: str, options: argparse.Namespace, times: int = 1
) -> dict[str, dict[str, int]]:
    """Measure memory, each side in a process that has run nothing else; of several `times`, the median."""
    found = {}
    for name in names:
        measured = []
        for _ in range(times):
            with Remote(name, options.threads, options.fft) as fresh:
                measured.append(fresh.ask("memory", case=case.to_json(), call=call))
        found[name] = {key: int(statistics.median(one[key] for one in measured)) for key in measured[0]}
    return found


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Set one line of a table: the first cell from the left, the others from the right."""
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *rest])


def figure(values: dict[str, float], name: str, unit: float, digits: int) -> str:
    """Return one value in a unit, or a dash where there is none."""
    return f"{values[name] / unit:.{digits}f}" if name in values else "-"


def listed(errors: dict[str, float]) -> str:
    """Return the differences of a row as text."""
    return "  ".join(f"{order}: {error:.1e}" for order, error in errors.items())


def summary(ratios: Sequence[float], best: Sequence[float]) -> dict[str, float]:
    """Return the figures over all cases; there are none if nothing was compared."""
    if not ratios:
        return {}
    return {
        "geometric_mean": statistics.geometric_mean(ratios),
        "minimum": min(ratios),
        "geometric_mean_of_best": statistics.geometric_mean(best),
        "minimum_of_best": min(best),
    }


def load() -> str:
    """Return how many programs wanted to run lately: with more than a few tenths, the figures are not to be trusted."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def parser(doc: str) -> argparse.ArgumentParser:
    """Return the options that every comparison has."""
    made = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    made.add_argument("--cases", nargs="+", default=[""], metavar="TEXT", help="only those whose names hold a text")
    made.add_argument("--rounds", type=int, default=11, help="timed runs of each side (default: 11)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    made.add_argument("--threads", type=int, default=cores, help="of each side (default: one per core)")
    made.add_argument("--fft", choices=("auto", "scipy", "mkl_fft"), default="auto", help="what ours transforms with")
    made.add_argument("--only", choices=("scatc", "kymatio"), help="measure ours alone, or the incumbent alone")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return made


Row = dict[str, Any]
"""The figures of one case."""


def compare(
    ours: Sequence[str],
    options: argparse.Namespace,
    measure: Callable[[Case, Sequence[Remote], argparse.Namespace], Row],
    report: Callable[[Row], str],
    header: str,
    total: Callable[[Sequence[Row]], tuple[Any, str]],
    draw: Callable[[Sequence[Row]], None] | None = None,
) -> None:
    """Measure the chosen cases, print the table and what holds over all of it, write the figures down, and draw."""
    names = {None: [*ours, "kymatio"], "scatc": list(ours), "kymatio": ["kymatio"]}[options.only]
    chosen = [case for case in CASES if any(text in case.name for text in options.cases)]
    rows: list[Row] = []
    failed = []
    sides = [Remote(name, options.threads, options.fft) for name in names]
    try:
        about = {side.side: side.ask("about") for side in sides}
        print(f"{platform.platform()}, {options.threads} threads, {options.rounds} rounds, load {load()}")
        for name, versions in about.items():
            print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in versions.items()))
        print("\n" + header, flush=True)
        for case in chosen:
            try:
                rows.append(measure(case, sides, options))
            except RuntimeError as error:  # one case that fails must not cost the others' figures
                failed.append(case.name)
                print(f"{case.name}: {error}", flush=True)
            else:
                print(report(rows[-1]), flush=True)
    finally:
        for side in sides:
            side.close()
    found, text = total(rows)
    if found:
        print("\n" + text)
    if options.json:
        figures = {"platform": platform.platform(), "threads": options.threads, "rounds": options.rounds}
        written = json.dumps(
            {**figures, "versions": about, "cases": rows, "failed": failed, "summary": found}, indent=1
        )
        options.json.write_text(written + "\n", encoding="utf-8")
    if draw and rows:
        draw(rows)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
