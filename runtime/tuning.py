"""Which rows and warps a kernel in registers should have on a device: timed once, and kept as data.

The space is small and stated (`candidates`): a half, as many and twice the rows, and the same of the warps, wherever
threads then hold a sensible share. What was found lies in the cache folder, one file a device, by a digest of each
kernel's text.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from scatc.codegen.triton.lines import wavelet
from scatc.codegen.triton.lines.wavelet import Shape
from scatc.runtime.cache import DiskCache

Timer = Callable[[Shape], float]
"""Seconds that a kernel takes."""

LEAST_HELD, MOST_HELD = 8, 64
"""Complex numbers that a thread may hold."""


def candidates(shape: Shape) -> list[Shape]:
    """The shapes that are timed, the given one first."""
    found = [shape]
    for rows in (shape.rows // 2, shape.rows, 2 * shape.rows):
        for warps in (shape.warps // 2, shape.warps, 2 * shape.warps):
            held = rows * shape.length / (32 * warps) if warps else 0
            other = replace(shape, rows=rows, warps=warps)
            if rows and 1 <= warps <= 16 and LEAST_HELD <= held <= MOST_HELD and fits(other) and other != shape:
                found.append(other)
    return found


def fits(shape: Shape) -> bool:
    """Whether a kernel can average with its warps side by side: each needs as many samples as a product takes."""
    if "local" not in shape.sinks:
        return True
    return shape.length // shape.warps >= wavelet.LEAST_DOT and shape.depth * shape.warps % shape.last == 0


def digest(shape: Shape, version: str) -> str:
    """What tells kernels apart: their text, whatever rows and warps they have, and the version of Triton."""
    neutral = replace(shape, rows=1, warps=1)
    return hashlib.sha256(f"{version}\n{neutral!r}\n{wavelet.body(shape)}".encode()).hexdigest()[:32]


def tune(shapes: Iterable[Shape], device: str, version: str, timer: Timer) -> dict[Shape, Shape]:
    """The quickest candidate of each shape: known from before, or timed now and kept.

    Parameters
    ----------
    shapes : iterable of Shape
        As they were chosen without a device.
    device : str
        Its name.
    version : str
        Of Triton.
    timer : callable
        Times a shape on the device; a shape that cannot run takes an infinite time.
    """
    path = _file(device)
    known, found = _read(path), {}
    for shape in shapes:
        key = digest(shape, version)
        among = candidates(shape)
        kept = known.get(key, {})
        best = next((c for c in among if (c.rows, c.warps) == (kept.get("rows"), kept.get("warps"))), None)
        if best is None:
            times = {candidate: timer(candidate) for candidate in among}
            best = min(among, key=lambda candidate: times[candidate])
            known[key] = {"rows": best.rows, "warps": best.warps, "seconds": times[best], "default": times[shape]}
            _write(path, known)
        found[shape] = best
    return found


def _file(device: str) -> Path | None:
    """Where choices for a device are kept; None if nowhere."""
    cache = DiskCache()
    return None if cache.info().problem else cache.folder / f"tuning-{re.sub(r'[^a-z0-9]+', '-', device.lower())}.json"


def _read(path: Path | None) -> dict[str, dict[str, Any]]:
    """What is kept; nothing, with a warning, if the file is damaged."""
    if path is None or not path.exists():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(kept, dict) or not all(isinstance(value, dict) for value in kept.values()):
            raise ValueError("not a table of choices")
    except (OSError, ValueError) as error:
        warnings.warn(f"what was tuned before is dropped, {path} cannot be read: {error}", RuntimeWarning, stacklevel=3)
        return {}
    return kept


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
