"""The source of gradients, and of transforms that keep something for them: as text, and what holds of it for any."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from compiled import fresh
from frameworks_support import ALL_TRANSFORMS, TRANSFORMS

from scatc.codegen import find_target
from scatc.ir.adjoint import SAVES
from scatc.ir.cost import Machine
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime.derived import gradient, keeping
from scatc.runtime.driver import build
from scatc.runtime.plan import Compiled
from scatc.version import __version__

# Not that of the computer on which the test runs.
MACHINE = Machine("test")

FEW = frozenset({(), (0,), (1,), (0, 3), (1, 3)})
TINY = {
    "1d": (Spec(dim=1, shape=32, J=3, Q=1), "inputs", {"select": FEW}),
    "1d_kept": (Spec(dim=1, shape=32, J=3, Q=1, T=0, padding="zero"), "first_order", {"select": FEW}),
    "1d_banded": (Spec(dim=1, shape=512, J=2, Q=1, T=4, order=1), "all", {}),
    "2d": (Spec(dim=2, shape=(8, 12), J=2, L=2, order=1), "inputs", {}),
    "3d": (Spec(dim=3, shape=(4, 4, 4), J=0, L=1), "inputs", {}),
}


def compiled_for(name: str, **more: Any) -> tuple[Compiled, str]:
    """The transform, and what it keeps."""
    spec, save, options = TINY[name]
    return build(spec, find_target("numpy"), Options(machine=MACHINE, **options, **more)), save  # type: ignore[arg-type]


def unversioned(source: str) -> str:
    return source.replace(f"scatc {__version__} ", "scatc ")


@pytest.mark.parametrize("name", TINY)
def test_golden_text(name: str, golden: Callable[[str, str], None]) -> None:
    source = gradient(*compiled_for(name)).source
    assert len(source.splitlines()) < 200
    golden(f"codegen/numpy_vjp_{name}", unversioned(source))


def test_golden_text_of_what_is_kept(golden: Callable[[str, str], None]) -> None:
    golden("codegen/numpy_keeping_1d", unversioned(keeping(*compiled_for("1d_kept")).source))


@pytest.mark.parametrize(("name", "more"), [("1d", {}), ("1d", {"memory_limit": 8000})], ids=["whole", "chunks"])
def test_golden_schedule(name: str, more: dict[str, Any], golden: Callable[[str, str], None]) -> None:
    how = "chunks" if more else "schedule"
    golden(f"codegen/numpy_vjp_{name}_{how}", str(gradient(*compiled_for(name, **more)).program))


def test_the_same_spec_gives_the_same_text() -> None:
    spec = Spec(dim=2, shape=(9, 8), J=2, L=2)
    for save in SAVES:
        assert fresh(spec, save=save).source("vjp") == fresh(spec, save=save).source("vjp")
    assert len({fresh(spec, save=save).source("vjp") for save in SAVES}) == len(SAVES)
    assert fresh(spec).source("vjp") != fresh(spec, dtype="float64").source("vjp")


def test_equal_paths_run_together() -> None:
    """Many filters are one line: the text grows with the depth and the shapes, not with the number of paths."""
    few, many = (len(fresh(Spec(dim=2, shape=(16, 16), J=2, L=L)).source("vjp").splitlines()) for L in (2, 8))
    assert many <= few + 20


@ALL_TRANSFORMS
@pytest.mark.parametrize("save", SAVES)
def test_programs_of_one_plan_share_their_tables(spec: Spec, save: str) -> None:
    """Filters and matrices exist once; only indices may be a program's own."""
    forward = build(spec, find_target("numpy"), Options(machine=MACHINE))
    for derived in (gradient(forward, save), keeping(forward, save)):
        for name, table in derived.tables.items():
            shared = re.search(r"_(w|start\d|a\d)$", name)
            assert table is forward.tables[name] if shared else re.search(r"_(rows|index\d)$", name), name


@pytest.mark.parametrize("name", ["1d", "2d", "3d"])
def test_what_is_not_needed_is_not_there(name: str) -> None:
    forward = build(TRANSFORMS[name], find_target("numpy"), Options(machine=MACHINE))
    assert keeping(forward, "inputs") is forward
    alone, whole = (gradient(forward, save) for save in ("inputs", "all"))
    assert "fft.ifft" in alone.source
    assert "fft.ifft" not in whole.source  # but for the real one that ends it
    assert set(whole.tables) <= set(alone.tables)
    assert "saved[0]" not in alone.source
    assert "saved[0]" in whole.source
