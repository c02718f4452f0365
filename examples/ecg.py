"""A heartbeat over time and frequency: 1D scattering of an electrocardiogram.

    python examples/ecg.py [FOLDER]

writes ecg.png to FOLDER (examples/output/ if none is given).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pywt
from matplotlib.figure import Figure

import scatc
from scatc import plot

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
folder.mkdir(parents=True, exist_ok=True)

rate = 360.0  # samples per second
signal = pywt.data.ecg().astype(float)
signal -= signal.mean()

# Four wavelets per octave, averages over T = 32 samples (89 ms), one of them every 4 samples (11 ms).
spec = scatc.Spec(dim=1, shape=signal.size, J=6, Q=4, T=32, stride=4)
plan = scatc.compile(spec)
coefficients = plan(signal)
table = plan.meta(sampling_rate=rate)  # frequencies in Hz
print(plan)
print(f"{signal.shape} -> {coefficients.shape}: (paths, samples)")

# The beats are seen best where the spike has most of its energy: follow one band, find its maxima.
band = min((row for row in table if row.order == 1), key=lambda row: abs(row.xi[0] - 20))
envelope = coefficients[band.row]
inner = envelope[1:-1]
beats = 1 + np.flatnonzero((inner > envelope[:-2]) & (inner >= envelope[2:]) & (inner > 0.5 * envelope.max()))
times = beats * 4 / rate
print(f"beats at {', '.join(f'{t:.2f}' for t in times)} s: {60 / np.diff(times).mean():.0f} per minute")

figure = Figure(figsize=(9, 10), layout="constrained")
wave, first, second = figure.subplots(3, 1)
wave.plot(np.arange(signal.size) / rate, signal, linewidth=1)
wave.set(title="Electrocardiogram", xlabel="time (s)", ylabel="converter units", xlim=(0, signal.size / rate))
mesh = plot.scalogram(coefficients, table, step=4 / rate, ax=first)
figure.colorbar(mesh, ax=first, label="coefficient")
first.set(title="First order", xlim=(0, signal.size / rate))
mesh = plot.second_order(coefficients, table, normalized=True, ax=second)
figure.colorbar(mesh, ax=second, label="second / first order")
second.set_title("Second order, averaged: how strongly each band (across) is modulated at which frequency (up)")
figure.savefig(folder / "ecg.png", dpi=120)
print(f"written: {folder / 'ecg.png'}")
