"""One side of a comparison: a process that prepares a case and runs it when told, by JSON lines on stdin and stdout.

    python worker.py scatc 2        # or kymatio; the number of threads

Requests are ``{"do": "about" | "prepare" | "run" | "save" | "memory", ...}``; each gets one line in reply. Between
requests the process sleeps in a read, so that it takes nothing from the side whose turn it is. It runs in the
environment of the side it speaks for, hence imports nothing but that side, numpy and the standard library.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cases import Case


class Side(Protocol):
    """What is compared: how to make a transform, and how to read its result."""

    packages: tuple[str, ...]

    def prepare(self, case: Case, x: np.ndarray) -> Callable[[], Any]:
        """Build the transform and return the call that is timed."""
        ...

    def result(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients as scatc scales them, ``(batch, paths, ...)``, and each path's order."""
        ...


class Scatc:
    """Ours, with as many worker threads as the incumbent has."""

    packages = ("scatc", "numpy", "scipy", "mkl_fft")

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, case: Case, x: np.ndarray) -> Callable[[], Any]:
        import scatc

        scale = {1: {"Q": case.Q}, 2: {"L": case.L}, 3: {"L": case.L}}[case.dim]
        spec = scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, **scale)
        plan = scatc.compile(spec, target="numpy", dtype="float32", workers=self.threads, cache=False)
        return lambda: plan(x)

    def result(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        # The orders are the other side's to tell: both have the same output order.
        return np.asarray(y), np.zeros(0)


class Kymatio:
    """The incumbent's torch frontend, its fastest on CPUs."""

    packages = ("kymatio", "numpy", "scipy", "torch")

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.scattering: Any = None
        self.case: Case | None = None

    def prepare(self, case: Case, x: np.ndarray) -> Callable[[], Any]:
        from kymatio.torch import HarmonicScattering3D, Scattering1D, Scattering2D

        if case.dim == 1:
            scattering = Scattering1D(J=case.J, shape=case.shape[0], Q=case.Q)
        elif case.dim == 2:
            scattering = Scattering2D(J=case.J, shape=case.shape, L=case.L)
        else:
            scattering = HarmonicScattering3D(J=case.J, shape=case.shape, L=case.L)
        self.scattering, self.case = scattering, case
        tensor = self.torch.from_numpy(x)

        def call() -> Any:
            with self.torch.no_grad():
                return scattering(tensor)

        return call

    def result(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        assert self.case is not None
        array = y.numpy()
        case, paths = self.case, array.shape[1]
        if case.dim == 1:
            meta = self.scattering.meta()
            # 0.3.0 averages where it should sum when it subsamples a spectrum, once for each j of a path.
            scale = 2.0 ** np.nansum(meta["j"], axis=1)
            return array * scale[:, None].astype(np.float32), np.asarray(meta["order"])
        zeroth, first = (1, case.J * case.L) if case.dim == 2 else (0, case.J + 1)
        order = np.repeat([0, 1, 2], [zeroth, first, paths - zeroth - first])
        return array, order


SIDES: dict[str, Callable[[int], Side]] = {"scatc": Scatc, "kymatio": Kymatio}


def status(field: str) -> int | None:
    """Return a size from ``/proc/self/status`` in bytes, or None where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def settle() -> None:
    """Give freed memory back to the system, so that it cannot serve the next call unseen."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass  # not glibc: the figure is then a lower bound, for both sides alike


def high_water(call: Callable[[], Any]) -> int:
    """Return by how much a call raises this process's resident memory at its highest, result included."""
    settle()
    clear = Path("/proc/self/clear_refs")
    before = status("VmRSS")
    try:
        clear.write_text("5", encoding="ascii")  # resets VmHWM to what is resident now
    except OSError:
        before = None
    if before is None:
        unit = 1 if sys.platform == "darwin" else 1024
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kept = call()
        del kept
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * unit
    kept = call()
    peak = status("VmHWM") or before
    del kept
    return max(peak - before, 0)


class Worker:
    """The requests, one method each."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.call: Callable[[], Any] | None = None

    def about(self) -> dict[str, Any]:
        """Say what this process runs."""
        versions = {}
        for name in self.side.packages:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = None
        return {"python": sys.version.split()[0], **versions, "SCATC_FFT": os.environ.get("SCATC_FFT", "auto")}

    def prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        """Build the case's transform; the input is the same on either side."""
        self.call = None
        settle()
        start = time.perf_counter()
        self.call = self._make(Case.from_json(case))
        return {"seconds": time.perf_counter() - start}

    def _make(self, case: Case) -> Callable[[], Any]:
        x = np.random.default_rng(0).standard_normal((case.batch, *case.shape), dtype=np.float32)
        return self.side.prepare(case, x)

    def _prepared(self) -> Callable[[], Any]:
        if self.call is None:
            raise RuntimeError("nothing is prepared")
        return self.call

    def run(self) -> dict[str, Any]:
        """Time one call."""
        call = self._prepared()
        start = time.perf_counter()
        call()
        return {"seconds": time.perf_counter() - start}

    def save(self, path: str) -> dict[str, Any]:
        """Write one call's result for the comparison."""
        coefficients, order = self.side.result(self._prepared()())
        np.savez(path, coefficients=coefficients, order=order)
        return {"shape": list(coefficients.shape)}

    def memory(self, case: dict[str, Any]) -> dict[str, Any]:
        """Measure the peak of a first call, whose workspaces do not exist yet; in a fresh process, please.

        A tiny transform of the same kind goes first, so that libraries which set themselves up at their first use do
        not count.
        """
        self._make(Case.from_json(case).tiny())()
        settle()
        made = high_water(lambda: self.prepare(case))
        return {"forward": high_water(self._prepared()), "prepare": made}


def main(name: str, threads: str) -> None:
    """Answer requests until stdin ends."""
    # Whatever a library prints must not mix with the replies: file descriptor 1 becomes stderr for everyone else.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(SIDES[name](int(threads)))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
