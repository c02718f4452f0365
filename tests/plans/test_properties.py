"""Facts about every small transform: however it is cut up, a plan agrees with the interpreter, and with mathematics."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from compiled import Array, assert_agrees, by_path, expected, fresh, order_norms
from hypothesis import given, settings
from hypothesis import strategies as st
from native import ARRAY_TARGETS
from strategies import selections, signal, signals, specs

from scatc.codegen import find_target
from scatc.ir.cost import Machine
from scatc.ir.errors import CompileError, SpecError
from scatc.ir.filters import banks
from scatc.ir.lower import lower
from scatc.ir.lowpass import frames
from scatc.ir.nodes import Lowpass, Node
from scatc.ir.options import Options
from scatc.ir.passes import run_passes
from scatc.ir.paths import all_paths, bank_name
from scatc.ir.schedule import schedule
from scatc.ir.spec import Spec
from scatc.ir.values import infer
from scatc.runtime.driver import build
from scatc.runtime.numpy import NumpyPlan
from scatc.runtime.plan import Compiled, Plan

DTYPES = st.sampled_from(["float64", "float32"])
BATCHES = st.sampled_from([(), (1,), (3,), (2, 2)])


def noise(data: st.DataObject, plan: Plan, kinds: tuple[str, ...] = ("noise", "impulse", "chirp")) -> Array:
    """Draw a batch of signals for a plan, in its precision."""
    batch = data.draw(BATCHES)
    count = int(np.prod(batch))
    x = np.stack([data.draw(signals(plan.spec.input_shape, kinds)) for _ in range(count)])
    return x.reshape(batch + plan.spec.input_shape).astype(plan.dtype)


# ---- compiled is what the interpreter says --------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=60)
def test_any_small_spec(dim: int, data: st.DataObject) -> None:
    plan = fresh(data.draw(specs(dims=(dim,))), dtype=data.draw(DTYPES))
    assert_agrees(plan, noise(data, plan))


@pytest.mark.parametrize("shape", [(1, 24, 1), (6, 1, 1), (1, 8, 9)])
@pytest.mark.parametrize("target", ARRAY_TARGETS)
def test_volumes_with_axes_of_one_sample(shape: tuple[int, ...], target: str) -> None:
    """Coefficients are faint: such an axis has no frequency near the middle of Gaussians. None may be neglected."""
    plan = fresh(Spec(dim=3, shape=shape, J=1, L=2, order=1), target=target, dtype="float64")
    x = signal("noise", shape)
    np.testing.assert_allclose(plan(x), [expected(plan, x)[path] for path in plan.paths], rtol=1e-11)


@given(data=st.data())
@settings(max_examples=40)
def test_any_selection(data: st.DataObject) -> None:
    spec = data.draw(specs(max_side=32, max_paths=40))
    select = data.draw(selections(spec))
    plan = fresh(spec, dtype=data.draw(DTYPES), select=select)
    assert plan.paths == tuple(path for path in all_paths(spec) if path in select)
    assert_agrees(plan, noise(data, plan))


@given(data=st.data())
@settings(max_examples=60)
def test_any_memory_limit_and_number_of_workers(data: st.DataObject) -> None:
    spec = data.draw(specs(max_side=40))
    limit = data.draw(st.one_of(st.none(), st.integers(1, 1 << 12), st.integers(1 << 12, 1 << 20)))
    dtype, workers = data.draw(DTYPES), data.draw(st.integers(1, 4))
    try:
        plan = fresh(spec, dtype=dtype, memory_limit=limit, workers=workers)
    except CompileError as error:
        assert f"memory_limit={limit} bytes is too small" in str(error)
        return
    assert plan.workers <= workers
    assert limit is None or plan.working_bytes() <= limit
    assert_agrees(plan, noise(data, plan))


def assemble(spec: Spec, dtype: str, machine: Machine, workers: int = 1) -> Plan:
    """A plan for a machine of our choice."""
    options = Options(dtype=dtype, workers=workers, machine=machine)
    return NumpyPlan(build(spec, find_target("numpy"), options))


@given(data=st.data())
@settings(max_examples=60)
def test_chunked_equals_whole(data: st.DataObject) -> None:
    """However small the chunks of the batch and of siblings are, rounding alone may differ."""
    spec, dtype = data.draw(specs(max_side=40)), data.draw(DTYPES)
    cache_bytes = data.draw(st.sampled_from([1, 1 << 9, 1 << 11, 1 << 13, 1 << 15]))
    machine, workers = find_target("numpy").machine("scipy"), data.draw(st.integers(1, 3))
    cut = assemble(spec, dtype, dataclasses.replace(machine, cache_bytes=cache_bytes), workers)
    x = np.stack([data.draw(signals(spec.input_shape, ("noise",))) for _ in range(5)]).astype(dtype)
    y = cut(x)
    assert_agrees(cut, x, y)
    y = by_path(cut, y)
    assert_agrees(cut, x[3], {path: value[3] for path, value in y.items()})


FFT_ONLY = Machine(matmul_rate=1.0)
MATMUL_ONLY = Machine(fft_rate=1.0)


def force(spec: Spec, dtype: str, method: str) -> tuple[Plan, int]:
    """A plan whose low-passes use one method wherever that is legal, and how many axes do."""
    options = Options(dtype=dtype, machine=FFT_ONLY if method == "fft" else MATMUL_ONLY)
    graph, _ = run_passes(lower(spec), options)
    values, used = infer(graph), 0

    def rule(name: str, node: Node) -> Node | None:
        nonlocal used
        if not isinstance(node, Lowpass):
            return None
        methods = []
        for axis, n in enumerate(values[node.x].shape):
            layout = frames(node.kept[axis], node.by, node.taps[axis])
            legal = method == "dense" or 0 <= layout.base < layout.stop <= n
            methods.append(method if legal else "dense")
            used += legal
        return dataclasses.replace(node, methods=tuple(methods))

    graph = graph.rewrite(rule)
    target = find_target("numpy")
    program = schedule(graph, options, target.memory(options))
    tables = target.tables(program, options)
    return NumpyPlan(Compiled("numpy", program, options, tables, target.emit(program, options, tables, "test"))), used


@pytest.mark.parametrize("method", ["fft", "dense", "banded"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=512, J=3, Q=2, T=4, stride=2),
        Spec(dim=1, shape=500, J=4, Q=1),
        Spec(dim=1, shape=300, J=4, T=16, stride=1, padding="zero"),
        Spec(dim=2, shape=(64, 64), J=2, L=2, T=1),
        Spec(dim=2, shape=(16, 24), J=3, L=2),
    ],
    ids=lambda spec: f"{spec.dim}D-{spec.shape[0]}-J{spec.J}",
)
def test_every_method_of_low_pass(spec: Spec, dtype: str, method: str) -> None:
    plan, used = force(spec, dtype, method)
    text = plan.ir()
    assert ("lowpass" in text) == (method != "fft")
    assert used or method != "dense"
    assert_agrees(plan, signal("noise", (3, *spec.shape)).astype(dtype))


def test_banded_low_passes_exist() -> None:
    assert force(Spec(dim=1, shape=512, J=3, Q=2, T=4, stride=2), "float32", "banded")[1]
    assert force(Spec(dim=2, shape=(64, 64), J=2, L=2, T=1), "float32", "banded")[1]


@given(data=st.data())
@settings(max_examples=40)
def test_any_low_pass_method(data: st.DataObject) -> None:
    spec = data.draw(specs(dims=(1, 2)).filter(lambda spec: spec.average == "local"))
    plan, _ = force(spec, data.draw(DTYPES), data.draw(st.sampled_from(["fft", "dense", "banded"])))
    assert_agrees(plan, noise(data, plan))


ANYTHING = st.one_of(
    st.none(),
    st.integers(-2, 70),
    st.sampled_from([0.5, 3.7, float("nan"), float("inf"), "global", "x", True, (), (2, 1)]),
)


@given(data=st.data())
@settings(max_examples=150)
def test_any_arguments_are_refused_or_work(data: st.DataObject) -> None:
    """Whatever is asked for: a `SpecError`, or a plan that agrees."""
    dim = data.draw(st.integers(1, 3))
    fields: dict[str, Any] = {"dim": dim, "order": data.draw(st.integers(0, 3))}
    side = st.integers(0, {1: 64, 2: 16, 3: 5}[dim])
    fields |= {"shape": data.draw(st.tuples(*[side] * dim)), "J": data.draw(st.integers(0, {1: 7, 2: 4, 3: 2}[dim]))}
    for name in data.draw(st.lists(st.sampled_from(["Q", "L", "T", "stride", "padding", "pre_pad"]), unique=True)):
        few = st.sampled_from([None, 1, 2, (2, 1)])  # more wavelets than these take long
        fields[name] = data.draw(few if name in ("Q", "L") else ANYTHING)
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(["sigma_0", "integral_powers", "rotation_covariant", "order", "J", "shape"]))
        value = data.draw(ANYTHING)
        large = name in ("order", "J") and isinstance(value, int) and value > 3
        fields[name] = 2 if large else value
    try:
        spec = Spec(**fields)
    except SpecError:
        return
    if not 0 < len(all_paths(spec)) <= 300:
        return
    assert_agrees(plan := fresh(spec, dtype="float64"), noise(data, plan))


# ---- mathematics ----------------------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=40)
def test_zero_in_zero_out(data: st.DataObject) -> None:
    plan = fresh(data.draw(specs()), dtype=data.draw(DTYPES))
    plan(signal("noise", (2, *plan.spec.input_shape)))  # what it leaves in the scratch memory is not read by the next
    for value in by_path(plan, plan(np.zeros((2, *plan.spec.input_shape)))).values():
        assert not value.any()


@given(data=st.data())
@settings(max_examples=30)
def test_calls_do_not_depend_on_each_other(data: st.DataObject) -> None:
    plan = fresh(data.draw(specs()), workers=data.draw(st.integers(1, 3)))
    x = noise(data, plan)
    first = by_path(plan, plan(x))
    plan(np.full((4, *plan.spec.input_shape), np.nan))
    for path, value in by_path(plan, plan(x)).items():
        np.testing.assert_array_equal(value, first[path])


COVARIANT = [
    Spec(dim=1, shape=64, J=3, Q=2, padding="periodic"),
    Spec(dim=1, shape=64, J=4, T=8, stride=2, order=3, padding="periodic"),
    Spec(dim=1, shape=32, J=5, Q=(3, 2), T=20, stride=1, padding="periodic"),
    Spec(dim=1, shape=32, J=3, T=0, padding="periodic"),
    Spec(dim=2, shape=(8, 4), J=2, L=3, padding="periodic"),
    Spec(dim=2, shape=(8, 8), J=2, L=2, stride=2, padding="periodic"),
]


@pytest.mark.parametrize("spec", COVARIANT, ids=lambda spec: f"{spec.dim}D-{spec.shape}-T{spec.T}-{spec.stride}")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shifts_move_the_coefficients(spec: Spec, dtype: str) -> None:
    """Moving a periodic signal by one stride (without averaging: the coarsest) moves its coefficients by one sample."""
    assert all(padded % n == 0 for padded, n in zip(spec.padded_shape, spec.shape, strict=True))
    plan = fresh(spec, dtype=dtype)
    stride = spec.stride or 1 << spec.J
    axes = tuple(range(-spec.dim, 0))
    x = signal("noise", (2, *spec.shape)).astype(dtype)
    still, moved = by_path(plan, plan(x)), by_path(plan, plan(np.roll(x, (stride,) * spec.dim, axes)))
    if spec.average == "none":
        wanted = {
            p: np.roll(v, tuple(stride * n // N for n, N in zip(v.shape[1:], spec.shape, strict=True)), axes)
            for p, v in still.items()
        }
    else:
        wanted = {p: np.roll(v, (1,) * spec.dim, axes) for p, v in still.items()}
    scale = max(float(np.abs(v).max()) for v in wanted.values())
    for path, value in moved.items():
        np.testing.assert_allclose(value, wanted[path], rtol=0, atol=scale * {"float64": 1e-13, "float32": 2e-6}[dtype])


def littlewood_paley(spec: Spec) -> float:
    """The most that one layer (phi and the wavelets of an order) can amplify the energy of a real signal."""
    phi = np.abs(banks(spec)["phi"].response(0, 0)[0]) ** 2
    largest = 1.0
    for order in range(1, spec.order + 1):
        bank = banks(spec)[bank_name(spec, order)]
        psi = sum(np.abs(bank.response(n, 0)[0]) ** 2 for n in range(len(bank.info)))
        largest = max(largest, float((phi + (psi + np.roll(psi[::-1], 1)) / 2).max()))
    return largest


@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=64, J=3, Q=1, pre_pad=True),
        Spec(dim=1, shape=128, J=4, Q=(4, 2), T=8, pre_pad=True),
        Spec(dim=1, shape=100, J=5, Q=(8, 1), order=3, stride=4, pre_pad=True),
        Spec(dim=1, shape=128, J=6, Q=2, T=50, stride=1, pre_pad=True),
    ],
    ids=lambda spec: f"{spec.shape[0]}-J{spec.J}-T{spec.T}",
)
def test_distances_do_not_grow(spec: Spec) -> None:
    """`stride ||Sx - Sy||^2 <= B^order ||x - y||^2`, B being the Littlewood-Paley bound, and 5 % for aliasing.

    Wavelets and phi amplify energy by B at most, and the modulus is a contraction; every layer may do so once.
    """
    plan = fresh(spec, dtype="float64")
    bound = 1.05 * littlewood_paley(spec) ** max(spec.order, 1)
    assert bound < 8
    assert spec.stride
    pairs = [(signal("noise", spec.input_shape, k), signal("noise", spec.input_shape, 50 + k)) for k in range(8)]
    pairs += [pair for x, y in pairs for pair in ((x, x + 1e-6 * y), (x, np.roll(x, 1)), (x, 0 * x))]
    pairs += [(signal("chirp", spec.input_shape, k), signal("impulse", spec.input_shape, k)) for k in range(4)]
    for x, y in pairs:
        apart = spec.stride * float(np.sum((plan(x) - plan(y)) ** 2))
        assert apart <= bound * float(np.sum((x - y) ** 2))


def test_energy_falls_with_the_order() -> None:
    """Of white noise, wavelets of wavelets hold less than wavelets (Mallat 2012)."""
    plan = fresh(Spec(dim=1, shape=1024, J=5, Q=1, order=3, stride=1), dtype="float64")
    norms = order_norms(by_path(plan, plan(signal("noise", (4, 1024)))))
    assert norms[1] > norms[2] > norms[3] > 0


def test_of_an_impulse_order_zero_is_phi_and_all_is_even() -> None:
    spec = Spec(dim=1, shape=129, J=4, Q=2, stride=1, padding="zero")
    plan = fresh(spec, dtype="float64")
    x = np.zeros(129)
    x[64] = 1.0
    y = plan(x)
    phi = np.fft.fftshift(np.fft.ifft(banks(spec)["phi"].response(0, 0)[0]).real)
    np.testing.assert_allclose(y[0], phi[len(phi) // 2 - 64 :][:129], atol=1e-15)
    assert (y.argmax(axis=-1)[plan.meta()[0].row : 3] == 64).all()
    for row in plan.meta():
        if all(j == 0 for j in row.j):  # where U is not subsampled, no sample lies beside the middle
            np.testing.assert_allclose(y[row.row], y[row.row, ::-1], atol=1e-13)


def test_of_an_impulse_in_an_image_all_is_even() -> None:
    spec = Spec(dim=2, shape=(17, 17), J=1, L=4, stride=1, padding="zero")
    x = np.zeros((17, 17))
    x[8, 8] = 1.0
    for path, value in zip(all_paths(spec), fresh(spec, dtype="float64")(x), strict=True):
        np.testing.assert_allclose(value, value[::-1, ::-1], atol=1e-13, err_msg=str(path))


def turned(x: Array) -> list[Array]:
    """A volume turned by a right angle about each axis, and by two of them one after the other."""
    once = [np.rot90(x, axes=axes) for axes in ((-3, -2), (-2, -1), (-3, -1))]
    return [*once, np.rot90(once[0], axes=(-2, -1))]


@pytest.mark.parametrize("side", [6, 8, 10])
def test_right_angles_leave_integrals_unchanged(side: int) -> None:
    """On even grids (odd ones are not symmetric), up to the planes at the Nyquist frequency, which have no opposite."""
    plan = fresh(Spec(dim=3, shape=(side,) * 3, J=1, L=3), dtype="float64")
    degrees = np.array([row.l for row in plan.meta()])
    x = signal("noise", plan.spec.shape)
    y = plan(x)
    for other in turned(x):
        z = plan(other)
        np.testing.assert_allclose(z[degrees == 0], y[degrees == 0], rtol=1e-11)
        np.testing.assert_allclose(z, y, rtol=1e-2)
    # the coarser the scale, the less of it lies at the Nyquist frequency
    plan = fresh(Spec(dim=3, shape=(side,) * 3, J=1, L=3, sigma_0=2.5), dtype="float64")
    y = plan(x)
    for other in turned(x):
        np.testing.assert_allclose(plan(other), y, rtol=1e-8)


def test_components_alone_do_not_survive_turning() -> None:
    """Without the norm over m there is no such covariance: the test above would see it."""
    plan = fresh(Spec(dim=3, shape=(8, 8, 8), J=1, L=3, rotation_covariant=False), dtype="float64")
    x = signal("noise", (8, 8, 8))
    assert not np.allclose(plan(np.rot90(x, axes=(0, 1))), plan(x), rtol=1e-2)


@given(data=st.data())
@settings(max_examples=25)
def test_scaling_and_sign(data: st.DataObject) -> None:
    """Order 0 is linear; the others are blind to the sign, and grow with the scale (in 3D with its powers)."""
    plan = fresh(data.draw(specs(max_side=32)), dtype="float64")
    x = signal("noise", (2, *plan.spec.input_shape), data.draw(st.integers(0, 99)))
    once, minus, four = (by_path(plan, plan(factor * x)) for factor in (1.0, -1.0, 4.0))
    grows = 4.0 ** np.array(plan.spec.integral_powers or (1.0,))
    wanted = expected(plan, x)
    for path, value in once.items():
        np.testing.assert_array_equal(minus[path], value if path else -value)
        size = 1e-12 * (1.0 + float(np.abs(wanted[path]).max(initial=0)))
        np.testing.assert_allclose(four[path], grows * value, rtol=1e-6, atol=64 * size)
