"""The demonstration: a photograph, a heartbeat and molecules, each compiled, printed, transformed and drawn.

Needs what the extra `demo` installs: matplotlib, scikit-learn (for its photograph) and PyWavelets (for its ECG).
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import scatc
from scatc import plot
from scatc.densities import MOLECULES, gaussian_density

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scatc.ir.paths import PathRow

Array = NDArray[Any]
T = TypeVar("T")


def run(folder: str | os.PathLike[str] = "demo_output", *, quick: bool = False) -> list[Path]:
    """Run the demonstration; it says on stdout what it does.

    Parameters
    ----------
    folder : path-like, optional
        Where pictures and texts are written; made if it is not there. Files of the same names are replaced.
    quick : bool, optional
        Smaller inputs.

    Returns
    -------
    list of Path
        The files, in the order in which they were written.

    Raises
    ------
    ImportError
        If matplotlib, scikit-learn or PyWavelets is missing; nothing has been written then.
    OSError
        If a file cannot be written; those written before are complete.
    """
    import matplotlib  # noqa: F401  (here, for whatever is missing should be missed before the work begins)
    import pywt  # noqa: F401
    import sklearn.datasets  # noqa: F401

    results = _Results(Path(folder))
    try:
        for section in (_photograph, _ecg, _molecules):
            section(results, quick)
    finally:
        if results.written:
            print(f"\nwritten to {results.folder.resolve()}:")
            for path in results.written:
                print(f"  {path.name:<28}{path.stat().st_size / 1024:>9.1f} KiB")
    return results.written


class _Results:
    """The folder of results: a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.written = folder, list[Path]()

    def text(self, name: str, text: str) -> None:
        self._write(name, text.encode())

    def picture(self, name: str, figure: Figure) -> None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        self._write(name, buffer.getvalue())

    def _write(self, name: str, data: bytes) -> None:
        path, temporary = self.folder / name, self.folder / f".{name}.{uuid.uuid4().hex}"
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        self.written.append(path)


def _photograph(results: _Results, quick: bool) -> None:
    from sklearn.datasets import load_sample_image

    print("A photograph: 2D, every scale and angle")
    image = load_sample_image("china.jpg").mean(axis=-1) / 255
    if quick:
        image = image[:256:2, 192:512:2]
    plan = _compiled(results, "photograph", scatc.Spec(dim=2, shape=image.shape, J=3 if quick else 4, L=8))
    coefficients, meta = _transformed(plan, image), plan.meta()

    figure = _figure(9, 9)
    top, bottom = figure.subplots(2, 1, height_ratios=(1.5, 1))
    top.imshow(image, cmap="gray")
    top.set(title=f"The photograph, {image.shape[0]} × {image.shape[1]} pixels", xticks=(), yticks=())
    plot.scales_and_angles(coefficients, meta, ax=bottom)
    bottom.set_title("First order: where there are edges of each scale and angle (each scale by its largest)")
    results.picture("photograph.png", figure)

    figure = _figure(16, 5)
    axes = figure.subplots(1, 3)
    for order, ax in enumerate(axes[:2], start=1):
        drawn = plot.disk(coefficients, meta, order=order, ax=ax)
        figure.colorbar(drawn, ax=ax, shrink=0.8, label="mean coefficient")
        ax.set_title(f"Order {order}, averaged over the image")
    plot.filter_bank(plan.spec, ax=axes[2])
    axes[2].set_title("The wavelets at half their height")
    results.picture("photograph_disks.png", figure)


def _ecg(results: _Results, quick: bool) -> None:
    import pywt

    print("\nA heartbeat: 1D, frequencies over time, and how each is modulated")
    rate = 360.0
    signal = pywt.data.ecg().astype(float)
    signal = signal[: 512 if quick else 1024]
    signal -= signal.mean()  # the offset is the amplifier's, not the heart's
    spec = scatc.Spec(dim=1, shape=signal.size, J=6, Q=4, T=32, stride=4)
    plan = _compiled(results, "ecg", spec)
    coefficients, meta = _transformed(plan, signal), plan.meta(sampling_rate=rate)

    figure = _figure(13, 8)
    (wave, second), (first, bank) = figure.subplots(2, 2)
    wave.plot(np.arange(signal.size) / rate, signal, linewidth=1)
    wave.set(title="The electrocardiogram", xlabel="time (s)", ylabel="converter units", xlim=(0, signal.size / rate))
    mesh = plot.scalogram(coefficients, meta, step=4 / rate, ax=first)
    figure.colorbar(mesh, ax=first, label="coefficient")
    first.set(title="First order: each beat a spike of high frequencies", xlim=(0, signal.size / rate))
    mesh = plot.second_order(coefficients, meta, normalized=True, ax=second)
    figure.colorbar(mesh, ax=second, label="second order / first order")
    second.set_title("Second order: how the envelopes are modulated")
    plot.filter_bank(spec, sampling_rate=rate, ax=bank)
    bank.set_title("The wavelets of the first order, and the low-pass filter")
    results.picture("ecg.png", figure)


def _molecules(results: _Results, quick: bool) -> None:
    print("\nMolecules: 3D, coefficients that do not depend on where a molecule is and how it is turned")
    side, spacing = (32, 0.35) if quick else (64, 0.16)
    densities = np.stack([_density(name, side, spacing) for name in MOLECULES])
    spec = scatc.Spec(dim=3, shape=(side,) * 3, J=2, L=3, sigma_0=1.0 if quick else 1.5)
    plan = _compiled(results, "molecules", spec)
    coefficients, meta = _transformed(plan, densities), plan.meta()
    turned = plan(_density("water", side, spacing, turn=_rotation(np.random.default_rng(0))))
    water = coefficients[list(MOLECULES).index("water")]
    change = np.linalg.norm(turned - water) / np.linalg.norm(water)
    between = np.linalg.norm(coefficients[list(MOLECULES).index("ammonia")] - water) / np.linalg.norm(water)
    print(f"  water, turned, changes by {change:.1e}; water and ammonia differ by {between:.1e}")

    results.picture("molecules.png", _drawn_molecules(densities, coefficients, meta, spacing))


def _drawn_molecules(densities: Array, coefficients: Array, meta: Sequence[PathRow], spacing: float) -> Figure:
    figure = _figure(3.1 * len(MOLECULES), 8.6)
    rows = figure.subplots(3, len(MOLECULES), sharey="row", squeeze=False)
    side = densities.shape[-1]
    left, right = (-side // 2 - 0.5) * spacing, (side - side // 2 - 0.5) * spacing  # the origin is a cell's centre
    for column, name in enumerate(MOLECULES):
        rows[0, column].imshow(
            densities[column].sum(axis=0).T, origin="lower", extent=(left, right, left, right), cmap="inferno"
        )
        rows[0, column].set(title=name, xlabel="y (Å)", xlim=(-4, 4), ylim=(-4, 4))
        for order in (1, 2):
            ax = rows[order, column]
            lines = plot.solid(coefficients[column], meta, order=order, power=1, ax=ax)
            ax.get_legend().remove()  # one for all, below
            ax.set(title=f"order {order}", ylabel="integral" if column == 0 else "")
    rows[0, 0].set_ylabel("z (Å)")
    figure.legend(handles=lines, loc="outside right center", title="degree")
    figure.suptitle("Densities, summed along x, and their solid harmonic scattering coefficients (integrals of U)")
    return figure


def _density(name: str, side: int, spacing: float, turn: Array | None = None) -> Array:
    charges, positions = MOLECULES[name]
    at = positions if turn is None else positions @ turn.T
    return gaussian_density(at, charges, (side,) * 3, sigma=0.4, spacing=spacing)


def _rotation(rng: np.random.Generator) -> Array:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def _compiled(results: _Results, name: str, spec: scatc.Spec) -> scatc.Plan:
    """Compile, say how long that takes, and write down what became of it."""
    print(f"  {spec}")
    cold, plan = _timed(lambda: scatc.compile(spec, cache=False))
    scatc.compile(spec)
    warm, _ = _timed(lambda: scatc.compile(spec))
    print(f"  compiled in {cold:.0f} ms, again from the cache in {warm:.1f} ms")
    for what, text in (
        ("ir.txt", plan.ir()),
        ("schedule.txt", plan.schedule()),
        ("source.py", plan.source()),
        ("report.txt", plan.report()),
    ):
        results.text(f"{name}_{what}", text)
    for line in plan.report().splitlines()[1:4]:
        print(f"  {line}")
    return plan


def _transformed(plan: scatc.Plan, x: Array) -> Array:
    y: Array
    first, y = _timed(lambda: plan(x))
    best = min(_timed(lambda: plan(x))[0] for _ in range(3))
    before, after = (" x ".join(map(str, array.shape)) for array in (x, y))
    print(f"  {before} -> {after} in {best:.1f} ms (the first time {first:.1f} ms)")
    return y


def _timed(function: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds and result of a call."""
    start = time.perf_counter()
    result = function()
    return 1e3 * (time.perf_counter() - start), result


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
