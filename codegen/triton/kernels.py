"""The kernels there are: those of `templates/kernels/`, with their arguments, and those written for their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jinja2

from scatc.codegen.triton.lines import blocks, matrix, wavelet

MOST_UNROLLED = 20
"""Blocks of terms up to which products of images with matrices are straight-line code."""


@lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """The templates of modules and kernels."""
    loader = jinja2.PackageLoader("scatc.codegen.triton", "templates")
    environment = jinja2.Environment(
        loader=loader,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["MOST_UNROLLED"] = MOST_UNROLLED
    return environment


@dataclass(frozen=True, slots=True)
class Written:
    """A kernel that is written for its sizes: name, what it does, arguments with their types, and statements."""

    name: str
    doc: str
    types: dict[str, str]
    body: str

    @property
    def parameters(self) -> list[str]:
        """The names of the arguments."""
        return list(self.types)

    @property
    def numbers(self) -> list[str]:
        """Those that are numbers: a kernel is not compiled anew for other values."""
        return [name for name, kind in self.types.items() if kind == "i32"]


def in_registers(shape: wavelet.Shape, name: str) -> Written:
    """The kernel of a shape."""
    doc = f"From {shape.width} bins of a spectrum to {shape.length} samples in registers: {', '.join(shape.sinks)}"
    return Written(name, doc, dict(wavelet.parameters(shape)), wavelet.body(shape))


Shape = wavelet.Shape | blocks.Cut | blocks.Thin
"""What a kernel that stands alone is specialised to."""


def written(shape: Shape, name: str) -> Written:
    """The kernel of a shape."""
    return in_registers(shape, name) if isinstance(shape, wavelet.Shape) else of_blocks(shape, name)


def kernel_source(shape: Shape, name: str, *, tensor_cores: bool) -> str:
    """A module with nothing but one kernel."""
    kernel = written(shape, name)
    return templates().get_template("kernel.py.j2").render(kernel=kernel, tensor_cores=tensor_cores)


POINTERS = {
    "x": "*fp32",
    "mean": "*fp32",
    "scale": "*fp32",
    "w": "*fp32",
    "largest": "*fp32",
    "squares": "*fp32",
    "peak": "*fp32",
    "ratio": "*fp32",
    "partial": "*fp32",
    "size": "*fp32",
    "gradient": "*fp32",
    "g": "*fp32",
    "gU": "*fp32",
    "loud": "*fp32",
    "plain": "*fp32",
    "weight": "*fp32",
    "places": "*i32",
    "windows": "*i32",
    "P": "*i64",
    "G": "*i64",
    "factor": "*fp64",
    "inverse": "*fp32",
    "out": "*fp32",
    "index": "*i32",
    "row_index": "*i32",
    "column_index": "*i32",
    "start": "*i32",
    "row": "*i32",
    "parts": "*fp32",
    "first": "*i32",
    "count": "*i32",
    "gain": "*fp32",
    "T": "*fp32",
    "U": "*i64",
    "X": "*i64",
    "Y": "*i64",
    "Z": "*i64",
    **{f"{name}_{part}": "*fp32" for name in ("phi", "even", "odd") for part in ("high", "low")},
}
"""What the arguments of the kernels in `templates/kernels/` point to."""

ARGUMENTS = {
    "levels": ("x", "mean", "scale"),
    "pad": ("x", "index", "mean", "scale", "U", "n"),
    "fold": ("X", "start", "w", "Y", "pairs"),
    "pack": ("Z", "U"),
    "lowpass": ("Z", "phi_high", "phi_low", "mean", "scale", "row", "out", "n", "pairs"),
    "average": ("X", "even_high", "even_low", "odd_high", "odd_low", "mean", "scale", "row", "out", "n", "pairs"),
    "add_parts": ("parts", "first", "count", "row", "gain", "mean", "scale", "out", "n"),
    "total": ("Z", "scale", "row", "out", "n", "pairs"),
    "moduli": ("Z", "scale", "row", "out", "n", "pairs"),
    "peaks": ("x", "largest", "squares"),
    "ratios": ("largest", "squares", "peak", "ratio"),
    "pair": ("x", "peak", "ratio", "U", "n"),
    "unpair": ("G", "size", "gradient", "n"),
    "integrate": ("partial", "factor", "row", "out", "n", "pairs"),
}
"""Their arguments."""


def of_matrix(shape: matrix.Matrix, name: str) -> tuple[Written, Written]:
    """The two kernels of a long signal; `name` is that of the first, ``columns_..``."""
    along = f"From {shape.width} bins of a spectrum, the transform along columns of {shape.rows} x {shape.columns}"
    back = f"The transform along rows of {shape.columns} x {shape.rows}, and moduli in pairs"
    return (
        Written(name, along, matrix.COLUMNS, matrix.columns(shape)),
        Written(name.replace("columns", "rows"), back, matrix.ROWS, matrix.lines(shape)),
    )


def of_blocks(shape: blocks.Cut | blocks.Thin, name: str) -> Written:
    """A kernel that cuts or thins a long signal."""
    if isinstance(shape, blocks.Cut):
        doc = f"Spectra of overlapping blocks of {shape.length} samples, of which {shape.bins} bins are kept"
        return Written(name, doc, blocks.CUT, blocks.cut(shape))
    doc = (
        f"Blocks of a signal from {shape.bins} bins of their spectra, smoothed and subsampled to {shape.length} samples"
    )
    return Written(name, doc, blocks.THIN, blocks.thin(shape))
