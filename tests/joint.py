"""What the tests of `TimeFrequencyScattering` in every framework share: layouts, and a comparison with numpy."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from support import relative_error

import scatc
from scatc import numpy as on_numpy

N = 128
X = np.random.default_rng(0).standard_normal((2, N)).astype(np.float32)
SMALL: dict[str, Any] = {"J": 3, "J_fr": 2, "Q": 2, "shape": N}
LAYOUTS: list[dict[str, Any]] = [
    {}, {"format": "joint"}, {"format": "joint", "out_type": "list", "F": "global", "T": "global"},
    {"format": "joint", "out_type": "dict", "T": 0, "F": 0}, {"out_type": "list", "T": 0},
    {"F": 1, "stride": 2, "out_type": "dict"},
]  # fmt: skip
ALL_LAYOUTS = pytest.mark.parametrize("more", LAYOUTS, ids=str)


def assert_as_on_numpy(y: Any, x: Any, tolerance: float = 1e-5, **more: Any) -> None:
    """Check what a class returned, in any layout, against that of numpy."""
    wanted = on_numpy.TimeFrequencyScattering(**SMALL | more)(x)
    if isinstance(wanted, list):
        told = [{name: value for name, value in item.items() if name != "coef"} for item in wanted]
        assert [{name: value for name, value in item.items() if name != "coef"} for item in y] == told
        y, wanted = ({item["n"]: item["coef"] for item in items} for items in (y, wanted))
    if not isinstance(wanted, dict):
        y, wanted = {(): y}, {(): wanted}
    assert list(y) == list(wanted)
    norms = {key: np.linalg.norm(coef) for key, coef in wanted.items()}
    for key, coef in wanted.items():  # what is next to nothing beside the rest has no digits
        if norms[key] > 1e-4 * max(norms.values()):
            assert relative_error(y[key], coef) < 10 * tolerance
    every, all_wanted = (np.concatenate([np.ravel(d[key]) for key in wanted]) for d in (y, wanted))
    assert relative_error(every, all_wanted) < tolerance


def assert_public(cls: Any, framework: str) -> None:
    """Check names, arguments and the entry point of a framework's class."""
    ours, theirs = (inspect.signature(c).parameters for c in (cls, on_numpy.TimeFrequencyScattering))
    if framework == "tensorflow":
        assert list(ours) == [*list(theirs)[:-2], "backend", "format", "name"]
    else:
        assert list(ours) == list(theirs)
    more = {"backend": framework, "name": "TimeFrequencyScattering"}
    for name, argument in ours.items():
        assert argument.default == (more[name] if name in more else theirs[name].default)
    assert (cls.__name__, cls.__module__) == ("TimeFrequencyScattering", f"scatc.{framework}")
    S = scatc.TimeFrequencyScattering(**SMALL, frontend=framework.upper())
    assert type(S) is cls
    assert (S.F, S.J_fr, S.Q_fr, S.backend.name) == (4, 2, (1,), framework)
    for bad, error in (
        ({"Q_fr": 0.9}, ValueError),
        ({"Q_fr": [1]}, ValueError),
        ({"Q_fr": (1, 2)}, NotImplementedError),
    ):
        with pytest.raises(error, match=r"Q_fr must be (>= 1|an integer or 1-tuple)"):
            cls(**SMALL, **bad)
