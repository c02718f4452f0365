"""C text of the `cpu` target's interface, written by hand for a transform that is a few dense matrices.

What loads and runs emitted text is tested with it, whatever the emitter writes: `A x`, and `A |W_f x|` for each filter
f. The "spectrum" is the signal, the arena holds |W_f x|, and the trunk fills it with NaN to show that nobody relies
on it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import find_target
from scatc.ir.filters import banks
from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime.driver import build
from scatc.runtime.plan import Compiled

# stride 1 and nothing to pad: all that is done to a signal is to convolve it with filters of its own length
SPEC = Spec(dim=1, shape=12, J=3, Q=2, T=8, stride=1, order=1, pre_pad=True)
(N,) = SPEC.input_shape
BATCH = 4

TEXT = """\
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { N = {N}, M = {M}, F = {F}, FIRST = 2, PATHS = F + 1 };

/* two branches, of which the second gives no more than one filter in a call */
const int64_t scatc_layout[] = {1, 8, {batch}, N * 8, N * 8, 2, FIRST, FIRST, F - FIRST, 1};

static void average(const double *a, const double *u, double *out) {
    for (int m = 0; m < M; m++) {
        out[m] = 0;
        for (int t = 0; t < N; t++) out[m] += a[m * N + t] * u[t];
    }
}

/* tables: averages (M, N), then wavelets (F, 2, N, N) */
void scatc_trunk(int64_t n, const void *x, void *const *outs, const void *const *tables, void *spectrum, void *arena) {
    memset(arena, 255, N * 8);
    memcpy(spectrum, x, n * N * 8);
    for (int64_t s = 0; s < n; s++) average(tables[0], (const double *)x + s * N, (double *)outs[0] + s * PATHS * M);
}

void scatc_branch(int64_t branch, int64_t n, const void *spectrum, void *const *outs, const void *const *tables,
                  void *arena, int64_t first, int64_t stop) {
    double *u = arena;
    for (int64_t s = 0; s < n; s++)
        for (int64_t f = first + branch * FIRST; f < stop + branch * FIRST; f++) {
            const double *w = (const double *)tables[1] + f * 2 * N * N, *x = (const double *)spectrum + s * N;
            for (int t = 0; t < N; t++) {
                double re = 0, im = 0;
                for (int k = 0; k < N; k++) {
                    re += w[t * N + k] * x[k];
                    im += w[(N + t) * N + k] * x[k];
                }
                u[t] = sqrt(re * re + im * im);
            }
            average(tables[0], u, (double *)outs[0] + (s * PATHS + 1 + f) * M);
        }
}
"""


@cache
def tables() -> dict[str, NDArray[np.float64]]:
    """The average and the wavelet transform of a signal, as matrices."""
    order_0 = lower(replace(SPEC, order=0, Q=None))
    averages = np.stack([interpret(order_0, impulse)[()] for impulse in np.eye(N)], axis=-1)
    bank = banks(SPEC)["psi1"]
    spectra = np.fft.fft(np.eye(N), axis=0)
    wavelets = [np.fft.ifft(bank.response(f)[0][:, None] * spectra, axis=0) for f in range(len(bank.info))]
    return {"averages": averages, "wavelets": np.array([[z.real, z.imag] for z in wavelets])}


def text(batch: int = BATCH) -> str:
    """The text, for at most so many signals in a call."""
    M, F = len(tables()["averages"]), len(tables()["wavelets"])
    found = TEXT
    for name, value in {"N": N, "M": M, "F": F, "batch": batch}.items():
        found = found.replace(f"{{{name}}}", str(value))
    return found


def compiled(source: str | None = None, workers: int = 1, memory_limit: int | None = None) -> Compiled:
    """The transform as its plan wants it, with the text above or another."""
    target = find_target("numpy")
    made = build(SPEC, target, Options(dtype="float64", workers=workers, machine=target.machine("scipy")))
    options = replace(made.options, memory_limit=memory_limit)
    return replace(made, target="cpu", options=options, given_tables=tables(), given_source=source or text())
