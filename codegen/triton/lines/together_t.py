"""Leaves of all parents there and back by one launch for each length: where launches cost more than what they do.

As `together.py` on the way there: the spectra of first-order signals lie in one array, and so do the spectra of the
cotangents of leaves that are grouped. All signals come about first, then all leaves go there and back, and then each
first-order signal adds up what its leaves bring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton.cost import COMPLEX, REAL, USUAL
from scatc.codegen.triton.lines.choices import Way
from scatc.codegen.triton.lines.parts import MANY
from scatc.codegen.triton.lines.together import Group, possible, spectra
from scatc.codegen.triton.lines.wavelet_t import Turn
from scatc.codegen.triton.lines.ways_t import Back, Returns
from scatc.ir.options import Options
from scatc.ir.spec import Spec


class Grouped:
    """How the leaves of a program are grouped.

    Attributes
    ----------
    groups : list of Group
    spectra : dict of str to int
        Of each first-order signal whose leaves are grouped, by name: where its spectrum begins, in bins for each pair.
    bins : int
        Of all of them.
    """

    def __init__(self, returns: Returns, root: Signal) -> None:
        found: dict[tuple[Turn, int, int], Group[Turn]] = {}
        for parent in root.children:
            choice = returns.of(parent)
            spectrum, cuts = choice.follow.spectrum, [below.cut for below in choice.follow.children.values()]
            if (
                choice.way is not Way.REGISTERS
                or spectrum is None
                or not spectrum.own
                or choice.follow.cut
                or any(cuts)
            ):
                continue  # its samples are gone when the leaves have been there and back
            for leaf in parent.children:
                result = returns.source(leaf)
                if returns.of(leaf).back is not Back.REGISTERS or result is None or result.kind == "raw":
                    continue
                shape = returns.turn(leaf, spectrum.bins)
                shape = replace(shape, there=replace(shape.there, together=True))
                found.setdefault((shape, leaf.level, result.group), Group(shape, [])).leaves.append(leaf)
        self.groups = [group for group in found.values() if len(group.leaves) > 1]
        self.spectra, self.bins = spectra(self.groups, returns)

    def places(self) -> dict[str, int]:
        """Of each leaf by name, where the spectra of its cotangent begin, in numbers for each pair."""
        found, place = {}, 0
        for group in self.groups:
            for leaf in group.leaves:
                found[leaf.name] = place
                place += 2 * leaf.paths * group.shape.there.length
        return found

    @property
    def numbers(self) -> int:
        """Of all leaves' cotangents, for each pair."""
        return sum(numbers(group) for group in self.groups)

    @property
    def live_bytes(self) -> int:
        """Of both arrays, for each signal of the batch."""
        return COMPLEX // 2 * (self.bins + self.numbers)

    @property
    def saved(self) -> float:
        """Seconds that a call for `MANY` signals saves: launches, less what the cache no longer holds."""
        launches = sum(len(group.leaves) - 1 for group in self.groups)
        held = MANY * self.live_bytes
        if held <= USUAL.cache_bytes:
            return launches * USUAL.launch
        read = MANY * REAL * (len(self.groups) * self.bins + 2 * self.numbers)
        return launches * USUAL.launch - read * (1 / USUAL.bandwidth - 1 / USUAL.cache_bandwidth)


def numbers(group: Group[Turn]) -> int:
    """What the launch for a group writes for each pair."""
    return 2 * group.paths * group.shape.there.length


def choose(
    spec: Spec, options: Options, root: Signal, coefficients: Mapping[str, list[Result]]
) -> tuple[Returns, Grouped | None]:
    """The choices for a gradient, and the groups of its leaves if they pay."""
    alone = Returns(spec, options, root, coefficients)
    if not possible(root):
        return alone, None
    returns = Returns(spec, options, root, coefficients, together=True)
    grouped = Grouped(returns, root)
    if not grouped.groups or returns.seconds - grouped.saved >= alone.seconds:
        return alone, None
    returns.apart = grouped.places()
    return returns, grouped
