"""One compiled plan as a file: texts and plain numeric arrays, each with its checksum, in an uncompressed zip.

Nothing read here is ever executed or unpickled, so a damaged or forged file can at worst be refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

FORMAT = 1
"""The layout of the file; files of another format are refused."""

_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 4 << 20
_ENTRY_LIMIT = 8 << 30
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


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
    arrays: dict[str, np.ndarray[Any, np.dtype[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in [*self.texts, *self.arrays]:
            if not _NAME.fullmatch(name):
                raise EntryError(f"{name!r} cannot name a part of an entry: use letters, digits and _.- only")
        for name, array in self.arrays.items():
            _check_dtype(name, array.dtype)


def _check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biufc":
        raise EntryError(f"array {name!r} has dtype {dtype}, but an entry holds numbers only")


def _array_bytes(array: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _array_from(name: str, data: bytes) -> np.ndarray[Any, np.dtype[Any]]:
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise EntryError(f"array {name!r} has an unknown format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    _check_dtype(name, dtype)
    # Counted in Python integers, before numpy allocates whatever the header claims.
    count = 1
    for length in shape:
        count *= length
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(data) - file.tell():
        raise EntryError(f"array {name!r} is not as large as its header claims")
    file.seek(0)
    return cast("np.ndarray[Any, np.dtype[Any]]", np.lib.format.read_array(file, allow_pickle=False))


def to_parts(entry: Entry) -> dict[str, bytes]:
    """The members of the file, by name."""
    texts = {f"texts/{name}": text.encode() for name, text in entry.texts.items()}
    arrays = {f"arrays/{name}.npy": _array_bytes(array) for name, array in entry.arrays.items()}
    return texts | arrays


def write_parts(path: Path, parts: Mapping[str, bytes], key: str) -> None:
    """Write to a temporary file beside `path`, then rename: at no time does `path` name half an entry."""
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in parts.items()}
    manifest = json.dumps({"format": FORMAT, "key": key, "parts": listed}, indent=1, sort_keys=True).encode()
    temporary = path.parent / f"tmp.{os.getpid()}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, data in [(_MANIFEST, manifest), *sorted(parts.items())]:
                    # Sorted, and with ZipInfo's fixed date: the same entry gives the same bytes.
                    archive.writestr(zipfile.ZipInfo(name), data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _read_zip(data: bytes, key: str | None) -> Entry:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        # Stored, not compressed, and together no larger than the file: what is declared is what is there.
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos.values()):
            raise EntryError("a part is compressed or encrypted")
        if sum(info.file_size for info in infos.values()) > len(data) or len(infos) != len(archive.infolist()):
            raise EntryError("parts overlap")
        if infos[_MANIFEST].file_size > _MANIFEST_LIMIT:
            raise EntryError("the manifest is too large")
        manifest = json.loads(archive.read(_MANIFEST))
        if manifest["format"] != FORMAT:
            raise EntryError(f"format {manifest['format']!r} is not format {FORMAT}, which this version reads")
        if key is not None and manifest["key"] != key:
            raise EntryError("it was stored under another key")
        if set(manifest["parts"]) | {_MANIFEST} != set(infos):
            raise EntryError("its parts are not those of its manifest")
        parts = {name: archive.read(name) for name in manifest["parts"]}
    texts, arrays = {}, {}
    for name, part in parts.items():
        if hashlib.sha256(part).hexdigest() != manifest["parts"][name]["sha256"]:
            raise EntryError(f"the checksum of {name} is wrong")
        if name.startswith("texts/"):
            texts[name.removeprefix("texts/")] = part.decode()
        elif name.startswith("arrays/") and name.endswith(".npy"):
            short = name.removeprefix("arrays/").removesuffix(".npy")
            arrays[short] = _array_from(short, part)
        else:
            raise EntryError(f"{name!r} is not a part of an entry")
    return Entry(texts, arrays)


def read_file(path: Path, key: str | None) -> Entry:
    """Read and check one file; `key`, unless None, must be the one that it was written under."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > _ENTRY_LIMIT:
            raise EntryError(f"{path}: larger than {_ENTRY_LIMIT} bytes")
        data = file.read()
    try:
        return _read_zip(data, key)
    except Exception as error:  # the zip, JSON and npy readers raise nearly anything on damaged input
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
    write_parts(Path(path), to_parts(entry), key="")


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
