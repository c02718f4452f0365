"""The way back of long signals as matrices (`matrix.py`): along rows there and back, then along columns.

The kernel along columns of the way there leaves rows whose transforms are the waves. `rows` transforms them, turns the
cotangents of moduli by the phase, and transforms forward, in the same place; `columns` undoes the turns and transforms
along columns, again in the same place, for a tile of columns is read whole before it is written. What results is the
spectrum of the cotangent in its natural order.
"""

from __future__ import annotations

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton.fft import radices, register_fft
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.lines.matrix import Matrix, turned_by
from scatc.codegen.triton.modulus import turned
from scatc.codegen.triton.planes import At, loaded, read, stacks

LEAST = 1 << 12
"""Shorter signals go there and back in registers."""

ROWS = {"T": "*i64", "twiddles": "*i64", "gU": "*fp32", "pairs": "i32"}
"""Arguments of the kernel along rows, and their types."""

COLUMNS = {"T": "*i64", "twiddles": "*i64", "small": "*i64", "large": "*i64", "pairs": "i32"}
"""Those of the kernel along columns."""


def written(matrix: Matrix, name: str) -> tuple[Written, Written]:
    """The two kernels; `name` is that of the first, ``rows_t_..``."""
    there = f"The transform along rows of {matrix.columns} x {matrix.rows}, cotangents of moduli by phases, and back"
    back = f"The transform along columns of {matrix.rows} x {matrix.columns}, forward"
    return (
        Written(name, there, ROWS, rows(matrix)),
        Written(name.replace("rows", "columns"), back, COLUMNS, columns(matrix)),
    )


def rows(matrix: Matrix) -> str:
    """The statements of the kernel along rows."""
    code, length = Code(), matrix.rows
    tile, stages = matrix.second.count, radices(length)
    rest, last = length // stages[0], length // stages[-1]
    code.write(
        "signal = tl.program_id(0)",
        "child = tl.program_id(1).to(tl.int64)",
        f"low_n = (tl.program_id(2) * {tile} + tl.arange(0, {tile}))[:, None]",
        f"line = T + (child * 2 * pairs + signal) * {matrix.length} + low_n * {length}",
        f"packed = gU + (child * pairs + (signal >> 1)) * {2 * matrix.length} + (signal & 1) + 2 * low_n",
        f"p = tl.arange(0, {rest})[None, :]",
    )
    planes: list[Plane] = read(
        code, range(0, length, rest), (tile, rest), lambda at: loaded(code, at.pointers(f"line + {at} + p"))
    )
    planes = register_fft(code, planes, tile, stages, 1, "twiddles")
    code.write("# phase", f"packed += {2 * matrix.columns} * tl.arange(0, {last})[None, :]")
    step = 2 * matrix.columns * last
    places = range(0, step * stages[-1], step)
    slopes = read(
        code,
        places,
        (tile, last),
        lambda at: (code.let("g_u", f"tl.load({at.pointers(f'packed + {at}', down=True)})"),),
    )
    cotangents: list[Plane] = [turned(code, z, g[0]) for z, g in zip(planes, slopes, strict=True) if g is not None]
    done = register_fft(code, cotangents, tile, stages[::-1], -1, "twiddles")
    code.write("# store")
    for at, (re, im) in stacks(code, done, range(0, length, rest), (tile, rest)):
        code.write(f"tl.store({at.pointers(f'line + {at} + p')}, both({re}, {im}))")
    return str(code)


def columns(matrix: Matrix) -> str:
    """The statements of the kernel along columns: turns undone, and a transform over n1."""
    code, length, step = Code(), matrix.columns, matrix.rows
    tile, stages = matrix.first.count, radices(length)
    rest, last = length // stages[0], length // stages[-1]
    code.write(
        "signal = tl.program_id(0)",
        "child = tl.program_id(1).to(tl.int64)",
        f"low_k = (tl.program_id(2) * {tile} + tl.arange(0, {tile}))[:, None]",
        f"line = T + (child * 2 * pairs + signal) * {matrix.length} + low_k",
        f"p = tl.arange(0, {rest})[None, :]",
    )

    def unturned(at: At) -> Complex:
        k = code.let("k", f"{at} + p")
        z = loaded(code, at.pointers(f"line + {step} * {k}", down=True))
        return code.times(z, turned_by(code, matrix, f"low_k * {k}"), -1)

    planes: list[Plane] = read(code, range(0, length, rest), (tile, rest), unturned)
    done = register_fft(code, planes, tile, stages, -1, "twiddles")
    code.write("# store")
    for at, (re, im) in stacks(code, done, range(0, length, last), (tile, last)):
        place = f"{step} * ({at} + tl.arange(0, {last})[None, :])"
        code.write(f"tl.store({at.pointers(f'line + {place}', down=True)}, both({re}, {im}))")
    return str(code)
