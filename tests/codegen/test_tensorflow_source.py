"""The source that is written for TensorFlow, kept as text for tiny transforms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scatc.codegen import find_target
from scatc.ir.cost import Machine
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime.driver import build
from scatc.version import __version__

TINY = {
    "1d": Spec(dim=1, shape=32, J=2, Q=1),
    "2d": Spec(dim=2, shape=(8, 12), J=2, L=2),
    "3d": Spec(dim=3, shape=(4, 4, 4), J=0, L=1),
}


@pytest.mark.parametrize("name", TINY)
def test_golden_text(name: str, golden: Callable[[str, str], None]) -> None:
    source = build(TINY[name], find_target("tensorflow"), Options(machine=Machine("test"))).source
    assert len(source.splitlines()) < 230
    golden(f"codegen/tensorflow_{name}", source.replace(f"scatc {__version__} ", "scatc "))
