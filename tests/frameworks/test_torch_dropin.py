"""The classes of `scatc.torch`: Kymatio's arguments and errors, as modules that move, convert, copy and train."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support import golden_cases, relative_error

import scatc
from scatc import numpy as on_numpy

torch = pytest.importorskip("torch")

from scatc.runtime import devices  # noqa: E402
from scatc.runtime import torch as plans  # noqa: E402
from scatc.torch import HarmonicScattering3D, Scattering1D, Scattering2D  # noqa: E402

N = 64
X = torch.from_numpy(np.random.default_rng(0).standard_normal((2, N)).astype(np.float32))
IMAGE = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 16, 17)).astype(np.float32))
VOLUME = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 6, 5, 4)).astype(np.float32))
CASES = [
    ("Scattering1D", {"J": 3, "shape": N, "Q": (4, 1)}, X),
    ("Scattering2D", {"J": 2, "shape": (16, 17), "L": 3}, IMAGE),
    ("HarmonicScattering3D", {"J": 1, "shape": (6, 5, 4), "L": 1}, VOLUME),
]
CLASSES = {"Scattering1D": Scattering1D, "Scattering2D": Scattering2D, "HarmonicScattering3D": HarmonicScattering3D}
ALL = pytest.mark.parametrize(("name", "kwargs", "x"), CASES, ids=[case[0] for case in CASES])


@pytest.fixture(params=["numpy", "emitted"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """CPU tensors are transformed by the numpy program, as they are, or as those of other devices: from the buffers."""
    if request.param == "emitted":
        monkeypatch.setattr(devices, "kind_of", lambda device: "torch")
    yield request.param


@ALL
def test_the_same_as_on_numpy(name: str, kwargs: dict[str, Any], x: Any, either: str) -> None:
    S, wanted = CLASSES[name](**kwargs), getattr(on_numpy, name)(**kwargs)(x.numpy())
    for y in (S(x), S.scattering(x), S.forward(x)):
        assert (type(y), y.dtype, y.device, y.shape) == (torch.Tensor, torch.float32, x.device, wanted.shape)
        assert relative_error(y, wanted) < 1e-6
    for batch in ((), (1,), (2,), (2, 2), (2, 2, 2), (0,), (3, 0)):
        z = torch.zeros(*batch, *S.shape)
        assert S(z).shape == (*batch, *wanted.shape[1:])
    x = x.clone()
    x[0].view(-1)[1] = np.nan
    assert S(x)[0, 1:].isnan().all()
    assert relative_error(S(x)[1:], wanted[1:]) < 1e-6


@pytest.mark.parametrize("name", CLASSES)
def test_golden(name: str, either: str) -> None:
    case = golden_cases(name)[0]
    S, x = CLASSES[name](**case.kwargs), torch.tensor(case.x)
    assert relative_error(S(x.float()), case.expected) < 1e-5
    assert relative_error(S.double()(x), case.expected) < (1e-9 if name == "Scattering1D" else 2e-6)


@ALL
def test_signatures_and_names(name: str, kwargs: dict[str, Any], x: Any) -> None:
    ours, theirs = (inspect.signature(cls).parameters for cls in (CLASSES[name], getattr(on_numpy, name)))
    assert list(ours) == list(theirs)
    for argument in ours.values():
        assert argument.default == ("torch" if argument.name == "backend" else theirs[argument.name].default)
    assert (CLASSES[name].__name__, CLASSES[name].__module__) == (name, "scatc.torch")
    made = getattr(scatc, name)(**kwargs, frontend="Torch")
    assert isinstance(made, CLASSES[name])
    assert isinstance(made, torch.nn.Module)
    assert repr(made) == f"{name}({made.spec!r})"
    assert made.backend.name == "torch"


@ALL
def test_precision(name: str, kwargs: dict[str, Any], x: Any, either: str) -> None:
    S, wanted = CLASSES[name](**kwargs), getattr(on_numpy, name)(**kwargs)(x.double().numpy())
    y = S(x)
    assert S.double() is S
    assert (S(x.double()).dtype, S.tables.dtype) == (torch.float64, torch.float64)
    assert relative_error(S(x.double()), wanted) < 1e-12  # the filters are those of double precision, not converted
    assert {t.dtype for t in plans.torch_ops.find(S._key).plan.tables(x.device, S._held_tables(x)).values()} <= {
        torch.float64,
        torch.complex128,
        torch.int32,
    }
    with pytest.raises(TypeError, match=r"^Input and filter must be of the same dtype\. .* by float\(\)\.$"):
        S(x)
    for convert in (S.float, S.half, S.bfloat16, lambda: S.to(torch.float32)):
        convert()
        assert S.tables.dtype == torch.float32
        torch.testing.assert_close(S(x), y, rtol=0, atol=0)
    with pytest.raises(TypeError, match=r"^Input and filter must be of the same dtype\. .* by double\(\)\.$"):
        S(x.double())


@ALL
def test_half_precision_goes_in_and_float32_comes_out(name: str, kwargs: dict[str, Any], x: Any, either: str) -> None:
    S = CLASSES[name](**kwargs)
    for dtype in (torch.float16, torch.bfloat16):
        torch.testing.assert_close(S(x.to(dtype)), S(x.to(dtype).float()), rtol=0, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(S(x), S(x.clone()), rtol=0, atol=0)
        z = x.clone().requires_grad_()
        y = S(torch.nn.functional.dropout(z, 0.0))
        assert y.dtype == torch.float32
        y.sum().backward()
    w = x.clone().requires_grad_()
    S(w).sum().backward()
    torch.testing.assert_close(z.grad, w.grad, rtol=0, atol=0)


@ALL
def test_copies(name: str, kwargs: dict[str, Any], x: Any, either: str) -> None:
    S = CLASSES[name](**kwargs).double()
    S.max_order = 1
    file = io.BytesIO()
    torch.save(S, file)
    file.seek(0)
    for back in (copy.copy(S), copy.deepcopy(S), pickle.loads(pickle.dumps(S)), torch.load(file, weights_only=False)):
        assert (type(back), back.spec) == (type(S), S.spec)
        torch.testing.assert_close(back(x.double()), S(x.double()), rtol=0, atol=0)
    other = copy.deepcopy(S)
    other.max_order = 2
    assert other(x.double()).shape != S(x.double()).shape


@ALL
def test_state_is_light(name: str, kwargs: dict[str, Any], x: Any, either: str) -> None:
    S = CLASSES[name](**kwargs)
    assert not S.state_dict()
    assert S.load_state_dict({})
    assert not list(S.parameters())
    buffers = dict(S.named_buffers())
    assert list(buffers) == ["tables", "indices"]
    assert all(t.ndim == 1 for t in buffers.values())
    if either == "numpy":
        assert all(t.numel() == 1 for t in buffers.values())
    else:
        plan = S.plan()
        assert sum(t.numel() * t.element_size() for t in buffers.values()) >= sum(
            table.nbytes for table in plan._compiled.tables.values()
        )


def stored_by_kymatio(S: Any) -> dict[str, Any]:
    """What the `state_dict` of Kymatio's module holds: every filter, level by level."""
    if isinstance(S, HarmonicScattering3D):
        named = {f"tensor{l}": degree for l, degree in enumerate(S.filters)}
        arrays = named | {"tensor_gaussian_filter": S.gaussian_filters}
        return {name: torch.view_as_real(torch.tensor(array)) for name, array in arrays.items()}
    filters = (S.phi_f, *S.psi1_f, *S.psi2_f) if isinstance(S, Scattering1D) else (S.phi, *S.psi)
    levels = [level for one in filters for level in one["levels"]]
    return {f"tensor{n}": torch.tensor(level).float().unsqueeze(-1) for n, level in enumerate(levels)}


@pytest.mark.parametrize("name", CLASSES)
def test_checkpoints_of_kymatio_load_if_their_filters_are_these(name: str) -> None:
    kwargs = {"Scattering1D": (4, N, (4, 2)), "Scattering2D": (3, (16, 20), 2), "HarmonicScattering3D": (1, (4, 6, 8))}

    def make(J: int, *rest: Any) -> Any:
        return torch.nn.Sequential(CLASSES[name](J, *rest), torch.nn.Linear(2, 1))

    model = make(*kwargs[name])
    head = {f"1.{key}": torch.ones_like(value) for key, value in model[1].state_dict().items()}
    stored = {f"0.{key}": value for key, value in stored_by_kymatio(model[0]).items()}
    assert len(stored) > 3
    for form in (stored, dict(sorted(stored.items())), {key: value.half() for key, value in stored.items()}):
        model[1].reset_parameters()
        model.load_state_dict(form | head)
        assert torch.all(model[1].bias == 1)
    last = list(stored)[-1]
    others = [
        stored | {last: 1.01 * stored[last]},
        {key: stored[key] for key in list(stored)[:-1]},
        stored | {"0.tensor99": head["1.bias"]},
    ]
    for form in others:
        with pytest.raises(RuntimeError, match=r"Unexpected key\(s\).*0.tensor0"):
            model.load_state_dict(form | head)
    J, *rest = kwargs[name]
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\).*0.tensor0"):
        make(J - 1, *rest).load_state_dict(stored | head)


def test_the_buffers_serve_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other devices: what `.to` moves is what is read, and what is set later refills it."""
    monkeypatch.setattr(devices, "kind_of", lambda device: "torch")
    S = Scattering1D(3, N, Q=4)
    y, size = S(X), S.tables.numel()
    S.tables.zero_()
    assert S(X).abs().max() == 0
    S.max_order = 1
    torch.testing.assert_close(S(X), y[:, : S.output_size()], rtol=1e-5, atol=1e-6)
    assert S.tables.numel() < size
    S.to_empty(device="cpu")
    torch.testing.assert_close(S(X), y[:, : S.output_size()], rtol=1e-5, atol=1e-6)
    z = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(S(z).sum(), z, create_graph=True)
    assert torch.autograd.grad(gradient.square().sum(), z)[0].isfinite().all()


def test_devices() -> None:
    S = Scattering1D(3, N)
    assert S.to("cpu") is S
    assert S.cpu().tables.device.type == "cpu"
    meta = copy.deepcopy(S).to("meta")
    assert meta(X.to("meta")).device.type == "meta"
    assert meta.to_empty(device="cpu")(X).equal(S(X))
    with torch.device("meta"):
        assert Scattering1D(3, N).tables.device.type == "meta"
    if torch.cuda.is_available():
        y = S.cuda()(X.cuda())
        assert y.device.type == "cuda"
        assert relative_error(y.cpu(), Scattering1D(3, N)(X)) < 1e-5


def test_inside_a_model() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(Scattering1D(3, N), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    model(X)
    x = torch.randn(32, N) * torch.linspace(0.2, 3, N) ** torch.tensor([[1.0], [-1.0]]).repeat(16, 1)
    labels = torch.arange(32) % 2
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
    assert (model(x).argmax(-1) == labels).all()
    assert set(model.state_dict()) == {"2.weight", "2.bias"}
    fresh = torch.nn.Sequential(Scattering1D(3, N), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(fresh(x), model(x))


def test_what_can_be_set_is_obeyed(either: str) -> None:
    S = Scattering1D(3, N, max_order=1)
    for order, paths in ((1, 5), (2, 11), (1, 5)):
        S.max_order = order
        assert S(X).shape[1] == S.output_size() == len(S.meta()["key"])
        assert (paths > 5) == (order > 1)
    S.out_type = "dict"
    assert list(S(X)) == S.meta()["key"]
    S.out_type = "list"
    assert [set(item) for item in S(X)] == [{"coef", "j", "n", "order"}] * 5
    H = HarmonicScattering3D(1, (6, 5, 4), L=1)
    H.integral_powers = [1.0]
    assert H(VOLUME).shape == (2, *H.array_shape()) == (2, 3, 2, 1)
    H.method = "local"
    with pytest.raises(ValueError, match=r"^method must be in \['integral'\]"):
        H(VOLUME)


def test_layouts(either: str) -> None:
    array = Scattering1D(3, N)(X)
    for row, coefficients in enumerate(Scattering1D(3, N, out_type="dict")(X).values()):
        torch.testing.assert_close(coefficients, array[:, row], rtol=0, atol=0)
    unaveraged = Scattering1D(3, N, T=0, out_type="list")(X)
    wanted = on_numpy.Scattering1D(3, N, T=0, out_type="list")(X.numpy())
    for one, other in zip(unaveraged, wanted, strict=True):
        assert {key: one[key] for key in ("j", "n", "order")} == {key: other[key] for key in ("j", "n", "order")}
        assert relative_error(one["coef"], other["coef"]) < 1e-6
    for one, other in zip(
        Scattering2D(2, (16, 17), L=2, out_type="list")(IMAGE),
        on_numpy.Scattering2D(2, (16, 17), L=2, out_type="list")(IMAGE.numpy()),
        strict=True,
    ):
        assert one["theta"] == other["theta"]
        assert relative_error(one["coef"], other["coef"]) < 1e-6


def test_attributes() -> None:
    S = Scattering1D(3, N, 4)
    assert (S.Q, S.T, S.J, S.max_order, S.shape) == ((4, 1), 8, 3, 2, (N,))
    assert all({"j", "xi", "sigma", "levels"} <= set(f) for f in (*S.psi1_f, *S.psi2_f))
    image = Scattering2D(2, (16, 17))
    with pytest.raises(AttributeError, match="psi of Scattering2D cannot be set"):
        image.psi = torch.zeros(3)
    assert (image._M_padded, image._N_padded, image.J, image.L) == (24, 24, 2, 8)
    padded = Scattering2D(2, (16, 17), pre_pad=True)
    torch.testing.assert_close(padded(image.pad(IMAGE).contiguous()), image(IMAGE), rtol=1e-5, atol=1e-6)
    assert image.plan().target == "torch"
    assert image.plan("float64").dtype == np.float64


def test_strided_input() -> None:
    wide = torch.zeros(2, 2 * N)
    wide[:, ::2] = X
    torch.testing.assert_close(Scattering1D(3, N)(wide[:, ::2]), Scattering1D(3, N)(X), rtol=0, atol=0)
    H = HarmonicScattering3D(1, (6, 5, 4), L=1)
    turned = VOLUME.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
    torch.testing.assert_close(H(turned), H(VOLUME), rtol=0, atol=0)


class Fake:
    name = "fake"


class Fine:
    name = "torch_skcuda"


ERRORS = [
    (ImportError, "can not be called", lambda: Scattering1D(3, N, backend="numpy")),
    (ImportError, "not found!", lambda: Scattering1D(3, N, backend="torch_skcuda")),
    (ImportError, "not supported", lambda: Scattering2D(2, (16, 16), backend=Fake)),
    (ValueError, "Q must always be >= 1", lambda: Scattering1D(3, N, Q=0.9)),
    (ValueError, "Q must be an integer or a tuple", lambda: Scattering1D(3, N, Q=[8])),
    (ValueError, "exactly one element", lambda: Scattering1D(3, (5, 6))),
    (ValueError, "1-tuple.*|integer", lambda: Scattering1D(3, 1.5)),
    (ValueError, "nonnegative", lambda: Scattering1D(3, N, oversampling=-1)),
    (ValueError, "integer", lambda: Scattering1D(3, N, oversampling=0.5)),
    (ValueError, "at least one axis", lambda: Scattering1D(3, N)(torch.tensor(0.0))),
    (ValueError, "out_type must be one", lambda: Scattering1D(3, N, out_type="doesnotexist")(X)),
    (ValueError, "Cannot convert.*Please set out_type to", lambda: Scattering1D(3, N, T=0)(X)),
    (ValueError, "stride must be integer", lambda: Scattering1D(3, N, stride="noninteger")(X)),
    (ValueError, "power of two", lambda: Scattering1D(3, N, stride=17)(X)),
    (ValueError, "incompatible", lambda: Scattering1D(3, N, T=0, stride=16, out_type="list")(X)),
    (ValueError, "incompatible", lambda: Scattering1D(3, N, T="global", stride=16)(X)),
    (RuntimeError, "not compatible for multiplication", lambda: Scattering1D(3, N)(X[:, 1:])),
    (RuntimeError, "smallest dimension", lambda: Scattering2D(5, (16, 16))),
    (RuntimeError, "out_type must be one of", lambda: Scattering2D(2, (16, 17), out_type="dict")(IMAGE)),
    (TypeError, "input should be.*got None", lambda: Scattering2D(2, (16, 16))(None)),
    (TypeError, "input should be.*got list", lambda: Scattering1D(3, N)([0.0] * N)),
    (TypeError, r"got ndarray: pass torch.from_numpy\(x\)", lambda: Scattering1D(3, N)(X.numpy())),
    (TypeError, "input should be real.*complex64", lambda: Scattering1D(3, N)(X.to(torch.complex64))),
    (TypeError, "input should be real.*int32", lambda: Scattering1D(3, N)(X.to(torch.int32))),
    (RuntimeError, "at least two", lambda: Scattering2D(2, (16, 16))(torch.tensor(0.0))),
    (RuntimeError, "have at least two dimensions", lambda: Scattering2D(2, (16, 16))(X[0])),
    (RuntimeError, "^Tensor must be of spatial size", lambda: Scattering2D(2, (16, 16))(IMAGE)),
    (RuntimeError, "^Padded tensor must be of spatial", lambda: Scattering2D(2, (16, 16), pre_pad=True)(IMAGE)),
    (RuntimeError, "must be contiguous", lambda: Scattering2D(2, (17, 16))(IMAGE.transpose(1, 2))),
    (RuntimeError, "must be contiguous", lambda: Scattering2D(2, (16, 16))(IMAGE.transpose(1, 2))),
    (RuntimeError, "at least three", lambda: HarmonicScattering3D(1, (6, 5, 4))(X)),
    (RuntimeError, r"spatial size \(6, 5, 4\)", lambda: HarmonicScattering3D(1, (6, 5, 4))(VOLUME[..., 1:])),
    (ValueError, "method must be in", lambda: HarmonicScattering3D(1, (6, 5, 4), method="foo")(VOLUME)),
]


@pytest.mark.parametrize(("error", "words", "call"), ERRORS, ids=[words for _, words, _ in ERRORS])
def test_errors(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=words):
        call()


def test_backends_that_are_objects() -> None:
    assert Scattering1D(3, N, backend=Fine).backend is Fine


def test_gradient_as_kymatio_tests_it() -> None:
    S = Scattering2D(2, (8, 8)).double()
    x = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(S, x, nondet_tol=1e-5, fast_mode=True)
    y = torch.randn(2, N, requires_grad=True)
    Scattering1D(3, N)(y).abs().sum().backward()
    assert y.grad.abs().sum() > 0
