"""Check that the documents which a program writes say what it would write today.

    python tests/docs/generated.py            # fails, showing the difference, if one is out of date
    python tests/docs/generated.py --update   # rewrites them

The table below lists them.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

#: Document and the arguments of ``python`` that print it. A new generated document is a line here.
GENERATED: dict[str, tuple[str, ...]] = {
    "docs/passes.md": ("-m", "scatc.ir.passes"),
}


def main(update: bool) -> int:
    """Compare or rewrite every generated document."""
    stale = False
    for name, command in GENERATED.items():
        path = ROOT / name
        # From the folder above, where no `scatc` lies: the installed one speaks.
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT.parent, stdout=subprocess.PIPE, encoding="utf-8", check=True
        )
        if update:
            path.write_text(done.stdout, encoding="utf-8")
            continue
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = written.splitlines(), done.stdout.splitlines()
        diff = list(difflib.unified_diff(*lines, name, "generated now", lineterm=""))
        stale |= bool(diff)
        print("\n".join(diff) if diff else f"{name}: up to date")
    if stale:
        print("out of date: run `make docs ARGS=--update` and commit the result")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main("--update" in sys.argv[1:]))
