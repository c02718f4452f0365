"""Fixtures of the whole suite: the golden texts, a private cache folder and the settings of hypothesis.

Tests of a framework (`tests/frameworks/test_<framework>_*.py`) are skipped where it is missing, unless the variable
SCATC_TEST_FRAMEWORKS names it, as `make test` does: then nothing runs without it.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

GOLDEN_TEXT = Path(__file__).parent / "golden_text"

# A first call compiles, so one example may take far longer than the next: neither that nor a busy machine is a defect.
settings.register_profile("scatc", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("scatc")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden_text/ with what the code says")


def pytest_configure() -> None:
    asked = os.environ.get("SCATC_TEST_FRAMEWORKS", "").split()
    missing = [name for name in asked if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(
            f"SCATC_TEST_FRAMEWORKS asks for {', '.join(missing)}, not installed: "
            f"pip install 'scatc[{','.join(missing)}]', or unset it to skip their tests"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one framework on one worker (`--dist loadgroup`): each takes a while to load, and memory."""
    for item in items:
        if item.path.parent.name == "frameworks":
            item.add_marker(pytest.mark.xdist_group(item.path.stem.split("_")[1]))


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the suite out of the user's cache, and each worker out of the others'."""
    folder = tmp_path_factory.mktemp("scatc-cache")
    before = os.environ.get("SCATC_CACHE_DIR")
    os.environ["SCATC_CACHE_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["SCATC_CACHE_DIR"]
    else:
        os.environ["SCATC_CACHE_DIR"] = before


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with ``tests/golden_text/<name>.txt``; with ``--update-golden``, write it there.

    The name may hold slashes, which make folders: ``golden("ir/lower_1d", text)``.
    """
    update = request.config.getoption("--update-golden")
    test = request.node.nodeid
    command = f"pytest '{test}' --update-golden"

    def compare(name: str, text: str) -> None:
        path = GOLDEN_TEXT / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(f"there is no {path.name} yet; read the text, then make it with\n    {command}", pytrace=False)
        expected = path.read_text(encoding="utf-8")
        if text != expected:
            lines = expected.splitlines(), text.splitlines()
            diff = "\n".join(difflib.unified_diff(*lines, f"golden_text/{name}.txt", "now", lineterm=""))
            pytest.fail(f"{diff}\n\nif the new text is right, accept it with\n    {command}", pytrace=False)

    return compare
