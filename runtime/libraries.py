"""C text to a library of this process: out of memory, from the cache folder, or built by the compiler.

A library on disk is named by what it was built from and by a digest of its own bytes. It is read from a folder that
this user alone can write (`scatc.runtime.private`), and only if its bytes are what its name says.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from scatc.runtime.cache import MemoryCache
from scatc.runtime.private import PrivateFolder, remove
from scatc.runtime.toolchain import FOLDER, SUFFIX, Toolchain, ToolchainError, find, private_temporary

MOST_BYTES = 1 << 28
"""Of all libraries together: above that, those unused for longest are removed."""

_ANY = f"*-*{SUFFIX}"

_LOADED: MemoryCache[ctypes.CDLL] = MemoryCache(256)


def load(recipe: str, emit: Callable[[], str] | None = None) -> ctypes.CDLL:
    """The library of a C text; calls of its functions release the interpreter's lock.

    Parameters
    ----------
    recipe : str
        What the library is known by: different for different texts.
    emit : callable, optional
        Gives the text, if it must be built; by default the recipe is the text.

    Raises
    ------
    ToolchainError
        If there is no compiler that works, or it refuses the text, or what it builds does not load.
    """
    toolchain = find()
    key = toolchain.key(recipe)
    return _LOADED.get_or_create(key, lambda: _from_disk(key) or _build(toolchain, key, emit() if emit else recipe))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _from_disk(key: str) -> ctypes.CDLL | None:
    """The library of a key, if it is there and sound."""
    for path in PrivateFolder(FOLDER).files(f"{key}-*{SUFFIX}"):
        if (trouble := _trouble(path)) is not None:
            remove(path)
            warnings.warn(f"a library of scatc is dropped and built anew: {path}: {trouble}", RuntimeWarning, 2)
            continue
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # nothing may be executed there, say: another place may do
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # its last use
        return library
    return None


def _trouble(path: Path) -> str | None:
    """What is wrong with a library on disk."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return str(error)
    return None if path.stem.partition("-")[2] == _digest(data) else "its bytes are not those that were written"


def _build(toolchain: Toolchain, key: str, text: str) -> ctypes.CDLL:
    with private_temporary() as temporary:
        built = toolchain.build(text, temporary)
        folder = PrivateFolder(FOLDER)
        try:
            data = built.read_bytes()
            kept = folder.write(f"{key}-{_digest(data)}{SUFFIX}", data)
        except OSError as error:
            if os.environ.get("SCATC_NO_CACHE", "0") in ("", "0"):
                warnings.warn(f"scatc keeps no library in {folder.path}: {error}", RuntimeWarning, stacklevel=2)
        else:
            folder.make_room(_ANY, MOST_BYTES)
            with contextlib.suppress(OSError):
                return ctypes.CDLL(str(kept))
        # Once loaded, a library does not need its file; where it does, the file outlives its folder.
        try:
            return ctypes.CDLL(str(built))
        except OSError as error:
            raise ToolchainError(f"{toolchain.command[0]} built a library that does not load: {error}") from error


def info() -> tuple[int, int]:
    """How many libraries are on disk, and their bytes together."""
    sizes = []
    for path in PrivateFolder(FOLDER).files(_ANY):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)


def verify() -> list[tuple[str, str | None]]:
    """The name of each library on disk, and what is wrong with it; None where it is sound."""
    return [(path.name, _trouble(path)) for path in PrivateFolder(FOLDER).files(_ANY)]


def clear() -> int:
    """Remove all libraries, and what is known of compilers; how many libraries were removed."""
    folder = PrivateFolder(FOLDER)
    for pattern in ("tmp.*", "probe-*.json"):
        for path in folder.files(pattern):
            remove(path)
    return sum(remove(path) for path in folder.files(_ANY))
