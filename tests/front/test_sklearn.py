"""The scikit-learn transformers: its estimator checks, Kymatio's row semantics, pipelines and names."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest

from scatc import numpy as on_numpy

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from scatc.sklearn import HarmonicScattering3D, Scattering1D, Scattering2D, TimeFrequencyScattering

ESTIMATORS = [
    Scattering1D(), Scattering1D(J=1, T="global"), Scattering2D(), HarmonicScattering3D(L=1),
    TimeFrequencyScattering(Q=2),
]  # fmt: skip
JOINT = {"J": 3, "J_fr": 2, "Q": 3, "shape": 32, "F": 2}
GIVEN = [
    (Scattering1D, on_numpy.Scattering1D, {"J": 3, "shape": (32,)}, "S2[j=0,1;n=2,3;t=3]"),
    (Scattering1D, on_numpy.Scattering1D, {"J": 3, "shape": 32, "T": "global"}, "S2[j=0,1;n=2,3;t=0]"),
    (Scattering2D, on_numpy.Scattering2D, {"J": 2, "shape": (8, 9), "L": 2}, "S2[j=0,1;theta=1,0;y=1;x=0]"),
    (Scattering2D, on_numpy.Scattering2D, {"J": 2, "shape": (8, 9), "L": 2, "pre_pad": True}, "S0[y=0;x=0]"),
    (HarmonicScattering3D, on_numpy.HarmonicScattering3D, {"J": 1, "shape": (4, 5, 6)}, "S2[j=0,1;l=2;power=0.5]"),
    (TimeFrequencyScattering, on_numpy.TimeFrequencyScattering, JOINT, "S2[n1=2;n2=3;n_fr=6;t=3]"),
    (TimeFrequencyScattering, on_numpy.TimeFrequencyScattering, JOINT | {"format": "joint"}, "S1[n_fr=2;f=3;t=0]"),
]


@pytest.mark.filterwarnings("ignore:.*zeros are added")  # the checks' tables are no squares and cubes
@parametrize_with_checks(ESTIMATORS)
def test_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(("cls", "reference", "arguments", "name"), GIVEN)
class TestShapeGiven:
    def test_rows_of_flattened_signals(self, cls: Any, reference: Any, arguments: dict[str, Any], name: str) -> None:
        S, R = cls(**arguments), reference(**arguments)
        size = int(np.prod(R.spec.input_shape))
        x = np.random.default_rng(0).standard_normal((2, 3 * size))
        signals = x.reshape(2, 3, *R.spec.input_shape)
        expected = R(signals)
        for y in (S.transform(x), S.predict(x), S.fit_transform(x), S.fit().transform(x), S.fit(x).transform(x)):
            np.testing.assert_array_equal(y, expected.reshape(2, -1))
        np.testing.assert_array_equal(S(signals), expected)
        np.testing.assert_array_equal(S.scattering(signals), expected)

    def test_any_number_of_axes(self, cls: Any, reference: Any, arguments: dict[str, Any], name: str) -> None:
        S, R = cls(**arguments), reference(**arguments)
        size = int(np.prod(R.spec.input_shape))
        x = np.random.default_rng(0).standard_normal((2, 3, 2 * size)).astype("float32")
        y = S.transform(x)
        assert (y.dtype, y.shape) == (np.float32, (2, 3, 2 * int(np.prod(R.array_shape()))))
        np.testing.assert_allclose(S.transform(x[1, 2]), y[1, 2], rtol=1e-5)

    def test_names(self, cls: Any, reference: Any, arguments: dict[str, Any], name: str) -> None:
        S = cls(**arguments)
        size = int(np.prod(S.as_numpy().spec.input_shape))
        names = S.get_feature_names_out()
        assert name in names
        assert len(set(names)) == S.transform(np.ones((1, size))).shape[1]
        several = S.fit(np.ones((1, 2 * size))).get_feature_names_out()
        assert len(set(several)) == 2 * len(names)
        assert name.replace("[", "[signal=1;") in several

    def test_it_is_fitted_from_the_start(self, cls: Any, reference: Any, arguments: dict[str, Any], name: str) -> None:
        S = clone(cls(**arguments))
        check_is_fitted(S)
        size = int(np.prod(S.as_numpy().spec.input_shape))
        with pytest.raises(ValueError, match=f"no multiple of the {size} samples"):
            S.transform(np.ones((2, size + 1)))
        S.fit(np.ones((2, size)))
        with pytest.raises(ValueError, match="is expecting"):
            S.transform(np.ones((2, 2 * size)))


def test_names_tell_the_path() -> None:
    S = Scattering1D(J=3, shape=64, Q=4).fit()
    meta = S.meta()
    names = S.get_feature_names_out().reshape(S.output_size(), -1)
    for row, (j, n) in enumerate(zip(meta["j"], meta["key"], strict=True)):
        path = f"j={','.join(str(int(i)) for i in j[: len(n)])};n={','.join(map(str, n))};" if n else ""
        assert names[row, 5] == f"S{len(n)}[{path}t=5]"


def test_parameters_are_those_of_the_constructor() -> None:
    S = Scattering1D(3, (64,), 8, T=None)
    assert S.get_params() == {
        "J": 3, "shape": (64,), "Q": 8, "T": None, "stride": None, "max_order": 2, "oversampling": 0,
        "out_type": "array", "backend": "numpy", "average": None,
    }  # fmt: skip
    assert clone(S).get_params() == S.get_params()
    assert repr(S) == "Scattering1D(J=3, Q=8, shape=(64,))"
    assert (S.as_numpy().Q, S.as_numpy().T, S.as_numpy().stride) == ((8, 1), 8, 8)


def test_attributes_are_resolved_as_those_of_numpy() -> None:
    assert Scattering1D(3, 1024, Q=(8,)).Q == Scattering1D(3, 1024, Q=(8, 1)).Q == (8, 1)
    S = Scattering1D(3, 1024, Q=(8,))
    names = ("J", "shape", "Q", "T", "stride", "max_order", "log2_T", "log2_stride", "average")
    for T in (None, "global", 0, 5):
        S.set_params(T=T)
        assert [getattr(S, name) for name in names] == [getattr(S.as_numpy(), name) for name in names]
        assert S.get_params()["T"] == vars(S)["T"] == T
    S.set_params(T=None)
    assert (S.shape, S.T, S.stride) == ((1024,), 8, 8)
    assert vars(S).keys() == S.get_params().keys()
    later = clone(S).set_params(J=4)
    assert (later.J, later.T, later.stride) == (4, 16, 16)
    assert pickle.loads(pickle.dumps(later)).get_params() == later.get_params()
    assert (
        HarmonicScattering3D(1, (4, 4, 4)).integral_powers
        == on_numpy.HarmonicScattering3D(1, (4, 4, 4)).integral_powers
    )


def test_attributes_are_those_given_where_nothing_can_be_resolved() -> None:
    S = Scattering1D(3, Q=(8,))
    assert (S.Q, S.T, S.stride, S.shape) == ((8,), None, None, None)
    S.set_params(shape=64, Q=0.5)
    assert (S.Q, S.T, S.J, S.shape) == (0.5, None, 3, 64)
    S.set_params(Q=8)
    assert (S.Q, S.T, S.shape) == ((8, 1), 8, (64,))
    S.stride = 3
    assert (S.stride, S.Q) == (3, (8, 1))
    with pytest.raises(AttributeError, match="'Scattering1D' object has no attribute 'Q'"):
        _ = Scattering1D.__new__(Scattering1D).Q


def test_a_subclass_may_say_what_reads_back() -> None:
    class Mine(Scattering1D):
        T = 5

    class Deeper(Mine):
        pass

    assert (Deeper(3, 64).Q, Deeper.T, Mine.T) == ((1, 1), 5, 5)


def test_parameters_set_later_are_obeyed() -> None:
    x = np.random.default_rng(0).standard_normal((2, 64))
    S = Scattering1D(3, 64).fit(x)
    wide = S.transform(x).shape
    S.max_order = 1
    assert S.transform(x).shape == (2, S.output_size() * 8) != wide
    S.set_params(T="global", max_order=2)
    assert S.transform(x).shape == (2, S.output_size())
    S.out_type = "list"
    assert isinstance(S(x), list)
    with pytest.raises(ValueError, match="out_type='array'"):
        S.transform(x)
    S.set_params(out_type="array", T=0)
    with pytest.raises(ValueError, match="Cannot convert"):
        S.transform(x)


def test_what_numpy_offers_is_offered() -> None:
    S = Scattering2D(2, (8, 8))
    assert (S._M_padded, len(S.psi)) == (16, 16)
    assert hasattr(Scattering1D(3, 64), "psi1_f")
    assert not hasattr(S, "meta")
    assert not hasattr(S, "n_features_in_")
    joint = clone(TimeFrequencyScattering(**JOINT))
    assert (joint.F, joint.T, joint.Q_fr, joint.format, joint.get_params()["Q_fr"]) == (2, 8, (1,), "time", 1)
    assert joint.set_params(format="joint").output_size() == len(joint.meta()["key"]) == joint(np.ones(32)).shape[0]
    with pytest.raises(AttributeError, match="'Scattering2D' object has no attribute 'nothing'"):
        _ = S.nothing


@pytest.mark.parametrize(
    ("arguments", "error", "fragment"),
    [
        ({"Q": 0.9}, ValueError, "Q must always be >= 1"),
        ({"Q": [8]}, ValueError, "Q must be an integer or a tuple"),
        ({"Q": (1, 1, 1)}, NotImplementedError, "Scattering transforms beyond order 2 are not implemented"),
        ({"shape": (5, 6)}, ValueError, "exactly one element"),
        ({"backend": "torch"}, ImportError, "can not be called from the frontend numpy"),
    ],
)
def test_a_complete_constructor_is_checked_at_once(arguments: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        Scattering1D(**{"J": 3, "shape": 64, **arguments})
    later = Scattering1D(J=3).set_params(**{"shape": 64, **arguments})
    with pytest.raises(error, match=fragment):
        later.fit(np.ones((2, 64)))


class TestShapeTakenFromTheData:
    @pytest.mark.parametrize(
        ("S", "n", "shape", "J"),
        [
            (Scattering1D(), 100, (100,), 4),
            (Scattering1D(), 2, (2,), 1),
            (Scattering1D(J=2), 100, (100,), 2),
            (TimeFrequencyScattering(), 100, (100,), 4),
            (Scattering2D(L=2), 1024, (32, 32), 3),
            (Scattering2D(L=2), 64, (8, 8), 1),
            (HarmonicScattering3D(L=1), 512, (8, 8, 8), 1),
        ],
    )
    def test_one_signal_a_row(self, S: Any, n: int, shape: tuple[int, ...], J: int) -> None:
        with pytest.raises(NotFittedError):
            S.transform(np.ones((2, n)))
        with pytest.raises(NotFittedError):
            S.as_numpy()
        x = np.random.default_rng(0).standard_normal((2, n))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = S.fit(x).transform(x)
        assert (S.as_numpy().shape, S.as_numpy().J) == (shape, J)
        np.testing.assert_array_equal(y, S.as_numpy()(x.reshape(2, *shape)).reshape(2, -1))

    @pytest.mark.parametrize(
        ("S", "n", "side"), [(Scattering2D(L=2), 50, 8), (Scattering2D(L=2), 70, 9), (HarmonicScattering3D(L=1), 30, 4)]
    )
    def test_what_is_no_square_or_cube_is_filled_up_with_a_warning(self, S: Any, n: int, side: int) -> None:
        x = np.random.default_rng(0).standard_normal((2, n))
        with pytest.warns(UserWarning, match=f"{n} features do not fill {side} x {side}"):
            S.fit(x)
        full = np.zeros((2, side**S._dim))
        full[:, :n] = x
        np.testing.assert_array_equal(S.transform(x), type(S)(L=S.L).fit(full).transform(full))


def test_pipeline_on_digits() -> None:
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X / 16, y, random_state=0, train_size=400, test_size=400)
    X_train, X_test, y_train, y_test = parts
    pipe = make_pipeline(Scattering2D(J=1, shape=(8, 8)), StandardScaler(), LogisticRegression(max_iter=500))
    assert pipe.fit(X_train, y_train).score(X_test, y_test) > 0.93
    assert pickle.loads(pickle.dumps(pipe)).score(X_test, y_test) == pipe.score(X_test, y_test)
    search = GridSearchCV(
        pipe, {"scattering2d__L": [2, 4], "scattering2d__max_order": [1, 2]}, cv=2, error_score="raise"
    )
    assert search.fit(X_train[:100], y_train[:100]).best_score_ > 0.7


def test_data_frames_out() -> None:
    pandas = pytest.importorskip("pandas")
    x = np.random.default_rng(0).standard_normal((3, 32))
    frame = pandas.DataFrame(x, index=list("abc"), columns=[f"sample{i}" for i in range(32)])
    S = Scattering1D(2, 32).set_output(transform="pandas").fit(frame)
    out = S.transform(frame)
    assert list(out.columns) == list(S.get_feature_names_out(frame.columns))
    assert list(out.index) == list("abc")
    assert list(S.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(out.to_numpy(), S.predict(frame))
