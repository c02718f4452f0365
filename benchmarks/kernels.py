"""Compile every GPU kernel of the benchmarks to machine code, without a GPU, and say what it needs.

    python benchmarks/kernels.py [--arch sm_80 sm_90] [--cases 4096 32x32] [--of forward vjp] [--workers 2]

Those of transforms and of gradients. Kernels compile in processes of their own, and Triton keeps what it compiled (in
TRITON_CACHE_DIR: name an empty folder to see how long it takes). The exit status is 1 if a kernel spills registers, or
needs more shared memory than the architecture has.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product
from time import perf_counter

import scatc

CASES = {
    "65536-J8-Q8": scatc.Spec(dim=1, shape=65536, J=8, Q=8),
    "4096-J8-Q8": scatc.Spec(dim=1, shape=4096, J=8, Q=8),
    "65536-J13-Q12": scatc.Spec(dim=1, shape=65536, J=13, Q=12),
    "1024-J8-Q1": scatc.Spec(dim=1, shape=1024, J=8, Q=1),
    "256x256-J2-L8": scatc.Spec(dim=2, shape=(256, 256), J=2, L=8),
    "32x32-J2-L8": scatc.Spec(dim=2, shape=(32, 32), J=2, L=8),
    "224x224-J3-L8": scatc.Spec(dim=2, shape=(224, 224), J=3, L=8),
    "128x128x128-J2-L2": scatc.Spec(dim=3, shape=(128, 128, 128), J=2, L=2),
}

PARTS = ("forward", "vjp")

SHARED = {"sm_80": 163 << 10, "sm_90": 227 << 10}
"""Bytes of shared memory that a program may have."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--arch", nargs="+", default=list(SHARED), help="architectures")
    parser.add_argument("--cases", nargs="+", default=[""], metavar="TEXT", help="only those whose names hold a text")
    parser.add_argument("--of", nargs="+", choices=PARTS, default=PARTS, help="transforms, gradients; default both")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that compile")
    arguments = parser.parse_args()
    wrong = 0
    for name, spec in CASES.items():
        if not any(text in name for text in arguments.cases):
            continue
        plan = scatc.compile(spec, target="cuda", cache=False)
        for of, arch in product(arguments.of, arguments.arch):
            start = perf_counter()
            needed = plan.resources(arch, arguments.workers, of)
            took = perf_counter() - start
            print(f"{name}, {of}, {arch}: {len(needed)} kernels in {took:.0f} s, less what Triton had", flush=True)
            for found in needed:
                bad = found.spills > 0 or found.shared > SHARED.get(arch, 64 << 10)
                wrong += bad
                verdict = "  <- too much" if bad else ""
                print(
                    f"  {found.registers:>4} registers {found.spills:>4} B spilled {found.shared:>7} B shared "
                    f"{found.warps:>3} warps {found.instructions:>6} instructions  {found.kernel}{verdict}",
                    flush=True,
                )
    print(f"{wrong} kernels need too much" if wrong else "no kernel spills, none needs too much shared memory")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
