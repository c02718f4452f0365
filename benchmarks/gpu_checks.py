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


def beyond(errors: dict[str, dict[str, float]]) -> list[str]:
    """What is wrong, as text; an error that is not a number is wrong, too."""
    return [
        f"{name}, order {order}: {error:.1e}"
        for name, found in errors.items()
        for order, error in found.items()
        if not error <= LIMIT
    ]
