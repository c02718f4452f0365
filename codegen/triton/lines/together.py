"""Leaves of all parents by one launch each: where launches cost more than what they do.

The spectra of all first-order signals lie in one array, so that one kernel reads them whatever their lengths; a table
says where. What is lost is that a branch's spectrum is read while it is still in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton.cost import REAL, USUAL
from scatc.codegen.triton.lines import wavelet
from scatc.codegen.triton.lines.choices import Way
from scatc.codegen.triton.lines.parts import MANY
from scatc.codegen.triton.lines.ways import Choices
from scatc.ir.options import Options
from scatc.ir.spec import Spec

S = TypeVar("S")


@dataclass(slots=True)
class Group(Generic[S]):
    """Leaves that one launch makes, or takes there and back.

    Attributes
    ----------
    shape : Shape or Turn
        Of the kernel.
    leaves : list of Signal
    """

    shape: S
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
        found: dict[tuple[wavelet.Shape, int, int], Group[wavelet.Shape]] = {}
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
        self.places, self.bins = spectra(self.groups, choices)

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


def spectra(groups: Sequence[Group[Any]], choices: Choices) -> tuple[dict[str, int], int]:
    """Where the spectra of the parents of leaves lie, by the parents' names, and how many bins they have together."""
    places: dict[str, int] = {}
    bins = 0
    for leaf in (leaf for group in groups for leaf in group.leaves):
        assert leaf.parent is not None
        if leaf.parent.name not in places:
            places[leaf.parent.name] = bins
            bins += leaf.parent.paths * choices.spectrum_bins(leaf.parent)
    return places, bins


def possible(root: Signal) -> bool:
    """Whether the spectra of first-order signals can be made in registers, into one array."""
    return 0 < root.length <= wavelet.MOST and root.length & (root.length - 1) == 0


def choose(spec: Spec, options: Options, root: Signal) -> tuple[Choices, Together | None]:
    """The choices for a program, and the groups of its leaves if they pay."""
    alone = Choices(spec, options, root)
    if not possible(root):
        return alone, None
    choices = Choices(spec, options, root, together=True)
    together = Together(choices, root)
    if choices.seconds - together.saved < alone.seconds:
        return choices, together
    return alone, None
