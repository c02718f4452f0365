"""One side of a comparison: a process that prepares a case and runs it when told, by JSON lines on stdin and stdout.

    python worker.py scatc 2        # a name in sides.py; the number of threads

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
from typing import Any

import numpy as np
from cases import Case
from sides import SIDES, Arrays, Calls, Side


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
        self.calls: Calls = {}

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
        """Build the case's transform; the input is the same on every side."""
        self.calls = {}
        settle()
        start = time.perf_counter()
        self.calls = self._make(Case.from_json(case))
        return {"seconds": time.perf_counter() - start}

    def _make(self, case: Case) -> Calls:
        x = np.random.default_rng(0).standard_normal((case.batch, *case.shape), dtype=np.float32)
        return self.side.prepare(case, x)

    def run(self, call: str) -> dict[str, Any]:
        """Time one call."""
        function = self.calls[call]
        start = time.perf_counter()
        function()
        return {"seconds": time.perf_counter() - start}

    def floor(self) -> dict[str, Any]:
        """Measure the Fourier transforms of the case prepared last, alone."""
        assert isinstance(self.side, Arrays)
        return self.side.floor()

    def save(self, path: str, gradient: bool) -> dict[str, Any]:
        """Write the results of the case prepared last, for the comparison."""
        np.savez(path, **self.side.result(gradient=gradient))
        return {}

    def memory(self, case: dict[str, Any], call: str) -> dict[str, Any]:
        """Measure the peak of a first call, whose workspaces do not exist yet; in a fresh process, please.

        A tiny transform of the same kind goes first, so that libraries which set themselves up at their first use do
        not count.
        """
        self._make(Case.from_json(case).tiny())[call]()
        settle()
        made = high_water(lambda: self.prepare(case))
        return {call: high_water(self.calls[call]), "prepare": made}


def main(name: str, threads: str) -> None:
    """Answer requests until stdin ends."""
    # Whatever a library prints must not mix with the replies: file descriptor 1 becomes stderr for everyone else.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        worker = Worker(SIDES[name](int(threads)))
    except ImportError as error:
        sys.exit(f"{name}: {error} in {sys.prefix}")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
