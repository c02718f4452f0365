"""Transforms of volumes by GPU kernels, and their gradients."""
