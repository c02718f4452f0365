"""Measure GPU plans: checked against float64 first, then timed turn by turn with plain torch and the incumbent's way.

    python benchmarks/gpu.py                                      # on a machine with a GPU; --device hip for AMD
    python benchmarks/gpu.py --cases 4096 --rounds 50 --json result.json
    python benchmarks/gpu.py --check-only                         # correctness alone
    python benchmarks/gpu.py --predict                            # what the cost model says; no GPU needed
    TRITON_INTERPRET=1 python benchmarks/gpu.py --check-only --small  # the checks on small cases, on the CPU

Per case, forward and then forward and backward: the medians, in milliseconds between two CUDA events, of the plan
called eagerly, of the same call as a CUDA graph, of the source of target="torch", of the incumbent's operators
(`peer_*.py`), and of Kymatio itself where it can be imported; the medians of the ratios of neighbouring runs; what was
predicted, and what bounds it; peak memory. Ours backward is what a plan for target="torch" runs on a GPU. A case whose
results or gradients are wrong is not timed, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import turns
from cases import Case
from gpu_checks import Reference, beyond, checked, checked_gradient
from gpu_sides import BACK, FORWARD, OURS, PASSES, Sides, on_gpus, peaks, there_and_back, timed
from predictions import predict, predicted, spec_of
from torch import Tensor

import scatc
from scatc.codegen.triton.cost import DEVICES

CASES = (
    Case("1d-65536-J8-Q8", 1, (65536,), J=8, Q=8, batch=64),
    Case("1d-4096-J8-Q8", 1, (4096,), J=8, Q=8, batch=256),
    Case("1d-65536-J13-Q12", 1, (65536,), J=13, Q=12, batch=256),
    Case("1d-1024-J8-Q1", 1, (1024,), J=8, Q=1, batch=256),
    Case("2d-256-J2-L8", 2, (256, 256), J=2, L=8, batch=384),
    Case("2d-32-J2-L8", 2, (32, 32), J=2, L=8, batch=768),
    Case("2d-224-J3-L8", 2, (224, 224), J=3, L=8, batch=768),
    Case("2d-256-J7-L4-global", 2, (256, 256), J=7, L=4, batch=64, T="global"),
    Case("3d-128-J2-L2", 3, (128, 128, 128), J=2, L=2, batch=8),
)
SMALL = (
    Case("1d-2100-J3-Q1-small", 1, (2100,), J=3, Q=1, batch=2),
    Case("1d-256-J4-Q2-small", 1, (256,), J=4, Q=2, batch=4),
    Case("1d-1024-J7-Q1-small", 1, (1024,), J=7, Q=1, batch=2),
    Case("1d-128-J6-Q1-small", 1, (128,), J=6, Q=1, batch=4),
    Case("2d-32-J2-L2-small", 2, (32, 32), J=2, L=2, batch=4),
    Case("2d-24-J3-L1-global-small", 2, (24, 24), J=3, L=1, batch=2, T="global"),
    Case("3d-8-J2-L2-small", 3, (8, 8, 8), J=2, L=2, batch=3),
    Case("3d-16-J0-L1-small", 3, (16, 16, 16), J=0, L=1, batch=2),
)
"""Of the same kinds, for Triton's interpreter."""

INPUTS = 4
"""Different inputs, in rotation."""

Row = dict[str, Any]
"""The figures of one case, one way or there and back."""


# One case.


def known_device(name: str) -> str | None:
    """Which of the cost model's devices this is, if any: a GH200 is no H200."""
    return next((known for known in DEVICES if re.search(rf"\b{known}\b", name)), None)


@torch.no_grad()
def measure(case: Case, options: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """Check one case and, where that is asked for and it is right, time it: forward, then forward and backward."""
    spec = spec_of(case)
    start = perf_counter()
    plan: Any = scatc.compile(spec, target=options.device, cache=False)
    row: Row = {"case": case.to_json(), "pass": FORWARD, "compile_seconds": perf_counter() - start}
    generator = torch.Generator(device).manual_seed(0)
    inputs = [torch.randn((case.batch, *case.shape), generator=generator, device=device) for _ in range(INPUTS)]
    start = perf_counter()
    y = plan(inputs[0])
    y.sum().item()  # waits for it
    row["first_call_seconds"] = perf_counter() - start
    reference = Reference(spec)
    row["errors"] = checked(case, plan, reference, inputs[0], y)
    g = torch.randn(y.shape, generator=generator, device=device)
    del y
    row["wrong"] = beyond(row["errors"])
    if FORWARD in options.passes:
        yield completed(row, case, plan, reference, inputs, None, options)
    if BACK in options.passes:
        gradient = gradient_of(plan, interpreted=device.type != "cuda")
        back: Row = {"case": case.to_json(), "pass": BACK}
        back["errors"] = checked_gradient(case, gradient, reference, inputs[0], g)
        back["wrong"] = row["wrong"] + beyond(back["errors"])
        yield completed(back, case, plan, reference, inputs, g, options)


def gradient_of(plan: Any, *, interpreted: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """How gradients are computed: as a model would, or by the plan itself in the interpreter."""
    if interpreted:
        return plan.vjp
    call = scatc.compile(plan.spec, target="torch", cache=False)
    return lambda x, g: on_gpus(lambda x: there_and_back(call, x, g), "triton")(x)


def completed(
    row: Row,
    case: Case,
    plan: Any,
    reference: Reference,
    inputs: Sequence[Tensor],
    g: Tensor | None,
    options: argparse.Namespace,
) -> Row:
    """A row of errors with its times, unless they were not asked for or something is wrong."""
    if options.check_only or row["wrong"]:
        return row
    sides = Sides(case, plan, reference, inputs, g)
    row |= {"errors_timed": sides.errors, "absent": sides.absent, "parts": sides.parts}
    row["wrong"] = beyond({name: found for name, found in sides.errors.items() if name in OURS})
    row["seconds"] = seconds = timed(sides.found, inputs, options.rounds)
    row["median_seconds"] = median = turns.medians(seconds)
    row["ratio"] = {
        ours: {other: ratio(seconds[other], seconds[ours]) for other in seconds if other not in OURS}
        for ours in OURS
        if ours in seconds
    }
    row["peak_bytes"] = peaks(sides.found, inputs[0])
    row |= against(plan, case, row["pass"], median, known_device(torch.cuda.get_device_name(inputs[0].device)))
    return row


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times as long they took: the median over neighbouring runs."""
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


def against(plan: Any, case: Case, of: str, median: dict[str, float], known: str | None) -> Row:
    """What was predicted, beside what was measured: of the graph, else of eager calls."""
    said = predicted(
        plan, case.batch, known or next(iter(DEVICES)), of
    )  # the bytes that it moves are no device's matter
    found: Row = {"bytes": said.bytes, "launches": said.launches, "predicted_for": known}
    ours = median.get("graph", median.get("eager"))
    if ours is not None:
        found["bandwidth"] = said.bytes / ours
    if known:
        found |= {"predicted_seconds": said.seconds, "floor_seconds": said.floor}
        if ours is not None:
            found["share_of_floor"] = said.floor / ours
    return found


# What is printed.

COLUMNS = (
    ("", "case", 18),
    ("", "batch", 5),
    ("", "pass", 16),
    ("ms:", "eager", 8),
    ("", "graph", 8),
    ("", "torch", 8),
    ("", "peer", 8),
    ("", "kymatio", 8),
    ("by eager:", "torch", 9),
    ("", "peer", 5),
    ("by graph:", "torch", 9),
    ("", "peer", 5),
    ("predicted:", "ms", 10),
    ("", "floor", 6),
    ("", "of floor", 8),
    ("", "GB/s", 5),
    ("peak MiB:", "ours", 9),
    ("", "torch", 6),
    ("", "peer", 6),
)
WIDTHS = tuple(width for _, _, width in COLUMNS)


def printed(row: Row) -> str:
    """One case's line, and below it what is missing from it or wrong."""
    name, median, errors = row["case"]["name"], row.get("median_seconds", {}), row["errors"]
    if not median:
        worst = {key: max(found.values(), key=lambda e: (math.isnan(e), e)) for key, found in errors.items()}
        verdict = f"WRONG, not timed: {'; '.join(row['wrong'])}" if row["wrong"] else "right"
        return (
            f"{name}, {row['case']['batch']} signals, {row['pass']}: {verdict}; largest errors: {turns.listed(worst)}"
        )
    cells = [name, str(row["case"]["batch"]), row["pass"]]
    cells += [turns.figure(median, side, 1e-3, 3) for side in ("eager", "graph", "torch", "peer", "kymatio")]
    for ours in OURS:
        cells += [turns.figure(row["ratio"].get(ours, {}), other, 1, 1) for other in ("torch", "peer")]
    cells += [turns.figure(row, key, 1e-3, 3) for key in ("predicted_seconds", "floor_seconds")]
    cells += [turns.figure(row, "share_of_floor", 1, 2), turns.figure(row, "bandwidth", 1e9, 0)]
    cells += [turns.figure(row["peak_bytes"], side, 2**20, 0) for side in ("eager", "torch", "peer")]
    notes = [f"    no {side}: {why}" for side, why in row["absent"].items()]
    notes += [f"    {side}: in {n} parts, for want of memory" for side, n in row["parts"].items() if n > 1]
    return "\n".join([turns.line(cells, WIDTHS), *notes])


def about(device: torch.device) -> dict[str, str | None]:
    """The machine, and versions of what runs on it."""
    found: dict[str, str | None] = {"platform": platform.platform(), "python": platform.python_version()}
    on_gpu = device.type == "cuda"
    found["device"] = torch.cuda.get_device_name(device) if on_gpu else "Triton's interpreter"
    found["driver"] = driver() if on_gpu else None
    found |= {"cuda": torch.version.cuda, "hip": torch.version.hip}
    for package in ("scatc", "torch", "triton", "pytorch-triton-rocm", "numpy", "kymatio"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def driver() -> str | None:
    """The version of NVIDIA's driver, by its own tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return said[0].strip() if said else None


# The command.


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    made.add_argument("--cases", nargs="+", default=[""], metavar="TEXT", help="only those whose names hold a text")
    made.add_argument("--rounds", type=int, default=20, help="timed runs of each side (default: 20)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    made.add_argument("--device", choices=("cuda", "hip"), default="cuda", help="whose GPU (default: cuda)")
    made.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES, help="which ways (default: both)")
    made.add_argument("--check-only", action="store_true", help="compare with float64, and time nothing")
    made.add_argument("--small", action="store_true", help="small cases, such as Triton's interpreter can do")
    made.add_argument("--predict", action="store_true", help="print predicted times alone, for which no GPU is needed")
    return made


def find_device(options: argparse.Namespace) -> torch.device | None:
    """Where plans run, or None: nothing is timed on a CPU."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu") if options.check_only else None
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else None


def compare(chosen: Sequence[Case], options: argparse.Namespace, device: torch.device) -> tuple[list[Row], list[str]]:
    """Check and time the cases; the figures, and the names of those that failed."""
    rows: list[Row] = []
    failed: list[str] = []
    if not options.check_only:
        known = known_device(torch.cuda.get_device_name(device))
        print(f"predictions are for {known}" if known else "this device is unknown to the cost model: no predictions")
        for n in (0, 1):
            print(turns.line([column[n] for column in COLUMNS], WIDTHS), flush=True)
    for case in chosen:
        try:
            for row in measure(case, options, device):
                rows.append(row)
                print(printed(row), flush=True)
                if row["wrong"] or "eager" in row.get("absent", {}):
                    failed.append(f"{case.name}, {row['pass']}")
        except Exception as error:  # one case that fails must not cost the others' figures
            failed.append(case.name)
            print(f"{case.name}: {type(error).__name__}: {error}", flush=True)
    return rows, failed


def main() -> int:
    """Check, measure, print, and write the figures down; the exit status."""
    options = parser().parse_args()
    chosen = [case for case in (SMALL if options.small else CASES) if any(text in case.name for text in options.cases)]
    written: Row = {"rounds": options.rounds}
    failed: list[str] = []
    if options.predict:
        written["predicted"] = predict(chosen, options.device, options.passes)
    else:
        device = find_device(options)
        if device is None:
            print(
                "this needs a GPU, and torch finds none that it may use; without one there are --predict and, with "
                "TRITON_INTERPRET=1 in the environment, --check-only --small",
                file=sys.stderr,
            )
            return 2
        written |= about(device)
        print(", ".join(f"{key} {value}" for key, value in about(device).items() if value), flush=True)
        written["cases"], failed = compare(chosen, options, device)
        written["failed"] = failed
    if options.json:
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
