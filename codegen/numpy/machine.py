"""What numpy code runs on: the constants of the cost model, measured with scipy's pocketfft and with MKL."""

from __future__ import annotations

from scatc.ir.cost import Machine

# Both libraries gain more from several long rows at once than they lose when these do not fit the L2 cache.
SCIPY = Machine("numpy with scipy.fft", fft_rate=14e9, matmul_rate=80e9, bandwidth=12e9, call=3e-6, cache_bytes=8 << 20)
MKL = Machine("numpy with mkl_fft", fft_rate=45e9, matmul_rate=80e9, bandwidth=12e9, call=4e-6, cache_bytes=8 << 20)

MACHINES = {"scipy": SCIPY, "mkl_fft": MKL}
"""By FFT provider (see `scatc.runtime.fft.provider`)."""
