"""Whether GPU plans compute what they should: their results beside those of float64, before anything is timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from cases import Case
from torch import Tensor

import scatc

LIMIT = 1e-5
"""The relative error, for each order, beyond which nothing is timed."""
SPREAD = 3
"""A gradient may be off by so many times what a few roundings of the input do to it, besides."""
FAINT = 1e-3
"""An order with less than this of the norm of all (a constant's, say) is measured against this much."""


class Reference:
    """What float64 says of a case: the plan for numpy, by far the slowest part of a check, hence for few signals."""

    def __init__(self, spec: scatc.Spec) -> None:
        self._plan = scatc.compile(spec, target="numpy", dtype="float64", cache=False)
        self._powers = np.array(spec.integral_powers or ())
        self._orders = np.array([row.order for row in self._plan.meta()])

    def errors(self, y: Tensor, x: Tensor, signals: Sequence[int], *, sparse: bool = False) -> dict[str, float]:
        """``||y - reference|| / ||reference||`` of each order, over some signals of the batch.

        Of `sparse` volumes, U is next to zero in most voxels, and rounding is allowed for.
        """
        index = list(signals)
        got = y[index].cpu().numpy().astype(np.float64)
        wanted = self._plan(x[index].cpu().numpy().astype(np.float64))
        if got.shape != wanted.shape:
            raise RuntimeError(f"the result is of shape {got.shape}, expected {wanted.shape}")
        faint = FAINT * float(np.linalg.norm(wanted))
        if sparse and len(self._powers):
            faint = max(faint, self._rounding(x[index]) / LIMIT)
        found = {}
        for order in sorted(set(self._orders.tolist())):
            a, b = (array[:, self._orders == order] for array in (got, wanted))
            found[str(order)] = float(np.linalg.norm(a - b)) / (max(float(np.linalg.norm(b)), faint) or 1.0)
        return found

    def gradient_errors(self, gradient: Tensor, x: Tensor, g: Tensor, signals: Sequence[int]) -> dict[str, float]:
        """The same of the gradient of ``sum(g * y)`` with respect to x, all orders together.

        Beyond what rounding of x does to that of float64: where U is next to zero, slopes of its root are as large as
        can be.
        """
        index = list(signals)
        got, x64, g64 = (t[index].cpu().numpy().astype(np.float64) for t in (gradient, x, g))
        wanted = self._plan.vjp(x64, g64)
        if got.shape != wanted.shape:
            raise RuntimeError(f"the gradient is of shape {got.shape}, expected {wanted.shape}")
        error, size = (float(np.linalg.norm(array)) for array in (got - wanted, wanted))
        if error > LIMIT * size:
            step = 4 * float(torch.finfo(x.dtype).eps) * float(np.abs(x64).max())
            near = self._plan.vjp(x64 + step * np.random.default_rng(0).standard_normal(x64.shape), g64)
            error = max(error - SPREAD * float(np.linalg.norm(near - wanted)), 0.0) if np.isfinite(error) else error
        return {"gradient": error / (size or 1.0)}

    def _rounding(self, x: Tensor) -> float:
        """What rounding leaves of integrals where U is next to zero: roots and sums make much of it."""
        samples = math.prod(self._plan.spec.shape)
        error = float(torch.finfo(x.dtype).eps) * float(x.abs().max()) / math.sqrt(samples)
        return samples * float(np.sum(error**self._powers)) * math.sqrt(len(x))


def checked(
    case: Case, call: Callable[[Tensor], Tensor], reference: Reference, x: Tensor, y: Tensor
) -> dict[str, dict[str, float]]:
    """The errors of a plan on some signals of a whole batch, which it made y of, and on inputs that go wrong first."""
    few = sorted({0, min(1, case.batch - 1), case.batch // 2, case.batch - 1})
    odd = x[: case.batch - 1 if case.batch % 2 == 0 else case.batch]
    impulse = torch.zeros_like(x[:1])
    impulse[(slice(None), *(size // 3 for size in case.shape))] = 1
    zeros = torch.zeros_like(x[:1])
    return {
        "batch": reference.errors(y, x, few),
        "odd batch": reference.errors(call(odd), odd, sorted({0, len(odd) - 1})),
        "zeros": reference.errors(call(zeros), zeros, [0]),
        "impulse": reference.errors(call(impulse), impulse, [0], sparse=True),
    }


def checked_gradient(
    case: Case, call: Callable[[Tensor, Tensor], Tensor], reference: Reference, x: Tensor, g: Tensor
) -> dict[str, dict[str, float]]:
    """The errors of gradients: of a whole batch, of an odd one, and of zeros, whose gradient must be finite."""
    odd = case.batch - 1 if case.batch % 2 == 0 else case.batch
    zeros = torch.zeros_like(x[:1])
    return {
        "batch": reference.gradient_errors(call(x, g), x, g, sorted({0, case.batch - 1})),
        "odd batch": reference.gradient_errors(call(x[:odd], g[:odd]), x[:odd], g[:odd], [odd - 1]),
        "zeros": reference.gradient_errors(call(zeros, g[:1]), zeros, g[:1], [0]),
    }


def beyond(errors: dict[str, dict[str, float]]) -> list[str]:
    """What is wrong, as text; an error that is not a number is wrong, too."""
    return [
        f"{name}, {order if order == 'gradient' else f'order {order}'}: {error:.1e}"
        for name, found in errors.items()
        for order, error in found.items()
        if not error <= LIMIT
    ]
