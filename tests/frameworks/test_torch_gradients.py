"""Gradients of plans for torch, by the numpy program and by the emitted one: right, finite, to second order, mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from frameworks_support import ALL_SMALL, ALL_TRANSFORMS, SINGULAR, SMALL, TRANSFORMS, signals_of

import scatc
from scatc.ir.adjoint import SAVES
from scatc.ir.spec import Spec

torch = pytest.importorskip("torch")

from scatc.runtime import devices  # noqa: E402
from scatc.runtime import torch as plans  # noqa: E402

func = torch.func
OPS = torch.ops.scatc
SPEC = Spec(dim=1, shape=40, J=3)
ALL_SAVES = pytest.mark.parametrize("save", list(SAVES))
ONE_EACH = pytest.mark.parametrize("spec", [SMALL[name] for name in ("1d", "1d_none", "2d", "3d")], ids=str)


@pytest.fixture(params=["numpy", "emitted"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """CPU tensors are transformed by the numpy program, as they are, or by the source that other devices run."""
    if request.param == "emitted":
        monkeypatch.setattr(devices, "kind_of", lambda device: "torch")
    yield request.param


def plan_of(spec: Spec, dtype: str = "float64", **options: Any) -> Any:
    return scatc.compile(spec, target="torch", dtype=dtype, **options)


def flat(plan: Any) -> Callable[[Any], tuple[Any, ...]]:
    """A plan as a function to a tuple of tensors."""

    def function(x: Any) -> tuple[Any, ...]:
        y = plan(x)
        return tuple(y.values()) if isinstance(y, dict) else (y,)

    return function


def energy(plan: Any) -> Callable[[Any], Any]:
    """A plan as a function to one number."""
    return lambda x: sum((y**2 + y).sum() for y in flat(plan)(x))


def differentiable(plan: Any) -> Callable[[Any], Any]:
    """The same number, by operators that torch differentiates by itself."""

    def function(x: Any) -> Any:
        batch, shape = x.shape[: x.ndim - plan.spec.dim], plan.spec.input_shape
        return sum((y**2 + y).sum() for y in plan.run(x.reshape(-1, *shape))) if batch else function(x[None])

    return function


def noise(spec: Spec, count: int = 2) -> Any:
    return torch.tensor(signals_of(spec, "noise", count), dtype=torch.float64, requires_grad=True)


@ALL_SMALL
def test_gradcheck(spec: Spec, either: str) -> None:
    """Other values of `save` are compared with these below."""
    assert torch.autograd.gradcheck(flat(plan_of(spec)), noise(spec), fast_mode=either == "emitted")


@ALL_SMALL
def test_gradgradcheck(spec: Spec) -> None:
    function, x = flat(plan_of(spec)), noise(spec, 1)
    assert torch.autograd.gradgradcheck(function, x, check_fwd_over_rev=True, fast_mode=True)
    if spec.dim == 1:
        assert torch.autograd.gradgradcheck(function, x)


@ONE_EACH
def test_forward_mode(spec: Spec) -> None:
    function, x = flat(plan_of(spec)), noise(spec, 1)
    assert torch.autograd.gradcheck(function, x, check_forward_ad=True, check_backward_ad=False)


@pytest.mark.parametrize(
    ("name", "save"),
    [(name, "inputs") for name in TRANSFORMS]
    + [(name, save) for name in ("1d", "1d_none", "2d_global", "3d") for save in ("first_order", "all")],
)
def test_what_torch_makes_of_the_emitted_forward_code(name: str, save: str, either: str) -> None:
    plan = plan_of(spec := TRANSFORMS[name], save=save)
    for kind in ("noise", *SINGULAR):
        x = torch.tensor(signals_of(spec, kind), requires_grad=True)
        (got,) = torch.autograd.grad(energy(plan)(x), x)
        (wanted,) = torch.autograd.grad(differentiable(plan)(x), x)
        assert got.isfinite().all()
        # where V is nothing but rounding, its phase is no more; two programs then differ, and rightly so
        if kind == "noise" or either == "emitted":
            assert (got - wanted).norm() <= 1e-12 * max(1, wanted.norm())


@ALL_TRANSFORMS
def test_float32_gradients_agree_with_those_of_plans_for_numpy(spec: Spec, either: str) -> None:
    plan, on_numpy = plan_of(spec, dtype="float32"), scatc.compile(spec)
    x = signals_of(spec, "noise").astype(np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    y = plan(tensor)
    g = {path: torch.randn_like(t) for path, t in y.items()} if isinstance(y, dict) else torch.randn_like(y)
    pairs = [(y[path], g[path]) for path in y] if isinstance(y, dict) else [(y, g)]
    (got,) = torch.autograd.grad([t for t, _ in pairs], tensor, [t for _, t in pairs])
    wanted = on_numpy.vjp(x, {path: t.numpy() for path, t in g.items()} if isinstance(g, dict) else g.numpy())
    assert np.linalg.norm(got.numpy() - wanted) <= 1e-5 * np.linalg.norm(wanted)


@ALL_SMALL
@pytest.mark.parametrize("kind", SINGULAR)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_ever_nan(spec: Spec, kind: str, dtype: str, either: str) -> None:
    plan = plan_of(spec, dtype)
    x = torch.tensor(signals_of(spec, kind), dtype=plans.DTYPES[dtype], requires_grad=True)
    (gradient,) = torch.autograd.grad(energy(plan)(x), x, create_graph=True)
    (second,) = torch.autograd.grad((gradient**2).sum(), x)
    _, along = func.jvp(energy(plan), (x.detach(),), (torch.ones_like(x),))
    for found in (gradient, second, along):
        assert found.isfinite().all()


@ONE_EACH
def test_transforms_of_functions(spec: Spec) -> None:
    plan = plan_of(spec)
    ours, theirs = energy(plan), differentiable(plan)
    x = noise(spec).detach()
    close = torch.testing.assert_close
    close(func.grad(ours)(x), func.grad(theirs)(x))
    for one, other in zip(func.vmap(flat(plan))(x), flat(plan)(x), strict=True):
        close(one, other)
    for one, other in zip(
        func.vmap(flat(plan), in_dims=1, out_dims=1)(x[:, None]), flat(plan)(x[:, None]), strict=True
    ):
        close(one, other)
    close(func.vmap(func.grad(ours))(x), func.grad(ours)(x))
    close(func.jvp(ours, (x,), (x.flip(0),))[1], func.jvp(theirs, (x,), (x.flip(0),))[1])
    hessian = func.hessian(theirs)(x[0])
    for outer, inner in ((func.jacfwd, func.jacrev), (func.jacrev, func.jacrev), (func.jacrev, func.jacfwd)):
        close(outer(inner(ours))(x[0]), hessian)
    close(func.linearize(ours, x)[1](x), func.jvp(theirs, (x,), (x,))[1])


def test_per_sample_gradients_of_a_model(either: str) -> None:
    plan = plan_of(SPEC, dtype="float32")
    layer = torch.nn.Linear(len(plan.paths) * 5, 3)
    x = torch.randn(4, 40)

    def loss(weights: dict[str, Any], signal: Any) -> Any:
        return func.functional_call(layer, weights, plan(signal).flatten()).square().sum()

    weights = {name: weight.detach() for name, weight in layer.named_parameters()}
    each = func.vmap(func.grad(loss), in_dims=(None, 0))(weights, x)
    for i in range(4):
        alone = func.grad(loss)(weights, x[i])
        torch.testing.assert_close(each["weight"][i], alone["weight"], rtol=1e-4, atol=1e-5)


@ALL_SAVES
def test_what_is_saved(save: str, either: str) -> None:
    plan = plan_of(TRANSFORMS["1d"], save=save)
    x = noise(plan.spec)
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        plan(x)
    stored = [t for t in kept if t is not x]
    assert (len(stored) == 0) == (save == "inputs")
    assert all(t.dtype == torch.float64 for t in stored)  # pairs: nothing complex is in what others compile
    if save == "all":
        fewer: list[Any] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (fewer.append(t), t)[1], lambda t: t):
            plan_of(TRANSFORMS["1d"], save="first_order")(x)
        assert sum(t.numel() for t in fewer) < sum(t.numel() for t in kept)


def test_nothing_is_saved_for_inputs_that_need_no_gradient() -> None:
    plan = plan_of(SPEC, save="all")
    x = noise(SPEC)
    asked: list[bool] = []
    programs = type(plan._programs)
    forward = programs.forward

    def spy(self: Any, x: Any, tables: Any, store: bool) -> Any:
        asked.append(store)
        return forward(self, x, tables, store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "forward", spy)
        plan(x.detach())
        with torch.no_grad():
            plan(x)
        plan(x)
    assert asked == [False, False, True]


def test_outputs_without_a_gradient_and_gradients_without_strides(either: str) -> None:
    plan = plan_of(SMALL["1d_none"], save="all")
    x = noise(plan.spec)
    *_, last = plan(x).values()
    (got,) = torch.autograd.grad(last.sum(), x)  # of others there is none, and this one is one number, expanded
    z = x.detach().clone().requires_grad_()
    *_, last = plan.from_groups(plan.run(z)).values()
    (wanted,) = torch.autograd.grad(last.sum(), z)
    torch.testing.assert_close(got, wanted)


def test_empty_batches(either: str) -> None:
    plan = plan_of(SPEC)
    x = torch.zeros(0, 40, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(plan(x).sum(), x, create_graph=True)
    assert gradient.shape == (0, 40)
    assert func.jvp(plan, (x.detach(),), (x.detach(),))[1].shape == (0, *plan(noise(SPEC)).shape[1:])


def test_what_has_no_derivative() -> None:
    plan = plan_of(SPEC)
    x = noise(SPEC)
    with pytest.raises(NotImplementedError, match="third derivatives of scattering are not supported"):
        func.grad(lambda x: func.grad(lambda x: func.grad(energy(plan))(x).sum())(x).sum())(x.detach())
    with pytest.raises(NotImplementedError, match="forward over reverse"):
        func.jacfwd(func.jacfwd(energy(plan)))(x[0].detach())
