"""Molecules as densities: 3D solid harmonic scattering, which does not see how a molecule is turned.

    python examples/molecules.py [FOLDER]

writes molecules.png to FOLDER (examples/output/ if none is given).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import scatc
from scatc import plot
from scatc.densities import MOLECULES, gaussian_density

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
folder.mkdir(parents=True, exist_ok=True)

side, spacing = 48, 0.3  # a cube of 14.4 Angstrom


def density(name: str, turn: np.ndarray | None = None) -> np.ndarray:
    """Nuclei smeared to Gaussians of 0.4 Angstrom, with the weight of their charge."""
    charges, positions = MOLECULES[name]
    return gaussian_density(positions if turn is None else positions @ turn.T, charges, (side,) * 3, 0.4, spacing)


# The finest wavelets are 1.5 grid steps wide; degrees 0 to 3; the norm over the orders m forgets directions.
spec = scatc.Spec(dim=3, shape=(side,) * 3, J=2, L=3, sigma_0=1.5, integral_powers=(0.5, 1, 2))
plan = scatc.compile(spec)
coefficients = plan(np.stack([density(name) for name in MOLECULES]))
print(plan)
print(f"{coefficients.shape}: (molecules, paths, powers)")

# A rotation about an axis that is none of the grid's. (What change there is comes from the power 1/2: it lets the far
# tails of U count, which the edges of the box cut square. A larger box has less of it.)
angle, axis = 0.7, np.array([1, 2, 2]) / 3
cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
for name, before in zip(MOLECULES, coefficients, strict=True):
    change = np.linalg.norm(plan(density(name, turn)) - before) / np.linalg.norm(before)
    print(f"{name:<15} turned: coefficients change by {change:.0e}")

figure = Figure(figsize=(13, 4.2), layout="constrained")
panels = figure.subplots(1, 3)
panels[0].imshow(density("benzene").sum(axis=0).T, origin="lower", cmap="inferno")
panels[0].set(title="Benzene's density, summed along x", xlabel="y (grid points)", ylabel="z (grid points)")
for panel, name in zip(panels[1:], ("benzene", "water"), strict=True):
    plot.solid(coefficients[list(MOLECULES).index(name)], plan.meta(), power=1, ax=panel)
    panel.set_title(f"{name}: first order, power 1")
figure.savefig(folder / "molecules.png", dpi=120)
print(f"written: {folder / 'molecules.png'}")
