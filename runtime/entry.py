"""One compiled plan as a file: texts and plain numeric arrays, all in one piece with one checksum.

    prelude    magic, format, bytes of the header, bytes of the file, CRC-32 of what follows
    header     JSON: the key, and of each text and array where it lies in the body, of what dtype and shape
    body       texts in UTF-8 and arrays as they lie in memory, each at a multiple of 64 bytes

A plan has hundreds of arrays, most of them small, so that an archive of them would be slower to read than a plan to
compile. Nothing read here is ever executed or unpickled: a damaged or forged file can at worst be refused.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 2
"""The layout of the file; files of another format are refused."""

ALIGNMENT = 64

_MAGIC = b"\x93scatc\r\n"
_PRELUDE = struct.Struct("<8sIIQII")
_ENTRY_LIMIT = 8 << 30
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DTYPE = re.compile(r"[<>|][biufc][0-9]{1,2}")

Bytes = NDArray[np.uint8]


class EntryError(ValueError):
    """An entry or plan file is damaged, or holds what no entry may hold."""


@dataclass(frozen=True)
class Entry:
    """What is stored of one plan.

    Attributes
    ----------
    texts : dict of str to str
        Named texts.
    arrays : dict of str to numpy.ndarray
        Named arrays of booleans, integers, real or complex numbers.

    Raises
    ------
    EntryError
        If a name has characters other than letters, digits and ``_.-``, or an array holds anything but numbers.
    """

    texts: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in [*self.texts, *self.arrays]:
            if not _NAME.fullmatch(name):
                raise EntryError(f"{name!r} cannot name a part of an entry: use letters, digits and _.- only")
        for name, array in self.arrays.items():
            if array.dtype.kind not in "biufc":
                raise EntryError(f"array {name!r} has dtype {array.dtype}, but an entry holds numbers only")


def pack(entry: Entry, key: str) -> list[bytes | memoryview]:
    """The file of an entry, in pieces; arrays that are one and the same object are in it once."""
    body: list[bytes | memoryview] = []
    size = 0

    def place(data: bytes | memoryview) -> int:
        nonlocal size
        start = size
        padding = -len(data) % ALIGNMENT
        body.extend((data, bytes(padding)))
        size += len(data) + padding
        return start

    # Sorted, and without dates: the same entry gives the same bytes.
    encoded = {name: text.encode() for name, text in sorted(entry.texts.items())}
    texts = {name: [place(data), len(data)] for name, data in encoded.items()}
    arrays: dict[str, list[object]] = {}
    placed: dict[int, int] = {}
    for name, array in sorted(entry.arrays.items()):
        if id(array) not in placed:
            placed[id(array)] = place(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        arrays[name] = [array.dtype.str, list(array.shape), placed[id(array)]]
    header = json.dumps({"key": key, "texts": texts, "arrays": arrays}, separators=(",", ":")).encode()
    header += b" " * (-(_PRELUDE.size + len(header)) % ALIGNMENT)
    checksum = zlib.crc32(header)
    for data in body:
        checksum = zlib.crc32(data, checksum)
    prelude = _PRELUDE.pack(_MAGIC, FORMAT, len(header), _PRELUDE.size + len(header) + size, checksum, 0)
    return [prelude, header, *body]


def write_packed(path: Path, packed: Sequence[bytes | memoryview]) -> None:
    """Write to a temporary file beside `path`, then rename: at no time does `path` name half an entry."""
    temporary = path.parent / f"tmp.{os.getpid()}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.writelines(packed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _read_whole(file: io.FileIO, size: int) -> Bytes:
    """The bytes of a file, where arrays in them are aligned."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    whole = raw[start : start + size]
    read = 0
    while read < size and (count := file.readinto(whole[read:].data)):
        read += count
    return whole[:read]


def _unpack(whole: Bytes, key: str | None) -> Entry:
    magic, version, length, size, checksum, spare = _PRELUDE.unpack_from(whole.data)
    if magic != _MAGIC or spare:
        raise EntryError("it does not begin as an entry does")
    if version != FORMAT:
        raise EntryError(f"format {version} is not format {FORMAT}, which this version reads")
    if size != len(whole) or (_PRELUDE.size + length) % ALIGNMENT:
        raise EntryError("it is not as long as it says")
    if zlib.crc32(whole[_PRELUDE.size :].data) != checksum:
        raise EntryError("the checksum is wrong")
    header = json.loads(whole[_PRELUDE.size : _PRELUDE.size + length].tobytes())
    if key is not None and header["key"] != key:
        raise EntryError("it was stored under another key")
    body = whole[_PRELUDE.size + length :]
    texts = {name: _piece(body, start, count).tobytes().decode() for name, (start, count) in header["texts"].items()}
    arrays: dict[str, NDArray[Any]] = {}
    seen: dict[tuple[Any, ...], NDArray[Any]] = {}
    for name, (dtype, shape, start) in header["arrays"].items():
        place = (dtype, *shape, start)
        if place not in seen:
            seen[place] = _array(name, body, dtype, shape, start)
        arrays[name] = seen[place]
    return Entry(texts, arrays)


def _piece(body: Bytes, start: int, count: int) -> Bytes:
    if type(start) is not int or type(count) is not int or not 0 <= start <= start + count <= len(body):
        raise EntryError(f"bytes {start} to {start} + {count} are not in it")
    return body[start : start + count]


def _array(name: str, body: Bytes, dtype: str, shape: list[int], start: int) -> NDArray[Any]:
    if not _DTYPE.fullmatch(dtype):
        raise EntryError(f"array {name!r} has dtype {dtype!r}, but an entry holds numbers only")
    if any(type(length) is not int or length < 0 for length in shape) or start % ALIGNMENT:
        raise EntryError(f"array {name!r} cannot be of shape {shape} at {start}")
    number = np.dtype(dtype)
    return _piece(body, start, math.prod(shape) * number.itemsize).view(number).reshape(shape)


def read_file(path: Path, key: str | None) -> Entry:
    """Read and check one file; `key`, unless None, must be the one that it was written under."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _ENTRY_LIMIT:
            raise EntryError(f"{path}: larger than {_ENTRY_LIMIT} bytes")
        whole = _read_whole(file, size)
    try:
        return _unpack(whole, key)
    except Exception as error:  # of a forged header, nearly anything
        reason = str(error) if isinstance(error, EntryError) else f"{type(error).__name__}: {error}"
        raise EntryError(f"{path}: damaged or not written by scatc ({reason})") from error


def write_entry(path: str | os.PathLike[str], entry: Entry) -> None:
    """Write an entry to a file of the user's choice, whole or not at all.

    Parameters
    ----------
    path : path
        The file to write; an existing file is replaced.
    entry : Entry
        What to write.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file is then left as it was.
    """
    write_packed(Path(path), pack(entry, key=""))


def read_entry(path: str | os.PathLike[str]) -> Entry:
    """Read a file written by `write_entry`, executing nothing.

    Parameters
    ----------
    path : path
        The file to read.

    Returns
    -------
    Entry
        Its content, checked.

    Raises
    ------
    EntryError
        If the file is damaged, of an unknown format, or never was an entry.
    OSError
        If the file cannot be read.
    """
    return read_file(Path(path), key=None)
