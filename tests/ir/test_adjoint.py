"""The vector-Jacobian product as a graph: what it means, whatever is stored, and how it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
from frameworks_support import ALL_SMALL, ALL_TRANSFORMS, TRANSFORMS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracle import stages
from strategies import selections, signal, signals, specs, without_roots

from scatc.ir.adjoint import MOST_KEPT, SAVES, STORE_BANDWIDTH, WORTH_KEEPING, adjoint, cheapest_save, storing
from scatc.ir.cost import Machine, graph_costs
from scatc.ir.graph import Graph
from scatc.ir.interpret import evaluate, interpret, interpret_vjp
from scatc.ir.lower import lower
from scatc.ir.nodes import Fft, Fold, Ifft, Input, Modulus, Pad
from scatc.ir.options import Options
from scatc.ir.passes import run_passes
from scatc.ir.paths import Path
from scatc.ir.reverse import reverse
from scatc.ir.spec import Spec
from scatc.ir.text import parse_graph, print_graph
from scatc.ir.transposed import Blank, Cotangent, FoldT, Gradient, Load, ModulusT, Store
from scatc.ir.values import infer
from scatc.ir.verify import verify

Array = NDArray[Any]
DOUBLE = Options(dtype="float64")
EVERY_SAVE = pytest.mark.parametrize("save", SAVES)


def program(spec: Spec, options: Options = DOUBLE) -> Graph:
    return run_passes(lower(spec), options)[0]


def cotangents(graph: Graph, x: Array) -> dict[Path, Array]:
    rng = np.random.default_rng(0)
    return {path: rng.standard_normal(y.shape) for path, y in interpret(graph, x).items()}


def kept(graph: Graph, x: Array, save: str) -> dict[int, Array]:
    """What the forward graph stores, by slot."""
    stores = storing(graph, save)
    values = evaluate(stores, x)
    return {node.slot: values[name] for name, node in stores if isinstance(node, Store)}


def wanted(graph: Graph, x: Array, g: dict[Path, Array]) -> Array:
    """The oracle's gradient; cotangents of paths that the graph does not output are zero."""
    whole = lower(graph.spec)
    return reverse(whole, x, {p: g.get(p, np.zeros(y.shape)) for p, y in interpret(whole, x).items()})


def assert_close(got: Array, expected: Array, g: dict[Path, Array], tolerance: float) -> None:
    """Equal up to rounding, that of contributions which cancel included."""
    size = np.sqrt(sum(float(np.sum(array**2)) for array in g.values()))
    assert got.shape == expected.shape
    error = float(np.linalg.norm(got - expected))
    assert error <= tolerance * (float(np.linalg.norm(expected)) + 1e-2 * size), error / size


# ---- what it means --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=15)
def test_any_small_spec(dim: int, data: st.DataObject) -> None:
    spec = without_roots(data.draw(specs(dims=(dim,), max_side=48)))
    graph = program(spec, Options(dtype="float64", select=data.draw(st.one_of(st.none(), selections(spec)))))
    x = np.stack([data.draw(signals(spec.input_shape, ("noise", "chirp"))) for _ in range(2)])
    x += 1e-2 * signal("noise", x.shape)  # where U is 0 but for rounding, so is its phase
    g = cotangents(graph, x)
    expected = wanted(graph, x, g)
    for save in SAVES:
        vjp = adjoint(graph, save)
        verify(vjp, "gradient")
        assert parse_graph(print_graph(vjp)) == vjp
        assert parse_graph(print_graph(vjp, comments=False)) == vjp
        assert_close(interpret_vjp(vjp, x, g, kept(graph, x, save)), expected, g, 1e-12)


@ALL_SMALL
def test_of_every_program_on_the_way(spec: Spec) -> None:
    """From the first in which filters are products of spectra to the last."""
    spec = without_roots(spec)
    x = signal("noise", (2, *spec.input_shape))
    after = dict(stages(spec, DOUBLE))
    g = cotangents(after["lower"], x)
    expected = wanted(after["lower"], x, g)
    for stage in list(after)[list(after).index("fuse_fold") :]:
        vjp = adjoint(after[stage], "first_order")
        verify(vjp, "gradient")
        assert_close(interpret_vjp(vjp, x, g, kept(after[stage], x, "first_order")), expected, g, 1e-12)


@pytest.mark.parametrize("name", ["1d_none", "1d_global", "2d", "2d_none", "3d"])
def test_what_float32_leaves_out_is_as_little_as_in_the_transform(name: str) -> None:
    spec = TRANSFORMS[name]
    graph = program(spec, Options(dtype="float32"))
    x = signal("noise", (2, *spec.input_shape))
    g = cotangents(graph, x)
    assert_close(interpret_vjp(adjoint(graph), x, g), wanted(graph, x, g), g, 1e-6)


@given(st.data())
@settings(max_examples=15)
def test_it_is_the_transpose_of_the_derivative(data: st.DataObject) -> None:
    """`<g, J v> = <J^T g, v>`, with J v a difference of the very graph that was transposed."""
    spec = without_roots(data.draw(specs(max_side=40)))
    graph = program(spec)
    x, v, step = signal("noise", spec.input_shape, 1), signal("noise", spec.input_shape, 2), 1e-6
    g = cotangents(graph, x)
    ahead, behind = interpret(graph, x + step * v), interpret(graph, x - step * v)
    slope = sum(float(np.sum(g[path] * (ahead[path] - behind[path]))) for path in g) / (2 * step)
    got = interpret_vjp(adjoint(graph), x, g)
    assert np.sum(got * v) == pytest.approx(slope, abs=1e-4 * float(np.linalg.norm(got) * np.linalg.norm(v)) + 1e-8)


@EVERY_SAVE
@pytest.mark.parametrize("name", ["1d_global", "1d_none", "2d", "3d_one_component"])
def test_where_a_modulus_is_zero_its_derivative_is(name: str, save: str) -> None:
    spec = TRANSFORMS[name]
    graph, zeros = program(spec), np.zeros((1, *spec.input_shape))
    g = cotangents(graph, zeros)
    got = interpret_vjp(adjoint(graph, save), zeros, g, kept(graph, zeros, save))
    np.testing.assert_allclose(got, reverse(lower(spec), zeros, g), atol=1e-14)
    assert got.any() == (() in g)  # order 0 is linear, and 3D has none


@pytest.mark.parametrize("batch", [(), (3,), (2, 2), (0,)])
def test_leading_axes_are_batch(batch: tuple[int, ...]) -> None:
    spec = TRANSFORMS["2d"]
    graph = program(spec)
    x = signal("noise", (*batch, *spec.input_shape))
    g = cotangents(graph, x)
    got = interpret_vjp(adjoint(graph), x, g)
    assert got.shape == x.shape
    for index in np.ndindex(*batch):
        alone = interpret_vjp(adjoint(graph), x[index], {path: array[index] for path, array in g.items()})
        np.testing.assert_allclose(got[index], alone, atol=1e-14)


# ---- how it is made -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "save"), [("1d", "inputs"), ("1d", "first_order"), ("1d", "all"), ("3d", "inputs")])
def test_golden_text(name: str, save: str, golden: Callable[[str, str], None]) -> None:
    small = {"1d": Spec(dim=1, shape=32, J=3, Q=1), "3d": Spec(dim=3, shape=(4, 4, 4), J=0, L=1)}
    golden(f"ir/adjoint_{name}_{save}", str(adjoint(program(small[name]), save)))


@ALL_TRANSFORMS
@EVERY_SAVE
def test_forward_values_keep_their_names_and_cotangents_say_whose_they_are(spec: Spec, save: str) -> None:
    graph = program(spec)
    vjp, values = adjoint(graph, save), infer(graph)
    for name, node in vjp:
        if name in graph.nodes:
            assert node == graph[name] or isinstance(node, Load)
            assert infer(vjp)[name] == values[name] or isinstance(node, Load)  # a load knows no band
        else:
            assert name.startswith("g")
            assert any(name[1:].startswith(whose) for whose in graph.nodes)
    last = list(vjp.nodes)[-1]
    assert [name for name, node in vjp if isinstance(node, Gradient)] == [last]
    assert infer(vjp)[last] == values[next(iter(graph.nodes))]


@ALL_TRANSFORMS
@EVERY_SAVE
def test_every_output_has_its_cotangent(spec: Spec, save: str) -> None:
    graph = program(spec)
    values = infer(graph)
    found = [(node.paths, node.shape) for _, node in adjoint(graph, save) if isinstance(node, Cotangent)]
    assert sorted(found) == sorted((node.paths, values[name].shape) for name, node in graph.outputs)


def depth(graph: Graph, name: str) -> int:
    """The order of a U: how many moduli lead to it, itself included."""
    node = graph[name]
    return 0 if isinstance(node, Input) else isinstance(node, Modulus) + depth(graph, node.x)


@ALL_TRANSFORMS
@EVERY_SAVE
def test_what_is_stored_is_loaded_and_nothing_else(spec: Spec, save: str) -> None:
    graph = program(spec)
    stores, vjp = storing(graph, save), adjoint(graph, save)
    assert {name: node for name, node in stores if not isinstance(node, Store)} == dict(graph.nodes)
    verify(stores, "gradient")
    assert parse_graph(str(stores)) == stores
    deepest = {"inputs": 0, "first_order": 1, "all": 9}[save]
    slots = {node.x: node.slot for _, node in stores if isinstance(node, Store)}
    moduli = [name for name, node in graph if isinstance(node, Modulus)]
    assert list(slots) == [graph[name].x for name in moduli if depth(graph, name) <= deepest]
    assert list(slots.values()) == list(range(len(slots)))
    assert {name: node.slot for name, node in vjp if isinstance(node, Load)} == slots
    # what is loaded is not computed, nor what only it would need
    again = {name for name in vjp.nodes if name in graph.nodes and name not in slots}
    kinds = {type(vjp[name]) for name in again}
    if save == "all":
        assert not kinds & {Fold, Ifft, Fft}
        assert kinds <= {Input, Pad, Modulus}
    if save == "first_order":
        assert all(depth(graph, name) > 0 for name in again if isinstance(graph[name], Fold | Ifft | Fft))


@ALL_TRANSFORMS
def test_one_branch_is_alive_at_a_time(spec: Spec) -> None:
    """All that lies below a fold comes before its siblings, and what comes back is added up at once."""
    graph = program(spec)
    vjp = adjoint(graph)
    order = list(vjp.nodes)
    for name, node in vjp:
        if isinstance(node, FoldT) and not node.half:
            fold = node.x.removeprefix("g")
            inside = order[order.index(fold) : order.index(name)]
            # nothing but the sum of the branches, and what was there before, is read from outside
            outside = {operand for n in inside for operand in vjp[n].operands if operand not in inside}
            assert outside <= {vjp[fold].x, node.into}
            for n in inside:
                assert all(user in (*inside, name) for user in vjp.users[n]), n
        if isinstance(node, ModulusT):
            assert vjp.users[node.v][-1] == name == vjp.users[node.u][-1]  # in whose memory it may stand


@ALL_TRANSFORMS
@EVERY_SAVE
def test_sums_over_branches_have_one_reader(spec: Spec, save: str) -> None:
    vjp = adjoint(program(spec), save)
    for name, node in vjp:
        if isinstance(node, Blank | FoldT):
            assert len(vjp.users[name]) == 1


# ---- what to keep ---------------------------------------------------------------------------------------------------


def kept_bytes(graph: Graph, save: str, itemsize: int) -> int:
    """Bytes that are stored for one signal."""
    values = infer(storing(graph, save))
    return sum(2 * itemsize * values[n].samples for n, node in storing(graph, save) if isinstance(node, Store))


@given(st.data())
@settings(max_examples=25)
def test_what_is_kept_has_a_bound(data: st.DataObject) -> None:
    spec, dtype = data.draw(specs()), data.draw(st.sampled_from(["float32", "float64"]))
    slow_ffts = data.draw(st.booleans())
    options = Options(dtype=dtype, machine=Machine(fft_rate=1.0) if slow_ffts else Machine())
    graph = program(spec, options)
    values, save = infer(graph), cheapest_save(graph, options)
    spectrum = 2 * options.itemsize * max(prod(value.grid) for value in values.values())
    fits = [mode for mode in SAVES if kept_bytes(graph, mode, options.itemsize) <= MOST_KEPT * spectrum]
    assert save in fits

    def seconds(mode: str) -> float:
        """The way back, and writing what is kept for it."""
        costs = graph_costs(adjoint(graph, mode), options.machine, options.itemsize).values()
        return sum(cost.seconds for cost in costs) + kept_bytes(graph, mode, options.itemsize) / STORE_BANDWIDTH

    # each of the two modes that keep something must be worth it
    assert save == "inputs" or seconds(save) < WORTH_KEEPING * seconds("inputs")
    assert min(map(seconds, fits)) >= WORTH_KEEPING**2 * seconds(save)
    if slow_ffts and "all" in fits and any(isinstance(node, Modulus) for _, node in graph):
        assert save != "inputs"  # whatever spares half of all FFTs is worth keeping


def test_where_arithmetic_is_free_nothing_is_kept() -> None:
    free = Machine(fft_rate=1e30, matmul_rate=1e30, bandwidth=1e30, call=0.0)
    for spec in TRANSFORMS.values():
        options = dataclasses.replace(DOUBLE, machine=free)
        assert cheapest_save(program(spec, options), options) == "inputs"


def test_without_a_modulus_there_is_nothing_to_keep() -> None:
    graph = program(Spec(dim=1, shape=32, J=3, order=0))
    for save in SAVES:
        assert storing(graph, save) == graph
        assert adjoint(graph, save) == adjoint(graph)
    assert cheapest_save(graph, DOUBLE) == "inputs"
