"""The layers of `scatc.keras` on each framework that Keras runs on: `keras_layers.py`, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras")

SUITE = Path(__file__).with_name("keras_layers.py")
BACKENDS = ("tensorflow", "torch", "jax")


def run(backend: str, *command: str | Path, cwd: Path) -> str:
    """What a command prints, Keras being on a backend."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    # XLA compiles as fast as it can: what is computed, plans are tested for
    quick = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    environment = os.environ | quick | {"KERAS_BACKEND": backend}
    environment = {key: value for key, value in environment.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers(backend: str, tmp_path: Path) -> None:
    printed = run(backend, "-m", "pytest", SUITE, "-q", "--tb=short", "-p", "no:cacheprovider", cwd=tmp_path)
    assert " passed" in printed


@pytest.mark.parametrize("backend", BACKENDS)
def test_saved_on_one_framework_loaded_on_another(backend: str, tmp_path: Path) -> None:
    """A saved model holds arguments, not arrays; importing `scatc.keras` is all that loading asks for."""
    save = (
        "import keras, scatc.keras as s; i = keras.Input((64,)); keras.Model(i, s.Scattering1D(3)(i)).save('m.keras')"
    )
    load = "import keras, scatc.keras, numpy; print(keras.saving.load_model('m.keras')(numpy.ones((2, 64))).shape)"
    run("torch" if backend != "torch" else "jax", "-c", save, cwd=tmp_path)
    assert "2, 8, 8" in run(backend, "-c", load, cwd=tmp_path)
