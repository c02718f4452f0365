"""MKL through DFTI: the same numbers as SciPy's, in place where asked, descriptors kept and freed."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from scatc.runtime import mkl

HAS_MKL = importlib.util.find_spec("mkl_fft") is not None
needs_mkl = pytest.mark.skipif(not HAS_MKL, reason="mkl_fft is not installed")

NAMES = ["fft", "fft2", "fftn", "rfft", "rfft2", "rfftn", "ifft", "ifft2", "ifftn", "irfft", "irfft2", "irfftn"]
NORMS = [None, "backward", "ortho", "forward"]


class Strict:
    """A backend that counts what it left to the next one."""

    __ua_domain__ = "numpy.scipy.fft"

    def __init__(self, backend: mkl.Backend) -> None:
        self.backend = backend
        self.left = 0

    def __ua_function__(self, method: Any, args: Any, kwargs: Any) -> Any:
        result = self.backend.__ua_function__(method, args, kwargs)
        self.left += result is NotImplemented
        return result


@pytest.fixture(scope="module")
def library() -> mkl.Library:
    if not HAS_MKL:
        pytest.skip("mkl_fft is not installed")
    return mkl.load()


@pytest.fixture
def backend(library: mkl.Library) -> Iterator[Strict]:
    strict = Strict(mkl.Backend(library))
    with scipy.fft.set_backend(strict):
        yield strict


def noise(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def same(got: Any, expected: Any) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    eps = np.finfo(expected.dtype).eps
    np.testing.assert_allclose(got, expected, rtol=0, atol=50 * eps * max(np.abs(expected).max(initial=0), 1e-30))


def scipys(name: str, x: Any, *args: Any, **kwargs: Any) -> Any:
    with scipy.fft.set_backend("scipy"):
        return getattr(scipy.fft, name)(np.array(x), *args, **kwargs)


def is_smooth(n: int) -> bool:
    return all(n % prime for prime in range(17, n + 1) if all(prime % k for k in range(2, prime)))


def dims_of(name: str) -> int | None:
    return {"t": 1, "2": 2}.get(name[-1])


@st.composite
def calls(draw: Any) -> tuple[str, Any, dict[str, Any]]:
    """A function, an array of any memory layout, and arguments that the backend must serve."""
    name = draw(st.sampled_from(NAMES))
    dims = dims_of(name) or draw(st.integers(1, 3))
    lead = draw(st.lists(st.integers(1, 4), max_size=2))
    last = draw(st.lists(st.integers(2, 11), min_size=dims, max_size=dims))
    kinds = ["f4", "f8"] if name.startswith("r") else ["c8", "c16"]
    dtype = draw(st.sampled_from(kinds if name[0] in "ir" else [*kinds, "f4", "f8"]))
    layout = draw(st.sampled_from(["C", "F", "wide", "steps", "reversed", "broadcast", "read-only"]))
    shape = (*lead, *last)
    x = noise(shape, dtype, seed=draw(st.integers(0, 99)))
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout in ("wide", "steps"):
        step = 2 if layout == "steps" else 1
        base = np.zeros([size * step + 3 for size in shape], dtype)
        view = base[tuple(slice(0, size * step, step) for size in shape)]
        view[...] = x
        x = view
    elif layout == "reversed":
        x = x[::-1, ..., ::-1] if x.ndim > 1 else x[::-1]
    elif layout == "broadcast":
        x = np.broadcast_to(x, (3, *shape))
    x.flags.writeable = x.flags.writeable and layout != "read-only"
    kwargs: dict[str, Any] = {"norm": draw(st.sampled_from(NORMS)), "overwrite_x": draw(st.booleans())}
    if name.endswith("n"):
        kwargs["axes"] = tuple(range(-dims, 0))
    if draw(st.booleans()):
        sizes = [draw(st.integers(2, size)) for size in last]
        if name.startswith("ir"):
            sizes[-1] = draw(st.integers(2, 2 * last[-1] - 1))
        kwargs |= {"n": sizes[0]} if dims_of(name) == 1 else {"s": tuple(sizes)}
    return name, x, kwargs


@needs_mkl
@settings(max_examples=500, deadline=None)
@given(calls())
def test_scipys_results_whatever_the_layout(call: tuple[str, Any, dict[str, Any]]) -> None:
    name, x, kwargs = call
    before = np.array(x)
    expected = scipys(name, x, **kwargs)
    strict = Strict(_shared())
    with scipy.fft.set_backend(strict):
        got = getattr(scipy.fft, name)(x, **kwargs)
        again = getattr(scipy.fft, name)(before.copy(), **kwargs)
    same(got, expected)
    same(again, expected)
    assert strict.left == (0 if is_smooth(expected.shape[-1] if name.startswith("ir") else 1) else 2)
    if not (kwargs["overwrite_x"] and x.flags.writeable):
        np.testing.assert_array_equal(x, before)


def _shared() -> mkl.Backend:
    """A backend with few places, so that the examples above also evict."""
    if not hasattr(_shared, "backend"):
        _shared.backend = mkl.Backend(mkl.load(), kept=3)  # type: ignore[attr-defined]
    return _shared.backend  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 4096), (3, 132, 132), (2, 15, 33), (32, 32, 32), (9, 25, 27), (5000, 3)])
def test_larger_sizes(backend: Strict, name: str, shape: tuple[int, ...]) -> None:
    x = noise(shape, "f4" if name.startswith("r") else "c8")
    same(getattr(scipy.fft, name)(x), scipys(name, x))
    if not name.startswith(("r", "i")):
        same(getattr(scipy.fft, name)(x.real.copy()), scipys(name, x.real))
    assert backend.left == (0 if is_smooth(2 * shape[-1] - 2) or not name.startswith("ir") else 1)


@pytest.mark.parametrize("dtype", ["c8", "c16"])
@pytest.mark.parametrize("inverse", ["", "i"])
def test_in_place_is_the_same_memory(backend: Strict, dtype: str, inverse: str) -> None:
    wide = noise((5, 140, 143), dtype)
    views = [(wide, "fft", 3), (wide[..., :132], "fft", 1), (wide[..., :132, :132], "fft2", 2), (wide[0], "fftn", 2)]
    for x, name, dims in views:
        untouched = wide[..., 132:].copy()
        kwargs = {"axes": tuple(range(-dims, 0))} if name == "fftn" else {}
        expected = scipys(inverse + name, x, norm="forward", **kwargs)
        got = getattr(scipy.fft, inverse + name)(x, norm="forward", overwrite_x=True, **kwargs)
        assert got is x
        same(x, expected)
        if x.shape[-1] == 132:
            np.testing.assert_array_equal(wide[..., 132:], untouched)
    assert backend.left == 0


def test_in_place_spares_what_may_not_be_written(backend: Strict) -> None:
    x = noise((4, 8), "c8")
    before = x.copy()
    x.flags.writeable = False
    windows = np.lib.stride_tricks.sliding_window_view(noise((20,), "c8"), 8)
    row = np.broadcast_to(before[0], (4, 8))
    for given_array in (x, windows, row):
        expected = scipys("ifft", given_array)
        held = np.array(given_array)
        same(scipy.fft.ifft(given_array, overwrite_x=True), expected)
        np.testing.assert_array_equal(given_array, held)
    assert backend.left == 0


def test_positional_and_list_arguments(backend: Strict) -> None:
    x = noise((3, 6, 8), "c8")
    same(scipy.fft.fft(x, 8, -1, "ortho", False), scipys("fft", x, norm="ortho"))
    same(scipy.fft.ifft(x, 6, 2), scipys("ifft", x, 6))
    same(scipy.fft.fft2(x, [4, 8], [-2, -1]), scipys("fft2", x, (4, 8)))
    same(scipy.fft.fftn(x, s=(5, 7)), scipys("fftn", x, s=(5, 7)))
    same(scipy.fft.irfftn(x, (3, 6, 9)), scipys("irfftn", x, (3, 6, 9)))
    assert backend.left == 0


LEFT = {
    "padding": ("fft", (4, 8), "c8", {"n": 9}),
    "another axis": ("fft", (4, 8), "c8", {"axis": 0}),
    "axes in another order": ("fft2", (4, 8), "c8", {"axes": (-1, -2)}),
    "four axes": ("fftn", (2, 2, 2, 2), "c8", {}),
    "a length of one": ("ifft", (4, 1), "c8", {}),
    "an output of length one": ("irfft", (4, 3), "c8", {"n": 1}),
    "nothing": ("fft", (0, 8), "c8", {}),
    "real to inverse real": ("irfft", (4, 8), "f4", {}),
    "a large prime factor": ("fft2", (34, 8), "c8", {}),
    "integers": ("fft", (4, 8), "i4", {}),
    "long doubles": ("fft", (4, 8), "g", {}),
    "workers": ("fft", (4, 8), "c8", {"workers": 2}),
    "another function": ("dct", (4, 8), "f4", {}),
    "byte order": ("fft", (4, 8), ">c8", {}),
}


@pytest.mark.parametrize("case", LEFT)
def test_the_rest_is_left_to_scipy(backend: Strict, case: str) -> None:
    name, shape, dtype, kwargs = LEFT[case]
    x = noise(shape, dtype)
    same(getattr(scipy.fft, name)(x, **kwargs), scipys(name, x, **kwargs))
    assert backend.left == 1


def test_what_is_no_plain_array_is_left_to_scipy(backend: Strict) -> None:
    assert scipy.fft.fft([1.0, 2.0])[0] == 3
    assert scipy.fft.fft(x=np.ones(4))[0] == 4
    raw = np.zeros(8 * 8 + 1, np.uint8)
    shifted = raw[1:].view(np.complex64)
    shifted[...] = 1
    assert scipy.fft.fft(shifted)[0] == 8
    assert backend.left >= 2


@pytest.mark.parametrize("kwargs", [{"n": 0}, {"n": "8"}, {"norm": "no"}, {"axis": 5}, {"n": 2.5}])
def test_errors_are_scipys(backend: Strict, kwargs: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, IndexError)) as theirs:
        scipys("fft", np.ones(8, np.complex64), **kwargs)
    with pytest.raises(theirs.type):
        scipy.fft.fft(np.ones(8, np.complex64), **kwargs)


def test_nan_passes_through(backend: Strict) -> None:
    x = noise((2, 64), "c8")
    x[0, 3] = np.nan
    y = scipy.fft.ifft(x)
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1]).all()


def count_frees(library: mkl.Library, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    gc.collect()  # what earlier tests left
    freed: list[int] = []
    free = library.free

    def counting(handle: Any) -> int:
        freed.append(threading.get_ident())
        return int(free(handle))

    monkeypatch.setattr(library, "free", counting)
    return freed


def test_old_descriptors_are_freed(library: mkl.Library, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = mkl.Backend(library, kept=4)
    freed = count_frees(library, monkeypatch)
    with scipy.fft.set_backend(backend):
        for n in (8, 9, 10, 11, 8, 12, 8):  # 9 is the oldest when 12 comes
            scipy.fft.fft(np.ones(n, np.complex64))
    gc.collect()
    assert len(freed) == 1
    assert [key[1] for key in backend._plans] == [(10,), (11,), (12,), (8,)]


def test_threads_share_descriptors_which_are_freed_with_the_backend(
    library: mkl.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = mkl.Backend(library)
    freed = count_frees(library, monkeypatch)
    failures: list[BaseException] = []

    def work(backend: mkl.Backend, seed: int) -> None:
        try:
            with scipy.fft.set_backend(backend):
                for n in (64, 100, 64, 100, 33) * 20:
                    x = noise((4, n), "c8", seed)
                    same(scipy.fft.ifft(x, overwrite_x=True), scipys("ifft", noise((4, n), "c8", seed)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(backend, seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    gc.collect()
    assert not freed
    assert len(backend._plans) == 3
    del backend, thread, threads
    gc.collect()
    assert len(freed) == 3


def test_both_ways_share_a_descriptor(library: mkl.Library, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = mkl.Backend(library)
    freed = count_frees(library, monkeypatch)
    with scipy.fft.set_backend(backend):
        for shape in ((2, 64), (64,)):
            there = scipy.fft.fft(noise(shape, "c8"), overwrite_x=True)
            same(there, scipys("fft", noise(shape, "c8")))
            same(scipy.fft.ifft(there.copy(), norm="forward", overwrite_x=True), 64 * noise(shape, "c8"))
        half = scipy.fft.rfft(noise((64,), "f4"))
        same(scipy.fft.irfft(half, 64, norm="forward"), 64 * noise((64,), "f4"))
    del backend
    gc.collect()
    assert len(freed) == 3


def test_errors_carry_mkls_words(library: mkl.Library) -> None:
    side = mkl.Side(8, (1,))
    with pytest.raises(RuntimeError, match=r"MKL failed to .*DFTI ERROR.*status"):
        mkl.Descriptor(library, np.dtype("c8"), (-8,), 1, 1.0, side, None, 1)


def test_a_failure_to_compute_is_raised(library: mkl.Library) -> None:
    backend = mkl.Backend(library)
    x = np.ones(8, np.complex64)
    with scipy.fft.set_backend(backend):
        scipy.fft.fft(x)
        plan = next(iter(backend._plans.values()))
        assert plan is not None
        handle = plan.descriptor.handle
        saved, handle.value = handle.value, None
        try:
            with pytest.raises(RuntimeError, match=r"MKL failed to transform an array of shape \(8,\)"):
                scipy.fft.fft(x)
        finally:
            handle.value = saved


@needs_mkl
@pytest.mark.parametrize("place", range(3))
def test_the_library_is_found_by_each_way(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Loaded already, in the distribution's list of files, and in the environment's folder of libraries."""
    if place > 0:
        monkeypatch.setattr(mkl, "_LOADED", ())
    if place > 1:

        def missing(name: str) -> None:
            raise mkl.importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(mkl.importlib.metadata, "files", missing)
    found = [path for path, _ in mkl._candidates()]
    if not any(os.path.isabs(path) for path in found) and place:  # noqa: PTH117
        pytest.skip("MKL was not installed in that way here")
    assert mkl.load().path in found


def test_a_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mkl, "_candidates", lambda: iter([("libno_such_mkl.so", ctypes.DEFAULT_MODE)]))
    with pytest.raises(RuntimeError, match="no usable mkl_rt"):
        mkl.load()
    monkeypatch.setattr(mkl, "_candidates", lambda: iter(()))
    with pytest.raises(RuntimeError, match="not found"):
        mkl.load()


def test_a_library_that_computes_nonsense_is_refused(library: mkl.Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mkl, "_candidates", lambda: iter([(library.path, ctypes.DEFAULT_MODE)]))
    monkeypatch.setattr(mkl, "_INPUT_DISTANCE", mkl._OUTPUT_DISTANCE)
    with pytest.raises(RuntimeError, match="computes something else"):
        mkl.load()
