"""Plans for TensorFlow: graph ops behind a `tf.function` that is traced once, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import tensorflow as tf

from scatc.runtime.plan import Compiled, Plan

Method = TypeVar("Method", bound=Callable[..., Any])


def unconverted(method: Method) -> Method:
    """Keep AutoGraph, which rewrites the Python of what `tf.function` traces, out of a method and all that it calls."""
    return cast(Method, tf.autograph.experimental.do_not_convert(method))


class TensorFlowPlan(Plan):
    """A plan that is called on TensorFlow's tensors and variables, or on arrays."""

    def __init__(self, compiled: Compiled) -> None:
        super().__init__(compiled)
        with tf.init_scope():  # outside of the graph that is being traced, if one is: all graphs share the tables
            tables = {name: tf.constant(table) for name, table in compiled.tables.items()}
        vars(self._module).update(tables)
        signature = [tf.TensorSpec((None, *self.spec.input_shape), self.dtype, name="x")]
        self._run = tf.function(self._module.run, input_signature=signature, autograph=False)

    @unconverted
    def __call__(self, x: Any) -> Any:
        """Transform signals.

        Within a `tf.function` this becomes part of its graph, which XLA can compile. Called on values, a graph of its
        own runs, which was traced once for all batch sizes. Each branch of the transform is computed again when its
        gradient is, so nothing of it is stored.

        Parameters
        ----------
        x : tf.Tensor, tf.Variable or array_like, shape ``batch + spec.input_shape``
            Of any real dtype (converted to the plan's); any number of leading batch axes, which may be unknown.

        Returns
        -------
        tf.Tensor, shape ``batch + (paths, *samples)``
            Rows in the order of `meta()`; in 3D ``batch + (paths, powers)``. Where paths differ in their number of
            samples (no averaging): a dict of path to tensor, shape ``batch + samples``.

        Raises
        ------
        TypeError
            If x is complex or not numeric.
        ValueError
            If the last axes of x are not `spec.input_shape`.
        """
        tensor = self._checked(x)
        axes, outs = self.spec.dim, self._outputs(tensor)
        if self.spec.average != "none":
            return with_batch_of(tensor, axes, outs[0], outs[0].shape[1:])
        found = {
            path: with_batch_of(tensor, axes, out[:, row], out.shape[2:])
            for out, (_, paths) in zip(outs, self._program.outputs, strict=True)
            for row, path in enumerate(paths)
        }
        return {path: found[path] for path in self.paths}

    @unconverted
    def grouped(self, x: Any) -> list[Any]:
        """Transform signals into the tensors of `groups`, of shape ``batch + (paths, *samples)`` each; see a call."""
        tensor = self._checked(x)
        return [with_batch_of(tensor, self.spec.dim, out, out.shape[1:]) for out in self._outputs(tensor)]

    def _outputs(self, tensor: Any) -> Any:
        """What the emitted function returns, for a batch of any number of axes."""
        flat = tf.reshape(tensor, (-1, *self.spec.input_shape)) if tensor.shape.rank != self.spec.dim + 1 else tensor
        return self._run(flat)

    def _checked(self, x: Any) -> Any:
        tensor = as_tensor(x)
        if tensor.dtype.is_complex:
            raise TypeError(
                f"x is complex ({tensor.dtype.name}): scattering of complex signals is not supported, pass x.real"
            )
        shape, expected = tensor.shape, self.spec.input_shape
        if shape.rank is None:
            found = tf.shape(tensor)[-len(expected) :]
            with tf.control_dependencies([tf.debugging.assert_equal(found, expected, "x has another shape")]):
                return tf.cast(tensor, self.dtype)
        axes = max(shape.rank - len(expected), 0)
        if not shape[axes:].is_compatible_with(expected):
            self.check_shape(tuple(shape))
        return tf.cast(tf.ensure_shape(tensor, (*shape[:axes], *expected)), self.dtype)


def as_tensor(x: Any) -> Any:
    """A tensor of numbers: x itself, what a variable holds, or what an array (of another framework, on the CPU) does.

    Raises
    ------
    TypeError
        If x holds anything but numbers.
    """
    tensor = x if tf.is_tensor(x) or hasattr(x, "__tf_tensor__") else np.asarray(x)
    dtype = tf.as_dtype(tensor.dtype) if tensor.dtype != object else tf.string
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool or dtype.is_complex):
        raise TypeError(f"x has dtype {tensor.dtype}: it must be a tensor of real numbers")
    return tf.convert_to_tensor(tensor)


def with_batch_of(x: Any, axes: int, y: Any, shape: Sequence[int]) -> Any:
    """Give y the shape `shape`, behind the batch axes of x, which are all but so many of its last ones."""
    if x.shape.rank is None:
        return tf.reshape(y, tf.concat([tf.shape(x)[:-axes], shape], 0))
    static = x.shape[:-axes] + shape
    if static.is_fully_defined():
        return tf.reshape(y, static)
    return tf.ensure_shape(tf.reshape(y, tf.concat([tf.shape(x)[:-axes], shape], 0)), static)


PLAN = TensorFlowPlan
