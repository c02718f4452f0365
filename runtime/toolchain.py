"""The C compiler of this machine: which it is, whether it works, and how it is called.

A compiler counts if it builds a small program that runs and a small library that loads. That is tried once: what was
found is kept in the cache folder, under the compiler's path, date and size and the identity of the CPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scatc.ir.errors import TargetError
from scatc.runtime.private import PrivateFolder
from scatc.runtime.workers import cores

FOLDER = "libraries"
SUFFIX = {"win32": ".dll", "cygwin": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
"""Of the names of libraries."""

# NaN and infinity belong to results: nothing that assumes there are none (as -ffast-math does). Of what GCC does at -O3
# emitted text gains from one thing, that short loops are written out; the rest doubles the time that a build takes.
FLAGS = ("-std=gnu17", "-O2", "-fpeel-loops", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
_SHARED = ("-shared",) if os.name == "nt" else ("-shared", "-fPIC")
_LIBM = () if os.name == "nt" else ("-lm",)

PROBE_SECONDS = 20.0
BUILD_SECONDS = 120.0
"""A compiler that takes longer is taken to hang."""

_PARTS = "SCATC_PART"
"""The macro that says which part of a text is compiled; without it all of it is."""

_PROBE = """\
#include <math.h>
#include <stdint.h>
typedef float lanes __attribute__((vector_size(64)));
volatile float one = 1.0f;
int64_t scatc_probe(int64_t n) {
    lanes x;
    for (int i = 0; i < 16; i++) x[i] = one * (float)i;
    x = x * x + x;
    float sum = powf(4.0f * one, 0.5f);
    for (int i = 0; i < 16; i++) sum += x[i];
    return (int64_t)sum + n;
}
int main(void) { return scatc_probe(0) != 1362; }
"""


class ToolchainError(TargetError):
    """There is no C compiler, or it does not do what it should."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A C compiler that works.

    Attributes
    ----------
    command : tuple of str
        How it is called: a path, and arguments if ``SCATC_CC`` or ``CC`` has some.
    version : str
        The first line of what it says of its version.
    flags : tuple of str
        For any text, of which there are some for this CPU.
    """

    command: tuple[str, ...]
    version: str
    flags: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' '.join(self.command)} ({self.version}), {' '.join(self.flags)}"

    def key(self, recipe: str) -> str:
        """The name of a library: a digest of all that it depends on, the CPU included, as homes may be shared.

        `recipe` is its text, or stands for all that the text is emitted from.
        """
        parts = [recipe, self.version, *self.command[1:], *self.flags, *_SHARED, SUFFIX, cpu()]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def build(self, text: str, folder: Path, seconds: float = BUILD_SECONDS) -> Path:
        """Compile a text to a library in a folder: in two parts side by side if it has them and there are two cores.

        Raises
        ------
        ToolchainError
            If the compiler refuses the text, fails or hangs, or the folder cannot be written.
        """
        output = f"scatc{SUFFIX}"
        if f"#if {_PARTS}" not in text or cores() < 2:
            return self._run(text, folder, output, (*self.flags, *_SHARED), seconds)
        self._write(text, folder)
        parts = ("1", "2")

        def compile_part(part: str) -> None:
            flags = (*self.flags, *_SHARED[1:], "-c", f"-D{_PARTS}={part}")
            _call((*self.command, *flags, "-o", f"{part}.o", "scatc.c"), folder, seconds)

        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(compile_part, parts))
        objects = [f"{part}.o" for part in parts]
        _call((*self.command, *self.flags, *_SHARED, "-o", output, *objects, *_LIBM), folder, seconds)
        return self._made(folder / output)

    def assembler(self, text: str) -> str:
        """A text in the CPU's assembler language.

        Raises
        ------
        ToolchainError
            As for `build`.
        """
        with private_temporary() as folder:
            flags = (*self.flags, *_SHARED[1:], "-S", "-fno-asynchronous-unwind-tables")
            return self._run(text, folder, "scatc.s", flags, BUILD_SECONDS).read_text(encoding="utf-8")

    def _run(self, text: str, folder: Path, output: str, flags: tuple[str, ...], seconds: float) -> Path:
        self._write(text, folder)
        libraries = () if "-S" in flags else _LIBM
        _call((*self.command, *flags, "-o", output, "scatc.c", *libraries), folder, seconds)
        return self._made(folder / output)

    @staticmethod
    def _write(text: str, folder: Path) -> None:
        try:
            (folder / "scatc.c").write_text(text, encoding="utf-8")
        except OSError as error:
            raise ToolchainError(f"no C text can be compiled, for it cannot be written: {error}") from error

    def _made(self, output: Path) -> Path:
        if not output.exists():
            raise ToolchainError(f"{Path(self.command[0]).name} wrote nothing")
        return output


@contextlib.contextmanager
def private_temporary() -> Iterator[Path]:
    """A temporary folder of this user alone.

    Raises
    ------
    ToolchainError
        If there is nowhere to make one.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="scatc-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ToolchainError(f"no C text can be compiled, for there is no temporary folder: {error}") from error
    with folder as path:
        yield Path(path)


def find() -> Toolchain:
    """The C compiler: what ``SCATC_CC`` names, else the first that works of ``CC``, cc, gcc and clang.

    Raises
    ------
    ToolchainError
        If there is none; in one line, why.
    """
    found = _find(os.environ.get("SCATC_CC", ""), os.environ.get("CC", ""), os.environ.get("PATH", ""))
    if isinstance(found, str):
        raise ToolchainError(found)
    return found


def missing() -> bool:
    """Whether no C compiler is installed at all: then nobody expects one to be used."""
    asked, fallback = os.environ.get("SCATC_CC", ""), os.environ.get("CC", "")
    return not asked.strip() and not any(shutil.which(command[0]) for command in _candidates("", fallback))


@functools.lru_cache(maxsize=16)
def _find(asked: str, fallback: str, path: str) -> Toolchain | str:
    """The compiler, or why there is none; once for each setting of the variables that it depends on."""
    failures, tried = [], set()
    for command in _candidates(asked, fallback):
        place = shutil.which(command[0])
        if place is None:
            if asked.strip():
                failures.append(f"SCATC_CC={asked!r} is not found")
            continue
        file = Path(place).resolve()  # cc is mostly a link to gcc or clang: what failed needs no second try
        if (file, command[1:]) in tried:
            continue
        tried.add((file, command[1:]))
        try:
            return _known((str(Path(place).absolute()), *command[1:]))
        except (ToolchainError, OSError) as error:
            failures.append(f"{place}: {error}")
    why = f"none works ({'; '.join(failures)})" if failures else "there is none"
    return (
        f"target='cpu' needs a C compiler, and {why}: install gcc or clang, or name one in SCATC_CC; "
        "target='numpy' needs none"
    )


def _candidates(asked: str, fallback: str) -> list[tuple[str, ...]]:
    texts = [asked] if asked.strip() else [fallback, "cc", "gcc", "clang"]
    found = []
    for text in texts:
        try:
            words = tuple(shlex.split(text, posix=os.name != "nt"))
        except ValueError:  # a quotation mark without another
            words = (text,)
        if words:
            found.append(words)
    return found


def _known(command: tuple[str, ...]) -> Toolchain:
    """A compiler as it was found to be before, or as it is found to be now.

    Raises
    ------
    ToolchainError, OSError
        If it does not work. That is not kept: it may be repaired.
    """
    status = Path(command[0]).stat()
    identity = json.dumps([*command, status.st_mtime_ns, status.st_size, FLAGS, _PROBE, cpu()])
    name, folder = f"probe-{hashlib.sha256(identity.encode()).hexdigest()}.json", PrivateFolder(FOLDER)
    for path in folder.files(name):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_bytes())
            if kept["identity"] == identity:
                return Toolchain(command, str(kept["version"]), tuple(map(str, kept["flags"])))
    found = _probe(command)
    kept = {"identity": identity, "version": found.version, "flags": found.flags}
    with contextlib.suppress(OSError):  # the next process tries again
        folder.write(name, json.dumps(kept).encode())
    return found


def _probe(command: tuple[str, ...]) -> Toolchain:
    """Try what a compiler can do, with flags for this CPU if it has such."""
    with private_temporary() as folder:
        version = (_call((*command, "--version"), folder, PROBE_SECONDS).splitlines() or ["unknown"])[0].strip()
        native = ("-march=native", "-mcpu=native")
        for flags in ((native[0],), (native[1],), ()) if _x86() else ((native[1],), (native[0],), ()):
            toolchain = Toolchain(command, version, (*FLAGS, *flags))
            try:
                # in a process of its own first: an instruction that this CPU does not have would end ours
                program = toolchain._run(_PROBE, folder, "probe.exe", toolchain.flags, PROBE_SECONDS)
                _call((str(program),), folder, PROBE_SECONDS)
                _load_probe(toolchain, folder)
            except ToolchainError:
                if not flags:
                    raise
            else:
                return toolchain
    raise AssertionError("unreachable: the last flags return or raise")


def _load_probe(toolchain: Toolchain, folder: Path) -> None:
    library = toolchain.build(_PROBE, folder, PROBE_SECONDS)
    try:
        function = ctypes.CDLL(str(library)).scatc_probe
    except (OSError, AttributeError) as error:
        raise ToolchainError(f"a library that it builds does not load: {error}") from error
    function.restype, function.argtypes = ctypes.c_int64, (ctypes.c_int64,)
    if (got := function(1)) != 1363:
        raise ToolchainError(f"a library that it builds computes {got} where 1363 is right")


def _call(command: tuple[str, ...], folder: Path, seconds: float) -> str:
    """Run a program and return what it printed.

    Raises
    ------
    ToolchainError
        If it cannot be run, fails, or takes longer than so many seconds.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=os.name == "posix",  # a compiler is several processes, which end together
        )
    except OSError as error:
        raise ToolchainError(f"{name} cannot be run: {error}") from error
    with process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise ToolchainError(f"{name} does not end within {seconds:g} seconds") from error
            raise
    if process.returncode:
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line.lower()), (lines or ["it says nothing"])[0])
        raise ToolchainError(f"{name} fails with status {process.returncode}: {first}")
    return output


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


_CPU_FIELDS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer",
               "CPU architecture", "CPU variant", "CPU part", "isa")  # fmt: skip


@functools.cache
def cpu() -> str:
    """What code for ``native`` depends on: the kind of CPU, and which instructions it has."""
    known = [platform.system(), platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            for line in file:  # of the first core alone
                field, _, value = line.partition(":")
                if not line.strip():
                    break
                if field.strip() in _CPU_FIELDS:
                    known.append(f"{field.strip()}={value.strip()}")
    if sys.platform == "darwin":
        known.append(_sysctl("machdep.cpu.brand_string") + _sysctl("hw.optional"))
    return "; ".join(known)


def _sysctl(name: str) -> str:
    """What macOS says of its CPU; nothing if it says nothing."""
    with private_temporary() as folder, contextlib.suppress(ToolchainError):
        return _call(("/usr/sbin/sysctl", name), folder, PROBE_SECONDS)
    return ""
