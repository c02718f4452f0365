"""Entry files: exact round trips, and every kind of damage or forgery refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scatc.runtime.entry import Entry, EntryError, read_entry, write_entry

ENTRY = Entry(
    {"spec.json": '{"J": 3}', "ir": "x = input ψ\n", "empty": ""},
    {
        "psi": np.linspace(0, 1, 40, dtype=np.float32).reshape(5, 8),
        "complex": np.arange(6, dtype=np.complex64).reshape(2, 3, order="F"),
        "none": np.zeros((0, 3)),
        "scalar": np.array(7),
    },
)


def assert_same(got: Entry, expected: Entry = ENTRY) -> None:
    assert got.texts == expected.texts
    assert list(got.arrays) == sorted(expected.arrays)
    for name, array in expected.arrays.items():
        assert got.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(got.arrays[name], array)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_entry(tmp_path / "plan.scatc", ENTRY)
    return tmp_path / "plan.scatc"


def test_round_trip(path: Path) -> None:
    assert_same(read_entry(path))
    assert [p.name for p in path.parent.iterdir()] == ["plan.scatc"]


def test_the_same_entry_gives_the_same_bytes(path: Path) -> None:
    before = path.read_bytes()
    write_entry(path, read_entry(path))
    assert path.read_bytes() == before


def test_a_missing_file_is_not_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_entry(tmp_path / "plan.scatc")


def test_every_flipped_byte_is_harmless_or_noticed(path: Path) -> None:
    """Some bytes of a zip carry nothing (dates, attributes); no flip may ever change what is read."""
    whole = path.read_bytes()
    noticed = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            got = read_entry(path)
        except EntryError:
            noticed += 1
        else:
            assert_same(got)
    assert noticed > len(whole) // 2


def test_every_truncation_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(EntryError, match=r"plan\.scatc: damaged or not written by scatc"):
            read_entry(path)


@pytest.mark.parametrize("array", [np.array([{}, []], dtype=object), np.array(["text"]), np.zeros(2, "f4,O")])
def test_arrays_of_anything_but_numbers_are_refused(array: np.ndarray) -> None:
    with pytest.raises(EntryError, match="an entry holds numbers only"):
        Entry({}, {"bad": array})


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", ".hidden", "a\\b", "a\n", "x" * 200])
def test_names_that_could_be_paths_are_refused(name: str) -> None:
    with pytest.raises(EntryError, match="cannot name a part"):
        Entry({name: ""}, {})


def forge(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED, manifest: object = None) -> None:
    """Write a file whose checksums are right and whose content is hostile."""
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in parts.items()}
    text = json.dumps({"format": 1, "key": "", "parts": listed} if manifest is None else manifest)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("manifest.json", text)
        for name, data in parts.items():
            archive.writestr(name, data)


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os._exit, (99,)  # type: ignore[return-value]


HOSTILE = {
    "pickle": {"arrays/a.npy": npy(np.array([Bomb()], dtype=object), allow_pickle=True)},
    "huge shape": {"arrays/a.npy": npy(np.zeros(12345)).replace(b"(12345,)", b"(9" + b"9" * 3 + b"9,)")},
    "shape beyond 64 bits": {"arrays/a.npy": npy(np.zeros(1)).replace(b"(1,), }", b"(1 << 70,), }")},
    "negative shape": {"arrays/a.npy": npy(np.zeros((2, 3))).replace(b"(2, 3)", b"(-2,-3)")},
    "not an array": {"arrays/a.npy": b"import os"},
    "later npy version": {"arrays/a.npy": npy(np.zeros(3)).replace(b"NUMPY\x01", b"NUMPY\x03")},
    "path": {"texts/../../x": b"1"},
    "absolute path": {"/etc/x": b"1"},
    "unknown kind": {"code/x.py": b"1"},
    "not unicode": {"texts/a": b"\xff\xfe"},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_forged_parts_are_refused(kind: str, tmp_path: Path) -> None:
    forge(tmp_path / "f", HOSTILE[kind])
    with pytest.raises(EntryError):
        read_entry(tmp_path / "f")


@pytest.mark.parametrize("manifest", [[], {}, 1, {"format": 2, "parts": {}}, {"format": 1, "key": "", "parts": []}])
def test_forged_manifests_are_refused(manifest: object, tmp_path: Path) -> None:
    forge(tmp_path / "f", {"texts/a": b"1"}, manifest=manifest)
    with pytest.raises(EntryError):
        read_entry(tmp_path / "f")


def test_a_compressed_bomb_is_not_inflated(tmp_path: Path) -> None:
    forge(tmp_path / "f", {"texts/a": b"0" * (50 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(EntryError, match="compressed"):
        read_entry(tmp_path / "f")


@pytest.mark.parametrize("garbage", [b"", b"PK", b"\x00" * 500, b"PK\x05\x06" + b"\x00" * 18, b"import os\n"])
def test_other_files_are_refused(garbage: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(garbage)
    with pytest.raises(EntryError, match="not written by scatc"):
        read_entry(tmp_path / "f")


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_entry(path, Entry({"a": "new"}))
    assert_same(read_entry(path))
    assert [p.name for p in path.parent.iterdir()] == ["plan.scatc"]
