"""The cuda target: Triton kernels for NVIDIA's GPUs."""

from __future__ import annotations

from scatc.codegen.triton.target import TritonTarget

TARGET = TritonTarget("cuda", tensor_cores=True)
