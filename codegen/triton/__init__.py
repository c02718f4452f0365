"""Triton kernels and the code that launches them: what the targets `cuda` and `hip` share. Not a target itself."""
