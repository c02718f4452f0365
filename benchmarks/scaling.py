"""How time grows with the batch, with the length of signals and with threads: ours and the incumbent's, turn by turn.

    python benchmarks/scaling.py                                   # all three; ten minutes on two cores
    python benchmarks/scaling.py --curves batch --target cpu numpy --rounds 5
    python benchmarks/scaling.py --json scaling.json --plot scaling.svg

Each point is the median of `--rounds` calls. Per curve and side an exponent is fitted to the upper half of its points,
where overheads are spread: 1 is linear in the batch; over lengths it is that of time by N log2 N signals of N samples,
so that 0 is N log N; over threads, -1 is that each halves the time if they double. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import turns
from cases import CASES, Case
from cpu import SIDES
from turns import Remote

BATCHES = (1, 2, 4, 8, 16, 32, 64)
LENGTHS = tuple(1 << bits for bits in range(10, 18))
SAMPLES = 1 << 17
"""Of all signals together, whatever their length."""


@dataclass(frozen=True)
class Point:
    """What is timed: where it lies on its curve, what one unit of its work is, and on how many threads."""

    at: int
    case: Case
    work: float
    threads: int


def case_of(name: str) -> Case:
    """The case of a name in the benchmark set."""
    return next(case for case in CASES if case.name == name)


def curves(threads: int) -> dict[str, list[Point]]:
    """What is timed, by the names of the curves."""
    line, image, volume = map(case_of, ("1d-4096-J8-Q8", "2d-64-J6-L2", "3d-32-J2-L2"))
    found = {
        f"batch, {case.name}": [Point(n, replace(case, batch=n), 1.0, threads) for n in BATCHES]
        for case in (line, image, volume)
    }
    long = [(n, replace(line, name=f"1d-{n}-J8-Q8", shape=(n,), batch=SAMPLES // n)) for n in LENGTHS]
    found["length, 1d J8 Q8"] = [Point(n, case, case.batch * n * log2(n), threads) for n, case in long]
    counts = sorted({1 << bits for bits in range(threads.bit_length())} | {threads})
    for case in (line, case_of("2d-224-J3-L8"), case_of("3d-64-J2-L2"), replace(case_of("1d-65536-J8-Q8"), batch=1)):
        found[f"threads, {case.name}, batch {case.batch}"] = [Point(n, case, 1.0, n) for n in counts]
    return found


def measured(points: Sequence[Point], names: Sequence[str], options: argparse.Namespace) -> dict[str, list[float]]:
    """The median seconds of each side at each point."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for threads in sorted({point.threads for point in points}):
        sides = [Remote(name, threads, options.fft) for name in names]
        try:
            for point in points:
                if point.threads == threads:
                    for side in sides:
                        side.ask("prepare", case=point.case.to_json())
                    seconds = turns.timed(sides, options.rounds, ["forward"])["forward"]
                    for name, median in turns.medians(seconds).items():
                        found[name].append(median)
        finally:
            for side in sides:
                side.close()
    return found


def exponent(points: Sequence[Point], seconds: Sequence[float]) -> float:
    """The slope, in logarithms, of time by unit of work over the upper half of a curve."""
    upper = slice((len(points) - 1) // 2, None) if len(points) > 2 else slice(None)
    at = np.log2([point.at for point in points][upper])
    each = np.log2([s / point.work for s, point in zip(seconds, points, strict=True)][upper])
    return float(np.polyfit(at, each, 1)[0]) if len(at) > 1 else float("nan")


def printed(name: str, points: Sequence[Point], seconds: dict[str, list[float]], slopes: dict[str, float]) -> str:
    """A curve as a table."""
    sides, widths = list(seconds), [10] + [12] * len(seconds)
    rows = [[str(point.at), *(f"{1e3 * seconds[s][i]:.2f}" for s in sides)] for i, point in enumerate(points)]
    rows = [["", *sides], *rows, ["exponent", *(f"{slopes[s]:.2f}" for s in sides)]]
    return "\n".join([f"{name}, ms", *(turns.line(row, widths) for row in rows)])


def names_of(options: argparse.Namespace) -> list[str]:
    """The sides that take turns."""
    ours = [SIDES[target] for target in dict.fromkeys(options.target)]
    return {None: [*ours, "kymatio"], "scatc": ours, "kymatio": ["kymatio"]}[options.only]


def chosen(threads: int, texts: Iterable[str]) -> dict[str, list[Point]]:
    """The curves whose names hold one of the texts."""
    return {name: points for name, points in curves(threads).items() if any(text in name for text in texts)}


def main() -> None:
    """Measure, print, draw, and write the figures down."""
    parser = turns.parser(__doc__ or "")
    parser.add_argument("--target", nargs="+", choices=SIDES, default=["auto"], help="ours (default: auto)")
    parser.add_argument("--curves", nargs="+", default=[""], metavar="TEXT", help="only those whose names hold a text")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there (.svg, .png or .pdf)")
    options = parser.parse_args()
    print(f"{platform.platform()}, {options.threads} threads, {options.rounds} rounds, load {turns.load()}\n")
    rows: list[dict[str, Any]] = []
    for name, points in chosen(options.threads, options.curves).items():
        seconds = measured(points, names_of(options), options)
        slopes = {side: exponent(points, found) for side, found in seconds.items()}
        print(printed(name, points, seconds, slopes) + "\n", flush=True)
        at = [point.at for point in points]
        rows.append({"curve": name, "at": at, "work": [p.work for p in points], "seconds": seconds, "exponent": slopes})
    if options.json:
        figures = {"platform": platform.platform(), "threads": options.threads, "rounds": options.rounds}
        options.json.write_text(json.dumps({**figures, "curves": rows}, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        pictures.curves(rows, options.plot)


if __name__ == "__main__":
    main()
