"""Launches for pieces of transforms of lines: blocks of long signals, and leaves of several parents.

`walk.py` walks the tree and says which signal takes which way; here is how the newer of these are written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import USUAL
from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.launch import Launch, kernel_name
from scatc.codegen.triton.lines import blocks as cutting
from scatc.codegen.triton.lines import wavelet
from scatc.codegen.triton.lines.blocks import Blocks, Cut, Thin
from scatc.codegen.triton.lines.choices import Choice, Line
from scatc.codegen.triton.lines.parts import BLOCK, MANY, Parts
from scatc.codegen.triton.lines.together import Group, Together, choose
from scatc.codegen.triton.tuned import Warps


class Pieces(Emitter):
    """What `Lines` launches, signal by signal.

    Attributes
    ----------
    choices : Choices
    together : Together or None
        The leaves that are grouped.
    parts : dict of int to Parts
        Averages whose terms programs share, by the number of their output.
    cuts : dict of str to Cut or Thin
        What the kernels of blocks are specialised to, by name.
    """

    together: Together | None

    def prepare(self) -> None:
        """What the walk gathers."""
        self.choices, self.together = choose(self.spec, self.options, self.root)
        self.cuts: dict[str, Cut | Thin] = {}
        self.parts: dict[int, Parts] = {}

    def explain(self) -> str:
        """Which way each signal took, and what others would have taken."""
        lines = [
            f"ways, as predicted for {MANY} signals on {USUAL.name}: us to a signal's samples, or its coefficients",
            f"{'signal':<24}{'samples':>8}{'rows':>6}  {'way':<10}{'us':>8}  {'of':<14}others",
        ]
        for signal in self.root.all():
            choice = self._choice(signal)
            if signal.parent is None:
                continue
            source = f"blocks {choice.cut.length}" if choice.cut else "spectrum"
            if self.together and self.together.holds(signal):
                source = "X1, grouped"
            others = ", ".join(f"{way.name} {1e6 * one:.1f}" for way, one in choice.others.items())
            lines.append(
                f"{signal.name:<24}{signal.length:>8}{signal.paths:>6}  {choice.way.name:<10}"
                f"{1e6 * choice.seconds:>8.1f}  {source:<14}{others}".rstrip()
            )
        return "\n".join(lines) + "\n"

    def _choice(self, signal: Signal) -> Choice:
        return self.choices.signals[signal.name]

    def _packed(self, signal: Signal) -> str:
        """Room for the moduli of pairs of signals."""
        shape = f"({signal.paths}, pairs, {self._choice(signal).line.length})"
        self.write(f"{signal.name} = torch.empty({shape}, dtype=torch.complex64, device=x.device)")
        return signal.name

    def _filters(self, signal: Signal, padded: int = 0) -> list[str]:
        """The tables of a signal's filters, on windows of its parent's spectrum, as arguments."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        thinning = self._choice(parent).follow.thinning
        by, smooth = (thinning.by, thinning.response) if thinning else (0, None)
        start, w = tables.filters(self.spec, fold, parent.length, padded, thinned=by, smooth=smooth)
        names = f"{signal.nodes[0]}_start", self._weights(signal, w.shape[1])
        self.table(names[0], start)
        self.table(names[1], w)
        return self.named(*names)

    def _weights(self, signal: Signal, width: int) -> str:
        """The name of the table of a signal's filters."""
        return f"{signal.nodes[0]}_w"

    def _kernel(self, shape: wavelet.Shape) -> str:
        """The name of a kernel in registers."""
        return kernel_name(self.shapes, shape, f"wavelet_{shape.length}")

    # Blocks of long signals.

    def _cut(self, signal: Signal, samples: str, cut: Blocks, number: int = 0) -> str:
        """The spectra of blocks; a signal may be cut in several ways."""
        name = f"B{number}_{signal.name}"
        self.write(
            f"# {cut.count} blocks of {cut.length} samples, the first from {cut.first - cut.halo} on, each but for "
            f"{cut.halo} at either end",
        )
        self._cut_line(name, signal.paths, samples, self._choice(signal).line, cut)
        return name

    def _cut_line(self, name: str, paths: int, samples: str, line: Line, cut: Blocks, place: int | None = None) -> None:
        """Launch the kernel that cuts; its result may have a place among those of other signals."""
        shape = self.taken(cutting.default_cut(cut.length, cut.bins, around=line.whole))
        kernel = kernel_name(self.cuts, shape, f"cut_{shape.length}")
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        sizes = f"({paths}, pairs, {cut.count}, {cut.bins})" if cut.count > 1 else f"({paths}, pairs, {cut.bins})"
        if place is None:
            self.write(f"{name} = torch.empty({sizes}, dtype=torch.complex64, device=x.device)")
        else:
            self.write(f"{name} = X1[{place} * pairs : {place + paths * cut.bins} * pairs].view{sizes}")
        arguments = [f"{samples}.view(torch.int64)", *self.named(f"twiddles_{shape.length}")]
        first = cut.first - cut.halo - line.first
        arguments += [f"{name}.view(torch.int64)", str(line.length), str(first), str(cut.hop), str(cut.count), "pairs"]
        grid = (f"triton.cdiv({cut.count} * pairs, {shape.rows})", str(paths))
        self.launch(Launch(kernel, cutting.CUT, grid, arguments, {}, shape.warps, paths * cut.count, shape))

    def _thin(self, signal: Signal, spectra: str) -> str:
        """A signal smoothed and subsampled, made of the spectra of its blocks."""
        follow = self._choice(signal).follow
        cut, thinning = follow.cut, follow.thinning
        assert cut is not None and thinning is not None
        by = thinning.by
        shape = self.taken(cutting.default_thin(cut.length >> by, cut.bins, cut.halo >> by))
        kernel = kernel_name(self.cuts, shape, f"thin_{shape.length}")
        k = np.arange(shape.length)
        bins = np.concatenate([k, k - shape.length]) / cut.length
        smooth = f"smooth_{signal.name}"
        self.table(smooth, (thinning.response(bins) / cut.length).astype(np.float32))
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        name, length = f"thin_{signal.name}", signal.length >> by
        self.write(f"{name} = torch.zeros(({signal.paths}, pairs, {length}), dtype=torch.complex64, device=x.device)")
        arguments = [f"{spectra}.view(torch.int64)", *self.named(smooth, f"twiddles_{shape.length}")]
        numbers = (length, cut.first >> by, cut.hop >> by, cut.count)
        arguments += [f"{name}.view(torch.int64)", *map(str, numbers), "pairs"]
        grid = (f"triton.cdiv({cut.count} * pairs, {shape.rows})", str(signal.paths))
        self.launch(Launch(kernel, cutting.THIN, grid, arguments, {}, shape.warps, signal.paths * cut.count, shape))
        return name

    @staticmethod
    def filters_and_parents(signal: Signal) -> tuple[str, str]:
        """The axes of a grid: filters, and the paths that each is applied to."""
        assert signal.fold is not None
        filters = len(signal.fold.indices)
        return str(filters), str(signal.paths // filters)

    def _of_blocks(self, signal: Signal, cuts: dict[Blocks, str]) -> str:
        """The samples of a signal from the blocks of its parent."""
        choice, fold, parent = self._choice(signal), signal.fold, signal.parent
        cut = choice.cut
        assert fold is not None and parent is not None and cut is not None
        spectra = cuts.get(cut) or self._cut(parent, "U0", cut)
        shape = self.taken(self.choices.shape_of_blocks(signal, cut, choice.line))
        kernel, filters = self._kernel(shape), self._block_filters(signal, cut, shape.width)
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        samples = self._packed(signal)
        arguments = [f"{spectra}.view(torch.int64)", *filters]
        arguments += [*self.named(f"twiddles_{shape.length}"), f"{samples}.view(torch.int64)"]
        numbers = [str(cut.bins), "1", "n", "pairs"]
        numbers += [str(cut.count), str(choice.line.length)]
        grid = (f"triton.cdiv({2 * cut.count} * pairs, {shape.signals})", *self.filters_and_parents(signal))
        types = dict(wavelet.parameters(shape))
        paths = signal.paths * cut.count
        self.launch(Launch(kernel, types, grid, [*arguments, *numbers], {}, shape.warps, paths, shape))
        if cut not in cuts:
            self.write(f"del {spectra}")
        return samples

    def _block_filters(self, signal: Signal, cut: Blocks, width: int) -> list[str]:
        """The tables of a signal's filters, on windows of the spectra of its parent's blocks, as arguments."""
        name, fold, parent = signal.nodes[0], signal.fold, signal.parent
        assert fold is not None and parent is not None
        start, w = tables.block_filters(self.spec, fold, parent.length, cut.length, width)
        names = f"{name}_start", self._weights(signal, width)
        self.table(names[0], start)
        self.table(names[1], w)
        return self.named(*names)

    # What several parents have in common.

    def _walk(self) -> tuple[str, list[tuple[str, str]], str]:
        """As every program's; leaves that are grouped come last, and parts of averages."""
        trunk, branches, end = super()._walk()
        self.lines = []
        for group, parts in self.parts.items():
            self.write(f"parts{group} = torch.empty(({parts.total}, n, {parts.kept}), device=x.device)")
        trunk, self.lines = "\n".join([*self.lines, trunk]), []
        for leaves in self.together.groups if self.together else ():
            self._group(leaves)
        for group, parts in self.parts.items():
            self._add_up(group, parts)
        if self.lines:
            branches.append(("rest", "\n".join(self.lines)))
        return trunk, branches, end

    def _parted(self, signal: Signal, result: Result, count: int) -> tuple[str, str]:
        """Where parts of averages go, as arguments: the places of the first of each path, and the array."""
        rows = [self.program.places[path][1] for path in result.paths]
        parts = self.parts.setdefault(result.group, Parts(result.kept[0]))
        name = f"{signal.nodes[0] if signal.nodes else signal.name}_{result.kind}_part"
        self.table(name, parts.enter(rows, count, 0.0 if signal.parent else 1.0))
        return self.named(name)[0], f"parts{result.group}"

    def _add_up(self, group: int, parts: Parts) -> None:
        """All averages that are in parts."""
        names = []
        for name, table in parts.tables().items():
            names.append(f"parts{group}_{name}")
            self.table(names[-1], table)
        grid = (f"triton.cdiv(n * {parts.kept}, {BLOCK})", str(len(parts.row)))
        sizes = {"PATHS": len(self.program.outputs[group][1]), "KEPT": parts.kept, "BLOCK": BLOCK}
        arguments = [f"parts{group}", *self.named(*names), "mean", "scale", f"outs[{group}]", "n"]
        shape = self.taken(Warps("add_parts", parts.kept))
        self.static_launch("add_parts", parts.total, grid, arguments, sizes, shape)

    # Leaves of several parents.

    def _group(self, group: Group[wavelet.Shape]) -> None:
        """Leaves of several parents."""
        assert self.together is not None
        shape, result, level = self.taken(group.shape), group.result, group.leaves[0].level
        name, of = self._kernel(shape), f"leaves{level}_{shape.width}"
        arguments = ["X1.view(torch.int64)", *self._of_leaves(group.leaves, self.together.places, shape.width)]
        rows = [self.program.places[path][1] for leaf in group.leaves for path in leaf.results[0].paths]
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        self.table(f"{of}_{result.kind}_row", np.array(rows, np.int32))
        arguments += self.named(f"twiddles_{shape.length}")
        if result.kind == "local":
            averaging = tables.leaf_matrix(self.spec, level, result.by, result.first[0], shape)
            arguments += self.split(f"leaf{level}_{shape.warps}", averaging)
        arguments += ["scale", *self.named(f"{of}_{result.kind}_row"), f"outs[{result.group}]"]
        numbers = [str(len(self.program.outputs[result.group][1])), "n", "pairs"]
        grid = (f"triton.cdiv(2 * pairs, {shape.signals})", str(group.paths))
        types = dict(wavelet.parameters(shape))
        self.launch(Launch(name, types, grid, [*arguments, *numbers], {}, shape.warps, group.paths, shape))

    def _of_leaves(self, leaves: Sequence[Signal], spectra: Mapping[str, int], width: int) -> list[str]:
        """The tables of leaves of several parents, as arguments: where parents' spectra lie, and filters."""
        of = f"leaves{leaves[0].level}_{width}"
        places, starts, weights = [], [], []
        for leaf in leaves:
            self.note(*leaf.nodes, *(node for result in leaf.results for node in result.nodes))
            assert leaf.fold is not None and leaf.parent is not None
            start, w = tables.filters(self.spec, leaf.fold, leaf.parent.length, width)
            bins, filters = self.choices.spectrum_bins(leaf.parent), len(leaf.fold.indices)
            first = spectra[leaf.parent.name]
            places += [(first + bins * (path // filters), bins) for path in range(leaf.paths)]
            starts += [*np.tile(start, leaf.paths // filters)]
            weights += [np.tile(w, (leaf.paths // filters, 1))]
        self.table(f"{of}_place", np.array(places, np.int32))
        self.table(f"{of}_start", np.array(starts, np.int32))
        self.table(f"{of}_w", np.concatenate(weights))
        return self.named(f"{of}_place", f"{of}_start", f"{of}_w")
