"""Edges of a photograph, by scale and angle: 2D scattering of one image.

    python examples/photograph.py [FOLDER]

writes photograph.png to FOLDER (examples/output/ if none is given).
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

import scatc
from scatc import plot

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
folder.mkdir(parents=True, exist_ok=True)

# Grey values from 0 to 1. Any shape will do; scatc pads by reflection as far as the filters reach.
image = load_sample_image("flower.jpg").mean(axis=-1) / 255

# Scales of 1, 2, 4 and 8 pixels, eight angles, two wavelets in a row. Coefficients are averages over 2**J = 16 pixels.
spec = scatc.Spec(dim=2, shape=image.shape, J=4, L=8, order=2)
plan = scatc.compile(spec)
coefficients = plan(image)
print(plan)
print(f"{image.shape} -> {coefficients.shape}: (paths, rows, columns)")

# Each row of the output has a row in the table of paths. Here: which first-order path is strongest, on average?
table = plan.meta()
strongest = max((row for row in table if row.order == 1), key=lambda row: coefficients[row.row].mean())
print(f"most energy at scale {2 ** strongest.j[0]} pixels, angle {strongest.theta[0]} of {spec.L}")

figure = Figure(figsize=(13, 8), layout="constrained")
grid = figure.add_gridspec(2, 2, width_ratios=(1.6, 1))
photograph = figure.add_subplot(grid[0, 0])
photograph.imshow(image, cmap="gray")
photograph.set(title="The photograph", xticks=(), yticks=())
edges = figure.add_subplot(grid[1, 0])
plot.scales_and_angles(coefficients, table, ax=edges)
edges.set_title("First order: edges by scale and angle")
for order in (1, 2):
    disk = figure.add_subplot(grid[order - 1, 1])
    drawn = plot.disk(coefficients, table, order=order, ax=disk)
    figure.colorbar(drawn, ax=disk, label="mean coefficient")
    disk.set_title(f"Order {order}: direction is angle, fine scales outside")
figure.savefig(folder / "photograph.png", dpi=120)
print(f"written: {folder / 'photograph.png'}")
