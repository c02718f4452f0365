"""Handwritten digits by a hybrid network in torch: scattering first, then a few layers that are learnt.

    python examples/digits_torch.py

Next to it a convolutional network whose first layers are learnt, too, with about as many weights and the same training.
With all training images they end up close; with ten of each digit, what need not be learnt is worth more. The test
images are used for the scores alone.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from scatc.torch import Scattering2D

images, digits = load_digits(return_X_y=True)
# 8 x 8 pixels in the middle of 16 x 16, so that wavelets of 1 and 2 pixels see whole strokes
images = np.pad(images.reshape(-1, 8, 8) / 16, ((0, 0), (4, 4), (4, 4))).astype(np.float32)
x, x_test, y, y_test = map(
    torch.from_numpy, train_test_split(images, digits, test_size=0.25, random_state=0, stratify=digits)
)
few = torch.cat([torch.nonzero(y == digit)[:10, 0] for digit in range(10)])


def hybrid() -> nn.Sequential:
    """81 paths at 4 x 4 places, then what is learnt."""
    scattering = Scattering2D(J=2, shape=(16, 16), L=8)
    return nn.Sequential(
        scattering,
        nn.BatchNorm2d(81),
        nn.Conv2d(81, 24, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(24 * 16, 10),
    )


def learnt() -> nn.Sequential:
    """The same end behind two layers of filters of 3 x 3."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 16)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(24 * 16, 10),
    )


def accuracy(model: nn.Sequential, x: Tensor, y: Tensor, epochs: int) -> float:
    """The share of test digits that are right after training."""
    batches = -(-len(x) // 50)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=epochs * batches)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch], label_smoothing=0.1).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return float((model(x_test).argmax(1) == y_test).float().mean())


for name, make in {"hybrid": hybrid, "learnt": learnt}.items():
    torch.manual_seed(0)
    model = make()
    weights = sum(p.numel() for p in model.parameters())
    scores = accuracy(model, x, y, 12), accuracy(make(), x[few], y[few], 50)
    print(f"{name}  {weights} weights: {scores[0]:.1%} of test digits right, {scores[1]:.1%} learnt from ten of each")
    assert name == "learnt" or scores[0] >= 0.98, "the promise of this example"

# A module like any other: nothing of the transform is in the state, and gradients go through it to the pixels.
model = hybrid().eval()
assert not any(key.startswith("0.") for key in model.state_dict())
pixels = x_test[:1].clone().requires_grad_()
nn.functional.cross_entropy(model(pixels), y_test[:1]).backward()
print(f"gradient of one digit's loss by its pixels: {tuple(pixels.grad.shape)}, largest {pixels.grad.abs().max():.2g}")
