"""Compiled libraries on disk: built once, never loaded where others could have written them, and their faults."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from native import needs_compiler

from scatc.runtime import libraries, private, toolchain
from scatc.runtime.toolchain import SUFFIX, Toolchain, ToolchainError

pytestmark = needs_compiler
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX owners and permissions")

TEXT = "#include <stdint.h>\nint64_t answer(void) { return 42; }\n"


class Builds:
    """How often the compiler has built a library."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        build = Toolchain.build

        def counted(toolchain: Toolchain, text: str, folder: Path, seconds: float = 120) -> Path:
            self.count += 1
            return build(toolchain, text, folder, seconds)

        monkeypatch.setattr(Toolchain, "build", counted)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    toolchain.find()
    return Builds(monkeypatch)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and nothing loaded."""
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "cache"))
    libraries._LOADED.clear()
    return tmp_path / "cache" / "libraries"


def answer(text: str = TEXT) -> int:
    library = libraries.load(text)
    library.answer.restype = ctypes.c_int64
    number: int = library.answer()
    return number


def again(text: str = TEXT) -> int:
    """As in the next process."""
    libraries._LOADED.clear()
    return answer(text)


def only(folder: Path) -> Path:
    (path,) = folder.glob(f"*{SUFFIX}")
    return path


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_built_once_kept_on_disk_and_in_memory(builds: Builds, folder: Path) -> None:
    with quietly():
        assert answer() == 42
        assert libraries.load(TEXT) is libraries.load(TEXT)
        assert again() == 42
        assert answer(TEXT.replace("42", "43")) == 43
    assert builds.count == 2
    count, size = libraries.info()
    assert count == 2
    assert size == sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}"))
    assert [trouble for _, trouble in libraries.verify()] == [None, None]
    assert not list(folder.glob("tmp.*"))
    assert libraries.clear() == 2
    assert libraries.info() == (0, 0)
    assert again() == 42
    assert builds.count == 3


def test_a_refused_text_is_not_kept(folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(ToolchainError, match=r"scatc\.c:1:1: error"):
            libraries.load("nonsense")
    assert libraries.info() == (0, 0)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "another"])
def test_a_damaged_library_is_never_loaded(damage: str, builds: Builds, folder: Path) -> None:
    answer()
    path = only(folder)
    data = path.read_bytes()
    path.unlink()  # it is loaded in this process: writing into it would change what runs
    match damage:
        case "flip":
            path.write_bytes(data[:2000] + bytes([data[2000] ^ 1]) + data[2001:])
        case "truncate":
            path.write_bytes(data[:-1])
        case "empty":
            path.write_bytes(b"")
        case "another":
            answer(TEXT.replace("42", "43"))
            only(folder).rename(path)
    before = builds.count
    assert [name for name, trouble in libraries.verify() if trouble] == [path.name]
    with pytest.warns(RuntimeWarning, match=f"is dropped and built anew: .*{path.name}: its bytes are not those"):
        assert again() == 42
    assert builds.count == before + 1
    with quietly():
        assert again() == 42
    assert builds.count == before + 1


def test_what_does_not_load_is_built_elsewhere(builds: Builds, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as in a file system that is mounted so that nothing in it is executed."""
    load = ctypes.CDLL

    def refuse(path: str) -> ctypes.CDLL:
        if path.startswith(str(folder)):
            raise OSError("failed to map segment from shared object")
        return load(path)

    monkeypatch.setattr(libraries.ctypes, "CDLL", refuse)
    assert answer() == 42
    assert again() == 42
    assert builds.count == 2
    monkeypatch.setattr(libraries.ctypes, "CDLL", lambda path: refuse(str(folder)))
    with pytest.raises(ToolchainError, match="built a library that does not load: failed to map segment"):
        again()


# ---- folders --------------------------------------------------------------------------------------------------------


def assert_built_elsewhere(reason: str, builds: Builds) -> None:
    """The library is built in a temporary folder, each time, with a warning that says why."""
    before = builds.count
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=f"^scatc keeps no library in .*: .*{reason}"):
            assert again() == 42
    assert builds.count == before + 2
    assert libraries.info() == (0, 0)
    assert libraries.verify() == []
    assert libraries.clear() == 0


@posix
@pytest.mark.parametrize("which", ["cache", "libraries"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_is_refused(which: str, mode: int, builds: Builds, folder: Path) -> None:
    answer()
    closed = folder if which == "libraries" else folder.parent
    closed.chmod(mode)
    assert_built_elsewhere(f"{closed} can be written by others: chmod go-w {closed}$", builds)
    closed.chmod(0o755)  # others may read
    before = builds.count
    assert again() == 42
    assert builds.count == before


@posix
def test_another_users_folder_is_refused(builds: Builds, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer()
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert_built_elsewhere(f"belongs to another user \\(number {me}\\)", builds)


@posix
def test_a_link_is_no_folder(builds: Builds, folder: Path, tmp_path: Path) -> None:
    answer()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert_built_elsewhere(f"{folder} is not a folder", builds)


@posix
def test_the_cache_itself_may_be_a_link(builds: Builds, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    folder.parent.symlink_to(tmp_path / "disk")
    answer()
    assert again() == 42
    assert builds.count == 1
    assert stat.S_IMODE((tmp_path / "disk" / "libraries").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made(builds: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert_built_elsewhere("file.cache", builds)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_read_only_file_system(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc refuses even root, whom permission bits do not bind."""
    monkeypatch.setenv("SCATC_CACHE_DIR", "/proc/self/scatc")
    assert_built_elsewhere("/proc/self/scatc", builds)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="permission bits do not bind this user")
def test_a_read_only_folder(builds: Builds, folder: Path) -> None:
    answer()
    folder.chmod(0o500)
    try:
        with quietly():
            assert again() == 42
        assert builds.count == 1
        with pytest.warns(RuntimeWarning, match="keeps no library"):
            assert answer(TEXT.replace("42", "43")) == 43
    finally:
        folder.chmod(0o700)


def test_a_folder_that_vanishes_is_made_again(builds: Builds, folder: Path) -> None:
    answer()
    shutil.rmtree(folder.parent)
    with quietly():
        assert again() == 42
    assert builds.count == 2
    assert libraries.info()[0] == 1


def test_a_full_disk(builds: Builds, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert_built_elsewhere("No space left on device", builds)
    assert not list(folder.glob("*"))


def test_without_a_cache_nothing_is_kept_or_said(builds: Builds, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_NO_CACHE", "1")
    with quietly():
        assert again() == 42
        assert again() == 42
    assert builds.count == 2
    assert not folder.parent.exists()


def test_the_libraries_unused_for_longest_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [TEXT.replace("42", str(number)) for number in range(4)]
    for number, text in enumerate(texts[:3]):
        answer(text)
        newest = max(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + number, 1000 + number))
    assert again(texts[0]) == 0  # now the one used last
    monkeypatch.setattr(libraries, "MOST_BYTES", 3 * only_size(folder))
    answer(texts[3])
    before = set(folder.glob(f"*{SUFFIX}"))
    assert len(before) == 3
    for text in (texts[2], texts[0], texts[3]):
        again(text)
    assert set(folder.glob(f"*{SUFFIX}")) == before


def only_size(folder: Path) -> int:
    (size,) = {path.stat().st_size for path in folder.glob(f"*{SUFFIX}")}
    return size


def test_what_killed_writers_left_is_swept(folder: Path) -> None:
    answer()
    for name, age in {"tmp.1.old": 2 * private.STALE_SECONDS, "tmp.1.new": 0, "mine.txt": 1e6}.items():
        (folder / name).write_text("half")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    answer(TEXT.replace("42", "43"))
    assert sorted(path.name for path in folder.glob("*.*") if path.suffix != SUFFIX) == ["mine.txt", "tmp.1.new"]
    libraries.clear()
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


LOADER = """
import ctypes, sys, warnings
warnings.simplefilter("error")
from scatc.runtime import libraries
for number in range(3):
    library = libraries.load("long answer(void) { return %d; }\\n" % number)
    assert library.answer() == number
"""


def test_six_processes_build_the_same_library_at_once(folder: Path, tmp_path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", LOADER], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert errors == [""] * 6
    assert libraries.info()[0] == 3
    assert not list(folder.glob("tmp.*"))
