"""The incumbent's sequences of operators by dimension, and what they read and write: counted without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peer_images import IncumbentImages
from peer_lines import Incumbent
from peer_volumes import Incumbent3D
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import scatc

PEERS: dict[int, Callable[[scatc.Spec, torch.device], Callable[[Tensor], Tensor]]] = {
    1: Incumbent,
    2: IncumbentImages,
    3: Incumbent3D,
}
"""By the dimension of the transform."""

FREE = ("view", "as_real", "as_complex", "expand", "slice", "select", "alias", "detach", "squeeze", "empty", "reshape")
"""Operators that touch no memory."""

SHARED_TRANSFORM = 1 << 14
"""Longest transform of lines that takes one pass."""


class _Traffic(TorchDispatchMode):
    """Notes what every operator within moves."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.name()
        if not any(free in name for free in FREE):
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            if name.startswith("aten::copy_"):
                tensors = tensors[1:]  # the target is written, not read
            passes = 1
            if "fft" in name:
                passes = max(len(args[1]), 1 + (args[0].shape[-1] > SHARED_TRANSFORM))
            self.moved.append(passes * sum(t.numel() * t.element_size() for t in tensors))
        return out


def traffic(spec: scatc.Spec, batch: int, *, back: bool = False) -> list[int]:
    """Bytes that each operator of a call reads and writes, in order, from a call on arrays that have no memory.

    With `back`, also those of the gradient of the sum of all coefficients, each times a number, as autograd has it.

    To the incumbent's favour: a transform passes once over memory for each axis (twice if it is long), and needs no
    pass of its own for its norm.

    Raises
    ------
    ValueError
        If the incumbent does not do this by default.
    """
    peer: Any = PEERS[spec.dim](spec, torch.device("cpu"))
    for name, value in vars(peer).items():
        setattr(peer, name, tree_map_only(Tensor, lambda t: t.to("meta"), value))
    x = torch.empty((batch, *spec.shape), device="meta", requires_grad=back)
    with _Traffic() as count:
        y = peer(x)
        if back:
            torch.autograd.grad(y, x, torch.empty(y.shape, device="meta"))
    return count.moved
