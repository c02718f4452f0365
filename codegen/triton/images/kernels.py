"""The kernels of images: the arguments of those of `templates/kernels/`, and those written for their sizes."""

from __future__ import annotations

from scatc.codegen.triton import kernels
from scatc.codegen.triton.images import columns, columns_t, pair_columns, rows, short_rows, sums
from scatc.codegen.triton.kernels import Written

ARGUMENTS = {
    "product_left": ("acc", "high_part", "low_part", "u"),  # kernels call these
    "roots": ("u",),
    "settled": ("u",),
    "levels": kernels.ARGUMENTS["levels"],
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

TRANSPOSED = {
    "spread_rows": ("g", "inverse", "row", "phi_high", "phi_low", "T", "n"),
    "spread_columns": ("T", "phi_high", "phi_low", "G", "n", "pairs"),
    "spread_raw": ("g", "inverse", "row", "G", "n", "pairs"),
    "slope": ("Z", "G"),
    "gather_image": ("Y", "start", "w", "G", "pairs"),
    "unpad_image": ("G", "row_index", "column_index", "size", "gradient", "n"),
}
"""Those that only gradients have."""


def of_rows(shape: rows.Rows, name: str) -> Written:
    """The kernel of a shape."""
    bins, samples = "x".join(map(str, shape.parent)), f"{shape.height}x{shape.split.length}"
    doc = f"{bins} bins of a spectrum times filters, folded to {samples}, transformed along rows"
    return Written(name, doc, rows.parameters(shape), rows.body(shape))


def of_columns(shape: columns.Columns, name: str) -> Written:
    """The kernel of a shape."""
    samples = f"{shape.split.length}x{shape.width}"
    doc = f"{samples} samples, transformed along columns, and moduli: {', '.join(shape.sinks)}"
    return Written(name, doc, columns.parameters(shape), columns.body(shape))


def of_sums(shape: sums.Sums, name: str) -> Written:
    """The kernel of a shape."""
    doc = f"{shape.kept} averages along columns of {shape.height} samples, each a sum of {len(shape.weights)}"
    return Written(name, doc, sums.TYPES, sums.body(shape))


def of_pair_columns(shape: pair_columns.PairColumns, name: str) -> Written:
    """The kernel of a shape."""
    what = "moduli of waves" if not shape.rows else "the input, padded"
    more = (", and averages" if shape.weights else "") + (", and moduli" if shape.pack else "")
    doc = f"{shape.split.length}x{shape.width} samples: {what}, transformed along columns, in pairs{more}"
    return Written(name, doc, pair_columns.parameters(shape), pair_columns.body(shape))


def of_slopes(shape: columns.Columns, name: str) -> Written:
    """The kernel of a shape, there and back."""
    samples = f"{shape.split.length}x{shape.width}"
    doc = f"{samples} samples, transformed along columns, and their cotangents from {', '.join(shape.sinks)}, back"
    return Written(name, doc, columns_t.parameters(shape), columns_t.body(shape))


def kernel_source(kernel: Written, *, tensor_cores: bool) -> str:
    """A module with nothing but one of these kernels, and what it calls."""
    return kernels.templates().get_template("image_kernel.py.j2").render(kernel=kernel, tensor_cores=tensor_cores)


def of_short_rows(shape: short_rows.ShortRows, name: str) -> Written:
    """The kernel of a shape."""
    bins, samples = "x".join(map(str, shape.parent)), "x".join(map(str, shape.shape))
    doc = f"{bins} bins of a spectrum along columns, times filters, folded to {samples}, transformed along rows"
    return Written(name, doc, short_rows.TYPES, short_rows.body(shape))
