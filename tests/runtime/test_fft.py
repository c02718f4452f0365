"""Which FFT library runs: mkl_fft if it works, the caller's own backend above all, the same in every worker."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.fft

from scatc.runtime import fft, mkl
from scatc.runtime.workers import run_chunks

HAS_MKL = importlib.util.find_spec("mkl_fft") is not None
DEFAULT = "mkl_fft" if HAS_MKL else "scipy"
needs_mkl = pytest.mark.skipif(not HAS_MKL, reason="mkl_fft is not installed")


class Recorder:
    """A backend that notes the calling threads and lets SciPy do the work."""

    __ua_domain__ = "numpy.scipy.fft"

    def __init__(self) -> None:
        self.threads: list[int] = []

    def __ua_function__(self, method: Any, args: Any, kwargs: Any) -> Any:
        self.threads.append(threading.get_ident())
        return NotImplemented


def forget() -> None:
    for cached in (fft._mkl_backend, fft._mkl_library, fft._why_not_kept):
        cached.cache_clear()
    fft._kept.clear()


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SCATC_FFT", raising=False)
    forget()
    yield
    scipy.fft.set_global_backend("scipy", try_last=True)
    forget()


@pytest.fixture
def without_dfti(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> mkl.Library:
        raise RuntimeError("no usable mkl_rt (not found)")

    monkeypatch.setattr(mkl, "load", fail)


def test_the_default_and_its_description() -> None:
    assert fft.provider() == DEFAULT
    assert fft.describe().startswith(f"{DEFAULT} (")


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_transforms_are_right_under_the_default(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((3, 96)) + 1j * rng.standard_normal((3, 96))).astype(dtype)
    with fft.context():
        y = scipy.fft.ifft(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, np.fft.ifft(x.astype(complex)), atol=1e-6)


def test_a_private_state_that_scipy_no_longer_offers_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("scipy._lib.uarray.get_state")
    backend = Recorder()
    with scipy.fft.set_backend(backend):
        assert fft.provider() == "scipy"
        with fft.context():
            scipy.fft.fft(np.ones(4))
    assert backend.threads


def test_the_users_backend_wins_and_reaches_the_workers() -> None:
    backend = Recorder()
    meeting = threading.Barrier(2, timeout=30)
    with scipy.fft.set_backend(backend):
        choice = fft.choose()

    def work(index: int, chunk: slice) -> None:
        with choice.context():
            scipy.fft.fft(np.ones(4))
        meeting.wait()

    run_chunks(work, [slice(0, 1), slice(1, 2)], 2)
    assert choice.name == "user"
    assert len(set(backend.threads)) == 2
    assert fft.provider() == DEFAULT


def test_the_users_global_backend_wins() -> None:
    scipy.fft.set_global_backend(Recorder(), try_last=True)
    assert fft.provider() == "user"


def test_the_user_may_ask_for_scipy_itself() -> None:
    with scipy.fft.set_backend("scipy"):
        assert fft.provider() == "user"


def test_the_environment_forces_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_FFT", "scipy")
    backend = Recorder()
    with scipy.fft.set_backend(backend):
        assert fft.provider() == "scipy"
        with fft.context():
            scipy.fft.fft(np.ones(4))
    assert not backend.threads


def test_a_bad_value_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_FFT", "fftw")
    with pytest.raises(ValueError, match="SCATC_FFT='fftw' is not possible: it must be one of auto, mkl_fft, scipy"):
        fft.provider()


def test_mkl_asked_for_but_missing_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_FFT", "mkl_fft")
    monkeypatch.setitem(sys.modules, "mkl_fft", None)
    with pytest.raises(ImportError, match=r"python -m pip install .*mkl_fft"):
        fft.provider()


def test_an_mkl_fft_that_fails_when_called_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a module named mkl that is not mkl-service."""
    broken = types.ModuleType("mkl_fft.interfaces")
    broken.scipy_fft = types.SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mkl_fft", types.ModuleType("mkl_fft"))
    monkeypatch.setitem(sys.modules, "mkl_fft.interfaces", broken)
    assert fft.provider() == "scipy"
    assert "without mkl_fft (AttributeError" in fft.describe()


@needs_mkl
def test_mkl_keeps_descriptors_that_start_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []
    set_value = fft._mkl_library().set_value

    def noting(handle: Any, parameter: Any, value: Any) -> int:
        if parameter.value == mkl._THREAD_LIMIT:
            limits.append(value.value)
        return int(set_value(handle, parameter, value))

    class Slow(mkl.Backend):
        def __init__(self, library: mkl.Library, threads: int) -> None:
            time.sleep(0.05)  # for the other worker to ask, too
            super().__init__(library, threads)

    monkeypatch.setattr(fft._mkl_library(), "set_value", noting)
    monkeypatch.setattr(mkl, "Backend", Slow)
    choice = fft.choose()
    assert choice.note.endswith(", MKL through DFTI, descriptors kept")

    def work(index: int, chunk: slice) -> None:
        with choice.context():
            for n in (154, 182, 154, 182):  # which no other test transforms
                scipy.fft.ifft(np.ones(n, complex))
        meeting.wait()

    meeting = threading.Barrier(2, timeout=30)
    run_chunks(work, [slice(0, 1), slice(1, 2)], 2)
    run_chunks(work, [slice(0, 1), slice(1, 2)], 2)
    assert limits == [1, 1]  # one for each size, whichever thread came first
    with choice.context(threads=2):
        scipy.fft.ifft(np.ones(154, complex))
    assert limits == [1, 1, 2]


@needs_mkl
def test_without_dfti_scipy_is_faster(without_dfti: None) -> None:
    assert fft.provider() == "scipy"
    assert "is slower alone (RuntimeError: no usable mkl_rt (not found))" in fft.describe()


@needs_mkl
def test_mkl_fft_itself_if_forced_without_dfti(without_dfti: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from mkl_fft.interfaces import scipy_fft

    monkeypatch.setenv("SCATC_FFT", "mkl_fft")
    choice = fft.choose()
    assert choice.name == "mkl_fft"
    assert "its own interface (RuntimeError" in choice.note
    outside = scipy_fft.get_workers()
    with choice.context():
        assert scipy_fft.get_workers() == 1
        assert scipy.fft.ifft(np.ones(4, complex))[0] == 1
    assert scipy_fft.get_workers() == outside


@needs_mkl
def test_mkl_is_forced_over_the_users_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_FFT", "mkl_fft")
    backend = Recorder()
    with scipy.fft.set_backend(backend):
        assert fft.provider() == "mkl_fft"
        with fft.context():
            scipy.fft.fft(np.ones(4, complex))
            scipy.fft.dct(np.ones(4))  # which goes to SciPy's own
    assert not backend.threads
