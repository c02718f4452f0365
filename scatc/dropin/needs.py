"""What to say where a framework is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import what the module ``scatc.<extra>`` is about, inside this; if it is missing, say what to install.

    Raises
    ------
    ModuleNotFoundError
        With the name of what is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or extra).partition(".")[0]
        package = missing if missing in ("torch", "tensorflow", "jax") else extra  # Keras runs on one of these
        raise ModuleNotFoundError(
            f"scatc.{extra} needs {missing}, which is not installed: pip install 'scatc[{package}]'", name=error.name
        ) from error
