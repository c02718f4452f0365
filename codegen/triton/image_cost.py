"""What launches of kernels of images cost."""

from __future__ import annotations

from scatc.codegen.triton import cost
from scatc.codegen.triton.cost import COMPLEX, REAL, Work
from scatc.codegen.triton.launch import Launch, Transform


def static_work(step: Launch | Transform) -> Work:
    """What a step does for one image: a kernel of `templates/kernels/`, or a transform of the library."""
    if isinstance(step, Launch) and step.kernel in _STATIC:
        return _STATIC[step.kernel](step, step.constants)
    return cost.static_work(step)


def _pad(launch: Launch, c: dict[str, int]) -> Work:
    numbers = c["ROWS"] * c["COLUMNS"]
    return Work("pad", REAL * (c["HEIGHT"] * c["WIDTH"] + numbers), 12.0 * numbers)


def _fold(launch: Launch, c: dict[str, int]) -> Work:
    """What is read serves both signals of a pair."""
    samples, window = c["ROWS"] * c["COLUMNS"], c["HEIGHT"] * c["WIDTH"]
    moved = COMPLEX * (window + samples)
    return Work(f"fold {samples}", launch.paths * moved, launch.paths * (16.0 * window + 4 * samples))


def _lowpass_columns(launch: Launch, c: dict[str, int]) -> Work:
    blocks = -(-c["KEPT"] // c["OUTPUTS"])
    numbers = launch.paths * blocks * c["PADDED"] * c["COLUMNS"]
    number = REAL if c["PACKED"] else COMPLEX
    moved = launch.paths * c["COLUMNS"] * (c["ROWS"] * number + c["KEPT"] * REAL)
    return Work("lowpass columns", moved, 12.0 * numbers, 6.0 * numbers * c["OUTPUTS"])


def _lowpass_rows(launch: Launch, c: dict[str, int]) -> Work:
    blocks = -(-c["KEPT"] // c["OUTPUTS"])
    numbers = launch.paths * blocks * c["PADDED"] * c["HEIGHT"]
    moved = launch.paths * c["HEIGHT"] * REAL * (c["COLUMNS"] + c["KEPT"])
    return Work("lowpass rows", moved, 8.0 * numbers, 6.0 * numbers * c["OUTPUTS"])


def _moduli(launch: Launch, c: dict[str, int]) -> Work:
    kept = launch.paths * c["KEPT_ROWS"] * c["KEPT_COLUMNS"]
    return Work("moduli", kept * (COMPLEX + REAL), 10.0 * kept)


_STATIC = {
    "pad_image": _pad,
    "fold_image": _fold,
    "lowpass_columns": _lowpass_columns,
    "lowpass_rows": _lowpass_rows,
    "moduli_image": _moduli,
}
