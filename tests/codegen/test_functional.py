"""What pure functions of tensors are written from: tables, slices, and the source that comes of them."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import specs

from scatc.codegen import find_target, targets
from scatc.codegen.functional import Emitter, FunctionalTarget
from scatc.codegen.functional_rules import RULES
from scatc.codegen.functional_tables import filter_tables, make_tables, output_parts, output_rows, toeplitz
from scatc.ir.cost import Machine
from scatc.ir.lower import lower
from scatc.ir.lowpass import dense_matrix, frames, impulse_response
from scatc.ir.nodes import Fold, Lowpass, Output, Pad
from scatc.ir.options import Options
from scatc.ir.passes import run_passes
from scatc.ir.paths import all_paths
from scatc.ir.schedule import Program, schedule
from scatc.ir.spec import Spec
from scatc.ir.values import Value
from scatc.version import __version__

FUNCTIONAL = [name for name in targets() if isinstance(find_target(name), FunctionalTarget)]
OPTIONS = Options(machine=Machine("test"))  # not that of the computer on which the test runs

TINY = {
    "1d": Spec(dim=1, shape=32, J=2, Q=1),
    "1d_banded": Spec(dim=1, shape=512, J=2, Q=1, T=4, order=1),
    "1d_none": Spec(dim=1, shape=32, J=2, Q=1, T=0, padding="zero"),
    "2d": Spec(dim=2, shape=(8, 12), J=2, L=2),
    "3d": Spec(dim=3, shape=(4, 4, 4), J=0, L=1),
}
ALL_TINY = pytest.mark.parametrize("spec", TINY.values(), ids=list(TINY))


def program_of(spec: Spec, options: Options = OPTIONS, target: str = "jax") -> Program:
    return schedule(run_passes(lower(spec), options)[0], options, find_target(target).memory(options))


def source_of(target: str, spec: Spec, options: Options = OPTIONS) -> tuple[str, dict[str, NDArray[Any]], Program]:
    program, found = program_of(spec, options, target), find_target(target)
    tables = found.tables(program, options)
    return found.emit(program, options, tables, __version__), tables, program


@pytest.mark.parametrize("name", TINY)
def test_golden_text_for_jax(name: str, golden: Callable[[str, str], None]) -> None:
    source, _, _ = source_of("jax", TINY[name])
    assert len(source.splitlines()) < 200
    golden(f"codegen/jax_{name}", source.replace(f"scatc {__version__} ", "scatc "))


@pytest.mark.parametrize("target", FUNCTIONAL)
@given(data=st.data())
@settings(max_examples=40)
def test_every_source_is_tidy(target: str, data: st.DataObject) -> None:
    spec = data.draw(specs().filter(lambda spec: bool(all_paths(spec))))
    options = Options(dtype=data.draw(st.sampled_from(["float32", "float64"])), machine=Machine("test"))
    source, tables, program = source_of(target, spec, options)
    tree = ast.parse(source)
    assert source.endswith("\n")
    assert not source.endswith("\n\n")
    assert "\t" not in source
    assert "\n\n\n\n" not in source
    for line in source.split('"""\n', 1)[1].splitlines():
        assert line == line.rstrip()
        assert len(line) <= 120 or line.lstrip().startswith("#"), line
    nodes = list(ast.walk(tree))
    # names are those of the nodes, tables those of the plan
    assigned = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for name, node in program.graph:
        if node.kind not in ("input", "output"):
            assert name in assigned, name
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    _, header, code = source.split('"""', 2)
    for name in tables:
        assert re.search(rf"^    {name} ", header, re.MULTILINE)
        assert re.search(rf"\b{name}\b", code) or name.endswith("_places")  # which gradients read
    # only what is imported or bound exists besides
    imported = {
        (a.asname or a.name).split(".")[0]
        for node in nodes
        if isinstance(node, ast.ImportFrom | ast.Import)
        for a in node.names
    }
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    known = assigned | imported | defined | arguments | set(tables) | set(dir(builtins))
    assert used <= known, used - known


@pytest.mark.parametrize("target", FUNCTIONAL)
def test_equal_paths_run_together(target: str) -> None:
    """Many filters are one line: the text grows with the depth and the shapes, not with the number of paths."""
    few, many = (len(source_of(target, Spec(dim=2, shape=(16, 16), J=2, L=L))[0].splitlines()) for L in (2, 8))
    assert many <= few + 4


@pytest.mark.parametrize("target", FUNCTIONAL)
def test_the_same_spec_gives_the_same_text(target: str) -> None:
    spec = Spec(dim=2, shape=(9, 8), J=2, L=2)
    assert source_of(target, spec)[0] == source_of(target, spec)[0]


class Numpy(FunctionalTarget):
    """A target whose templates nobody reads: rules and tables are looked at by themselves."""

    name = "jax"
    requires = ()
    constants = Machine("test")


@st.composite
def lowpasses(draw: st.DrawFn) -> tuple[Spec, Lowpass]:
    """A low-pass that the passes chose."""
    spec = draw(specs(dims=(1, 2)).filter(lambda spec: spec.average == "local" and bool(all_paths(spec))))
    program = program_of(spec)
    found = [(spec, node) for _, node in program.graph if isinstance(node, Lowpass)]
    return draw(st.sampled_from(found)) if found else draw(lowpasses())


@given(lowpasses())
@settings(max_examples=60)
def test_matrices_of_phi_are_made_from_vectors(case: tuple[Spec, Lowpass]) -> None:
    spec, node = case
    program = program_of(spec)
    vectors, matrices = (make_tables(program, Options("float64"), compact) for compact in (True, False))
    for axis in range(spec.dim):
        name = f"phi{node.level}_{node.methods[axis]}{axis}"
        form = toeplitz(spec, node, axis)
        got = matrices[name].T if axis == spec.dim - 1 else matrices[name]
        assert got.shape == (form.rows, form.width)
        np.testing.assert_array_equal(form.matrix(vectors[name]), got)
        if node.methods[axis] == "dense":
            wanted = dense_matrix(spec, node.level, axis, node.by, node.kept[axis]).T
        else:
            wanted = _two_blocks(spec, node, axis)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-15)


def _two_blocks(spec: Spec, node: Lowpass, axis: int) -> NDArray[np.float64]:
    """What one frame adds to the outputs of the block before it, which ends there, and to those of its own."""
    layout = frames(node.kept[axis], node.by, node.taps[axis])
    h, radius = impulse_response(spec, node.level, axis), node.taps[axis] // 2
    matrix = np.zeros((2 * layout.outputs, layout.length))
    for row, output in enumerate(range(-layout.outputs, layout.outputs)):
        centre = (output << node.by) + radius  # counted from the frame's first sample
        for sample in range(layout.length):
            if abs(centre - sample) <= radius:
                matrix[row, sample] = h[(centre - sample) % len(h)]
    return matrix


def test_folds_by_the_same_filters_share_a_table() -> None:
    spec = Spec(dim=3, shape=(8, 8, 8), J=1, L=1)
    program = program_of(spec)
    names = filter_tables(program)
    folds = {name: node for name, node in program.graph if isinstance(node, Fold)}
    assert set(names) == set(folds)
    filters = {name: (node.indices, node.components) for name, node in folds.items()}
    assert len(set(names.values())) == len(set(filters.values())) < len(folds)
    for name, table in names.items():
        assert filters[name] == filters[table.removesuffix("_w")]
    assert {table for table in make_tables(program, OPTIONS) if table.endswith("_w")} == set(names.values())


@ALL_TINY
def test_tables_are_no_larger_than_they_must_be(spec: Spec) -> None:
    for name, table in make_tables(program_of(spec), OPTIONS).items():
        assert table.dtype == (np.int32 if name.endswith("rows") else np.complex64 if spec.dim == 3 else np.float32)
        assert not table.flags.writeable


@given(specs().filter(lambda spec: bool(all_paths(spec))))
@settings(max_examples=40)
def test_rows_of_the_parts_come_in_the_order_of_paths(spec: Spec) -> None:
    program = program_of(spec)
    for (_, paths), parts, rows in zip(program.outputs, output_parts(program), output_rows(program), strict=True):
        nodes = [program.graph[name] for name in parts]
        joined = [path for node in nodes if isinstance(node, Output) for path in node.paths]
        assert (rows is None) == (joined == list(paths))
        assert [joined[row] for row in (range(len(joined)) if rows is None else rows)] == list(paths)


@given(
    st.integers(1, 9),
    st.tuples(st.integers(0, 12), st.integers(0, 12)),
    st.sampled_from(["reflect", "periodic"]),
)
def test_padding_in_runs(n: int, width: tuple[int, int], mode: str) -> None:
    emitter = Emitter(program_of(TINY["1d"]), Numpy())
    x, y = Value((n,), (n,)), Value((n + sum(width),), (n + sum(width),))
    context = RULES[Pad](emitter, "U0", Pad("x", (width,), mode), x, y)
    array = np.arange(3.0 * n).reshape(3, n)
    got = array
    for step in context["steps"]:  # type: ignore[attr-defined]
        parts = [eval(f"array[{part.read}]", {"array": got}) for part in step.parts]
        assert all(array.shape[-1] == n for array, part in zip(parts, step.parts, strict=True) if part.whole)
        got = np.concatenate([np.flip(a, p.axes) for a, p in zip(parts, step.parts, strict=True)], axis=step.axis)
    numpy_mode = {"reflect": "reflect", "periodic": "wrap"}[mode]
    np.testing.assert_array_equal(got, np.pad(array, ((0, 0), width), mode=numpy_mode))  # type: ignore[call-overload]


def test_values_are_freed_where_a_target_asks_for_it() -> None:
    class Freeing(Numpy):
        frees = True

    program = program_of(TINY["1d"])
    kept, freed = (Emitter(program, target()).sections() for target in (Numpy, Freeing))
    assert "del " not in "".join(kept.values())
    for branch, code in freed.items():
        names = [line.split("del ")[1] for line in code.splitlines() if "del " in line]
        gone = {name for line in names for name in line.split(", ")}
        made = {name for name, _ in program.graph if program.branch(name) == branch}
        results = set(Emitter(program, Freeing()).results(branch))
        assert gone == {name for name in made if not name.startswith("out") and name != "x"} - results
        for name in gone:  # once, and nothing reads it later
            before, after = re.split(rf"del .*\b{name}\b.*\n?", code)
            assert not re.search(rf"\b{name}\b", after)
            assert re.search(rf"\b{name}\b", before)
