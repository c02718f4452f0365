"""A folder beneath the disk cache that its owner alone can write: what is executed is read from no other.

Plans on disk are data, which at worst is refused. Compiled libraries are code, so their folder has to be closed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from scatc.runtime.cache import DiskCache
from scatc.runtime.entry import write_packed

STALE_SECONDS = 3600.0
"""What a writer that was killed has left is removed after so long."""


def open_to_others(folder: Path, *, follow_links: bool = True) -> str | None:
    """Why what is in a folder may be somebody else's; None if it cannot be, or there is no such folder."""
    try:
        status = folder.stat(follow_symlinks=follow_links)
    except (FileNotFoundError, NotADirectoryError):
        return None  # writing says so if it cannot be made
    except OSError as error:
        return str(error)
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder"
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return f"{folder} belongs to another user (number {status.st_uid})"
    if os.name == "posix" and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{folder} can be written by others: chmod go-w {folder}"
    return None


class PrivateFolder:
    """Files of this user alone; whatever the disk has against them is told, never raised.

    Parameters
    ----------
    name : str
        Of the folder, beneath that of the cache.
    """

    def __init__(self, name: str) -> None:
        cache = DiskCache()
        self.path = cache.folder / name
        self._cache_problem = cache.problem()

    def problem(self) -> str | None:
        """Why nothing may be read from here or written here; None if it may be, or is not there yet."""
        if self._cache_problem is not None:
            return self._cache_problem
        # the cache may be a link to somewhere else
        return open_to_others(self.path.parent) or open_to_others(self.path, follow_links=False)

    def files(self, pattern: str) -> list[Path]:
        """The files whose names match a pattern, that used longest ago first; none where none may be read."""
        if self.problem() is not None:
            return []
        return [path for path, _ in sorted(self._with_status(pattern), key=lambda pair: pair[1].st_mtime_ns)]

    def _with_status(self, pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
        with contextlib.suppress(OSError):
            for path in self.path.glob(pattern):
                with contextlib.suppress(OSError):  # another process removed it
                    status = path.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield path, status

    def write(self, name: str, data: bytes) -> Path:
        """Write a file, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written, or must not be.
        """
        if (problem := self.problem()) is not None:
            raise OSError(problem)
        # mkdir's mode holds for the last folder alone: the cache's own, if it is missing, is made as closed as this
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        if (problem := self.problem()) is not None:  # somebody else may have made it meanwhile
            raise OSError(problem)
        path = self.path / name
        write_packed(path, [data])
        return path

    def make_room(self, pattern: str, most: int) -> None:
        """Remove the files unused for longest until those that match take at most so many bytes; and what is stale."""
        found = sorted(self._with_status(pattern), key=lambda pair: pair[1].st_mtime_ns)
        total = sum(status.st_size for _, status in found)
        for path, status in found:
            if total <= most:
                break
            total -= status.st_size * remove(path)
        for path, status in self._with_status("tmp.*"):
            if time.time() - status.st_mtime > STALE_SECONDS:
                remove(path)


def remove(path: Path) -> bool:
    """Remove a file; whether it is gone."""
    try:
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
