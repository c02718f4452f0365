"""What may be passed to a plan: every shape, layout and type of real numbers, and what is said of anything else."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from compiled import Array, by_path, expected, fresh, order_norms
from native import ARRAY_TARGETS
from strategies import signal

from scatc.ir.spec import Spec
from scatc.runtime.numpy import powers_of_two
from scatc.runtime.plan import Plan

SPECS = [
    Spec(dim=1, shape=33, J=3, Q=2),
    Spec(dim=1, shape=32, J=3, T="global"),
    Spec(dim=1, shape=32, J=3, T=0),
    Spec(dim=2, shape=(9, 12), J=2, L=2),
    Spec(dim=2, shape=(8, 8), J=1, L=2, T=0, padding="zero"),
    Spec(dim=3, shape=(4, 5, 6), J=1, L=1),
]


@cache
def plan_for(target: str, spec: Spec) -> Plan:
    return fresh(spec, target=target)


@pytest.fixture
def plan(request: pytest.FixtureRequest) -> Plan:
    return plan_for(*request.param)


def plans(*specs: Spec) -> pytest.MarkDecorator:
    """Run a test on the plans of some transforms, for every target for arrays that there is here."""
    cases = [(target, spec) for target in ARRAY_TARGETS for spec in specs]
    ids = [f"{target}-{spec.dim}D-{spec.average}" for target, spec in cases]
    return pytest.mark.parametrize("plan", cases, indirect=True, ids=ids)


ALL = plans(*SPECS)


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """No call warns of anything, whatever the numbers are."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def batch_of(plan: Plan, *batch: int) -> Array:
    return signal("noise", (*batch, *plan.spec.input_shape), 7)


def assert_same(got: Any, wanted: Any) -> None:
    """Equal to the last bit."""
    if isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for path, array in wanted.items():
            assert_same(got[path], array)
        return
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)


@ALL
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (1, 1, 2), (0,), (2, 0, 3), (0, 0)])
def test_leading_axes_are_batch(plan: Plan, batch: tuple[int, ...]) -> None:
    x = batch_of(plan, *batch)
    y = plan(x)
    alone = by_path(plan, plan(np.zeros(plan.spec.input_shape)))
    assert isinstance(y, dict) == (plan.spec.average == "none")
    for path, value in by_path(plan, y).items():
        assert value.shape == batch + alone[path].shape
        assert value.dtype == np.float32
    for index in np.ndindex(*batch):
        single = by_path(plan, plan(x[index]))
        for path, value in by_path(plan, y).items():
            np.testing.assert_allclose(value[index], single[path], rtol=2e-6, atol=1e-6)  # products sum in other orders


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "reversed batch": lambda x: x[::-1].copy()[::-1],
    "axes exchanged": lambda x: np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(-1, *range(x.ndim - 1)),
    "swapped bytes": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "list": lambda x: x.tolist(),
    "masked": np.ma.masked_array,
    "subclass": lambda x: x.view(type("Mine", (np.ndarray,), {})),
}


@ALL
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(plan: Plan, layout: str, dtype: Any) -> None:
    x = batch_of(plan, 3).astype(dtype)
    given = LAYOUTS[layout](x)
    got = plan(given)
    assert_same(got, plan(x))
    for array in got.values() if isinstance(got, dict) else [got]:
        assert type(array) is np.ndarray


@ALL
def test_one_signal_for_a_whole_batch(plan: Plan) -> None:
    """Broadcast views, whose samples share memory."""
    x = batch_of(plan)
    assert_same(plan(np.broadcast_to(x, (4, *x.shape))), plan(np.stack([x] * 4)))


@ALL
def test_the_input_is_read_only(plan: Plan) -> None:
    for dtype in (np.float32, np.float64, np.int16):
        x = (10 * batch_of(plan, 3)).astype(dtype)
        x.flags.writeable = False
        before = x.copy()
        y = plan(x)
        np.testing.assert_array_equal(x, before)
        for array in y.values() if isinstance(y, dict) else [y]:
            assert not np.shares_memory(array, x)


@ALL
@pytest.mark.parametrize("dtype", ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "g"])
def test_every_real_type_is_converted(plan: Plan, dtype: str) -> None:
    x = np.abs(3 * batch_of(plan, 2)).astype(dtype)
    got = plan(x)
    assert_same(got, plan(x.astype(np.float32)))
    if dtype == "?":
        assert_same(got, plan(x.astype(np.uint8)))


@pytest.mark.parametrize("target", ARRAY_TARGETS)
@pytest.mark.parametrize("spec", SPECS[:1] + SPECS[3:4] + SPECS[5:], ids=lambda spec: f"{spec.dim}D")
def test_float64_plans_keep_what_float64_says(spec: Spec, target: str) -> None:
    plan = fresh(spec, dtype="float64", target=target)
    x = signal("noise", (2, *spec.input_shape))
    assert plan(x).dtype == np.float64
    assert not np.array_equal(plan(x), plan(x.astype(np.float32)))
    assert_same(plan(x.astype(np.float32)), plan(x.astype(np.float32).astype(np.float64)))


# ---- numbers at the edge --------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_not_finite_stays_in_its_signal(plan: Plan, value: float, workers: int) -> None:
    plan = fresh(plan.spec, workers=workers, target=plan.target)
    x = batch_of(plan, 6)
    clean = by_path(plan, plan(x))
    for bad in (1, 4):
        x[bad].flat[x[bad].size // 2] = value
    rounding = 0.0 if plan.target == "numpy" else 1e-5  # C code transforms signals in pairs if it may
    for path, array in by_path(plan, plan(x)).items():
        good = [0, 2, 3, 5]
        np.testing.assert_allclose(array[good], clean[path][good], rtol=rounding, atol=rounding)
        if plan.spec.average != "none":
            assert not np.isfinite(array[[1, 4]]).any(), path


@ALL
@pytest.mark.parametrize("exponent", [36, -30])
def test_huge_and_tiny_numbers(plan: Plan, exponent: int) -> None:
    """A power of two scales every coefficient, as long as float32 can hold it."""
    if plan.spec.dim == 3:
        exponent //= 3  # squares are summed, and integrated
    two = 2.0 ** round(exponent / np.log10(2))
    x = batch_of(plan, 2).astype(np.float32)
    powers = np.array(plan.spec.integral_powers or (1.0,))
    small, large = by_path(plan, plan(x)), by_path(plan, plan((x * two).astype(np.float32)))
    for path, value in large.items():
        wanted = small[path].astype(np.float64) * two**powers
        assert np.isfinite(value).all()
        scale = np.abs(wanted).max(axis=tuple(range(wanted.ndim - len(powers) + (len(powers) == 1))), keepdims=True)
        assert (np.abs(value - wanted) <= 1e-5 * scale).all(), path


@ALL
def test_beyond_float32_there_is_no_warning(plan: Plan) -> None:
    x = batch_of(plan, 2) * 1e300
    for array in by_path(plan, plan(x)).values():
        assert array.dtype == np.float32
    plan(batch_of(plan, 2) * 1e38)
    plan(batch_of(plan, 2) * 1e-300)
    plan(np.full(plan.spec.input_shape, np.finfo(np.float32).max))
    plan(np.full(plan.spec.input_shape, np.finfo(np.float32).smallest_subnormal))


@pytest.mark.parametrize("target", ARRAY_TARGETS)
def test_the_largest_number(target: str) -> None:
    plan, largest = fresh(SPECS[0], target=target, dtype="float64"), np.finfo(np.float64).max
    impulse = signal("impulse", SPECS[0].shape)
    np.testing.assert_allclose(plan(np.stack([impulse * largest, impulse]))[0] / largest, plan(impulse), atol=1e-12)
    exact = {largest: 2.0**1023, 1.0: 1.0, 0.75: 0.5, 5e-324: 5e-324}
    np.testing.assert_array_equal(powers_of_two(np.array(list(exact))), list(exact.values()))


@ALL
def test_error_handling_of_numpy_is_left_alone(plan: Plan) -> None:
    with np.errstate(all="raise"):
        plan(np.full(plan.spec.input_shape, np.nan))
        assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), "raise")


# ---- what is refused ------------------------------------------------------------------------------------------------

REAL = "it must be an array of real numbers"


@plans(SPECS[0])
@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (
            np.zeros(33, complex),
            TypeError,
            "x is complex (complex128): scattering of complex signals is not supported, pass x.real",
        ),
        (
            np.zeros((2, 33), np.complex64),
            TypeError,
            "x is complex (complex64): scattering of complex signals is not supported, pass x.real",
        ),
        (np.array([None] * 33), TypeError, f"x has dtype object: {REAL}"),
        (np.array(["a"] * 33), TypeError, f"x has dtype <U1: {REAL}"),
        (["1"] * 33, TypeError, f"x has dtype <U1: {REAL}"),
        (np.array([b"a"] * 33), TypeError, f"x has dtype |S1: {REAL}"),
        (np.zeros(33, "M8[s]"), TypeError, f"x has dtype datetime64[s]: {REAL}"),
        (np.zeros(33, "m8[s]"), TypeError, f"x has dtype timedelta64[s]: {REAL}"),
        (np.zeros(33, [("a", "f4")]), TypeError, f"x has dtype [('a', '<f4')]: {REAL}"),
        (None, TypeError, f"x has dtype object: {REAL}"),
        ("signal", TypeError, f"x has dtype <U6: {REAL}"),
        (np.zeros(32), ValueError, "x has shape (32,): it must end with (33,)"),
        (np.zeros((33, 1)), ValueError, "x has shape (33, 1): it must end with (33,)"),
        (np.zeros((33, 0)), ValueError, "x has shape (33, 0): it must end with (33,)"),
        (3.0, ValueError, "x has shape (): it must end with (33,)"),
        ([], ValueError, "x has shape (0,): it must end with (33,)"),
    ],
)
def test_what_is_refused(plan: Plan, x: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        plan(x)


@pytest.mark.parametrize("target", ARRAY_TARGETS)
def test_wrong_shapes_in_2d_and_3d(target: str) -> None:
    image, volume = plan_for(target, SPECS[3]), plan_for(target, SPECS[5])
    with pytest.raises(ValueError, match=re.escape("x has shape (12, 9): it must end with (9, 12)")):
        image(np.zeros((12, 9)))
    with pytest.raises(ValueError, match=re.escape("x has shape (12,): it must end with (9, 12)")):
        image(np.zeros(12))
    with pytest.raises(ValueError, match=re.escape("x has shape (2, 4, 5, 7): it must end with (4, 5, 6)")):
        volume(np.zeros((2, 4, 5, 7)))


def test_with_pre_pad_the_padded_shape_is_asked_for() -> None:
    plan = fresh(Spec(dim=1, shape=33, J=3, pre_pad=True))
    assert plan(np.zeros(plan.spec.padded_shape)).shape == (len(plan.paths), 4)
    with pytest.raises(ValueError, match=re.escape("x has shape (33,): it must end with (64,)")):
        plan(np.zeros(33))


@plans(SPECS[0])
def test_ragged_lists_are_an_error_of_numpy(plan: Plan) -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        plan([[1.0] * 33, [1.0] * 32])


@pytest.mark.parametrize("mean", [1e3, 1e5])
@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=512, J=5, Q=4),
        Spec(dim=1, shape=512, J=5, T=0),
        Spec(dim=2, shape=(32, 32), J=2, L=4),
        Spec(dim=2, shape=(32, 32), J=2, L=4, pre_pad=True),
    ],
    ids=["1D", "1D-none", "2D", "2D-padded"],
)
@pytest.mark.parametrize("target", ARRAY_TARGETS)
def test_a_large_mean_costs_no_precision(spec: Spec, mean: float, target: str) -> None:
    x = (signal("noise", (2, *spec.input_shape)) + mean).astype(np.float32)
    kept, plan = x.copy(), fresh(spec, target=target)
    got, wanted = by_path(plan, plan(x)), expected(plan, x)
    np.testing.assert_array_equal(x, kept)
    for order, scale in order_norms(wanted).items():
        error = order_norms({path: got[path] - wanted[path] for path in wanted})[order]
        assert error < 1e-5 * scale, order


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e-12, 1e12, 1e25, 1e36])
@pytest.mark.parametrize("target", ARRAY_TARGETS)
def test_volumes_of_any_magnitude(scale: float, target: str) -> None:
    spec = Spec(dim=3, shape=(6, 6, 6), J=1, L=2, integral_powers=(1.0,))
    x = (signal("noise", (3, 6, 6, 6)) * np.array([scale, 1.0, 0.0]).reshape(3, 1, 1, 1)).astype(np.float32)
    plan = fresh(spec, target=target)
    got, wanted = plan(x), expected(plan, x)
    for row, path in enumerate(plan.paths):
        np.testing.assert_allclose(got[:, row], wanted[path], rtol=2e-5)
    np.testing.assert_allclose(got[1], plan(x[1]), rtol=0 if target == "numpy" else 1e-5)
