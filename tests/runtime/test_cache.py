"""The caches under faults: damage, full and read-only disks, kills, races. Nothing raises, nothing wrong is used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import filelock
import numpy as np
import pytest

from scatc.runtime import cache
from scatc.runtime.cache import DiskCache, Entry, MemoryCache, cache_key

KEY = cache_key(spec="test")
OTHER = cache_key(spec="other")
ENTRY = Entry({"ir": "x"}, {"psi": np.arange(1000.0)})

WRITER = """
import sys, numpy as np
from pathlib import Path
from scatc.runtime.cache import DiskCache, Entry
disk = DiskCache(Path(sys.argv[1]))
print("ready", flush=True)
for round in range(int(sys.argv[3])):
    value = float(round)
    assert disk.store(sys.argv[2], Entry({"value": str(value)}, {"a": np.full(300_000, value)}))
    entry = disk.load(sys.argv[2])
    assert entry is not None
    assert np.all(entry.arrays["a"] == float(entry.texts["value"]))
"""


def start_writer(folder: Path, rounds: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", WRITER, str(folder), KEY, str(rounds)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache")


def only_file(disk: DiskCache) -> Path:
    (path,) = disk.folder.glob("*.scatc")
    return path


def test_keys_depend_on_every_field_but_not_on_their_order() -> None:
    assert cache_key(a=1, b=[2, {"c": None}]) == cache_key(b=[2, {"c": None}], a=1)
    assert len({cache_key(a=1), cache_key(a=1.0), cache_key(a=True), cache_key(a="1"), cache_key(b=1)}) == 5
    with pytest.raises(TypeError):
        cache_key(a=object())


def test_store_and_load(disk: DiskCache) -> None:
    assert disk.load(KEY) is None
    assert not disk.folder.exists()
    assert disk.store(KEY, ENTRY)
    entry = disk.load(KEY)
    assert entry is not None
    assert entry.texts == ENTRY.texts
    np.testing.assert_array_equal(entry.arrays["psi"], ENTRY.arrays["psi"])
    assert disk.folder.stat().st_mode & 0o777 == 0o700 or os.name == "nt"
    assert disk.info().entries == 1
    assert disk.info().bytes == only_file(disk).stat().st_size
    assert disk.info().problem is None
    assert disk.verify() == [(KEY, None)]
    assert disk.clear() == 1
    assert disk.load(KEY) is None


@pytest.mark.parametrize("key", ["", "../x", "a/b", "a.b"])
def test_a_key_is_no_path(key: str, disk: DiskCache) -> None:
    with pytest.raises(ValueError, match="is not a cache key"):
        disk.load(key)


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "here"))
    assert DiskCache().folder == tmp_path / "here"
    monkeypatch.delenv("SCATC_CACHE_DIR")
    assert DiskCache().folder.name == "scatc"


def test_it_can_be_turned_off(disk: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.store(KEY, ENTRY)
    monkeypatch.setenv("SCATC_NO_CACHE", "1")
    off = DiskCache(disk.folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert off.load(KEY) is None
        assert not off.store(KEY, ENTRY)
        assert off.clear() == 0
    assert off.info().problem == "SCATC_NO_CACHE is set"


def test_without_a_home_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCATC_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda *a, **k: Path("~/.cache/scatc"))
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.warns(RuntimeWarning, match="no home folder"):
        assert not DiskCache().store(KEY, ENTRY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "garbage", "renamed", "folder"])
def test_a_damaged_entry_is_dropped_and_rebuilt(damage: str, disk: DiskCache) -> None:
    disk.store(KEY, ENTRY)
    path = only_file(disk)
    data = path.read_bytes()
    match damage:
        case "flip":
            path.write_bytes(data[:3000] + bytes([data[3000] ^ 1]) + data[3001:])
        case "truncate":
            path.write_bytes(data[:-100])
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(b"PK\x03\x04" + os.urandom(1000))
        case "renamed":
            disk.store(OTHER, ENTRY)
            os.replace(disk.folder / f"{OTHER}.scatc", path)  # noqa: PTH105
        case "folder":
            path.unlink()
            path.mkdir()
    ((key, problem),) = disk.verify()
    assert key == KEY
    assert problem is not None
    with pytest.warns(RuntimeWarning, match=f"dropped and rebuilt: .*{KEY}"):
        assert disk.load(KEY) is None
    if damage != "folder":
        assert not path.exists()
        assert disk.load(KEY) is None
        assert disk.store(KEY, ENTRY)
        assert disk.load(KEY) is not None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    disk = DiskCache(tmp_path / "file" / "cache")
    with pytest.warns(RuntimeWarning, match=r"goes on without its disk cache .*file.cache: "):
        assert not disk.store(KEY, ENTRY)
    assert disk.load(KEY) is None
    assert disk.verify() == []
    assert disk.clear() == 0


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_read_only_file_system() -> None:
    """/proc refuses even root, whom permission bits do not bind."""
    disk = DiskCache(Path("/proc/self/scatc"))
    with pytest.warns(RuntimeWarning, match="disk cache /proc/self/scatc: "):
        assert not disk.store(KEY, ENTRY)
    assert disk.load(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="permission bits do not bind this user")
def test_a_read_only_folder(disk: DiskCache) -> None:
    disk.store(KEY, ENTRY)
    disk.folder.chmod(0o500)
    try:
        with pytest.warns(RuntimeWarning, match="goes on without"):
            assert not disk.store(OTHER, ENTRY)
        assert disk.load(KEY) is not None
    finally:
        disk.folder.chmod(0o700)


def test_a_folder_that_vanishes_is_made_again(disk: DiskCache) -> None:
    disk.store(KEY, ENTRY)
    disk.folder.rename(disk.folder.with_name("away"))
    assert disk.load(KEY) is None
    assert disk.info().entries == 0
    assert disk.store(KEY, ENTRY)
    assert disk.load(KEY) is not None


def test_a_full_disk_keeps_the_old_entry(disk: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    disk.store(KEY, ENTRY)
    with monkeypatch.context() as patch, pytest.warns(RuntimeWarning, match="No space left on device"):
        patch.setattr(os, "fsync", full)
        assert not disk.store(KEY, Entry({"ir": "y"}))
    entry = disk.load(KEY)
    assert entry is not None
    assert entry.texts == {"ir": "x"}
    assert not list(disk.folder.glob("tmp.*"))


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on file sizes")
def test_a_write_that_the_system_cuts_short(tmp_path: Path) -> None:
    """A real failure in the middle of a write: the limit on file sizes."""
    code = """
import resource, signal, sys, warnings, numpy as np
from pathlib import Path
from scatc.runtime.cache import DiskCache, Entry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
disk = DiskCache(Path(sys.argv[1]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert not disk.store("0" * 64, Entry({}, {"a": np.zeros(100_000)}))
assert len(caught) == 1 and "too large" in str(caught[0].message), caught
assert disk.store("0" * 64, Entry({}, {"a": np.zeros(100)}))
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "c")], cwd=tmp_path, check=True)
    assert sorted(path.name for path in (tmp_path / "c").glob("*.*")) == ["0" * 64 + ".scatc"]


def test_a_lock_that_is_not_released(disk: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.store(KEY, ENTRY)
    monkeypatch.setattr(cache, "_LOCK_SECONDS", 0.05)
    with filelock.FileLock(disk.folder / "lock"):
        with pytest.warns(RuntimeWarning, match="lock"):
            assert not disk.store(OTHER, ENTRY)
        assert disk.load(KEY) is not None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX owners")
def test_another_users_folder_is_refused(disk: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.store(KEY, ENTRY)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        assert disk.load(KEY) is None
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        assert not disk.store(KEY, ENTRY)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        assert disk.clear() == 0
    assert "another user" in (disk.info().problem or "")
    assert only_file(disk).exists()


def test_the_entries_unused_for_longest_make_room(disk: DiskCache) -> None:
    small = DiskCache(disk.folder, max_bytes=4 * 9500)
    keys = [cache_key(number=number) for number in range(5)]
    for number, key in enumerate(keys[:4]):
        assert small.store(key, ENTRY)
        os.utime(small.folder / f"{key}.scatc", (1000 + number, 1000 + number))
    assert small.load(keys[0]) is not None  # now the one used last
    assert small.store(keys[4], ENTRY)
    assert {key for key, _ in small.verify()} == {keys[0], *keys[2:]}
    assert small.info().bytes <= small.max_bytes


def test_an_entry_larger_than_the_cache_is_not_kept(disk: DiskCache) -> None:
    disk.store(KEY, ENTRY)
    with pytest.warns(RuntimeWarning, match="larger than the cache may become"):
        assert not DiskCache(disk.folder, max_bytes=1000).store(OTHER, ENTRY)
    assert disk.load(KEY) is not None


def test_what_killed_writers_left_is_swept(disk: DiskCache) -> None:
    disk.folder.mkdir()
    for name, age in {"tmp.1.old": 4000, "tmp.1.new": 0}.items():
        (disk.folder / name).write_text("half")
        os.utime(disk.folder / name, (time.time() - age, time.time() - age))
    disk.store(KEY, ENTRY)
    assert [path.name for path in disk.folder.glob("tmp.*")] == ["tmp.1.new"]
    for name in ("mine.txt", "mine.scatc"):  # the latter may be a plan that its user saved here
        (disk.folder / name).write_text("not ours to remove")
    assert disk.verify() == [(KEY, None)]
    assert disk.info().entries == 1
    disk.clear()
    assert sorted(path.name for path in disk.folder.iterdir() if path.name != "lock") == ["mine.scatc", "mine.txt"]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_writers_leave_a_whole_entry_or_none(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path)
    for attempt in range(12):
        writer = start_writer(tmp_path, 10**6)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.003 * attempt)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            entry = disk.load(KEY)
            assert disk.store(OTHER, ENTRY)  # the dead writer's lock is free
        if entry is not None:
            assert np.all(entry.arrays["a"] == float(entry.texts["value"]))


def test_eight_processes_race_for_one_key(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, 5) for _ in range(8)]
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0] * 8
    assert DiskCache(tmp_path).verify() == [(KEY, None)]
    assert not list(tmp_path.glob("tmp.*"))


def test_memory_keeps_the_values_used_last() -> None:
    memory: MemoryCache[int] = MemoryCache(2)
    made: list[int] = []

    def get(key: int) -> int:
        return memory.get_or_create(key, lambda: made.append(key) or key)

    for key in (1, 2, 1, 3, 1, 2):
        assert get(key) == key
    assert made == [1, 2, 3, 2]
    assert len(memory) == 2
    memory.clear()
    assert len(memory) == 0
    with pytest.raises(ValueError, match="maxsize=0"):
        MemoryCache(0)


def test_memory_makes_a_value_once_for_all_threads_and_others_meanwhile() -> None:
    memory: MemoryCache[object] = MemoryCache(4)
    begun, go = threading.Event(), threading.Event()
    results: list[object] = []

    def slow() -> object:
        begun.set()
        assert go.wait(30)
        return object()

    threads = [threading.Thread(target=lambda: results.append(memory.get_or_create("a", slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    assert memory.get_or_create("b", lambda: "b") == "b"  # not held up by the slow one
    go.set()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(map(id, results))) == 1


def test_memory_tries_again_after_a_failure() -> None:
    memory: MemoryCache[int] = MemoryCache(2)
    with pytest.raises(ZeroDivisionError):
        memory.get_or_create("a", lambda: 1 // 0)
    assert len(memory) == 0
    assert memory.get_or_create("a", lambda: 1) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_memory_survives_a_fork_while_a_value_is_being_made() -> None:
    memory: MemoryCache[int] = MemoryCache(2)
    memory.get_or_create("kept", lambda: 5)
    begun, go = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go.wait(30)
        return 1

    thread = threading.Thread(target=memory.get_or_create, args=("a", slow))
    thread.start()
    assert begun.wait(30)
    child = os.fork()
    if child == 0:
        right = memory.get_or_create("a", lambda: 2) == 2 and memory.get_or_create("kept", lambda: 6) == 5
        os._exit(0 if right else 1)
    go.set()
    thread.join()
    deadline = time.monotonic() + 30
    status = 0
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, 9)
        done = os.waitpid(child, 0)
    status = done[1]
    assert status == 0
