"""Handwritten digits by a hybrid network in Keras: a layer of scattering, then a few that are learnt.

    python examples/digits_keras.py

It runs on the framework that KERAS_BACKEND names. The transform has no weights: it is one line of the summary, and what
is saved of it are its arguments. The test images are used for the score alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from scatc.keras import Scattering2D

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
folder.mkdir(parents=True, exist_ok=True)

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
# 8 x 8 pixels in the middle of 16 x 16, so that wavelets of 1 and 2 pixels see whole strokes
images = np.pad(images.reshape(-1, 8, 8) / 16, ((0, 0), (4, 4), (4, 4))).astype(np.float32)
x, x_test, y, y_test = train_test_split(images, digits, test_size=0.25, random_state=0, stratify=digits)

model = keras.Sequential(
    [
        keras.Input((16, 16)),
        Scattering2D(J=2, L=8),  # 81 paths at 4 x 4 places
        keras.layers.Permute((2, 3, 1)),
        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-6),  # coefficients of order 2 are small
        keras.layers.Conv2D(24, 1, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(10),
    ]
)
model.summary()
epochs, batch = 12, 50
steps = epochs * -(-len(x) // batch)
model.compile(
    keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.01, steps), weight_decay=0.02),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(x, y, batch_size=batch, epochs=epochs, verbose=2)
_, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"on {keras.config.backend()}: {accuracy:.1%} of test digits right")
assert accuracy >= 0.98, "the promise of this example"

path = folder / "digits.keras"
model.save(path)
loaded = keras.saving.load_model(path)
same = np.array_equal(loaded.predict(x_test, verbose=0).argmax(1), model.predict(x_test, verbose=0).argmax(1))
print(f"saved, {path.stat().st_size / 1e3:.0f} kB, and loaded: {'the same' if same else 'other'} predictions")
assert same
