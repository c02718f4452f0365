"""What the cost model says of GPU plans, and of the incumbent's sequence of operators: `gpu.py --predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import turns
from cases import Case
from peer_torch import operators

import scatc
from scatc.codegen.triton.cost import DEVICES

Row = dict[str, Any]
"""The figures of one case."""


def launches(prediction: Any) -> int:
    return sum(row.launches for row in prediction.rows)


def spec_of(case: Case) -> scatc.Spec:
    return scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, Q=case.Q)


PREDICTED = (
    ("case", 18),
    ("batch", 5),
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


def predicted_peer(spec: scatc.Spec, batch: int, device: str) -> tuple[float, float]:
    """Seconds of the incumbent's sequence: called eagerly, which the host may bound, and as a CUDA graph."""
    gpu = DEVICES[device]
    moved = [batch * one for one in operators(spec)]
    traffic = sum(one / (gpu.cache_bandwidth if one <= gpu.cache_bytes else gpu.bandwidth) for one in moved)
    graphed = traffic + gpu.launch * len(moved)
    return max(graphed, EAGER * len(moved)), graphed


def predict(chosen: Sequence[Case], target: str) -> list[Row]:
    """Print what the cost model says of each case on each device that it knows."""
    widths = [width for _, width in PREDICTED]
    print("predicted, not measured: launches go without gaps, as in a CUDA graph; the peer's operators take the host")
    print(f"{1e6 * EAGER:.0f} us each, or, in a CUDA graph, nothing: memory alone, and the same gaps as ours\n")
    print(turns.line([title for title, _ in PREDICTED], widths))
    rows: list[Row] = []
    for case in chosen:
        plan: Any = scatc.compile(spec_of(case), target=target, cache=False)
        for device in DEVICES:
            said = plan.predict(case.batch, device)
            row: Row = {"case": case.to_json(), "device": device, "launches": launches(said), "bytes": said.bytes}
            peer, graphed = predicted_peer(spec_of(case), case.batch, device)
            row |= {"predicted_seconds": said.seconds, "floor_seconds": said.floor}
            rows.append(row | {"peer_seconds": peer, "peer_graph_seconds": graphed, "ratio": peer / said.seconds})
            cells = [case.name, str(case.batch), device, str(launches(said)), f"{said.bytes / 1e6:.1f}"]
            cells += [f"{1e3 * one:.3f}" for one in (said.seconds, said.floor, peer, graphed)]
            cells += [f"{one / said.seconds:.1f}" for one in (peer, graphed)]
            print(turns.line(cells, widths), flush=True)
    return rows
