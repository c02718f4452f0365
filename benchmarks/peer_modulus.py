"""The modulus of the incumbent's sequences for lines and images, with the derivative 0 where it is 0, as theirs has.

Written from what that does, not from its code: an operator of its own to autograd, which keeps the numbers and their
moduli.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Modulus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        re, im = z[..., 0], z[..., 1]
        u = (re * re + im * im).sqrt()
        ctx.save_for_backward(z, u)
        return u

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        z, u = ctx.saved_tensors
        return (z * (g / u)[..., None]).masked_fill_((u == 0)[..., None], 0)


def modulus(z: Tensor) -> Tensor:
    """Of complex numbers, which are pairs along the last axis."""
    u: Tensor = _Modulus.apply(z)  # type: ignore[no-untyped-call]
    return u
