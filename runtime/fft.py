"""Which FFT library emitted code runs on.

Emitted code calls `scipy.fft`; this module decides what stands behind it, through SciPy's own backend protocol:
MKL when `mkl_fft` is installed, unless the caller chose a backend himself (`scipy.fft.set_backend`,
`scipy.fft.set_global_backend`), which then also reaches our worker threads.

MKL is called as `scatc.runtime.mkl` does. mkl_fft's own functions prepare a transform again whenever the size changes;
that makes them slower for us than SciPy's, so they serve only where they are forced and that module cannot work.

``SCATC_FFT=mkl_fft`` or ``SCATC_FFT=scipy`` in the environment forces one of the two, whatever the caller chose;
``SCATC_FFT=auto`` (or unset) is the rule above.

SciPy's FFT takes longer to import than a plan to compile, so that it is imported by the first call of a plan.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scatc.runtime import mkl

_CHOICES = ("auto", "mkl_fft", "scipy")


@functools.cache
def _mkl_backend() -> tuple[types.ModuleType | None, str]:
    """mkl_fft as a SciPy backend, or None, and its version or why it cannot be used."""
    try:
        import mkl_fft
        from mkl_fft.interfaces import scipy_fft

        # Trying is the only safe question: mkl_fft without a working mkl-service imports well and fails when called.
        with scipy_fft.set_workers(1):
            scipy_fft.ifft(np.zeros(2, np.complex64))
    except Exception as error:  # a broken extra must never break what works without it
        return None, f"{type(error).__name__}: {error}"
    return scipy_fft, mkl_fft.__version__


_kept: dict[int, mkl.Backend] = {}


def _kept_backend(threads: int) -> mkl.Backend:
    """MKL through DFTI, for FFT calls that start up to `threads` threads of their own."""
    from scatc.runtime import mkl

    found = _kept.get(threads)
    # Workers that ask at once, while there is none, must all get the same: each backend has descriptors of its own.
    return _kept.setdefault(threads, mkl.Backend(_mkl_library(), threads)) if found is None else found


@functools.cache
def _mkl_library() -> mkl.Library:
    from scatc.runtime import mkl

    return mkl.load()


@functools.cache
def _why_not_kept() -> str:
    """Why MKL cannot be called through DFTI; empty if it can."""
    try:
        _mkl_library()
    except Exception as error:  # as above
        return f"{type(error).__name__}: {error}"
    return ""


def _asked() -> str:
    """The value of ``SCATC_FFT``, checked."""
    asked = os.environ.get("SCATC_FFT", "").strip() or "auto"
    if asked not in _CHOICES:
        raise ValueError(f"SCATC_FFT={asked!r} is not possible: it must be one of {', '.join(_CHOICES)}, or unset")
    return asked


def _state() -> tuple[Any, bool]:
    """The backends that are set in this thread, and whether they are SciPy's default.

    SciPy offers no public way to ask which backends are set, nor to carry them into another thread.
    """
    if "scipy.fft" not in sys.modules:
        return None, True  # nobody can have set one
    from scipy._lib import uarray

    state = uarray.get_state()
    return state, _is_untouched(state)


def _enter_state(state: Any) -> AbstractContextManager[None]:
    from scipy._lib import uarray

    entered: AbstractContextManager[None] = uarray.set_state(state)
    return entered


def _is_untouched(state: Any) -> bool:
    """Whether this uarray state is SciPy's default: no backend set, none skipped, and SciPy's own the global one."""
    import scipy.fft

    by_domain, in_thread, _ = state._pickle()
    own = scipy.fft._backend._ScipyBackend
    return all(choice[0][0] is own for choice in by_domain.values() if choice[0] is not None) and not any(
        skipped or preferred for skipped, preferred in in_thread.values()
    )


@dataclass(frozen=True)
class Choice:
    """What stands behind `scipy.fft` for one call of a plan: chosen in the calling thread, entered in every worker.

    Attributes
    ----------
    name : str
        ``"mkl_fft"``, ``"scipy"``, or ``"user"`` for backends that the caller set himself.
    reason : str
        Its version, unless it is SciPy; and why something faster is not used.
    """

    name: str
    reason: str
    _enter: Callable[[int], AbstractContextManager[object]]

    @property
    def note(self) -> str:
        """The version, and why something faster is not used."""
        if self.name != "scipy":
            return self.reason
        import scipy

        return f"{scipy.__version__}{self.reason}"

    @contextlib.contextmanager
    def context(self, threads: int = 1) -> Iterator[None]:
        """Let `scipy.fft` mean this choice in the current thread.

        Parameters
        ----------
        threads : int
            How many threads of its own one FFT call may start. More than 1 makes sense only where a plan runs a
            single worker; and MKL then spends about 40 microseconds a call on waking them.
        """
        import scipy.fft

        with self._enter(threads), scipy.fft.set_workers(threads):
            yield


def _as_it_is(threads: int) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@contextlib.contextmanager
def _enter_scipy(threads: int) -> Iterator[None]:
    import scipy.fft

    with scipy.fft.set_backend("scipy"):
        yield


@contextlib.contextmanager
def _enter_kept(threads: int) -> Iterator[None]:
    import scipy.fft

    # What our backend leaves alone goes to SciPy's own, not to one that the caller set and SCATC_FFT overrules.
    with scipy.fft.set_backend("scipy"), scipy.fft.set_backend(_kept_backend(threads)):
        yield


@contextlib.contextmanager
def _enter_own(backend: types.ModuleType, threads: int) -> Iterator[None]:
    import scipy.fft

    # mkl_fft does not see scipy.fft.set_workers, and left alone it starts a thread a core in each call, even below
    # mkl.set_num_threads_local(1): its own set_workers is the only setting that holds.
    with scipy.fft.set_backend(backend), backend.set_workers(threads):
        yield


def choose() -> Choice:
    """Decide which FFT library the calling thread's next plan call runs on.

    Returns
    -------
    Choice
        Enter its `context` in every thread that runs emitted code.

    Raises
    ------
    ValueError
        If ``SCATC_FFT`` is none of its three values.
    ImportError
        If ``SCATC_FFT=mkl_fft`` and mkl_fft cannot be used.
    """
    asked = _asked()
    if asked == "scipy":
        return Choice("scipy", ", by SCATC_FFT", _enter_scipy)
    backend, note = _mkl_backend()
    if asked == "mkl_fft" and backend is None:
        raise ImportError(
            f"SCATC_FFT=mkl_fft, but mkl_fft cannot be used ({note}); "
            'install it with: python -m pip install "mkl_fft>=2.0" mkl-service'
        )
    if asked == "auto":
        try:
            state, untouched = _state()
        except Exception:  # private to SciPy: when it changes, leave scipy.fft as the caller has it
            return Choice("scipy", ", backends left as they are", _as_it_is)
        if not untouched:
            return Choice("user", "set with scipy.fft.set_backend", lambda threads: _enter_state(state))
    if backend is None:
        return Choice("scipy", f", without mkl_fft ({note})", _as_it_is)
    failure = _why_not_kept()
    if not failure:
        return Choice("mkl_fft", f"{note}, MKL through DFTI, descriptors kept", _enter_kept)
    if asked == "auto":
        return Choice("scipy", f", as mkl_fft {note} is slower alone ({failure})", _as_it_is)
    return Choice("mkl_fft", f"{note}, its own interface ({failure})", functools.partial(_enter_own, backend))


def provider() -> str:
    """The FFT library that the calling thread's plans run on: ``"mkl_fft"``, ``"scipy"`` or ``"user"``."""
    return choose().name


def describe() -> str:
    """The same with its version and the reason, as one line for a report."""
    choice = choose()
    return f"{choice.name} ({choice.note})"


def context(threads: int = 1) -> AbstractContextManager[None]:
    """Let `scipy.fft` mean what `choose` decides, for code that runs in the calling thread alone.

    Parameters
    ----------
    threads : int
        How many threads of its own one FFT call may start.
    """
    return choose().context(threads)
