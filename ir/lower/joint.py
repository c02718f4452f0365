"""Joint time-frequency scattering: rows of wavelets become an axis that is filtered as time is (see `ir/joint.py`)."""

from __future__ import annotations

from functools import partial

from scatc.ir.filters import banks
from scatc.ir.joint import Family, along, families, parents
from scatc.ir.lower.scattering1d import Scattering1D
from scatc.ir.lower.steps import Step, chain
from scatc.ir.nodes import Average, Filter, Mix, Modulus, Node, Output, Stack, Subsample, Unpad
from scatc.ir.spec import Spec


class JointScattering:
    """The walk: width first, for the wavelets of a scale are filtered together.

    Parameters
    ----------
    spec : Spec
    nodes : dict of str to Node
        The graph so far, which grows.
    root : str
        The padded signal.
    """

    def __init__(self, spec: Spec, nodes: dict[str, Node], root: str) -> None:
        self.spec, self.nodes, self.root = spec, nodes, root
        self.time = Scattering1D(spec)
        self._U: list[tuple[str, int]] = []  # moduli of order 1, with their levels

    def lower(self) -> None:
        """Append all nodes."""
        spec, every = self.spec, families(self.spec)
        self.chain(self.root, "0", [*self.time.average(0), ("out", partial(Output, paths=((),)))])
        self._U = [self._modulus(n1) for n1 in range(len(banks(spec)["psi1"]))]
        averages = [self.chain(u, f"_{n1}", self._first(level)) for n1, (u, level) in enumerate(self._U)]
        last: list[Step] = [("S", partial(Average, mode="global"))] if spec.average == "global" else []
        self._families("_fr", averages, [f for f in every if f.n2 is None], last)
        for n2, info in enumerate(banks(spec)["psi2"].info):
            if parents(spec, n2):
                level = self.time.level(info.j)
                waves = [self._wave(n1, n2, level) for n1 in parents(spec, n2)]
                self._families(f"_fr{n2}", waves, [f for f in every if f.n2 == n2], self.time.average(level))

    def chain(self, x: str, tag: str, steps: list[Step]) -> str:
        """Append nodes one behind the other; returns the name of the last."""
        return chain(self.nodes, x, tag, steps)

    def _modulus(self, n1: int) -> tuple[str, int]:
        level = self.time.level(banks(self.spec)["psi1"].info[n1].j)
        steps: list[Step] = [("Z", partial(Filter, bank="psi1", index=n1)), *_subsampled(level), ("U", Modulus)]
        return self.chain(self.root, f"_{n1}", steps), level

    def _first(self, level: int) -> list[Step]:
        """The average of a modulus in time, also where outputs are not averaged: order 1 is defined by it."""
        spec = self.spec
        stride = spec.log2_T if spec.log2_stride is None else spec.log2_stride
        steps: list[Step] = [("A", partial(Average, mode="local", level=level)), *_subsampled(stride - level, "B")]
        return [*steps, *([("S", partial(Unpad, kept=spec.kept(stride)))] if spec.average != "global" else [])]

    def _wave(self, n1: int, n2: int, level: int) -> str:
        u, before = self._U[n1]
        return self.chain(
            u,
            f"_{n1}_{n2}",
            [("Z", partial(Filter, bank="psi2", index=n2, level=before)), *_subsampled(level - before)],
        )

    def _families(self, tag: str, rows: list[str], found: list[Family], last: list[Step]) -> None:
        """From the rows of an axis to the outputs of its families."""
        first, *others = rows
        stacked = self.chain(first, tag, [("W", partial(Stack, others=tuple(others)))])
        end, *ends = (self.chain(stacked, f"{tag}_{f.n_fr}", self._mixes(f)) for f in found)
        joined = self.chain(end, tag, [("R", partial(Stack, others=tuple(ends)))])
        paths = tuple(path for f in found for path in f.paths)
        self.chain(joined, tag, [*last, ("out", partial(Output, paths=paths))])

    def _mixes(self, f: Family) -> list[Step]:
        """The filter of a family, the modulus, and the average along log-frequency."""
        steps = along(self.spec, f.n_fr)
        whole = self.spec.padded_fr >> steps.by
        mix = partial(Mix, bank="psi_fr", index=f.n_fr, by=steps.by)
        filtered: list[Step] = [("M", partial(mix, kept=whole if steps.mode else f.rows)), ("V", Modulus)]
        if steps.mode == "sum":
            filtered.append(("F", Mix))
        elif steps.mode:
            phi = partial(Mix, bank="phi_fr", level=steps.by, by=steps.then, kept=f.rows)
            filtered.append(("F", phi))
        return filtered


def _subsampled(by: int, name: str = "D") -> list[Step]:
    return [(name, partial(Subsample, by=by))] if by > 0 else []
