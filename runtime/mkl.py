"""A backend of `scipy.fft` on MKL's own interface (DFTI) that keeps its descriptors.

mkl_fft keeps one committed descriptor a thread, so code that alternates sizes, as every emitted program does, pays
for a commit at each call: more than the transform itself. Here the descriptors of the last calls are kept. MKL lets
threads compute by the same one, so all threads share them: those of long signals hold megabytes each. Besides,
transforms over two and three axes are one call into MKL, and ``overwrite_x=True`` means in place.

What this backend does not do (padding, axes other than the last ones, other dtypes, lengths with a large prime factor)
it leaves to SciPy's own.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import itertools
import math
import operator
import os
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

KEPT = 256
"""How many calls, told apart by function, shape, strides, dtype and arguments, descriptors are kept for."""

_SMALL = {1: 1024, 2: 8192, 3: 8192}
"""Up to so many elements, by number of axes, the whole spectrum of real data is had faster as that of complex data."""

_PRIMES = (2, 3, 5, 7, 11, 13)
"""What MKL has its own kernels for: any other prime factor makes it slower than SciPy, and in double precision 30 to 90
times less exact."""

# From mkl_dfti.h. The parameters of input and output have newer names for the forward and the backward side, which
# releases before 2024 do not know.
_FORWARD_SCALE, _BACKWARD_SCALE, _COUNT, _CONJUGATE_EVEN_STORAGE, _PLACEMENT = 4, 5, 7, 10, 11
_INPUT_STRIDES, _OUTPUT_STRIDES, _INPUT_DISTANCE, _OUTPUT_DISTANCE = 12, 13, 14, 15
_THREAD_LIMIT, _DESTROY_INPUT = 27, 28
_COMPLEX, _REAL, _COMPLEX_COMPLEX, _INPLACE, _NOT_INPLACE, _AVOID = 32, 33, 39, 43, 44, 52

_NAME = re.compile(r"(lib)?mkl_rt(\.\d+)?\.(so(\.\d+)*|dll|dylib)")
_LOADED = ("libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.2.dylib", "mkl_rt.3.dll", "mkl_rt.2.dll")

_AXES = {"fft": 1, "fft2": 2, "fftn": 0, "rfft": 1, "rfft2": 2, "rfftn": 0}
_AXES |= {f"i{name}": axes for name, axes in _AXES.items()}
_COMPLEX_OF = {np.dtype(real): np.dtype(cplx) for real, cplx in (("f4", "c8"), ("f8", "c16"))}
_REAL_OF = {cplx: real for real, cplx in _COMPLEX_OF.items()}


class Library:
    """The functions of MKL that are needed, typed and checked.

    Parameters
    ----------
    path : str
        Name or path of ``mkl_rt``.
    mode : int, optional
        As for `ctypes.CDLL`.

    Raises
    ------
    OSError, AttributeError
        If there is no such library, or it is not MKL.
    """

    def __init__(self, path: str, mode: int = ctypes.DEFAULT_MODE) -> None:
        library = ctypes.CDLL(path, mode)
        self.path = path
        # Without argument types: these take more arguments, of varying type.
        self.set_value = library.DftiSetValue
        self.create = {
            (double, several): getattr(library, f"DftiCreateDescriptor_{'sd'[double]}_{('1d', 'md')[several]}")
            for double in (False, True)
            for several in (False, True)
        }
        self.commit = library.DftiCommitDescriptor
        self.commit.argtypes = [ctypes.c_void_p]
        self.free = library.DftiFreeDescriptor
        self.free.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
        self.forward, self.backward = library.DftiComputeForward, library.DftiComputeBackward
        self.forward.argtypes = self.backward.argtypes = [ctypes.c_void_p] * 3
        for function in (self.set_value, *self.create.values(), self.commit, self.free, self.forward, self.backward):
            function.restype = ctypes.c_long
        self._message = library.DftiErrorMessage
        self._message.argtypes, self._message.restype = [ctypes.c_long], ctypes.c_char_p

    def check(self, status: int, doing: str) -> None:
        """Raise a `RuntimeError` with MKL's own words unless `status` is 0."""
        if status:
            message = (self._message(status) or b"no message").decode(errors="replace").strip()
            raise RuntimeError(f"MKL failed to {doing}: {message} (DFTI status {status})")


@dataclass(frozen=True, slots=True)
class Side:
    """Where the data of a descriptor lie: elements from one transform to the next, and along each axis."""

    distance: int
    strides: tuple[int, ...]


class Descriptor:
    """A committed DFTI descriptor, freed with this object.

    Parameters
    ----------
    library : Library
    dtype : numpy.dtype
        Of the forward side: real for transforms between real and complex data.
    lengths : tuple of int
    count : int
        How many transforms one call computes.
    scale : float
        Applied in both directions.
    source, target : Side
        Where the data are read and written; `target` is None to transform in place.
    threads : int
        How many threads MKL may use.
    """

    __slots__ = ("__weakref__", "_library", "handle")

    def __init__(
        self,
        library: Library,
        dtype: np.dtype[Any],
        lengths: tuple[int, ...],
        count: int,
        scale: float,
        source: Side,
        target: Side | None,
        threads: int,
    ) -> None:
        self._library = library
        self.handle = ctypes.c_void_p()
        real, several, longs = dtype.kind == "f", len(lengths) > 1, ctypes.c_long * len(lengths)
        create = library.create[dtype in (np.float64, np.complex128), several]
        size = (ctypes.c_long(len(lengths)), longs(*lengths)) if several else (ctypes.c_long(lengths[0]),)
        domain = ctypes.c_int(_REAL if real else _COMPLEX)
        library.check(create(ctypes.byref(self.handle), domain, *size), "create a descriptor")
        self._set(_THREAD_LIMIT, ctypes.c_long(threads))
        self._set(_COUNT, ctypes.c_long(count))
        self._set(_FORWARD_SCALE, ctypes.c_double(scale))
        self._set(_BACKWARD_SCALE, ctypes.c_double(scale))
        self._set(_PLACEMENT, ctypes.c_int(_INPLACE if target is None else _NOT_INPLACE))
        if target is not None:
            self._set(_DESTROY_INPUT, ctypes.c_int(_AVOID))
        if real:
            self._set(_CONJUGATE_EVEN_STORAGE, ctypes.c_int(_COMPLEX_COMPLEX))
        target = target or source
        self._set(_INPUT_DISTANCE, ctypes.c_long(source.distance))
        self._set(_OUTPUT_DISTANCE, ctypes.c_long(target.distance))
        strides = ctypes.c_long * (len(lengths) + 1)  # the first is the offset of the data
        self._set(_INPUT_STRIDES, strides(0, *source.strides))
        self._set(_OUTPUT_STRIDES, strides(0, *target.strides))
        library.check(library.commit(self.handle), f"prepare a transform of {lengths}")

    def _set(self, parameter: int, value: Any) -> None:
        status = self._library.set_value(self.handle, ctypes.c_int(parameter), value)
        self._library.check(status, f"set parameter {parameter} of a descriptor")

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # While the interpreter ends, MKL and the names of this module may be gone; the memory is given back anyway.
        if not is_finalizing() and self.handle.value:
            self._library.free(ctypes.byref(self.handle))


@dataclass(frozen=True, slots=True)
class Plan:
    """One call, ready to run on every array of the same shape, strides and dtype.

    Attributes
    ----------
    dfti : Library
    descriptor : Descriptor
    compute : callable
        MKL's forward or backward transform.
    alignment : int
        Addresses must be a multiple of it.
    shape, dtype : tuple of int or None, numpy.dtype
        Of the result; None to transform in place.
    prepare : callable or None
        Makes the array to transform from the one given.
    mirrored : tuple
        Parts of the result that are conjugates of other parts: target and source of each.
    """

    dfti: Library
    descriptor: Descriptor
    compute: Callable[[ctypes.c_void_p, int, int | None], int]
    alignment: int
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any]
    prepare: Callable[[Array], Array] | None
    mirrored: tuple[tuple[Any, Any], ...]

    def run(self, x: Array) -> Any:
        """The transform of `x`, or NotImplemented where its address forbids it."""
        if self.prepare is not None:
            x = self.prepare(x)
        address = x.ctypes.data
        if address % self.alignment:
            return NotImplemented
        if self.shape is None:
            y = x
            status = self.compute(self.descriptor.handle, address, None)
        else:
            y = np.empty(self.shape, self.dtype)
            status = self.compute(self.descriptor.handle, address, y.ctypes.data)
        if status:
            self.dfti.check(status, f"transform an array of shape {x.shape}")
        for target, source in self.mirrored:
            np.conjugate(y[source], out=y[target])
        return y


@dataclass(frozen=True, slots=True)
class _Call:
    """The arguments of a call that this backend can serve."""

    lengths: tuple[int, ...]  # of the transform: the real side, where one is
    read: tuple[int, ...]  # how much of the input's last axes is read
    scale: float
    overwrite: bool


def _is_smooth(n: int) -> bool:
    """Whether `n` is a product of `_PRIMES`."""
    for prime in _PRIMES:
        while n % prime == 0:
            n //= prime
    return n == 1


def _understand(name: str, x: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call | None:
    """The arguments of scipy.fft's function `name`, or None if they ask for what is not done here."""
    single = _AXES[name] == 1
    given = dict(zip(("n" if single else "s", "axis" if single else "axes", "norm", "overwrite_x"), args, strict=False))
    given |= kwargs
    sizes, axes = given.pop("n" if single else "s", None), given.pop("axis" if single else "axes", None)
    norm, overwrite = given.pop("norm", None) or "backward", bool(given.pop("overwrite_x", False))
    if given or len(args) > 4 or norm not in ("backward", "ortho", "forward"):
        return None
    if single:
        sizes, axes = None if sizes is None else (sizes,), None if axes is None else (axes,)
    sizes = None if sizes is None else tuple(operator.index(size) for size in sizes)
    if axes is None:
        dims = _AXES[name] or (x.ndim if sizes is None else len(sizes))
    else:
        dims = len(axes)
        places = [operator.index(axis) + (x.ndim if axis < 0 else 0) for axis in axes]
        if places != list(range(x.ndim - dims, x.ndim)):
            return None
    if not 1 <= dims <= 3 or dims > x.ndim or (sizes is not None and len(sizes) != dims):
        return None
    lengths = list(x.shape[-dims:] if sizes is None else sizes)
    read = list(lengths)
    if name.startswith("ir"):
        if sizes is None:
            lengths[-1] = 2 * (lengths[-1] - 1)
        read[-1] = lengths[-1] // 2 + 1
    if min(lengths) < 2 or not all(map(_is_smooth, lengths)) or not x.size:
        return None
    if any(r > n for r, n in zip(read, x.shape[-dims:], strict=True)):
        return None
    powers = {"backward": 0.0, "ortho": -0.5, "forward": -1.0}
    power = -1.0 - powers[norm] if name.startswith("i") else powers[norm]
    return _Call(tuple(lengths), tuple(read), float(math.prod(lengths)) ** power, overwrite)


def _contiguous(shape: tuple[int, ...], dims: int) -> Side:
    """The layout of the last `dims` axes of an array of this shape that is contiguous."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape) - dims, len(shape))]
    return Side(math.prod(shape[-dims:]), tuple(strides))


def _layout(x: Array, dims: int) -> Side | None:
    """The layout of the last `dims` axes of `x`, or None where DFTI cannot describe it."""
    if any(step % x.itemsize or step <= 0 for step, size in zip(x.strides, x.shape, strict=True) if size > 1):
        return None
    strides = [step // x.itemsize for step in x.strides]
    lead = [(size, step) for size, step in zip(x.shape[:-dims], strides[:-dims], strict=True) if size > 1]
    if any(outer != size * inner for (_, outer), (size, inner) in itertools.pairwise(lead)):
        return None
    return Side(lead[-1][1] if lead else math.prod(x.shape[-dims:]), tuple(strides[-dims:]))


def _overlaps(side: Side, count: int, lengths: tuple[int, ...]) -> bool:
    """Whether elements of one layout may lie on each other, which a transform in place does not survive."""
    extent = 0
    for step, size in sorted(zip((*side.strides, side.distance), (*lengths, count), strict=True)):
        if size > 1 and step <= extent:
            return True
        extent += step * (size - 1)
    return False


def _mirror(lengths: tuple[int, ...]) -> tuple[tuple[Any, Any], ...]:
    """What a transform of real data leaves out, and where its conjugate stands: target and source of each part."""
    n = lengths[-1]
    if n < 3:
        return ()
    ends = ((slice(0, 1), slice(0, 1)), (slice(1, None), slice(None, 0, -1)))
    last = (slice(n // 2 + 1, None), slice(n - n // 2 - 1, 0, -1))
    pairs = []
    for parts in itertools.product(ends, repeat=len(lengths) - 1):
        targets, sources = zip(*parts, last, strict=True)
        pairs.append(((..., *targets), (..., *sources)))
    return tuple(pairs)


def _copy(x: Array, crop: Any, dtype: np.dtype[Any]) -> Array:
    """A contiguous copy of part of `x`."""
    return np.array(x[crop], dtype, order="C")


def _hermitian(x: Array, crop: Any, n: int, overwrite: bool) -> Array:
    """Half a spectrum in which the coefficients that the other half would repeat are conjugates: a copy, or x itself.

    MKL reads just one of each pair where the last frequency is 0 or n / 2; SciPy's result is that of their mean.
    """
    y = x if overwrite else np.array(x[crop], order="C")
    planes = y[..., :: n // 2] if n % 2 == 0 else y[..., :1]
    other = planes
    for axis in range(1 - len(crop), -1):
        other = other.take(-np.arange(y.shape[axis]) % y.shape[axis], axis=axis)
    planes += other.conj()
    planes *= 0.5
    return y


def _plan(
    library: Library, describe: Callable[..., Descriptor], name: str, x: Array, args: Any, kwargs: Any
) -> Plan | None:
    """Prepare a call, or None if SciPy must serve it."""
    if x.dtype not in _COMPLEX_OF and x.dtype not in _REAL_OF:
        return None
    real, inverse, half = x.dtype in _COMPLEX_OF, name.startswith("i"), "rfft" in name
    if (real and inverse) or (half and not inverse and not real):
        return None  # an error, or a conversion first: SciPy's own knows
    call = _understand(name, x, args, kwargs)
    if call is None:
        return None
    lengths, dims, lead = call.lengths, len(call.lengths), x.shape[: x.ndim - len(call.lengths)]
    crop: Any = (..., *(slice(0, size) for size in call.read))
    view, cplx = x[crop], _COMPLEX_OF.get(x.dtype, x.dtype)
    source, count = _layout(view, dims), math.prod(lead)
    whole = real and not half
    prepare: Callable[[Array], Array] | None = None
    writable = call.overwrite and x.flags.writeable and view.shape == x.shape
    writable = writable and source is not None and not _overlaps(source, count, call.read)
    if half and inverse and dims > 1:
        prepare = functools.partial(_hermitian, crop=crop, n=lengths[-1], overwrite=writable)
    elif whole and math.prod(lengths) <= _SMALL[dims]:
        prepare, whole = functools.partial(_copy, crop=crop, dtype=cplx), False
    elif source is None:
        prepare = functools.partial(_copy, crop=crop, dtype=x.dtype)
    if source is None or (prepare is not None and not (half and writable)):
        source = _contiguous(view.shape, dims)
    in_place = not whole and not half and (writable or prepare is not None)
    shape = (*lead, *(lengths if not half or inverse else (*lengths[:-1], lengths[-1] // 2 + 1)))
    target = None if in_place else _contiguous(shape, dims)
    dtype = _REAL_OF[cplx] if half or whole else cplx
    return Plan(
        library,
        describe(dtype, lengths, count, call.scale, source, target),
        library.backward if inverse else library.forward,
        _REAL_OF[cplx].itemsize,
        None if in_place else shape,
        _REAL_OF[cplx] if half and inverse else cplx,
        prepare,
        _mirror(lengths) if whole else (),
    )


class Backend:
    """What `scipy.fft.set_backend` takes.

    Parameters
    ----------
    library : Library
    threads : int, optional
        How many threads of its own one transform may start.
    kept : int, optional
        How many different calls descriptors are kept for.
    """

    __ua_domain__ = "numpy.scipy.fft"

    def __init__(self, library: Library, threads: int = 1, kept: int = KEPT) -> None:
        self._library, self._threads, self._kept = library, threads, kept
        self._plans: OrderedDict[Any, Plan | None] = OrderedDict()  # the least recently used first
        self._descriptors: WeakValueDictionary[Any, Descriptor] = WeakValueDictionary()
        self._lock = threading.Lock()

    def __ua_function__(self, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of one function of `scipy.fft`, or NotImplemented."""
        if not args or type(args[0]) is not np.ndarray:
            return NotImplemented
        x = args[0]
        key = (method, x.shape, x.strides, x.dtype, x.flags.writeable, args[1:], *kwargs.items())
        try:
            with self._lock:
                plan = self._plans[key]
                self._plans.move_to_end(key)
        except KeyError:
            plan = self._remember(key, method.__name__, x, args[1:], kwargs)
        except TypeError:  # lists for axes or sizes, which have no hash
            plan = self._make(method.__name__, x, args[1:], kwargs)
        return NotImplemented if plan is None else plan.run(x)

    def _remember(self, key: Any, name: str, x: Array, args: Any, kwargs: Any) -> Plan | None:
        plan = self._make(name, x, args, kwargs)
        with self._lock:
            self._plans[key] = plan
            while len(self._plans) > self._kept:
                self._plans.popitem(last=False)
        return plan

    def _describe(self, dtype: Any, lengths: Any, count: int, scale: float, source: Side, target: Any) -> Descriptor:
        """The descriptor of a transform, by its arguments: both ways share one, if all else is equal."""
        if count == 1:  # no matter, then, how far it is to the next
            source, target = replace(source, distance=0), target and replace(target, distance=0)
        key = (dtype, lengths, count, scale, source, target)
        with self._lock:
            found = self._descriptors.get(key)
            if found is None:
                found = self._descriptors[key] = Descriptor(self._library, *key, self._threads)
        return found

    def _make(self, name: str, x: Array, args: Any, kwargs: Any) -> Plan | None:
        if name not in _AXES:
            return None
        try:
            return _plan(self._library, self._describe, name, x, args, kwargs)
        except (TypeError, ValueError):  # arguments that make no sense: SciPy's own says so in its words
            return None


def _candidates() -> Iterator[tuple[str, int]]:
    """Where MKL may be, and how to open it: first the library that is in use already."""
    loaded = getattr(os, "RTLD_NOLOAD", 0)
    yield from ((name, ctypes.DEFAULT_MODE | loaded) for name in _LOADED)
    try:
        files = importlib.metadata.files("mkl") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    yield from ((str(file.locate()), ctypes.DEFAULT_MODE) for file in files if _NAME.fullmatch(file.name))
    for folder in (Path(sys.prefix, "lib"), Path(sys.prefix, "Library", "bin")):  # conda's places
        if folder.is_dir():
            yield from ((str(f), ctypes.DEFAULT_MODE) for f in sorted(folder.iterdir()) if _NAME.fullmatch(f.name))


def _try(backend: Backend) -> None:
    """Raise unless MKL computes what it should: a wrong guess at its binary interface must not reach a user."""
    x = np.arange(60.0, dtype=np.float32).reshape(4, 3, 5) % 7
    wide = np.zeros((4, 4, 8), np.complex128)
    wide[:, :3, :5] = x
    cases: tuple[tuple[Callable[..., Any], Array], ...] = ((np.fft.fft2, wide[:, :3, :5]), (np.fft.rfftn, x))
    for function, given in cases:
        expected = function(given)
        got = backend.__ua_function__(function, (given,), {"overwrite_x": True})
        if got is NotImplemented or not np.allclose(got, expected, rtol=1e-4, atol=1e-3):
            raise RuntimeError("MKL was found, but computes something else than expected")


def load() -> Library:
    """MKL's library, tried.

    Returns
    -------
    Library

    Raises
    ------
    RuntimeError
        If there is none that works.
    """
    failures = []
    for path, mode in _candidates():
        try:
            library = Library(path, mode)
            _try(Backend(library))
        except (OSError, AttributeError, RuntimeError) as error:
            failures.append(f"{type(error).__name__}: {error}")
            continue
        return library
    raise RuntimeError(f"no usable mkl_rt ({failures[-1] if failures else 'not found'})")
