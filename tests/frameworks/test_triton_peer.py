"""The benchmark of GPU plans, as far as it goes without a GPU: the peer is right, and the command says what it can."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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
    "images": Spec(dim=2, shape=(20, 24), J=2, L=3),
    "images, fine outputs": Spec(dim=2, shape=(17, 16), J=3, L=1, stride=2),
}


def peer(dim: int) -> Any:
    """The class of the peer: benchmarks are scripts, in no package."""
    name, of = {1: ("peer_torch", "Incumbent"), 2: ("peer_images", "IncumbentImages")}[dim]
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, of)


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
    y = peer(spec.dim)(spec, "cpu")(torch.from_numpy(x))
    assert y.dtype == torch.float32
    wanted, paths = interpret(lower(spec), x), all_paths(spec)
    assert y.shape == (3, len(paths), *wanted[()].shape[1:])
    got = {path: y[:, row].double().numpy() for row, path in enumerate(paths)}
    scale = float(np.hypot.reduce([*order_norms(wanted).values()]))
    errors = order_errors(got, wanted, FAINT * scale)
    assert set(errors) == set(range(spec.order + 1))
    assert all(error <= AGREEMENT["float32"] for error in errors.values()), errors


@pytest.mark.parametrize("other", [{"T": "global"}, {"T": 0}, {"padding": "zero"}, {"order": 3}, {"pre_pad": True}])
def test_the_peer_refuses_what_it_does_not_do(other: dict[str, object]) -> None:
    for sides in ((64,), (24, 24)):
        spec = Spec(dim=len(sides), shape=sides, J=3, **other)
        with pytest.raises(ValueError, match="with local averaging and padding by reflection"):
            peer(spec.dim)(spec, "cpu")


def test_the_peers_operators_are_those_that_are_counted(peer: ModuleType) -> None:
    """As many as torch sees, but for pad, which it splits up, and views, which cost nothing."""
    from torch.utils._python_dispatch import TorchDispatchMode

    views = {"view_as_real", "view_as_complex", "view", "slice", "select", "unsqueeze", "detach", "_unsafe_view"}
    seen: list[str] = []

    class Counter(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            if name not in views:
                seen.append(name)
            return func(*args, **(kwargs or {}))

    for spec in SPECS.values():
        incumbent = peer.Incumbent(spec, "cpu")
        x = torch.zeros(2, *spec.shape)
        seen.clear()
        with Counter():
            incumbent(x)
        assert len(seen) == len(peer.operators(spec)), seen
        assert min(peer.operators(spec)) > 0


def test_predictions_need_no_gpu(tmp_path: Path) -> None:
    written = tmp_path / "predicted.json"
    done = command("--predict", "--json", str(written), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("1d-", "2d-"))]
    cases = ("1d-65536-J8-Q8", "1d-4096-J8-Q8", "1d-65536-J13-Q12", "1d-1024-J8-Q1")
    cases += ("2d-256-J2-L8", "2d-32-J2-L8", "2d-224-J3-L8", "2d-256-J7-L4-global")
    assert [(row[0], row[2]) for row in rows] == [(case, gpu) for case in cases for gpu in ("H200", "H100", "A100")]
    for _, _, _, launches, _, milliseconds, floor, peer, graphed, ratio, _ in rows:
        assert int(launches) > 0
        assert float(peer) >= float(graphed) > float(milliseconds) > float(floor) > 0
        assert float(ratio) == pytest.approx(float(peer) / float(milliseconds), rel=0.05, abs=0.05)
    assert len(json.loads(written.read_text(encoding="utf-8"))["predicted"]) == len(rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_timed(tmp_path: Path) -> None:
    done = command(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("this needs a GPU")
    assert len(done.stderr.splitlines()) == 1
