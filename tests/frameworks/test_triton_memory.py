"""What lives between launches, which chunks of a batch are chosen by, against the tensors that emitted code makes."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from compiled import fresh

from scatc.codegen.triton.launch import Launch
from scatc.ir.spec import Spec

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

SPECS = {
    "blocks": (Spec(dim=1, shape=65536, J=8, Q=8), 4),
    "thinned": (Spec(dim=1, shape=65536, J=12, Q=2), 4),
    "grouped": (Spec(dim=1, shape=2048, J=7, Q=4), 8),
    "image": (Spec(dim=2, shape=(128, 128), J=2, L=4), 4),
    "small_image": (Spec(dim=2, shape=(32, 32), J=3, L=4), 8),
    "volume": (Spec(dim=3, shape=(32, 32, 32), J=2, L=2), 4),
}
"""With as many signals as are transformed."""


class Peak(TorchDispatchMode):
    """Bytes of tensors that are alive at a time, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.most = 0
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, tuple | list) else [found]:
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self.sizes:
                self.sizes[storage._cdata] = storage.nbytes()
                self.live += storage.nbytes()
                self.most = max(self.most, self.live)
                weakref.finalize(storage, self.gone, storage._cdata)
        return found

    def gone(self, key: int) -> None:
        self.live -= self.sizes.pop(key)


class Nothing:
    """A kernel that does nothing."""

    def __getitem__(self, grid: Any) -> Any:
        return lambda *args, **kwargs: None


def peak(plan: Any, of: str, n: int) -> int:
    """Of one chunk, without input and output."""
    emitter = plan._part_emitted(of)
    source = emitter.source
    names: dict[str, Any] = {step.kernel: Nothing() for step in emitter.steps if isinstance(step, Launch)}
    names |= {"torch": torch, "triton": SimpleNamespace(cdiv=lambda a, b: -(-a // b)), "OPTIONS": {}, "CHUNK": n}
    exec(source[source.index("\ndef run(") :], names)
    t = {name: torch.empty(table.shape, device="meta") for name, table in emitter.tables.items()}
    x = torch.empty((n, *plan.spec.input_shape), device="meta")
    outs = [torch.empty((n, len(paths), *shape), device="meta") for shape, paths in emitter.program.outputs]
    gradient = torch.empty_like(x)
    with Peak() as found:
        if of == "vjp":
            names["run"](x, outs, t, gradient)
        else:
            names["run"](x, t, outs)
    return found.most


@pytest.mark.parametrize("of", ["forward", "vjp"])
@pytest.mark.parametrize("name", list(SPECS))
def test_what_is_said_to_live_is_what_does(name: str, of: str) -> None:
    spec, n = SPECS[name]
    plan = fresh(spec, target="cuda")
    said, found = n * plan._part_emitted(of).live_bytes, peak(plan, of, n)
    assert 0.85 * found <= said <= 1.3 * found, f"{said / found:.2f} of what lives"
