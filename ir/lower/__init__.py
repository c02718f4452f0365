"""`Spec` to scattering graph."""

from scatc.ir.lower.recursion import lower

__all__ = ["lower"]
