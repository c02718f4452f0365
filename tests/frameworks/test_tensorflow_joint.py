"""`scatc.tensorflow.TimeFrequencyScattering`: what is Kymatio's in it, and that it is a `tf.Module` like the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from joint import ALL_LAYOUTS, SMALL, N, X, assert_as_on_numpy, assert_public
from support import golden_cases, relative_error

tf = pytest.importorskip("tensorflow")

from scatc.tensorflow import TimeFrequencyScattering  # noqa: E402


@ALL_LAYOUTS
def test_layouts(more: dict[str, Any]) -> None:
    S = TimeFrequencyScattering(**SMALL | more)
    assert_as_on_numpy(S(X), X, **more)


def test_golden() -> None:
    for case in golden_cases("TimeFrequencyScattering"):
        assert relative_error(TimeFrequencyScattering(**case.kwargs)(case.x), case.expected) < 1e-5


def test_public() -> None:
    assert_public(TimeFrequencyScattering, "tensorflow")
    S = TimeFrequencyScattering(3, 2, 2, N, None, None, 1, None, None, "dict", "tensorflow", "joint", "mine")
    assert (S.out_type, S.format, S.name, S.backend.name) == ("dict", "joint", "mine", "tensorflow")


def test_unknown_and_other_batches() -> None:
    S = TimeFrequencyScattering(**SMALL, format="joint")
    traced = tf.function(S, input_signature=[tf.TensorSpec((None, None, N), tf.float32)])
    assert_as_on_numpy(traced(X[None])[0], X, format="joint")
    for batch in ((), (2, 2), (0,)):
        assert tuple(S(np.ones((*batch, N))).shape) == (*batch, *S.array_shape())


def test_gradients() -> None:
    x = tf.Variable(X[0])
    with tf.GradientTape(persistent=True) as tape:
        coefs = TimeFrequencyScattering(**SMALL, format="joint", out_type="dict", T=0)(x)
        losses = [tf.norm(coefs[key]) for key in ((), (1,), (2, 1), (2, 5))]
    for loss in losses:
        gradient = tape.gradient(loss, x).numpy()
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
