"""`scatc.torch.TimeFrequencyScattering`: what is Kymatio's in it, and that it is a module like the others."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from joint import ALL_LAYOUTS, SMALL, N, X, assert_as_on_numpy, assert_public
from support import golden_cases, relative_error

torch = pytest.importorskip("torch")

from scatc.runtime import devices  # noqa: E402
from scatc.torch import TimeFrequencyScattering  # noqa: E402


def small(**more: Any) -> Any:
    return TimeFrequencyScattering(**SMALL | more)


@ALL_LAYOUTS
def test_layouts(more: dict[str, Any]) -> None:
    S = small(**more)
    assert_as_on_numpy(S(torch.from_numpy(X)), X, **more)
    S.double()
    assert_as_on_numpy(S(torch.from_numpy(X).double()), X.astype(float), 1e-11, **more)


@pytest.mark.parametrize("case", golden_cases("TimeFrequencyScattering"), ids=lambda case: case.kwargs["format"])
@pytest.mark.parametrize("emitted", [False, True])
def test_golden(case: Any, emitted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if emitted:  # as on devices that neither arrays nor kernels serve: from the buffers
        monkeypatch.setattr(devices, "kind_of", lambda device: "torch")
    S, x = TimeFrequencyScattering(**case.kwargs), torch.tensor(case.x)
    assert relative_error(S(x.float()), case.expected) < 1e-5
    assert relative_error(S.double()(x), case.expected) < 1e-9
    assert (S.tables.numel() > 1) == emitted


def test_public() -> None:
    assert_public(TimeFrequencyScattering, "torch")
    for kwargs in ({"format": "nothing"}, {"T": 0}, {"F": 0, "format": "joint"}, {"stride_fr": 3}):
        S = small(**kwargs)
        with pytest.raises(ValueError, match=r"format must be|Cannot convert|stride_fr must be"):
            S(torch.from_numpy(X))


@pytest.mark.parametrize("batch", [(), (2, 2), (0,)])
def test_batches(batch: tuple[int, ...]) -> None:
    for format in ("time", "joint"):
        S = small(format=format)
        assert S(torch.ones(*batch, N)).shape == (*batch, *S.array_shape())


def test_what_is_set_and_copied() -> None:
    x, S = torch.from_numpy(X), small(stride_fr=1)
    S.format, S.out_type = "joint", "dict"
    for other in (S, copy.deepcopy(S), pickle.loads(pickle.dumps(S))):
        assert_as_on_numpy(other(x), X, format="joint", out_type="dict", stride_fr=1)
    S.format = S.out_type = "nothing"
    with pytest.raises(ValueError, match="must be"):
        S(x)


def test_checkpoints_of_kymatio() -> None:
    S = small()
    first, others = S.filters_fr
    filters = (S.phi_f, *S.psi1_f, *S.psi2_f, first, *others)
    levels = [level for f in filters for level in f["levels"]]
    theirs = {f"tensor{n}": torch.tensor(level).float()[:, None] for n, level in enumerate(levels)}
    S.load_state_dict(theirs)
    assert small(J_fr=1).load_state_dict(theirs, strict=False).unexpected_keys


def test_coefficients_of_all_orders_have_gradients() -> None:
    x = torch.from_numpy(X[0]).requires_grad_()
    for coef in list(small(T=0, F=0, format="joint", out_type="dict")(x).values())[::5]:
        (gradient,) = torch.autograd.grad(torch.linalg.norm(coef), x, retain_graph=True)
        assert gradient.abs().max() > 0


def test_gradients() -> None:
    S = TimeFrequencyScattering(2, 1, 1, 16, format="joint").double()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 16))).requires_grad_()
    assert torch.autograd.gradcheck(S, x, fast_mode=True)
    zeros = torch.zeros(16, dtype=torch.float64, requires_grad=True)
    S(zeros).sum().backward()
    assert zeros.grad.isfinite().all()


def test_second_derivatives_and_forward_mode() -> None:
    S = TimeFrequencyScattering(2, 1, 1, 16).double()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 16))).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: S(x).sum(0), x, fast_mode=True)
    forward, reverse = (jacobian(S)(x[0].detach()) for jacobian in (torch.func.jacfwd, torch.func.jacrev))
    torch.testing.assert_close(forward, reverse)
