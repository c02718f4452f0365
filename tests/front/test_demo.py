"""The demonstration writes every file whole, and keeps what it has when something goes wrong."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from scatc import cli, demo

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("pywt")

NAMES = ("photograph", "ecg", "molecules")
PNG = b"\x89PNG\r\n\x1a\n"


def test_the_demo_writes_pictures_and_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    assert cli.main(["demo", "--quick", "--output", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    texts = {f"{name}_{what}" for name in NAMES for what in ("ir.txt", "schedule.txt", "source.py", "report.txt")}
    pictures = {f"{name}.png" for name in (*NAMES, "photograph_disks")}
    assert {path.name for path in folder.iterdir()} == texts | pictures
    for name in pictures:
        assert (folder / name).read_bytes().startswith(PNG)
    for name in NAMES:
        ast.parse((folder / f"{name}_source.py").read_text())
        assert "paths" in (folder / f"{name}_report.txt").read_text()
    listed = captured.out.split("written to")[1]
    assert all(name in listed for name in texts | pictures)
    assert captured.out.count("compiled in") == 3
    assert "water, turned, changes by" in captured.out


def test_files_written_before_an_error_are_kept_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(results: demo._Results, quick: bool) -> None:
        results.text("one.txt", "whole")

    def second(results: demo._Results, quick: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "_photograph", first)
    monkeypatch.setattr(demo, "_ecg", second)
    assert cli.main(["demo", "--output", str(tmp_path)]) == cli.USAGE
    captured = capsys.readouterr()
    assert captured.err == "scatc: error: [Errno 28] No space left on device\n"
    assert "one.txt" in captured.out
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]


def test_half_a_file_is_never_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the file lost that was there before."""
    results = demo._Results(tmp_path)
    results.text("one.txt", "old")
    whole = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        whole(path, data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        results.text("one.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]
    assert (tmp_path / "one.txt").read_text() == "old"


@pytest.mark.parametrize("missing", ["matplotlib", "sklearn.datasets", "pywt"])
def test_a_missing_package_is_named_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    folder = tmp_path / "out"
    assert cli.main(["demo", "--output", str(folder)]) == cli.MISSING
    error = capsys.readouterr().err
    assert missing in error
    assert "pip install 'scatc[all]'" in error
    assert not folder.exists()
