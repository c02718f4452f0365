"""What the cost model says of GPU plans, and of the incumbent's sequence of operators: `gpu.py --predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import turns
from cases import Case
from peers import traffic

import scatc
from scatc.codegen.triton.cost import DEVICES

Row = dict[str, Any]
"""The figures of one case."""


def launches(prediction: Any) -> int:
    return sum(row.launches for row in prediction.rows)


def spec_of(case: Case) -> scatc.Spec:
    more: dict[str, Any] = {"Q": case.Q} if case.dim == 1 else {"L": case.L}
    if case.T is not None:
        more["T"] = case.T
    return scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, **more)


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


def predicted_peer(moved: Sequence[int], device: str) -> tuple[float, float]:
    """Seconds of a sequence that moves these bytes: called eagerly, which the host may bound, and as a CUDA graph."""
    gpu = DEVICES[device]
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
        spec = spec_of(case)
        plan: Any = scatc.compile(spec, target=target, cache=False)
        try:
            moved = traffic(spec, case.batch)
        except ValueError:  # the incumbent has no such transform
            moved = []
        for device in DEVICES:
            said = plan.predict(case.batch, device)
            row: Row = {"case": case.to_json(), "device": device, "launches": launches(said), "bytes": said.bytes}
            row |= {"predicted_seconds": said.seconds, "floor_seconds": said.floor}
            cells = [case.name, str(case.batch), device, str(launches(said)), f"{said.bytes / 1e6:.1f}"]
            cells += [f"{1e3 * one:.3f}" for one in (said.seconds, said.floor)]
            if moved:
                peer, graphed = predicted_peer(moved, device)
                row |= {"peer_seconds": peer, "peer_graph_seconds": graphed, "ratio": peer / said.seconds}
                cells += [f"{1e3 * one:.3f}" for one in (peer, graphed)]
                cells += [f"{one / said.seconds:.1f}" for one in (peer, graphed)]
            else:
                cells += ["-"] * 4
            rows.append(row)
            print(turns.line(cells, widths), flush=True)
    return rows
