"""Walks a program and writes the numpy source of one worker's run.

Control flow (loops over siblings, over components, `del` where a value dies) is here; what a node's code looks like is
in `templates/nodes.py.j2`. Arrays are `(rows, *samples)`, a row being a signal and a path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from math import prod
from types import SimpleNamespace
from typing import Any

import jinja2

from scatc.codegen import Tables
from scatc.codegen.numpy.folding import buffers, steps, tails
from scatc.codegen.numpy.slices import alias_runs, hermitian_copies, index, span, wrapped
from scatc.codegen.numpy.tables import is_slice, output_rows
from scatc.ir.cost import graph_costs
from scatc.ir.lowpass import frames
from scatc.ir.nodes import Average, Fft, Fold, Ifft, Input, Lowpass, Modulus, Node, Output, Pad, Unpad
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node
from scatc.ir.values import Value

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
    emitter = _Emitter(program, options)
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
            x_shape=_shape("n", *spec.input_shape),
            out_shapes=[_shape("n", len(paths), *shape) for shape, paths in program.outputs],
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


def _shape(*sizes: object) -> str:
    return f"({', '.join(map(str, sizes))}{',' * (len(sizes) == 1)})"


class _Emitter:
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

    def sections(self) -> dict[str | None, list[str]]:
        """The lines of the trunk (key None) and of each branch."""
        for name, node in self.graph:
            if isinstance(node, Input) or (isinstance(node, Ifft | Modulus) and self._component_fold(name)):
                continue  # the latter are written with their fold
            branch = self.program.branch(name)
            self.lines = self._sections.setdefault(branch, [])
            opens = isinstance(node, Fold) and self.program.split(name) and name != branch
            self.depth = self._depth(name) - opens
            self.write(f"# {print_node(name, node)}")
            if isinstance(node, Fold) and self.program.split(name):
                self._open(name, node)
            if isinstance(node, Fold) and not node.half and self.values[name].components > 1:
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
        self.lines += [f"{INDENT * self.depth}{line}" for line in text.splitlines() if line.strip()]

    def node(self, name: str, node: Node) -> None:
        """The code of one node."""
        x = self.values[node.x]
        context = _RULES[type(node)](self, name, node, x, self.values[name])
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
        return (self.program.offsets[name] + extra) * self.program.batch

    def filters(self, fold: str) -> int:
        """The number of filters of a fold."""
        node = self.graph[fold]
        assert isinstance(node, Fold)
        return len(node.indices)

    def _chunk(self, fold: str) -> str:
        """The variable that holds the slice of filters of a split fold."""
        split = [f for f in self.program.around[fold] if self.program.split(f)]
        return f"f{len(split)}"

    def _open(self, name: str, node: Fold) -> None:
        """Begin the loop over chunks of a fold's filters; a branch's caller has it."""
        count, chunk, var = len(node.indices), self.program.chunks[name], self._chunk(name)
        if name not in self.program.branches:
            self.write(f"for {var} in {_chunks(count, chunk)}:")
            self.depth += 1
        self.write(f"n{var[1:]} = {self.rows(node.x)} * ({var}.stop - {var}.start)")

    def _component_fold(self, name: str) -> str | None:
        """The fold with several components whose loop a node is part of."""
        node = self.graph[name]
        fold = (
            node.x if isinstance(node, Ifft) else self.graph[node.x].x if isinstance(self.graph[node.x], Ifft) else ""
        )
        many = fold in self.graph.nodes and isinstance(self.graph[fold], Fold) and self.values[fold].components > 1
        return fold if many else None

    def _components(self, name: str, node: Fold) -> None:
        """A fold with several components, its inverse FFT and the norm over components, one component at a time."""
        inverse = self.graph.users[name][0]
        modulus = self.graph.users[inverse][0]
        value = self.values[modulus]
        shape = _shape(self.rows(modulus), *value.shape)
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

    # One method a node kind: what its macro needs, as text.

    def pad(self, name: str, node: Pad, x: Value, y: Value) -> dict[str, object]:
        inner = index(*(span(left, left + n) for (left, _), n in zip(node.widths, x.shape, strict=True)))
        return {
            "shape": _shape("n", *y.shape),
            "offset": self.offset(name),
            "mode": node.mode,
            "axes": self.spec.dim,
            "inner": inner,
        }

    def fft(self, name: str, node: Fft, x: Value, y: Value) -> dict[str, object]:
        if not node.box:
            return {"whole": True, "forward": f"fft{self.suffix}", "axes": self.axes}
        return {
            "whole": False,
            "half": f"rfft{self.suffix}",
            "axes": self.axes,
            "shape": _shape(self.rows(name), *y.shape),
            "offset": self.offset(name),
            "copies": list(hermitian_copies(node.box, x.grid)),
        }

    def fold(self, name: str, node: Fold, x: Value, y: Value) -> dict[str, object]:
        if node.half:
            return self._fold_half(name, node, x, y)
        widths = node.widths or x.grid
        split = self.program.split(name)
        chunk = self._chunk(name) if split else ":"
        filters = f"{chunk}.stop - {chunk}.start" if split else str(len(node.indices))
        component = ", m" if y.components > 1 else ", 0"
        gathered = len(set(node.starts)) > 1
        self.gathers |= gathered
        stages, place = [], self.program.rows[name] * prod(y.grid)
        for stage, shape in buffers(widths, y.grid).items():
            offset = self.offset(name, 2 * self.options.itemsize * place)
            stages.append(SimpleNamespace(name=stage, shape=_shape(self.rows(node.x), filters, *shape), offset=offset))
            place += self.program.rows[name] * prod(shape)
        into = stages[0].name if stages else name
        fills = bool(stages) or widths == y.grid
        return {
            "shape": _shape(self.rows(node.x), filters, *y.grid),
            "offset": self.offset(name),
            "stages": stages,
            "gathered": gathered,
            "window": _shape(*widths),
            "window_axes": _shape(*range(1, self.spec.dim + 1)),
            "starts": ", ".join(f"{name}_start{a}" + (f"[{chunk}]" if split else "") for a in range(self.spec.dim)),
            "target": into if fills else f"{into}[{index(*(span(0, w) for w in widths))}]",
            "w": f"{name}_w[{chunk}{component}]",
            "pieces": self._pieces(node, x, into, fills, f"{name}_w[{chunk}{component}"),
            "tails": tails(widths, y.grid),
            "steps": list(steps(widths, y.grid, name)),
            "flat": ", ".join(map(str, (self.rows(name), *y.grid))),
        }

    def _pieces(self, node: Fold, x: Value, into: str, fills: bool, w: str) -> list[tuple[str, str, str]]:
        """(target, read, filter) of each part of a window, the same for all filters, that lies in one run.

        A box in natural order holds any window in one part; a spectrum in FFT order may hold it in two on each axis.
        """
        widths = node.widths or x.grid
        start = node.starts[0] if node.starts else (0,) * self.spec.dim
        runs = []
        for s, w_, n, held, box in zip(start, widths, x.grid, x.shape, x.band or (None,) * self.spec.dim, strict=True):
            parts = list(wrapped((s, s + w_), n)) if box is None else [(0, s - box[0], w_)]
            runs.append([(span(p, p + c), ":" if c == held else span(f, f + c)) for p, f, c in parts])
        pieces = []
        for run in product(*runs):
            targets, read = [t for t, _ in run], ", ".join((":", "None", *(r for _, r in run)))
            whole = all(len(parts) == 1 for parts in runs)
            target = into if whole and fills else f"{into}[{index(*targets)}]"
            pieces.append((target, read, w + ("]" if whole else f", {', '.join(targets)}]")))
        return pieces

    def _fold_half(self, name: str, node: Fold, x: Value, y: Value) -> dict[str, object]:
        widths = node.widths or x.grid
        start = node.starts[0] if node.starts else (0,) * self.spec.dim
        low = [a for a, _ in x.band] if x.band else [0] * self.spec.dim
        runs = [list(alias_runs(s, w, m, keep)) for s, w, m, keep in zip(start, widths, y.grid, y.shape, strict=True)]
        return {
            "w": f"{name}_w",
            "shape": _shape(self.rows(name), *y.shape),
            "read": index(*(span(s - a, s - a + w) for s, a, w in zip(start, low, widths, strict=True))),
            "aliases": [(index(*(t for t, _ in r)), index(*(s for _, s in r))) for r in product(*runs)],
        }

    def ifft(self, name: str, node: Ifft, x: Value, y: Value) -> dict[str, object]:
        if not node.real:
            return {"real": False, "inverse": f"ifft{self.suffix}", "axes": self.axes}
        lengths = str(y.shape[0]) if self.spec.dim == 1 else str(y.shape)
        return {"real": True, "inverse": f"irfft{self.suffix}", "axes": self.axes, "lengths": lengths}

    def modulus(self, name: str, node: Modulus, x: Value, y: Value) -> dict[str, object]:
        return {"shape": _shape(self.rows(name), *y.shape), "offset": self.offset(name)}

    def lowpass(self, name: str, node: Lowpass, x: Value, y: Value) -> dict[str, object]:
        """Last axis first; every step reads the result of the one before."""
        source, shape, steps = node.x, list(x.shape), []
        for axis in reversed(range(self.spec.dim)):
            outputs = node.kept[axis][1] - node.kept[axis][0]
            matrix, last = f"{name}_a{axis}", axis == self.spec.dim - 1
            if node.methods[axis] == "dense":
                steps.append(SimpleNamespace(dense=f"{source} @ {matrix}" if last else f"{matrix} @ {source}"))
            else:
                layout = frames(node.kept[axis], node.by, node.taps[axis])
                tail = ", :" * (self.spec.dim - 1 - axis)
                lead, rest = ["-1", *map(str, shape[:axis])], list(map(str, shape[axis + 1 :]))
                g, joined = layout.outputs, layout.blocks * layout.outputs
                early, late = (
                    (f"..., :-1, :{g}", f"..., 1:, {g}:") if last else (f"..., :-1, :{g}, :", f"..., 1:, {g}:, :")
                )
                steps.append(
                    SimpleNamespace(
                        dense="",
                        x=source,
                        span=f"..., {layout.base}:{layout.stop}{tail}",
                        framed=", ".join([*lead, str(layout.blocks + 1), str(layout.length), *rest]),
                        product=f"frames @ {matrix}" if last else f"{matrix} @ frames",
                        early=early,
                        late=late,
                        joined=", ".join([*lead, str(joined), *rest]),
                        kept="" if joined == outputs else f"[..., :{outputs}{tail}]",
                    )
                )
            shape[axis], source = outputs, name
        return {"steps": steps}

    def average(self, name: str, node: Average, x: Value, y: Value) -> dict[str, object]:
        axes = tuple(range(-self.spec.dim, 0))
        return {
            "mode": node.mode,
            "axes": axes if len(axes) > 1 else -1,
            "powers": node.powers,
            "rows": self.rows(name),
        }

    def unpad(self, name: str, node: Unpad, x: Value, y: Value) -> dict[str, object]:
        return {"kept": index(*(span(a, b) for a, b in node.kept))}

    def output(self, name: str, node: Output, x: Value, y: Value) -> dict[str, object]:
        group, rows, shape = output_rows(self.program, name)
        around = self.program.around[name]
        if any(self.program.split(f) for f in around):
            picks = [self._chunk(f) if self.program.split(f) else ":" for f in around]
            where = f"{name}_rows[{', '.join(picks)}]" + (".reshape(-1)" if len(shape) > 1 else "")
        else:
            where = (
                span(rows[0], rows[-1] + 1) if is_slice(rows) else f"{name}_rows" + ".reshape(-1)" * (len(shape) > 1)
            )
        count = f"{self.rows(name)} // n" if any(map(self.program.split, around)) else str(len(rows))
        return {"out": f"out{group}", "rows": where, "shape": ", ".join(map(str, ("n", count, *y.shape)))}


def _chunks(count: int, chunk: int) -> str:
    slices = [f"slice({a}, {min(a + chunk, count)})" for a in range(0, count, chunk)]
    if len(slices) <= 4:
        return f"({', '.join(slices)})"
    return f"[slice(a, min(a + {chunk}, {count})) for a in range(0, {count}, {chunk})]"


_RULES: dict[type[Node], Callable[[_Emitter, str, Any, Value, Value], dict[str, object]]] = {
    Pad: _Emitter.pad,
    Fft: _Emitter.fft,
    Fold: _Emitter.fold,
    Ifft: _Emitter.ifft,
    Modulus: _Emitter.modulus,
    Lowpass: _Emitter.lowpass,
    Average: _Emitter.average,
    Unpad: _Emitter.unpad,
    Output: _Emitter.output,
}
