"""Compare scatc with Kymatio 0.3.0 on the CPU: same machine, same threads, same inputs, turn by turn.

    python benchmarks/cpu.py                                  # everything; a quarter of an hour on two cores
    python benchmarks/cpu.py --cases 2d --rounds 5 --threads 1 --json result.json

The incumbent needs old packages and gets an environment of its own, made at the first run in
``benchmarks/.venv-kymatio``. Per case: the medians, the median of the ratios of neighbouring runs, the peak memory of a
first call, and how far the results differ, order by order. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import turns
from cases import Case
from turns import Remote, Row

HEADER = ("case", "batch", "ours ms", "theirs ms", "ratio", "ours MiB", "theirs MiB", "ratio", "difference by order")
WIDTHS = (18, 5, 10, 10, 6, 9, 10, 6, 0)


def measure(case: Case, sides: Sequence[Remote], options: argparse.Namespace) -> Row:
    """Run one case on every side, in turns, and gather its figures."""
    row: Row = {"case": case.to_json()}
    row["prepare_seconds"] = {side.side: side.ask("prepare", case=case.to_json())["seconds"] for side in sides}
    row["seconds"] = seconds = turns.timed(sides, options.rounds, ["forward"])["forward"]
    row["median_seconds"] = turns.medians(seconds)
    if len(sides) > 1:
        row["ratio"] = turns.ratio(seconds, "scatc")
        row["ratio_of_best"] = turns.ratio_of_best(seconds, "scatc")
        row["relative_difference"] = turns.differences(case, sides)["scatc"]
    row["peak_bytes"] = turns.peaks(case, list(seconds), "forward", options)
    return row


def printed(row: Row) -> str:
    """Return one case's line."""
    memory = {name: peak["forward"] for name, peak in row["peak_bytes"].items()}
    saved = memory["kymatio"] / max(memory["scatc"], 1) if len(memory) > 1 else math.nan
    return turns.line(
        [
            row["case"]["name"],
            str(row["case"]["batch"]),
            turns.figure(row["median_seconds"], "scatc", 1e-3, 2),
            turns.figure(row["median_seconds"], "kymatio", 1e-3, 2),
            f"{row['ratio']:.1f}" if "ratio" in row else "-",
            turns.figure(memory, "scatc", 2**20, 1),
            turns.figure(memory, "kymatio", 2**20, 1),
            "-" if math.isnan(saved) else f"{saved:.1f}",
            turns.listed(row.get("relative_difference", {})),
        ],
        WIDTHS,
    )


def total(rows: Sequence[Row]) -> tuple[dict[str, float], str]:
    """Return the figures over all cases, and as text."""
    compared = [row for row in rows if "ratio" in row]
    found = turns.summary([row["ratio"] for row in compared], [row["ratio_of_best"] for row in compared])
    text = (
        "median ratio:  geometric mean {geometric_mean:.2f}, minimum {minimum:.2f}\n"
        "ratio of best: geometric mean {geometric_mean_of_best:.2f}, minimum {minimum_of_best:.2f}"
    )
    return found, text.format(**found) if found else ""


def main() -> None:
    """Measure, print, and write the figures down."""
    options = turns.parser(__doc__ or "").parse_args()
    turns.compare(["scatc"], options, measure, printed, turns.line(HEADER, WIDTHS), total)


if __name__ == "__main__":
    main()
