"""Walks a program and writes the numpy source of one worker's run.

Control flow (loops over siblings, over components, `del` where a value dies) is here; what a node's code looks like is
in `templates/nodes.py.j2`, and what that needs to know of a node in `rules.py`. Arrays are `(rows, *samples)`, a row
being a signal and a path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from types import SimpleNamespace
from typing import Any

import jinja2

from scatc.codegen import Tables, table_lines
from scatc.codegen.numpy import rules, transposed
from scatc.codegen.slices import chunks, shape_text
from scatc.ir.cost import graph_costs
from scatc.ir.nodes import Fft, Fold, Input, Node
from scatc.ir.options import Options
from scatc.ir.schedule import Program, filters
from scatc.ir.spec import Spec
from scatc.ir.text import print_node
from scatc.ir.transposed import TRANSPOSED_KINDS, Blank, FoldT, Gradient

RULES = rules.RULES | transposed.RULES

INDENT = "    "
REST = "rest"
"""The section behind the branches; no node is called so."""

HEADROOM = {"float32": 30, "float64": 300}
"""Decimal exponent of a number that leaves room for sums and for large cotangents below the largest there is."""


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader("scatc.codegen.numpy", "templates")
    return jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)


@lru_cache(maxsize=2)
def _macros(file: str) -> dict[str, Callable[..., str]]:
    """The macros of a file of templates, by node kind."""
    return vars(_templates().get_template(file).module)


def emit(program: Program, options: Options, tables: Tables, version: str) -> str:
    """The source of a program, forward or of a gradient.

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
    emitter = Emitter(program, options)
    sections = emitter.sections()
    costs = _branch_costs(program, options)
    common: dict[str, Any] = {
        "version": version,
        "dtype": options.dtype,
        "cplx": "complex64" if options.dtype == "float32" else "complex128",
        "digest": spec.digest,
        "spec": spec,
        "batch": program.batch,
        "arena": program.arena,
        "tables": table_lines(tables),
        "x_shape": shape_text("n", *spec.input_shape),
        "trunk": "\n".join(sections[None]),
        "gathers": emitter.gathers,
        "branches": [
            SimpleNamespace(
                name=name,
                body="\n".join(sections[name]),
                count=emitter.filters(name),
                chunk=program.chunks[name],
            )
            for name in sorted(program.branches, key=lambda name: -costs[name])
        ],
    }
    shapes = [shape_text("n", len(paths), *shape) for shape, paths in program.outputs]
    slots = [shape_text("n", *slot) for slot in program.slots]
    if emitter.backwards:
        return _emit_vjp(emitter, common, shapes, slots, sections[REST])
    outs = [f"out{g}: {shape}" for g, shape in enumerate(shapes)] + _slot_lines(slots)
    spectrum = next((node.x for name in program.branches for node in [program.graph[name]]), "None")
    title = f"{spec.dim}D scattering, {len(program.places)} paths."
    template = _templates().get_template("module.py.j2")
    return template.render(title=title, out_lines=outs, outs=_names(outs), spectrum=spectrum, **common)


def _emit_vjp(emitter: Emitter, common: dict[str, Any], shapes: list[str], slots: list[str], rest: list[str]) -> str:
    program = emitter.program
    gs = [f"g{g}: {shape}" for g, shape in enumerate(shapes)] + _slot_lines(slots)
    blanks = [name for name, node in program.graph if isinstance(node, Blank) and program.branch(name) is None]
    spectra = [name for name, node in program.graph if isinstance(node, Fft) and program.branch(name) is None]
    title = f"The gradient of {emitter.spec.dim}D scattering, {len(program.places)} paths."
    return (
        _templates()
        .get_template("vjp.py.j2")
        .render(
            title=title,
            gs_lines=gs,
            gs=_names(gs),
            spectrum=spectra[0] if program.branches and spectra else "None",
            total=blanks[0] if program.branches else "None",
            rest="\n".join(rest),
            floor=floor(emitter.spec, emitter.options),
            **common,
        )
    )


def floor(spec: Spec, options: Options) -> float:
    """The U below which it counts as 0: `g U^(q-1) / U` must not overflow for the least power q of a volume (or 1)."""
    least = min(1.0, *(spec.integral_powers or (1.0,)))
    return float(10.0 ** -round(HEADROOM[options.dtype] / (2 - least)))


def _slot_lines(slots: list[str]) -> list[str]:
    return [f"saved[{slot}]: {shape}, complex" for slot, shape in enumerate(slots)]


def _names(lines: list[str]) -> str:
    """The targets of an unpacking assignment."""
    arrays = [name for name, _, _ in (line.partition(":") for line in lines) if not name.startswith("saved")]
    names = [*arrays, *["*saved"] * (len(arrays) < len(lines))]
    return ", ".join(names) + ("," if len(names) == 1 else "")


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
        self._sections: dict[str | None, list[str]] = {None: [], REST: []}
        self._rows: dict[tuple[str, ...], str] = {}
        self.backwards = any(isinstance(node, Gradient) for _, node in self.graph)
        self.vector = self.backwards or bool(program.slots)
        self.lines: list[str] = []
        self.depth = 1
        self.gathers = False
        axes = tuple(range(-self.spec.dim, 0))
        self.suffix = {1: "", 2: "2", 3: "n"}[self.spec.dim]
        self.axes = f", axes={axes}" if self.spec.dim == 3 else ""
        self.last_axes = axes if len(axes) > 1 else -1
        # Folds with several components are written with their inverse FFT and modulus, as one loop over components,
        # unless something else wants to see all components.
        several = {n for n, v in self.values.items() if v.components > 1 and isinstance(self.graph[n], Fold)}
        self.componentwise = set() if self.vector else several
        inverses = {user for fold in self.componentwise for user in self.graph.users[fold]}
        self._written_with_fold = inverses | {user for inverse in inverses for user in self.graph.users[inverse]}

    def sections(self) -> dict[str | None, list[str]]:
        """The lines of the trunk (key None), of each branch and of what comes behind them."""
        for name, node in self.graph:
            if isinstance(node, Input) or name in self._written_with_fold:
                continue
            branch = self._section(name)
            self.lines = self._sections.setdefault(branch, [])
            opens = self.program.split(name) and name != branch
            self.depth = self._depth(name) - opens
            self.write(f"# {print_node(name, node)}")
            if self.program.split(name):
                self._open(name, node)
            if isinstance(node, Fold) and name in self.componentwise:
                self._components(name, node)
            else:
                self.node(name, node)
            for value in reversed(self.program.deaths.get(name, ())):  # deepest loop first
                if self._section(value) == branch:
                    self.depth = self._depth(value)
                    self.write(f"del {value}")
        return self._sections

    def _section(self, name: str) -> str | None:
        return REST if name in self.program.rest and self.backwards else self.program.branch(name)

    def _depth(self, name: str) -> int:
        """Indentation of the code behind a node: a branch's own chunks are its caller's loop."""
        around = self.program.around[name]
        return 1 + sum(self.program.split(fold) for fold in around if fold not in self.program.branches)

    def write(self, text: str) -> None:
        """Append lines at the current depth."""
        indent = INDENT * self.depth
        self.lines += [indent + line for line in text.splitlines() if line and not line.isspace()]

    def node(self, name: str, node: Node) -> None:
        """The code of one node."""
        x = self.values[node.x]
        context = RULES[type(node)](self, name, node, x, self.values[name])
        macro = self.macro(str(context.pop("macro", node.kind)), node)
        self.write(macro(SimpleNamespace(name=name, x=self.place(node.x), **context)))

    def macro(self, name: str, node: Node) -> Callable[..., str]:
        """A macro for nodes of a kind: forward programs have no use for those of the transposed ones."""
        return _macros("transposed.py.j2" if isinstance(node, TRANSPOSED_KINDS) else "nodes.py.j2")[name]

    def place(self, name: str) -> str:
        """The variable that holds a value: what is added up stands where the sum began."""
        node = self.graph[name]
        return self.place(node.into) if isinstance(node, FoldT) else name

    def rows(self, name: str) -> str:
        """The number of rows of a value, as text."""
        folds = self.program.within[name]
        if folds not in self._rows:
            split = [f for f in folds if self.program.split(f)]
            whole = prod(self.filters(f) for f in folds[folds.index(split[-1]) + 1 if split else 0 :])
            factor = f"n{len(split)}" if split else "n"
            self._rows[folds] = factor if whole == 1 else f"{whole} * {factor}"
        return self._rows[folds]

    def offset(self, name: str, extra: int = 0) -> int:
        """Where a value lives in the arena, `extra` bytes a signal further on."""
        return (self.program.offsets[name] + extra) * self.program.batch

    def filters(self, fold: str) -> int:
        """The number of filters of a fold."""
        return filters(self.graph[fold])

    def chunk(self, fold: str) -> str:
        """The variable that holds the slice of filters of a split fold."""
        split = [f for f in self.program.around[fold] if self.program.split(f)]
        return f"f{len(split)}"

    def _open(self, name: str, node: Node) -> None:
        """Begin the loop over chunks of a fold's filters; a branch's caller has it."""
        count, chunk, var = self.filters(name), self.program.chunks[name], self.chunk(name)
        if name not in self.program.branches:
            self.write(f"for {var} in {chunks(count, chunk)}:")
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
        self.write(self.macro("square", self.graph[modulus])(SimpleNamespace(name=modulus, x=inverse)))
        self.depth -= 1
        self.write(f"np.sqrt({modulus}, out={modulus})")
