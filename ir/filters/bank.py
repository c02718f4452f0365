"""What every filter bank offers: frequency responses, on any box of bins, at any level of subsampling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters.support import Band, arc


@dataclass(frozen=True)
class FilterInfo:
    """What is known of one filter; a field is None where it has no meaning.

    Attributes
    ----------
    j : int
        Log2 of the scale: the dyadic subsampling that the filter's output allows.
    xi : float, optional
        Centre frequency: cycles a sample in 1D, radians a sample in 2D.
    sigma : float, optional
        Width of the Gaussian envelope: in 1D that of the response, in cycles a sample; in 2D and 3D that of the
        filter in space, in samples.
    theta : int, optional
        Index of the orientation (2D).
    l : int, optional
        Degree of the solid harmonic (3D).
    """

    j: int
    xi: float | None = None
    sigma: float | None = None
    theta: int | None = None
    l: int | None = None


class Bank(ABC):
    """A family of filters on one periodic grid, given by their responses at the DFT's bins.

    Banks are immutable, safe to share between threads, and compute responses on demand.

    Attributes
    ----------
    name : str
        `phi` for the low-pass; `psi1`, `psi2`, ... (1D, one bank an order) or `psi` (2D, 3D) for the wavelets.
    shape : tuple of int
        The grid at level 0.
    info : tuple of FilterInfo
        One entry a filter.
    quick : bool
        Whether responses are computed about as fast as they could be read from a file.
    """

    name: str
    shape: tuple[int, ...]
    info: tuple[FilterInfo, ...]
    quick: bool = False

    def __len__(self) -> int:
        return len(self.info)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self)} filters on {'x'.join(map(str, self.shape))}>"

    def components(self, index: int) -> int:
        """How many responses filter `index` has: `2l + 1` for a rotation covariant solid harmonic, else 1."""
        return 1

    def grid(self, level: int) -> tuple[int, ...]:
        """The grid of a signal subsampled by `2**level` along each axis.

        Raises
        ------
        ValueError
            If `2**level` does not divide every axis.
        """
        if level < 0 or any(n % 2**level for n in self.shape):
            raise ValueError(f"level {level} is not possible: 2**level must divide the padded shape {self.shape}")
        return tuple(n >> level for n in self.shape)

    @abstractmethod
    def window(self, index: int, level: int, box: tuple[Band, ...]) -> NDArray[Any]:
        """The response of one filter on a box of bins, in natural order.

        Parameters
        ----------
        index : int
            Which filter.
        level : int
            The signal to be filtered is subsampled by `2**level` along each axis.
        box : tuple of Band
            One band an axis; bins are taken modulo the grid.

        Returns
        -------
        ndarray, shape (components, *sizes of the bands)
            float64 in 1D and 2D, complex128 in 3D.

        Raises
        ------
        ValueError
            If the level is not possible, or the box has not one band an axis.
        """

    def fill(
        self, out: NDArray[Any], index: int, level: int, box: tuple[Band, ...], factors: Mapping[int, float]
    ) -> None:
        """Write the components of a filter that `factors` names, each multiplied by its factor, on a box of bins.

        Parameters
        ----------
        out : ndarray, shape (len(factors), *sizes of the bands)
            Of any precision; complex where responses are.
        index, level, box
            As for `window`.
        factors : Mapping of int to float
            By component.
        """
        scales = np.array(list(factors.values())).reshape(-1, *(1,) * len(box))
        out[...] = self.window(index, level, box)[list(factors)] * scales

    def response(self, index: int, level: int = 0) -> NDArray[Any]:
        """The response on the whole grid at `level`, in FFT order (bin 0 first), shape `(components, *grid)`."""
        return self.window(index, level, tuple(Band(0, n) for n in self.grid(level)))

    def support(self, index: int, level: int, tol: float) -> tuple[Band, ...]:
        """The smallest box outside which at most `tol` of the response's L1 mass lies.

        In n dimensions each axis may leave out `tol / n` of the marginal mass, so that the box leaves out `tol`.

        Parameters
        ----------
        index, level : int
            As for `window`.
        tol : float
            Fraction of the mass, the sum of moduli over bins and components.

        Returns
        -------
        tuple of Band
            One band an axis, starting within half the grid of bin 0; a whole axis is `Band(0, n)`.
        """
        mass = np.abs(self.response(index, level)).sum(axis=0)
        axes = range(mass.ndim)
        return tuple(arc(mass.sum(axis=tuple(b for b in axes if b != a)), tol / mass.ndim) for a in axes)

    def axis_response(self, axis: int, level: int) -> NDArray[np.float64]:
        """The factor of a separable bank's response that belongs to one axis, shape ``(grid[axis],)``, FFT order.

        Raises
        ------
        TypeError
            If the bank's responses are not products over the axes.
        """
        raise TypeError(f"the responses of {self!r} are not separable")

    def parity(self, index: int, tol: float) -> bool:
        """Whether components of opposite m mirror each other (see `SolidHarmonicBank.parity`); here there are none."""
        return False

    def _check_box(self, box: tuple[Band, ...]) -> None:
        if len(box) != len(self.shape):
            raise ValueError(f"the box has {len(box)} bands and the grid {len(self.shape)} axes")


class Memo:
    """The arrays computed last, up to a number of bytes; safe to share between threads."""

    def __init__(self, max_bytes: int = 1 << 28) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, build: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The array kept under `key`, made by `build` if it is not there; read-only."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        array = build()  # outside the lock: two threads may build the same array, none waits for the other
        array.setflags(write=False)
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = array
                self._bytes += array.nbytes
            while self._bytes > self._max_bytes and len(self._arrays) > 1:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array
