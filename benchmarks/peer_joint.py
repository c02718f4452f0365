"""The incumbent's sequence of operations for joint time-frequency scattering on torch, restated by us.

Kymatio's joint transform is in its development version only, which no package index has. This stands in for its torch
frontend: written from the published algorithm (Anden, Lostanlen & Mallat 2019) and from how that version lays out its
work, not from its code. One path at a time, each filter as a product over the whole spectrum, complex transforms of
real signals, spectra folded by means over reshaped arrays, eager operators throughout. Filters are ours, hence so are
the coefficients, to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scatc.ir.filters import banks
from scatc.ir.joint import along, families, parents
from scatc.ir.spec import Spec


class Incumbent:
    """A joint transform, averaged locally in time and along log-frequency, padded by reflection.

    Raises
    ------
    ValueError
        For any other spec.
    """

    def __init__(self, spec: Spec) -> None:
        local = spec.joint and spec.average == spec.average_fr == "local" and spec.format == "time"
        if not local or spec.padding != "reflect" or spec.pre_pad or (spec.stride or 0) < 2**spec.J:
            raise ValueError(f"{spec!r} is not possible: it must be joint, averaged locally, with a stride of 2**J")
        self.spec, self._banks = spec, banks(spec)
        self._known: dict[tuple[str, int, int], Tensor] = {}

    def filter(self, bank: str, index: int, level: int) -> Tensor:
        """A response on the whole grid of a level."""
        key = bank, index, level
        if key not in self._known:
            response = self._banks[bank].response(index, level)[0]
            self._known[key] = torch.from_numpy(response).to(torch.complex64)
        return self._known[key]

    def convolved(self, spectrum: Tensor, bank: str, index: int, level: int, by: int) -> Tensor:
        """A product over the whole spectrum, folded, transformed back."""
        product = spectrum * self.filter(bank, index, level)
        folded = product.reshape(*product.shape[:-1], 1 << by, -1).mean(dim=-2)
        return torch.fft.ifft(folded)

    def __call__(self, x: Tensor) -> Tensor:
        """Transform signals, shape ``(n, samples)``, to ``(n, paths, samples)``."""
        spec = self.spec
        left, right = spec.padding_widths[0]
        stride = spec.log2_stride or 0
        kept = slice(*spec.kept(stride)[0])
        padded = torch.nn.functional.pad(x[:, None], (left, right), mode="reflect")[:, 0]
        spectrum = torch.fft.fft(padded.to(torch.complex64))
        outs = [self.convolved(spectrum, "phi", 0, 0, stride).real[:, None, kept]]
        spectra, levels, averages = [], [], []
        for n, info in enumerate(self._banks["psi1"].info):
            level = min(info.j, stride)
            modulus = self.convolved(spectrum, "psi1", n, 0, level).abs()
            spectra.append(torch.fft.fft(modulus.to(torch.complex64)))
            levels.append(level)
            averages.append(self.convolved(spectra[-1], "phi", 0, level, stride - level).real)
        outs += [out[..., kept] for out in self._image(torch.stack(averages, dim=1), None, None)]
        for n2, info in enumerate(self._banks["psi2"].info):
            below = parents(spec, n2)
            if below:
                level = min(info.j, stride)
                waves = [self.convolved(spectra[n], "psi2", n2, levels[n], level - levels[n]) for n in below]
                outs += [out[..., kept] for out in self._image(torch.stack(waves, dim=1), n2, level)]
        return torch.cat(outs, dim=1)

    def _image(self, image: Tensor, n2: int | None, level: int | None) -> list[Tensor]:
        """Families of rows, of an image ``(n, n1, time)``; averaged in time from a level, if that is given."""
        found = []
        length = self.spec.padded_fr - image.shape[1]
        padded = torch.nn.functional.pad(image.transpose(1, 2), (0, length))
        spectrum = torch.fft.fft(padded.to(torch.complex64))
        for family in families(self.spec):
            if family.n2 != n2:
                continue
            steps = along(self.spec, family.n_fr)
            U = self.convolved(spectrum, "psi_fr", family.n_fr, 0, steps.by).abs().transpose(1, 2)
            if level is not None:
                by = (self.spec.log2_stride or 0) - level
                U = self.convolved(torch.fft.fft(U.to(torch.complex64)), "phi", 0, level, by).real
            if steps.mode:
                rows = torch.fft.fft(U.transpose(1, 2).to(torch.complex64))
                U = self.convolved(rows, "phi_fr", 0, steps.by, steps.then).real.transpose(1, 2)
            found.append(U[:, : family.rows])
        return found
