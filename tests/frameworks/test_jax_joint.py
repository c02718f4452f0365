"""`scatc.jax.TimeFrequencyScattering`: what is Kymatio's in it, inside what JAX traces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from joint import ALL_LAYOUTS, SMALL, N, X, assert_as_on_numpy, assert_public
from support import golden_cases, relative_error

jax = pytest.importorskip("jax")

from scatc.jax import TimeFrequencyScattering  # noqa: E402


@pytest.fixture(autouse=True)
def quickly() -> Any:
    """XLA compiles as fast as it can: what is computed, plans are tested for."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@ALL_LAYOUTS
def test_layouts(more: dict[str, Any]) -> None:
    S = TimeFrequencyScattering(**SMALL | more)
    assert_as_on_numpy(S(X), X, **more)


def test_golden() -> None:
    for case in golden_cases("TimeFrequencyScattering"):
        assert relative_error(TimeFrequencyScattering(**case.kwargs)(case.x), case.expected) < 1e-5


def test_public() -> None:
    assert_public(TimeFrequencyScattering, "jax")


def test_objects_that_differ_are_traced_again() -> None:
    S = TimeFrequencyScattering(**SMALL)
    others = [TimeFrequencyScattering(**SMALL | more) for more in ({"stride_fr": 1}, {"format": "joint"}, {"F": 0})]
    assert S == TimeFrequencyScattering(**SMALL)
    assert len({S, *others}) == 4
    call = jax.jit(lambda S, x: S(x))
    for other in (S, *others):
        assert call(other, X).shape == (2, *other.array_shape())
    S.format = "joint"
    assert_as_on_numpy(call(S, X), X, format="joint")


def test_gradients_and_batches() -> None:
    S = TimeFrequencyScattering(**SMALL, format="joint")
    for batch in ((), (2, 2), (0,)):
        assert S(np.ones((*batch, N))).shape == (*batch, *S.array_shape())
    gradient = jax.jit(jax.grad(lambda x: (S(x) ** 2).sum()))(X)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=1) > 0).all()
    assert relative_error(jax.vmap(S)(X), S(X)) < 1e-6
