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
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from scatc.codegen.triton.launch import Launch
from scatc.runtime.load import load_source

MOST_PROCESSES = 16
"""Each takes half a gigabyte of the host's memory."""

FEWEST = 3
"""Kernels that are worth a process, which takes seconds to start."""


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

    once = list({launch.title: launch for launch in launches}.values())
    processes = min(workers, MOST_PROCESSES, len(once) // FEWEST)
    folder = Path(triton.knobs.cache.dir)
    done = folder / f"scatc-{name}-{arch}-{triton.__version__}"
    if processes < 2 or done.exists():
        return
    shares = [[asdict(replace(launch, shape=None)) for launch in part] for part in dealt(once, source, processes)]
    jobs = [json.dumps({"source": source, "arch": arch, "launches": share}) for share in shares]
    if all([code == 0 for code in _run(jobs)]):
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
    started = []
    for job in jobs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __spec__.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        started.append((process, job))
    for process, job in started:
        assert process.stdin is not None
        try:
            with process.stdin as stdin:
                stdin.write(job)
        except BrokenPipeError:  # it ended before it read: its status says so
            pass
    return [process.wait() for process, _ in started]


def main() -> int:
    """Compile what standard input says; the exit status is 1 if a kernel cannot be."""
    from scatc.runtime import kernels

    job = json.load(sys.stdin)
    module, failed = load_source(job["source"], "triton"), 0
    for one in job["launches"]:
        try:
            kernels.compiled(module, launch_of(one), job["arch"])
        except Exception:
            failed = 1
    return failed


def launch_of(one: dict[str, Any]) -> Launch:
    """A launch from what JSON made of it."""
    return Launch(**{field.name: one[field.name] for field in fields(Launch)} | {"grid": tuple(one["grid"])})


if __name__ == "__main__":
    sys.exit(main())
