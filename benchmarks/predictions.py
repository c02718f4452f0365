"""What the cost model says of GPU plans, and of the incumbent's sequence of operators: `gpu.py --predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import turns
from cases import Case
from peers import traffic

import scatc
from scatc.codegen.triton.cost import DEVICES

Row = dict[str, Any]
"""The figures of one case."""


@dataclass(frozen=True)
class Predicted:
    """What a call should take: forward, or forward and backward."""

    seconds: float
    floor: float
    bytes: float
    launches: int


def predicted(plan: Any, batch: int, device: str, of: str) -> Predicted:
    """What the cost model says of a plan; of both ways the sum."""
    ways = [plan.predict(batch, device), *([plan.predict(batch, device, of="vjp")] if of != "forward" else [])]
    launches = sum(row.launches for said in ways for row in said.rows)
    return Predicted(*(sum(getattr(said, name) for said in ways) for name in ("seconds", "floor", "bytes")), launches)


def spec_of(case: Case) -> scatc.Spec:
    more: dict[str, Any] = {"Q": case.Q} if case.dim == 1 else {"L": case.L}
    if case.T is not None:
        more["T"] = case.T
    return scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, **more)


PREDICTED = (
    ("case", 18),
    ("batch", 5),
    ("pass", 16),
    ("device", 6),
    ("launches", 8),
    ("MB moved", 9),
    ("ms", 8),
    ("floor ms", 8),
    ("peer ms", 8),
    ("in a graph", 10),
    ("ratio", 6),
    ("in a graph", 10),
)

EAGER = 6e-6
"""Seconds that an operator of a framework takes the host, at least."""


def predicted_peer(moved: Sequence[int], device: str) -> tuple[float, float]:
    """Seconds of a sequence that moves these bytes: called eagerly, which the host may bound, and as a CUDA graph."""
    gpu = DEVICES[device]
    traffic = sum(one / (gpu.cache_bandwidth if one <= gpu.cache_bytes else gpu.bandwidth) for one in moved)
    graphed = traffic + gpu.launch * len(moved)
    return max(graphed, EAGER * len(moved)), graphed


def predict(chosen: Sequence[Case], target: str, passes: Sequence[str]) -> list[Row]:
    """Print what the cost model says of each case on each device that it knows, forward and back."""
    widths = [width for _, width in PREDICTED]
    print("predicted, not measured: launches go without gaps, as in a CUDA graph; the peer's operators take the host")
    print(f"{1e6 * EAGER:.0f} us each, or, in a CUDA graph, nothing: memory alone, and the same gaps as ours\n")
    print(turns.line([title for title, _ in PREDICTED], widths))
    rows: list[Row] = []
    for case in chosen:
        spec = spec_of(case)
        plan: Any = scatc.compile(spec, target=target, cache=False)
        for of in passes:
            try:
                moved = traffic(spec, case.batch, back=of != "forward")
            except ValueError:  # the incumbent has no such transform
                moved = []
            for device in DEVICES:
                rows.append(row_of(case, of, device, predicted(plan, case.batch, device, of), moved))
                print(turns.line(cells_of(rows[-1]), widths), flush=True)
    return rows


def row_of(case: Case, of: str, device: str, said: Predicted, moved: Sequence[int]) -> Row:
    """The figures of one line."""
    row: Row = {"case": case.to_json(), "pass": of, "device": device, "launches": said.launches, "bytes": said.bytes}
    row |= {"predicted_seconds": said.seconds, "floor_seconds": said.floor}
    if moved:
        peer, graphed = predicted_peer(moved, device)
        row |= {"peer_seconds": peer, "peer_graph_seconds": graphed, "ratio": peer / said.seconds}
    return row


def cells_of(row: Row) -> list[str]:
    """The same as text."""
    case, ours = row["case"], row["predicted_seconds"]
    cells = [case["name"], str(case["batch"]), row["pass"], row["device"], str(row["launches"])]
    cells += [f"{row['bytes'] / 1e6:.1f}", *(f"{1e3 * one:.3f}" for one in (ours, row["floor_seconds"]))]
    if "ratio" not in row:
        return cells + ["-"] * 4
    theirs = row["peer_seconds"], row["peer_graph_seconds"]
    return cells + [f"{1e3 * one:.3f}" for one in theirs] + [f"{one / ours:.1f}" for one in theirs]
