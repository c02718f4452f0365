"""Compiled plans kept for next time, in memory and on disk (as data only: see `scatc.runtime.entry`)."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import re
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import platformdirs

from scatc.runtime.entry import Entry, EntryError, pack, read_entry, read_file, write_entry, write_packed

__all__ = [
    "CacheInfo",
    "DiskCache",
    "Entry",
    "EntryError",
    "MemoryCache",
    "cache_key",
    "read_entry",
    "write_entry",
]

SUFFIX = ".scatc"
SOURCE = ".py"

_LOCK_SECONDS = 10.0
_STALE_SECONDS = 3600.0
_KEY = re.compile(r"[0-9a-f]{64}")
_SOURCE_NAME = re.compile(r"[a-z]+-[0-9a-f]{16}\.py")

T = TypeVar("T")


def cache_key(**fields: object) -> str:
    """The name of a cache entry: a digest of everything that its content depends on.

    Parameters
    ----------
    **fields : object
        Whatever the content depends on (spec, target, dtype, options, versions), as plain JSON values.

    Returns
    -------
    str
        64 hexadecimal digits, the same for the same fields in any order.
    """
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class CacheInfo:
    """What a `DiskCache` holds.

    Attributes
    ----------
    folder : Path
        Where the entries are.
    entries, bytes : int
        How many there are, and their size together.
    max_bytes : int
        The size above which those unused for longest are dropped.
    problem : str or None
        Why the cache is not in use, if it is not.
    """

    folder: Path
    entries: int
    bytes: int
    max_bytes: int
    problem: str | None


class DiskCache:
    """Entries on disk, shared by all processes of one user.

    A cache must never stand in the way: no trouble with the disk raises. It warns and the caller goes on without.

    Parameters
    ----------
    folder : Path, optional
        Where the entries are: by default ``$SCATC_CACHE_DIR``, else the user's cache folder of the platform.
        ``SCATC_NO_CACHE=1`` in the environment turns every disk cache off.
    max_bytes : int
        Above this size together, the entries unused for longest are dropped.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = 1 << 30) -> None:
        chosen = folder or os.environ.get("SCATC_CACHE_DIR") or platformdirs.user_cache_path("scatc", appauthor=False)
        self.folder = Path(chosen)
        # Where there is no home (some containers) a literal "~" remains, to be refused below rather than created.
        with contextlib.suppress(RuntimeError):
            self.folder = self.folder.expanduser()
        self.max_bytes = max_bytes
        self._off = os.environ.get("SCATC_NO_CACHE", "0") not in ("", "0")

    def problem(self) -> str | None:
        """Why the folder is not to be used; None if it may be, or is not there yet."""
        if self._off:
            return "SCATC_NO_CACHE is set"
        if self.folder.parts[:1] == ("~",):
            return "this user has no home folder; set SCATC_CACHE_DIR"
        try:
            owner = self.folder.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            return None  # store says so if the folder cannot be made
        except OSError as error:
            return str(error)
        # Another user could change entries while we read them.
        if hasattr(os, "getuid") and owner != os.getuid():
            return f"the folder belongs to another user (number {owner})"
        return None

    def _usable(self) -> bool:
        problem = self.problem()
        if problem is not None and not self._off:
            self._warn(problem)
        return problem is None

    def _warn(self, reason: object) -> None:
        warnings.warn(f"scatc goes on without its disk cache {self.folder}: {reason}", RuntimeWarning, stacklevel=3)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a cache key: use cache_key")
        return self.folder / f"{key}{SUFFIX}"

    def load(self, key: str) -> Entry | None:
        """Find an entry.

        Parameters
        ----------
        key : str
            Its key, from `cache_key`.

        Returns
        -------
        Entry or None
            None if there is none. A damaged one is removed with a `RuntimeWarning`.
        """
        path = self._path(key)
        if not self._usable():
            return None
        try:
            entry = read_file(path, key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, EntryError) as error:
            _remove(path)
            warnings.warn(f"a scatc cache entry is dropped and rebuilt: {error}", RuntimeWarning, stacklevel=2)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # its last use, for dropping those unused for longest
        return entry

    def store(self, key: str, entry: Entry) -> bool:
        """Keep an entry, in place of an older one with the same key.

        Parameters
        ----------
        key : str
            Its key, from `cache_key`.
        entry : Entry
            What to keep.

        Returns
        -------
        bool
            Whether it is kept. If not, a `RuntimeWarning` names the folder and the reason.
        """
        import filelock  # takes longer to import than an entry to be read

        path = self._path(key)
        if not self._usable():
            return False
        try:
            packed = pack(entry, key)
            if sum(map(len, packed)) > self.max_bytes:
                raise OSError(f"the entry is larger than the cache may become ({self.max_bytes} bytes)")
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Readers need no lock, for entries appear and vanish whole; it keeps writers from evicting side by side.
            with filelock.FileLock(self.folder / "lock", timeout=_LOCK_SECONDS):
                write_packed(path, packed)
                self._make_room(keep=path)
        except (OSError, NotImplementedError) as error:  # filelock: NotImplementedError where nothing can be locked
            self._warn(error)
            return False
        return True

    def keep_source(self, name: str, text: str) -> Path | None:
        """Write emitted source to a file, for tools that want one: it is never read back here.

        Parameters
        ----------
        name : str
            Such as ``cuda-3fa9c1d20b1c77e4``.
        text : str

        Returns
        -------
        Path or None
            The file; None if it could not be written, which is no reason to warn.
        """
        if self.problem() is not None:
            return None
        path = self.folder / f"{name}{SOURCE}"
        temporary = self.folder / f"tmp.{os.getpid()}-{threading.get_ident()}-{path.name}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError:
            return None
        return path

    def _sources(self) -> list[Path]:
        """The files of emitted source."""
        return [path for path in self.folder.glob(f"*{SOURCE}") if _SOURCE_NAME.fullmatch(path.name)]

    def _entries(self) -> list[tuple[Path, os.stat_result]]:
        """The entries, that used longest ago first."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"*{SUFFIX}"):
                if not _KEY.fullmatch(path.stem):  # a plan that a user saved here is none of ours
                    continue
                with contextlib.suppress(OSError):  # another process removed it
                    found.append((path, path.stat()))
        return sorted(found, key=lambda pair: pair[1].st_mtime_ns)

    def _make_room(self, keep: Path) -> None:
        entries = self._entries()
        total = sum(stat.st_size for _, stat in entries)
        for path, stat in entries:
            if total <= self.max_bytes:
                break
            if path != keep and _remove(path):
                total -= stat.st_size
        # left by a writer that was killed; and source that nobody has loaded for long
        for path in (*self.folder.glob("tmp.*"), *self._sources()):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()

    def info(self) -> CacheInfo:
        """Count the entries.

        Returns
        -------
        CacheInfo
            Where they are, how many and how large.
        """
        entries = [] if (problem := self.problem()) else self._entries()
        return CacheInfo(self.folder, len(entries), sum(stat.st_size for _, stat in entries), self.max_bytes, problem)

    def verify(self) -> list[tuple[str, str | None]]:
        """Read every entry, changing nothing.

        Returns
        -------
        list of (str, str or None)
            Key and problem of each; None where it is sound.
        """
        return [(path.stem, _trouble(path)) for path, _ in ([] if self.problem() else self._entries())]

    def clear(self) -> int:
        """Remove all entries, and nothing else that may lie in the folder.

        Returns
        -------
        int
            How many were removed.
        """
        if not self._usable():
            return 0
        with contextlib.suppress(OSError):
            for path in (*self.folder.glob("tmp.*"), *self._sources()):
                _remove(path)
        return sum(_remove(path) for path, _ in self._entries())


def _trouble(path: Path) -> str | None:
    try:
        read_file(path, path.stem)
    except (OSError, EntryError) as error:
        return str(error)
    return None


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


class _Slot(Generic[T]):
    """The place of one value, and the lock under which it is made."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.made: list[T] = []


class MemoryCache(Generic[T]):
    """The values used last, each made once however many threads ask for it at the same time.

    Parameters
    ----------
    maxsize : int
        How many values to keep; at least 1.
    """

    def __init__(self, maxsize: int) -> None:
        if maxsize < 1:
            raise ValueError(f"maxsize={maxsize!r} is not possible: it must be at least 1")
        self.maxsize = maxsize
        self._lock = threading.Lock()
        self._slots: collections.OrderedDict[Hashable, _Slot[T]] = collections.OrderedDict()
        if hasattr(os, "register_at_fork"):
            renew = weakref.WeakMethod(self._renew_locks)
            os.register_at_fork(after_in_child=lambda: (call := renew()) and call())

    def _renew_locks(self) -> None:
        """In a forked child: a lock that another thread held while the process forked would stay held for ever."""
        self._lock = threading.Lock()
        for slot in self._slots.values():
            slot.lock = threading.RLock()

    def get_or_create(self, key: Hashable, factory: Callable[[], T]) -> T:
        """The value of this key, made by `factory` if there is none yet.

        Parameters
        ----------
        key : hashable
            What the value is for.
        factory : callable
            Makes the value. If it raises, nothing is kept and a thread that waited tries in its turn.

        Returns
        -------
        object
            The value.
        """
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self.maxsize:
                self._slots.popitem(last=False)
        with slot.lock:
            if not slot.made:
                slot.made.append(factory())
            return slot.made[0]

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._slots.clear()

    def __len__(self) -> int:
        return sum(bool(slot.made) for slot in list(self._slots.values()))
