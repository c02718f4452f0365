"""Walks the tree of signals and writes C: a trunk, and a function for each signal."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

from scatc.codegen import Tables, table_lines
from scatc.codegen.cpu import tables
from scatc.codegen.cpu.coefficients import Coefficients
from scatc.codegen.cpu.functions import Functions, exchanges, names, templates
from scatc.codegen.cpu.layout import Grid, Spectrum, lanes, spectrum
from scatc.codegen.signals import Signal, signals
from scatc.ir.nodes import Fft, Fold, Pad
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node

GROUP_SHARE = 3 / 16
"""Of the cache, for moduli that are computed before their children: so many that they stay there."""

MOST_GROUPED = 16

MOST_SIGNALS = 64
"""Signals of one call at most."""

SPECTRA_BYTES = 1 << 20
"""Of the spectra of a call: more signals would only take memory. Two are transformed together."""


class Emitter:
    """The walk over one program.

    Attributes
    ----------
    source : str
    tables : dict of str to array
    """

    needed: type[Functions] = Functions

    together = 2
    """Signals whose spectra are computed together."""

    def __init__(self, program: Program, options: Options, version: str = "", known: Tables | None = None) -> None:
        self.program, self.options, self.graph = program, options, program.graph
        self.spec = program.graph.spec
        self.itemsize, self.lanes = options.itemsize, lanes(options.itemsize)
        self.root = self._root()
        self.tables: Tables = {}
        self.known = known or {}
        self.functions = self.needed(options.dtype, self.lanes, self.spec.integral_powers or (), self.known)
        self.coefficients = Coefficients(program, options, self.functions, self.tables, self.known)
        self.nodes: list[SimpleNamespace] = []
        self._spectra_of: dict[int, Spectrum] = {}
        self.scratch = self._scratch()
        self.arena = self.scratch + self._room()
        self.source = self._module(version)
        for table in self.tables.values():
            table.flags.writeable = False

    def _root(self) -> Signal:
        return signals(self.program)

    def _own(self, signal: Signal) -> Spectrum:
        """The spectrum that a signal's children read."""
        if id(signal) not in self._spectra_of:
            self._spectra_of[id(signal)] = spectrum(signal, self.grid(signal))
        return self._spectra_of[id(signal)]

    def grid(self, signal: Signal) -> Grid:
        """How a signal lies."""
        return Grid(signal.shape, self.lanes)

    def _scratch(self) -> int:
        """Numbers of what is turned over."""
        return max(self.grid(signal).turned for signal in self.root.all())

    def _room(self) -> int:
        """Numbers of what follows that and is not kept either."""
        return max(self._transforms(signal) for signal in self.root.all())

    def _spectrum_size(self, signal: Signal) -> int:
        """Numbers of a signal's spectrum, as far as its children read it."""
        return self._own(signal).size

    def _transforms(self, signal: Signal) -> int:
        """Numbers of the transforms of a pair."""
        apart = signal.children and self._group(signal) > self.together
        return 2 * self.grid(signal).transform if apart else 0

    def _group(self, signal: Signal) -> int:
        """How many of a signal are computed before what follows from them."""
        if signal.parent is None:
            return self.together
        room = int(GROUP_SHARE * self.options.machine.cache_bytes)
        group = max(1, min(MOST_GROUPED, room // (self.itemsize * self.grid(signal).size)))
        return -(-group // self.together) * self.together if signal.children else group

    def _place(self, signal: Signal) -> int:
        """Numbers of so many of a signal; or of the transform of a pair, which takes its place if there is no other."""
        grid, group = self.grid(signal), self._group(signal)
        pair = signal.children and group <= self.together
        return max(group * grid.size, 2 * (grid.transform + self.lanes) if pair else 0)

    def _moduli(self, signal: Signal, free: int, spectra: int) -> int:
        """Where in the arena samples go, whose spectra begin where it is free."""
        return free + spectra

    def _transformed(self, signal: Signal, u: int) -> int:
        """Where in the arena the transform of a pair of samples at u goes."""
        return (u if self._group(signal) <= self.together else self.scratch) + self.lanes

    def _module(self, version: str) -> str:
        trunk = self._trunk()
        branches = [self._signal(child, self.arena) for child in self.root.children]
        if branches:
            self.functions.walk(self.grid(self.root).kind)
        arena = max(node.stop for node in [trunk, *self.nodes])
        held = self._spectrum_size(self.root) if self.root.children else 0
        return self._written("module.c.j2", version, trunk, branches, arena, held)

    def _written(
        self,
        template: str,
        version: str,
        trunk: SimpleNamespace,
        branches: list[SimpleNamespace],
        arena: int,
        held: int,
        **more: object,
    ) -> str:
        """The text around functions: `arena` and `held` numbers of scratch memory and of a spectrum."""
        batch = min(MOST_SIGNALS, max(SPECTRA_BYTES // max(self.itemsize * held, 1) // 2 * 2, 2))
        layout = [1, self.itemsize, batch, self.itemsize * held, self.itemsize * arena, len(branches)]
        for branch in branches:
            layout += [branch.filters, branch.filters]
        self.tables |= self.functions.tables
        return (
            templates()
            .get_template(template)
            .render(
                title=f"{self.spec.dim}D scattering, {len(self.program.places)} paths.",
                version=version,
                dtype=self.options.dtype,
                spec=self.spec,
                tables=table_lines(self.tables),
                names=sorted(self.tables),
                lanes=self.lanes,
                exchanges=exchanges,
                transforms=self.functions.transforms(),
                columns=self.functions.columns(),
                functions=self.functions.others(),
                longest=self.functions.longest,
                most_grouped=MOST_GROUPED,
                scratch=self.scratch,
                nodes=self.nodes,
                layout=layout,
                trunk=trunk,
                branches=[branch.name for branch in branches],
                batch=batch,
                **names(self.options.dtype),
                **more,
            )
        )

    # Signals.

    def _signal(self, signal: Signal, free: int) -> SimpleNamespace:
        """Its data; what it holds begins where the arena is free: spectra, and samples, which end with them."""
        assert signal.fold is not None
        grid, modulus = self.grid(signal), signal.nodes[2]
        group, own = self._group(signal), self._spectrum_size(signal) if signal.children else 0
        u = self._moduli(signal, free, group * own)
        below = free + group * own
        node = SimpleNamespace(
            name=modulus,
            notes=[print_node(name, self.graph[name]) for name in signal.nodes],
            stop=max(u + self._place(signal), below),
            filters=len(signal.fold.indices),
        )
        node.fields = [
            f".filters = {node.filters}, .group = {group}, .x = {free}, .own = {own}, .u = {u}, .size = {grid.size}",
            *self._source(signal, grid),
            *self._following(signal, grid, below),
        ]
        self.nodes.append(node)
        return node

    def _source(self, signal: Signal, grid: Grid) -> list[str]:
        """What a signal is made of: its parent's spectrum, and filters."""
        assert signal.fold is not None and signal.parent is not None
        fold, parent = signal.nodes[0], self._own(signal.parent)
        return [
            f".parent = {parent.size}, .part = {parent.part}",
            f".w = {fold}_w, .start = {fold}_start",
            *self._filters(fold, signal.fold, grid, parent),
        ]

    def _results(self, signal: Signal, grid: Grid) -> list[SimpleNamespace]:
        return [self.coefficients.of(signal, grid, result, self.scratch) for result in signal.results]

    def _following(self, signal: Signal, grid: Grid, free: int) -> list[str]:
        """What becomes of a signal; what is below it may lie where its samples were."""
        rows = []
        for result in self._results(signal, grid):
            write = self.functions.statements("write", f"write_{result.name}", result.lines)
            rows += [f"/* {note} */" for note in result.notes]
            rows.append(f"{{{write}, {result.rows}, {result.group}, {result.paths}, {result.samples}}},")
        lines = [".results = (const result[]){\n        " + "\n        ".join([*rows, "{0}}"])]
        if signal.children:
            note = print_node(signal.spectrum, self.graph[signal.spectrum])
            lines.append(f"/* {note} */\n    {self._own_spectrum(signal, free)}")
            children = "".join(f"&{self._signal(child, free).name}, " for child in signal.children)
            lines.append(f".children = (const signal *const[]){{{children}NULL}}")
        return lines

    def _own_spectrum(self, signal: Signal, u: int) -> str:
        """What computes the spectra of two signals."""
        grid = self.grid(signal)
        lines = [
            f"real *const z = c->arena + {self._transformed(signal, u)};",
            *self._transform(grid, self._own(signal)),
        ]
        return f".spectra = {self.functions.statements('spectra', f'spectra_{signal.spectrum}', lines)}"

    def _filters(self, name: str, fold: Fold, grid: Grid, parent: Spectrum) -> list[str]:
        """From a window of the parent's spectrum to the moduli of lines."""
        bank = tables.filters(self.spec, fold, parent, self.options.dtype, self.known.get(f"{name}_w"))
        self.tables |= {f"{name}_w": bank.w, f"{name}_start": bank.start}
        return [
            f".filter = {bank.w[0].size}, .wide = {bank.widths[-1]}",
            f".inverse = &{self.functions.inverse(grid)}",
        ]

    def _spectra(self, grid: Grid, own: Spectrum, first: str, size: int, z: int) -> list[str]:
        """The spectra of signals k and k + 1, at `first` and behind it; one without another is its own partner."""
        return [
            f"real *const z = c->arena + {z};",
            "const ptrdiff_t next = least(k + 1, count - 1) - k;",
            f"const real *const a = u + k * {size}, *const b = a + next * {size};",
            f"real *const at = {first}, *const beside = at + next * {own.size};",
            *self._transform(grid, own),
        ]

    def _transform(self, grid: Grid, own: Spectrum) -> list[str]:
        """The spectra of signals a and b, by way of z, to where they begin."""
        call, room = self.functions.forward(grid), grid.transform
        if grid.kind == "line":
            low, high = own.axes[0]
            (n,) = grid.shape
            return [
                f"{call}, a, b, z, {room}, {grid.forward[0]});",
                f"spectra_line(z, {room}, {n}, {low}, {high}, at, beside, {own.part});",
            ]
        volume = grid.kind == "volume"
        shape = (1, *grid.rows, grid.shape[-2])[-3:]
        lows, highs = zip(*([(0, 1), *own.axes][-3:]), strict=True)
        plane = grid.plane if volume else 0
        lines = [f"{call}, a, b, z, {room}, {grid.row}{f', {plane}' * volume});"]
        for what, numbers in (("n", shape), ("low", lows), ("high", highs)):
            lines.append(f"const ptrdiff_t {what}[3] = {{{', '.join(map(str, numbers))}}};")
        lines.append(
            f"spectra_volume(z, {room}, {grid.row}, {plane}, n, low, high, at, beside, {own.part}, "
            f"{own.stride}, {own.plane if volume else 0});"
        )
        return lines

    # The root.

    def _trunk(self) -> SimpleNamespace:
        root, grid = self.root, self.grid(self.root)
        node = SimpleNamespace(
            u=self.arena,
            together=self.together,
            size=grid.size,
            input=prod(self.spec.input_shape),
            pad=self._pad(grid),
            results=self._results(root, grid),
            centre=[],
            spectrum=None,
        )
        node.stop = self.arena + self._place(root)
        if root.children:
            fft = self.graph[root.spectrum]
            assert isinstance(fft, Fft)
            if fft.centred:
                rows, columns = prod(grid.shape[:-1]), grid.shape[-1]
                node.centre = [
                    f"real *const v = u + k * {grid.size};",
                    f"const real mean = sum_image(v, {rows}, {columns}, {grid.stride}) / {rows * columns};",
                    f"for (ptrdiff_t i = 0; i < {rows * grid.stride}; i++)",
                    "    v[i] -= mean;",
                ]
            node.spectrum = SimpleNamespace(note=print_node(root.spectrum, fft), lines=self._root_spectrum())
        return node

    def _root_spectrum(self) -> list[str]:
        grid = self.grid(self.root)
        own = self._own(self.root)
        first, z = f"(real *)spectrum + (row + k) * {own.size}", self._transformed(self.root, self.arena)
        return self._spectra(grid, own, first, grid.size, z)

    def _pad(self, grid: Grid) -> list[str]:
        pad = self.graph[self.root.name]
        *rows, n = self.spec.input_shape
        if not isinstance(pad, Pad):
            if not rows:
                return [f"memcpy(to, from, {n} * sizeof(real));"]
            return [
                *[f"memset(to, 0, {grid.size} * sizeof(real));"] * (grid.stride > n),
                f"for (ptrdiff_t i = 0; i < {prod(rows)}; i++)",
                f"    memcpy(to + i * {grid.stride}, from + i * {n}, {n} * sizeof(real));",
            ]
        indices = []
        for axis, (side, width) in enumerate(zip(self.spec.input_shape, pad.widths, strict=True)):
            indices.append(f"{self.root.name}_index{axis}")
            known = self.known.get(indices[-1])
            self.tables[indices[-1]] = tables.pad_index(side, width, pad) if known is None else known
        if not rows:
            return [f"pad_line(from, c->tables[{indices[0]}], {grid.shape[0]}, to);"]
        sizes = f"{n}, {grid.shape[0]}, {grid.shape[1]}, {grid.stride}"
        return [f"pad_image(from, c->tables[{indices[0]}], c->tables[{indices[1]}], {sizes}, to);"]
