"""Who takes turns on a GPU: ours eagerly and as a CUDA graph, plain torch, the incumbent's operators, and Kymatio."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from cases import Case
from gpu_checks import Reference, beyond
from peers import PEERS
from torch import Tensor

import scatc

Call = Callable[[Tensor], Tensor]
"""A transform, or the gradient of one for a fixed cotangent."""

FORWARD, BACK = PASSES = ("forward", "forward+backward")
OURS = ("eager", "graph")
"""Two ways of calling the same plan."""
WARM = 3
"""Calls before any is timed."""
MOST_PARTS = 64
"""In how many parts a batch may go through whoever has too little memory for the whole."""
FLUSHED = 256 << 20
"""Bytes that are overwritten before each timed call: more than any L2 cache holds."""


# What is called.


def on_gpus(call: Call, target: str) -> Call:
    """A call of a plan for torch, on a GPU by kernels ('triton') or by the emitted source ('torch')."""

    def run(x: Tensor) -> Tensor:
        before = os.environ.get("SCATC_GPU_TARGET")
        os.environ["SCATC_GPU_TARGET"] = target
        try:
            return call(x)
        finally:
            os.environ.pop("SCATC_GPU_TARGET")
            if before is not None:
                os.environ["SCATC_GPU_TARGET"] = before

    return run


def there_and_back(call: Call, x: Tensor, g: Tensor) -> Tensor:
    """The transform, then the gradient of ``sum(g * y)`` with respect to x, by autograd."""
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(call(z), z, g)
    return gradient


def in_parts(call: Call, g: Tensor | None, parts: int) -> Call:
    """A call of the whole batch, or of parts of it, one after the other; with a cotangent there and back."""
    if g is None:
        return call if parts == 1 else lambda x: torch.cat([call(part) for part in x.chunk(parts)])
    if parts == 1:
        return lambda x: there_and_back(call, x, g)
    return lambda x: torch.cat(
        [there_and_back(call, part, slope) for part, slope in zip(x.chunk(parts), g.chunk(parts), strict=True)]
    )


def kymatio(case: Case, device: torch.device) -> Call:
    """Kymatio's own torch frontend."""
    from kymatio import torch as frontend

    made: Call
    if case.T is not None:
        raise ValueError("its images have no global averages")
    if case.dim == 1:
        made = frontend.Scattering1D(J=case.J, shape=case.shape[0], Q=case.Q).to(device)
    elif case.dim == 2:
        made = frontend.Scattering2D(J=case.J, shape=case.shape, L=case.L).to(device)
    else:
        made = frontend.HarmonicScattering3D(J=case.J, shape=case.shape, L=case.L).to(device)
    return made


# What takes turns.


class Contestant(Protocol):
    """Something that is timed: it is given an input, then told to run."""

    def feed(self, x: Tensor) -> None:
        """Take the input of the next run."""
        ...

    def run(self) -> Tensor:
        """Do what is timed."""
        ...


class Eager:
    """Calls."""

    def __init__(self, call: Call) -> None:
        self.call, self.x = call, torch.empty(0)

    def feed(self, x: Tensor) -> None:
        self.x = x

    def run(self) -> Tensor:
        return self.call(self.x)


class Graphed:
    """One call, captured as a CUDA graph: launches then take no time on the host."""

    def __init__(self, call: Call, x: Tensor) -> None:
        self.x, self.graph = x.clone(), torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # plans of the library's transforms must be there before the capture
            for _ in range(WARM):
                call(self.x)
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(self.graph):
            self.y = call(self.x)

    def feed(self, x: Tensor) -> None:
        self.x.copy_(x)

    def run(self) -> Tensor:
        self.graph.replay()
        return self.y


class Sides:
    """All that can run and runs right, warm.

    Attributes
    ----------
    found : dict of str to Contestant
    errors : dict of str to dict
        Theirs, against float64.
    absent : dict of str to str
        Why the others are missing.
    parts : dict of str to int
        In how many parts the batch goes through those that have too little memory for the whole.
    """

    def __init__(self, case: Case, plan: Any, reference: Reference, inputs: Sequence[Tensor], g: Tensor | None) -> None:
        self.found: dict[str, Contestant] = {}
        self.errors: dict[str, dict[str, float]] = {}
        self.absent: dict[str, str] = {}
        self.parts: dict[str, int] = {}
        spec, x = plan.spec, inputs[0]
        for_torch = scatc.compile(spec, target="torch", cache=False)

        def ours(parts: int) -> Call:
            return in_parts(plan, g, parts) if g is None else on_gpus(in_parts(for_torch, g, parts), "triton")

        makers: dict[str, Callable[[int], Contestant]] = {
            "eager": lambda parts: Eager(ours(parts)),
            "graph": lambda parts: Graphed(ours(parts), x),
            "torch": lambda parts: Eager(on_gpus(in_parts(for_torch, g, parts), "torch")),
            "peer": lambda parts: Eager(in_parts(PEERS[case.dim](spec, x.device), g, parts)),
            "kymatio": lambda parts: Eager(in_parts(kymatio(case, x.device), g, parts)),
        }
        for name, make in makers.items():
            try:
                one = self._warm(name, make, inputs)
                if name != "kymatio":  # some of its versions scale coefficients otherwise
                    self._check(name, one.run(), reference, inputs[-1], g)
                self.found[name] = one
            except Exception as error:  # one that cannot run must not cost the others' figures
                self.absent[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            torch.cuda.empty_cache()

    def _warm(self, name: str, make: Callable[[int], Contestant], inputs: Sequence[Tensor]) -> Contestant:
        """A contestant after some calls, with the last input, in as few parts as there is memory for."""
        parts = 1
        while True:
            try:
                one = make(parts)
                for n in range(WARM):
                    one.feed(inputs[n % len(inputs)])
                    one.run()
                one.feed(inputs[-1])
                torch.cuda.synchronize()
            except torch.OutOfMemoryError:
                if 2 * parts > min(MOST_PARTS, len(inputs[0])):
                    raise
            else:
                self.parts[name] = parts
                return one
            parts *= 2
            torch.cuda.empty_cache()

    def _check(self, name: str, found: Tensor, reference: Reference, x: Tensor, g: Tensor | None) -> None:
        few = [0, len(x) - 1]
        wanted = reference.errors(found, x, few) if g is None else reference.gradient_errors(found, x, g, few)
        self.errors[name] = wanted
        if wrong := beyond({name: wanted}):
            raise RuntimeError(f"its result is wrong: {'; '.join(wrong)}")


def timed(sides: dict[str, Contestant], inputs: Sequence[Tensor], rounds: int) -> dict[str, list[float]]:
    """Seconds on the device, from the start of one call on an idle device to its end; everyone in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cache = torch.empty(FLUSHED, dtype=torch.uint8, device=inputs[0].device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for n in range(rounds):
        for name, side in sides.items():
            side.feed(inputs[n % len(inputs)])
            cache.zero_()
            torch.cuda.synchronize()
            start.record()
            side.run()
            end.record()
            end.synchronize()
            seconds[name].append(start.elapsed_time(end) / 1e3)
    return seconds


def peaks(sides: dict[str, Contestant], x: Tensor) -> dict[str, int]:
    """Bytes that a call takes at most, its result included; a graph's are taken when it is captured."""
    found = {}
    for name, side in sides.items():
        if isinstance(side, Graphed):
            continue
        side.feed(x)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        side.run()
        torch.cuda.synchronize()
        found[name] = torch.cuda.max_memory_allocated() - before
    return found
