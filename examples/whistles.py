"""Tell sounds that rise from sounds that fall, by joint time-frequency scattering and a linear classifier.

    python examples/whistles.py

Whistles sweep up or down through random octaves, somewhere in noise. 1D scattering hears each band by itself, and a
sweep up fills the same bands for the same time as a sweep down: averaged over time, they are alike. The spin of joint
scattering is the direction itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scatc.numpy import Scattering1D, TimeFrequencyScattering

LENGTH, WHISTLE = 4096, 1024
COUNT = 160


def whistles(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return whistles, shape (COUNT, LENGTH), and whether each rises (1) or falls (0)."""
    t = np.arange(WHISTLE) / WHISTLE
    low, octaves = rng.uniform(0.02, 0.06, (COUNT, 1)), rng.uniform(1.5, 2.5, (COUNT, 1))
    phase = 2 * np.pi * WHISTLE * low * np.exp2(octaves * t) / (octaves * np.log(2))
    rises = rng.integers(0, 2, COUNT)
    sound = np.cos(phase) * np.sin(np.pi * t)
    sound = np.where(rises[:, None] == 1, sound, sound[:, ::-1])
    x = 0.3 * rng.standard_normal((COUNT, LENGTH))
    for signal, whistle, start in zip(x, sound, rng.integers(0, LENGTH - WHISTLE, COUNT), strict=True):
        signal[start : start + WHISTLE] += whistle
    return x.astype(np.float32), rises


def accuracy(features: NDArray[np.float64], rises: NDArray[np.int64]) -> float:
    """Return how often least squares, fitted on one half, are right on the other."""
    half = COUNT // 2
    features = np.log(features + 1e-6)
    features = (features - features[:half].mean(axis=0)) / (features[:half].std(axis=0) + 1e-6)
    features = np.column_stack([features, np.ones(COUNT)])
    train, test = features[:half], features[half:]
    gram = train @ train.T + 10.0 * np.eye(half)
    weights = train.T @ np.linalg.solve(gram, 2.0 * rises[:half] - 1)
    return float(np.mean((test @ weights > 0) == (rises[half:] == 1)))


def main() -> None:
    x, rises = whistles(np.random.default_rng(0))
    joint = TimeFrequencyScattering(J=8, J_fr=3, Q=8, shape=LENGTH, F="global")
    alone = Scattering1D(J=8, shape=LENGTH, Q=8)

    spin = (joint.meta()["spin"] * (joint.meta()["order"] == 2))[1:]
    # means over time, order 0 left out; T="global" would count the padding, which is a mirror: there, what rises falls
    y, z = joint(x)[:, 1:].mean(axis=-1), alone(x)[:, 1:].mean(axis=-1)
    print(f"{COUNT} whistles, {y.shape[1]} coefficients each, {z.shape[1]} by 1D scattering")
    up, down = y[:, spin > 0].sum(axis=1), y[:, spin < 0].sum(axis=1)
    print(f"more of spin 1 than of spin -1: in {np.mean((up > down)[rises == 1]):.0%} of those that rise")
    print(f"                                in {np.mean((up > down)[rises == 0]):.0%} of those that fall")
    both = accuracy(y, rises), accuracy(z, rises)
    print(f"right, by a linear classifier: {both[0]:.0%} with joint scattering, {both[1]:.0%} with 1D scattering")
    assert both[0] > 0.9


if __name__ == "__main__":
    main()
