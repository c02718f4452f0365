"""Targets are found by the names of their folders."""

from __future__ import annotations

import re

import pytest
from support import ROOT

from scatc.codegen import find_target, targets
from scatc.ir.errors import TargetError


def test_every_folder_is_a_target() -> None:
    folders = {path.parent.name: path.read_text() for path in (ROOT / "codegen").glob("*/__init__.py")}
    assert targets() == sorted(name for name, text in folders.items() if "\nTARGET = " in text)
    assert set(folders) - set(targets()) == {"arrays", "triton"}, "what is no target is shared by some"
    assert "numpy" in targets()
    for name in targets():
        assert find_target(name).name == name


@pytest.mark.parametrize("name", ["", "Numpy", "numpy.emitter", "../numpy", "cobol"])
def test_unknown_targets_are_refused(name: str) -> None:
    text = f"target={name!r} is not possible: target must be one of {', '.join(map(repr, targets()))}"
    with pytest.raises(TargetError, match=f"^{re.escape(text)}$"):
        find_target(name)


def test_a_machine_for_every_provider() -> None:
    target = find_target("numpy")
    assert target.machine("user") == target.machine("scipy")
    assert target.machine("mkl_fft") != target.machine("scipy")
