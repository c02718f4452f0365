"""The tool that runs the documents' code: which blocks it runs, and what it says of one that is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).with_name("run_markdown.py")


def run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    document = tmp_path / "page.md"
    document.write_text(text, encoding="utf-8")
    return subprocess.run([sys.executable, TOOL, document], capture_output=True, text=True, check=False, timeout=60)


def test_blocks_share_their_names_and_others_do_not_run(tmp_path: Path) -> None:
    text = "```python\na = 1\n```\n```python no-run\na = 2\n```\n```\na = 3\n```\n~~~python\nassert a == 1\n~~~\n"
    done = run(tmp_path, text)
    assert done.returncode == 0, done.stderr
    assert "2 blocks ran" in done.stdout


def test_an_error_names_the_line_of_the_document(tmp_path: Path) -> None:
    done = run(tmp_path, "# Title\n\n```python\nfine = 1\n1 / 0\n```\n")
    assert done.returncode == 1
    assert "page.md" in done.stderr
    assert "line 5" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_sessions_are_compared_with_what_they_print(tmp_path: Path) -> None:
    text = "```python\n>>> a = 20\n>>> a + 1\n21\n```\n\n```python\n>>> a\n{}\n```\n"
    assert run(tmp_path, text.format("2...")).returncode == 0
    done = run(tmp_path, text.format("30"))
    assert done.returncode == 1
    assert "Expected:\n    30\nGot:\n    20" in done.stdout


def test_a_longer_fence_may_show_a_shorter_one(tmp_path: Path) -> None:
    done = run(tmp_path, "````markdown\n```python\n1 / 0\n```\n````\n")
    assert done.returncode == 0, done.stderr
    assert "0 blocks ran" in done.stdout
