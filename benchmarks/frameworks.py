"""Compare scatc's modules with Kymatio 0.3.0 on torch, forward and backward, on the CPU: same threads, turn by turn.

    python benchmarks/frameworks.py                                       # torch; twenty minutes on two cores
    python benchmarks/frameworks.py --cases 2d --rounds 5 --json result.json
    python benchmarks/frameworks.py --frameworks torch tensorflow jax     # ours on all three, beside the incumbent

Per case and framework: the medians of forward (without gradients) and of forward and backward, the median of the ratios
of neighbouring runs, the peak memory of a first forward and backward, and how far the results differ, order by order,
and the gradients. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

import turns
from cases import Case
from turns import Remote, Row

CALLS = ("forward", "gradient")

COLUMNS = (
    ("", "case", 18),
    ("", "framework", 10),
    ("", "batch", 5),
    ("forward:", "ours ms", 9),
    ("", "theirs ms", 9),
    ("", "ratio", 5),
    ("and back:", "ours ms", 9),
    ("", "theirs ms", 9),
    ("", "ratio", 5),
    ("by forward:", "ours", 11),
    ("", "theirs", 6),
    ("memory:", "ours MiB", 8),
    ("", "theirs MiB", 10),
    ("", "ratio", 5),
    ("", "difference by order, and of the gradient", 0),
)
WIDTHS = tuple(width for _, _, width in COLUMNS)


def measure(case: Case, sides: Sequence[Remote], options: argparse.Namespace) -> Row:
    """Run one case on every side, in turns, and gather its figures."""
    names = [side.side for side in sides]
    row: Row = {"case": case.to_json()}
    row["prepare_seconds"] = {side.side: side.ask("prepare", case=case.to_json())["seconds"] for side in sides}
    row["seconds"] = seconds = turns.timed(sides, options.rounds, CALLS)
    row["median_seconds"] = median = {call: turns.medians(seconds[call]) for call in CALLS}
    row["by_forward"] = {name: median["gradient"][name] / median["forward"][name] for name in names}
    if "kymatio" in names:
        ours = [name for name in names if name != "kymatio"]
        row["ratio"] = {name: {call: turns.ratio(seconds[call], name) for call in CALLS} for name in ours}
        row["ratio_of_best"] = {
            name: {call: turns.ratio_of_best(seconds[call], name) for call in CALLS} for name in ours
        }
        row["relative_difference"] = turns.differences(case, sides, gradient=True) if ours else {}
    row["peak_bytes"] = turns.peaks(case, names, "gradient", options, times=3)
    return row


def printed(row: Row) -> str:
    """Return one case's lines, one for each framework."""
    names = [name for name in row["by_forward"] if name != "kymatio"] or [""]
    return "\n".join(_printed(row, name) for name in names)


def _printed(row: Row, name: str) -> str:
    sides = (name, "kymatio")
    memory = {side: peak["gradient"] for side, peak in row["peak_bytes"].items()}
    ratios = row.get("ratio", {}).get(name, {})
    cells = [row["case"]["name"], name.removeprefix("scatc."), str(row["case"]["batch"])]
    for call in CALLS:
        cells += [turns.figure(row["median_seconds"][call], side, 1e-3, 2) for side in sides]
        cells.append(turns.figure(ratios, call, 1, 1))
    cells += [turns.figure(row["by_forward"], side, 1, 2) for side in sides]
    cells += [turns.figure(memory, side, 2**20, 1) for side in sides]
    cells.append(f"{memory['kymatio'] / max(memory[name], 1):.1f}" if ratios else "-")
    return turns.line([*cells, turns.listed(row.get("relative_difference", {}).get(name, {}))], WIDTHS)


def total(rows: Sequence[Row]) -> tuple[dict[str, dict[str, dict[str, float]]], str]:
    """Return the figures over all cases, for each framework and call, and as text."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    lines = []
    for name in rows[0].get("ratio", {}) if rows else ():
        found[name] = {}
        for call, title in zip(CALLS, ("forward", "forward and backward"), strict=True):
            ratios, best = ([row[key][name][call] for row in rows] for key in ("ratio", "ratio_of_best"))
            found[name][call] = turns.summary(ratios, best)
            text = (
                "median ratio: geometric mean {geometric_mean:.2f}, minimum {minimum:.2f}; "
                "of best: {geometric_mean_of_best:.2f}, {minimum_of_best:.2f}"
            )
            lines.append(f"{name}, {title}: {text.format(**found[name][call])}")
        by_forward = [row["by_forward"][name] for row in rows]
        mean, most = statistics.geometric_mean(by_forward), max(by_forward)
        found[name]["by_forward"] = {"geometric_mean": mean, "maximum": most}
        lines.append(f"{name}, forward and backward by forward: geometric mean {mean:.2f}, maximum {most:.2f}")
    return found, "\n".join(lines)


def main() -> None:
    """Measure, print, and write the figures down."""
    parser = turns.parser(__doc__ or "")
    frameworks = ("torch", "tensorflow", "jax")
    parser.add_argument("--frameworks", nargs="+", choices=frameworks, default=["torch"], help="ours (default: torch)")
    options = parser.parse_args()
    ours = [f"scatc.{name}" for name in dict.fromkeys(options.frameworks)]
    header = "\n".join(turns.line([column[n] for column in COLUMNS], WIDTHS) for n in (0, 1))
    turns.compare(ours, options, measure, printed, header, total)


if __name__ == "__main__":
    main()
