"""Compiles kernels before their first launch, side by side: Triton compiles one at a time, when it is launched.

In processes of their own, for Triton's compiler keeps Python's lock. They need no GPU, and leave what they compile in
Triton's cache, where the launch finds it. They are not forked (a process with threads and a GPU cannot be), nor spawned
by `multiprocessing` (which would run the user's script again): each reads its jobs from its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from scatc.codegen.triton.launch import Launch
from scatc.runtime.kernels import once, target_of
from scatc.runtime.load import load_source

MOST_PROCESSES = 16
"""Each takes half a gigabyte of the host's memory."""

FEWEST = 3
"""Kernels that are worth a process, which takes seconds to start."""

DTYPES = {"*fp32": "float32", "*fp64": "float64", "*i32": "int32", "*i64": "int64"}
"""Of tensors that arguments point to; the others are numbers."""


def compile_ahead(source: str, launches: Sequence[Launch], arch: str, name: str, workers: int) -> None:
    """Have kernels compiled, unless that was done before.

    What goes wrong is left to the launch, which compiles what it does not find, and then says why it cannot.

    Parameters
    ----------
    source : str
        Of the module.
    launches : sequence of Launch
        One of each specialised kernel, at least.
    arch : str
        As `scatc.runtime.kernels` calls it: ``'sm_90'``.
    name : str
        That no other source has: once its kernels are compiled, a file of this name is in Triton's cache.
    workers : int
        Processes, at most.
    """
    import triton

    each = once(launches)
    processes = min(workers, MOST_PROCESSES, len(each) // FEWEST)
    folder = Path(triton.knobs.cache.dir)
    done = folder / f"scatc-{name}-{arch}-{triton.__version__}"
    if processes < 2 or done.exists():
        return
    shares = [[asdict(replace(launch, shape=None)) for launch in part] for part in dealt(each, source, processes)]
    jobs = [json.dumps({"source": source, "arch": arch, "launches": share}) for share in shares]
    if not any(_run(jobs)):
        folder.mkdir(parents=True, exist_ok=True)
        done.touch()


def dealt(launches: Sequence[Launch], source: str, parts: int) -> list[list[Launch]]:
    """Launches in parts that take about as long: by the length of the kernels, the longest first, back and forth."""
    texts = {text[: text.find("(")]: len(text) for text in source.split("\ndef ")}
    ordered = sorted(launches, key=lambda launch: -texts.get(launch.kernel, 0))
    found: list[list[Launch]] = [[] for _ in range(parts)]
    for i, launch in enumerate(ordered):
        turn, place = divmod(i, parts)
        found[place if turn % 2 == 0 else parts - 1 - place].append(launch)
    return found


def _run(jobs: Sequence[str]) -> list[int]:
    """Each job in a process, with what this one has in its path; their exit statuses."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started: list[subprocess.Popen[str]] = []
    try:
        for _ in jobs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", __spec__.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                text=True,
            )
            started.append(process)
        for process, job in zip(started, jobs, strict=True):  # each waits until the process has started
            assert process.stdin is not None
            with process.stdin as stdin:
                stdin.write(job)
        return [process.wait() for process in started]
    except OSError:  # there is no Python to start, or it ended before it read its job
        return [1]
    finally:
        for process in started:
            process.kill()  # one that ended does not mind
            process.wait()


class Absent:
    """What Triton's driver says of a GPU, without one: enough to compile what a launch there would."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def get_current_target(self) -> Any:
        """The architecture."""
        return self._target

    def get_current_device(self) -> int:
        """The first."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """The usual one."""
        return 0


def main() -> int:
    """Compile what standard input says; the exit status is 1 if a kernel cannot be."""
    from triton.runtime.driver import driver

    job = json.load(sys.stdin)
    module, failed = load_source(job["source"], "triton"), 0
    driver.set_active(Absent(target_of(job["arch"])))
    for one in job["launches"]:
        try:
            _compile(module, Launch(**one))
        except Exception:  # the launch will say what it is
            failed = 1
    return failed


def _compile(module: ModuleType, launch: Launch) -> None:
    """Compile what a launch would, with aligned tensors."""
    arguments = [getattr(torch, DTYPES[kind]) if kind in DTYPES else 2 for kind in launch.types.values()]
    kernel, options = getattr(module, launch.kernel), module.OPTIONS
    kernel.warmup(*arguments, grid=(1,), **launch.constants, num_warps=launch.warps, **options)


if __name__ == "__main__":
    sys.exit(main())
