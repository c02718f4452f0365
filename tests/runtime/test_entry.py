"""Entry files: exact round trips, and every kind of damage or forgery refused."""

from __future__ import annotations

import json
import os
import struct
import zlib
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


def test_every_flipped_byte_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        with pytest.raises(EntryError):
            read_entry(path)


def test_what_is_appended_is_noticed(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(64))
    with pytest.raises(EntryError, match="not as long as it says"):
        read_entry(path)


def test_arrays_are_aligned_and_stored_once(tmp_path: Path) -> None:
    w = np.arange(1000.0)
    write_entry(tmp_path / "two", Entry({}, {"a": w, "b": w, "c": w[:7]}))
    write_entry(tmp_path / "one", Entry({}, {"a": w, "c": w[:7]}))
    assert (tmp_path / "two").stat().st_size < (tmp_path / "one").stat().st_size + 128
    got = read_entry(tmp_path / "two").arrays
    assert got["a"] is got["b"]
    assert all(array.ctypes.data % 64 == 0 for array in got.values())
    np.testing.assert_array_equal(got["c"], w[:7])


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


def forge(path: Path, header: object, body: bytes = bytes(256), **fields: int) -> None:
    """Write a file whose checksum is right and whose content is hostile."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-(32 + len(text)) % 64)
    prelude = {"format": 2, "length": len(text), "size": 32 + len(text) + len(body), "spare": 0} | fields
    checksum = zlib.crc32(text + body)
    order = [prelude[key] for key in ("format", "length", "size")]
    path.write_bytes(struct.pack("<8sIIQII", b"\x93scatc\r\n", *order, checksum, prelude["spare"]) + text + body)


def array(dtype: object = "<f8", shape: object = (4,), start: object = 0) -> dict[str, object]:
    return {"key": "", "texts": {}, "arrays": {"a": [dtype, shape, start]}}


def test_a_forgery_without_a_fault_is_read(tmp_path: Path) -> None:
    """Else what follows would show nothing."""
    forge(tmp_path / "f", array())
    np.testing.assert_array_equal(read_entry(tmp_path / "f").arrays["a"], np.zeros(4))


HOSTILE = {
    "objects": array("|O8"),
    "text": array("<U4"),
    "records": array("f4,O"),
    "no dtype": array(8),
    "no such number": array("<f7"),
    "beyond the end": array(shape=(33,)),
    "huge": array(shape=(10**15,)),
    "beyond 64 bits": array(shape=(1 << 70,)),
    "huge but empty": array(shape=(0, 1 << 70)),
    "negative shape": array(shape=(-2, -2)),
    "shape of truths": array(shape=(True,)),
    "shape of fractions": array(shape=(4.0,)),
    "too many axes": array(shape=(1,) * 100),
    "no shape": array(shape=None),
    "not aligned": array(start=8),
    "before the beginning": array(start=-64),
    "starts at a fraction": array(start=0.0),
    "starts late": array(start=1 << 70),
    "text beyond the end": {"key": "", "texts": {"a": [0, 257]}, "arrays": {}},
    "text of negative length": {"key": "", "texts": {"a": [64, -8]}, "arrays": {}},
    "path": {"key": "", "texts": {"../../x": [0, 1]}, "arrays": {}},
    "absolute path": {"key": "", "texts": {"/etc/x": [0, 1]}, "arrays": {}},
    "no arrays": {"key": "", "texts": {}},
    "a list": [],
    "a number": 1,
    "no JSON": "import os",
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_forged_headers_are_refused(kind: str, tmp_path: Path) -> None:
    forge(tmp_path / "f", HOSTILE[kind])
    with pytest.raises(EntryError):
        read_entry(tmp_path / "f")


def test_text_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    forge(tmp_path / "f", {"key": "", "texts": {"a": [0, 2]}, "arrays": {}}, b"\xff\xfe" + bytes(62))
    with pytest.raises(EntryError):
        read_entry(tmp_path / "f")


@pytest.mark.parametrize("fields", [{"format": 1}, {"format": 3}, {"length": 0}, {"length": 1 << 31}, {"size": 5}])
def test_forged_preludes_are_refused(fields: dict[str, int], tmp_path: Path) -> None:
    forge(tmp_path / "f", array(), **fields)
    with pytest.raises(EntryError):
        read_entry(tmp_path / "f")


@pytest.mark.parametrize(
    "garbage", [b"", b"PK", b"\x00" * 500, b"PK\x05\x06" + b"\x00" * 18, b"\x93scatc\r\n", b"import os\n"]
)
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
