"""The golden cases are readable, and the golden text fixture says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import golden_cases, relative_error

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("cls", "count"), [("Scattering1D", 8), ("Scattering2D", 5), ("HarmonicScattering3D", 4)], ids=str
)
def test_every_golden_case_loads(cls: str, count: int) -> None:
    cases = golden_cases(cls)
    assert len(cases) == count
    for case in cases:
        outputs = case.expected.values() if isinstance(case.expected, dict) else [case.expected]
        assert all(len(y) == len(case.x) and np.isfinite(y).all() for y in outputs), case.name
        assert not case.x.flags.writeable
        if case.meta:
            paths = len(case.expected) if isinstance(case.expected, dict) else case.expected.shape[1]
            assert len(case.meta["order"]) == paths


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(KeyError, match="no golden case for 'Scattering4D'"):
        golden_cases("Scattering4D")


def test_relative_error() -> None:
    assert relative_error([3.0, 4.0], [3.0, 4.0]) == 0
    assert relative_error(np.float32([0, 6]), [0, 3]) == 1
    assert relative_error([1e-3], [0]) == 1e-3
    with pytest.raises(AssertionError, match="shape"):
        relative_error(np.zeros((1, 2)), np.zeros(2))


def test_the_golden_fixture_says_what_to_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text(encoding="utf-8"))
    source = "def test_it(golden):\n    golden('room/name', {!r})\n"
    command = "*pytest 'test_page.py::test_it' --update-golden"
    pytester.makepyfile(test_page=source.format("one\ntwo"))
    pytester.runpytest_subprocess().stdout.fnmatch_lines(["*there is no name.txt yet*", command])
    assert pytester.runpytest_subprocess("--update-golden").ret == 0
    assert (pytester.path / "golden_text" / "room" / "name.txt").read_text() == "one\ntwo\n"
    assert pytester.runpytest_subprocess().ret == 0
    pytester.makepyfile(test_page=source.format("one\nthree"))
    pytester.runpytest_subprocess().stdout.fnmatch_lines(["-two", "+three", command])


def test_a_framework_that_is_asked_for_must_be_there(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(test_page="def test_it(): pass")
    monkeypatch.setenv("SCATC_TEST_FRAMEWORKS", "numpy no_such_framework")
    stopped = pytester.runpytest_subprocess()
    assert stopped.ret == pytest.ExitCode.USAGE_ERROR
    stopped.stderr.fnmatch_lines(["*SCATC_TEST_FRAMEWORKS asks for no_such_framework, not installed*"])
    monkeypatch.setenv("SCATC_TEST_FRAMEWORKS", "numpy")
    assert pytester.runpytest_subprocess().ret == 0
