"""The classes of every framework by one name: ``Scattering1D(..., frontend="numpy")``."""

from __future__ import annotations

import importlib
from typing import Any

FRONTENDS = ("numpy", "sklearn", "torch", "tensorflow", "keras", "jax")


def Scattering1D(*args: Any, frontend: str = "numpy", **kwargs: Any) -> Any:
    """Make a scattering transform of signals, a `Scattering1D` of one framework.

    Parameters
    ----------
    *args, **kwargs
        For the class of that framework; see `scatc.numpy.Scattering1D`.
    frontend : {'numpy', 'sklearn', 'torch', 'tensorflow', 'keras', 'jax'}, optional
        Which framework; capital letters make no difference.

    Returns
    -------
    object
        An instance of ``scatc.<frontend>.Scattering1D``.

    Raises
    ------
    RuntimeError
        If there is no such frontend.
    ImportError
        If its framework is not installed.
    """
    return _find("Scattering1D", frontend)(*args, **kwargs)


def Scattering2D(*args: Any, frontend: str = "numpy", **kwargs: Any) -> Any:
    """Make a scattering transform of images; see `Scattering1D` and `scatc.numpy.Scattering2D`."""
    return _find("Scattering2D", frontend)(*args, **kwargs)


def HarmonicScattering3D(*args: Any, frontend: str = "numpy", **kwargs: Any) -> Any:
    """Make a solid harmonic transform of volumes; see `Scattering1D` and `scatc.numpy.HarmonicScattering3D`."""
    return _find("HarmonicScattering3D", frontend)(*args, **kwargs)


def TimeFrequencyScattering(*args: Any, frontend: str = "numpy", **kwargs: Any) -> Any:
    """Make a joint time-frequency scattering transform; see `scatc.numpy.TimeFrequencyScattering`. Keras has none."""
    return _find("TimeFrequencyScattering", frontend)(*args, **kwargs)


def _find(name: str, frontend: str) -> Any:
    """The class of a framework, which is imported now."""
    key = str(frontend).lower()
    if key not in FRONTENDS:
        raise RuntimeError(f"The frontend '{frontend}' is not valid. Must be one of {', '.join(map(repr, FRONTENDS))}.")
    try:
        module = importlib.import_module(f"scatc.{key}")
    except ModuleNotFoundError as error:
        missing = (error.name or key).partition(".")[0]
        if missing == "scatc":
            raise
        package = f"'scatc[{missing}]'" if missing in FRONTENDS else missing
        # Keras runs on one framework of three, and asks for the one that is set.
        other = ", or set KERAS_BACKEND to another framework" if key == "keras" != missing else ""
        raise ImportError(
            f"frontend='{key}' needs {missing}, which is not installed: pip install {package}{other}"
        ) from error
    if not hasattr(module, name):
        raise ImportError(f"there is no {name} for frontend='{key}': take 'tensorflow', 'torch' or 'jax'")
    return getattr(module, name)
