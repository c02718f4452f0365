"""Plans for JAX: pure functions of arrays, traced by whoever calls them and compiled by XLA."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scatc.ir.errors import TargetError
from scatc.runtime.plan import Compiled, Plan


def has_float64() -> bool:
    """Whether JAX is set up for 64 bits at present; otherwise it makes float32 of float64."""
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


class JaxPlan(Plan):
    """A plan that is called on JAX arrays, or on numpy's."""

    def __init__(self, compiled: Compiled) -> None:
        super().__init__(compiled)
        vars(self._module).update(compiled.tables)
        self._jitted = jax.jit(self._transform)
        self._jitted_groups = jax.jit(self._groups)

    def __call__(self, x: Any) -> Any:
        """Transform signals.

        A pure function: it can be traced by `jax.jit`, `jax.vmap`, `jax.grad`, `jax.jvp` and the like, any number of
        times, and exported with an unknown batch. Called on values, it compiles itself once for each shape.

        Parameters
        ----------
        x : array, shape ``batch + spec.input_shape``
            Of JAX or numpy, of any real dtype (converted to the plan's); any number of leading batch axes.

        Returns
        -------
        jax.Array, shape ``batch + (paths, *samples)``
            Rows in the order of `meta()`; in 3D ``batch + (paths, powers)``. Where paths differ in their number of
            samples (no averaging): a dict of path to array, shape ``batch + samples``.

        Raises
        ------
        TypeError
            If x is complex or not numeric.
        ValueError
            If the last axes of x are not `spec.input_shape`.
        TargetError
            If the plan is of float64, and JAX is not set up for it.
        """
        outs = self._jitted(self._checked(x))
        if self.spec.average != "none":
            return outs[0]
        found = {
            path: out
            for group, (_, paths) in zip(outs, self._program.outputs, strict=True)
            for path, out in zip(paths, group, strict=True)
        }
        return {path: found[path] for path in self.paths}

    def grouped(self, x: Any) -> list[Any]:
        """Transform signals into the arrays of `groups`, of shape ``batch + (paths, *samples)`` each; see a call."""
        found: list[Any] = self._jitted_groups(self._checked(x))
        return found

    def _checked(self, x: Any) -> Any:
        array = x if isinstance(x, jax.Array) else np.asarray(x)
        if array.dtype.kind == "c":
            raise TypeError(
                f"x is complex ({array.dtype}): scattering of complex signals is not supported, pass x.real"
            )
        if not (array.dtype.kind in "iub" or jnp.issubdtype(array.dtype, jnp.floating)):
            raise TypeError(f"x has dtype {array.dtype}: it must be an array of real numbers")
        self.check_shape(array.shape)
        if self.dtype == np.float64 and not has_float64():
            raise TargetError(
                "dtype='float64' needs JAX in 64 bits: call jax.config.update('jax_enable_x64', True) first, or "
                "compile with dtype='float32'"
            )
        return array.astype(self.dtype)

    def _groups(self, x: jax.Array) -> list[Any]:
        """The output arrays."""
        shape = self.spec.input_shape
        batch = x.shape[: x.ndim - len(shape)]
        return [out.reshape(*batch, *out.shape[1:]) for out in self._module.run(x.reshape(-1, *shape))]

    def _transform(self, x: jax.Array) -> list[Any]:
        """The output arrays; without averaging, each as a list of arrays, one for each path."""
        outs = self._groups(x)
        if self.spec.average != "none":
            return outs
        samples = (slice(None),) * self.spec.dim
        return [[out[(..., row, *samples)] for row in range(out.shape[-1 - self.spec.dim])] for out in outs]


PLAN = JaxPlan
