"""The benchmark of GPU plans, as far as it goes without a GPU: the peer is right, and the command says what it can."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compiled import AGREEMENT, FAINT, order_norms
from oracle import order_errors
from support import ROOT

pytest.importorskip("torch")

import torch

from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec

BENCHMARKS = ROOT / "benchmarks"
SPECS = {
    "banks of both orders": Spec(dim=1, shape=300, J=5, Q=(3, 2)),
    "padded as far as can be, fine outputs": Spec(dim=1, shape=129, J=6, stride=4),
    "order 1": Spec(dim=1, shape=200, J=3, T=20, order=1),
    "volumes": Spec(dim=3, shape=(6, 7, 8), J=1, L=2),
    "volumes of order 1": Spec(dim=3, shape=(8, 8, 8), J=2, L=1, order=1, integral_powers=(1, 3)),
}
PEERS = {1: ("peer_torch", "Incumbent"), 3: ("peer_torch3d", "Incumbent3D")}
"""Module and class, by dimension."""


def peer(spec: Spec) -> Callable[[torch.Tensor], torch.Tensor]:
    """The peer of a spec, from its module: benchmarks are scripts, in no package."""
    module_name, name = PEERS[spec.dim]
    found = importlib.util.spec_from_file_location(module_name, BENCHMARKS / f"{module_name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    made: Callable[[torch.Tensor], torch.Tensor] = getattr(module, name)(spec, "cpu")
    return made


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_the_peer_agrees_with_the_interpreter(spec: Spec) -> None:
    x = np.random.default_rng(0).standard_normal((3, *spec.shape)).astype(np.float32)
    y = peer(spec)(torch.from_numpy(x))
    assert y.dtype == torch.float32
    wanted, paths = interpret(lower(spec), x), all_paths(spec)
    assert y.shape == (3, len(paths), wanted[paths[0]].shape[-1])
    got = {path: y[:, row].double().numpy() for row, path in enumerate(paths)}
    scale = float(np.hypot.reduce([*order_norms(wanted).values()]))
    errors = order_errors(got, wanted, FAINT * scale)
    assert set(errors) == set(range(spec.dim == 3, spec.order + 1))
    assert all(error <= AGREEMENT["float32"] for error in errors.values()), errors


@pytest.mark.parametrize("other", [{"T": "global"}, {"T": 0}, {"padding": "zero"}, {"order": 3}, {"pre_pad": True}])
def test_the_peer_refuses_what_it_does_not_do(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="with local averaging and padding by reflection"):
        peer(Spec(dim=1, shape=64, J=3, **other))


@pytest.mark.parametrize("other", [{"order": 3}, {"rotation_covariant": False}])
def test_the_peer_of_volumes_refuses_what_it_does_not_do(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="order 2 at most, with the norm over m"):
        peer(Spec(dim=3, shape=(4, 4, 4), J=2, **other))


def test_predictions_need_no_gpu(tmp_path: Path) -> None:
    written = tmp_path / "predicted.json"
    done = command("--predict", "--json", str(written), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("1d-", "3d-"))]
    cases = ("1d-65536-J8-Q8", "1d-4096-J8-Q8", "1d-65536-J13-Q12", "1d-1024-J8-Q1", "3d-128-J2-L2")
    assert [(row[0], row[2]) for row in rows] == [(case, gpu) for case in cases for gpu in ("H200", "H100", "A100")]
    for _, _, _, launches, _, milliseconds, floor in rows:
        assert int(launches) > 0
        assert float(milliseconds) > float(floor) > 0
    assert len(json.loads(written.read_text(encoding="utf-8"))["predicted"]) == len(rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_timed(tmp_path: Path) -> None:
    done = command(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("this needs a GPU")
    assert len(done.stderr.splitlines()) == 1
