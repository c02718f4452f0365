"""Compare scatc with Kymatio 0.3.0 on the CPU: same machine, same threads, same inputs, turn by turn.

    python benchmarks/cpu.py                                  # everything; a quarter of an hour on two cores
    python benchmarks/cpu.py --cases 2d --rounds 5 --threads 1 --json result.json
    python benchmarks/cpu.py --target numpy cpu               # both of our targets, beside the incumbent
    python benchmarks/cpu.py --plot ratios.svg                # draws the ratios, too

The incumbent needs old packages and gets an environment of its own, made at the first run in
``benchmarks/.venv-kymatio``. Per case: the medians of ours, of its torch frontend, which is its
fastest, and of its numpy frontend (by itself, afterwards), the median of the ratios of neighbouring runs, the rate of
Fourier transforms that follows (as if nothing else were done), the time of these alone by our FFT library as a share of
ours (beyond 1, ours are quicker than the library's), the peak memory of a first call, and how far the results differ,
order by order. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import pictures
import turns
from cases import Case
from turns import Remote, Row

HEADER = ("case", "target", "batch", "ours ms", "theirs ms", "numpy ms", "ratio", "GFLOP/s", "of FFTs", "ours MiB",
          "theirs MiB", "ratio", "difference by order")  # fmt: skip
WIDTHS = (18, 7, 5, 10, 10, 9, 6, 7, 7, 9, 10, 6, 0)

SIDES = {"auto": "scatc", "numpy": "scatc.numpy", "cpu": "scatc.cpu"}
"""By target: the names of our sides in `sides.SIDES`."""


ROUNDS_OF_NUMPY = 3
"""Timed runs of the incumbent's numpy frontend, after the turns of the others: it takes long."""


def measure(case: Case, sides: Sequence[Remote], options: argparse.Namespace) -> Row:
    """Run one case on every side, in turns, and gather its figures."""
    row: Row = {"case": case.to_json()}
    row["prepare_seconds"] = {side.side: side.ask("prepare", case=case.to_json())["seconds"] for side in sides}
    row["seconds"] = seconds = turns.timed(sides, options.rounds, ["forward"])["forward"]
    row["median_seconds"] = turns.medians(seconds)
    ours = [name for name in seconds if name != "kymatio"]
    if ours:
        row["transforms"] = next(side for side in sides if side.side == ours[0]).ask("floor")
    if ours and "kymatio" in seconds:
        row["ratio"] = {name: turns.ratio(seconds, name) for name in ours}
        row["ratio_of_best"] = {name: turns.ratio_of_best(seconds, name) for name in ours}
        row["relative_difference"] = turns.differences(case, sides)
    if "kymatio" in seconds:
        row["numpy_frontend_seconds"] = _numpy_frontend(case, options)
    if not options.no_memory:
        row["peak_bytes"] = turns.peaks(case, list(seconds), "forward", options)
    return row


def _numpy_frontend(case: Case, options: argparse.Namespace) -> list[float]:
    """Run a case on the incumbent's numpy frontend, by itself."""
    with Remote("kymatio.numpy", options.threads, options.fft) as side:
        side.ask("prepare", case=case.to_json())
        return turns.timed([side], ROUNDS_OF_NUMPY, ["forward"])["forward"][side.side]


def printed(row: Row) -> str:
    """Return one case's lines, one for each target."""
    names = [name for name in row["seconds"] if name != "kymatio"] or [""]
    return "\n".join(_printed(row, name) for name in names)


def _printed(row: Row, name: str) -> str:
    memory = {side: peak["forward"] for side, peak in row.get("peak_bytes", {}).items()}
    saved = memory["kymatio"] / max(memory[name], 1) if "ratio" in row and memory else math.nan
    rate = share = math.nan
    if name:
        took, alone = row["median_seconds"][name], row["transforms"]
        rate, share = alone["flops"] / took / 1e9, alone["seconds"] / took
    targets = {side: target for target, side in SIDES.items()}
    return turns.line(
        [
            row["case"]["name"],
            targets.get(name, "-"),
            str(row["case"]["batch"]),
            turns.figure(row["median_seconds"], name, 1e-3, 2),
            turns.figure(row["median_seconds"], "kymatio", 1e-3, 2),
            turns.figure(turns.medians({"numpy": row.get("numpy_frontend_seconds", [math.nan])}), "numpy", 1e-3, 2),
            turns.figure(row.get("ratio", {}), name, 1, 1),
            f"{rate:.0f}",
            f"{share:.2f}",
            turns.figure(memory, name, 2**20, 1),
            turns.figure(memory, "kymatio", 2**20, 1),
            "-" if math.isnan(saved) else f"{saved:.1f}",
            turns.listed(row.get("relative_difference", {}).get(name, {})),
        ],
        WIDTHS,
    )


def total(rows: Sequence[Row]) -> tuple[dict[str, dict[str, float]], str]:
    """Return the figures over all cases, for each target, and as text."""
    found: dict[str, dict[str, float]] = {}
    lines = []
    for name in rows[0].get("ratio", {}) if rows else ():
        found[name] = turns.summary([row["ratio"][name] for row in rows], [row["ratio_of_best"][name] for row in rows])
        text = (
            "median ratio: geometric mean {geometric_mean:.2f}, minimum {minimum:.2f}; "
            "of best: {geometric_mean_of_best:.2f}, {minimum_of_best:.2f}"
        )
        lines.append(f"{name}: {text.format(**found[name])}")
    return found, "\n".join(lines)


def main() -> None:
    """Measure, print, and write the figures down."""
    parser = turns.parser(__doc__ or "")
    parser.add_argument(
        "--target", nargs="+", choices=SIDES, default=["auto"], help="ours (default: auto, what the classes choose)"
    )
    parser.add_argument("--no-memory", action="store_true", help="measure no memory, which takes longer than the rest")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios there (.svg, .png or .pdf)")
    options = parser.parse_args()
    ours = [SIDES[target] for target in dict.fromkeys(options.target)]

    def draw(rows: Sequence[Row]) -> None:
        if options.plot and "ratio" in rows[0]:
            pictures.ratios(rows, options.plot)

    turns.compare(ours, options, measure, printed, turns.line(HEADER, WIDTHS), total, draw)


if __name__ == "__main__":
    main()
