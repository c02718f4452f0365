"""The benchmark of GPU plans, as far as it goes without a GPU: the peer is right, and the command says what it can."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from compiled import AGREEMENT, FAINT, fresh, order_norms
from gradients import assert_gradient, cotangents_like
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
    "volumes": Spec(dim=3, shape=(6, 7, 8), J=1, L=2),
    "volumes of order 1": Spec(dim=3, shape=(8, 8, 8), J=2, L=1, order=1, integral_powers=(1, 3)),
}


@pytest.fixture(scope="module")
def peers() -> Iterator[ModuleType]:
    """The module of the peers: benchmarks are scripts, in no package, and find each other by their folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        known = set(sys.modules)
        yield importlib.import_module("peers")
        for name in set(sys.modules) - known:
            if name.startswith("peer"):
                del sys.modules[name]


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
def test_the_peer_agrees_with_the_interpreter(spec: Spec, peers: ModuleType) -> None:
    x = np.random.default_rng(0).standard_normal((3, *spec.shape)).astype(np.float32)
    y = peers.PEERS[spec.dim](spec, "cpu")(torch.from_numpy(x))
    assert y.dtype == torch.float32
    wanted, paths = interpret(lower(spec), x), all_paths(spec)
    assert y.shape == (3, len(paths), *wanted[paths[0]].shape[1:])
    got = {path: y[:, row].double().numpy() for row, path in enumerate(paths)}
    scale = float(np.hypot.reduce([*order_norms(wanted).values()]))
    errors = order_errors(got, wanted, FAINT * scale)
    assert set(errors) == set(range(spec.dim == 3, spec.order + 1))
    assert all(error <= AGREEMENT["float32"] for error in errors.values()), errors


@pytest.mark.parametrize("other", [{"T": "global"}, {"T": 0}, {"padding": "zero"}, {"order": 3}, {"pre_pad": True}])
def test_the_peer_refuses_what_it_does_not_do(other: dict[str, object], peers: ModuleType) -> None:
    for sides in ((64,), (24, 24)):
        spec = Spec(dim=len(sides), shape=sides, J=3, **other)
        with pytest.raises(ValueError, match="with local averaging and padding by reflection"):
            peers.PEERS[spec.dim](spec, "cpu")


@pytest.mark.parametrize("other", [{"order": 3}, {"rotation_covariant": False}])
def test_the_peer_of_volumes_refuses_what_it_does_not_do(other: dict[str, object], peers: ModuleType) -> None:
    with pytest.raises(ValueError, match="order 2 at most, with the norm over m"):
        peers.PEERS[3](Spec(dim=3, shape=(4, 4, 4), J=2, **other), "cpu")


def test_what_the_peers_move_grows_with_the_batch(peers: ModuleType) -> None:
    """By what signals take; filters are read once, whatever the batch."""
    for spec in SPECS.values():
        one, two, four = (peers.traffic(spec, batch) for batch in (1, 2, 4))
        assert len(one) == len(two) == len(four) > 10
        assert all(0 < a <= b <= 2 * a and c - b == 2 * (b - a) for a, b, c in zip(one, two, four, strict=True))
    # by hand: order 0 alone pads, makes complex numbers of reals, transforms both ways, multiplies, folds and stacks
    moved = peers.traffic(Spec(dim=1, shape=64, J=2, order=0), 1)
    n = Spec(dim=1, shape=64, J=2, order=0).padded_shape[0]
    assert moved.count(16 * n) >= 1 and max(moved) <= 24 * n


@pytest.mark.parametrize("name", ["banks of both orders", "order 1", "images", "images, fine outputs", "volumes"])
def test_autograd_of_the_peer_is_the_gradient(name: str, peers: ModuleType) -> None:
    spec = SPECS[name]
    x = np.random.default_rng(0).standard_normal((2, *spec.shape)).astype(np.float32)
    z = torch.from_numpy(x).requires_grad_()
    y = peers.PEERS[spec.dim](spec, "cpu")(z)
    g = cotangents_like(y.detach().numpy())
    (found,) = torch.autograd.grad(y, z, torch.from_numpy(g))
    assert_gradient(fresh(spec), x, g, found.numpy())
    if spec.dim < 3:  # as the incumbent's
        silence = torch.zeros(1, *spec.shape, requires_grad=True)
        peers.PEERS[spec.dim](spec, "cpu")(silence).sum().backward()
        assert silence.grad.isfinite().all()


def test_what_gradients_of_peers_move(peers: ModuleType) -> None:
    for spec in SPECS.values():
        there, both = peers.traffic(spec, 2), peers.traffic(spec, 2, back=True)
        assert len(both) > 1.5 * len(there) and sum(both) > 1.8 * sum(there)


def test_predictions_need_no_gpu(tmp_path: Path) -> None:
    written = tmp_path / "predicted.json"
    done = command("--predict", "--passes", "forward", "--json", str(written), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("1d-", "2d-", "3d-"))]
    cases = ("1d-65536-J8-Q8", "1d-4096-J8-Q8", "1d-65536-J13-Q12", "1d-1024-J8-Q1")
    cases += ("2d-256-J2-L8", "2d-32-J2-L8", "2d-224-J3-L8", "2d-256-J7-L4-global", "3d-128-J2-L2")
    assert [(row[0], row[3]) for row in rows] == [(case, gpu) for case in cases for gpu in ("H200", "H100", "A100")]
    for case, _, _, _, launches, _, milliseconds, floor, peer, graphed, ratio, _ in rows:
        assert int(launches) > 0
        assert float(milliseconds) > float(floor) > 0
        if case.endswith("global"):  # which the incumbent has not
            assert {peer, graphed, ratio} == {"-"}
            continue
        assert float(peer) >= float(graphed) > float(milliseconds) > float(floor) > 0
        assert float(ratio) == pytest.approx(float(peer) / float(milliseconds), rel=0.05, abs=0.05)
    assert len(json.loads(written.read_text(encoding="utf-8"))["predicted"]) == len(rows)


def test_predictions_of_gradients(tmp_path: Path) -> None:
    written = tmp_path / "predicted.json"
    done = command("--predict", "--cases", "3d-128", "--json", str(written), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text(encoding="utf-8"))["predicted"]
    there, both = ([row for row in rows if row["pass"] == of] for of in ("forward", "forward+backward"))
    for one, other in zip(there, both, strict=True):
        for figure in ("launches", "bytes", "predicted_seconds", "floor_seconds", "peer_seconds"):
            assert other[figure] > 1.5 * one[figure]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_timed(tmp_path: Path) -> None:
    done = command(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("this needs a GPU")
    assert len(done.stderr.splitlines()) == 1
