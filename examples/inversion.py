"""An electrocardiogram found again, from nothing but its scattering coefficients.

    python examples/inversion.py [FOLDER]

writes inversion.png to FOLDER (examples/output/ if none is given).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pywt
from matplotlib.figure import Figure

import scatc
from scatc.synthesis import reconstruct

RATE = 360.0  # samples per second


def best_match(found: np.ndarray, signal: np.ndarray) -> tuple[float, int, int]:
    """The relative error of what was found, and the sign and circular shift with which it is the least."""
    spectra = np.conj(np.fft.rfft(found)) * np.fft.rfft(signal)
    products = np.fft.irfft(spectra, signal.size)
    shift = int(np.abs(products).argmax())
    sign = 1 if products[shift] > 0 else -1
    error = np.linalg.norm(sign * np.roll(found, shift) - signal) / np.linalg.norm(signal)
    return float(error), sign, (shift + signal.size // 2) % signal.size - signal.size // 2


def draw(signal: np.ndarray, found: np.ndarray, history: np.ndarray, path: Path) -> None:
    """Both signals, and how the error of the coefficients fell."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    wave, descent = figure.subplots(2, 1)
    times = np.arange(signal.size) / RATE
    wave.plot(times, signal, linewidth=2.5, color="lightgray", label="electrocardiogram")
    wave.plot(times, found, linewidth=1, color="C3", label="found from its coefficients")
    wave.set(xlabel="time (s)", ylabel="converter units", xlim=(0, times[-1]))
    wave.legend()
    descent.semilogy(history)
    descent.axhline(1e-2, color="gray", linestyle=":")
    descent.set(xlabel="evaluation of the gradient", ylabel="relative error of all coefficients")
    descent.set_title("One quarter of an octave after the other, then all paths")
    figure.savefig(path, dpi=120)
    print(f"written: {path}")


def main(folder: Path) -> None:
    """Transform, forget the signal, find it again, compare."""
    folder.mkdir(parents=True, exist_ok=True)
    signal = pywt.data.ecg().astype(float)
    signal -= signal.mean()

    # The transform of ecg.py: averages over T = 32 samples (89 ms), one of them every 4 samples (11 ms).
    spec = scatc.Spec(dim=1, shape=signal.size, J=6, Q=4, T=32, stride=4)
    coefficients = scatc.compile(spec, dtype="float64")(signal)
    result = reconstruct(spec, coefficients, tol=1e-2, seed=0)
    found = result.x.numpy()

    # The error once more, by a program that had no part in the search.
    again = scatc.compile(spec, dtype="float64")(found)
    error = np.linalg.norm(again - coefficients) / np.linalg.norm(coefficients)
    print(
        f"{coefficients.shape} coefficients -> {found.shape}, in {result.history.shape[-1]} evaluations of the gradient"
    )
    print(f"relative error of the coefficients: {error:.4f}")
    assert error < 1e-2, "the descent got stuck: try another seed, or more steps"

    # The signal is not asked for, its coefficients are: what is left of it between them is seen here.
    plain = np.linalg.norm(found - signal) / np.linalg.norm(signal)
    best, sign, shift = best_match(found, signal)
    print(f"relative error of the signal: {plain:.2f} as it is, {best:.2f} with sign {sign:+d} and shifted by {shift}")
    draw(signal, found, result.history.numpy(), folder / "inversion.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output")
