"""The source that is written for torch, which needs no torch: kept as text, and what holds of that of gradients."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import specs

from scatc.codegen import find_target
from scatc.ir.adjoint import SAVES
from scatc.ir.cost import Machine
from scatc.ir.options import Options
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.runtime.derived import gradient, keeping
from scatc.runtime.driver import build
from scatc.runtime.plan import Compiled
from scatc.version import __version__

MACHINE = Machine("test")
TINY = {
    "1d": Spec(dim=1, shape=32, J=2, Q=1),
    "1d_banded": Spec(dim=1, shape=512, J=2, Q=1, T=4, order=1),
    "2d_none": Spec(dim=2, shape=(6, 5), J=1, L=1, T=0),
    "3d": Spec(dim=3, shape=(4, 4, 4), J=0, L=1),
}


def compiled(spec: Spec, dtype: str = "float32") -> Compiled:
    return build(spec, find_target("torch"), Options(dtype=dtype, machine=MACHINE))


@pytest.mark.parametrize("name", TINY)
def test_golden_text(name: str, golden: Callable[[str, str], None]) -> None:
    forward = compiled(TINY[name])
    for what, found in (("", keeping(forward, "all")), ("_vjp", gradient(forward, "inputs"))):
        assert len(found.source.splitlines()) < 200
        golden(f"codegen/torch_{name}{what}", found.source.replace(f"scatc {__version__} ", "scatc "))


@given(st.data())
@settings(max_examples=40)
def test_gradients_are_tidy(data: st.DataObject) -> None:
    spec = data.draw(specs().filter(lambda spec: bool(all_paths(spec))))
    forward = compiled(spec, data.draw(st.sampled_from(["float32", "float64"])))
    save = data.draw(st.sampled_from(list(SAVES)))
    for source in (keeping(forward, save).source, gradient(forward, save).source):
        tree = ast.parse(source)
        assert source.endswith("\n")
        assert not source.endswith("\n\n")
        assert "\n\n\n\n" not in source
        for line in source.split('"""\n', 1)[1].splitlines():
            assert line == line.rstrip()
            assert len(line) <= 120 or line.lstrip().startswith("#"), line
        nodes = list(ast.walk(tree))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        known = {"torch", "pad", *dir(builtins)}
        known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        assert used <= known | assigned, used - known - assigned


@given(st.data())
@settings(max_examples=20)
def test_gradients_need_no_tables_of_their_own(data: st.DataObject) -> None:
    spec = data.draw(specs().filter(lambda spec: bool(all_paths(spec))))
    forward = compiled(spec)
    for save in SAVES:
        assert gradient(forward, save).tables is forward.tables
        unpacked = [line for line in gradient(forward, save).source.splitlines() if line.endswith('"]')]
        assert {line.split('"')[1] for line in unpacked} <= set(forward.tables)
