"""Walks a program and writes pure functions of tensors: a trunk, one function for each branch, and `run`.

Torch, TensorFlow and JAX share this: the whole batch at once, nothing written in place, memory and threads left to the
framework. Control flow is here; what a node's code looks like is in the `templates/nodes.py.j2` of each target, what
that needs to know of a node in `functional_rules.py`, the arrays it is bound to in `functional_tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, ClassVar

import jinja2

from scatc.codegen import Tables, table_lines
from scatc.codegen.functional_rules import RULES, Rule, sample_axes
from scatc.codegen.functional_tables import (
    filter_tables,
    has_components,
    make_tables,
    output_parts,
    output_rows,
    ripple_tables,
)
from scatc.codegen.slices import shape_text
from scatc.ir.cost import Machine
from scatc.ir.nodes import Average, Fft, Input, Node, Output
from scatc.ir.options import Options
from scatc.ir.schedule import Footprint, Program
from scatc.ir.text import print_node
from scatc.ir.values import Value

INDENT = "    "
WIDTH = 120


class NoArena:
    """The memory model of code whose framework allocates: nothing is ours, so nothing is cut into chunks."""

    def footprint(self, node: Node, x: Value, y: Value) -> Footprint:
        """No bytes."""
        return Footprint()


class FunctionalTarget:
    """See `scatc.codegen.Target`; a target names itself and describes its machine, its templates lie in its folder.

    Attributes
    ----------
    constants : Machine
        What the cost model assumes.
    frees : bool
        Whether values are deleted after their last use: without a compiler, the framework holds what a name holds.
    compact : bool
        Whether matrices of phi are made from vectors when they are used: tables are then small in what is exported.
    rules : Mapping
        What templates need to know of each node kind.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]]
    constants: ClassVar[Machine]
    frees: ClassVar[bool] = False
    compact: ClassVar[bool] = False
    scheduled = False
    builds: tuple[str, ...] = ()
    saves: ClassVar[tuple[str, ...]] = ("inputs",)
    rules: ClassVar[Mapping[type[Node], Rule]] = RULES

    @property
    def runtime(self) -> str:
        """The module of plans has the target's name."""
        return self.name

    def machine(self, fft: str) -> Machine:
        """The constants of the cost model; the framework has FFTs of its own."""
        return self.constants

    def memory(self, options: Options, *, vector: bool = False) -> NoArena:
        """What emitted code allocates by itself: nothing."""
        return NoArena()

    def tables(self, program: Program, options: Options, known: Tables | None = None) -> Tables:
        """The filters, matrices and indices that emitted code needs."""
        return make_tables(program, options, self.compact)

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        return Emitter(program, self).module(options, tables, version)


@lru_cache(maxsize=8)
def templates(target: str) -> jinja2.Environment:
    """The templates of a target."""
    loader = jinja2.PackageLoader(f"scatc.codegen.{target}", "templates")
    return jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)


class Emitter:
    """The walk over one program; rules ask it for names and types.

    Attributes
    ----------
    components : bool
        Whether arrays between fold and modulus have an axis of components.
    filters, ripples : dict
        Of each fold, the name of its filters' table; of each ripple, those of its matrices.
    """

    def __init__(self, program: Program, target: FunctionalTarget) -> None:
        self.program, self.target = program, target
        self.graph, self.values, self.spec = program.graph, program.values, program.graph.spec
        self.dim = self.spec.dim
        self.components = has_components(program)
        self.macros: Any = templates(target.name).get_template("nodes.py.j2").module
        self.filters, self.ripples = filter_tables(program), ripple_tables(program)
        self._parts = output_parts(program)

    def module(self, options: Options, tables: Tables, version: str) -> str:
        """The source text of the program."""
        template = templates(self.target.name).get_template("module.py.j2")
        _, head, code = template.render(**self.context(options, tables, version)).split('"""', 2)
        return f'"""{head}"""' + "\n".join(map(_broken, code.split("\n")))

    def context(self, options: Options, tables: Tables, version: str) -> dict[str, Any]:
        """What the template of the module is told."""
        spec, sections = self.spec, self.sections()
        return {
            "title": f"{spec.family} scattering, {len(self.program.places)} paths.",
            "version": version,
            "dtype": options.dtype,
            "cplx": "complex64" if options.dtype == "float32" else "complex128",
            "digest": spec.digest,
            "spec": spec,
            "tables": table_lines(tables),
            "dim": self.dim,
            "axes": sample_axes(self.dim),
            "x_shape": shape_text("n", *spec.input_shape),
            "powers": spec.integral_powers if spec.average == "integral" else (),
            "kinds": {node.kind for _, node in self.graph},
            "mirrors": any(isinstance(node, Fft) and node.box for _, node in self.graph),
            "roots": self._roots(),
            "components": self.components,
            "trunk": SimpleNamespace(body=sections[None], results=self.results(None)),
            "branches": [
                SimpleNamespace(name=name, x=self.graph[name].x, body=sections[name], results=self.results(name))
                for name in self.branches
            ],
            "outs": self._outs(),
        }

    @property
    def branches(self) -> tuple[str, ...]:
        """The nodes at which functions of their own begin."""
        return self.program.branches

    def branch(self, name: str) -> str | None:
        """The branch that a node's code is in, or None for the trunk."""
        return self.program.branch(name)

    def sections(self) -> dict[str | None, str]:
        """The code of the trunk (key None) and of each branch."""
        lines: dict[str | None, list[str]] = {None: [], **{branch: [] for branch in self.branches}}
        for name, node in self.graph:
            if isinstance(node, Input | Output):
                continue
            branch = self.branch(name)
            code = [f"# {print_node(name, node)}", *self.node(name, node).splitlines(), *self._deaths(name)]
            lines[branch] += [INDENT + line for line in code if line.strip()]
        return {branch: "\n".join(found) for branch, found in lines.items()}

    def node(self, name: str, node: Node) -> str:
        """The code of one node."""
        context = self.target.rules[type(node)](self, name, node, self.values[node.x], self.values[name])
        macro = getattr(self.macros, node.kind)
        return str(macro(SimpleNamespace(name=name, x=node.x, dim=self.dim, **context)))

    def results(self, branch: str | None) -> list[str]:
        """What the function of a branch, or of the trunk, returns: coefficients; of the trunk, then the spectrum."""
        found = [node.x for name, node in self.graph.outputs if self.branch(name) == branch]
        if branch is None and self.branches:
            found.append(self.graph[self.branches[0]].x)
        return found

    def given(self, branch: str | None) -> list[str]:
        """The values that the function of a branch is given."""
        return [self.graph[branch].x] if branch else []

    def _outs(self) -> list[SimpleNamespace]:
        """The output arrays: the coefficients they are joined of, and the table that puts rows in order, if any."""
        return [
            SimpleNamespace(
                name=f"out{group}",
                parts=[self.graph[name].x for name in parts],
                rows="" if rows is None else f"out{group}_rows",
                shape=shape_text("n", len(paths), *shape),
            )
            for group, ((shape, paths), parts, rows) in enumerate(
                zip(self.program.outputs, self._parts, output_rows(self.program), strict=True)
            )
        ]

    def _deaths(self, name: str) -> list[str]:
        """Delete what a node was the last to read in its function, the function's argument excepted."""
        if not self.target.frees:
            return []
        branch, order = self.branch(name), list(self.graph.nodes)
        kept = {*self.results(branch), *self.given(branch), ""}
        dead = []
        for value in dict.fromkeys(self.graph[name].operands):
            readers = [user for user in self.graph.users[value] if not isinstance(self.graph[user], Output)]
            if value not in kept and not isinstance(self.graph[value], Input) and max(readers, key=order.index) == name:
                dead.append(value)
        return [f"del {', '.join(dead)}"] if dead else []

    def _roots(self) -> bool:
        """Whether there are integrals of powers whose derivatives are not finite at 0."""
        powers = {q for _, node in self.graph if isinstance(node, Average) for q in node.powers}
        return any(q not in (1.0, 2.0) for q in powers)


def _broken(line: str) -> str:
    """A line of code, broken behind commas if it is too long."""
    if len(line) <= WIDTH or line.lstrip().startswith("#"):
        return line
    indent = line[: len(line) - len(line.lstrip())] + INDENT
    first, *words = line.split(", ")
    rows, depth = [first], _opened(first)
    for word in words:
        end = "," if depth else ", \\"
        if len(rows[-1]) + len(word) + 2 + len(end) <= WIDTH:
            rows[-1] += f", {word}"
        else:
            rows[-1] += end
            rows.append(indent + word)
        depth += _opened(word)
    return "\n".join(rows)


def _opened(code: str) -> int:
    """How many more brackets a piece of code opens than it closes."""
    return sum((c in "([{") - (c in ")]}") for c in code)
