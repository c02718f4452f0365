"""Walks a program whose branches begin at stacks: what is stacked is the trunk, what follows of one stack a branch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from scatc.codegen import Tables
from scatc.codegen.arrays.ripples import FEWEST
from scatc.codegen.functional import Emitter, FunctionalTarget
from scatc.codegen.slices import progression
from scatc.ir.nodes import Output, Stack
from scatc.ir.options import Options
from scatc.ir.schedule import Program


def rows_of(program: Program, node: Output) -> list[int]:
    """The rows of its output array that a node writes."""
    return [program.places[path][1] for path in node.paths]


class ArraysEmitter(Emitter):
    """The walk, which writes into arrays that are given, so that workers may each do some branches."""

    def __init__(self, program: Program, target: FunctionalTarget) -> None:
        super().__init__(program, target)
        self._homes: dict[str, str | None] = {}
        for name, node in self.graph:
            # the first stack above, which is the same whichever way one goes
            homes = (self._homes[x] or (x if isinstance(self.graph[x], Stack) else None) for x in node.operands)
            self._homes[name] = next((home for home in homes if home), None)

    @property
    def branches(self) -> tuple[str, ...]:
        """The first stacks; those in the finest resolution, which have most samples, are the first after order 1."""
        return tuple(dict.fromkeys(home for home in self._homes.values() if home))

    def branch(self, name: str) -> str | None:
        """The stack that a node's code follows, or None for the trunk."""
        return self._homes[name]

    def given(self, branch: str | None) -> list[str]:
        """The stack."""
        return [branch] if branch else []

    def results(self, branch: str | None) -> list[str]:
        """What the trunk hands on: stacks. (Coefficients are written, so that nobody reads them after.)"""
        return [] if branch else list(self.branches)

    def context(self, options: Options, tables: Tables, version: str) -> dict[str, Any]:
        """What the template of the module is told."""
        context = super().context(options, tables, version)
        for name, section in ((None, context["trunk"]), *zip(self.branches, context["branches"], strict=True)):
            section.stores = [self._store(out, node) for out, node in self.graph.outputs if self.branch(out) == name]
        return context | {"batch": self.program.batch, "fewest": FEWEST}

    def _store(self, name: str, node: Output) -> SimpleNamespace:
        rows = progression(rows_of(self.program, node)) or f"{name}_rows"
        return SimpleNamespace(x=node.x, group=self.program.places[node.paths[0]][0], rows=rows)
