"""Count the bytes that the incumbent's operators read and write, without a GPU: on arrays that have no memory.

    python benchmarks/peer_traffic.py             # the cases of gpu.py; a few minutes, most of them for filters
    python benchmarks/peer_traffic.py --cases 3d

Each operator reads its inputs and writes its outputs once; a transform does so once for each axis, and once more to
scale its result, which torch does in a pass of its own. From bytes follows the least time that a GPU can take for them,
one operator after the other: what is printed, in milliseconds.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from gpu import CASES, PEERS, spec_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from scatc.codegen.triton.cost import DEVICES

FREE = ("view", "as_real", "as_complex", "expand", "slice", "select", "alias", "detach", "squeeze", "empty", "reshape")
"""Operators that touch no memory."""


class Count(TorchDispatchMode):
    """Adds up what every operator within moves."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.operators = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.name()
        if not any(free in name for free in FREE):
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            if name.startswith("aten::copy_"):
                tensors = tensors[1:]  # the target is written, not read
            passes = 1
            if "fft" in name:  # one for each axis, and one that scales the result, if it is scaled
                passes = len(args[1]) + (args[2] != 0)
            self.bytes += passes * sum(t.numel() * t.element_size() for t in tensors)
            self.operators += 1
        return out


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    made.add_argument("--cases", nargs="+", default=[""], metavar="TEXT", help="only those whose names hold a text")
    options = made.parse_args()
    print(f"{'case':<18}{'batch':>6}{'operators':>10}{'GB moved':>10}", *(f"{name:>8}" for name in DEVICES), sep="")
    for case in CASES:
        if case.dim not in PEERS or not any(text in case.name for text in options.cases):
            continue
        peer: Any = PEERS[case.dim](spec_of(case), torch.device("cpu"))
        for name, value in vars(peer).items():
            setattr(peer, name, tree_map_only(Tensor, lambda t: t.to("meta"), value))
        with Count() as count, torch.no_grad():
            peer(torch.empty((case.batch, *case.shape), device="meta"))
        times = (f"{1e3 * count.bytes / device.bandwidth:>8.1f}" for device in DEVICES.values())
        print(f"{case.name:<18}{case.batch:>6}{count.operators:>10}{count.bytes / 1e9:>10.1f}", *times, sep="")


if __name__ == "__main__":
    main()
