"""What may be passed to `plan.vjp`: every shape, layout, type and size of numbers, and what is said of all else."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from compiled import Array, fresh
from gradients import arrays_of, assert_gradient, cotangents_like, mapped
from native import ARRAY_TARGETS
from strategies import signal

from scatc.ir.errors import CompileError
from scatc.ir.spec import Spec
from scatc.runtime import code as code_module
from scatc.runtime import native
from scatc.runtime.numpy import NumpyPlan

SPECS = [
    Spec(dim=1, shape=33, J=3, Q=2),
    Spec(dim=1, shape=32, J=3, T="global"),
    Spec(dim=1, shape=32, J=3, T=0),
    Spec(dim=2, shape=(9, 12), J=2, L=2),
    Spec(dim=2, shape=(8, 8), J=1, L=2, T=0, padding="zero"),
    Spec(dim=3, shape=(4, 5, 6), J=1, L=1, integral_powers=(1.0, 2.0)),
]


@cache
def plan_for(target: str, spec: Spec) -> NumpyPlan:
    """A plan; that for numpy keeps something, which C code does not."""
    plan = fresh(spec, target=target, save="first_order" if target == "numpy" else "inputs")
    assert isinstance(plan, NumpyPlan)
    return plan


@pytest.fixture
def plan(request: pytest.FixtureRequest) -> NumpyPlan:
    return plan_for(*request.param)


def plans(*specs: Spec) -> pytest.MarkDecorator:
    """Run a test on the plans of some transforms, for every target for arrays that there is here."""
    cases = [(target, spec) for target in ARRAY_TARGETS for spec in specs]
    ids = [f"{target}-{spec.dim}D-{spec.average}" for target, spec in cases]
    return pytest.mark.parametrize("plan", cases, indirect=True, ids=ids)


ALL = plans(*SPECS)
FLAT = plans(*SPECS[:5])
EVERY_TARGET = pytest.mark.parametrize("target", ARRAY_TARGETS)


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """No call warns of anything, whatever the numbers are."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def call_of(plan: NumpyPlan, *batch: int, seed: int = 7) -> tuple[Array, Any, list[Array]]:
    """A signal for each place in a batch, cotangents, and what is kept of the signals."""
    x = signal("noise", (*batch, *plan.spec.input_shape), seed).astype(plan.dtype)
    y, saved = plan.forward(x)
    return x, cotangents_like(y, seed), saved


def assert_close(got: Array, wanted: Array, tolerance: float = 2e-6) -> None:
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * float(np.abs(wanted).max(initial=0)))


@ALL
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (1, 1, 2), (0,), (2, 0, 3)], ids=str)
def test_leading_axes_are_batch(plan: NumpyPlan, batch: tuple[int, ...]) -> None:
    x, g, saved = call_of(plan, *batch)
    tolerance = 2e-6 if plan.target == "numpy" else 1e-5  # C code transforms signals in pairs
    for got in (plan.vjp(x, g), plan.vjp(x, g, saved)):
        assert got.shape == x.shape
        assert got.dtype == np.float32
        for index in np.ndindex(*batch):
            alone = plan.vjp(x[index], mapped(lambda array: array[index], g))  # noqa: B023
            assert_close(got[index], alone, tolerance)


def assert_same(plan: NumpyPlan, got: Array, wanted: Array) -> None:
    """To the last bit; C code transforms signals in pairs, whose sizes it may change otherwise."""
    if plan.target == "numpy":
        np.testing.assert_array_equal(got, wanted)
    else:
        assert_close(got, wanted, 1e-5)


LAYOUTS: dict[str, Callable[[Array], Any]] = {
    "fortran": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "reversed batch": lambda x: x[::-1].copy()[::-1],
    "swapped bytes": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "list": lambda x: x.tolist(),
    "masked": np.ma.masked_array,
    "wide": lambda x: x.astype(np.float64),
}


@ALL
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(plan: NumpyPlan, layout: str) -> None:
    x, g, saved = call_of(plan, 3)
    change = LAYOUTS[layout]
    kept = saved if layout in ("list", "masked", "swapped bytes", "wide") else [change(array) for array in saved]
    for got, wanted in (
        (plan.vjp(change(x), mapped(change, g)), plan.vjp(x, g)),
        (plan.vjp(change(x), mapped(change, g), kept), plan.vjp(x, g, saved)),
    ):
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, wanted)


@ALL
@pytest.mark.parametrize("dtype", ["?", "b", "H", "i", "q", "e", "f", "d", "g"])
def test_every_real_type_is_converted(plan: NumpyPlan, dtype: str) -> None:
    x, g, _ = call_of(plan, 2)
    x, g = np.abs(3 * x).astype(dtype), mapped(lambda array: np.abs(3 * array).astype(dtype), g)
    got = plan.vjp(x, g)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, plan.vjp(x.astype(np.float32), mapped(lambda a: a.astype(np.float32), g)))


@ALL
def test_one_cotangent_for_all(plan: NumpyPlan) -> None:
    """Broadcast views, whose samples share memory: of a sum, and of a signal that all share."""
    x, g, _ = call_of(plan, 3)
    ones = mapped(lambda array: np.broadcast_to(np.float32(1), array.shape), g)
    np.testing.assert_array_equal(plan.vjp(x, ones), plan.vjp(x, mapped(np.ones_like, g)))
    one = mapped(lambda array: np.broadcast_to(array[:1], array.shape), g)
    same = np.broadcast_to(x[:1], x.shape)
    np.testing.assert_array_equal(plan.vjp(same, one), plan.vjp(same.copy(), mapped(np.copy, one)))


@plans(SPECS[2], SPECS[4])
def test_paths_may_come_in_any_order(plan: NumpyPlan) -> None:
    x, g, _ = call_of(plan, 2)
    np.testing.assert_array_equal(plan.vjp(x, dict(reversed(g.items()))), plan.vjp(x, g))


def test_transforms_that_keep_no_sample_have_no_gradient() -> None:
    plan = fresh(Spec(dim=1, shape=4, J=3))
    x = signal("noise", (2, 4))
    y, saved = plan.forward(x)
    assert y.size == 0
    for got in (plan.vjp(x, y), plan.vjp(x, y, saved)):
        assert got.shape == x.shape
        assert not got.any()


# ---- numbers at the edge --------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "g"])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_not_finite_stays_in_its_signal(plan: NumpyPlan, value: float, where: str, workers: int) -> None:
    plan = plan.with_workers(workers)
    x, g, _ = call_of(plan, 6)
    clean = plan.vjp(x, g)
    for bad in (1, 4):
        spoilt = x[bad] if where == "x" else arrays_of(g)[-1][bad]
        spoilt.flat[spoilt.size // 2] = value
    for got in (plan.vjp(x, g), plan.vjp(x, g, plan.forward(x)[1])):
        good = [0, 2, 3, 5]
        assert_close(got[good], clean[good])
        assert not np.isfinite(got[[1, 4]]).all(axis=tuple(range(1, got.ndim))).any()


@FLAT
@pytest.mark.parametrize("size", [1e-30, 1e-10, 1.0, 1e10, 1e30])
@pytest.mark.parametrize("slope", [1e-30, 1.0, 1e20])
def test_any_size_of_signals_and_cotangents(plan: NumpyPlan, size: float, slope: float) -> None:
    x = signal("noise", (2, *plan.spec.input_shape)) * size
    x = x.astype(np.float32)
    y, saved = plan.forward(x)
    np.testing.assert_array_equal(arrays_of(y)[-1], arrays_of(plan(x))[-1])
    g = mapped(lambda array: (slope * array).astype(np.float32), cotangents_like(y))
    assert_gradient(plan, x, g, plan.vjp(x, g), plan.vjp(x, g, saved), tolerance=1e-5)


@ALL
def test_sizes_do_not_meet(plan: NumpyPlan) -> None:
    """Each signal of a batch has the gradient that it has alone, however large the others and their cotangents are."""
    x, g, _ = call_of(plan, 4)
    sizes = np.array([1e-30, 1.0, 1e30, 1.0] if plan.spec.dim < 3 else [1e-12, 1.0, 1e12, 1.0], np.float32)
    slopes = np.array([1.0, 1e-30, 1e-20, 1e20] if plan.spec.dim < 3 else [1.0, 1e-12, 1.0, 1e12], np.float32)

    def scaled(array: Array, factors: Array) -> Array:
        return array * factors.reshape(-1, *(1,) * (array.ndim - 1))

    x, g = scaled(x, sizes), mapped(lambda array: scaled(array, slopes), g)
    for got in (plan.vjp(x, g), plan.vjp(x, g, plan.forward(x)[1])):
        for i in range(4):
            assert_close(got[i], plan.vjp(x[i], mapped(lambda array: array[i], g)))  # noqa: B023


@FLAT
@pytest.mark.parametrize("exponent", [-100, -30, 30, 100])
def test_powers_of_two_change_nothing(plan: NumpyPlan, exponent: int) -> None:
    """The gradient does not depend on the size of the signal, and is linear in the cotangents: both exactly."""
    x, g, _ = call_of(plan, 2)
    wanted, two = plan.vjp(x, g), np.float32(2.0**exponent)
    assert_same(plan, plan.vjp(x * two, g), wanted)
    assert_same(plan, plan.vjp(x * two, g, plan.forward(x * two)[1]), wanted)
    assert_same(plan, plan.vjp(x, mapped(lambda array: array * two, g)), wanted * two)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("exponent", [-40, 40])
@EVERY_TARGET
def test_volumes_scale_exactly(power: float, exponent: int, target: str) -> None:
    """An integral of a power q, and its gradient, grow with the signal to the powers q and q - 1."""
    plan = fresh(Spec(dim=3, shape=(6, 5, 4), J=1, L=2, integral_powers=(power,)), target=target)
    x, g, _ = call_of(plan, 2)
    two = np.float32(2.0**exponent)
    for kept in ([], plan.forward(x * two)[1]):
        assert_same(plan, plan.vjp(x * two, g, kept), plan.vjp(x, g) * two ** np.float32(power - 1))


@pytest.mark.parametrize("exponent", [-40, 40])
@EVERY_TARGET
def test_volumes_of_any_magnitude(exponent: int, target: str) -> None:
    plan = fresh(Spec(dim=3, shape=(6, 5, 4), J=1, L=2, integral_powers=(0.5, 1.5, 2.0)), target=target)
    x, g, _ = call_of(plan, 2)
    x *= np.float32(2.0**exponent)
    assert_gradient(plan, x, g, plan.vjp(x, g), plan.vjp(x, g, plan.forward(x)[1]))


@ALL
@pytest.mark.parametrize("size", [1e-300, 1e-45, 1e38, 1e300])
@pytest.mark.parametrize("workers", [1, 3])
def test_beyond_float32_there_is_no_warning(
    plan: NumpyPlan, size: float, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (code_module, native):
        monkeypatch.setattr(module, "SHORTEST_CALL", 0.0)
    plan = plan.with_workers(workers)
    x, g, _ = call_of(plan, 1)
    wide = mapped(lambda array: array.astype(np.float64), g)
    for a, b in ((x * np.float64(size), wide), (x, mapped(lambda array: array * size, wide))):
        with np.errstate(all="raise"):
            got = plan.vjp(a, b)
            assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), "raise")
        assert not np.isnan(got).any()


@ALL
@pytest.mark.parametrize("batch", [1, 3])
def test_cotangents_of_zero_have_a_gradient_of_zero(plan: NumpyPlan, batch: int) -> None:
    for value in (0.0, 1.0):
        x = np.full((batch, *plan.spec.input_shape), value)
        y, saved = plan.forward(x)
        for got in (plan.vjp(x, mapped(np.zeros_like, y)), plan.vjp(x, mapped(np.zeros_like, y), saved)):
            assert not got.any()


# ---- what is refused ------------------------------------------------------------------------------------------------

PLAN, DICT = plan_for("numpy", SPECS[0]), plan_for("numpy", SPECS[2])
X, G, SAVED = call_of(PLAN, 2)
XD, GD, _ = call_of(DICT, 2)
REAL = "it must be an array of real numbers"
NOT_SUPPORTED = "scattering of complex signals is not supported"
KEYS = "g must be a dict with the paths of the output, which plan.paths lists"
SHAPE = str(G.shape)
SLOTS = str([kept.shape for kept in SAVED])


@pytest.mark.parametrize(
    ("plan", "arguments", "error", "text"),
    [
        (PLAN, (X + 0j, G), TypeError, f"x is complex (complex64): {NOT_SUPPORTED}, pass x.real"),
        (PLAN, (X[:, :-1], G), ValueError, "x has shape (2, 32): it must end with (33,)"),
        (PLAN, (None, G), TypeError, f"x has dtype object: {REAL}"),
        (PLAN, (X, G + 0j), TypeError, f"g is complex (complex64): {NOT_SUPPORTED}, pass g.real"),
        (PLAN, (X, None), TypeError, f"g has dtype object: {REAL}"),
        (PLAN, (X, "gradient"), TypeError, f"g has dtype <U8: {REAL}"),
        (PLAN, (X, {}), TypeError, f"g has dtype object: {REAL}"),
        (PLAN, (X, 1.0), ValueError, f"g has shape (): it must be that of the output, {SHAPE}"),
        (PLAN, (X, G[0]), ValueError, f"g has shape {G.shape[1:]}: it must be that of the output, {SHAPE}"),
        (PLAN, (X[0], G), ValueError, f"g has shape {SHAPE}: it must be that of the output, {G.shape[1:]}"),
        (PLAN, (X, G[:, 1:]), ValueError, f"g has shape {G[:, 1:].shape}: it must be that of the output, {SHAPE}"),
        (PLAN, (X, G, SAVED[:-1]), ValueError,
         f"saved has shapes {[s.shape for s in SAVED[:-1]]}: for this x, plan.forward returns {SLOTS}"),
        (PLAN, (X[0], G[0], SAVED), ValueError,
         f"saved has shapes {SLOTS}: for this x, plan.forward returns {[(1, *s.shape[1:]) for s in SAVED]}"),
        (DICT, (XD, G), ValueError, KEYS),
        (DICT, (XD, list(GD.values())), ValueError, KEYS),
        (DICT, (XD, {path: GD[path] for path in DICT.paths[1:]}), ValueError, KEYS),
        (DICT, (XD, {**GD, (99,): GD[()]}), ValueError, KEYS),
        (DICT, (XD, {**GD, (): GD[()][:1]}), ValueError,
         "g[()] has shape (1, 32): it must be that of the output, (2, 32)"),
        (DICT, (XD, {**GD, (): GD[()] + 0j}), TypeError, f"g is complex (complex64): {NOT_SUPPORTED}, pass g.real"),
    ],
)  # fmt: skip
def test_what_is_refused(plan: NumpyPlan, arguments: tuple[Any, ...], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        plan.vjp(*arguments)


def test_what_a_plan_keeps_is_not_for_one_that_keeps_nothing() -> None:
    with pytest.raises(ValueError, match=r"for this x, plan.forward returns \[\]$"):
        fresh(SPECS[0], save="inputs").vjp(X, G, SAVED)


def test_forward_refuses_what_a_call_refuses() -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(f'x is complex (complex128): {NOT_SUPPORTED}, pass x.real')}$"):
        PLAN.forward(np.zeros(33, complex))
    with pytest.raises(ValueError, match=re.escape("x has shape (32,): it must end with (33,)")):
        PLAN.forward(np.zeros(32))


@pytest.mark.parametrize("save", ["inputs", "all"])
def test_a_limit_that_the_gradient_cannot_keep_is_said_when_it_is_asked_for(save: str) -> None:
    """A plan that is only called need not have room for its gradient."""
    spec = Spec(dim=3, shape=(6, 6, 6), J=1, L=2)
    with pytest.raises(CompileError) as caught:
        fresh(spec, memory_limit=1)
    least = int(re.findall(r"need (\d+) bytes", str(caught.value))[0])
    plan = fresh(spec, memory_limit=least, save=save)
    x = np.zeros((1, 6, 6, 6))
    text = (
        rf"^memory_limit={least} bytes is too small for the gradient: one signal and one path at a time on one worker "
        r"need \d+ bytes; raise memory_limit, or select fewer paths$"
    )
    y = plan(x)
    calls: list[Callable[[], Any]] = [lambda: plan.vjp(x, y), lambda: plan.working_bytes("vjp")]
    if save != "inputs":
        calls.append(lambda: plan.forward(x))
    for call in calls:
        with pytest.raises(CompileError, match=text):
            call()
    np.testing.assert_array_equal(plan(x), y)
