"""Windows of an electrocardiogram on a GPU; where there is none, what would run there, and the same in an interpreter.

    python examples/heartbeats_gpu.py

The plan has Triton kernels made for this one transform. Without a GPU the script prints what one is predicted to take,
and lets Triton's interpreter run the kernels on a few of the windows: slowly, but the coefficients are those of the
plan for CPUs, to single precision. Models need no plan: `scatc.torch` runs the same kernels on tensors of a GPU, and
the programs for CPUs on others.
"""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is loaded

import numpy as np
import pywt

import scatc
from scatc.torch import Scattering1D

WINDOW = 128
ecg = pywt.data.ecg().astype(np.float32)
windows = np.stack([ecg[a : a + WINDOW] for a in range(0, len(ecg) - WINDOW + 1, WINDOW)])

spec = scatc.Spec(dim=1, shape=WINDOW, J=4, Q=2)
plan = scatc.compile(spec, target="cuda")
expected = scatc.compile(spec)(windows)

if torch.cuda.is_available():
    found = plan(torch.from_numpy(windows).cuda()).cpu().numpy()
    print(f"{len(windows)} windows on {torch.cuda.get_device_name()}")
else:
    windows, expected = windows[:3], expected[:3]
    found = plan(torch.from_numpy(windows)).numpy()
    print(f"no GPU here: {len(windows)} windows in Triton's interpreter\n")
    print(plan.predict(10_000, "H100"))

for order in range(3):
    rows = [i for i, row in enumerate(plan.meta()) if row.order == order]
    error = np.linalg.norm(found[:, rows] - expected[:, rows]) / np.linalg.norm(expected[:, rows])
    print(f"order {order}: {len(rows)} paths, relative difference from the plan for CPUs {error:.1e}")
    assert error < 1e-5

device = "cuda" if torch.cuda.is_available() else "cpu"
model = torch.nn.Sequential(Scattering1D(J=4, shape=WINDOW, Q=2), torch.nn.Flatten(), torch.nn.LazyLinear(1)).to(device)
x = torch.from_numpy(windows).to(device).requires_grad_()
model(x).sum().backward()
print(f"\na model on {device}, and the gradient of what it says, {tuple(x.grad.shape)}; what its transform runs:")
print(*(line for line in model[0].plan().report().splitlines() if line.startswith(("cpu", "gpu"))), sep="\n")
