"""Pictures of what was measured: bars of ratios, and curves in logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAMES = {
    "scatc": "scatc",
    "scatc.cpu": "scatc, C",
    "scatc.numpy": "scatc, numpy",
    "kymatio": "Kymatio 0.3.0 (torch)",
}
COLOURS = {"scatc": "#1b6ca8", "scatc.cpu": "#1b6ca8", "scatc.numpy": "#7fb2d9", "kymatio": "#b0b0b0"}


def _axes(width: float, height: float, columns: int, rows: int = 1) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 8, "svg.hashsalt": "scatc", "axes.spines.top": False, "axes.spines.right": False})
    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")


def ratios(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw how many times as long the incumbent takes, case by case, for each of our targets."""
    names = list(rows[0]["ratio"])
    figure, ((axes,),) = _axes(6.4, 0.6 + 0.36 * len(rows), 1)
    height = 0.8 / len(names)
    for k, name in enumerate(names):
        values = [row["ratio"][name] for row in rows]
        places = [i + (k - (len(names) - 1) / 2) * height for i in range(len(rows))]
        bars = axes.barh(places, values, height, label=NAMES.get(name, name), color=COLOURS.get(name))
        axes.bar_label(bars, [f"{value:.1f}" for value in values], padding=2)
    axes.axvline(1, color="#404040", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row['case']['name']}, batch {row['case']['batch']}" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as Kymatio 0.3.0 on torch")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def curves(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw time over what grows, a panel for each curve."""
    columns = min(len(rows), 4)
    figure, grid = _axes(2.5 * columns, 2.4 * -(-len(rows) // columns), columns, -(-len(rows) // columns))
    panels = grid.ravel()
    for axes, row in zip(panels, rows, strict=False):
        for name, seconds in row["seconds"].items():
            label = f"{NAMES.get(name, name)}: {row['exponent'][name]:.2f}"
            axes.loglog(row["at"], [1e3 * s for s in seconds], "o-", base=2, color=COLOURS.get(name), label=label, ms=3)
        what, _, case = row["curve"].partition(", ")
        axes.set_title(case)
        axes.set_xlabel(what)
        axes.set_ylabel("ms")
        axes.legend(frameon=False, fontsize=6)
    for axes in panels[len(rows) :]:
        axes.set_axis_off()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
