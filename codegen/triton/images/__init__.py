"""Transforms of images by GPU kernels."""
