"""Spec: canonical form, error texts, and that anything at all is either a Spec or a SpecError."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scatc.ir import geometry
from scatc.ir.errors import SpecError
from scatc.ir.spec import Spec

ONE: dict[str, Any] = {"dim": 1, "shape": 1000, "J": 6}
TWO: dict[str, Any] = {"dim": 2, "shape": (32, 37), "J": 3}
THREE: dict[str, Any] = {"dim": 3, "shape": (8, 9, 10), "J": 2}

# Equal transforms, written differently


@pytest.mark.parametrize(
    ("base", "ways"),
    [
        (ONE, [{"shape": (1000,)}, {"shape": [np.int32(1000)]}, {"J": np.array(6)}, {"dim": np.uint8(1)}]),
        (ONE, [{"Q": 1}, {"Q": (1,)}, {"Q": [1, 1]}, {"Q": np.array([1, 1])}, {"Q": (np.array(1),)}]),
        (ONE, [{"T": 64}, {"T": 64.0}, {"T": np.float32(64)}, {"T": np.array(64)}, {"T": Fraction(64)}]),
        (
            ONE,
            [{"stride": 64}, {"T": 64, "stride": np.int64(64)}, {"padding": "reflect"}, {"pre_pad": np.bool_(False)}],
        ),
        (ONE | {"T": 0}, [{"T": "none"}, {"T": 0.0}, {"T": np.int64(0)}]),
        (ONE | {"order": 1}, [{"Q": (1, 5)}, {"order": np.array(1)}]),
        (ONE | {"order": 0}, [{"Q": 8}, {"Q": (3, 2)}, {"Q": ()}]),
        (ONE | {"order": 3, "Q": 8}, [{"Q": (8, 1)}, {"Q": (8, 1, 1)}]),
        (TWO, [{"L": 8}, {"shape": [32, 37]}, {"T": 8}, {"stride": 8}, {"L": np.array(8)}]),
        (THREE, [{"L": 3}, {"sigma_0": 1}, {"rotation_covariant": True}, {"padding": "periodic"}]),
        (THREE, [{"integral_powers": [0.5, 1, 2]}, {"integral_powers": np.array([0.5, 1.0, 2.0])}]),
    ],
)
def test_equal_transforms_are_equal_specs(base: dict[str, Any], ways: list[dict[str, Any]]) -> None:
    spec = Spec(**base)
    for way in ways:
        other = Spec(**base | way)
        assert other == spec
        assert hash(other) == hash(spec)
        assert (other.to_json(), other.digest, repr(other)) == (spec.to_json(), spec.digest, repr(spec))


def test_fields_are_plain_python_types() -> None:
    spec = Spec(dim=np.int8(3), shape=np.array([8, 9, 10]), J=np.array(2), sigma_0=np.float32(2), L=np.uint8(3))
    assert [type(value) for value in dataclasses.astuple(spec)] == [
        int, tuple, int, type(None), int, int, type(None), type(None), str, bool, float, bool, tuple, *[type(None)] * 5,
    ]  # fmt: skip
    assert all(type(side) is int for side in spec.shape)


def test_different_transforms_differ() -> None:
    ways = [{}, {"J": 5}, {"Q": 8}, {"T": 65}, {"T": 64.5}, {"T": "global"}, {"T": 0}, {"stride": 32}, {"order": 1}]
    ways += [{"padding": "zero"}, {"padding": "periodic"}, {"pre_pad": True}, {"shape": 999}]
    specs = [Spec(**ONE | way) for way in ways]
    assert len(set(specs)) == len({spec.digest for spec in specs}) == len(ways)


def test_printed_form_leaves_out_what_has_no_meaning_and_evaluates_to_the_spec() -> None:
    spec = Spec(dim=1, shape=1024, J=6, Q=8)
    assert str(spec) == (
        "Spec(dim=1, shape=(1024,), J=6, Q=(8, 1), order=2, T=64, stride=64, padding='reflect', pre_pad=False)"
    )
    assert eval(str(spec)) == spec


def test_json_is_canonical() -> None:
    assert Spec(**THREE).to_json() == (
        '{"J":2,"L":3,"Q":null,"T":null,"dim":3,"integral_powers":[0.5,1.0,2.0],"order":2,"padding":"periodic",'
        '"pre_pad":false,"rotation_covariant":true,"shape":[8,9,10],"sigma_0":1.0,"stride":null}'
    )
    assert Spec(**ONE).digest == "1e228ab03a0a52410ae5b8c6f0da71dc3bdc86fcccb558f430a39cd5c7f47d9d"


def test_json_may_leave_out_defaults() -> None:
    assert Spec.from_json('{"dim": 1, "shape": 1000, "J": 6}') == Spec(**ONE)


def test_a_spec_cannot_be_changed_but_replaced() -> None:
    spec = Spec(**ONE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.J = 7  # type: ignore[misc]
    assert dataclasses.replace(spec, J=7, T=None, stride=None) == Spec(**ONE | {"J": 7})
    assert dataclasses.replace(spec, order=3).Q == (1, 1, 1)
    assert pickle.loads(pickle.dumps(spec)) == spec


# What a spec says about itself


@pytest.mark.parametrize(
    ("fields", "average", "T_support", "log2_T", "log2_stride"),
    [
        (ONE, "local", 64, 6, 6),
        (ONE | {"T": 100.5, "stride": 2}, "local", 100.5, 6, 1),
        (ONE | {"T": 1}, "local", 1, 0, 0),
        (ONE | {"T": "global"}, "global", 64, 6, None),
        (ONE | {"T": 0}, "none", 64, 6, None),
        (ONE | {"shape": 30}, "local", 64, 6, 6),
        (TWO | {"T": 30}, "local", 30, 4, 4),
        (TWO | {"T": "global"}, "global", 8, 3, None),
        (THREE, "integral", 4, 2, None),
    ],
)
def test_averaging(
    fields: dict[str, Any], average: str, T_support: float, log2_T: int, log2_stride: int | None
) -> None:
    spec = Spec(**fields)
    assert (spec.average, spec.T_support, spec.log2_T, spec.log2_stride) == (average, T_support, log2_T, log2_stride)


@pytest.mark.parametrize(
    ("fields", "padded", "widths", "level", "kept"),
    [
        (ONE, (2048,), ((524, 524),), 6, ((9, 24),)),
        (ONE | {"T": 0}, (2048,), ((524, 524),), 0, ((524, 1524),)),
        (TWO, (48, 48), ((8, 8), (5, 6)), 3, ((1, 5), (1, 5))),
        (TWO | {"T": 32}, (96, 96), ((32, 32), (29, 30)), 5, ((1, 2), (1, 2))),
        (THREE, (8, 9, 10), ((0, 0),) * 3, 0, ((0, 8), (0, 9), (0, 10))),
    ],
)
def test_where_the_signal_lies(fields: dict[str, Any], padded: Any, widths: Any, level: int, kept: Any) -> None:
    spec = Spec(**fields)
    assert (spec.padded_shape, spec.padding_widths, spec.kept(level)) == (padded, widths, kept)
    assert spec.input_shape == spec.shape
    if spec.dim < 3:
        given_padded = Spec(**fields, pre_pad=True)
        assert (given_padded.shape, given_padded.input_shape) == (spec.shape, padded)
        assert (given_padded.padded_shape, given_padded.padding_widths) == (padded, widths)


@pytest.mark.parametrize("dim", [1, 2])
def test_every_J_up_to_the_limit_can_be_subsampled(dim: int) -> None:
    for side in range(2, 71):
        for J in range(1, 9):
            for T in (None, 1, side, "global", 0):
                try:
                    spec = Spec(dim=dim, shape=(side,) * dim, J=J, T=T)
                except SpecError:
                    continue
                assert all(padded % 2 ** max(J, spec.log2_T) == 0 for padded in spec.padded_shape)


# Errors, word for word

PADDED_J = "J must be an integer from 1 to 11 (2**J is at most the padded length 2048)"
T_RANGE = "T must be None, 'global', 0 or a number from 1 to 1000"
STRIDES = "stride must be a power of two from 1 to 64"
Q_RANGE = "Q must be an integer from 1 to 4096 or a tuple of them, one per order"
POWERS = "integral_powers must be a non-empty sequence of finite numbers above 0"
HINT = "; the nearest that works is "

ERRORS: list[tuple[dict[str, Any], str]] = [
    (THREE | {"dim": 4}, f"dim=4 is not possible: dim must be an integer from 1 to 3{HINT}3"),
    (ONE | {"dim": True}, "dim=True is not possible: dim must be an integer from 1 to 3"),
    (ONE | {"shape": 1, "J": 1}, f"shape=1 is not possible: shape must be 1 integer from 2 to 4294967296{HINT}(2,)"),
    (
        ONE | {"shape": 1.5, "J": 1},
        f"shape=1.5 is not possible: shape must be 1 integer from 2 to 4294967296{HINT}(2,)",
    ),
    (ONE | {"shape": (5, 6)}, "shape=(5, 6) is not possible: shape must be 1 integer from 2 to 4294967296"),
    (ONE | {"shape": "ab"}, "shape='ab' is not possible: shape must be 1 integer from 2 to 4294967296"),
    (TWO | {"shape": 64}, f"shape=64 is not possible: shape must be 2 integers from 2 to 4294967296{HINT}(64, 64)"),
    (
        THREE | {"shape": (0, 9, 2.4)},
        f"shape=(0, 9, 2.4) is not possible: shape must be 3 integers from 1 to 4294967296{HINT}(1, 9, 2)",
    ),
    (ONE | {"J": 0}, f"J=0 is not possible: {PADDED_J}{HINT}1"),
    (ONE | {"J": 12}, f"J=12 is not possible: {PADDED_J}{HINT}11"),
    (ONE | {"J": None}, f"J=None is not possible: {PADDED_J}"),
    (ONE | {"J": True}, f"J=True is not possible: {PADDED_J}"),
    (ONE | {"J": math.inf}, f"J=inf is not possible: {PADDED_J}{HINT}11"),
    (ONE | {"J": 10**5000}, f"J='<int>' is not possible: {PADDED_J}{HINT}11"),
    # what T=None allows and T=2.5, with its shorter padding, does not
    (ONE | {"shape": 1500, "J": 12, "T": 2.5}, f"J=12 is not possible: {PADDED_J}{HINT}11"),
    (
        TWO | {"J": 6},
        f"J=6 is not possible: J must be an integer from 1 to 5 (2**J is at most the smallest side 32){HINT}5",
    ),
    (THREE | {"J": -1}, f"J=-1 is not possible: J must be an integer from 0 to 32{HINT}0"),
    (ONE | {"order": -1}, f"order=-1 is not possible: order must be an integer from 0 to 32{HINT}0"),
    (
        THREE | {"order": 0},
        f"order=0 is not possible: order must be an integer from 1 to 32 (3D has no coefficients of order 0){HINT}1",
    ),
    (ONE | {"order": 2.0}, f"order=2.0 is not possible: order must be an integer from 0 to 32{HINT}2"),
    (ONE | {"T": 2000}, f"T=2000 is not possible: {T_RANGE}{HINT}1000"),
    (ONE | {"T": 0.5}, f"T=0.5 is not possible: {T_RANGE}{HINT}1"),
    (ONE | {"T": -3}, f"T=-3 is not possible: {T_RANGE}{HINT}1"),
    (ONE | {"T": math.nan}, f"T=nan is not possible: {T_RANGE}"),
    (ONE | {"T": False}, f"T=False is not possible: {T_RANGE}"),
    (ONE | {"T": "Global"}, f"T='Global' is not possible: {T_RANGE}{HINT}'global'"),
    (ONE | {"stride": 128}, f"stride=128 is not possible: {STRIDES}{HINT}64"),
    (ONE | {"stride": 17}, f"stride=17 is not possible: {STRIDES}{HINT}16"),
    (ONE | {"stride": 0}, f"stride=0 is not possible: {STRIDES}{HINT}1"),
    (ONE | {"stride": "16"}, f"stride='16' is not possible: {STRIDES}"),
    (
        ONE | {"T": 0, "stride": 16},
        "stride=16 is not possible: stride must be left at None, since T=0 does not average locally",
    ),
    (
        TWO | {"T": "global", "stride": 1},
        "stride=1 is not possible: stride must be left at None, since T='global' does not average locally",
    ),
    (ONE | {"Q": 0}, f"Q=0 is not possible: {Q_RANGE}{HINT}1"),
    (ONE | {"Q": 1.5}, f"Q=1.5 is not possible: {Q_RANGE}{HINT}2"),
    (ONE | {"Q": (8, 0)}, f"Q=(8, 0) is not possible: {Q_RANGE}{HINT}(8, 1)"),
    (ONE | {"Q": ()}, f"Q=() is not possible: {Q_RANGE}{HINT}1"),
    (ONE | {"Q": "8"}, f"Q='8' is not possible: {Q_RANGE}"),
    (
        ONE | {"Q": (8, 2, 1)},
        f"Q=(8, 2, 1) is not possible: Q must be an integer or a tuple of at most 2 (order=2){HINT}(8, 2)",
    ),
    (TWO | {"L": 0}, f"L=0 is not possible: L must be an integer from 1 to 4096{HINT}1"),
    (THREE | {"L": -1}, f"L=-1 is not possible: L must be an integer from 0 to 100{HINT}0"),
    (
        ONE | {"padding": "reflection"},
        f"padding='reflection' is not possible: padding must be 'reflect' or 'zero' or 'periodic'{HINT}'reflect'",
    ),
    (ONE | {"padding": 0}, "padding=0 is not possible: padding must be 'reflect' or 'zero' or 'periodic'"),
    (
        THREE | {"padding": "reflect"},
        f"padding='reflect' is not possible: padding must be 'periodic'{HINT}'periodic'",
    ),
    (TWO | {"pre_pad": 1}, "pre_pad=1 is not possible: pre_pad must be True or False"),
    (THREE | {"pre_pad": True}, f"pre_pad=True is not possible: pre_pad must be False{HINT}False"),
    (THREE | {"sigma_0": 0}, "sigma_0=0 is not possible: sigma_0 must be a finite number above 0"),
    (THREE | {"sigma_0": math.inf}, "sigma_0=inf is not possible: sigma_0 must be a finite number above 0"),
    (
        THREE | {"rotation_covariant": "yes"},
        "rotation_covariant='yes' is not possible: rotation_covariant must be True or False",
    ),
    (THREE | {"integral_powers": ()}, f"integral_powers=() is not possible: {POWERS}"),
    (THREE | {"integral_powers": 2}, f"integral_powers=2 is not possible: {POWERS}{HINT}(2.0,)"),
    (THREE | {"integral_powers": (-1, 2)}, f"integral_powers=(-1, 2) is not possible: {POWERS}{HINT}(2.0,)"),
]
MEANINGLESS: list[tuple[dict[str, Any], str, Any]] = [
    (ONE, "L", 8), (ONE, "sigma_0", 1.0), (ONE, "rotation_covariant", True), (ONE, "integral_powers", (1.0,)),
    (TWO, "Q", 1), (TWO, "sigma_0", 1.0), (TWO, "rotation_covariant", False), (TWO, "integral_powers", ()),
    (THREE, "Q", 1), (THREE, "T", 4), (THREE, "stride", 2),
]  # fmt: skip
for base, field, value in MEANINGLESS:
    reason = f"{field} must be left at None, since it has no meaning in {base['dim']}D"
    ERRORS.append((base | {field: value}, f"{field}={value!r} is not possible: {reason}"))


@pytest.mark.parametrize(("fields", "message"), ERRORS)
def test_error_texts(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec(**fields)
    assert str(caught.value) == message
    assert fields[caught.value.field] is caught.value.value or caught.value.value == "<int>"
    if caught.value.nearest is not None:
        Spec(**fields | {caught.value.field: caught.value.nearest})


def test_a_value_that_cannot_be_printed_is_still_a_spec_error() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

        def __index__(self) -> int:
            raise RuntimeError

    with pytest.raises(SpecError, match="J='<Broken>' is not possible"):
        Spec(**ONE | {"J": Broken()})


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", "the text of a JSON object"),
        ("[1]", "the text of a JSON object"),
        ("[" * 100_000, "the text of a JSON object"),
        (None, "the text of a JSON object"),
        ('{"dim": 1, "K": 2, "shape": 8, "J": 1, "M": 0}', "of fields of Spec, which K, M is not"),
        ('{"dim": 1}', "complete, but shape, J is missing"),
    ],
)
def test_malformed_json(text: Any, allowed: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.from_json(text)
    assert (caught.value.field, caught.value.value, caught.value.allowed) == ("json", text, allowed)


def test_wrong_types_in_json_name_their_field() -> None:
    with pytest.raises(SpecError, match=r"^J='six' is not possible"):
        Spec.from_json('{"dim": 1, "shape": 1000, "J": "six"}')


# Anything at all

numbers = st.one_of(
    st.integers(-3, 12), st.integers(), st.floats(), st.fractions(), st.booleans(), st.complex_numbers(),
    st.integers(0, 300).map(np.int64), st.floats(0, 300).map(np.array), st.floats(width=32).map(np.float32),
    st.integers(0, 9).map(np.array), st.booleans().map(np.bool_), st.just(10**400), st.just(Fraction(-(10**400))),
)  # fmt: skip
texts = st.one_of(st.text(max_size=5), st.sampled_from(["reflect", "zero", "periodic", "global", "none", "Zero"]))
arrays = st.lists(st.integers(0, 99), max_size=4).map(np.array)
anything = st.recursive(
    st.none() | numbers | texts | arrays | st.just(object()) | st.just(np.datetime64("2000-01-01")),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(texts, inner),
    max_leaves=4,
)
sides = st.integers(1, 300) | st.integers(1, 2**33)
likely = {
    "dim": st.integers(1, 3),
    "shape": sides | st.lists(sides, min_size=1, max_size=3).map(tuple),
    "J": st.integers(0, 14),
    "Q": st.none() | st.integers(1, 16) | st.lists(st.integers(0, 9), max_size=4).map(tuple),
    "L": st.none() | st.integers(0, 12),
    "order": st.integers(0, 4),
    "T": st.sampled_from([None, 0, "global", "none"]) | st.floats(0, 400) | st.integers(1, 400) | st.just(2**31),
    "stride": st.none() | st.integers(0, 12).map(lambda k: 2**k) | st.integers(0, 99),
    "padding": st.none() | texts,
    "pre_pad": st.booleans(),
    "sigma_0": st.none() | st.floats(0, 4),
    "rotation_covariant": st.none() | st.booleans(),
    "integral_powers": st.none() | st.lists(st.floats(0, 4), max_size=3),
}
required = {name: likely[name] for name in ("dim", "shape", "J")}
optional = {name: likely[name] for name in likely if name not in required}
mostly_good = st.fixed_dictionaries(required, optional=optional)
mostly_bad = st.fixed_dictionaries(
    {name: s | anything for name, s in required.items()}, optional={name: s | anything for name, s in optional.items()}
)


@settings(max_examples=500, deadline=None)
@given(mostly_good | mostly_bad)
def test_anything_is_a_spec_or_a_spec_error_whose_nearest_value_works(fields: dict[str, Any]) -> None:
    mended: list[str] = []
    while True:
        try:
            spec = Spec(**fields)
        except SpecError as error:
            assert error.field in likely
            # the nearest value mends that field for good: what is still wrong after it is another field
            assert error.field not in mended, str(error)
            if error.nearest is None:
                if fields[error.field] is None or error.field in required:
                    return
                del fields[error.field]
            else:
                fields |= {error.field: error.nearest}
                mended.append(error.field)
            continue
        break
    assert Spec.from_json(spec.to_json()) == spec
    assert hash(Spec(**json.loads(spec.to_json()))) == hash(spec)
    assert eval(repr(spec)) == spec
    assert all(0 < N <= padded for N, padded in zip(spec.shape, spec.padded_shape, strict=True))
    coarsest = max(spec.J, spec.log2_T) if spec.dim < 3 else 0
    assert all(padded % 2**coarsest == 0 for padded in spec.padded_shape)
    for (start, stop), padded in zip(spec.kept(coarsest), spec.padded_shape, strict=True):
        assert 0 <= start <= stop <= padded // 2**coarsest


def test_T_may_exceed_the_signal_only_as_the_default_does() -> None:
    spec = Spec(dim=1, shape=20, J=5)
    assert spec.T == 32
    assert Spec(dim=1, shape=20, J=5, T=32) == spec
    with pytest.raises(SpecError, match="T=31 is not possible"):
        Spec(dim=1, shape=20, J=5, T=31)
    assert spec.padded_shape == (2 ** geometry.max_log2_padded(20),)
