"""Signals from their coefficients: found to the tolerance, whatever the layout; the same by the same seed; errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import python

pytest.importorskip("torch")

import torch

import scatc
from scatc import numpy as on_numpy
from scatc.synthesis import Reconstruction, reconstruct

SPEC = scatc.Spec(dim=1, shape=128, J=3, Q=2)


def signal(*batch: int, shape: tuple[int, ...] = (128,)) -> np.ndarray:
    """Noise whose spectrum falls, as natural ones do."""
    x = np.random.default_rng(5).standard_normal((*batch, *shape))
    for axis in range(-len(shape), 0):
        x = np.cumsum(x, axis)
    return x


def coefficients(spec: scatc.Spec, x: np.ndarray) -> np.ndarray:
    out: np.ndarray = scatc.compile(spec, dtype="float64")(x)
    return out


def measured(spec: scatc.Spec, found: Reconstruction, wanted: np.ndarray) -> float:
    """The relative error, by a program that had no part in the search."""
    return float(np.linalg.norm(coefficients(spec, found.x.numpy()) - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("seed", range(5))
def test_an_electrocardiogram_is_found_again(seed: int) -> None:
    x = pytest.importorskip("pywt").data.ecg().astype(float)
    x -= x.mean()
    spec = scatc.Spec(dim=1, shape=x.size, J=6, Q=4, T=32, stride=4)
    wanted = coefficients(spec, x)
    found = reconstruct(spec, wanted, seed=seed)
    assert measured(spec, found, wanted) < 1e-2 and found.history.numel() < 3000
    # with so small a T, and order 0, little is left open: it is much like the signal itself
    assert np.linalg.norm(found.x.numpy() - x) < 0.5 * np.linalg.norm(x)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        scatc.Spec(dim=1, shape=100, J=2, Q=1, order=1),
        scatc.Spec(dim=1, shape=128, J=4, Q=4, T="global"),
        scatc.Spec(dim=2, shape=(16, 20), J=2, L=4),
        scatc.Spec(dim=3, shape=(8, 8, 8), J=1, L=1),
    ],
    ids=lambda spec: f"{spec.dim}D-J{spec.J}-order{spec.order}",
)
def test_coefficients_are_met(spec: scatc.Spec) -> None:
    wanted = coefficients(spec, signal(shape=spec.input_shape))
    found = reconstruct(spec, wanted, tol=2e-2, seed=1)
    assert found.x.shape == spec.input_shape and found.error.shape == ()
    assert measured(spec, found, wanted) == pytest.approx(float(found.error), rel=1e-6)
    assert float(found.error) < 2e-2
    assert float(found.error) == pytest.approx(float(found.history.min()), rel=1e-6)


def test_what_does_not_reach_the_tolerance_is_the_best_of_all_steps() -> None:
    wanted = coefficients(SPEC, signal())
    short, long = (reconstruct(SPEC, wanted, tol=1e-9, steps=steps) for steps in (20, 400))
    for found, steps in ((short, 20), (long, 400)):
        assert steps <= found.history.shape[-1] <= steps + 30
        assert measured(SPEC, found, wanted) == pytest.approx(float(found.history.min()), rel=1e-5)
    assert 1e-9 < float(long.error) < float(short.error)


def test_a_seed_says_all() -> None:
    wanted = coefficients(SPEC, signal())
    first, again, other = (reconstruct(SPEC, wanted, seed=seed, steps=60).x for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_batches_of_any_shape() -> None:
    wanted = coefficients(SPEC, signal(3, 2))
    wanted[1, 1] = 0
    found = reconstruct(SPEC, wanted)
    assert found.x.shape == (3, 2, 128) and found.error.shape == found.history.shape[:-1] == (3, 2)
    errors = np.linalg.norm(coefficients(SPEC, found.x.numpy()) - wanted, axis=(-2, -1))
    sizes = np.linalg.norm(wanted, axis=(-2, -1))
    assert (errors <= 1e-2 * sizes).all()
    assert not found.x[1, 1].any() and found.history[1, 1].isnan().all()
    empty = reconstruct(SPEC, wanted[:0])
    assert empty.x.shape == (0, 2, 128) and empty.error.shape == (0, 2)


def test_a_first_guess_is_where_the_descent_begins() -> None:
    x = signal(2)
    wanted = coefficients(SPEC, x)
    found = reconstruct(SPEC, wanted, x0=x)
    assert float(found.error.max()) < 1e-12 and torch.allclose(found.x, torch.from_numpy(x), rtol=1e-12)
    near = reconstruct(SPEC, wanted, x0=torch.from_numpy(x) + 0.1, tol=1e-4)
    assert near.history[:, 0].max() < 0.1 and near.error.max() < 1e-4


def test_whatever_has_a_spec_will_do() -> None:
    x = signal()
    expected = reconstruct(SPEC, coefficients(SPEC, x), steps=30).x
    for transform in (scatc.compile(SPEC), scatc.compile(SPEC, "torch"), on_numpy.Scattering1D(3, 128, 2)):
        assert torch.equal(reconstruct(transform, coefficients(SPEC, x), steps=30).x, expected)


def test_selected_paths_alone() -> None:
    plan = scatc.compile(SPEC, dtype="float64", select=lambda row: row.order == 1)
    wanted = plan(signal())
    found = reconstruct(plan, wanted)
    assert np.linalg.norm(plan(found.x.numpy()) - wanted) < 1e-2 * np.linalg.norm(wanted)


GOOD = coefficients(SPEC, signal())


@pytest.mark.parametrize(
    ("transform", "given", "options", "error", "message"),
    [
        (3, GOOD, {}, TypeError, "transform is int: pass a scatc.Spec, a plan"),
        (SPEC, GOOD[1:], {}, ValueError, rf"shape \(\d+, 16\): it must end with \({len(GOOD)}, 16\)"),
        (SPEC, GOOD[0], {}, ValueError, r"shape \(16,\): it must end"),
        (SPEC, GOOD * 1j, {}, TypeError, "must be real numbers, got torch.complex128"),
        (SPEC, "all", {}, TypeError, "must be real numbers, got str"),
        (SPEC, np.where(GOOD == GOOD[0, 0], np.nan, GOOD), {}, ValueError, "1 of .* numbers are NaN or infinite"),
        (SPEC, GOOD, {"x0": np.zeros(3)}, ValueError, r"x0 has shape \(3,\): it must broadcast to \(128,\)"),
        (SPEC, GOOD, {"x0": np.full(128, np.inf)}, ValueError, "x0: 128 of 128"),
        (SPEC, GOOD, {"steps": 0}, ValueError, "steps=0 is not possible"),
        (SPEC, GOOD, {"tol": float("nan")}, ValueError, "tol=nan is not possible"),
        (SPEC, GOOD, {"seed": "a"}, ValueError, "seed='a' is not possible"),
        (SPEC, GOOD, {"dtype": "float16"}, scatc.CompileError, "dtype"),
        (scatc.Spec(dim=1, shape=128, J=3, T=0), GOOD, {}, ValueError, "does not average"),
    ],
)
def test_errors_name_the_value(transform: Any, given: Any, options: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        reconstruct(transform, given, **options)


def test_without_torch_one_line_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["torch"] = None
try:
    import scatc.synthesis
except ImportError as error:
    print(error)
"""
    said = python("-c", code, cwd=tmp_path).strip()
    assert said == "scatc.synthesis needs torch, which is not installed: pip install 'scatc[torch]'"
