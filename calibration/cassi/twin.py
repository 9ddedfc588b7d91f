"""The digital twin of an SD-CASSI bench: what its detector would have read, with faults where they are asked for.

    counts = dark + gain Poisson(Q V sum_k r_k B[M x_k] / L) + N(0, read noise), then a converter of whole counts

M: the mask as it was made, with four samples along a code pixel; B: shift, rotation and scale, dispersion along
a curve and a little across it, blur, and the average over a raw pixel; V: vignetting and the response of single pixels;
r_k: the light of band k, mean 1; Q: photoelectrons of a raw pixel behind an open mask and a white scene.  Light
reaches the detector through the code alone; beside it the plate is opaque.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import minimum_filter

from cidesign import progress
from cidesign.calibration.cassi.capture import (
    IMAGES_FILE,
    ArrayName,
    CassiArray,
    CassiCaptureRecord,
    SimulatedCassiBench,
    Spectrum,
)
from cidesign.calibration.cassi.optics import (
    OVERSAMPLING,
    Array,
    Layout,
    affine,
    cauchy_terms,
    corner_weight,
    enlarged,
    margin_px,
    moved,
    render,
    turn_scale,
)
from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.faults import FaultKind, FaultKinds
from cidesign.checks import FaultName
from cidesign.errors import InputError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.pattern import ApertureMask
from cidesign.verb_settings import VerbSettings

FAULTS: FaultKinds = {
    "saturation": FaultKind("the brightest white pixel", "% of the converter's range", 160, 100, 1000),
    "dark": FaultKind("stray light while the dark frames were not taken", "% of full white", 3, -20, 20),
    "mirror": FaultKind("1: left and right exchanged, 2: top and bottom", "", 1, 1, 2, whole=True),
    "inversion": FaultKind("clear and opaque exchanged on the plate", "", 1, 1, 1, whole=True),
    "rotation": FaultKind("mask turned clockwise", "degrees", 0.5, -5, 5),
    "shift": FaultKind("mask shifted across the dispersion", "code pixels", 0.7, -8, 8),
    "wrong-step": FaultKind("dispersion differs from the profile's", "%", 4, -30, 30),
    "wrong-lamp": FaultKind("slope of the true lamp against the recorded one", "% from end to end", 60, -150, 150),
    "bit-justification": FaultKind("low bits of the converter that are always 0", "bits", 4, 1, 8, whole=True),
    "gain-map": FaultKind("light missing in the corners of the detector", "%", 30, 0, 90),
}

CLEAR_TRANSMISSION, OPAQUE_TRANSMISSION = 1.0, 0.002
# The part of the converter's range that an open mask and a white scene fill where nothing else is asked for.
DEFAULT_FILL = 0.7
LINE_FRAMES = 8
LINES_BEYOND_NM = 5.0
HOT_SHARE, DEAD_RESPONSE, HOT_COUNTS_SHARE = 4e-4, 0.03, 0.25
# The blur of the reddest and bluest bands against the middle one: no lens is as sharp everywhere.
BLUR_CHANGE = 0.08
FILAMENT_K = 3000.0


Length = Annotated[float, Field(ge=-8, le=8, allow_inf_nan=False)]
Frames = Annotated[int, Field(ge=1, le=1000)]
Photoelectrons = Annotated[float, Field(ge=10, le=1e9, allow_inf_nan=False)]
ReadNoise = Annotated[float, Field(ge=0, le=1e4, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class BenchSettings(VerbSettings):
    """How the bench is built; lengths in code pixels, shifts from where the code should lie.

    `detector_seed` draws the detector's pixels: captures of one bench share it.
    """

    detector_px_per_code_px: Annotated[int, Field(ge=1, le=8)] = 2
    displacement_along_px: Length = 0.13
    displacement_across_px: Length = -0.17
    rotation_deg: Annotated[float, Field(ge=-5, le=5, allow_inf_nan=False)] = 0.04
    scale: Annotated[float, Field(ge=0.9, le=1.1, allow_inf_nan=False)] = 1.001
    across_px: Annotated[float, Field(ge=-3, le=3, allow_inf_nan=False)] = 0.15
    psf_px: Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)] = 0.35
    edge_bias_um: Annotated[float, Field(ge=-100, le=0, allow_inf_nan=False)] = -0.2
    vignetting_percent: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 5.0
    prnu_percent: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 1.0
    lines: Annotated[int, Field(ge=2, le=100)] = 7
    dark_frames: Frames = 16
    flat_frames: Frames = 16
    white_frames: Frames = 8
    scene_frames: Frames = 1
    dark_counts: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 400.0
    adc_bits: Annotated[int, Field(ge=8, le=16)] = 16
    exposure_us: Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)] = 20_000.0
    temperature_c: Annotated[float, Field(ge=-100, le=200, allow_inf_nan=False)] = 21.0
    detector_seed: Seed = 0


class TwinSettings(BenchSettings):
    """A bench and its light: `photoelectrons_full_scale` behind an open mask and a white scene, in a pixel of the
    code's size; `seed` draws the noise of what is read."""

    photoelectrons_full_scale: Photoelectrons = 20_000.0
    read_noise_photoelectrons: ReadNoise = 5.0
    seed: Seed = 0

    @property
    def binning(self) -> int:
        """Raw pixels along a side of a pixel of the code's size."""
        return self.detector_px_per_code_px


class CassiTwin:
    """One bench with one mask; `arrays` is what a whole session of captures gives."""

    def __init__(
        self, design: ApertureMask, profile: ApertureProfile, settings: TwinSettings, faults: dict[FaultName, float]
    ) -> None:
        self.design, self.profile, self.settings, self.faults = design, profile, settings, faults
        height, width = design.levels.shape
        self.layout = Layout.of(profile, (height, width))
        self.margin = margin_px((height, width))
        bands_nm = self.layout.wavelengths_nm
        self.reference_nm = float(bands_nm.mean())
        # The curve of a glass that comes closest to the profile's list, which no real prism follows exactly.
        self._curve = np.linalg.lstsq(cauchy_terms(bands_nm, self.reference_nm), self.layout.shift_px, rcond=None)[0]
        span = int(np.ceil(self.layout.shift_px.max()))
        self.size = (
            height + 2 * self.margin + (span if self.layout.axis == 0 else 0),
            width + 2 * self.margin + (span if self.layout.axis == 1 else 0),
        )
        self.lamp = lamp_spectrum(bands_nm)
        self.detector_response = detector_spectrum(bands_nm)
        self.response = self._response()
        self.to_detector = self._to_detector()
        self._plate = self._made()
        self._pixels = self._pixel_maps()
        self.gain = self._gain()

    def shift(self, wavelengths_nm: Array) -> tuple[Array, Array]:
        """How far light of `wavelengths_nm` (n,) is shifted along and across the axis, each (n,), code pixels."""
        along = cauchy_terms(wavelengths_nm, self.reference_nm) @ self._curve
        bands_nm = self.layout.wavelengths_nm
        across = self.settings.across_px * (wavelengths_nm - bands_nm[0]) / (bands_nm[-1] - bands_nm[0])
        return along * (1 + 0.01 * self.faults.get("wrong-step", 0.0)), across

    def matrices(self, wavelengths_nm: Array) -> list[Array]:
        """Where (row, column, 1) of the code lies on the detector at `wavelengths_nm`, a (2, 3) matrix for each."""
        along, across = self.shift(wavelengths_nm)
        vectors = along[:, None] * self.layout.along + across[:, None] * self.layout.across
        return [moved(self.to_detector, vector) for vector in vectors]

    def light(self, cube: Array) -> Array:
        """Raw image of a cube (L, H, W), without vignetting, 1 behind an open mask and a white scene."""
        bands_nm = self.layout.wavelengths_nm
        image = np.zeros((self.size[0] * self.settings.binning, self.size[1] * self.settings.binning))
        for nm, matrix, weight, plane in zip(bands_nm, self.matrices(bands_nm), self.response, cube, strict=True):
            image += weight / len(bands_nm) * self._image(enlarged(plane, OVERSAMPLING), matrix, float(nm))
        return image

    def line_light(self, wavelength_nm: float) -> Array:
        """Raw image of the mask in one narrow line, 1 behind an open mask."""
        matrix = self.matrices(np.array([wavelength_nm]))[0]
        return self._image(np.ones_like(self._plate), matrix, wavelength_nm)

    def line_nm(self) -> tuple[Array, float]:
        """The wavelengths of the lines, and that of the line to check with."""
        bands_nm = self.layout.wavelengths_nm
        nm = np.linspace(bands_nm[0] - LINES_BEYOND_NM, bands_nm[-1] + LINES_BEYOND_NM, self.settings.lines)
        middle = self.settings.lines // 2
        return np.asarray(np.round(nm, 1), dtype=np.float64), round(float(0.4 * nm[middle] + 0.6 * nm[middle - 1]), 1)

    def arrays(self, cube: Array) -> dict[str, NDArray[np.generic]]:
        """All images of a session in which the scene is `cube` (L, H, W), reflectance 0 to 1."""
        wanted = (len(self.layout.shift_px), *self.design.levels.shape)
        if cube.shape != wanted:
            raise InputError(f"scene: shape {cube.shape}; bands, rows and columns {wanted} are needed")
        if not (np.isfinite(cube).all() and cube.min() >= 0 and cube.max() <= 1):
            raise InputError(f"scene: values from {cube.min():g} to {cube.max():g} are outside 0 .. 1")
        settings = self.settings
        lines_nm, check_nm = self.line_nm()
        open_light = np.ones((self.size[0] * settings.binning, self.size[1] * settings.binning))
        # Lines are weaker than the lamp, each by as much as it happens to be.
        strengths = 0.55 + 0.3 * np.random.default_rng([settings.seed, 20]).random(len(lines_nm) + 1)
        lit = list(zip([*lines_nm, check_nm], strengths, strict=True))
        lines = [power * self.line_light(float(nm)) for nm, power in progress.steps("lines", lit)]
        averaged = [
            self._detect(image, LINE_FRAMES, 30 + n).mean(axis=0)
            for n, image in enumerate(progress.steps("frames of the lines", lines))
        ]
        flats = [
            self._detect(power * open_light, LINE_FRAMES, 2000 + n).mean(axis=0)
            for n, power in enumerate(strengths[:-1])
        ]
        return {
            "dark": self._detect(0 * open_light, settings.dark_frames, 1, shutter_closed=True),
            "flat": self._detect(open_light, settings.flat_frames, 2),
            "lines": np.stack(averaged[:-1]).astype(np.float32),
            "flat_lines": np.stack(flats).astype(np.float32),
            "check_line": averaged[-1].astype(np.float32),
            "white": self._detect(self.light(np.ones(wanted)), settings.white_frames, 3),
            "scene": self._detect(self.light(cube), settings.scene_frames, 4),
            "truth": cube.astype(np.float32),
        }

    def record(self, created_utc: str, scene: str) -> CassiCaptureRecord:
        """The record that goes with `arrays`."""
        settings = self.settings
        lines_nm, check_nm = self.line_nm()
        return CassiCaptureRecord(
            schema_version=1,
            kind="capture",
            modality="cassi",
            design_digest=self.design.design_digest,
            profile_digest=self.design.profile_digest,
            exposure_us=settings.exposure_us,
            units="counts",
            saturation_counts=float(2**settings.adc_bits - 1),
            created_utc=created_utc,
            detector_px_per_code_px=settings.binning,
            code_origin_px=(float(self.margin), float(self.margin)),
            line_nm=lines_nm.tolist(),
            check_line_nm=check_nm,
            lamp=self.lamp,
            detector_response=self.detector_response,
            arrays={name: CassiArray(file=IMAGES_FILE, role=role) for name, role in ROLES.items()},
            bench_state=BenchState(
                temperature_c=settings.temperature_c,
                roi_px=(0, 0, self.size[0] * settings.binning, self.size[1] * settings.binning),
                binning=1,
            ),
            bench=self._truth(scene),
        )

    def _truth(self, scene: str) -> SimulatedCassiBench:
        settings = self.settings
        along, across = self.shift(self.layout.wavelengths_nm)
        first, second = ((float(row[0]), float(row[1]), float(row[2])) for row in self.to_detector)
        return SimulatedCassiBench(
            simulated_at=f"{OVERSAMPLING} samples along a code pixel",
            to_detector=(first, second),
            shift_px=along.tolist(),
            across_px=across.tolist(),
            response=self.response.tolist(),
            psf_px=settings.psf_px,
            edge_bias_um=settings.edge_bias_um,
            vignetting_percent=settings.vignetting_percent,
            prnu_percent=settings.prnu_percent,
            dark_counts=settings.dark_counts,
            gain_counts_per_photoelectron=self.gain,
            photoelectrons_full_scale=settings.photoelectrons_full_scale,
            read_noise_counts=self.gain * settings.read_noise_photoelectrons,
            adc_bits=settings.adc_bits,
            faults={str(name): value for name, value in self.faults.items()},
            seed=settings.seed,
            scene=scene,
        )

    def _response(self) -> Array:
        bands_nm = self.layout.wavelengths_nm
        lamp = self.lamp.at(bands_nm, "lamp")
        tilt = 0.01 * self.faults.get("wrong-lamp", 0.0)
        lamp = lamp * (1 + tilt * ((bands_nm - bands_nm[0]) / (bands_nm[-1] - bands_nm[0]) - 0.5))
        light = lamp * self.detector_response.at(bands_nm, "detector")
        return np.asarray(light / light.mean())

    def _to_detector(self) -> Array:
        settings, layout = self.settings, self.layout
        across = settings.displacement_across_px + self.faults.get("shift", 0.0)
        shifted = settings.displacement_along_px * layout.along + across * layout.across
        linear = turn_scale(settings.rotation_deg + self.faults.get("rotation", 0.0), settings.scale)
        return affine(linear, layout.centre, self.margin + layout.centre + shifted)

    def _made(self) -> Array:
        """The plate (4 H, 4 W) as it stands in the beam: with its edge bias, turned over or inverted by mistake."""
        levels = self.design.levels
        if "mirror" in self.faults:
            levels = levels[:, ::-1] if self.faults["mirror"] == 1 else levels[::-1]
        if "inversion" in self.faults:
            levels = 1 - levels
        fine = enlarged(levels, OVERSAMPLING)
        sample_um = self.design.pitch_um / OVERSAMPLING
        loss = -self.settings.edge_bias_um / sample_um
        if loss > 1:
            raise InputError(
                f"bench: edge_bias_um of {self.settings.edge_bias_um:g}; at most {sample_um:g} um is possible"
            )
        # An edge that lies inside the outermost sample of an opening takes away that share of it.
        fine = (1 - loss) * fine + loss * minimum_filter(fine, size=3, mode="constant", cval=0.0)
        return np.asarray(OPAQUE_TRANSMISSION + (CLEAR_TRANSMISSION - OPAQUE_TRANSMISSION) * fine)

    def _image(self, plane: Array, matrix: Array, wavelength_nm: float) -> Array:
        bands_nm = self.layout.wavelengths_nm
        colour = 2 * (wavelength_nm - bands_nm.mean()) / (bands_nm[-1] - bands_nm[0])
        psf_px = self.settings.psf_px * (1 + BLUR_CHANGE * colour)
        return render(self._plate * plane, OVERSAMPLING, matrix, self.size, self.settings.binning, psf_px)

    def _pixel_maps(self) -> tuple[Array, Array]:
        """Response of every raw pixel to light, and which share of the converter's range it adds without any."""
        settings = self.settings
        rng = np.random.default_rng([settings.detector_seed, 10])
        shape = (self.size[0] * settings.binning, self.size[1] * settings.binning)
        weight = corner_weight(shape)
        response = 1 - 0.01 * settings.vignetting_percent * weight
        response *= 1 - 0.01 * self.faults.get("gain-map", 0.0) * weight
        response *= 1 + 0.01 * settings.prnu_percent * rng.normal(size=shape)
        count = max(2, round(HOT_SHARE * response.size))
        places = rng.choice(response.size, 2 * count, replace=False)
        response.flat[places[:count]] = DEAD_RESPONSE
        extra = np.zeros(shape)
        extra.flat[places[count:]] = HOT_COUNTS_SHARE
        return response, extra

    def _gain(self) -> float:
        settings = self.settings
        top = 2**settings.adc_bits - 1
        if "saturation" not in self.faults:
            room = DEFAULT_FILL * top - settings.dark_counts
        else:
            brightest = float((self._pixels[0] * self.light(np.ones((len(self.response), *self.layout.code)))).max())
            room = (0.01 * self.faults["saturation"] * top - settings.dark_counts) / brightest
        if not room > 0:
            raise InputError(
                f"bench: dark_counts {settings.dark_counts:g} leaves no room for light in {top} counts; lower it"
            )
        return float(room / self._raw_photoelectrons)

    @property
    def _raw_photoelectrons(self) -> float:
        return self.settings.photoelectrons_full_scale / self.settings.binning**2

    def _detect(self, light: Array, frames: int, stream: int, shutter_closed: bool = False) -> NDArray[np.int32]:
        """Readings (frames, h_raw, w_raw) of the converter for an even light of 1 = open mask and white scene."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, 1000, stream])
        response, extra = self._pixels
        # Stray light that the shutter keeps away; negative: light that only leaks in while it is closed.
        stray = 0.01 * self.faults.get("dark", 0.0)
        light = light + (max(-stray, 0.0) if shutter_closed else max(stray, 0.0))
        top = 2**settings.adc_bits - 1
        low_bits = 2 ** int(self.faults.get("bit-justification", 0.0)) - 1
        readings = np.empty((frames, *light.shape), dtype=np.int32)
        for frame in readings:
            photoelectrons = rng.poisson(self._raw_photoelectrons * response * light)
            counts = settings.dark_counts + extra * top + self.gain * photoelectrons
            counts = counts + rng.normal(0.0, self.gain * settings.read_noise_photoelectrons, light.shape)
            frame[:] = np.clip(np.rint(counts), 0, top).astype(np.int32) & ~low_bits
        return readings


ROLES: dict[ArrayName, str] = {
    "dark": "light blocked, same exposure",
    "flat": "the lamp without the mask, evenly lit",
    "lines": f"the mask in one narrow line after the other, averages of {LINE_FRAMES} frames",
    "flat_lines": f"the same lines without the mask, averages of {LINE_FRAMES} frames",
    "check_line": "the mask in a line that takes no part in the fit",
    "white": "a white target in place of the scene, lit by the lamp",
    "scene": "the scene, lit by the lamp",
    "truth": "the simulated scene, reflectance 0 to 1",
}


def lamp_spectrum(bands_nm: Array) -> Spectrum:
    """A filament's light (Planck, 3000 K), relative power per wavelength, over the bands."""
    nm = _grid(bands_nm)
    power = nm**-5.0 / np.expm1(1.438777e7 / (nm * FILAMENT_K))
    return Spectrum(
        wavelength_nm=nm.tolist(),
        relative=(power / power.max()).tolist(),
        source=f"simulated filament, {FILAMENT_K:g} K",
    )


def detector_spectrum(bands_nm: Array) -> Spectrum:
    """A detector that is most sensitive in the middle of the bands."""
    nm = _grid(bands_nm)
    middle, width = float(bands_nm.mean()), float(np.ptp(bands_nm))
    relative = np.exp(-0.5 * ((nm - middle) / (0.7 * width)) ** 2)
    return Spectrum(wavelength_nm=nm.tolist(), relative=relative.tolist(), source="simulated detector")


def _grid(bands_nm: Array) -> Array:
    return np.linspace(bands_nm[0] - 10, bands_nm[-1] + 10, 61)
