"""Writes torch modules: the functional program as for other frameworks, and the program of its gradient."""

from __future__ import annotations

import re
from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any

from scatc.codegen import Tables
from scatc.codegen.functional import INDENT, Emitter, FunctionalTarget, templates
from scatc.codegen.functional_rules import sample_axes
from scatc.codegen.slices import shape_text
from scatc.ir.nodes import Fft, Fold, Input
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node
from scatc.ir.transposed import Cotangent, FoldT, Gradient, ModulusT, Store


class TorchEmitter(Emitter):
    """The walk over a forward program, which may store what its gradient needs."""

    def context(self, options: Options, tables: Tables, version: str) -> dict[str, Any]:
        """What the template of the module is told."""
        context = super().context(options, tables, version)
        for part in (context["trunk"], *context["branches"]):
            part.tables = used(tables, part.body)
        return context | {"stores": any(isinstance(node, Store) for _, node in self.graph)}


class GradientEmitter(Emitter):
    """The walk over the program of a gradient: one function, for nothing in it is ever computed again.

    Tables are those of the forward program.
    """

    def __init__(self, program: Program, target: FunctionalTarget, tables: Tables) -> None:
        super().__init__(program, target)
        self._tables = tables
        self.filters = self._filters()

    def module(self, options: Options, tables: Tables, version: str) -> str:
        """The source text of the program."""
        spec, body = self.spec, self._body()
        powers = spec.integral_powers if spec.average == "integral" else ()
        return (
            templates(self.target.name)
            .get_template("vjp.py.j2")
            .render(
                title=f"The gradient of {self.dim}D scattering, {len(self.program.places)} paths.",
                version=version,
                dtype=options.dtype,
                cplx="complex64" if options.dtype == "float32" else "complex128",
                digest=spec.digest,
                spec=spec,
                x_shape=shape_text("n", *spec.input_shape),
                axes=sample_axes(self.dim),
                powers=powers,
                kinds={node.kind for _, node in self.graph},
                mirrors=any(isinstance(node, Fft) and node.box for _, node in self.graph),
                roots=any(q not in (1.0, 2.0) for q in powers or ()),
                components=self.components,
                body=body,
                tables=used(tables, body),
                result=next(name for name, node in self.graph if isinstance(node, Gradient)),
                gs=[
                    SimpleNamespace(
                        name=f"g{group}",
                        shape=shape_text("n", len(paths), *shape),
                        places=name if (name := f"out{group}_places") in tables else "",
                    )
                    for group, (shape, paths) in enumerate(self.program.outputs)
                ],
            )
        )

    def place(self, node: Cotangent) -> tuple[int, int]:
        """The output array of a cotangent, and its first row there once rows lie as branches yield them."""
        group, row = self.program.places[node.paths[0]]
        places = self._tables.get(f"out{group}_places")
        return group, row if places is None else places.tolist().index(row)

    def _filters(self) -> dict[str, str]:
        """Of each fold of the forward program, the table of its filters, which is that of the first with the same."""
        alike: dict[Hashable, list[str]] = {}
        for _, node in self.graph:
            if isinstance(node, FoldT):
                phase = self.graph[self.graph[node.x].x]
                weights = phase.weights if isinstance(phase, ModulusT) else ()
                key = (weights, *(getattr(node, field) for field in Fold.__slots__))
                alike.setdefault(key, []).append(node.x.removeprefix("g"))
        return {
            name: next(table for table in (f"{first}_w" for first in names) if table in self._tables)
            for names in alike.values()
            for name in names
        }

    def _body(self) -> str:
        lines = []
        for name, node in self.graph:
            if not isinstance(node, Input):
                code = [f"# {print_node(name, node)}", *self.node(name, node).splitlines(), *self._deaths(name)]
                lines += [INDENT + line for line in code if line.strip()]
        return "\n".join(lines)


def used(tables: Tables, body: str) -> list[str]:
    """The tables that a piece of code names."""
    words = set(re.findall(r"\w+", body))
    return sorted(name for name in tables if name in words)
