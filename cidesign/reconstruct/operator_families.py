"""The operators that a calibration folder leaves open, for each modality."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.calibration.calibration_folder import CommonRecord
from cidesign.calibration.cassi_operator import CassiOperator
from cidesign.calibration.verify import Verification, require_passed
from cidesign.errors import FileError
from cidesign.modalities.cassi.encoder import PixelNoise
from cidesign.modalities.cassi.solve import encoder_of
from cidesign.modalities.mri.encoder import MriEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.pattern import PatternStack
from cidesign.physics.base import Encoder
from cidesign.physics.noise import DetectorNoise
from cidesign.physics.operator_family import Drawn, OperatorFamily, gain_draw
from cidesign.runs import CassiRun, MriRun, Run, SinglePixelRun

# Of the norm over the coils: ESPIRiT maps of four simulated coils from 7 to 12 calibration lines of 64 and of 128, with
# 1 % of noise, were wrong by 1.3 to 9 %, 3 % in the median.
COIL_MAP_ERROR = 0.03
# A judgement: the object's own linear phase hides what is left of the echo's delay.
ECHO_ERROR_SAMPLES = 0.05
# Coil maps are smooth: so are their errors, polynomials of this degree along each axis.
COIL_MAP_DEGREE = 3
# Relative error of the light through each pixel of a measured code.
MASK_ERROR = 0.02
# Below this sum of squares a coil array receives nothing of a pixel.
EMPTY = 1e-6


def operator_family(run: Run, folder: Path, device: str = "cpu") -> OperatorFamily:
    """The family of a calibration folder for a finished run, on a device.

    Raises `FileError` for a folder that is damaged or of another modality.
    """
    modality = run.settings.modality
    if modality == "mri":
        return kspace_family(MriRun(run.path), folder, device)
    if modality == "single-pixel":
        return single_pixel_family(SinglePixelRun(run.path), folder, device)
    return cassi_family(CassiRun(run.path), folder, device)


def _require_fitting(
    folder: Path, record: CommonRecord, run: Run, found: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    """Refuse a calibration of another device or another size."""
    if record.profile_digest != run.record.profile_digest:
        raise FileError(
            f"{folder}: profile {record.profile_digest[:12]} was calibrated, the run is for profile "
            f"{run.record.profile_digest[:12]}; calibrate with a capture of this device"
        )
    if found != wanted:
        raise FileError(f"{folder}: a field of {found} was calibrated, the run has {wanted}; calibrate with this run")


class KnownPatterns(Protocol):
    """A single-pixel operator with its errors, as `cidesign.calibration.spc_operator.SpcOperator`."""

    @property
    def peak_over_mean(self) -> float:
        """The brightest pixel of an all-on white frame over their mean."""

    def signed(self, design: PatternStack) -> NDArray[np.float32]:
        """The patterns (K, n, n) as the scene meets them, within [-1, 1]."""

    def draw(self, rng: np.random.Generator) -> "KnownPatterns":
        """One that the calibration does not exclude."""


@dataclass(frozen=True)
class SinglePixelFamily:
    """Patterns in their calibrated place and light; draws move them and change the light within their errors."""

    operator: KnownPatterns
    design: PatternStack
    noise: DetectorNoise
    device: str
    centre: Encoder

    @classmethod
    def around(
        cls, operator: KnownPatterns, design: PatternStack, noise: DetectorNoise, device: str = "cpu"
    ) -> "SinglePixelFamily":
        """The family of an operator, for the patterns of a design."""
        centre = SinglePixelEncoder.fixed(operator.signed(design), noise).to(device).eval()
        return cls(operator, design, noise, device, centre)

    @property
    def designed_scale(self) -> float:
        """Patterns are scaled to their brightest pixel, the design's to the mean of a white frame."""
        return self.operator.peak_over_mean

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Patterns within the errors; one that reads the same on an all-on white frame."""
        other = self.operator.draw(rng)
        encoder = SinglePixelEncoder.fixed(other.signed(self.design), self.noise).to(self.device)
        return Drawn(encoder, gain_draw(rng) * other.peak_over_mean / self.operator.peak_over_mean)

    def scene(self, x: Tensor) -> Tensor:
        """All of it."""
        return x


def single_pixel_family(run: SinglePixelRun, folder: Path, device: str) -> SinglePixelFamily:
    """From dark and white frames (noise) and the cards (place and light of the patterns)."""
    from cidesign.calibration.record import read_calibration
    from cidesign.modalities.single_pixel.solve import calibrated_noise

    found, design = read_calibration(folder), run.design
    _require_fitting(folder, found.record, run, found.operator.light_map.shape, (design.side, design.side))
    peak = found.response.with_peak(found.operator.peak_over_mean)
    return SinglePixelFamily.around(found.operator, design, calibrated_noise(peak, design.encoding), device)


def captured_scene(run: SinglePixelRun, folder: Path, capture: Path) -> tuple[Tensor, Tensor, Tensor, DetectorNoise]:
    """The scene of a capture: patterns (K, n, n) as calibrated, y (K,), their standard deviations (K,), the noise.

    Raises `FileError` for a capture of other patterns, and `LimitError` where the calibration does not describe it.
    """
    from cidesign.calibration.bench_state import circumstances_checks
    from cidesign.calibration.capture import read_capture
    from cidesign.calibration.measurement import measurements_from_counts
    from cidesign.calibration.record import read_calibration
    from cidesign.calibration.spc_calibrate import verify_on
    from cidesign.calibration.spc_checks import sequence_checks
    from cidesign.calibration.spc_frames import reference_of
    from cidesign.calibration.spc_scene import scene_in_order
    from cidesign.modalities.single_pixel.solve import calibrated_noise

    found, taken, design = read_calibration(folder), read_capture(capture), run.design
    scene = scene_in_order(taken, design, found.response, found.operator)
    measured = measurements_from_counts(
        scene.frames, design, found.response, found.operator, reference_of(taken, design)
    )
    checks = [scene.check, *sequence_checks("scene", scene.frames, measured)]
    checks += verify_on(found.response, found.operator, taken, design)
    if taken.record is not None:
        checks += circumstances_checks(found.record.circumstances, taken.record.circumstances, design_matters=False)
    now = Verification(score=None, score_meaning="checks of this capture", checks=checks)
    require_passed(capture, now, accept_failed=False)
    peak = found.response.with_peak(found.operator.peak_over_mean)
    return (
        torch.from_numpy(measured.signed),
        torch.from_numpy(measured.y.astype(np.float32)),
        torch.from_numpy((measured.own_variance**0.5).astype(np.float32)),
        calibrated_noise(peak, design.encoding),
    )


@dataclass(frozen=True)
class KspaceFamily:
    """The design's lines with measured coil maps; draws change the maps smoothly and move the echo."""

    centre: MriEncoder

    @property
    def designed_scale(self) -> float:
        """k-space is in units of the training images already."""
        return 1.0

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Maps with smooth relative errors, and an echo off its calibrated place: a phase ramp along the readout."""
        maps = self.centre.coil_maps
        coils, lines, readout = maps.shape
        across = (np.arange(readout) - readout // 2) / readout
        ramp = np.exp(2j * np.pi * rng.normal(scale=ECHO_ERROR_SAMPLES) * across)
        errors = ramp * (1 + _smooth(rng, coils, (lines, readout)) * (COIL_MAP_ERROR if coils > 1 else 0.0))
        moved = maps * torch.from_numpy(errors.astype(np.complex64)).to(maps.device)
        rule, noise = self.centre.rule, self.centre.noise
        encoder = MriEncoder(self.centre.weight.detach(), rule, moved, noise).requires_grad_(False).eval()
        return Drawn(encoder, gain_draw(rng))

    def scene(self, x: Tensor) -> Tensor:
        """What lies where some coil receives: the maps are 0 where the calibrated object is not."""
        seen = self.centre.coil_maps.abs().square().sum(dim=0) > EMPTY
        return x * seen


def _smooth(rng: np.random.Generator, count: int, size: tuple[int, int]) -> NDArray[np.complex128]:
    """Complex polynomials (count, H, W) with independent coefficients, of root mean square about 1."""
    from numpy.polynomial import legendre

    down, across = (legendre.legvander(np.linspace(-1, 1, n), COIL_MAP_DEGREE) for n in size)
    terms = (COIL_MAP_DEGREE + 1) ** 2
    # The mean square of P_i over [-1, 1] is 1 / (2 i + 1).
    level = np.sqrt(2 * np.arange(COIL_MAP_DEGREE + 1) + 1)
    draws = rng.normal(size=(2, count, COIL_MAP_DEGREE + 1, COIL_MAP_DEGREE + 1)) * (0.5 / terms) ** 0.5
    field: NDArray[np.complex128] = np.einsum(
        "hi,cij,wj->chw", down * level, draws[0] + 1j * draws[1], across * level, optimize=True
    )
    return field


def kspace_family(run: MriRun, folder: Path, device: str) -> KspaceFamily:
    """From the noise and the coil maps of a calibration."""
    from cidesign.calibration.kspace_record import read_kspace_calibration
    from cidesign.modalities.mri.solve import calibrated_encoder

    stored, design = read_kspace_calibration(folder), run.design
    found = stored.calibration
    _require_fitting(folder, stored.record, run, found.maps.shape[1:], (design.lines, design.readout))
    return KspaceFamily(calibrated_encoder(run.design, found.operator()[0], found.noise_deviation).to(device))


@dataclass(frozen=True)
class CassiFamily:
    """Measured masks in their calibrated place; draws displace them all and change each code pixel's light."""

    operator: CassiOperator
    error_px: float
    noise: PixelNoise
    device: str
    centre: Encoder

    @classmethod
    def around(cls, operator: CassiOperator, error_px: float, noise: PixelNoise, device: str = "cpu") -> "CassiFamily":
        """The family of an operator whose place on the detector is known to `error_px` code pixels."""
        return cls(operator, error_px, noise, device, encoder_of(operator, noise=noise).to(device))

    @property
    def designed_scale(self) -> float:
        """Both are in units of the mean band through an open code."""
        return 1.0

    def draw(self, rng: np.random.Generator) -> Drawn:
        """A displacement along both axes, and independent relative errors of the code's pixels."""
        to_code = self.operator.to_code.copy()
        to_code[:, :, 2] += rng.normal(scale=self.error_px, size=2)
        errors = 1 + MASK_ERROR * rng.normal(size=self.operator.masks.shape[1:])
        moved = replace(self.operator, to_code=to_code, masks=self.operator.masks * errors.astype(np.float32))
        return Drawn(encoder_of(moved, noise=self.noise).to(self.device), gain_draw(rng))

    def scene(self, x: Tensor) -> Tensor:
        """All of it."""
        return x


def cassi_family(run: CassiRun, folder: Path, device: str) -> CassiFamily:
    """From the measured masks, their place, and the detector's noise."""
    from cidesign.calibration.cassi_record import read_cassi_calibration
    from cidesign.modalities.cassi.solve import calibrated_noise

    stored = read_cassi_calibration(folder)
    calibration, side = stored.calibration, run.settings.side
    bands = len(run.profile.spectrograph.wavelengths_nm.value)
    _require_fitting(folder, stored.record, run, calibration.operator.masks.shape, (bands, side, side))
    if stored.record.design_digest != run.design.design_digest:
        raise FileError(f"{folder}: was calibrated with the mask of another design; calibrate with this run's")
    noise = calibrated_noise(calibration)
    return CassiFamily.around(calibration.operator, calibration.pixel_uncertainty_px, noise, device)
