"""The recursion that all transforms share: filter, modulus, output, and again on each child.

    U[()] = pad(x)        U[path, n] = subsample(|U[path] * psi_n|)        S[path] = average(U[path])

What differs between the dimensions (where a path may be subsampled, how U becomes a coefficient) is in `scattering1d`,
`scattering2d` and `scattering3d`, one file each. Orders are not limited: the recursion stops at `spec.order`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Protocol

from scatc.ir.graph import Graph
from scatc.ir.lower.joint import JointScattering
from scatc.ir.lower.scattering1d import Scattering1D
from scatc.ir.lower.scattering2d import Scattering2D
from scatc.ir.lower.scattering3d import Scattering3D
from scatc.ir.lower.steps import Step, chain
from scatc.ir.nodes import Filter, Input, Modulus, Node, Output, Pad, Subsample
from scatc.ir.paths import Path, all_paths, bank_name, children, infos
from scatc.ir.spec import Spec


class Transform(Protocol):
    """What one dimension decides."""

    spec: Spec

    def level(self, j: int) -> int:
        """log2 of the subsampling of U behind a filter of scale j."""
        ...

    def average(self, level: int) -> list[Step]:
        """The steps that turn U at `level` into its coefficient."""
        ...


TRANSFORMS: dict[int, Callable[[Spec], Transform]] = {1: Scattering1D, 2: Scattering2D, 3: Scattering3D}


def lower(spec: Spec) -> Graph:
    """The scattering graph of a spec, depth-first: a path's children follow its own coefficient."""
    nodes: dict[str, Node] = {"x": Input()}
    root = "x"
    if any(map(any, spec.padding_widths)) and not spec.pre_pad:
        nodes["U0"] = Pad("x", spec.padding_widths, spec.padding)
        root = "U0"
    if spec.joint:
        JointScattering(spec, nodes, root).lower()
    else:
        _visit(TRANSFORMS[spec.dim](spec), nodes, root, (), 0)
    return Graph(spec, nodes)


def _visit(transform: Transform, nodes: dict[str, Node], u: str, path: Path, level: int) -> None:
    spec = transform.spec
    if path in _output_paths(spec):
        chain(nodes, u, _tag(path), [*transform.average(level), ("out", partial(Output, paths=(path,)))])
    for index in children(spec, path):
        child = (*path, index)
        deeper = max(transform.level(infos(spec, child)[-1].j), level)
        bank = bank_name(spec, len(child))
        steps: list[Step] = [("Z", partial(Filter, bank=bank, index=index, level=level))]
        if deeper > level:
            steps.append(("D", partial(Subsample, by=deeper - level)))
        modulus = chain(nodes, u, _tag(child), [*steps, ("U", Modulus)])
        _visit(transform, nodes, modulus, child, deeper)


@lru_cache(maxsize=1)
def _output_paths(spec: Spec) -> frozenset[Path]:
    return frozenset(all_paths(spec))


def _tag(path: Path) -> str:
    """How the names of a path's nodes end."""
    return "".join(f"_{n}" for n in path) or "0"
