"""The passes that choose and merge: selections, parity, low-passes by cost, sibling rows, windows of spectra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import before, stages, worst
from strategies import selections, signal, specs, without_roots

from scatc.ir.cost import Machine, graph_costs
from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.nodes import Fft, Filter, Fold, Lowpass, Modulus, Output
from scatc.ir.options import Options
from scatc.ir.passes import run_passes
from scatc.ir.passes.batch_siblings import batch_siblings
from scatc.ir.passes.lower_leaves import lower_leaves
from scatc.ir.passes.narrow_spectra import narrow_spectra
from scatc.ir.passes.select_paths import select_paths
from scatc.ir.passes.use_real import use_real
from scatc.ir.paths import all_paths, infos
from scatc.ir.spec import Spec
from scatc.ir.values import infer
from scatc.ir.verify import verify

# ---- select_paths ---------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60)
def test_selected_paths_are_those_of_the_whole(data: st.DataObject) -> None:
    """Through all passes: rows that are missing must not be filled with a sibling's."""
    spec = without_roots(data.draw(specs()))
    select = data.draw(selections(spec))
    x = signal("noise", (2, *spec.input_shape), data.draw(st.integers(0, 99)))
    graph, _ = run_passes(lower(spec), Options(dtype="float64", select=select), debug=True)
    whole = interpret(lower(spec), x)
    got = interpret(graph, x)
    assert got.keys() == select
    floor = 1e-3 * float(np.linalg.norm(x))
    assert worst(got, {path: whole[path] for path in got}, floor) < 1e-12


@given(st.data())
@settings(max_examples=40)
def test_selection_keeps_the_filters_along_its_paths_and_no_other(data: st.DataObject) -> None:
    spec = data.draw(specs())
    select = data.draw(selections(spec))
    graph = select_paths(lower(spec), Options(select=select))
    needed = {path[:order] for path in select for order in range(1, len(path) + 1)}
    assert sum(isinstance(node, Filter) for _, node in graph) == len(needed)
    assert {path for _, output in graph.outputs for path in output.paths} == select
    assert all(graph.users[name] or isinstance(node, Output) for name, node in graph)


def test_selection_removes_nodes_and_work() -> None:
    spec, machine = Spec(dim=2, shape=(32, 32), J=3, L=4), Machine()
    seconds, nodes = [], []
    for select in (frozenset({()}), frozenset({(0,)}), frozenset({(0,), (0, 5)}), None):
        graph, _ = run_passes(lower(spec), Options(select=select))
        nodes.append(len(graph))
        seconds.append(sum(cost.seconds for cost in graph_costs(graph, machine, 4).values()))
    assert nodes == sorted(nodes)
    assert nodes[0] == 4  # x, its padding, the low-pass, the output
    assert seconds == sorted(seconds)
    assert seconds[-1] > 5 * seconds[1]


def test_empty_selection_leaves_nothing() -> None:
    graph, _ = run_passes(lower(Spec(dim=1, shape=16, J=2)), Options(select=frozenset()))
    assert len(graph) == 0


# ---- use_real -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16, 16), (14, 16, 12), (9, 9, 9), (16, 15, 16)])
@pytest.mark.parametrize("sigma_0", [0.7, 1.0, 1.6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parity_is_tested_per_degree_and_scale(shape: tuple[int, ...], sigma_0: float, dtype: str) -> None:
    """Half of the components serve exactly where -m and m have equal moduli for any real signal."""
    spec = Spec(dim=3, shape=shape, J=2, L=2, order=1, sigma_0=sigma_0)
    options = Options(dtype=dtype)
    graph = use_real(before("use_real", spec, options), options)
    u = np.fft.fftn(signal("noise", shape))
    halved = []
    for path in all_paths(spec):
        fold = next(n for _, n in graph if isinstance(n, Fold) and n.indices == path)
        modulus = next(n for name, n in graph if name == f"U_{path[0]}")
        assert isinstance(modulus, Modulus)
        l = infos(spec, path)[0].l or 0
        z = np.abs(np.fft.ifftn(u * banks(spec)["psi"].response(path[0]), axes=(1, 2, 3)))
        error = np.linalg.norm(z - z[::-1]) / np.linalg.norm(z)
        if fold.components:
            assert fold.components == tuple(range(l, 2 * l + 1))
            assert modulus.weights == (1,) + (2,) * l
            assert error < {"float32": 1e-5, "float64": 1e-12}[dtype]
            halved.append(path)
        else:
            assert modulus.weights == ()
            assert l == 0 or error > 1e-14
    if sigma_0 == 1.0 and shape == (16, 16, 16):
        scales = {(infos(spec, p)[0].l, infos(spec, p)[0].j) for p in halved}
        assert scales.isdisjoint({(1, 0), (2, 0)}), "the Nyquist planes break it at j = 0"
        assert {(1, 2), (2, 2)} <= scales, "it holds for wide wavelets"


def test_half_of_the_components_halve_the_work() -> None:
    spec = Spec(dim=3, shape=(32, 32, 32), J=1, L=2, sigma_0=3.0)
    options = Options()
    graph = before("use_real", spec, options)
    work = [sum(c.flops for c in graph_costs(g, Machine(), 4).values()) for g in (graph, use_real(graph, options))]
    assert work[1] < 0.75 * work[0]


def test_one_component_has_no_mirror() -> None:
    spec = Spec(dim=3, shape=(8, 8, 8), J=0, L=2, sigma_0=3.0, rotation_covariant=False)
    graph = use_real(before("use_real", spec, Options()), Options())
    assert all(not node.components for _, node in graph if isinstance(node, Fold))
    assert all(not node.weights for _, node in graph if isinstance(node, Modulus))


# ---- lower_leaves ---------------------------------------------------------------------------------------------------

FFT = Machine(matmul_rate=1.0, fft_rate=1e30, bandwidth=1e30, call=0)
MATRICES = Machine(matmul_rate=1e30, fft_rate=1.0, bandwidth=1e30, call=0)
LONG = Spec(dim=1, shape=900, J=4, Q=1, T=4, order=1, stride=4)
IMAGE = Spec(dim=2, shape=(64, 16), J=1, L=2, order=1)


def lowpasses(graph: Graph) -> list[Lowpass]:
    return [node for _, node in graph if isinstance(node, Lowpass)]


@pytest.mark.parametrize("spec", [LONG, IMAGE], ids=["1D", "2D"])
def test_the_machine_chooses(spec: Spec) -> None:
    graph = before("lower_leaves", spec, Options())
    assert not lowpasses(lower_leaves(graph, Options(machine=FFT)))
    assert len(lowpasses(lower_leaves(graph, Options(machine=MATRICES)))) == len(all_paths(spec))
    calls = Machine(call=1.0)
    assert len(lowpasses(lower_leaves(graph, Options(machine=calls)))) == len(all_paths(spec))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", [LONG, IMAGE], ids=["1D", "2D"])
def test_all_methods_give_the_same_numbers(spec: Spec, dtype: str) -> None:
    x = signal("noise", spec.input_shape)
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    expected = interpret(lower(spec), x)
    for machine in (FFT, MATRICES):
        options = Options(dtype=dtype, machine=machine)
        graph, _ = run_passes(lower(spec), options, debug=True)
        assert bool(lowpasses(graph)) == (machine is MATRICES)
        assert worst(interpret(graph, x), expected) < tolerance


def test_short_taps_are_banded_and_long_ones_dense() -> None:
    options = Options(machine=MATRICES)
    for spec, method in ((LONG, "banded"), (Spec(dim=1, shape=60, J=5, order=1), "dense")):
        graph = lower_leaves(before("lower_leaves", spec, options), options)
        found = lowpasses(graph)
        assert len(found) == len(all_paths(spec))
        assert found[0].methods == (method,)
    graph = lower_leaves(before("lower_leaves", IMAGE, options), options)
    assert {node.methods for node in lowpasses(graph)} == {("dense", "dense")}, "one for each axis"


def test_banded_frames_lie_within_the_grid() -> None:
    """Where taps reach around the circle (here with the kept samples at the very ends), the matrix is dense."""
    spec = Spec(dim=1, shape=900, J=4, Q=1, T=4, order=0)
    options = Options(machine=MATRICES)
    graph = before("lower_leaves", spec, options)
    name = next(name for name, node in graph if node.kind == "unpad")
    everything = ((0, spec.padded_shape[0] >> 2),)
    wide = graph.rewrite(lambda n, node: replace(node, kept=everything) if n == name else None)
    (found,) = lowpasses(lower_leaves(wide, options))
    assert found.methods == ("dense",)
    (found,) = lowpasses(lower_leaves(graph, options))
    assert found.methods == ("banded",)


def test_an_fft_that_others_need_costs_a_low_pass_nothing() -> None:
    """With children, the spectrum is there anyway: at the right price a leaf takes a matrix and a parent does not."""
    spec = Spec(dim=1, shape=256, J=4, T=16)
    chosen = set()
    for rate in np.logspace(8, 12, 60):
        options = Options(machine=Machine(matmul_rate=rate, call=0, bandwidth=1e30))
        graph = lower_leaves(before("lower_leaves", spec, options), options)
        chosen.add(tuple(name for name, node in graph if isinstance(node, Lowpass)))
    parents = {"_".join(["S", *map(str, p[:-1])]) if p[:-1] else "S0" for p in all_paths(spec) if p}
    assert any(found and not parents & set(found) for found in chosen)


# ---- batch_siblings -------------------------------------------------------------------------------------------------


def test_rows_are_ordered_parent_first() -> None:
    spec = Spec(dim=2, shape=(16, 16), J=3, L=2)
    graph, _ = run_passes(lower(spec), Options())
    paths = {name: node.paths for name, node in graph.outputs}
    assert paths["out0"] == ((),)
    assert ((0,), (1,)) in paths.values()
    assert ((0, 2), (0, 3), (1, 2), (1, 3)) in paths.values()
    values = infer(graph)
    for name, node in graph:
        if isinstance(node, Fold):
            assert values[name].paths == values[node.x].paths * len(node.indices)


@given(specs())
@settings(max_examples=40)
def test_complete_graphs_batch_what_is_alike(spec: Spec) -> None:
    """Siblings of one scale, with equal shapes and the same filters below, are one node; every path comes out once."""
    graphs = dict(stages(spec, Options()))
    batched = graphs["batch_siblings"]
    assert sorted(p for _, o in batched.outputs for p in o.paths) == sorted(all_paths(spec))
    verify(batched, "program")
    seen: set[tuple[object, ...]] = set()
    for name, node in batched:
        if isinstance(node, Fold) and not batched.users[name][0].startswith("A"):
            below = tuple(getattr(n, "indices", None) for n in _descendants(batched, name))
            (scale,) = {banks(spec)[node.bank].info[index].j for index in node.indices}
            kind = (node.x, node.bank, scale, node.by, node.components, tuple(_shapes(batched, name)), below)
            assert kind not in seen, f"{name} could be part of another"
            seen.add(kind)


def _descendants(graph: Graph, name: str) -> list[object]:
    found: list[object] = []
    for user in graph.users[name]:
        found += [graph[user], *_descendants(graph, user)]
    return found


def _shapes(graph: Graph, name: str) -> list[object]:
    values = infer(graph)
    found: list[object] = []

    def visit(node: str) -> None:
        for user in graph.users[node]:
            found.append((graph[user].kind, values[user].shape, values[user].components))
            visit(user)

    found.append((values[name].shape, values[name].components))
    visit(name)
    return found


def test_parents_with_different_children_are_not_batched() -> None:
    spec = Spec(dim=2, shape=(16, 16), J=2, L=2)
    select = frozenset({(0,), (1,), (0, 2), (1, 3)})
    graph, _ = run_passes(lower(spec), Options(select=select), debug=True)
    folds = {node.indices for _, node in graph if isinstance(node, Fold) and node.bank == "psi"}
    assert folds == {(0,), (1,), (2,), (3,)}
    select = frozenset({(0,), (1,), (0, 2), (1, 2)})
    graph, _ = run_passes(lower(spec), Options(select=select), debug=True)
    assert {node.indices for _, node in graph if isinstance(node, Fold) and node.bank == "psi"} == {(0, 1), (2,)}


def test_a_parent_without_an_output_is_not_batched_with_one_that_has() -> None:
    spec = Spec(dim=2, shape=(16, 16), J=2, L=2)
    graph, _ = run_passes(lower(spec), Options(select=frozenset({(0,), (0, 2), (1, 2)})), debug=True)
    x = signal("noise", (16, 16))
    got, whole = interpret(graph, x), interpret(lower(spec), x)
    assert got.keys() == {(0,), (0, 2), (1, 2)}
    assert worst(got, {path: whole[path] for path in got}) < 1e-6


def test_names_of_groups_say_first_and_last() -> None:
    graph = batch_siblings(before("batch_siblings", Spec(dim=2, shape=(8, 8), J=1, L=3), Options()), Options())
    assert "Y_0_to_2" in graph.nodes
    assert graph["out_0_to_2"] == Output(graph["out_0_to_2"].x, ((0,), (1,), (2,)))


# ---- narrow_spectra -------------------------------------------------------------------------------------------------


def test_low_frequencies_alone_need_a_narrow_spectrum() -> None:
    spec = Spec(dim=1, shape=256, J=5, order=1, T="global")
    last = max(all_paths(spec))
    options = Options(select=frozenset({last}))
    graph = before("narrow_spectra", spec, options)
    narrow = narrow_spectra(graph, options)
    (fft,) = (node for _, node in narrow if isinstance(node, Fft))
    ((start, stop),) = fft.box
    (fold,) = (node for _, node in narrow if isinstance(node, Fold))
    assert (start, stop) == (fold.starts[0][0], fold.starts[0][0] + fold.widths[0])
    assert stop - start < spec.padded_shape[0] // 4
    assert list(narrow.nodes) == list(graph.nodes)
    moved = [graph_costs(g, Machine(), 4)["X0"].bytes for g in (graph, narrow)]
    assert moved[1] < moved[0]


@given(st.data())
@settings(max_examples=60)
def test_boxes_hold_every_window_and_no_more(data: st.DataObject) -> None:
    spec = data.draw(specs())
    options = Options(select=data.draw(selections(spec)))
    graph, _ = run_passes(lower(spec), options)
    for name, node in graph:
        if not isinstance(node, Fft) or not node.box:
            continue
        folds = [fold for user in graph.users[name] if isinstance(fold := graph[user], Fold)]
        for axis, (a, b) in enumerate(node.box):
            windows = [(s[axis], s[axis] + fold.widths[axis]) for fold in folds for s in fold.starts]
            assert a == min(low for low, _ in windows)
            assert b == max(high for _, high in windows)
