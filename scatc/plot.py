"""Pictures of coefficients and filters, with matplotlib.

Every function draws into one `ax` (a new figure's if None is given), labels its axes, and returns what it drew, so
that titles, colour bars and limits remain the caller's. Nothing is shown or saved here.

`coefficients` are a plan's output for one signal (take one of a batch first), `meta` is ``plan.meta(...)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PatchCollection, QuadMesh
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D

    from scatc.ir.filters import Bank
    from scatc.ir.paths import Path, PathRow
    from scatc.ir.spec import Spec

    Coefficients = ArrayLike | Mapping[Path, ArrayLike]

__all__ = ["disk", "filter_bank", "scales_and_angles", "scalogram", "second_order", "solid"]

Array = NDArray[np.float64]


def scalogram(
    coefficients: Coefficients,
    meta: Sequence[PathRow],
    *,
    step: float = 1.0,
    units: tuple[str, str] = ("s", "Hz"),
    ax: Axes | None = None,
    **style: Any,
) -> QuadMesh:
    """First-order coefficients of a 1D signal over time and frequency, the frequency on a logarithmic axis.

    Parameters
    ----------
    coefficients : array_like, shape (paths, samples), or dict of path to array_like
        Output of a 1D plan for one signal. (Without averaging it is a dict, of samples that lie the further apart the
        lower the frequency: they are drawn as wide as they are apart.)
    meta : sequence of PathRow
        The plan's path table; with ``plan.meta(sampling_rate=...)`` frequencies are in Hz.
    step : float
        Time between two samples of the output: ``spec.stride / sampling_rate`` seconds. (Without averaging: between
        two samples of the path that has most.)
    units : tuple of str
        Units of time and frequency, for the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style
        Passed to `~matplotlib.axes.Axes.pcolormesh`.

    Returns
    -------
    matplotlib.collections.QuadMesh
        Its array is the coefficients, the lowest frequency first.

    Raises
    ------
    ValueError
        If there is no path of order 1, or `meta` is not that of `coefficients`.
    """
    _check_positive("step", step)
    rows, values = _of_order(coefficients, meta, 1, samples=1)
    by_frequency = np.argsort([row.xi[0] for row in rows])
    frequencies = np.array([rows[i].xi[0] for i in by_frequency])
    times = (np.arange(values.shape[1] + 1) - 0.5) * step
    ax = _axes(ax)
    mesh = ax.pcolormesh(times, _log_edges(frequencies), values[by_frequency], **{"cmap": "magma", **style})
    ax.set(xlabel=f"time ({units[0]})", ylabel=f"frequency ({units[1]})", yscale="log")
    _plain_ticks(ax, "y")
    return mesh


def second_order(
    coefficients: Coefficients,
    meta: Sequence[PathRow],
    *,
    normalized: bool = False,
    unit: str = "Hz",
    ax: Axes | None = None,
    **style: Any,
) -> QuadMesh:
    """Second-order coefficients of a 1D signal, averaged over time, over the two frequencies of their path.

    Parameters
    ----------
    coefficients : array_like, shape (paths, samples), or dict of path to array_like
        Output of a 1D plan for one signal.
    meta : sequence of PathRow
        The plan's path table.
    normalized : bool
        Divide each by the first-order coefficient that it comes from (Anden & Mallat 2014): what is left is how
        strongly the envelope at the first frequency is modulated, whatever its loudness.
    unit : str
        Unit of the frequencies, for the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style
        Passed to `~matplotlib.axes.Axes.pcolormesh`.

    Returns
    -------
    matplotlib.collections.QuadMesh
        Its array is the means, second frequency by first, the lowest first; masked where there is no path.

    Raises
    ------
    ValueError
        If there is no path of order 2 (with `normalized`, no order 1), or `meta` is not that of `coefficients`.
    """
    rows, values = _of_order(coefficients, meta, 2)
    if normalized:
        parents, below = _of_order(coefficients, meta, 1)
        loudness = {row.path: mean for row, mean in zip(parents, below, strict=True)}
        values = np.array([v / (loudness[row.path[:1]] or 1.0) for row, v in zip(rows, values, strict=True)])
    first, column = np.unique([row.xi[0] for row in rows], return_inverse=True)
    second, line = np.unique([row.xi[1] for row in rows], return_inverse=True)
    table = _masked(second.size, first.size)
    table[line, column] = values
    ax = _axes(ax)
    mesh = ax.pcolormesh(_log_edges(first), _log_edges(second), table, **{"cmap": "magma", **style})
    ax.set(xlabel=f"first frequency ({unit})", ylabel=f"second frequency ({unit})", xscale="log", yscale="log")
    _plain_ticks(ax, "x")
    _plain_ticks(ax, "y")
    return mesh


def scales_and_angles(
    coefficients: Coefficients,
    meta: Sequence[PathRow],
    *,
    equalize: bool = True,
    ax: Axes | None = None,
    **style: Any,
) -> AxesImage:
    """First-order coefficients of an image as a table of small images: a row per scale, a column per angle.

    Parameters
    ----------
    coefficients : array_like, shape (paths, rows, columns), or dict of path to array_like
        Output of a 2D plan for one image.
    meta : sequence of PathRow
        The plan's path table.
    equalize : bool
        Divide each scale by its largest coefficient, for natural images hold far more energy at coarse scales.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style
        Passed to `~matplotlib.axes.Axes.imshow`.

    Returns
    -------
    matplotlib.image.AxesImage
        The table, the small images one pixel apart (which is masked).

    Raises
    ------
    ValueError
        If there is no path of order 1, or `meta` is not that of `coefficients`.
    """
    rows, values = _of_order(coefficients, meta, 1, samples=2)
    scales, angles = sorted({row.j[0] for row in rows}), sorted({row.theta[0] for row in rows})
    height, width = values.shape[1] + 1, values.shape[2] + 1
    table = _masked(len(scales) * height - 1, len(angles) * width - 1)
    peaks = {j: max(float(v.max()) for row, v in zip(rows, values, strict=True) if row.j[0] == j) for j in scales}
    for row, image in zip(rows, values, strict=True):
        top, left = scales.index(row.j[0]) * height, angles.index(row.theta[0]) * width
        scale = (peaks[row.j[0]] or 1.0) if equalize else 1.0
        table[top : top + height - 1, left : left + width - 1] = image / scale
    ax = _axes(ax)
    drawn = ax.imshow(table, **{"cmap": "magma", "interpolation": "nearest", **style})
    ax.set_xticks([k * width + (width - 2) / 2 for k in range(len(angles))], [str(theta) for theta in angles])
    ax.set_yticks([k * height + (height - 2) / 2 for k in range(len(scales))], [f"{2**j}" for j in scales])
    ax.tick_params(length=0)
    ax.set(xlabel=r"angle index $\theta$", ylabel=r"scale $2^j$ (pixels)")
    ax.spines[:].set_visible(False)
    return drawn


def disk(
    coefficients: Coefficients,
    meta: Sequence[PathRow],
    *,
    order: int = 1,
    angles: int | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> PatchCollection:
    """Coefficients of an image, averaged over it, as sectors of a disk of frequencies (Bruna & Mallat 2013).

    A sector's direction is that of the wavelet's frequency, its ring the scale, the finest outside. Second-order
    coefficients divide the sector of the path's first wavelet in the same way. (Coefficients of real images are the
    same at opposite frequencies, so that every sector is drawn twice.)

    Parameters
    ----------
    coefficients : array_like, shape (paths, ...), or dict of path to array_like
        Output of a 2D plan for one image.
    meta : sequence of PathRow
        The plan's path table.
    order : {1, 2}
        Which order to draw.
    angles : int, optional
        The spec's L. None: as many as there are in `meta`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style
        Passed to `~matplotlib.collections.PatchCollection`.

    Returns
    -------
    matplotlib.collections.PatchCollection
        Its array is the means, in the order of `meta`, then once more for the opposite sectors.

    Raises
    ------
    ValueError
        If there is no path of this order, the order is neither 1 nor 2, or `meta` is not that of `coefficients`.
    """
    if order not in (1, 2):
        raise ValueError(f"order={order!r} is not possible: a disk shows order 1 or 2")
    rows, values = _of_order(coefficients, meta, order)
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Wedge

    L: Any = 1 + max(max(row.theta) for row in rows) if angles is None else angles
    if not isinstance(L, int | np.integer) or L < 1:
        raise ValueError(f"angles={angles!r} is not possible: it must be the spec's L, or None")
    ring = {j: k for k, j in enumerate(sorted({row.j[0] for row in rows}))}
    coarsest = max(row.j[-1] for row in rows)
    sectors = []
    for row in rows:
        outer, thick = 1 - ring[row.j[0]] / len(ring), 1 / len(ring)
        # how scatc numbers angles (as ScatNet does), turned from (row, column) to a picture's x and y
        centre, wide = 180 / L * (L // 2 - 1 - row.theta[0]) - 90, 180 / L
        if order == 2:
            parts = coarsest - row.j[0]
            outer -= thick * (row.j[1] - row.j[0] - 1) / parts
            centre, thick, wide = centre + wide * ((L - 1) / 2 - row.theta[1]) / L, thick / parts, wide / L
        sectors.append((outer, centre, wide, thick))
    wedges = [
        Wedge((0, 0), outer, turn + centre - wide / 2, turn + centre + wide / 2, width=thick)
        for turn in (0, 180)
        for outer, centre, wide, thick in sectors
    ]
    ax = _axes(ax)
    drawn = PatchCollection(wedges, **{"cmap": "magma", "edgecolor": "face", "linewidth": 0.2, **style})
    drawn.set_array(np.tile(values, 2))
    ax.add_collection(drawn)
    ax.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
    ax.set_axis_off()
    return drawn


def solid(
    coefficients: Coefficients,
    meta: Sequence[PathRow],
    *,
    order: int = 1,
    power: int = 0,
    ax: Axes | None = None,
    **style: Any,
) -> list[Line2D]:
    """Coefficients of a density, one line per degree of the solid harmonics, over the scales of their paths.

    Parameters
    ----------
    coefficients : array_like, shape (paths, powers)
        Output of a 3D plan for one density.
    meta : sequence of PathRow
        The plan's path table.
    order : int
        Which order to draw.
    power : int
        Which of ``spec.integral_powers``, by its place.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style
        Passed to `~matplotlib.axes.Axes.plot`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        One per degree, the lowest first.

    Raises
    ------
    ValueError
        If there is no path of this order, or `meta` is not that of `coefficients`.
    """
    array = np.asarray(coefficients)
    if array.ndim != 2 or power not in range(array.shape[1]):
        raise ValueError(f"coefficients of shape {array.shape}, (paths, powers) of one volume, have no power {power!r}")
    rows, values = _of_order(array[:, power], meta, order)
    scales, degrees = sorted({row.j for row in rows}), sorted({row.l for row in rows if row.l is not None})
    ax = _axes(ax)
    lines = []
    for degree in degrees:
        chosen = [(scales.index(row.j), v) for row, v in zip(rows, values, strict=True) if row.l == degree]
        places, heights = zip(*sorted(chosen), strict=True)
        lines += ax.plot(places, heights, **{"marker": "o", "label": f"$l = {degree}$", **style})
    ax.set_xticks(range(len(scales)), [", ".join(map(str, j)) for j in scales])
    ax.set(xlabel="scale $j$" if order == 1 else "scales along the path, $j_1, j_2$", ylabel="integral", yscale="log")
    _plain_ticks(ax, "y", (1, 2, 3, 5))
    ax.legend()
    return lines


def filter_bank(
    spec: Spec,
    *,
    order: int = 1,
    sampling_rate: float = 1.0,
    ax: Axes | None = None,
    **style: Any,
) -> Sequence[Artist]:
    """The frequency responses of a transform's wavelets.

    1D: their moduli over frequency, with the low-pass filter dashed. 2D: the contours, in the plane of frequencies, on
    which each response is half its largest. 3D: moduli (norms over the orders m) over the radial frequency.

    Parameters
    ----------
    spec : Spec
        The transform.
    order : int
        1D: which order's wavelets.
    sampling_rate : float
        1D: samples per second; the axis is then in Hz. Otherwise it is in cycles per sample.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style
        Passed to `~matplotlib.axes.Axes.plot` or `~matplotlib.axes.Axes.contour`.

    Returns
    -------
    list of matplotlib.artist.Artist
        One per filter; in 1D the low-pass filter's comes last.

    Raises
    ------
    ValueError
        If the transform has no wavelets of this order.
    """
    from scatc.ir.filters import banks
    from scatc.ir.spec import Spec

    if not isinstance(spec, Spec):
        raise TypeError(f"spec is {type(spec).__name__}: it must be a scatc.Spec, such as plan.spec")
    _check_positive("sampling_rate", sampling_rate)
    found = banks(spec)
    name = f"psi{order}" if spec.dim == 1 else "psi"
    if name not in found or not 1 <= order <= spec.order:
        raise ValueError(f"order={order!r} is not possible: the transform has wavelets of orders 1 to {spec.order}")
    ax = _axes(ax)
    if spec.dim == 2:
        return _contours(found[name], ax, style)
    return _responses(spec, found[name], found.get("phi"), sampling_rate, ax, style)


def _responses(
    spec: Spec, psi: Bank, phi: Bank | None, rate: float, ax: Axes, style: Mapping[str, Any]
) -> Sequence[Artist]:
    """Curves over the frequencies from 0 to half the sampling rate; in 3D along the first axis, any being the same."""
    from scatc.ir.filters import Band

    half = psi.shape[0] // 2 + 1
    box = (Band(0, half), *(Band(0, 1) for _ in psi.shape[1:]))
    frequencies = np.arange(half) * rate / psi.shape[0]
    lines: list[Artist] = []
    for index, info in enumerate(psi.info):
        modulus = np.linalg.norm(psi.window(index, 0, box).reshape(-1, half), axis=0)
        look: dict[str, Any] = {
            "color": "0.35",
            "linewidth": 0.8,
        }  # dozens of wavelets: a colour each would say nothing
        if info.l is not None:
            dashes = ("-", "--", "-.", ":")[min(info.j, 3)]
            look = {"color": f"C{info.l}", "linestyle": dashes, "label": f"$j = {info.j}, l = {info.l}$"}
        lines += ax.plot(frequencies, modulus, **{**look, **style})
    if phi is not None:
        modulus = np.abs(phi.window(0, 0, box)[0])
        dashed = {"color": "C3", "linewidth": 1.2, "linestyle": "--", "label": "low-pass"}
        lines += ax.plot(frequencies, modulus, **{**dashed, **style})
    unit = "cycles per sample" if rate == 1.0 else "Hz"
    ax.set(xlabel=f"frequency ({unit})", ylabel="modulus of the response", xlim=(0, frequencies[-1]))
    if spec.dim == 1:  # from the low-pass filter's flank on, each octave as wide as the next
        ax.set_xscale("log")
        ax.set_xlim(max(frequencies[1], 0.1 * min(i.xi * rate for i in psi.info if i.xi)), frequencies[-1])
        _plain_ticks(ax, "x")
    return lines


def _contours(psi: Bank, ax: Axes, style: Mapping[str, Any]) -> Sequence[Artist]:
    from matplotlib import colormaps

    # the wavelets are complex: for real images those in the other half plane would say nothing new
    vertical, horizontal = (np.fft.fftshift(np.fft.fftfreq(n)) for n in psi.shape)
    scales = 1 + max(info.j for info in psi.info)
    drawn: list[Artist] = []
    for index, info in enumerate(psi.info):
        response = np.fft.fftshift(np.abs(psi.response(index)[0]))
        colour = colormaps["viridis"](info.j / scales)
        given = {"colors": [colour], "linewidths": 1.0, **style}
        drawn.append(ax.contour(horizontal, vertical, response, levels=[float(response.max()) / 2], **given))
    ax.set(xlabel="horizontal frequency (cycles per pixel)", ylabel="vertical frequency (cycles per pixel)")
    ax.set(aspect="equal", xlim=(-0.5, 0.5), ylim=(0.5, -0.5))  # downwards, as an image's rows run
    return drawn


def _of_order(coefficients: Coefficients, meta: Any, order: int, samples: int = 0) -> tuple[list[PathRow], Array]:
    """The rows of one order and their coefficients, with `samples` sample axes (0: the means over all there are)."""
    from scatc.ir.paths import PathRow

    if not isinstance(meta, Sequence) or not all(isinstance(row, PathRow) for row in meta):
        raise TypeError(f"meta is {type(meta).__name__}: it must be the table of paths that plan.meta() returns")
    if any(row.n_fr is not None for row in meta):
        raise ValueError("meta is of joint scattering, whose rows are images of their own: draw those of one family")
    rows = [row for row in meta if row.order == order]
    if isinstance(coefficients, Mapping):
        count, found = len(coefficients), [coefficients.get(row.path, math.nan) for row in rows]
    else:
        array = np.asarray(coefficients)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"coefficients must be real numbers, got {array.dtype} from {type(coefficients).__name__}")
        count = len(array) if array.ndim else 0
        found = [array[place] for place, row in enumerate(meta) if row.order == order] if count == len(meta) else []
    if count != len(meta):
        raise ValueError(f"meta has {len(meta)} rows, but the coefficients are of {count} paths: give one of a batch")
    if not rows:
        raise ValueError(f"there is no path of order {order}")
    values = [np.asarray(value, dtype=np.float64) for value in found]
    if samples == 0:
        return rows, np.array([value.mean() for value in values])
    if values[0].ndim != samples:
        raise ValueError(f"a path has {values[0].ndim} axes of samples, and not {samples}: give one of a batch")
    return rows, _stretched(values)


def _check_positive(name: str, value: Any) -> None:
    if not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name}={value!r} is not possible: it must be a finite number above 0")


def _stretched(values: Sequence[Array]) -> Array:
    """Paths of one array: samples of those with fewer are repeated, by the power of two that they lie further apart."""
    shape = np.max([value.shape for value in values], axis=0)
    out = np.empty((len(values), *shape))
    for place, value in enumerate(values):
        for axis, length in enumerate(shape):
            value = np.repeat(value, 2 ** round(math.log2(length / value.shape[axis])), axis=axis)  # noqa: PLW2901
        inside = tuple(slice(length) for length in shape)
        missing = [(0, max(0, length - have)) for length, have in zip(shape, value.shape, strict=True)]
        out[place] = np.pad(value, missing, mode="edge")[inside]
    return out


def _masked(rows: int, columns: int) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]:
    """A table in which nothing is to be drawn yet."""
    return np.ma.MaskedArray(np.zeros((rows, columns)), mask=True)


def _log_edges(centres: Array) -> Array:
    """Edges of cells about ascending positive centres, half way between them on a logarithmic axis."""
    logs = np.log(centres)
    inner = (logs[1:] + logs[:-1]) / 2
    first, last = (logs[1] - logs[0], logs[-1] - logs[-2]) if logs.size > 1 else (math.log(2), math.log(2))
    edges: Array = np.exp(np.concatenate([[logs[0] - first / 2], inner, [logs[-1] + last / 2]]))
    return edges


def _plain_ticks(ax: Axes, axis: str, each_decade: tuple[float, ...] = (1, 2, 5)) -> None:
    """On a logarithmic axis of one or two decades, numbers such as 20 instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    which = ax.xaxis if axis == "x" else ax.yaxis
    which.set_major_locator(LogLocator(subs=each_decade))
    which.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    which.set_minor_formatter(NullFormatter())


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]
