"""Writes gradients in C: each signal is computed again, then its cotangent, and what that adds to its parent's."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

from scatc.codegen import Tables
from scatc.codegen.cpu import tables, volumes
from scatc.codegen.cpu.cotangents import Cotangents
from scatc.codegen.cpu.emitter import Emitter
from scatc.codegen.cpu.layout import Grid, Spectrum, spectrum
from scatc.codegen.cpu.transposed_functions import TransposedFunctions
from scatc.codegen.gradients import tree
from scatc.codegen.signals import Signal
from scatc.ir.nodes import Fold, Modulus, Pad
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node


class GradientEmitter(Emitter):
    """The walk over the program of a gradient. See `Emitter`."""

    needed = TransposedFunctions

    def __init__(self, program: Program, options: Options, version: str = "", known: Tables | None = None) -> None:
        self.tree = tree(program)
        super().__init__(program, options, version, known)

    def _root(self) -> Signal:
        return self.tree.root

    def _results(self, signal: Signal, grid: Grid) -> list[SimpleNamespace]:
        return []  # nothing is output on the way to the spectrum

    def _module(self, version: str) -> str:
        assert isinstance(self.functions, TransposedFunctions)
        self.forms = self.functions
        self.cotangents = Cotangents(self.program, self.options, self.forms, self.tables)
        trunk, rest = self._trunk(), self._rest()
        branches = [self._signal(child, self.arena) for child in self.root.children]
        arena = max(node.stop for node in [trunk, rest, *self.nodes])
        held = spectrum(self.root, self.grid(self.root)).size if self.root.children else 0
        return self._written("gradient.c.j2", version, trunk, branches, arena, held, rest=rest)

    def _transforms(self, signal: Signal) -> int:
        grid = self.grid(signal)
        return max([2 * grid.transform, *(Cotangents.room(grid, result) for result in signal.results)])

    def _transformed(self, signal: Signal, u: int) -> int:
        return self.scratch + self.lanes

    def _notes(self, names: tuple[str, ...]) -> list[str]:
        return [print_node(name, self.graph[name]) for name in names]

    # Signals.

    def _signal(self, signal: Signal, free: int) -> SimpleNamespace:
        """A function; what it holds begins where the arena is free.

        One signal at a time, or two whose spectra are computed together: moduli (in their place, later, cotangents),
        waves, and cotangents besides moduli where these are norms over m.
        """
        assert signal.fold is not None and signal.parent is not None
        grid, parent = self.grid(signal), spectrum(signal.parent, self.grid(signal.parent))
        fold, _, modulus = signal.nodes
        weights = self.graph[modulus]
        assert isinstance(weights, Modulus)
        group, norm = (2 if signal.children else 1), grid.kind == "volume"
        waves = free + group * grid.size
        if norm:
            components, forth, back = self._terms_both_ways(fold, signal.fold, grid, parent, weights.weights, waves)
        else:
            components = 1
            forth, back = self._filters_both_ways(fold, signal, grid, parent, waves)
        g = waves + group * 2 * components * grid.size
        node = SimpleNamespace(
            name=modulus,
            notes=self._notes(signal.nodes),
            u=free,
            g=g if norm else free,
            size=grid.size,
            w=f"{fold}_w",
            start=f"{fold}_start",
            group=group,
            parent=parent.size,
            filters=len(signal.fold.indices),
            norm=norm,
            waves=forth,
            results=self.cotangents.of(signal, grid, self.scratch, add=bool(signal.children)),
            back=self._notes(self.tree.back[modulus]),
            lines=back,
        )
        node.x = g + group * grid.size * norm
        self._below_and_back(node, signal, grid, group)
        self.nodes.append(node)
        return node

    def _below_and_back(self, node: SimpleNamespace, signal: Signal, grid: Grid, group: int) -> None:
        """The spectra of a signal, their cotangents, and its children."""
        node.spectrum, node.children, node.stop = None, [], node.x
        if signal.children:
            own = spectrum(signal, grid)
            node.gx = node.x + group * own.size
            node.stop = node.gx + group * own.size
            node.spectrum = self._both_ways(
                signal, grid, own, f"c->arena + {node.x} + k * {own.size}", f"c->arena + {node.gx}", node.g
            )
            node.children = [self._signal(child, node.stop) for child in signal.children]

    def _both_ways(self, signal: Signal, grid: Grid, own: Spectrum, first: str, total: str, g: int) -> SimpleNamespace:
        """How the spectra of pairs are computed, and samples of their cotangents at `total`."""
        blank, back = self._notes(self.tree.back[signal.spectrum])
        return SimpleNamespace(
            note=print_node(signal.spectrum, self.graph[signal.spectrum]),
            blank=blank,
            size=own.size,
            lines=self._spectra(grid, own, first, grid.size, self.scratch + self.lanes),
            samples_note=back,
            samples=self._samples(grid, own, total, g),
        )

    def _samples(self, grid: Grid, own: Spectrum, total: str, g: int) -> list[str]:
        """From the cotangents of spectra k and k + 1 at `total` to those of samples, at `g` in the arena."""
        name, shape = self.forms.samples(grid), (1, 1, *grid.rows, *_row(grid))[-3:]
        low, high = zip(*([(0, 1), (0, 1), *own.axes][-3:]), strict=True)
        room = grid.transform
        lines = [
            f"real *const z = c->arena + {self.scratch + self.lanes}, *const ga = c->arena + {g} + k * {grid.size};",
            f"const real *const a = {total} + k * {own.size}, "
            f"*const b = {total} + least(k + 1, count - 1) * {own.size};",
        ]
        for what, numbers in (("n", shape), ("low", low), ("high", high)):
            lines.append(f"const ptrdiff_t {what}[3] = {{{', '.join(map(str, numbers))}}};")
        volume = grid.kind == "volume"
        plane, own_plane = (grid.plane, own.plane) if volume else (0, 0)
        stride = grid.inverse[1] if grid.kind == "line" else grid.row
        strides = f"{stride}, {plane}" if volume else f"{stride}"
        ends = f"n, low, high, a, b, {own.part}, {own.stride}, {own_plane}"
        return [
            *lines,
            f"tangle_rows(z, {room}, {grid.row}, {plane}, {ends});",
            f"{name}(c, z, {room}, {strides}, ga, ga + {grid.size});",
        ]

    def _filters_both_ways(
        self, fold: str, signal: Signal, grid: Grid, parent: Spectrum, waves: int
    ) -> tuple[list[str], list[str]]:
        """Of lines and images, number k: from a window `at` to waves and moduli; from cotangents `g` to `to`.

        Without children, cotangents are there before the waves, which then never meet memory without them.
        """
        assert signal.fold is not None
        bank = tables.filters(self.spec, signal.fold, parent, self.options.dtype, self.known.get(f"{fold}_w"))
        self.tables |= {f"{fold}_w": bank.w, f"{fold}_start": bank.start}
        line, leaf, size, row = grid.kind == "line", not signal.children, grid.size, bank.w.shape[-1]
        w, widths, room = f"w + f * {bank.w[0].size}", ", ".join(map(str, bank.widths)), grid.transform
        z, read = f"c->arena + {waves} + k * {2 * size}", parent.part if line else f"{parent.part}, {parent.stride}"
        filters = w if line else f"{w}, {row}"
        ends = f"{widths}, {int(leaf)}, u + k * {size}, {z}, {z} + {size}"
        forth = [f"{self.forms.waves(grid)}(c, at, {read}, {filters}, {ends});"]
        back = [f"real *const y = c->arena + {self.scratch + self.lanes}, *const z = {z}, *const to = gx + places[k];"]
        if leaf:
            back += ["const real *const at = x + places[k];", *forth, "(void)g;"]
        else:
            back.append(f"phases({size}, g, z, z + {size});")
        n, rows, ys = grid.shape[0], grid.shape[-1], grid.forward[0] if line else grid.row
        back.append(f"{self.forms.forward(grid)}, z, z + {size}, y, {room}, {ys});")
        if n % self.lanes:
            back.append(f"zero_ends(y, {room}, {grid.row}, {1 if line else rows}, {n});")
        if line:
            back.append(f"unfold_line(y, y + {room}, {n}, {filters}, {widths}, to, to + {parent.part});")
        else:
            into = f"to, to + {parent.part}, {parent.stride}"
            back.append(f"unfold_image(y, y + {room}, {ys}, {rows}, {n}, {filters}, {widths}, {into});")
        return ([] if leaf else forth), back

    def _terms_both_ways(
        self, name: str, fold: Fold, grid: Grid, parent: Spectrum, weights: tuple[int, ...], waves: int
    ) -> tuple[int, list[str], list[str]]:
        """The same of volumes, component by component; and how many components there are."""
        known = [self.known[table] for table in (f"{name}_a", f"{name}_w") if table in self.known]
        bank = volumes.terms(self.spec, fold, parent, weights, self.options.dtype, known)
        self.tables |= {f"{name}_a": bank.a, f"{name}_w": bank.b, f"{name}_start": bank.start}
        components, terms, parts = bank.b.shape[1:4]
        deep, size = bank.widths[0], grid.size
        filters = (
            f"a + (f * {components} + m) * {terms * deep}, w + (f * {components} + m) * {bank.b[0, 0].size}, "
            f"{bank.b.shape[-1]}, {', '.join(map(str, bank.widths))}"
        )
        read = f"{parent.part}, {parent.stride}, {parent.plane}"
        each = [
            f"const real *const a = c->tables[{name}_a];",
            f"for (int m = 0; m < {components}; m++) {{",
            f"    real *const z = c->arena + {waves} + (k * {components} + m) * {2 * size};",
        ]
        first, y = f"m == 0, m == {components - 1}", f"c->arena + {self.scratch}"
        forth = [
            *each,
            f"    {self.forms.waves_volume(grid, terms, parts)}(c, at, {read}, {filters}, {first}, {y}, "
            f"u + k * {size}, z, z + {size});",
            "}",
        ]
        y = f"c->arena + {self.scratch + self.lanes}, {grid.transform}, {grid.row}, {grid.plane}"
        back = [
            f"ratios({size}, v, g);",
            *each,
            f"    {self.forms.unfold_volume(grid, terms, parts)}(c, g, z, z + {size}, {y}, {filters}, gx + places[k], "
            f"{read});",
            "}",
        ]
        return components, forth, back

    # The root.

    def _rest(self) -> SimpleNamespace:
        root, grid = self.root, self.grid(self.root)
        node = SimpleNamespace(
            u=self.arena,
            stop=self.arena + 2 * grid.size,
            size=grid.size,
            input=prod(self.spec.input_shape),
            spectrum=None,
            centre=[],
            results=self.cotangents.of(root, grid, self.scratch, add=bool(root.children)),
            direct=self.cotangents.unpadded(root, grid),
            back=self._notes(self.tree.back.get(root.name, ())),
            unpad=self._unpad(grid) if root.children or root.results else [],
        )
        if root.children:
            own = spectrum(root, grid)
            total = f"(const real *)total + row * {own.size}"
            node.spectrum = self._both_ways(root, grid, own, "NULL", total, self.arena)
            node.centre = self._trunk().centre
        return node

    def _unpad(self, grid: Grid) -> list[str]:
        pad = self.graph[self.root.name]
        *rows, n = self.spec.input_shape
        if not isinstance(pad, Pad):
            if not rows:
                return [f"memcpy(to, g, {n} * sizeof(real));"]
            return [
                f"for (ptrdiff_t i = 0; i < {prod(rows)}; i++)",
                f"    memcpy(to + i * {n}, g + i * {grid.stride}, {n} * sizeof(real));",
            ]
        index = [f"c->tables[{self.root.name}_index{axis}]" for axis in range(self.spec.dim)]
        if not rows:
            return [f"unpad_line(g, {index[0]}, {grid.shape[0]}, to);"]
        sizes = f"{n}, {grid.shape[0]}, {grid.shape[1]}, {grid.stride}"
        return [f"unpad_image(g, {', '.join(index)}, {sizes}, to);"]


def _row(grid: Grid) -> tuple[int]:
    """Neighbouring bins of a row of the spectrum."""
    return (grid.shape[0] if len(grid.shape) == 1 else grid.shape[-2],)
