"""The benchmark set: the transforms and batches on which scatc is compared with others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One transform on one batch, in float32."""

    name: str
    dim: int
    shape: tuple[int, ...]
    J: int
    batch: int
    Q: int = 1
    """Wavelets per octave (1D)."""
    L: int = 0
    """Angles (2D) or maximal degree (3D)."""
    T: str | None = None
    """"global" for averages over whole signals."""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Case:
        """Undo `to_json`."""
        return cls(**{**fields, "shape": tuple(fields["shape"])})

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)

    def tiny(self) -> Case:
        """Return a transform of the same kind that takes next to no memory, for libraries to set themselves up with."""
        shape = {1: (512,), 2: (16, 16), 3: (8, 8, 8)}[self.dim]
        return Case(f"{self.name}-tiny", self.dim, shape, J=2, batch=1, Q=1, L=1)


CASES = (
    Case("1d-1024-J8-Q1", 1, (1024,), J=8, Q=1, batch=32),
    Case("1d-4096-J8-Q8", 1, (4096,), J=8, Q=8, batch=32),
    Case("1d-65536-J13-Q12", 1, (65536,), J=13, Q=12, batch=2),
    Case("1d-65536-J8-Q8", 1, (65536,), J=8, Q=8, batch=2),
    Case("2d-32-J2-L8", 2, (32, 32), J=2, L=8, batch=96),
    Case("2d-224-J3-L8", 2, (224, 224), J=3, L=8, batch=6),
    Case("2d-256-J2-L8", 2, (256, 256), J=2, L=8, batch=6),
    Case("2d-64-J6-L2", 2, (64, 64), J=6, L=2, batch=12),
    Case("3d-32-J2-L2", 3, (32, 32, 32), J=2, L=2, batch=4),
    Case("3d-64-J2-L2", 3, (64, 64, 64), J=2, L=2, batch=2),
    Case("3d-128-J2-L2", 3, (128, 128, 128), J=2, L=2, batch=1),
)
