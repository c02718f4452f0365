"""What numpy code runs on: the constants of the cost model, measured with scipy's pocketfft and with MKL."""

from __future__ import annotations

from scatc.ir.cost import Machine

MACHINES = {
    "scipy": Machine("numpy with scipy.fft", fft_rate=14e9, matmul_rate=80e9, bandwidth=12e9, call=3e-6),
    "mkl_fft": Machine(
        "numpy with mkl_fft", fft_rate=45e9, matmul_rate=80e9, bandwidth=12e9, call=4e-6, fft_in_place=False
    ),
}
"""By FFT provider (see `scatc.runtime.fft.provider`)."""
