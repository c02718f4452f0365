"""The C compiler: found, tried once, refused with one line; and its faults, played by scripts."""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from native import needs_compiler

from scatc.ir.errors import TargetError
from scatc.runtime import toolchain
from scatc.runtime.toolchain import FLAGS, SUFFIX, Toolchain, ToolchainError

posix = pytest.mark.skipif(os.name != "posix", reason="compilers are played by shell scripts")

WRITES = 'while [ $# -gt 0 ]; do [ "$1" = -o ] && printf "#!/bin/sh\\n{}" > "$2" && chmod 755 "$2"; shift; done'
"""A compiler whose output is a script, whatever it is given."""

Script = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable set, nothing known."""
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("SCATC_CC", "CC"):
        monkeypatch.delenv(name, raising=False)
    toolchain._find.cache_clear()


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a program in the shell's language into a folder of its own."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write


def probes(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "libraries").glob("probe-*.json"))


# ---- a compiler that works ------------------------------------------------------------------------------------------


@needs_compiler
def test_a_compiler_is_found_and_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = toolchain.find()
    assert Path(found.command[0]).is_absolute()
    assert found.flags[: len(FLAGS)] == FLAGS
    assert found.version in str(found)
    (kept,) = probes(tmp_path)
    assert json.loads(kept.read_text())["version"] == found.version

    def fail(*arguments: object) -> str:
        raise AssertionError("the compiler is tried again")

    monkeypatch.setattr(toolchain, "_call", fail)
    assert toolchain.find() is found
    toolchain._find.cache_clear()  # as in the next process
    assert toolchain.find() == found


@needs_compiler
def test_nothing_assumes_that_there_is_no_nan() -> None:
    assert not {"-ffast-math", "-Ofast", "-ffinite-math-only", "-funsafe-math-optimizations"} & set(FLAGS)


@needs_compiler
@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[]", b"\xff\xfe", b'{"identity": "another", "version": "", "flags": []}']
)
def test_what_is_kept_of_a_compiler_may_be_damaged(tmp_path: Path, damage: bytes) -> None:
    found = toolchain.find()
    probes(tmp_path)[0].write_bytes(damage)
    toolchain._find.cache_clear()
    assert toolchain.find() == found
    assert json.loads(probes(tmp_path)[0].read_text())["version"] == found.version


@needs_compiler
@posix
def test_scatc_cc_comes_first_and_may_have_arguments(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    real = toolchain.find().command[0]
    mine = script("mine", f'exec {real} "$@"')
    monkeypatch.setenv("CC", str(mine))
    assert toolchain.find().command == (str(mine),)
    monkeypatch.setenv("SCATC_CC", f"{real} -DEXTRA=1")
    found = toolchain.find()
    assert found.command == (real, "-DEXTRA=1")
    assert found.key("") != Toolchain((real,), found.version, found.flags).key("")
    monkeypatch.setenv("SCATC_CC", " ")  # as good as unset
    assert toolchain.find().command == (str(mine),)


@needs_compiler
@posix
def test_another_compiler_at_the_same_place_is_tried_anew(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    real = toolchain.find().command[0]
    mine = script("mine", f'exec {real} "$@"')
    monkeypatch.setenv("SCATC_CC", str(mine))
    before = toolchain.find()
    script("mine", f'if [ "$1" = --version ]; then echo "mine 2"; else exec {real} "$@"; fi')
    toolchain._find.cache_clear()
    assert toolchain.find().version == "mine 2"
    assert toolchain.find().key("") != before.key("")


@needs_compiler
@posix
@pytest.mark.parametrize("accepted", ["-march=native", "-mcpu=native", "none"])
def test_flags_for_this_cpu_are_used_where_they_work(
    accepted: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = toolchain.find().command[0]
    body = f"""
set -- "$@" end
while [ "$1" != end ]; do
    case "$1" in
        {accepted}) ;;
        -m*=native) echo "mine: error: unrecognized $1" >&2; exit 1;;
        *) set -- "$@" "$1";;
    esac
    shift
done
shift
exec {real} "$@"
"""
    monkeypatch.setenv("SCATC_CC", str(script("mine", body)))
    assert toolchain.find().flags == (*FLAGS, *([accepted] if accepted != "none" else []))


@needs_compiler
def test_assembler() -> None:
    text = toolchain.find().assembler("double twice(double x) { return 2 * x; }\n")
    assert "twice:" in text


PARTS = """
#if !defined(SCATC_PART)
static int twice(int n);
#else
int twice(int n);
#endif
#if SCATC_PART != 2
int twice(int n) { return 2 * n; }
#endif
#if SCATC_PART != 1
int six(void) { return twice(3); }
#endif
"""


@needs_compiler
@pytest.mark.parametrize("cores", [1, 2])
def test_two_compilers_share_a_text_if_there_are_two_cores(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = toolchain.find()
    monkeypatch.setattr(toolchain, "cores", lambda: cores)
    assert ctypes.CDLL(str(found.build(PARTS, tmp_path))).six() == 6
    assert len(list(tmp_path.glob("*.o"))) == (2 if cores > 1 else 0)
    with pytest.raises(ToolchainError, match=r"fails with status 1: scatc.c:\d+:\d+: error: .*nothing"):
        found.build(PARTS.replace("twice(3)", "nothing"), tmp_path)


@needs_compiler
def test_a_text_that_is_refused_is_one_line_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"^\S+ fails with status 1: scatc\.c:2:\d+: error: .+$") as caught:
        toolchain.find().build("int x;\nint y = nothing;\n", tmp_path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TargetError)


@needs_compiler
def test_keys_depend_on_the_text_the_compiler_its_flags_and_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = toolchain.find()
    keys = {found.key("a"), found.key("b")}
    keys.add(Toolchain(found.command, found.version + "1", found.flags).key("a"))
    keys.add(Toolchain(found.command, found.version, (*found.flags, "-g")).key("a"))
    monkeypatch.setattr(toolchain, "cpu", lambda: "another")
    keys.add(found.key("a"))
    assert len(keys) == 5


def test_the_cpu_is_known_and_does_not_change() -> None:
    assert len(toolchain.cpu()) > 10
    assert "MHz" not in toolchain.cpu()


# ---- none -----------------------------------------------------------------------------------------------------------


def why() -> str:
    with pytest.raises(ToolchainError) as caught:
        toolchain.find()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_compiler_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why() == (
        "target='cpu' needs a C compiler, and there is none: install gcc or clang, or name one in SCATC_CC; "
        "target='numpy' needs none"
    )
    assert toolchain.missing()
    monkeypatch.setenv("CC", "nonesuch")
    assert "there is none" in why()
    assert toolchain.missing()


@pytest.mark.parametrize("named", ["nonesuch", "/nonesuch/cc -m64", "'unbalanced"])
def test_a_compiler_that_is_named_must_be_there(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_CC", named)
    assert f"none works (SCATC_CC={named!r} is not found): install gcc or clang, or name one in SCATC_CC" in why()
    assert not toolchain.missing()


@posix
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'out of order' >&2; exit 3", "mine fails with status 3: out of order"),
        ("exit 3", "mine fails with status 3: it says nothing"),
        ("exit 0", "mine wrote nothing"),
        ('[ "$1" = --version ] || { echo noise; echo "x.c: error: no such thing"; } >&2; [ "$1" = --version ]',
         "mine fails with status 1: x.c: error: no such thing"),
        (WRITES.format("exit 0"), "a library that it builds does not load: "),
        (WRITES.format("kill -4 \\$\\$"), "probe.exe fails with status -4"),
    ],
)  # fmt: skip
def test_a_compiler_that_does_not_work(
    body: str, reason: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = script("mine", body)
    monkeypatch.setenv("SCATC_CC", str(mine))
    assert f"none works ({mine}: {reason}" in why()
    assert not toolchain.missing()
    assert probes(tmp_path) == []  # it may be repaired


@needs_compiler
@posix
def test_the_next_one_serves_where_one_does_not_work(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(script("broken", "exit 1")))
    assert toolchain.find().command[0] != str(script("broken", "exit 1"))


@posix
def test_a_compiler_that_hangs_is_ended_with_all_its_processes(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = script("mine", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    monkeypatch.setenv("SCATC_CC", str(mine))
    monkeypatch.setattr(toolchain, "PROBE_SECONDS", 0.5)
    start = time.monotonic()
    assert f"none works ({mine}: mine does not end within 0.5 seconds)" in why()
    assert time.monotonic() - start < 30
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not alive(child):
            return
        time.sleep(0.05)
    raise AssertionError("its child goes on")


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended may still wait to be asked how."""
    state = Path(f"/proc/{process}/stat")
    if Path("/proc/self").exists():
        return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


@needs_compiler
def test_without_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = toolchain.find()
    monkeypatch.setattr(toolchain.tempfile, "tempdir", str(tmp_path / "nonesuch"))
    with pytest.raises(ToolchainError, match=r"^no C text can be compiled, for there is no temporary folder: "):
        found.assembler("")
    with pytest.raises(ToolchainError, match=r"^no C text can be compiled, for it cannot be written: "):
        found.build("", tmp_path / "nonesuch")


@needs_compiler
@pytest.mark.skipif(os.name == "nt", reason="needs permission bits")
def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    toolchain.find()
    for folder in (tmp_path / "cache", tmp_path / "cache" / "libraries"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_suffixes() -> None:
    assert SUFFIX == {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
