"""The hip target: the same kernels for AMD's GPUs, whose matrix cores multiply in float32."""

from __future__ import annotations

from scatc.codegen.triton.target import TritonTarget

TARGET = TritonTarget("hip", tensor_cores=False)
