"""From a mask to its point-spread functions, differentiable: the torch face of `calibration.lensless.optics`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from cidesign.calibration.lensless.optics import Geometry, Lines, Model, overlap, points_per_pixel


@dataclass(frozen=True)
class Propagation:
    """psf_c = mean over the channel's wavelengths of |h * t|^2 (waves), or t^2 (shadow), averaged over sensor samples.

    t (K, rows, columns) are transmissions of the amplitude in [0, 1], psf (K, C, h + H - 1, w + W - 1) irradiances over
    that without a mask.  h is the transfer function of free space, as in `calibration.lensless.optics.irradiance`.
    """

    geometry: Geometry
    lines: Sequence[Lines]
    model: Model

    @cached_property
    def _tensors(self) -> dict[Any, Any]:
        return {}

    @property
    def points(self) -> int:
        """Points of the mask's plane along a code pixel."""
        return points_per_pixel(self.geometry)

    @property
    def plane(self) -> tuple[int, int]:
        """Points of the padded plane that is propagated."""
        step_um, distance_um = self._step_um, self._distance_um
        longest_um = max(float(lines.wavelengths_um.max()) for lines in self.lines)
        spread = math.ceil(distance_um * min(longest_um / (2 * step_um), 0.7) / step_um)
        rows, columns = (next_fast_len(count * self.points + 2 * spread) for count in self.geometry.code)
        return rows, columns

    @property
    def _step_um(self) -> float:
        return self.geometry.code_pitch_um / self.points

    @property
    def _distance_um(self) -> float:
        # A near scene makes a shadow larger by M and as sharp as at the distance d / M.
        return self.geometry.distance_um / self.geometry.magnification

    def psf(self, mask: Tensor) -> Tensor:
        """The PSFs (K, C, P, Q) of masks (K, rows, columns)."""
        if self.model == "shadow":
            return self.straight(mask.square())
        fine = mask.repeat_interleave(self.points, 1).repeat_interleave(self.points, 2)
        down, across = self._once(mask, "collect", self._collecting)
        spectrum = torch.fft.fft2(fine, s=self.plane)
        channels = []
        for number, lines in enumerate(self.lines):
            total: Tensor | float = 0.0
            for line, weight in enumerate(lines.weights):
                transfer = self._once(mask, (number, line), partial(self._transfer, float(lines.wavelengths_um[line])))
                field = torch.fft.ifft2(spectrum * transfer)
                light = field.real.square() + field.imag.square()
                total = total + float(weight) * (down @ light @ across.T)
            channels.append(torch.as_tensor(total))
        return torch.stack(channels, dim=1)

    def straight(self, light: Tensor) -> Tensor:
        """What light (K, rows, columns) behind the code pixels throws on the samples along rays, (K, C, P, Q)."""
        down, across = self._once(light, "straight", self._straight)
        one: Tensor = down @ light @ across.T
        return one[:, None].expand(-1, len(self.lines), -1, -1)

    def _once(self, like: Tensor, name: object, make: Any) -> Any:
        """Constants of a dtype and a device, made once."""
        key = (like.dtype, like.device, name)
        if key not in self._tensors:
            double = like.dtype == torch.float64

            def moved(values: NDArray[Any]) -> Tensor:
                found = torch.from_numpy(values).to(like.device)
                if found.is_complex():
                    return found.to(torch.complex128 if double else torch.complex64)
                return found.to(like.dtype)

            made = make()
            self._tensors[key] = tuple(moved(part) for part in made) if isinstance(made, tuple) else moved(made)
        return self._tensors[key]

    def _collecting(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What averages the plane, rolled so that the mask begins at its first point, over the samples of a PSF."""
        geometry, step_um = self.geometry, self._step_um * self.geometry.magnification
        whole = [count * self.points for count in geometry.code]
        found = []
        for points, padded, samples in zip(whole, self.plane, geometry.psf_size, strict=True):
            # As much in front of the mask as behind it; light in front of it lies at the far end of the plane.
            before = (padded - points) // 2
            parts = overlap(points + 2 * before, step_um, samples, geometry.sample_um)
            rolled = np.zeros((samples, padded))
            rolled[:, : points + before] = parts[:, before:]
            rolled[:, padded - before :] += parts[:, :before]
            found.append(rolled)
        return found[0], found[1]

    def _straight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What averages the enlarged code pixels over the samples of a PSF."""
        geometry = self.geometry
        down, across = (
            overlap(pixels, geometry.code_pitch_um * geometry.magnification, samples, geometry.sample_um)
            for pixels, samples in zip(geometry.code, geometry.psf_size, strict=True)
        )
        return down, across

    def _transfer(self, wavelength_um: float) -> NDArray[np.complex128]:
        """exp(2 pi i d sqrt(1 / lambda^2 - f^2)), cut off where the plane would no longer sample it."""
        squared, sampled = np.zeros(self.plane), np.ones(self.plane, dtype=bool)
        for axis, size in enumerate(self.plane):
            f = np.fft.fftfreq(size, self._step_um).reshape((-1, 1) if axis == 0 else (1, -1))
            squared = squared + f**2
            limit = 1 / (wavelength_um * math.hypot(2 * self._distance_um / (size * self._step_um), 1))
            sampled &= np.abs(f) <= limit
        inner = 1 / wavelength_um**2 - squared
        phase = 2 * np.pi * self._distance_um * np.sqrt(np.maximum(inner, 0.0))
        return np.where(sampled & (inner > 0), np.exp(1j * phase), 0)
