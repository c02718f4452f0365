"""How many samples in time go through a ripple at a time."""

RIPPLE_BYTES = 1 << 19
"""Bytes of the complex rows between its filters: what stays in a core's cache."""

FEWEST = 64
"""Samples, so that products of matrices are worth their call."""


def samples_at_a_time(rows: int) -> int:
    """A number of samples of one signal, of complex numbers in single precision."""
    return max(RIPPLE_BYTES // (8 * rows), FEWEST)
