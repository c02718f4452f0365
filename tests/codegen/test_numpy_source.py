"""The source that is written for numpy: kept as text for tiny transforms, and what holds of it for any."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable

import pytest
from compiled import fresh
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import specs

from scatc.codegen import find_target
from scatc.ir.adjoint import SAVES
from scatc.ir.cost import Machine
from scatc.ir.nodes import Modulus
from scatc.ir.options import Options
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.ir.transposed import FoldT
from scatc.runtime.derived import gradient, keeping
from scatc.runtime.driver import build
from scatc.runtime.plan import Compiled
from scatc.version import __version__

# Not that of the computer on which the test runs.
MACHINE = Machine("test")

TINY = {
    "1d": (Spec(dim=1, shape=32, J=2, Q=1), {}),
    "1d_banded": (Spec(dim=1, shape=512, J=2, Q=1, T=4, order=1), {}),
    "1d_chunks": (Spec(dim=1, shape=64, J=3, Q=1), {"memory_limit": 3500}),
    "1d_none": (Spec(dim=1, shape=32, J=2, Q=1, T=0, padding="zero"), {}),
    "2d": (Spec(dim=2, shape=(8, 12), J=2, L=2), {}),
    "2d_global": (Spec(dim=2, shape=(8, 8), J=1, L=2, T="global", padding="periodic"), {}),
    "3d": (Spec(dim=3, shape=(4, 4, 4), J=0, L=1), {}),
    "3d_one_component": (Spec(dim=3, shape=(4, 4, 6), J=1, L=1, rotation_covariant=False, integral_powers=(1, 3)), {}),
}


@pytest.mark.parametrize("name", TINY)
def test_golden_text(name: str, golden: Callable[[str, str], None]) -> None:
    spec, more = TINY[name]
    source = build(spec, find_target("numpy"), Options(machine=MACHINE, **more)).source  # type: ignore[arg-type]
    assert len(source.splitlines()) < 200
    golden(f"codegen/numpy_{name}", source.replace(f"scatc {__version__} ", "scatc "))


@given(st.data())
@settings(max_examples=60)
def test_every_source_is_tidy(data: st.DataObject) -> None:
    spec = data.draw(specs().filter(lambda spec: bool(all_paths(spec))))
    options = Options(dtype=data.draw(st.sampled_from(["float32", "float64"])), workers=1)
    machine = Machine(cache_bytes=data.draw(st.sampled_from([1, 1 << 12, 1 << 20])))
    options = Options(dtype=options.dtype, machine=machine)
    compiled = build(spec, find_target("numpy"), options)
    assert_tidy(compiled)
    save = data.draw(st.sampled_from(list(SAVES)))
    assert_tidy(gradient(compiled, save))
    assert_tidy(keeping(compiled, save))


def test_gathers_of_long_names_are_tidy() -> None:
    # a stride of one in a space of eight: branches by the dozen, each a gather of windows along both axes
    spec = Spec(dim=2, shape=(8, 8), J=3, L=4, T=8, stride=1)
    machine = Machine(cache_bytes=1 << 12)
    compiled = build(spec, find_target("numpy"), Options(dtype="float32", machine=machine))
    assert "windows[:" in compiled.source
    assert_tidy(compiled)
    assert_tidy(gradient(compiled, "all"))


def assert_tidy(compiled: Compiled) -> None:
    source, graph = compiled.source, compiled.program.graph
    tree = ast.parse(source)
    assert source.endswith("\n")
    assert not source.endswith("\n\n")
    assert "\t" not in source
    code = source.split('"""\n', 1)[1]
    for line in code.splitlines():
        assert line == line.rstrip()
        assert len(line) <= 140 or line.lstrip().startswith("#"), line
    # names are those of the nodes, tables those of the plan
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for name, node in graph:
        # what is added to a sum of branches stands where the sum began
        if node.kind not in ("input", "output", "store", "fold_t", "gradient"):
            assert name in assigned, name
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(compiled.tables) <= used
    for name in compiled.tables:
        assert re.search(rf"^    {name} ", source.split('"""')[1], re.MULTILINE)
    # only what is imported or bound exists besides
    nodes = list(ast.walk(tree))
    imported = {
        a.asname or a.name for node in nodes if isinstance(node, ast.ImportFrom | ast.Import) for a in node.names
    }
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    known = assigned | imported | defined | arguments | set(compiled.tables) | set(dir(builtins))
    assert used <= known, used - known
    # loops are over chunks of filters, components, windows that overlap or slabs of volumes: never over single paths
    # that could run together
    work = [f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name != "run"]
    loops = [node for f in work for node in ast.walk(f) if isinstance(node, ast.For)]
    windows = [loop for loop in loops if "_start" in ast.unparse(loop.iter)]
    overlaps = [node for _, node in graph if isinstance(node, FoldT) and len(set(node.starts)) > 1]
    folds = [name for name in compiled.program.chunks if compiled.program.split(name)]
    values = compiled.program.values
    norms = [name for name, node in graph if isinstance(node, Modulus) and values[node.x].components > 1]
    slabs = [loop for loop in loops if "w[f, m, s]" in ast.unparse(loop) and loop not in windows]
    assert len(loops) - len(windows) - len(slabs) <= len(folds) + len(norms)
    assert not slabs or (graph.spec.dim == 3 and any(isinstance(node, FoldT) for _, node in graph))
    assert overlaps or not windows


def test_the_same_spec_gives_the_same_text() -> None:
    spec = Spec(dim=2, shape=(9, 8), J=2, L=2)
    assert fresh(spec).source() == fresh(spec).source()
    assert fresh(spec).source() != fresh(spec, dtype="float64").source()


def test_equal_paths_run_together() -> None:
    """Many filters are one line: the text grows with the depth and the shapes, not with the number of paths."""
    few, many = (len(fresh(Spec(dim=2, shape=(16, 16), J=2, L=L)).source().splitlines()) for L in (2, 8))
    assert many <= few + 4
