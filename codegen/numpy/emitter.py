"""Walks a program and writes the numpy source of one worker's run.

Control flow (loops over siblings, over components, `del` where a value dies) is here; what a node's code looks like is
in `templates/nodes.py.j2`, and what that needs to know of a node in `rules.py`. Arrays are `(rows, *samples)`, a row
being a signal and a path.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from types import SimpleNamespace
from typing import Any

import jinja2

from scatc.codegen import Tables
from scatc.codegen.numpy.rules import RULES
from scatc.codegen.slices import shape_text
from scatc.ir.cost import graph_costs
from scatc.ir.nodes import Fold, Input, Node
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node

INDENT = "    "


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader("scatc.codegen.numpy", "templates")
    return jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)


def emit(program: Program, options: Options, tables: Tables, version: str) -> str:
    """The source of a program.

    Parameters
    ----------
    program : Program
    options : Options
    tables : dict of str to array
        What the source will be bound to (their names and shapes are listed in its header).
    version : str
        The package's version, for the header.
    """
    spec = program.graph.spec
    outs = [f"out{g}" for g in range(len(program.outputs))]
    emitter = Emitter(program, options)
    sections = emitter.sections()
    costs = _branch_costs(program, options)
    return (
        _templates()
        .get_template("module.py.j2")
        .render(
            title=f"{spec.dim}D scattering, {len(program.places)} paths.",
            version=version,
            dtype=options.dtype,
            cplx="complex64" if options.dtype == "float32" else "complex128",
            digest=spec.digest,
            spec=spec,
            batch=program.batch,
            arena=program.arena,
            tables=[f"{name:<24} {t.dtype} {t.shape}" for name, t in sorted(tables.items())],
            x_shape=shape_text("n", *spec.input_shape),
            out_shapes=[shape_text("n", len(paths), *shape) for shape, paths in program.outputs],
            outs=", ".join(outs) + ("," if len(outs) == 1 else ""),
            trunk="\n".join(sections[None]),
            spectrum=program.graph[program.branches[0]].x if program.branches else "None",
            gathers=emitter.gathers,
            branches=[
                SimpleNamespace(
                    name=name,
                    body="\n".join(sections[name]),
                    count=emitter.filters(name),
                    chunk=program.chunks[name],
                )
                for name in sorted(program.branches, key=lambda name: -costs[name])
            ],
        )
    )


def _branch_costs(program: Program, options: Options) -> dict[str | None, float]:
    """Predicted seconds of each branch: workers that share a small batch begin with the longest."""
    totals: dict[str | None, float] = {}
    for name, cost in graph_costs(program.graph, options.machine, options.itemsize).items():
        branch = program.branch(name)
        totals[branch] = totals.get(branch, 0.0) + cost.seconds
    return totals


class Emitter:
    """The walk over one program; `rules.py` asks it for names, rows and places."""

    def __init__(self, program: Program, options: Options) -> None:
        self.program, self.options = program, options
        self.graph, self.values, self.spec = program.graph, program.values, program.graph.spec
        self.macros: Any = _templates().get_template("nodes.py.j2").module
        self._sections: dict[str | None, list[str]] = {None: []}
        self.lines: list[str] = []
        self.depth = 1
        self.gathers = False
        axes = tuple(range(-self.spec.dim, 0))
        self.suffix = {1: "", 2: "2", 3: "n"}[self.spec.dim]
        self.axes = f", axes={axes}" if self.spec.dim == 3 else ""
        self.last_axes = axes if len(axes) > 1 else -1
        # Folds with several components are written with their inverse FFT and modulus, as one loop over components.
        self.componentwise = {n for n, v in self.values.items() if v.components > 1 and isinstance(self.graph[n], Fold)}
        inverses = {user for fold in self.componentwise for user in self.graph.users[fold]}
        self._written_with_fold = inverses | {user for inverse in inverses for user in self.graph.users[inverse]}

    def sections(self) -> dict[str | None, list[str]]:
        """The lines of the trunk (key None) and of each branch."""
        for name, node in self.graph:
            if isinstance(node, Input) or name in self._written_with_fold:
                continue
            branch = self.program.branch(name)
            self.lines = self._sections.setdefault(branch, [])
            opens = isinstance(node, Fold) and self.program.split(name) and name != branch
            self.depth = self._depth(name) - opens
            self.write(f"# {print_node(name, node)}")
            if isinstance(node, Fold) and self.program.split(name):
                self._open(name, node)
            if isinstance(node, Fold) and name in self.componentwise:
                self._components(name, node)
            else:
                self.node(name, node)
            for value in reversed(self.program.deaths.get(name, ())):  # deepest loop first
                if self.program.branch(value) == branch:
                    self.depth = self._depth(value)
                    self.write(f"del {value}")
        return self._sections

    def _depth(self, name: str) -> int:
        """Indentation of the code behind a node: a branch's own chunks are its caller's loop."""
        around = self.program.around[name]
        return 1 + sum(self.program.split(fold) for fold in around if fold not in self.program.branches)

    def write(self, text: str) -> None:
        """Append lines at the current depth."""
        self.lines += [f"{INDENT * self.depth}{line}" for line in text.splitlines() if line.strip()]

    def node(self, name: str, node: Node) -> None:
        """The code of one node."""
        x = self.values[node.x]
        context = RULES[type(node)](self, name, node, x, self.values[name])
        macro = "fold_half" if isinstance(node, Fold) and node.half else node.kind
        self.write(getattr(self.macros, macro)(SimpleNamespace(name=name, x=node.x, **context)))

    def rows(self, name: str) -> str:
        """The number of rows of a value, as text."""
        folds = self.program.around[name]
        split = [f for f in folds if self.program.split(f)]
        whole = 1
        for f in folds[folds.index(split[-1]) + 1 if split else 0 :]:
            whole *= self.filters(f)
        factor = f"n{len(split)}" if split else "n"
        return factor if whole == 1 else f"{whole} * {factor}"

    def offset(self, name: str, extra: int = 0) -> int:
        """Where a value lives in the arena, `extra` bytes a signal further on."""
        return (self.program.offsets[name] + extra) * self.program.batch

    def filters(self, fold: str) -> int:
        """The number of filters of a fold."""
        node = self.graph[fold]
        assert isinstance(node, Fold)
        return len(node.indices)

    def chunk(self, fold: str) -> str:
        """The variable that holds the slice of filters of a split fold."""
        split = [f for f in self.program.around[fold] if self.program.split(f)]
        return f"f{len(split)}"

    def _open(self, name: str, node: Fold) -> None:
        """Begin the loop over chunks of a fold's filters; a branch's caller has it."""
        count, chunk, var = len(node.indices), self.program.chunks[name], self.chunk(name)
        if name not in self.program.branches:
            self.write(f"for {var} in {_chunks(count, chunk)}:")
            self.depth += 1
        self.write(f"n{var[1:]} = {self.rows(node.x)} * ({var}.stop - {var}.start)")

    def _components(self, name: str, node: Fold) -> None:
        """A fold with several components, its inverse FFT and the norm over components, one component at a time."""
        inverse = self.graph.users[name][0]
        modulus = self.graph.users[inverse][0]
        value = self.values[modulus]
        shape = shape_text(self.rows(modulus), *value.shape)
        size = self.program.rows[modulus] * prod(value.shape) * self.options.itemsize
        self.write(f"# {print_node(inverse, self.graph[inverse])}\n# {print_node(modulus, self.graph[modulus])}")
        self.write(f"{modulus} = np.ndarray({shape}, real, arena, {self.offset(modulus)})")
        self.write(f"square = np.ndarray({shape}, real, arena, {self.offset(modulus, size)})")
        self.write(f"{modulus}[...] = 0")
        self.write(f"for m in range({self.values[name].components}):")
        self.depth += 1
        self.node(name, node)
        self.node(inverse, self.graph[inverse])
        self.write(self.macros.square(SimpleNamespace(name=modulus, x=inverse)))
        self.depth -= 1
        self.write(f"np.sqrt({modulus}, out={modulus})")


def _chunks(count: int, chunk: int) -> str:
    slices = [f"slice({a}, {min(a + chunk, count)})" for a in range(0, count, chunk)]
    if len(slices) <= 4:
        return f"({', '.join(slices)})"
    return f"[slice(a, min(a + {chunk}, {count})) for a in range(0, {count}, {chunk})]"
