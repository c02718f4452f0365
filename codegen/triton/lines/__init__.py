"""Transforms of lines by GPU kernels."""
