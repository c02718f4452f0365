"""Where there is a C compiler, and where there is none: what tests of the `cpu` target share."""

from __future__ import annotations

import pytest

from scatc.runtime import toolchain


def has_compiler() -> bool:
    """Whether a C compiler works here."""
    try:
        toolchain.find()
    except toolchain.ToolchainError:
        return False
    return True


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C compiler works here")

ARRAY_TARGETS = ("numpy", "cpu") if has_compiler() else ("numpy",)
"""The targets whose plans are called on numpy arrays, as far as they run here."""
