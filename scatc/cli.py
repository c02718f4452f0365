"""The command line: print what a transform compiles to, look after the cache, run the demo.

Exit codes: 0 done, 1 a problem was found (cache), 2 wrong usage or an impossible spec, 3 cannot be compiled with these
options, 4 something that is needed is not installed, 130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import scatc

if TYPE_CHECKING:
    from scatc.ir.paths import PathRow
    from scatc.runtime.cache import DiskCache

OK, PROBLEM, USAGE, CANNOT_COMPILE, MISSING, INTERRUPTED, NO_READER = 0, 1, 2, 3, 4, 130, 141

EPILOG = """\
examples:
  scatc inspect --shape 65536 --J 12 --Q 8                        what it costs and needs
  scatc inspect --shape 224x224 --J 3 --show source               the code that runs
  scatc inspect --shape 1024 --J 6 --show paths --sampling-rate 360
  scatc inspect --shape 1024 --J 6 --show spec | scatc inspect --json - --show all
"""


_VARIABLE = re.compile(r"SCATC_\w+=")  # how errors about environment variables begin


class UsageError(Exception):
    """The command line does not make sense."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, by default those of the process.

    Returns
    -------
    int
        The exit code: see the module. Errors are one line on stderr.
    """
    if sys.stdout is None:  # closed before Python started: whatever is printed would be lost without a word
        return _complain("standard output is closed: there is nowhere to print to", USAGE)
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            code = _run(argv)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
            return NO_READER
        except KeyboardInterrupt:
            return _complain("interrupted", INTERRUPTED)
        except Exception as error:
            return _failed(error)
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as done:  # --help and --version have printed what they should
        return done.code if isinstance(done.code, int) else OK
    command: Callable[[argparse.Namespace], int] = arguments.run
    return command(arguments)


def _failed(error: Exception) -> int:
    """Say what went wrong; raise again what nobody foresaw, for that is a bug and its traceback is wanted."""
    if isinstance(error, UsageError | scatc.SpecError):
        return _complain(error, USAGE)
    if isinstance(error, scatc.TargetError):
        return _complain(error, MISSING)
    if isinstance(error, ImportError):
        return _complain(f"{error}: pip install 'scatc[all]' installs what scatc can use", MISSING)
    if isinstance(error, scatc.CompileError):
        return _complain(error, CANNOT_COMPILE)
    if isinstance(error, MemoryError):
        return _complain(f"this machine's memory does not suffice: {str(error) or 'out of memory'}", CANNOT_COMPILE)
    if isinstance(error, OSError) or (isinstance(error, ValueError) and _VARIABLE.match(str(error))):
        return _complain(error, USAGE)
    raise error


def _complain(message: object, code: int) -> int:
    if sys.stderr is not None:  # print would take stdout instead
        print(f"scatc: error: {_one_line(message)}", file=sys.stderr)
    return code


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    if sys.stderr is not None:
        print(f"scatc: warning: {_one_line(message)}", file=sys.stderr)


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _forget_stdout() -> None:
    """Send what is still buffered nowhere: the interpreter would complain at exit that the pipe is closed."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# What can be typed.


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "scatc",
        description="A compiler for wavelet scattering transforms.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scatc {scatc.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    inspect = commands.add_parser("inspect", help="compile a transform and print what became of it")
    _add_inspect(inspect)
    cache = commands.add_parser("cache", help="look after what is compiled on disk: plans, and libraries of C code")
    _add_cache(cache)
    demo = commands.add_parser("demo", help="compile, run and draw: an image, a heartbeat, molecules")
    demo.add_argument("--output", type=Path, default=Path("demo_output"), metavar="FOLDER", help="default: %(default)s")
    demo.add_argument("--quick", action="store_true", help="smaller inputs")
    demo.set_defaults(run=_demo)
    return parser


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_inspect)
    parser.add_argument(
        "--show",
        nargs="+",
        default=["report"],
        choices=[*SECTIONS, "all"],
        metavar="WHAT",
        help=f"one or more of {', '.join(SECTIONS)}; or all but dot (default: report)",
    )
    spec = parser.add_argument_group("the transform", "see scatc.Spec; either these or --json")
    spec.add_argument("--json", metavar="JSON", help="the spec as JSON: a file, - for stdin, or the text itself")
    for option, settings in _SPEC_OPTIONS.items():
        spec.add_argument(option, default=argparse.SUPPRESS, **settings)
    how = parser.add_argument_group("the compilation")
    how.add_argument("--target", default="numpy", help="default: %(default)s")
    how.add_argument("--dtype", default="float32", help="float32 (default) or float64")
    how.add_argument("--memory-limit", type=_size, metavar="SIZE", help="working memory, such as 64MiB")
    how.add_argument("--workers", type=int, metavar="N", help="threads")
    how.add_argument("--select-order", type=int, nargs="+", metavar="N", help="only paths of these orders")
    how.add_argument("--no-cache", action="store_true", help="compile anew, keep nothing")
    parser.add_argument("--sampling-rate", type=_rate, default=1.0, metavar="HZ", help="frequencies of paths in Hz")


def _add_cache(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run, text in (
        ("info", _cache_info, "where it is, and how large"),
        ("verify", _cache_verify, "read every entry; exit code 1 if one is damaged"),
        ("clear", _cache_clear, "remove all entries"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--json", action="store_true", help="print JSON, for scripts")
        command.set_defaults(run=run)


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+([x,]\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape: write 1024, 64x64 or 32x32x32")
    return tuple(map(int, re.split("[x,]", text)))


def _support(text: str) -> float | str:
    if text in ("global", "none"):
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of samples, 'global' or 'none'") from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: write a finite number above 0")
    return rate


def _size(text: str) -> int:
    """Bytes, of a number with a unit: powers of 1024 are written KiB, MiB, GiB, those of 1000 KB, MB, GB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([kmgt])(i?))?b?", text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write bytes, or a number with KB, MiB, GiB ...")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** (" kmgt".index(unit) if unit else 0))


_SPEC_OPTIONS: dict[str, dict[str, Any]] = {
    "--dim": {"type": int, "metavar": "N", "help": "axes of a signal (default: as many as --shape has)"},
    "--shape": {"type": _shape, "help": "samples along each axis: 1024, 64x64, 32x32x32"},
    "--J": {"type": int, "metavar": "N", "help": "log2 of the largest scale"},
    "--Q": {"type": int, "nargs": "+", "metavar": "N", "help": "1D: wavelets per octave, one number per order"},
    "--L": {"type": int, "metavar": "N", "help": "2D: angles; 3D: largest degree"},
    "--order": {"type": int, "metavar": "N", "help": "most wavelets in a row (default: 2)"},
    "--T": {"type": _support, "help": "support of the averaging in samples, 'global' or 'none'"},
    "--stride": {"type": int, "metavar": "N", "help": "distance of the outputs in samples"},
    "--padding": {"metavar": "HOW", "help": "reflect, zero or periodic"},
    "--pre-pad": {"action": "store_true", "help": "inputs are padded already"},
    "--sigma-0": {"type": float, "metavar": "X", "help": "3D: width of the finest scale in samples"},
    "--rotation-covariant": {"action": argparse.BooleanOptionalAction, "help": "3D: norm over the orders m"},
    "--integral-powers": {"type": float, "nargs": "+", "metavar": "P", "help": "3D: powers that are integrated"},
    "--J-fr": {"type": int, "metavar": "N", "help": "1D: joint scattering; log2 of the largest scale along frequency"},
    "--Q-fr": {"type": int, "metavar": "N", "help": "joint: wavelets per octave along frequency"},
    "--F": {"type": _support, "help": "joint: support of the averaging along frequency, 'global' or 'none'"},
    "--stride-fr": {"type": int, "metavar": "N", "help": "joint: distance of the outputs along frequency"},
    "--format": {"metavar": "HOW", "help": "joint: time or joint"},
}


# scatc inspect


def _spec(arguments: argparse.Namespace) -> scatc.Spec:
    fields = [option.removeprefix("--").replace("-", "_") for option in _SPEC_OPTIONS]
    given = {field: getattr(arguments, field) for field in fields if hasattr(arguments, field)}
    if arguments.json is not None:
        if given:
            raise UsageError(f"--json states the whole transform: leave out --{next(iter(given)).replace('_', '-')}")
        return scatc.Spec.from_json(_json_text(arguments.json))
    for field in ("shape", "J"):
        if field not in given:
            raise UsageError(f"which transform? give at least --shape and --J, or --json: --{field} is missing")
    return scatc.Spec(**{"dim": len(given["shape"]), **given})


def _json_text(source: str) -> str:
    if source.lstrip().startswith(("{", "[", '"')):  # JSON, if not of a spec: from_json says so
        return source
    if source == "-" and sys.stdin is None:
        raise UsageError("--json -: standard input is closed")
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--json: cannot read {source!r}: {error}") from error


@dataclass(frozen=True)
class _Inspection:
    """One spec and how to compile it: compiled when a section needs it, and once."""

    spec: scatc.Spec
    arguments: argparse.Namespace

    @cached_property
    def plan(self) -> scatc.Plan:
        a = self.arguments
        orders = a.select_order and frozenset(a.select_order)
        return scatc.compile(
            self.spec,
            a.target,
            dtype=a.dtype,
            memory_limit=a.memory_limit,
            workers=a.workers,
            select=(lambda row: row.order in orders) if orders else None,
            cache=not a.no_cache,
        )

    def spec_text(self) -> str:
        return self.spec.to_json()

    def graph(self) -> str:
        """The scattering graph: what was meant, before any pass."""
        from scatc.ir.lower import lower
        from scatc.ir.options import Options
        from scatc.ir.passes.select_paths import select_paths
        from scatc.ir.text import print_graph

        return print_graph(select_paths(lower(self.spec), Options(select=frozenset(self.plan.paths))))

    def paths(self) -> str:
        return _table(self.plan.meta(self.arguments.sampling_rate))


SECTIONS: dict[str, Callable[[_Inspection], str]] = {
    "spec": _Inspection.spec_text,
    "report": lambda inspection: inspection.plan.report(),
    "paths": _Inspection.paths,
    "graph": _Inspection.graph,
    "ir": lambda inspection: inspection.plan.ir(),
    "schedule": lambda inspection: inspection.plan.schedule(),
    "source": lambda inspection: inspection.plan.source(),
    "dot": lambda inspection: inspection.plan.draw(),
}


def _inspect(arguments: argparse.Namespace) -> int:
    inspection = _Inspection(_spec(arguments), arguments)
    shown = list(dict.fromkeys(arguments.show))
    if "all" in shown:
        shown = [name for name in SECTIONS if name != "dot"]
    for name in shown:
        text = SECTIONS[name](inspection).rstrip("\n")
        # alone, a section is printed bare: it may be read back, or run
        print(text if len(shown) == 1 else f"== {name} ==\n{text}\n")
    return OK


def _table(rows: Iterable[PathRow]) -> str:
    """Paths as columns, those that no row fills left out."""
    cells = [
        {
            "row": str(place),
            "order": str(row.order),
            "path": _joined(row.path),
            "j": _joined(row.j),
            "theta": _joined(row.theta),
            "l": "" if row.l is None else str(row.l),
            "xi": _joined(row.xi),
            "sigma": _joined(row.sigma),
            "xi_fr": "" if row.xi_fr is None else f"{row.xi_fr:.4g}",
        }
        for place, row in enumerate(rows)
    ]
    columns = [name for name in cells[0] if any(cell[name] for cell in cells)]
    widths = {name: max(len(name), *(len(cell[name]) for cell in cells)) for name in columns}
    lines = [dict(zip(columns, columns, strict=True)), *cells]
    return "\n".join("  ".join(line[name].ljust(widths[name]) for name in columns).rstrip() for line in lines)


def _joined(numbers: Iterable[Any]) -> str:
    return ",".join(f"{number:.4g}" if isinstance(number, float) else str(number) for number in numbers)


# scatc cache


def _disk() -> DiskCache:
    from scatc.runtime.cache import DiskCache

    return DiskCache()


def _cache_info(arguments: argparse.Namespace) -> int:
    from scatc.runtime import libraries

    info, (count, size) = _disk().info(), libraries.info()
    if arguments.json:
        print(json.dumps(asdict(info) | {"folder": str(info.folder), "libraries": count, "library_bytes": size}))
        return OK
    print(f"folder     {info.folder}")
    print(f"entries    {info.entries}")
    print(f"size       {_human(info.bytes)} of at most {_human(info.max_bytes)}")
    print(f"libraries  {count}, {_human(size)} of at most {_human(libraries.MOST_BYTES)}")
    if info.problem:
        print(f"not in use: {info.problem}")
    return OK


def _cache_verify(arguments: argparse.Namespace) -> int:
    from scatc.runtime import libraries

    disk = _disk()
    checked, problem = [*disk.verify(), *libraries.verify()], disk.info().problem
    damaged = {key: trouble for key, trouble in checked if trouble is not None}
    if arguments.json:
        print(json.dumps({"folder": str(disk.folder), "entries": len(checked), "damaged": damaged, "problem": problem}))
    else:
        for key, trouble in damaged.items():
            print(f"damaged  {key}: {trouble}")
        print(f"{_entries(len(checked))} read, {len(damaged)} damaged" + (f"; not in use: {problem}" * bool(problem)))
    return PROBLEM if damaged or problem else OK


def _cache_clear(arguments: argparse.Namespace) -> int:
    from scatc.runtime import libraries

    disk = _disk()
    removed = disk.clear() + libraries.clear()
    after = disk.info()
    left = after.entries + libraries.info()[0]
    if arguments.json:
        print(json.dumps({"folder": str(disk.folder), "removed": removed, "left": left}))
    else:
        print(f"{_entries(removed)} removed from {disk.folder}")
    if left or after.problem:
        return _complain(after.problem or f"{_entries(left)} could not be removed", PROBLEM)
    return OK


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _human(count: int) -> str:
    power = min(max(count.bit_length() - 1, 0) // 10, 4)
    return f"{count} bytes" if power == 0 else f"{count / 1024**power:.1f} {' KMGT'[power]}iB"


# scatc demo


def _demo(arguments: argparse.Namespace) -> int:
    from scatc.demo import run

    run(arguments.output, quick=arguments.quick)
    return OK


if __name__ == "__main__":
    sys.exit(main())
