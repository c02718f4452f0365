"""Signals from their scattering coefficients, by descent on the gradient of a torch plan, low frequencies first.

>>> import numpy as np
>>> import scatc
>>> from scatc.synthesis import reconstruct
>>> spec = scatc.Spec(dim=1, shape=64, J=2)
>>> S = scatc.compile(spec)(np.hanning(64))
>>> found = reconstruct(spec, S)
>>> found.x.shape, bool(found.error < 1e-2)
(torch.Size([64]), True)

References: Andén and Mallat, "Deep scattering spectrum", IEEE Transactions on Signal Processing 62(16), 2014. Bruna and
Mallat, "Multiscale sparse microcanonical models", Mathematical Statistics and Learning 1(3/4), 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from numbers import Integral, Real
from typing import Any

import numpy as np

try:
    import torch
except ModuleNotFoundError as error:
    raise ImportError("scatc.synthesis needs torch, which is not installed: pip install 'scatc[torch]'") from error

from scatc.compiler import compile
from scatc.ir.paths import PathRow
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

__all__ = ["Reconstruction", "reconstruct"]

# Of the first descent, of the second, ...: stages an octave, iterations a stage, and how loud the noise is beside the
# signal where it starts. After faint noise each band takes its phase from coarser ones, so that all seeds end alike;
# where that is a bad end, loud noise leads to others.
PACES = ((4, 15, 1e-3), (1, 33, 1.0), (4, 8, 1e-3), (1, 60, 1.0))
AT_ONCE = 25  # iterations between two looks at the error, when all paths count
STALLED = 0.975  # an error that has not fallen to this share of itself meanwhile: a local minimum

# torch.optim.LBFGS compares with numbers such as 1e-10, not with the loss: it needs one that is far from them.
LOSS_SCALE = 1e6


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What `reconstruct` found.

    Attributes
    ----------
    x : Tensor, shape ``batch + spec.input_shape``
        On the device that computed; the rest is on the CPU, in float64.
    error : Tensor, shape ``batch``
        ``||S(x) - S|| / ||S||`` for each signal, S being the coefficients that were asked for.
    history : Tensor, shape ``batch + (evaluations,)``
        The error at each evaluation of the gradient, of all coefficients also while only coarse scales were fitted;
        NaN after the end, for a signal that took fewer than another.
    """

    x: torch.Tensor
    error: torch.Tensor
    history: torch.Tensor


def reconstruct(
    transform: Any,
    coefficients: Any,
    *,
    x0: Any = None,
    steps: int = 3000,
    tol: float = 1e-2,
    seed: int = 0,
    device: Any = None,
    dtype: Any = "float64",
) -> Reconstruction:
    """Find signals that have given scattering coefficients.

    ``||S(x) - S||**2`` is descended by L-BFGS on its exact gradient, as in Andén and Mallat (2014, the section on
    inversion) and Bruna and Mallat (2018), but from coarse to fine: at first only the paths of the lowest frequencies
    count, then a quarter of an octave more, and so on, each stage starting from where the last one ended. A descent
    that gets stuck above `tol` is given up for another, from other noise and at another pace.

    Coefficients do not determine a signal: those of -x differ in order 0 alone, and the larger T, the further parts of
    it can move. In 3D, where all places are summed, expect some volume with these coefficients, not the one that was
    transformed.

    Parameters
    ----------
    transform : Spec, plan, or module
        What made the coefficients: a `scatc.Spec`, a plan of any target (of selected paths, too), or an object of
        `scatc.torch`, `scatc.numpy`, ... that returns arrays.
    coefficients : array_like or Tensor, shape ``batch + (paths, *samples)``
        In the layout of plans; the batch may have any number of axes, also none. Its signals are found one by one.
    x0 : array_like or Tensor, optional
        First guess of the signals, which broadcasts to ``batch + spec.input_shape``; all paths count from the start.
        By default faint noise.
    steps : int, optional
        Most evaluations of the gradient for one signal, of all its descents together; a line search that has begun is
        finished.
    tol : float, optional
        Relative error of the coefficients at which to be content.
    seed : int, optional
        Of the noise. The same seed gives the same result, on the same machine with the same number of threads.
    device : torch.device or str, optional
        Where to compute; by default where the coefficients are, if they are a tensor, else on the CPU.
    dtype : {'float64', 'float32'}, optional
        Precision of all arithmetic. float32 is quicker, and as good at such a `tol` as the default.

    Returns
    -------
    Reconstruction
        The best of all evaluations. Whether its `error` is below `tol` is for the caller to see.

    Raises
    ------
    TypeError
        If `transform` has no spec, or coefficients are not real numbers.
    ValueError
        If the transform does not average, or coefficients are of another shape or not finite, or `x0` does not
        broadcast, or `steps`, `tol` or `seed` is not possible.
    ImportError
        When this module is imported without torch.
    """
    plan = _torch_plan(transform, dtype)
    _check_numbers(steps, tol, seed)
    target = _checked(plan, coefficients, device)
    batch, shape = tuple(target.shape[: target.ndim - len(_expected(plan))]), plan.spec.input_shape
    guesses = None if x0 is None else _guesses(plan, x0, target, (*batch, *shape))
    noise = torch.Generator().manual_seed(int(seed))
    searches = []
    for number, one in enumerate(target.reshape(-1, *_expected(plan))):
        search = _Search(plan, one, int(steps), float(tol), noise)
        search.run(None if guesses is None else guesses[number])
        searches.append(search)
    longest = max((len(s.history) for s in searches), default=0)
    history = torch.full((len(searches), longest), math.nan, dtype=torch.float64)
    for row, search in zip(history, searches, strict=True):
        row[: len(search.history)] = torch.tensor(search.history, dtype=torch.float64)
    x = torch.stack([s.best for s in searches]) if searches else target.new_zeros(0)
    errors = torch.tensor([s.error for s in searches], dtype=torch.float64)
    return Reconstruction(x.reshape(*batch, *shape), errors.reshape(batch), history.reshape(*batch, longest))


def _check_numbers(steps: Any, tol: Any, seed: Any) -> None:
    """Raise what is wrong with them."""
    if isinstance(steps, bool) or not isinstance(steps, Integral) or int(steps) < 1:
        raise ValueError(f"steps={steps!r} is not possible: steps must be a whole number of at least 1")
    if not isinstance(tol, Real) or not float(tol) > 0:
        raise ValueError(f"tol={tol!r} is not possible: tol must be a positive number")
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ValueError(f"seed={seed!r} is not possible: seed must be a whole number")


class _Search:
    """The search for one signal: descents until one of them ends below `tol`, or `steps` are spent."""

    def __init__(self, plan: Plan, target: torch.Tensor, steps: int, tol: float, noise: torch.Generator) -> None:
        self._plan, self._target, self._steps, self._tol, self._noise = plan, target, steps, tol, noise
        self._norm = float(torch.linalg.vector_norm(target))
        self._size = 1.0  # of the signal's samples: the descent works with samples of about 1
        self.history: list[float] = []
        self.best = target.new_zeros(plan.spec.input_shape)
        self.error = 1.0 if self._norm else 0.0

    def run(self, guess: torch.Tensor | None) -> None:
        """Descend from a guess, if there is one, and then from noise."""
        if not self._norm:  # all coefficients are 0, and so is the signal
            return
        with torch.no_grad():
            self._size = self._norm / float(torch.linalg.vector_norm(self._plan(self._random())))
        if guess is not None:
            self._settle(guess / self._size)
        for octave, iterations, loudness in cycle(PACES):
            if self._over:
                return
            x = loudness * self._random()
            for factors in self._stages(octave):
                x, descend = self._descent(x, factors)
                descend(iterations)
            self._settle(x)

    @property
    def _over(self) -> bool:
        return self.error < self._tol or len(self.history) >= self._steps

    def _random(self) -> torch.Tensor:
        drawn = torch.randn(self.best.shape, generator=self._noise, dtype=torch.float64)  # the same on every device
        return drawn.to(self._target)

    def _stages(self, octave: int) -> Iterator[torch.Tensor]:
        """Which paths count, stage by stage, as factors: those below a frequency that rises, not yet all of them."""
        frequencies = [_frequency(row) for row in self._plan.meta()]
        for step in range(math.ceil(octave * math.log2(0.5 / min(filter(None, frequencies), default=0.5))), 0, -1):
            factors = torch.tensor([frequency <= 0.5005 * 2 ** (-step / octave) for frequency in frequencies])
            if factors.any():
                yield factors.to(self._target).reshape(-1, *[1] * (self._target.ndim - 1))

    def _settle(self, x: torch.Tensor) -> None:
        """Descend with all paths, until that does not pay any more."""
        x, descend = self._descent(x)
        before, now = math.inf, descend(AT_ONCE)
        while not self._over and now < STALLED * before:
            before, now = now, min(now, descend(AT_ONCE))

    def _descent(
        self, x: torch.Tensor, factors: torch.Tensor | float = 1.0
    ) -> tuple[torch.Tensor, Callable[[int], float]]:
        """A tensor that begins as x, and what descends so many iterations further, and returns the least error met."""
        x = x.detach().clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [x], tolerance_grad=0, tolerance_change=0, history_size=20, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            residual = (self._plan(self._size * x) - self._target) / self._norm
            self._note(x, float(torch.linalg.vector_norm(residual.detach())))
            loss: torch.Tensor = LOSS_SCALE * (factors * residual).square().sum()
            loss.backward()
            return loss

        def descend(iterations: int) -> float:
            first = len(self.history)
            if not self._over:
                optimizer.param_groups[0].update(max_iter=iterations, max_eval=self._steps - first)
                optimizer.step(closure)
            return min(self.history[first:], default=math.inf)

        return x, descend

    def _note(self, x: torch.Tensor, error: float) -> None:
        """Keep the error of one more evaluation, and x, if it is the best so far."""
        self.history.append(error)
        if error < self.error:
            self.error, self.best = error, self._size * x.detach()


def _frequency(row: PathRow) -> float:
    """Where a path's first wavelet is, in cycles per sample: 0 for order 0; in 3D of its scale."""
    if not row.order:
        return 0.0
    return row.xi[0] if row.xi else 0.5 * 2.0 ** -row.j[0]


def _torch_plan(transform: Any, dtype: Any) -> Plan:
    """The plan that computes coefficients as `transform` does, and their gradient."""
    spec = transform if isinstance(transform, Spec) else getattr(transform, "spec", None)
    if not isinstance(spec, Spec):
        raise TypeError(
            f"transform is {type(transform).__name__}: pass a scatc.Spec, a plan, or an object of scatc.torch"
        )
    if spec.average == "none":
        raise ValueError("transform does not average (T=0), so that its paths differ in length: choose a T above 0")
    return compile(spec, "torch", dtype=dtype, select=transform.paths if isinstance(transform, Plan) else None)


def _expected(plan: Plan) -> tuple[int, ...]:
    """The shape of the coefficients of one signal."""
    ((samples, paths),) = plan.groups
    return (len(paths), *samples)


def _checked(plan: Plan, coefficients: Any, device: Any) -> torch.Tensor:
    """The coefficients as a tensor of the plan's precision."""
    target = _real("coefficients", coefficients, plan, device)
    expected = _expected(plan)
    if tuple(target.shape[-len(expected) :]) != expected:
        raise ValueError(
            f"coefficients have shape {tuple(target.shape)}: it must end with {expected}, (paths, *samples)"
        )
    return target


def _guesses(plan: Plan, x0: Any, target: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """First guesses, one for each signal."""
    guess = _real("x0", x0, plan, target.device)
    try:
        return guess.expand(shape).reshape(-1, *plan.spec.input_shape)
    except RuntimeError as error:
        raise ValueError(f"x0 has shape {tuple(guess.shape)}: it must broadcast to {shape}") from error


def _real(name: str, values: Any, plan: Plan, device: Any) -> torch.Tensor:
    """Numbers that were given, as a finite tensor of the plan's precision."""
    try:
        tensor = values.detach() if isinstance(values, torch.Tensor) else torch.from_numpy(np.array(values))
    except TypeError as error:
        raise TypeError(f"{name} must be real numbers, got {type(values).__name__}") from error
    if tensor.is_complex():
        raise TypeError(f"{name} must be real numbers, got {tensor.dtype}")
    tensor = tensor.to(device=device, dtype=getattr(torch, plan.dtype.name))
    wrong = int((~torch.isfinite(tensor)).sum())
    if wrong:
        raise ValueError(f"{name}: {wrong} of {tensor.numel()} numbers are NaN or infinite")
    return tensor
