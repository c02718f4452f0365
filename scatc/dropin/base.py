"""What the drop-in classes of all dimensions and frameworks share."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from scatc.compiler import compile as compile_plan
from scatc.ir.errors import SpecError
from scatc.ir.filters import Bank
from scatc.ir.paths import PathRow, all_paths, path_table
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

_T = TypeVar("_T")

# What users call some fields of `Spec`: errors speak of these.
_ARGUMENTS = {"order": "max_order"}


@dataclass(frozen=True)
class Backend:
    """What reads back as `backend` when a name was given; scatc chooses how it computes by itself.

    Attributes
    ----------
    name : str
    """

    name: str


class filter_attribute(cached_property[_T]):
    """An attribute of filters, made when first read. It cannot be set: calls would not obey."""

    def __set__(self, owner: object, value: object) -> NoReturn:
        raise AttributeError(
            f"{self.attrname} of {type(owner).__name__} cannot be set: the filters are constants, made of the "
            "constructor's arguments"
        )


def read_only(response: NDArray[Any]) -> NDArray[Any]:
    """An array of a `filter_attribute`, which raises if it is changed: calls would not obey that either."""
    response.flags.writeable = False
    return response


class ScatteringBase:  # no ABC: its metaclass would clash with those of some frameworks
    """A scattering transform in Kymatio's manner.

    Attributes
    ----------
    frontend_name : str
        Name of the framework; names of backends must begin with it.
    backends : tuple of str
        The names that `backend` may have.
    target : str
        What plans are compiled for.
    array_name, padded_name : str
        How messages about wrong sizes call the input.
    """

    frontend_name: ClassVar[str]
    backends: ClassVar[tuple[str, ...]]
    target: ClassVar[str]
    array_name: ClassVar[str] = "Tensor"
    padded_name: ClassVar[str] = "Padded tensor"

    backend: Any
    _fields: dict[str, Any]
    _valid: Spec
    _plans: dict[tuple[Spec, str], Plan]

    def _build(self, backend: object, **fields: Any) -> None:
        """Check the backend and the fields of the `Spec`; every constructor ends here."""
        self.backend = self._find_backend(backend)
        self._fields = {}
        self._change(**fields)

    def _find_backend(self, backend: Any) -> Any:
        if isinstance(backend, str):
            if not backend.startswith(self.frontend_name):
                raise ImportError(f"The backend {backend} can not be called from the frontend {self.frontend_name}.")
            if backend not in self.backends:
                raise ImportError(f"Backend {backend} not found! There is {' and '.join(self.backends)}.")
            return Backend(backend)
        name = getattr(backend, "name", None)
        if not isinstance(name, str) or not name.startswith(self.frontend_name):
            named = name if isinstance(name, str) else repr(backend)
            raise ImportError(f"The backend {named} is not supported by the frontend {self.frontend_name}.")
        return backend

    def _change(self, **fields: Any) -> None:
        """Set fields of the `Spec`, all or none."""
        merged = self._fields | fields
        try:
            valid = Spec(**merged)
        except SpecError as error:
            if error.field not in _ARGUMENTS:
                raise
            raise SpecError(_ARGUMENTS[error.field], error.value, error.allowed, error.nearest) from None
        self._fields, self._valid, self._plans = merged, valid, {}

    def __getstate__(self) -> dict[str, Any]:
        # Plans and filters are found again where the object is unpickled or copied to: they need not travel.
        lazy = {name for cls in type(self).__mro__ for name, v in vars(cls).items() if isinstance(v, cached_property)}
        return {name: value for name, value in vars(self).items() if name not in lazy} | {"_plans": {}}

    @property
    def spec(self) -> Spec:
        """What is computed, in the compiler's terms."""
        return self._valid

    def plan(self, dtype: Any = "float32") -> Plan:
        """The compiled transform that calls run, with its source, schedule and report.

        Parameters
        ----------
        dtype : {'float32', 'float64'}, optional
            Precision.

        Raises
        ------
        ValueError
            If the stride is not possible.
        """
        key = (self.spec, str(dtype))
        plan = self._plans.get(key)
        if plan is None:  # two threads may both come here: they get the same plan out of the compiler's cache
            plan = self._plans[key] = self._compiled(key[0], dtype)
        return plan

    def _compiled(self, spec: Spec, dtype: Any) -> Plan:
        """The plan of a spec, for the framework of this class."""
        return compile_plan(spec, self.target, dtype=dtype)

    @property
    def J(self) -> int:
        """Log2 of the largest scale."""
        return self._valid.J

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one signal, without padding."""
        return self._valid.shape

    @property
    def max_order(self) -> int:
        """Largest order of the coefficients; it can be set, and the next call obeys."""
        return self._valid.order

    @max_order.setter
    def max_order(self, value: int) -> None:
        self._change(order=value)

    def _run(self, plan: Plan, x: Any) -> Any:
        """Transform an input; what comes out is for `_layout`."""
        return plan(x)

    def array_shape(self) -> tuple[int, ...]:
        """Shape of the output for one signal: paths first, then samples (3D: degrees and powers).

        Raises
        ------
        ValueError
            If paths differ in their number of samples (T=0): there is no array then.
        """
        spec = self.spec
        paths = len(all_paths(spec))
        if spec.average == "none":
            raise ValueError(f"with T=0 the {paths} paths differ in their number of samples")
        if spec.log2_stride is None:
            return (paths, *(1,) * spec.dim)
        return (paths, *(stop - start for start, stop in spec.kept(spec.log2_stride)))

    def _check_call(self) -> None:
        """Raise what is wrong with the attributes that can be set."""
        raise NotImplementedError

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise if an input of this shape is not what the transform takes."""
        raise NotImplementedError

    def _layout(self, result: Any) -> Any:
        """Bring what a plan returned to the layout that was asked for."""
        raise NotImplementedError

    @property
    def _banks(self) -> Mapping[str, Bank]:
        """The filters that attributes show, by name."""
        raise NotImplementedError

    def _levels(self) -> dict[str, list[int]]:
        """At how many levels of subsampling Kymatio keeps each filter, by bank."""
        raise NotImplementedError

    def _responses(self) -> Iterator[NDArray[Any]]:
        """All that Kymatio keeps of its filters, in its order."""
        for name, counts in self._levels().items():
            bank = self._banks[name]
            yield from (bank.response(n, level)[0] for n, count in enumerate(counts) for level in range(count))

    def _by_path(self, result: Any) -> Iterator[tuple[PathRow, Any]]:
        """Each path with its coefficients, in output order, out of what a plan returned."""
        samples = (slice(None),) * self.spec.dim
        for row in path_table(self.spec):
            yield row, result[row.path] if isinstance(result, dict) else result[(..., row.row, *samples)]


def one_of(value: Any, *allowed: str) -> bool:
    """Whether it is one of some texts: of an array, `in` would ask each number."""
    return isinstance(value, str) and value in allowed


def truth(field: str, value: object) -> bool:
    """A flag, however it is written: True or False, 0 or 1, a number of NumPy's or an array of none but one.

    Raises
    ------
    SpecError
        For anything else: a text such as "False" would count as true.
    """
    plain = value.item() if isinstance(value, np.generic | np.ndarray) and not value.ndim else value
    if not isinstance(plain, Integral) or plain not in (0, 1):
        raise SpecError(field, value, "True or False")
    return bool(plain)


def stack_level() -> int:
    """The `stacklevel` at which `warnings.warn`, called by our caller, names the first line outside scatc."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("scatc."):
        level, frame = level + 1, frame.f_back
    return level


def not_an_array(x: object, wanted: str) -> TypeError:
    """The error for an input that is no array of the framework, with what would make it one."""
    found = "None" if x is None else type(x).__name__
    hint = ": pass np.asarray(x)" if isinstance(x, list | tuple) or hasattr(x, "__array__") else ""
    return TypeError(f"The input should be {wanted}, got {found}{hint}.")
