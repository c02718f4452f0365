"""The kernels of images: the arguments of those of `templates/kernels/`, and those written for their sizes."""

from __future__ import annotations

from scatc.codegen.triton import kernels

ARGUMENTS = {
    "pad_image": ("x", "row_index", "column_index", "mean", "scale", "U", "n"),
    "fold_image": ("X", "start", "w", "Y", "pairs"),
    "pack": kernels.ARGUMENTS["pack"],
    "lowpass_columns": ("Z", "phi_high", "phi_low", "T", "n", "pairs"),
    "lowpass_rows": ("T", "phi_high", "phi_low", "mean", "scale", "row", "out", "n"),
    "average": kernels.ARGUMENTS["average"],
    "total": kernels.ARGUMENTS["total"],
    "moduli_image": ("Z", "scale", "row", "out", "n", "pairs"),
}
"""Of the kernels that do not depend on sizes; some are those of lines, to which an image is one long line."""
