"""Writes gradients in C: each signal is computed again, then its cotangent, and what that adds to its parent's."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

from scatc.codegen.cpu import tables
from scatc.codegen.cpu.cotangents import Cotangents
from scatc.codegen.cpu.emitter import Emitter
from scatc.codegen.cpu.layout import Grid, Spectrum, spectrum
from scatc.codegen.cpu.transposed_functions import TransposedFunctions
from scatc.codegen.gradients import tree
from scatc.codegen.signals import Signal
from scatc.ir.nodes import Modulus, Pad
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node


class GradientEmitter(Emitter):
    """The walk over the program of a gradient. See `Emitter`."""

    needed = TransposedFunctions

    def __init__(self, program: Program, options: Options, version: str = "") -> None:
        self.tree = tree(program)
        super().__init__(program, options, version)

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
        bank = tables.filters(self.spec, signal.fold, parent, weights.weights, self.options.dtype)
        self.tables |= {f"{fold}_w": bank.w, f"{fold}_start": bank.start}
        group, norm, leaf = (2 if signal.children else 1), grid.kind == "volume", not signal.children
        waves = free + group * grid.size
        g = waves + group * 2 * bank.w.shape[1] * grid.size
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
            waves=[] if leaf and not norm else self._waves(grid, parent, bank, waves, given=False),
            results=self.cotangents.of(signal, grid, self.scratch, add=not leaf),
            back=self._notes(self.tree.back[modulus]),
            lines=self._back(grid, parent, bank, waves, leaf),
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
            lines=self._spectra(grid, own, first, f"+ {own.size}", grid.size),
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
        stride = grid.inverse[1] if grid.kind == "line" else grid.row
        return [
            *lines,
            f"tangle_rows(z, {room}, {grid.row}, n, low, high, a, b, {own.part}, {own.stride});",
            f"{name}(c, z, {room}, {stride}, ga, ga + {grid.size});",
        ]

    def _waves(self, grid: Grid, parent: Spectrum, bank: tables.Filters, waves: int, *, given: bool) -> list[str]:
        """From a window of the parent's spectrum at `at` to waves and moduli, number k, or by `given` cotangents."""
        name, window, size = self.forms.waves(grid), bank.w[0, 0, 0], grid.size
        components, parts = bank.w.shape[1:3]
        z = f"c->arena + {waves} + k * {2 * components * size}"
        filters, stride, whole = f"w + f * {bank.w[0].size}", window.shape[-1], int(given)
        if grid.kind == "line":
            ends = f"{bank.widths[0]}, {whole}, u + k * {size}, {z}, {z} + {size}"
            return [f"{name}(c, at, {parent.part}, {filters}, {ends});"]
        if grid.kind == "image":
            high, wide = bank.widths
            ends = f"{whole}, u + k * {size}, {z}, {z} + {size}"
            return [f"{name}(c, at, {parent.part}, {parent.stride}, {filters}, {stride}, {high}, {wide}, {ends});"]
        imaginary = f"{filters} + {window.size} + m * {parts * window.size}" if parts == 2 else "NULL"
        deep, high, wide = bank.widths
        return [
            f"for (int m = 0; m < {components}; m++) {{",
            f"    real *const z = {z} + m * {2 * size};",
            f"    {name}(c, at, {parent.part}, {parent.stride}, {parent.plane}, {filters} + m * {parts * window.size}, "
            f"{imaginary}, {stride}, {window[0].size}, {deep}, {high}, {wide}, m == 0, m == {components - 1}, "
            f"c->arena + {self.scratch}, u + k * {size}, z, z + {size});",
            "}",
        ]

    def _back(self, grid: Grid, parent: Spectrum, bank: tables.Filters, waves: int, leaf: bool) -> list[str]:
        """From the cotangent of a modulus, at `g`, to what it adds to that of the parent's spectrum."""
        if grid.kind == "volume":
            return self._back_volume(grid, parent, bank, waves)
        name, stride, size = self.forms.forward(grid), bank.w.shape[-1], grid.size
        y, room = self.scratch + self.lanes, grid.transform
        wave = f"c->arena + {waves} + k * {2 * size}"
        lines = [f"real *const y = c->arena + {y}, *const z = {wave}, *const to = gx + places[k];"]
        into, filters = f"to, to + {parent.part}", f"w + f * {bank.w[0].size}"
        if leaf:
            lines.append("const real *const at = x + places[k];")
            lines += self._waves(grid, parent, bank, waves, given=True)
            lines.append("(void)g;")
        else:
            lines.append(f"phases({size}, g, z, z + {size});")
        line = grid.kind == "line"
        rows, n = (1, grid.shape[0]) if line else (grid.shape[1], grid.shape[0])
        row = grid.forward[0] if line else grid.row
        lines.append(f"{name}(c, z, z + {size}, y, {room}, {row});")
        if n % self.lanes:
            lines.append(f"zero_ends(y, {room}, {grid.row}, {rows}, {n});")
        if line:
            lines.append(f"unfold_line(y, y + {room}, {n}, {filters}, {bank.widths[0]}, {into});")
        else:
            ends = f"{bank.widths[0]}, {bank.widths[1]}, {into}, {parent.stride}"
            lines.append(f"unfold_image(y, y + {room}, {row}, {rows}, {n}, {filters}, {stride}, {ends});")
        return lines

    def _back_volume(self, grid: Grid, parent: Spectrum, bank: tables.Filters, waves: int) -> list[str]:
        name, window, size = self.forms.unfold_volume(grid), bank.w[0, 0, 0], grid.size
        components, parts = bank.w.shape[1:3]
        deep, high, wide = bank.widths
        filters = f"w + f * {bank.w[0].size} + m * {parts * window.size}"
        imaginary = f"{filters} + {window.size}" if parts == 2 else "NULL"
        return [
            f"ratios({size}, v, g);",
            f"for (int m = 0; m < {components}; m++) {{",
            f"    real *const z = c->arena + {waves} + (k * {components} + m) * {2 * size};",
            f"    {name}(c, g, z, z + {size}, c->arena + {self.scratch + self.lanes}, {grid.transform}, {grid.row}, "
            f"{filters}, {imaginary}, {window.shape[-1]}, {window[0].size}, {deep}, {high}, {wide}, gx + places[k], "
            f"{parent.part}, {parent.stride}, {parent.plane});",
            "}",
        ]

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
