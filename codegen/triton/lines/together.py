"""Leaves of all parents by one launch each: where launches cost more than what they do.

The spectra of all first-order signals lie in one array, so that one kernel reads them whatever their lengths; a table
says where. What is lost is that a branch's spectrum is read while it is still in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton.cost import REAL, USUAL
from scatc.codegen.triton.lines import wavelet
from scatc.codegen.triton.lines.choices import Way
from scatc.codegen.triton.lines.ways import MANY, Choices
from scatc.ir.options import Options
from scatc.ir.spec import Spec


@dataclass(slots=True)
class Group:
    """Leaves that one launch makes.

    Attributes
    ----------
    shape : Shape
    leaves : list of Signal
    """

    shape: wavelet.Shape
    leaves: list[Signal]

    @property
    def paths(self) -> int:
        """Of all leaves."""
        return sum(leaf.paths for leaf in self.leaves)

    @property
    def result(self) -> Result:
        """What the first yields: all yield the like."""
        return self.leaves[0].results[0]


class Together:
    """How the leaves of a program are grouped, if they are.

    Attributes
    ----------
    groups : list of Group
    places : dict of str to int
        Of each first-order signal whose leaves are grouped, by name: where its spectrum begins, in bins for each pair.
    bins : int
        Of all of them.
    """

    def __init__(self, choices: Choices, root: Signal) -> None:
        found: dict[tuple[wavelet.Shape, int, int], Group] = {}
        for parent in root.children:
            follow = choices.signals[parent.name].follow
            if follow.spectrum is None or not follow.spectrum.own or follow.thinning is not None:
                continue
            for leaf in parent.children:
                if choices.signals[leaf.name].way is not Way.REGISTERS or leaf.spectrum or len(leaf.results) != 1:
                    continue
                shape = choices.shape(leaf, Way.REGISTERS, follow.spectrum.bins)
                if shape.sinks in (("local",), ("total",)):
                    shape = replace(shape, together=True)
                    key = (shape, leaf.level, leaf.results[0].group)
                    found.setdefault(key, Group(shape, [])).leaves.append(leaf)
        self.groups = [group for group in found.values() if len(group.leaves) > 1]
        self.places: dict[str, int] = {}
        self.bins = 0
        for group in self.groups:
            for leaf in group.leaves:
                assert leaf.parent is not None
                if leaf.parent.name not in self.places:
                    self.places[leaf.parent.name] = self.bins
                    self.bins += leaf.parent.paths * choices.spectrum_bins(leaf.parent)

    def holds(self, signal: Signal) -> bool:
        """Whether a signal is a leaf of a group."""
        return any(signal is leaf for group in self.groups for leaf in group.leaves)

    @property
    def saved(self) -> float:
        """Seconds that a call for `MANY` signals saves: launches, less what the cache no longer holds."""
        launches = sum(len(group.leaves) - 1 for group in self.groups)
        held = MANY * REAL * self.bins
        read = 0.0 if held <= USUAL.cache_bytes else held * (1 / USUAL.bandwidth - 1 / USUAL.cache_bandwidth)
        return launches * USUAL.launch - len(self.groups) * read


def choose(spec: Spec, options: Options, root: Signal) -> tuple[Choices, Together | None]:
    """The choices for a program, and the groups of its leaves if they pay."""
    alone = Choices(spec, options, root)
    if not 0 < root.length <= wavelet.MOST or root.length & (root.length - 1):
        return alone, None
    choices = Choices(spec, options, root, together=True)
    together = Together(choices, root)
    if choices.seconds - together.saved < alone.seconds:
        return choices, together
    return alone, None
