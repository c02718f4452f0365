"""Scattering transforms as scikit-learn transformers: rows of signals in, rows of coefficients out."""

from __future__ import annotations

import math
import warnings
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scatc.dropin.needs import needs

with needs("sklearn"):
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils import Tags
    from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from scatc import numpy as on_numpy
from scatc.dropin import ScatteringBase
from scatc.dropin.names import coefficient_names
from scatc.ir.frequency import inputs

__all__ = ["HarmonicScattering3D", "Scattering1D", "Scattering2D", "TimeFrequencyScattering"]


class _Parameter:
    """A constructor argument that reads as the numpy object resolves it, while `vars` keeps what was given."""

    def __init__(self, name: str, doc: str | None) -> None:
        self._name, self.__doc__ = name, doc

    def __get__(self, owner: Any, cls: type) -> Any:
        if owner is None:
            return self
        if self._name not in vars(owner):
            raise AttributeError(f"{cls.__name__!r} object has no attribute {self._name!r}")
        given = vars(owner)[self._name]
        if vars(owner).get("shape") is None:
            return given
        try:
            return getattr(owner.as_numpy(), self._name)
        except Exception:  # impossible parameters: fit and transform say so, reading one must not
            return given

    def __set__(self, owner: Any, value: Any) -> None:
        vars(owner)[self._name] = value


class _Transformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What the transformers share.

    The constructor stores its arguments; an object of `scatc.numpy` made from them (`as_numpy`) does the work, so
    that parameters set later are obeyed by the next call. Whatever that object offers (`meta`, `output_size`,
    `psi1_f`, ...) is found here too. `T`, `Q` and the like are its resolved ones where `shape` was given and they are
    possible, else what the constructor was given; `get_params` always returns what the constructor was given.
    """

    _numpy: ClassVar[Any]  # the class that does the work
    _dim: ClassVar[int]
    _octaves_left: ClassVar[int]  # log2 of the smallest side, less J, when J is None

    J: Any
    shape: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cls._get_param_names():
            resolved = getattr(cls._numpy, name, None)
            # reading `oversampling` of a numpy object warns; what a subclass says of its own stays
            if isinstance(resolved, property) and name != "oversampling" and not hasattr(cls, name):
                setattr(cls, name, _Parameter(name, resolved.__doc__))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the constructor was given, or what was set since.

        Parameters
        ----------
        deep : bool, optional
            Makes no difference: no parameter is an estimator.

        Returns
        -------
        dict
            Parameters by name.
        """
        given = vars(self)
        return {name: given[name] if name in given else getattr(self, name) for name in self._get_param_names()}

    def _check_early(self) -> None:
        """Raise what the numpy class raises, where Kymatio does: in a constructor that was given a shape."""
        shape = vars(self)["shape"]
        if isinstance(shape, tuple) or (isinstance(shape, Integral) and int(shape) > 0):
            self.as_numpy()

    def as_numpy(self) -> Any:
        """The `scatc.numpy` object that does the work.

        It has the resolved parameters: its `T`, `Q`, `shape` and `stride` are those in use.

        Raises
        ------
        NotFittedError
            If `shape` is None and `fit` was not called.
        """
        arguments = self.get_params(deep=False)
        if arguments["shape"] is None:
            check_is_fitted(self, "n_features_in_")
            arguments["shape"] = (self._side(self.n_features_in_),) * self._dim
        if arguments["J"] is None:
            sides = arguments["shape"] if isinstance(arguments["shape"], tuple | list) else [arguments["shape"]]
            arguments["J"] = max(1, int(min(sides)).bit_length() - 1 - self._octaves_left)
        return self._numpy(**self._completed(arguments))

    def _completed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments with what follows from J and shape."""
        return arguments

    def _side(self, n_features: int) -> int:
        """Side of the smallest line, square or cube that holds so many samples."""
        side: int = max(2, round(n_features ** (1 / self._dim)))
        return side + int(side**self._dim < n_features)

    def __call__(self, x: NDArray[Any]) -> Any:
        """The same as `scattering`."""
        return self.scattering(x)

    def scattering(self, x: NDArray[Any]) -> Any:
        """Transform signals that are not flattened, as the class of `scatc.numpy` does."""
        return self.as_numpy()(x)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self._get_param_names() or not hasattr(type(self)._numpy, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.as_numpy(), name)

    def fit(self, X: Any = None, y: Any = None) -> _Transformer:
        """Learn the number of features; nothing else is learnt.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features), optional
            May be left out if `shape` was given: nothing is learnt then.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the parameters are not possible, or `X` does not hold whole signals.
        """
        if X is None and self.shape is not None:
            self.as_numpy()
            return self
        X, _ = self._rows(X, reset=True)
        size = self._signal_size(self.as_numpy(), X.shape[1])
        if size > X.shape[1]:
            what = " x ".join([str(self._side(X.shape[1]))] * self._dim)
            warnings.warn(
                f"{X.shape[1]} features do not fill {what} samples: zeros are added; pass shape if that is not meant",
                UserWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The same as `transform`, but always an array."""
        X, lead = self._rows(X, reset=False)
        operator = self.as_numpy()
        if getattr(operator, "out_type", "array") != "array":
            raise ValueError(f"transform needs out_type='array', not {operator.out_type!r}; scattering(x) takes any")
        size = self._signal_size(operator, X.shape[1])
        if size > X.shape[1]:
            X = np.pad(X, ((0, 0), (0, size - X.shape[1])))
        signals = X.reshape(len(X), -1, *operator.spec.input_shape)
        coefficients: NDArray[Any] = operator(signals)
        return coefficients.reshape(*lead, math.prod(coefficients.shape[1:]))

    def transform(self, X: Any) -> NDArray[Any]:
        """Transform rows of flattened signals.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Each row holds one signal in C order, or (if `shape` was given) several one after the other. If `shape`
            was given, an array may have any number of axes: the last one holds the signals.

        Returns
        -------
        ndarray, shape (n_samples, n_coefficients)
            In the dtype of X (float64 if X is neither float32 nor float64); a data frame if `set_output` asks for it.

        Raises
        ------
        NotFittedError
            If `shape` is None and `fit` was not called.
        ValueError
            If `X` holds NaN or infinity, or does not hold whole signals, or if `out_type` is not 'array'.
        """
        return self.predict(X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the coefficients, such as ``S2[j=1,3;n=4,11;t=0]``.

        Parameters
        ----------
        input_features : array_like of str, optional
            Checked to be those of fit, and not used.
        """
        check_is_fitted(self)
        signals = 1
        operator = self.as_numpy()
        if hasattr(self, "n_features_in_"):
            _check_feature_names_in(self, input_features)
            signals = max(1, self.n_features_in_ // self._signal_size(operator, self.n_features_in_))
        names = list(coefficient_names(operator))
        if signals > 1:
            names = [name.replace("[", f"[signal={k};", 1) for k in range(signals) for name in names]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return self.shape is not None or "n_features_in_" in vars(self)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.shape is None
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _rows(self, X: Any, *, reset: bool) -> tuple[NDArray[Any], tuple[int, ...]]:
        """`X` as a table of numbers, and the shape without the last axis that the result is to have."""
        if not reset:
            check_is_fitted(self)
        lead = None
        if self.shape is not None and isinstance(X, np.ndarray) and X.ndim not in (0, 2):
            lead = X.shape[:-1]
            X = X.reshape(math.prod(lead), X.shape[-1])
        least = 2 if reset and self.shape is None else 1
        X = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_min_features=least)
        return X, (len(X),) if lead is None else lead

    def _signal_size(self, operator: ScatteringBase, n_features: int) -> int:
        """Number of samples of one signal; the rows hold a whole number of them, or one that is to be filled up."""
        size = math.prod(operator.spec.input_shape)
        if self.shape is not None and n_features % size:
            raise ValueError(f"X has {n_features} features, which is no multiple of the {size} samples of one signal")
        return size


class Scattering1D(_Transformer):
    """The scattering transform of signals; parameters as in `scatc.numpy.Scattering1D`.

    Parameters
    ----------
    J : int, optional
        Log2 of the largest scale. None: the largest that leaves four samples of each path; at least 1.
    shape : int or tuple of one int, optional
        Length of a signal; rows may then hold several. None: a row is one signal.
    Q, T, stride, max_order, oversampling, out_type, backend, average
        See `scatc.numpy.Scattering1D`.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by fit.
    feature_names_in_ : ndarray of str
        Their names, if they had some.

    Examples
    --------
    >>> import numpy as np
    >>> Scattering1D(J=3, shape=64).transform(np.ones((2, 64))).shape
    (2, 80)
    """

    _numpy, _dim, _octaves_left = on_numpy.Scattering1D, 1, 2

    def __init__(
        self,
        J: Any = None,
        shape: Any = None,
        Q: Any = 1,
        T: Any = None,
        stride: Any = None,
        max_order: Any = 2,
        oversampling: Any = 0,
        out_type: Any = "array",
        backend: Any = "numpy",
        *,
        average: Any = None,
    ) -> None:
        self.J = J
        self.shape = shape
        self.Q = Q
        self.T = T
        self.stride = stride
        self.max_order = max_order
        self.oversampling = oversampling
        self.out_type = out_type
        self.backend = backend
        self.average = average
        self._check_early()


class Scattering2D(_Transformer):
    """The scattering transform of images; parameters as in `scatc.numpy.Scattering2D`.

    Parameters
    ----------
    J : int, optional
        Log2 of the largest scale. None: the largest that leaves four samples a side of each path; at least 1.
    shape : tuple of int, optional
        Height and width of an image; rows may then hold several. None: a row is one square image (filled up with
        zeros, and a warning, if its length is no square).
    L, max_order, pre_pad, backend, out_type
        See `scatc.numpy.Scattering2D`.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by fit.
    feature_names_in_ : ndarray of str
        Their names, if they had some.

    Examples
    --------
    >>> import numpy as np
    >>> Scattering2D(J=2, shape=(32, 32)).transform(np.ones((5, 1024))).shape
    (5, 5184)
    """

    _numpy, _dim, _octaves_left = on_numpy.Scattering2D, 2, 2

    def __init__(
        self,
        J: Any = None,
        shape: Any = None,
        L: Any = 8,
        max_order: Any = 2,
        pre_pad: Any = False,
        backend: Any = "numpy",
        out_type: Any = "array",
    ) -> None:
        self.J = J
        self.shape = shape
        self.L = L
        self.max_order = max_order
        self.pre_pad = pre_pad
        self.backend = backend
        self.out_type = out_type
        self._check_early()


class HarmonicScattering3D(_Transformer):
    """The solid harmonic transform of volumes; parameters as in `scatc.numpy.HarmonicScattering3D`.

    Parameters
    ----------
    J : int, optional
        Log2 of the largest scale. None: the largest whose 2**J is at most an eighth of the smallest side; at least 1.
    shape : tuple of int, optional
        Lengths of the three axes; rows may then hold several volumes. None: a row is one cube (filled up with zeros,
        and a warning, if its length is no cube).
    L, sigma_0, max_order, rotation_covariant, method, points, integral_powers, backend
        See `scatc.numpy.HarmonicScattering3D`.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by fit.
    feature_names_in_ : ndarray of str
        Their names, if they had some.
    """

    _numpy, _dim, _octaves_left = on_numpy.HarmonicScattering3D, 3, 3

    def __init__(
        self,
        J: Any = None,
        shape: Any = None,
        L: Any = 3,
        sigma_0: Any = 1,
        max_order: Any = 2,
        rotation_covariant: Any = True,
        method: Any = "integral",
        points: Any = None,
        integral_powers: Any = (0.5, 1.0, 2.0),
        backend: Any = "numpy",
    ) -> None:
        self.J = J
        self.shape = shape
        self.L = L
        self.sigma_0 = sigma_0
        self.max_order = max_order
        self.rotation_covariant = rotation_covariant
        self.method = method
        self.points = points
        self.integral_powers = integral_powers
        self.backend = backend
        self._check_early()


class TimeFrequencyScattering(_Transformer):
    """The joint time-frequency scattering transform; parameters as in `scatc.numpy.TimeFrequencyScattering`.

    Parameters
    ----------
    J : int, optional
        Log2 of the largest scale. None: the largest that leaves four samples of each path; at least 1.
    J_fr : int, optional
        Log2 of the largest scale along log-frequency. None: the largest of which two fit there; at least 1.
    Q : int or tuple of int, optional
        Wavelets per octave along time.
    shape : int or tuple of one int, optional
        Length of a signal; rows may then hold several. None: a row is one signal.
    T, stride, Q_fr, F, stride_fr, out_type, format, backend
        See `scatc.numpy.TimeFrequencyScattering`.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by fit.
    feature_names_in_ : ndarray of str
        Their names, if they had some.

    Examples
    --------
    >>> import numpy as np
    >>> TimeFrequencyScattering(J=3, J_fr=2, Q=4, shape=64).transform(np.ones((2, 64))).shape
    (2, 400)
    """

    _numpy, _dim, _octaves_left = on_numpy.TimeFrequencyScattering, 1, 2

    def __init__(
        self,
        J: Any = None,
        J_fr: Any = None,
        Q: Any = 8,
        shape: Any = None,
        T: Any = None,
        stride: Any = None,
        Q_fr: Any = 1,
        F: Any = None,
        stride_fr: Any = None,
        out_type: Any = "array",
        format: Any = "time",
        backend: Any = "numpy",
    ) -> None:
        self.J = J
        self.J_fr = J_fr
        self.Q = Q
        self.shape = shape
        self.T = T
        self.stride = stride
        self.Q_fr = Q_fr
        self.F = F
        self.stride_fr = stride_fr
        self.out_type = out_type
        self.format = format
        self.backend = backend
        self._check_early()

    def _completed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["J_fr"] is None:
            simple = {name: arguments[name] for name in ("J", "shape", "Q")}
            wavelets = inputs(on_numpy.Scattering1D(**simple).spec)
            arguments["J_fr"] = max(1, wavelets.bit_length() - 2)
        return arguments
