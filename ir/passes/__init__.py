"""The passes, in the order in which they run.

Each is a function `(graph, options) -> graph` in a file of its own whose docstring states the rewrite as an equation
and when it is legal. `run_passes` runs them all and, in debug mode, verifies after each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from scatc.ir.graph import Graph
from scatc.ir.options import Options
from scatc.ir.passes.batch_siblings import batch_siblings
from scatc.ir.passes.centre_spectra import centre_spectra
from scatc.ir.passes.fuse_fold import fuse_fold
from scatc.ir.passes.fuse_ripples import fuse_ripples
from scatc.ir.passes.infer_support import infer_support
from scatc.ir.passes.lower_leaves import lower_leaves
from scatc.ir.passes.narrow_spectra import narrow_spectra
from scatc.ir.passes.select_paths import select_paths
from scatc.ir.passes.to_fourier import to_fourier
from scatc.ir.passes.use_real import use_real
from scatc.ir.verify import verify

Pass = Callable[[Graph, Options], Graph]

PASSES: tuple[Pass, ...] = (
    select_paths,
    infer_support,
    to_fourier,
    fuse_fold,
    fuse_ripples,
    use_real,
    lower_leaves,
    batch_siblings,
    narrow_spectra,
    centre_spectra,
)


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What a pass did: its name, the nodes it left and the milliseconds it took."""

    name: str
    nodes: int
    milliseconds: float


def run_passes(graph: Graph, options: Options, *, debug: bool | None = None) -> tuple[Graph, list[PassRecord]]:
    """Run all passes; `debug` (default: the environment variable SCATC_DEBUG) verifies after each."""
    if debug is None:
        debug = os.environ.get("SCATC_DEBUG", "") not in ("", "0")
    records = []
    for run in PASSES:
        start = time.perf_counter()
        graph = run(graph, options)
        records.append(PassRecord(run.__name__, len(graph), 1e3 * (time.perf_counter() - start)))
        if debug:
            verify(graph)
    return graph, records
