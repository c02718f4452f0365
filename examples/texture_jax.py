"""A texture from its scattering coefficients, by gradient descent in JAX: from noise to petals.

    python examples/texture_jax.py [FOLDER]

writes texture.png to FOLDER (examples/output/ if none is given).

Averaged over a whole image, coefficients know no places: they say how strong each scale and direction is, and how that
strength is modulated. Noise that is changed until it has the coefficients of an image looks like that image without
being it (Bruna and Mallat 2018). With those of order 1 alone strokes may lie anywhere; order 2 gathers them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

import scatc

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
folder.mkdir(parents=True, exist_ok=True)

STEPS, PACE, MEMORY = 300, 0.02, (0.9, 0.99)

# the middle of a dahlia, 3 x 3 pixels in one, without colours
petals = load_sample_image("flower.jpg")[140:332, 216:408].reshape(64, 3, 64, 3, 3).mean(axis=(1, 3, 4))
petals = jnp.asarray((petals - petals.mean()) / petals.std(), "float32")


def descend(order: int) -> tuple[np.ndarray, np.ndarray]:
    """An image with the coefficients of the petals up to an order, and how far they were off at each step."""
    spec = scatc.Spec(dim=2, shape=(64, 64), J=4, L=6, order=order, T="global", padding="periodic")
    plan = scatc.compile(spec, target="jax")
    wanted = plan(petals)
    # each order counts the same, however faint it is; order 0 is the mean, which is 0
    orders = [np.array([row.row for row in plan.meta() if row.order == o]) for o in range(1, order + 1)]

    def distance(x: jax.Array) -> jax.Array:
        y = plan(x)
        return sum(jnp.linalg.norm((y - wanted)[rows]) / jnp.linalg.norm(wanted[rows]) for rows in orders) / order

    def step(state: tuple[jax.Array, ...], k: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """One step of Adam (Kingma and Ba 2015), ever shorter."""
        x, mean, square = state
        value, gradient = jax.value_and_grad(distance)(x)
        mean = MEMORY[0] * mean + (1 - MEMORY[0]) * gradient
        square = MEMORY[1] * square + (1 - MEMORY[1]) * gradient**2
        direction = (mean / (1 - MEMORY[0] ** (k + 1))) / jnp.sqrt(square / (1 - MEMORY[1] ** (k + 1)) + 1e-16)
        return (x - PACE * (1 - k / STEPS) * direction, mean, square), value

    noise = jax.random.normal(jax.random.key(0), petals.shape)
    start = (noise, jnp.zeros_like(noise), jnp.zeros_like(noise))
    (x, _, _), distances = jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(STEPS)))(start)
    return np.asarray(x), np.append(distances, distance(x))


images = {"petals": np.asarray(petals)}
figure = Figure(figsize=(13, 3.4), layout="constrained")
*panels, curves = figure.subplots(1, 4)
for order in (1, 2):
    images[f"order {order}"], distances = descend(order)
    print(
        f"order {order}: relative distance of coefficients {distances[0]:.3f}, after {STEPS} steps {distances[-1]:.4f}"
    )
    curves.semilogy(distances, label=f"order {order}")
    assert distances[-1] < 0.02, "the promise of this example"


def kurtosis(image: np.ndarray) -> float:
    """How unevenly contrast is spread: that of differences between neighbours; noise has 3."""
    steps = np.diff(image, axis=1)
    return float((steps**4).mean() / (steps**2).mean() ** 2)


for panel, (name, image) in zip(panels, images.items(), strict=True):
    print(f"{name}: kurtosis of horizontal differences {kurtosis(image):.1f}")
    panel.imshow(image, cmap="gray", vmin=-2, vmax=3)
    panel.set(title=name, xticks=[], yticks=[])
curves.set(title="Distance of the coefficients", xlabel="steps")
curves.legend()
figure.savefig(folder / "texture.png", dpi=120)
print(f"written: {folder / 'texture.png'}")
