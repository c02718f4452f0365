"""What all GPU programs share: a module of kernels, and functions of tensors that launch them.

A subclass for each dimension (`lines/walk.py`, ...) walks the tree of signals and says what is launched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from scatc.codegen import Tables
from scatc.codegen.code import INDENT
from scatc.codegen.signals import Result, Signal, signals
from scatc.codegen.slices import shape_text
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import USUAL, Work, static_work
from scatc.codegen.triton.kernels import ARGUMENTS, POINTERS, Written, templates
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import wavelet
from scatc.codegen.triton.tuned import Elementwise, Gathered, Product, Taken, Tunable, Tuned, Warps
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node

BLOCK = 512
"""Samples of a program of an element-wise kernel.

Only the first axis of a grid may be longer than 65535: it is that of whatever has no bound.
"""

LEVEL_BLOCK = 4096
"""Samples at a time of what finds the size of a signal: few programs, hence many for each, and many warps."""

MOST_LIVE = 1 << 32
"""Bytes of buffers of one call, whatever the batch."""


class Emitter:
    """The walk over one program.

    Attributes
    ----------
    source : str
        The module.
    tables : dict of str to array
        What kernels read, by name.
    steps : list of Launch or Transform
        What is done, in the order in which it is written.
    shapes : dict of str to Shape
        The kernels of lines in registers, by name.
    taken : Taken
        Takes what was tuned in place of shapes.
    root : Signal
    """

    title: ClassVar[str]
    template: ClassVar[str]
    """Of the module."""
    arguments: ClassVar[Mapping[str, Sequence[str]]] = ARGUMENTS
    """Those of the kernels of `templates/kernels/` that may be launched."""

    def __init__(
        self, program: Program, options: Options, tensor_cores: bool, version: str = "", tuned: Tuned | None = None
    ) -> None:
        self.program, self.options, self.tensor_cores = program, options, tensor_cores
        self.taken = Taken(tuned)
        self.version = version
        self.graph, self.spec = program.graph, program.graph.spec
        self.root = signals(program)
        self.tables: Tables = {}
        self.steps: list[Launch | Transform] = []
        self.shapes: dict[str, wavelet.Shape] = {}
        self._used: set[str] = set()
        self.lines: list[str] = []
        self.prepare()
        self._trunk, self._branches, self._end = self._walk()
        for table in self.tables.values():
            table.flags.writeable = False

    # What each dimension says.

    def prepare(self) -> None:
        """Make what the walk gathers, besides."""

    def trunk(self) -> str:
        """The statements that lead to the input's spectrum, and to the coefficients of order 0."""
        raise NotImplementedError

    def branch(self, signal: Signal) -> None:
        """Write all that is launched for a signal and what is below it."""
        raise NotImplementedError

    def end(self) -> str:
        """The statements behind the branches."""
        return ""

    def generated(self) -> Iterable[Written]:
        """The kernels that were written for their sizes."""
        return ()

    def before(self) -> Sequence[Work]:
        """What a call does before the first step."""
        return ()

    def passed(self) -> str:
        """What the trunk hands to branches, as a list of names."""
        return self.spectrum(self.root)

    def explain(self) -> str:
        """What was chosen, and what the alternatives would have cost; a table as text."""
        return ""

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one signal."""
        return static_work(step)

    def transforms(self, signal: Signal) -> float:
        """How many complex transforms lead to a signal, for each of the batch."""
        return float(signal.paths)

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one signal of the batch."""
        raise NotImplementedError

    # The module.

    def _walk(self) -> tuple[str, list[tuple[str, str]], str]:
        """The statements of the trunk, of each branch, by the name of its fold, and behind them."""
        trunk, branches = self.trunk(), []
        for child in self.root.children:
            self.lines = []
            self.branch(child)
            branches.append((child.nodes[0], "\n".join(self.lines)))
        return trunk, branches, self.end()

    @cached_property
    def source(self) -> str:
        """The module, written when it is first asked for."""
        return (
            templates()
            .get_template(self.template)
            .render(
                title=f"{self.title}, {len(self.program.places)} paths.",
                version=self.version,
                digest=self.spec.digest,
                spec=self.spec,
                x_shape=shape_text("n", *self.spec.input_shape),
                tensor_cores=self.tensor_cores,
                static=[name for name in self.arguments if name in self._used],
                generated=list(self.generated()),
                tables=[f"{name:<24} {t.dtype} {t.shape}" for name, t in sorted(self.tables.items())],
                outs=[shape_text("n", len(paths), *shape) for shape, paths in self.program.outputs],
                trunk=self._trunk,
                end=self._end,
                spectrum=self.passed(),
                branches=self._branches,
                chunk=self.chunk,
            )
        )

    def tunable(self) -> dict[Tunable, int]:
        """The shapes that can be tuned, as chosen without a device, and which launch of each is the largest."""
        found: dict[Tunable, int] = {}
        launches = [step for step in self.steps if isinstance(step, Launch)]
        for i, launch in enumerate(launches):
            if launch.shape is not None:
                usual = self.taken.usual[launch.shape]
                if usual not in found or launches[found[usual]].paths < launch.paths:
                    found[usual] = i
        return found

    def works(self) -> list[Work]:
        """What a call does for one signal, step by step."""
        found = [*self.before()]
        for step in self.steps:
            one = self.work(step)
            found.append(replace(one, warps=step.all_warps) if isinstance(step, Launch) else one)
        return found

    @property
    def chunk(self) -> int:
        """Signals that run at a time: as many as are quickest, few for the cache's sake, many for the launches'."""
        works, live = self.works(), self.live_bytes
        sizes = [1 << bits for bits in range(1, 17) if bits == 1 or live << bits <= MOST_LIVE]
        return min(sizes, key=lambda n: sum(w.seconds(USUAL, n, n * live) for w in works) / n)

    def spectrum(self, signal: Signal) -> str:
        """The variable of a signal's spectrum."""
        return signal.spectrum or f"X_of_{signal.name}"

    # Lines and tables.

    def write(self, *lines: str) -> None:
        """Append statements."""
        self.lines += [INDENT + line for line in lines]

    def note(self, *names: str) -> None:
        """Append the nodes of these names as comments."""
        self.write(*(f"# {print_node(name, self.graph[name])}" for name in names if name))

    def static_launch(
        self,
        kernel: str,
        paths: int,
        grid: tuple[str, ...],
        arguments: list[str],
        constants: dict[str, Any],
        shape: Elementwise | Product | Gathered | Warps | None = None,
    ) -> None:
        """Launch a kernel of `templates/kernels/`."""
        types = {name: POINTERS.get(name, "i32") for name in self.arguments[kernel]}
        self._used.add(kernel)
        warps = shape.warps if shape else 4
        self.launch(Launch(kernel, types, grid, arguments, constants, warps, paths, shape))

    def elementwise(self, kernel: str, numbers: int, block: int = BLOCK) -> Elementwise:
        """How an element-wise kernel is cut up that has rows of so many numbers."""
        block = min(block, power(numbers))
        return self.taken(Elementwise(kernel, numbers, block, 8 if block >= LEVEL_BLOCK else 4))

    def find_levels(self) -> None:
        """Launch what finds the mean and the size of each signal."""
        samples = prod(self.spec.input_shape)
        shape = self.elementwise("levels", samples, LEVEL_BLOCK)
        sizes = {"SAMPLES": samples, "BLOCK": shape.block}
        self.static_launch("levels", 1, ("n",), ["x", "mean", "scale"], sizes, shape)

    def launch(self, launch: Launch) -> None:
        """Append a launch."""
        self.steps.append(launch)
        self.write(*launch.lines())

    def table(self, name: str, table: np.ndarray[Any, Any]) -> None:
        """Enter a table; the same may be entered again."""
        known = self.tables.setdefault(name, np.ascontiguousarray(table))
        assert np.array_equal(known, table), f"two tables are called {name}"

    def named(self, *names: str) -> list[str]:
        """Tables as arguments."""
        return [f't["{name}"]' for name in names]

    def split(self, name: str, a: np.ndarray[Any, Any]) -> list[str]:
        """A matrix in two parts, as tables."""
        high, low = tables.split(a)
        self.table(f"{name}_high", high)
        self.table(f"{name}_low", low)
        return self.named(f"{name}_high", f"{name}_low")

    def rows(self, name: str, result: Result) -> str:
        """The table of the output rows of a result's paths."""
        rows = np.array([self.program.places[path][1] for path in result.paths], np.int32)
        self.table(f"{name}_{result.kind}_row", rows)
        return self.named(f"{name}_{result.kind}_row")[0]


def power(n: int) -> int:
    """The next power of two."""
    return 1 << max(n - 1, 0).bit_length()
