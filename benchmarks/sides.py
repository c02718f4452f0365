"""What is compared: how each side makes a transform, what is timed of it, and how its result is read.

Each side runs in an environment of its own, hence imports nothing but itself, numpy and the standard library.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from cases import Case

Calls = dict[str, Callable[[], Any]]
"""What is timed, by name: ``"forward"`` and, where there are gradients, ``"gradient"``.

The second is forward and backward: the transform, and the gradient with respect to x of the sum of all coefficients,
each times a fixed number (`cotangent`). So nothing but the transform takes time or memory.
"""


def cotangent(shape: Sequence[int]) -> np.ndarray:
    """Return the numbers by which coefficients are multiplied, the same for every side."""
    return np.random.default_rng(1).standard_normal(tuple(shape), dtype=np.float32)


class Side(Protocol):
    """One of what is compared."""

    packages: tuple[str, ...]

    def prepare(self, case: Case, x: np.ndarray) -> Calls:
        """Build the transform, ready to run, and return the calls that are timed."""
        ...

    def result(self, *, gradient: bool) -> dict[str, np.ndarray]:
        """Return what the transform prepared last makes of its input.

        Keys are ``"coefficients"``, as scatc scales them, ``(batch, paths, ...)``; ``"order"``, one for each path,
        which is the incumbent's to tell, since all have the same paths; and ``"gradient"``, if asked for.
        """
        ...


def build(module: str, case: Case) -> Any:
    """Return the transform of a case as an object of a module that has the incumbent's classes."""
    classes = importlib.import_module(module)
    if case.dim == 1:
        return classes.Scattering1D(J=case.J, shape=case.shape[0], Q=case.Q)
    if case.dim == 2:
        return classes.Scattering2D(J=case.J, shape=case.shape, L=case.L)
    return classes.HarmonicScattering3D(J=case.J, shape=case.shape, L=case.L)


class Ours:
    """What our sides share: their results are read off the calls that are timed."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.calls: Calls = {}

    def result(self, *, gradient: bool) -> dict[str, np.ndarray]:
        found = {"coefficients": np.asarray(self.calls["forward"]())}
        if gradient:
            found["gradient"] = np.asarray(self.calls["gradient"]())
        return found


class Arrays(Ours):
    """Our plans for numpy arrays, with as many worker threads as the incumbent has.

    Parameters
    ----------
    threads : int
    target : str, optional
        What is compiled for: by default what the classes of `scatc.numpy` choose.
    """

    packages = ("scatc", "numpy", "scipy", "mkl_fft")

    def __init__(self, threads: int, target: str | None = None) -> None:
        super().__init__(threads)
        self.target = target
        self.spec: Any = None
        self.batch = 0

    def prepare(self, case: Case, x: np.ndarray) -> Calls:
        import scatc
        from scatc.compiler import compile_for_arrays

        scale = {1: {"Q": case.Q}, 2: {"L": case.L}, 3: {"L": case.L}}[case.dim]
        spec = scatc.Spec(dim=case.dim, shape=case.shape, J=case.J, **scale)
        if self.target is None:  # on as many workers as SCATC_WORKERS says
            plan = compile_for_arrays(spec)
        else:
            plan = scatc.compile(spec, target=self.target, dtype="float32", workers=self.threads, cache=False)
        self.calls = {"forward": lambda: plan(x)}
        self.spec, self.batch = spec, case.batch
        return self.calls

    def floor(self) -> dict[str, float]:
        """Return what the Fourier transforms alone are: flops, and the least seconds that the FFT library takes."""
        import floor

        import scatc

        plan = scatc.compile(self.spec, target="numpy", cache=False)
        seconds = floor.seconds(plan, self.batch, self.threads)
        return {"flops": self.batch * floor.flops(plan), "seconds": seconds}


class Torch(Ours):
    """Our modules for torch."""

    packages = ("scatc", "numpy", "scipy", "mkl_fft", "torch")

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        import torch

        torch.set_num_threads(threads)

    def prepare(self, case: Case, x: np.ndarray) -> Calls:
        import torch

        from scatc.compiler import compile_for_arrays

        scattering = build("scatc.torch", case)
        # What a first call would compile is part of building. On CPU tensors a plan for arrays runs, and the caches
        # hand the same one to whoever asks.
        plan: Any = compile_for_arrays(scattering.spec)
        plan.slots, plan.source("vjp")
        g = cotangent((case.batch, *scattering.array_shape()))
        self.calls = torch_calls(scattering, torch.from_numpy(x), torch.from_numpy(g))
        return self.calls


class TensorFlow(Ours):
    """Our modules for TensorFlow, as graphs."""

    packages = ("scatc", "numpy", "scipy", "tensorflow")

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    def prepare(self, case: Case, x: np.ndarray) -> Calls:
        import tensorflow as tf

        scattering = build("scatc.tensorflow", case)

        g = tf.constant(cotangent((case.batch, *scattering.array_shape())))

        def both(x: Any, g: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = scattering(x)
            return y, tape.gradient(y, x, g)

        tensor = tf.constant(x)
        forward = tf.function(scattering).get_concrete_function(tensor)
        gradient = tf.function(both).get_concrete_function(tensor, g)
        self.calls = awaited(lambda: forward(tensor), lambda: gradient(tensor, g)[1], lambda y: y.numpy())
        return self.calls


class JAX(Ours):
    """Our functions for JAX, compiled."""

    packages = ("scatc", "numpy", "scipy", "jax", "jaxlib")

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        if hasattr(os, "sched_setaffinity"):  # XLA takes every core it sees
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        importlib.import_module("jax")

    def prepare(self, case: Case, x: np.ndarray) -> Calls:
        import jax
        import jax.numpy as jnp

        scattering = build("scatc.jax", case)
        array, g = jnp.asarray(x), jnp.asarray(cotangent((case.batch, *scattering.array_shape())))

        def both(x: Any, g: Any) -> Any:
            y, pull = jax.vjp(scattering.scattering, x)
            return y, pull(g)[0]

        forward = jax.jit(scattering.scattering).lower(array).compile()
        gradient = jax.jit(both).lower(array, g).compile()
        self.calls = awaited(lambda: forward(array), lambda: gradient(array, g)[1], lambda y: y.block_until_ready())
        return self.calls


def awaited(forward: Callable[[], Any], gradient: Callable[[], Any], wait: Callable[[Any], Any]) -> Calls:
    """Return calls of a framework that runs them later: each waits for its result."""
    return {"forward": lambda: wait(forward()), "gradient": lambda: wait(gradient())}


def torch_calls(scattering: Any, x: Any, g: Any) -> Calls:
    """Return the calls of a torch module, ours or the incumbent's."""
    import torch

    leaf = x.detach().requires_grad_()

    def forward() -> Any:
        with torch.no_grad():
            return scattering(x)

    def gradient() -> Any:
        return torch.autograd.grad(scattering(leaf), leaf, g)[0]

    return {"forward": forward, "gradient": gradient}


class Kymatio:
    """The incumbent's torch frontend, its fastest on CPUs."""

    packages = ("kymatio", "numpy", "scipy", "torch")

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.scattering: Any = None
        self.case: Case | None = None
        self.x: Any = None
        self.g: Any = None

    def prepare(self, case: Case, x: np.ndarray) -> Calls:
        self.case, self.x = case, self.torch.from_numpy(x)
        self.scattering = build("kymatio.torch", case)
        with self.torch.no_grad():
            shape = self.scattering(self.x[:1]).shape[1:]
        self.g = self.torch.from_numpy(cotangent((case.batch, *shape)))
        return torch_calls(self.scattering, self.x, self.g)

    def result(self, *, gradient: bool) -> dict[str, np.ndarray]:
        scale = self._scale()
        calls = torch_calls(self.scattering, self.x, self.g * scale)
        coefficients = (calls["forward"]() * scale).numpy()
        found = {"coefficients": coefficients, "order": self._order(coefficients.shape[1])}
        if gradient:
            found["gradient"] = calls["gradient"]().numpy()
        return found

    def _scale(self) -> Any:
        """Return what makes its coefficients ours, path by path.

        In 1D, 0.3.0 averages where it should sum when it subsamples a spectrum, once for each j of a path.
        """
        if self.case is None or self.case.dim != 1:
            return 1
        scale = 2.0 ** np.nansum(self.scattering.meta()["j"], axis=1)
        return self.torch.from_numpy(scale[:, None].astype(np.float32))

    def _order(self, paths: int) -> np.ndarray:
        assert self.case is not None
        if self.case.dim == 1:
            return np.asarray(self.scattering.meta()["order"])
        zeroth, first = (1, self.case.J * self.case.L) if self.case.dim == 2 else (0, self.case.J + 1)
        return np.repeat([0, 1, 2], [zeroth, first, paths - zeroth - first])


class KymatioNumpy(Kymatio):
    """The incumbent's numpy frontend."""

    def prepare(self, case: Case, x: np.ndarray) -> Calls:
        self.case, self.x, self.scattering = case, x, build("kymatio.numpy", case)
        return {"forward": lambda: self.scattering(x)}

    def result(self, *, gradient: bool) -> dict[str, np.ndarray]:
        coefficients = self.scattering(self.x) * np.asarray(self._scale())
        return {"coefficients": coefficients, "order": self._order(coefficients.shape[1])}


SIDES: dict[str, Callable[[int], Side]] = {
    "scatc": Arrays,
    "scatc.numpy": lambda threads: Arrays(threads, "numpy"),
    "scatc.cpu": lambda threads: Arrays(threads, "cpu"),
    "scatc.torch": Torch,
    "scatc.tensorflow": TensorFlow,
    "scatc.jax": JAX,
    "kymatio": Kymatio,
    "kymatio.numpy": KymatioNumpy,
}
