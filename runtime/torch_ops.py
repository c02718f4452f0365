"""The operators of torch behind plans and modules: `scatc::forward` and what its derivatives need.

    forward  y = S(x)          vjp  J(x)^T g          jvp  J(x) t          hvp  the derivative of J(x)^T g along t

J is the derivative of S. To torch each is one opaque operator, so no complex arithmetic reaches Inductor, with rules
for shapes, for batches that `vmap` adds, and for derivatives, which are these operators again. Which transform it is a
text (`key`) says, from which any process finds or compiles the programs: exported models hold nothing else of ours.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, library
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.forward_ad import _set_fwd_grad_enabled
from torch.autograd.function import _SingleLevelFunction

from scatc.ir.paths import Path
from scatc.ir.spec import Spec
from scatc.runtime.cache import MemoryCache

LIBRARY = library.Library("scatc", "DEF")
OPS = torch.ops.scatc

Tensors = Sequence[Tensor]


def key(spec: Spec, dtype: str, select: frozenset[Path] | None = None, save: str | None = None) -> str:
    """The text by which operators know a transform."""
    fields = {
        "spec": json.loads(spec.to_json()),
        "dtype": dtype,
        "select": None if select is None else sorted(select),
        "save": save,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


class Programs:
    """What operators ask of a transform; `scatc.runtime.torch` has it.

    Attributes
    ----------
    axes : int
        Of a signal.
    dtype : torch.dtype
    groups : list of tuple of int
        The shape of each output for one signal.
    paths : list of tuple of paths
        The paths of each output.
    """

    axes: int
    dtype: torch.dtype
    groups: list[tuple[int, ...]]
    paths: list[tuple[Path, ...]]

    def slots(self, device: torch.device) -> list[tuple[int, ...]]:
        """The shape, for one signal, of each tensor that `forward` keeps for `vjp` on a device."""
        raise NotImplementedError

    def reads_tables(self, device: torch.device) -> bool:
        """Whether `tables` are read on a device."""
        raise NotImplementedError

    def forward(self, x: Tensor, tables: Tensors, store: bool) -> list[Tensor]:
        """The outputs for a batch of signals and, if it is to `store`, what is kept."""
        raise NotImplementedError

    def vjp(self, x: Tensor, tables: Tensors, g: Tensors, saved: Tensors) -> Tensor:
        """The gradient for cotangents of the outputs."""
        raise NotImplementedError

    def run(self, x: Tensor, tables: Tensors) -> list[Tensor]:
        """The outputs, by operators that torch can differentiate."""
        raise NotImplementedError


PROGRAMS: MemoryCache[Programs] = MemoryCache(64)
"""By key."""


def find(key: str) -> Programs:
    """The programs of a transform, compiled if they are not there yet."""
    from scatc.runtime.torch import programs

    return PROGRAMS.get_or_create(key, lambda: programs(key))


# Kernels: batches of any number of axes in, the same axes out.


def _flat(x: Tensor, axes: int) -> Tensor:
    """A tensor with one batch axis, of which no derivative is taken."""
    return x.detach().reshape(-1, *x.shape[x.ndim - axes :]) if x.numel() else x.detach()


def _checked(x: Tensor, key: str) -> Programs:
    programs = find(key)
    if x.dtype != programs.dtype:
        raise TypeError(f"x is {x.dtype}: the operator is of {programs.dtype}")
    return programs


def _batch(x: Tensor, programs: Programs) -> tuple[int, ...]:
    return tuple(x.shape[: x.ndim - programs.axes])


def _grouped(tensors: Tensors, programs: Programs) -> list[Tensor]:
    return [_flat(t, len(group)) for t, group in zip(tensors, programs.groups, strict=True)]


def _forward(x: Tensor, tables: Tensors, key: str, store: bool) -> list[Tensor]:
    programs = _checked(x, key)
    batch = _batch(x, programs)
    if not x.numel():
        return _forward_fake(x, tables, key, store)
    outs = programs.forward(_flat(x, programs.axes), tables, store)
    return [out.contiguous().reshape(batch + out.shape[1:]) for out in outs]


def _vjp(x: Tensor, tables: Tensors, g: Tensors, saved: Tensors, key: str) -> Tensor:
    programs = find(key)
    if not x.numel():
        return torch.empty_like(x)
    kept = [_flat(t, t.ndim - len(_batch(x, programs))) for t in saved]
    gradient = programs.vjp(_flat(x, programs.axes), tables, _grouped(g, programs), kept)
    return gradient.contiguous().reshape(x.shape)


def _jvp(x: Tensor, tables: Tensors, t: Tensor, key: str) -> list[Tensor]:
    """J t is the derivative of J^T u, which is linear in u: reverse mode twice, and nothing of J is ever held."""
    programs = find(key)
    if not x.numel():
        return _forward_fake(x, tables, key, False)
    with plainly(), torch.enable_grad():
        z = _flat(x, programs.axes).clone().requires_grad_()
        y = programs.run(z, tables)
        u = [torch.zeros_like(out, requires_grad=True) for out in y]
        (product,) = torch.autograd.grad(y, z, u, create_graph=True)
        found = torch.autograd.grad(product, u, _flat(t, programs.axes))
        return [out.detach().contiguous().reshape(_batch(x, programs) + out.shape[1:]) for out in found]


def _hvp(x: Tensor, tables: Tensors, g: Tensors, t: Tensor, key: str) -> Tensor:
    programs = find(key)
    if not x.numel():
        return torch.empty_like(x)
    with plainly(), torch.enable_grad():
        z = _flat(x, programs.axes).clone().requires_grad_()
        (product,) = torch.autograd.grad(programs.run(z, tables), z, _grouped(g, programs), create_graph=True)
        (found,) = torch.autograd.grad(product, z, _flat(t, programs.axes), materialize_grads=True)
        return found.detach().contiguous().reshape(x.shape)


def _keys(names: Sequence[str]) -> Any:
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.BackendSelect)
    for name in names:
        keys = keys | torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, name))
    return keys


_INCLUDED = _keys(["ADInplaceOrView"])
_EXCLUDED = _keys([name for name in torch._C.DispatchKey.__members__ if name.startswith("Autocast")]) - _keys([])


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """As if called by nobody. The caller of a kernel may have switched off autograd and what resolves lazy conjugates,
    which emitted code needs, and may have switched on autocast: such code computes in its own precision.
    """
    with torch.inference_mode(False), torch._C._ForceDispatchKeyGuard(_INCLUDED, _EXCLUDED):
        yield


# Shapes.


def _forward_fake(x: Tensor, tables: Tensors, key: str, store: bool = False) -> list[Tensor]:
    programs = _checked(x, key)
    shapes = programs.groups + (programs.slots(x.device) if store else [])
    return [x.new_empty((*_batch(x, programs), *shape)) for shape in shapes]


def _like_x(x: Tensor, *others: Any) -> Tensor:
    return x.new_empty(x.shape)


# Derivatives. Torch applies such a function once at each level of nested transforms (`torch.func`), so it must pass on
# what its own level has switched off: hence `_below`, and functions of the kind that torch itself makes for a level.


def _below(operator: Any, keyset: Any, *arguments: Any) -> Any:
    """Call an operator below the level at which derivatives are taken."""
    with torch.enable_grad(), _set_fwd_grad_enabled(True), torch._C._AutoDispatchBelowAutograd():
        return operator.default.redispatch(keyset & torch._C._after_autograd_keyset, *arguments)


def _save(ctx: Any, *tensors: Tensor) -> None:
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)


class _Forward(_SingleLevelFunction):
    @staticmethod
    def forward(keyset: Any, key: str, store: bool, x: Tensor, *tables: Tensor) -> tuple[Tensor, ...]:
        return tuple(_below(OPS.forward, keyset, x, list(tables), key, store))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, ctx.key, _, x, *tables = inputs
        ctx.outs, ctx.tables = len(find(ctx.key).groups), len(tables)
        saved = output[ctx.outs :]
        ctx.mark_non_differentiable(*saved)
        _save(ctx, x, *tables, *saved)

    @staticmethod
    def backward(ctx: Any, *g: Tensor | None) -> tuple[Any, ...]:
        x, tables, saved = _split(ctx.saved_tensors, ctx.tables)
        gradient = OPS.vjp(x, tables, _filled(g[: ctx.outs], x, ctx.key), saved, ctx.key)
        return None, None, None, gradient, *(None,) * int(ctx.tables)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Any, ...]:
        x, tables, saved = _split(ctx.saved_tensors, ctx.tables)
        return (*OPS.jvp(x, tables, tangents[3], ctx.key), *(None,) * len(saved))


class _Vjp(_SingleLevelFunction):
    @staticmethod
    def forward(keyset: Any, key: str, tables: int, outs: int, x: Tensor, *rest: Tensor) -> Any:
        g = tables + outs
        return _below(OPS.vjp, keyset, x, list(rest[:tables]), list(rest[tables:g]), list(rest[g:]), key)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, ctx.key, ctx.tables, ctx.outs, x, *rest = inputs
        ctx.rest = len(rest)
        _save(ctx, x, *rest[: ctx.tables + ctx.outs])

    @staticmethod
    def backward(ctx: Any, t: Tensor | None) -> tuple[Any, ...]:
        if t is None:
            return (None,) * (5 + int(ctx.rest))
        nothing = (None,) * (ctx.rest - ctx.outs - ctx.tables)
        x, tables, g = _split(ctx.saved_tensors, ctx.tables)
        along = OPS.jvp(x, tables, t, ctx.key)
        return (None, None, None, None, OPS.hvp(x, tables, g, t, ctx.key), *(None,) * ctx.tables, *along, *nothing)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        x, tables, g = _split(ctx.saved_tensors, ctx.tables)
        t, dg = tangents[4], tangents[5 + ctx.tables :][: ctx.outs]
        along = torch.zeros_like(x) if t is None else OPS.hvp(x, tables, g, t, ctx.key)
        if all(d is None for d in dg):
            return along
        return along + OPS.vjp(x, tables, _filled(dg, x, ctx.key), [], ctx.key)


class _Jvp(_SingleLevelFunction):
    @staticmethod
    def forward(keyset: Any, key: str, x: Tensor, t: Tensor, *tables: Tensor) -> tuple[Tensor, ...]:
        return tuple(_below(OPS.jvp, keyset, x, list(tables), t, key))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, ctx.key, x, t, *tables = inputs
        _save(ctx, x, t, *tables)

    @staticmethod
    def backward(ctx: Any, *g: Tensor | None) -> tuple[Any, ...]:
        x, t, *tables = ctx.saved_tensors
        filled = _filled(g, x, ctx.key)
        along = OPS.hvp(x, tables, filled, t, ctx.key)
        return (None, None, along, OPS.vjp(x, tables, filled, [], ctx.key), *(None,) * len(tables))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise NotImplementedError("jvp of jvp: take second derivatives in reverse mode, or forward over reverse")


class _Hvp(_SingleLevelFunction):
    @staticmethod
    def forward(keyset: Any, key: str, tables: int, x: Tensor, t: Tensor, *rest: Tensor) -> Any:
        return _below(OPS.hvp, keyset, x, list(rest[:tables]), list(rest[tables:]), t, key)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        raise NotImplementedError("third derivatives of scattering are not supported")

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise NotImplementedError("third derivatives of scattering are not supported")


def _split(tensors: Tensors, tables: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    x, *rest = tensors
    return x, rest[:tables], rest[tables:]


def _filled(g: Sequence[Tensor | None], x: Tensor, key: str) -> list[Tensor]:
    """Cotangents, zeros for those of outputs that nothing was made of."""
    programs = find(key)
    shapes = [(*_batch(x, programs), *group) for group in programs.groups]
    return [x.new_zeros(shape) if t is None else t for t, shape in zip(g, shapes, strict=True)]


def _differentiated(*tensors: Tensor) -> bool:
    """Whether a derivative with respect to one of these may be asked for."""
    transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    return transformed or _requires_grad(*tensors)


def _requires_grad(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _applied(function: Any, *arguments: Any) -> Any:
    with enable_single_level_autograd_function():
        return function.apply(*arguments)


def _forward_autograd(keyset: Any, x: Tensor, tables: Tensors, key: str, store: bool) -> Any:
    if not _differentiated(x):
        return _below(OPS.forward, keyset, x, tables, key, store)
    outs = list(_applied(_Forward, keyset, key, store or _requires_grad(x), x, *tables))
    return outs if store else outs[: len(find(key).groups)]


def _vjp_autograd(keyset: Any, x: Tensor, tables: Tensors, g: Tensors, saved: Tensors, key: str) -> Any:
    if not _differentiated(x, *g):
        return _below(OPS.vjp, keyset, x, tables, g, saved, key)
    return _applied(_Vjp, keyset, key, len(tables), len(g), x, *tables, *g, *saved)


def _jvp_autograd(keyset: Any, x: Tensor, tables: Tensors, t: Tensor, key: str) -> Any:
    if not _differentiated(x, t):
        return _below(OPS.jvp, keyset, x, tables, t, key)
    return list(_applied(_Jvp, keyset, key, x, t, *tables))


def _hvp_autograd(keyset: Any, x: Tensor, tables: Tensors, g: Tensors, t: Tensor, key: str) -> Any:
    if not _differentiated(x, t, *g):
        return _below(OPS.hvp, keyset, x, tables, g, t, key)
    return _applied(_Hvp, keyset, key, len(tables), x, t, *tables, *g)


# Batches that `vmap` adds: their axis becomes the first of the batch axes.


def _front(value: Any, axis: Any, size: int) -> Any:
    """A tensor, or each of a list, with the new axis in front; what is no tensor as it is."""
    if isinstance(value, Tensor):
        return value.expand(size, *value.shape) if axis is None else value.movedim(axis, 0)
    if isinstance(value, list):
        return [_front(t, a, size) for t, a in zip(value, axis or [None] * len(value), strict=True)]
    return value


def _mapped(operator: Any, one: bool) -> Callable[..., Any]:
    """The rule of an operator, whose result is one tensor or a list. (Tables are the same for the whole batch.)"""

    def rule(info: Any, axes: tuple[Any, ...], x: Tensor, tables: Tensors, *others: Any) -> tuple[Any, Any]:
        size = info.batch_size
        moved = [_front(value, axis, size) for value, axis in zip(others, axes[2:], strict=True)]
        found = operator(_front(x, axes[0], size), tables, *moved)
        return found, 0 if one else [0] * len(found)

    return rule


def _register(schema: str, kernel: Any, fake: Any, autograd: Any) -> None:
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")
    LIBRARY.impl(name, autograd, "Autograd", with_keyset=True)
    library.register_fake(f"scatc::{name}", fake, lib=LIBRARY)
    rule = _mapped(getattr(OPS, name), one=not schema.endswith("[]"))
    library.register_vmap(f"scatc::{name}", rule, lib=LIBRARY)


_register(
    "forward(Tensor x, Tensor[] tables, str key, bool store) -> Tensor[]", _forward, _forward_fake, _forward_autograd
)
_register("vjp(Tensor x, Tensor[] tables, Tensor[] g, Tensor[] saved, str key) -> Tensor", _vjp, _like_x, _vjp_autograd)
_register(
    "jvp(Tensor x, Tensor[] tables, Tensor t, str key) -> Tensor[]",
    _jvp,
    lambda x, tables, t, key: _forward_fake(x, tables, key),
    _jvp_autograd,
)
_register("hvp(Tensor x, Tensor[] tables, Tensor[] g, Tensor t, str key) -> Tensor", _hvp, _like_x, _hvp_autograd)
