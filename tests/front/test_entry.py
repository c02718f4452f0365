"""The entry points with ``frontend=``: instances of the public class of each framework, or one clear line."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest
from support import FRAMEWORKS, relative_error

import scatc
from scatc import entry
from scatc import numpy as on_numpy
from scatc.dropin.needs import needs

CASES = [
    ("Scattering1D", (2, 10)),
    ("Scattering1D", (2, (10,))),
    ("Scattering2D", (2, (8, 8))),
    ("HarmonicScattering3D", (1, (4, 4, 4))),
]


@pytest.mark.parametrize(("name", "arguments"), [*CASES, ("TimeFrequencyScattering", (3, 1, 2, 32))])
@pytest.mark.parametrize("frontend", ["numpy", "NumPy", "sklearn", "SKLEARN"])
def test_instances_of_the_public_class(name: str, arguments: tuple[Any, ...], frontend: str) -> None:
    if frontend.lower() == "sklearn":
        pytest.importorskip("sklearn")
    cls = getattr(importlib.import_module(f"scatc.{frontend.lower()}"), name)
    S = getattr(entry, name)(*arguments, frontend=frontend)
    assert type(S) is cls
    assert (cls.__name__, cls.__module__) == (name, f"scatc.{frontend.lower()}")
    x = np.random.default_rng(0).standard_normal(S.shape)
    np.testing.assert_array_equal(S(x), getattr(on_numpy, name)(*arguments)(x))


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("frontend", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in FRAMEWORKS])
def test_instances_of_every_framework(name: str, arguments: tuple[Any, ...], frontend: str) -> None:
    framework = pytest.importorskip(frontend)
    cls = getattr(importlib.import_module(f"scatc.{frontend}"), name)
    # Layers of Keras learn the shape from their input.
    S = getattr(entry, name)(*arguments[: 1 if frontend == "keras" else None], frontend=frontend.upper())
    assert type(S) is cls
    assert (cls.__name__, cls.__module__) == (name, f"scatc.{frontend}")
    on_arrays = getattr(on_numpy, name)(*arguments)
    x = np.random.default_rng(0).standard_normal((2, *np.atleast_1d(on_arrays.shape))).astype(np.float32)
    y = S(framework.from_numpy(x) if frontend == "torch" else x)
    assert relative_error(y, on_arrays(x)) < 1e-5


def test_numpy_is_the_default_and_scatc_has_the_names() -> None:
    S = scatc.Scattering1D(2, shape=(10,))
    assert isinstance(S, on_numpy.Scattering1D)
    assert isinstance(scatc.Scattering2D(J=1, shape=(8, 8), L=2), on_numpy.Scattering2D)
    assert isinstance(scatc.HarmonicScattering3D(1, (4, 4, 4)), on_numpy.HarmonicScattering3D)


@pytest.mark.parametrize("name", ["Scattering1D", "Scattering2D", "HarmonicScattering3D", "TimeFrequencyScattering"])
@pytest.mark.parametrize("frontend", ["doesnotexist", "", None, 3])
def test_unknown_frontend(name: str, frontend: Any) -> None:
    with pytest.raises(RuntimeError, match="is not valid") as caught:
        getattr(entry, name)(2, (10,), frontend=frontend)
    assert isinstance(caught.value.args[0], str)


def test_keras_has_no_joint_scattering() -> None:
    pytest.importorskip("keras")
    with pytest.raises(
        ImportError, match="no TimeFrequencyScattering for frontend='keras': take 'tensorflow', 'torch'"
    ):
        scatc.TimeFrequencyScattering(3, 3, 8, frontend="Keras")


@pytest.mark.parametrize(
    ("frontend", "missing", "hint"),
    [
        ("torch", "torch", "pip install 'scatc[torch]'"),
        ("sklearn", "sklearn", "pip install 'scatc[sklearn]'"),
        ("jax", "jaxlib", "pip install jaxlib"),
        ("keras", "keras", "pip install 'scatc[keras]'"),
        ("keras", "jax.numpy", "pip install 'scatc[jax]', or set KERAS_BACKEND to another framework"),
    ],
)
def test_a_missing_framework(monkeypatch: pytest.MonkeyPatch, frontend: str, missing: str, hint: str) -> None:
    def fail(name: str) -> Any:
        assert name == f"scatc.{frontend}"
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(entry.importlib, "import_module", fail)
    with pytest.raises(ImportError) as caught:
        entry.Scattering1D(2, 10, frontend=frontend.capitalize())
    framework = missing.partition(".")[0]
    assert str(caught.value) == f"frontend='{frontend}' needs {framework}, which is not installed: {hint}"


@pytest.mark.parametrize(
    ("frontend", "missing", "package"),
    [("torch", "torch", "torch"), ("sklearn", "sklearn.base", "sklearn"), ("keras", "jax.numpy", "jax")],
)
def test_a_module_whose_framework_is_missing(frontend: str, missing: str, package: str) -> None:
    named = f"^scatc.{frontend} needs {missing.partition('.')[0]}, which is not installed: "
    with (
        pytest.raises(ModuleNotFoundError, match=named + rf"pip install 'scatc\[{package}\]'$") as caught,
        needs(frontend),
    ):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
    assert caught.value.name == missing


def test_a_module_of_ours_that_is_missing_is_no_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'scatc.dropin'", name="scatc.dropin")

    monkeypatch.setattr(entry.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match=r"scatc\.dropin"):
        entry.Scattering1D(2, 10)


def test_errors_of_the_class_pass_through() -> None:
    with pytest.raises(ImportError, match="can not be called"):
        entry.Scattering2D(2, (8, 8), backend="doesnotexist")
    with pytest.raises(ValueError, match="Q must always be >= 1"):
        entry.Scattering1D(3, 64, Q=0.9)


def test_warnings_point_at_the_caller() -> None:
    with pytest.warns(DeprecationWarning) as caught:
        entry.Scattering1D(3, 64, oversampling=1)
    assert caught[0].filename == sys.modules[__name__].__file__
