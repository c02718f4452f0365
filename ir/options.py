"""What a user may choose about a compilation, beyond the transform itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from scatc.ir.cost import Machine

TOLERANCE = {"float32": 1e-8, "float64": 1e-15}
"""L1 mass of a filter's frequency response, relative to its total, that may be dropped at each precision."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the passes and of the schedule.

    Attributes
    ----------
    dtype : {'float32', 'float64'}
    select : frozenset of paths, or None
        The paths to output (all if None).
    memory_limit : int or None
        Most bytes of working memory (all workers together, the output not counted).
    workers : int
        Threads that share a call.
    machine : Machine
        What the cost model assumes.
    save : str or None
        What a forward run keeps for its gradient, one of `scatc.ir.adjoint.SAVES`; None: as the cost model has it.
    """

    dtype: str = "float32"
    select: frozenset[tuple[int, ...]] | None = None
    memory_limit: int | None = None
    workers: int = 1
    machine: Machine = field(default_factory=Machine)
    save: str | None = None

    @property
    def tolerance(self) -> float:
        """L1 mass of a filter that may be dropped."""
        return TOLERANCE[self.dtype]

    @property
    def itemsize(self) -> int:
        """Bytes of a real number."""
        return 4 if self.dtype == "float32" else 8
