"""Which shapes kernels should have on a device: the quickest of a few candidates, timed once, and kept as data.

Each shape states its candidates itself (`scatc.codegen.triton.tuned`). They are timed in rounds: in each, every shape
that is not known yet has its next candidate, and a plan is emitted with all of these, so that tables, grids and buffers
are those that go with them. What was found lies in the cache folder, one file a device, by a digest of each kernel's
text, the shape, the version of Triton and the size of the batch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.tuned import Tunable, Tuned
from scatc.runtime.cache import DiskCache

Timer = Callable[[Tuned], Mapping[Tunable, float]]
"""Seconds of the kernels of some shapes, when others are taken in their place; infinite where one cannot run."""


def texts(emitter: Emitter) -> dict[Tunable, str]:
    """The kernel of each shape that can be tuned, as text without its name."""
    launches = [step for step in emitter.steps if isinstance(step, Launch)]
    found = {}
    for shape, i in emitter.tunable().items():
        name = launches[i].kernel
        text = re.search(rf"^def {name}(\(.*?)(?=\n\n\n|\Z)", emitter.source, re.MULTILINE | re.DOTALL)
        assert text is not None, f"{name} is not in the source"
        found[shape] = text[1]
    return found


def digest(shape: Tunable, text: str, version: str, batch: int) -> str:
    """What tells choices apart; batches of about the same size share them."""
    signals = 1 << max(batch - 1, 0).bit_length()
    return hashlib.sha256(f"{version}\n{signals}\n{shape!r}\n{text}".encode()).hexdigest()[:32]


def tune(kernels: Mapping[Tunable, str], batch: int, device: str, version: str, timer: Timer) -> dict[Tunable, Tunable]:
    """The quickest candidate of each shape: known from before, or timed now and kept.

    Parameters
    ----------
    kernels : dict of shape to str
        The shapes as they were chosen without a device, and the texts of their kernels.
    batch : int
        Signals of a call.
    device : str
        Its name.
    version : str
        Of Triton.
    timer : callable
    """
    path = _file(device)
    known, found = _read(path), dict[Tunable, Tunable]()
    waiting: dict[Tunable, list[Tunable]] = {}
    for shape, text in kernels.items():
        kept = known.get(digest(shape, text, version, batch), {}).get("taken")
        candidates: list[Tunable] = list(shape.candidates())
        best = next((candidate for candidate in candidates if _changes(shape, candidate) == kept), None)
        if best is not None or len(candidates) == 1:
            found[shape] = shape if best is None else best
        else:
            waiting[shape] = candidates
    times: dict[Tunable, dict[Tunable, float]] = {shape: {} for shape in waiting}
    for i in range(max(map(len, waiting.values()), default=0)):
        tried = {shape: candidates[i] for shape, candidates in waiting.items() if i < len(candidates)}
        for shape, seconds in timer(tried).items():
            times[shape][tried[shape]] = seconds
        done = [shape for shape in tried if len(times[shape]) == len(waiting[shape])]
        for shape in done:
            took = times[shape]
            best = found[shape] = min(took, key=lambda candidate: took[candidate])
            entry = {"taken": _changes(shape, best), "seconds": took[best], "default": took[shape]}
            known[digest(shape, kernels[shape], version, batch)] = entry
        if done:  # at once: rounds take long, and may be interrupted
            _write(path, known)
    return found


def _changes(shape: Any, other: Any) -> dict[str, Any]:
    """The numbers in which a candidate differs, also those of a shape within it."""
    values = (
        (field.name, getattr(shape, field.name), getattr(other, field.name)) for field in dataclasses.fields(shape)
    )
    return {
        name: _changes(ours, theirs) if dataclasses.is_dataclass(ours) else theirs
        for name, ours, theirs in values
        if theirs != ours
    }


def _file(device: str) -> Path | None:
    """Where choices for a device are kept; None if nowhere."""
    cache = DiskCache()
    return None if cache.info().problem else cache.folder / f"tuning-{re.sub(r'[^a-z0-9]+', '-', device.lower())}.json"


def _read(path: Path | None) -> dict[str, dict[str, Any]]:
    """What is kept; nothing, with a warning, if the file is damaged."""
    if path is None or not path.exists():
        return {}
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
        entries = kept.values() if isinstance(kept, dict) else [None]
        if not all(isinstance(entry, dict) and isinstance(entry.get("taken"), dict) for entry in entries):
            raise ValueError("not a table of choices")
    except (OSError, ValueError) as error:
        warnings.warn(f"what was tuned before is dropped, {path} cannot be read: {error}", RuntimeWarning, stacklevel=3)
        return {}
    found: dict[str, dict[str, Any]] = kept
    return found


def _write(path: Path | None, kept: dict[str, dict[str, Any]]) -> None:
    """Keep choices: whole, or not at all."""
    if path is None:
        return
    temporary = path.with_name(f"tmp.{path.name}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept, indent=1, sort_keys=True, allow_nan=True), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        warnings.warn(f"what was tuned cannot be kept in {path}: {error}", RuntimeWarning, stacklevel=3)
