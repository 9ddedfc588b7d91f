"""The digital twin of a lensless camera's bench: what its sensor would have read, with faults where they are asked for.

    counts = dark + gain Poisson(Q v (light + stray)) + N(0, read noise), then a converter of whole counts

The light is that of `light`, finer than any calibration; v is the response of single samples, Q the photoelectrons of a
full sample.  The lamp is brighter in some colours than in others, and lights point sources and scenes alike.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter, map_coordinates

from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.faults import FaultKind, FaultKinds
from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.capture import (
    IMAGES_FILE,
    ArrayName,
    LenslessArray,
    LenslessCaptureRecord,
    SimulatedCamera,
)
from cidesign.calibration.lensless.optics import Array, Lines
from cidesign.calibration.lensless.simulated.light import LINES, Caster, Stand, scene_light, tangent_of
from cidesign.checks import FaultName
from cidesign.errors import InputError
from cidesign.pattern import ApertureMask
from cidesign.verb_settings import VerbSettings

FAULTS: FaultKinds = {
    "saturation": FaultKind("the brightest reading", "% of the converter's range", 160, 100, 1000),
    "dark": FaultKind("stray light while the dark frames were not taken", "% of full scale", 3, -20, 20),
    "stray-light": FaultKind("light from beside the scene on one side of the sensor", "% of full scale", 20, 1, 100),
    "mirror": FaultKind("left and right exchanged, 1: of the mask, 2: of the read-out", "", 2, 1, 2, whole=True),
    "rotation": FaultKind("mask turned clockwise", "degrees", 1, -10, 10),
    "shift": FaultKind("mask shifted to the right", "sensor samples", 5, -100, 100),
    "tilt": FaultKind("mask tilted against the sensor", "degrees", 4, -20, 20),
    "distance": FaultKind("mask further from the sensor than designed", "%", 5, -30, 30),
    "stale-point": FaultKind("mask turned after the point source was captured", "degrees", 1.0, -10, 10),
    "swapped-channels": FaultKind(
        "first and last channel exchanged, 1: in all, 2: in the point", "", 1, 1, 2, whole=True
    ),
    "bit-justification": FaultKind("low bits of the converter that are always 0", "bits", 4, 1, 8, whole=True),
}

CLEAR_TRANSMISSION, OPAQUE_TRANSMISSION = 1.0, 0.001
# The part of the converter's range that the brightest sample fills where nothing else is asked for.
DEFAULT_FILL = 0.7
# Light of the lamp in the channels, from the first to the last: no lamp is white.
LAMP = (0.85, 1.0, 0.7)
# Where the second point stands, as a part of the image down and to the right of its middle.
SECOND_PLACE = (-0.22, 0.31)

Frames = Annotated[int, Field(ge=1, le=1000)]
Photoelectrons = Annotated[float, Field(ge=10, le=1e9, allow_inf_nan=False)]
ReadNoise = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]
Length = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


class BenchSettings(VerbSettings):
    """How the bench is built; lengths in sensor samples.

    `source_px`: the width of the point source; `prnu_percent`: how much the response of single pixels differs;
    `sensor_seed` draws the sensor's samples: captures of one bench share
    it.
    """

    shift_rows_px: Length = 0.3
    shift_columns_px: Length = -0.4
    rotation_deg: Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)] = 0.05
    tilt_deg: Annotated[float, Field(ge=-20, le=20, allow_inf_nan=False)] = 0.05
    distance_percent: Annotated[float, Field(ge=-30, le=30, allow_inf_nan=False)] = 0.3
    source_px: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0.3
    prnu_percent: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 1.0
    dark_frames: Frames = 16
    point_frames: Frames = 32
    target_frames: Frames = 8
    scene_frames: Frames = 1
    dark_counts: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    exposure_us: Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)] = 10_000.0
    temperature_c: Annotated[float, Field(ge=-100, le=200, allow_inf_nan=False)] = 21.0
    sensor_seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


class TwinSettings(BenchSettings):
    """A bench and its light: `photoelectrons_full_scale` of a full sample; `seed` draws the noise of what is read."""

    photoelectrons_full_scale: Photoelectrons
    read_noise_photoelectrons: ReadNoise
    adc_bits: Annotated[int, Field(ge=8, le=16)]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


class LenslessTwin:
    """One camera with one mask; `arrays` is what a whole session of captures gives."""

    def __init__(
        self, design: ApertureMask, camera: Camera, settings: TwinSettings, faults: dict[FaultName, float]
    ) -> None:
        self.design, self.camera, self.settings, self.faults = design, camera, settings, faults
        bands = tuple(_refined(lines) for lines in camera.channels.values())
        self.caster = Caster(self._made(), camera.geometry, bands)
        longer = 1 + 0.01 * (settings.distance_percent + faults.get("distance", 0.0))
        self.stand = Stand(
            rotation_deg=settings.rotation_deg + faults.get("rotation", 0.0),
            tilt_deg=settings.tilt_deg + faults.get("tilt", 0.0),
            shift_px=(settings.shift_rows_px, settings.shift_columns_px + faults.get("shift", 0.0)),
            distance_um=camera.geometry.distance_um * longer,
        )
        self.longer = longer
        self.dark_counts = 0.004 * self._top if settings.dark_counts is None else settings.dark_counts
        self.lamp = np.interp(np.linspace(0, 1, len(bands)), np.linspace(0, 1, len(LAMP)), LAMP)
        self.gain = (DEFAULT_FILL * self._top - self.dark_counts) / settings.photoelectrons_full_scale
        if not self.gain > 0:
            raise InputError(
                f"bench: dark_counts {self.dark_counts:g} leaves no room for light in {self._top} counts; lower it"
            )
        # Pixels differ each for itself, so that samples of many differ less.
        spread = 0.01 * settings.prnu_percent / camera.pixels**0.5
        self.response = 1 + spread * np.random.default_rng([settings.sensor_seed, 10]).normal(
            size=(len(bands), *camera.geometry.sensor)
        )

    @property
    def _top(self) -> int:
        return int(2**self.settings.adc_bits - 1)

    @property
    def second_px(self) -> tuple[float, float]:
        """Where the second point stands from the first, in pixels of the image as designed."""
        rows, columns = (part * count for part, count in zip(SECOND_PLACE, self.camera.geometry.image, strict=True))
        return float(round(rows)), float(round(columns))

    @property
    def around_px(self) -> list[tuple[float, float]]:
        """Where the points around the first stand, in pixels of the image as designed: in its corners."""
        down, right = ((-(count // 2), count - 1 - count // 2) for count in self.camera.geometry.image)
        return [(float(one), float(other)) for one in down for other in right]

    def point_light(self, offset_px: tuple[float, float], stale: bool = False) -> Array:
        """The light (C, h, w) of a point `offset_px` image pixels, as designed, down and right of the middle pixel."""
        geometry, stand = self.camera.geometry, self.stand
        if stale and "stale-point" in self.faults:
            stand = replace(stand, rotation_deg=stand.rotation_deg - self.faults["stale-point"])
        middle = tuple(count // 2 + offset for count, offset in zip(geometry.image, offset_px, strict=True))
        place = (middle[0], middle[1])
        tangent = tangent_of(geometry, geometry.image, place)
        moved = [
            self.longer * (at - (count - 1) / 2) + shift
            for at, count, shift in zip(place, geometry.image, stand.shift_px, strict=True)
        ]
        stand = replace(stand, shift_px=(moved[0], moved[1]))
        sharp = self.caster.shadow(stand, tangent, geometry.sensor)
        return np.asarray(gaussian_filter(sharp, (0, *[self.settings.source_px / 12**0.5] * 2), mode="constant"))

    def scene_light(self, scene: Array) -> Array:
        """The light (C, h, w) of a scene (C, H, W), 1 being that of the brightest sample of a white one."""
        response = self.camera.response
        # A mask that is further away sees the scene larger.
        seen = np.stack([_enlarged(response * plane, self.longer) for plane in scene])
        return scene_light(self.caster, self.stand, seen, self.camera.geometry.sensor) / self._white

    def _taken(self, offset_px: tuple[float, float]) -> float:
        """What the sensor takes of the light of a point, 1 on axis."""
        row, column = (int(count // 2 + at) for count, at in zip(self.camera.geometry.image, offset_px, strict=True))
        return float(self.camera.response[row, column])

    def _made(self) -> Array:
        levels = self.design.levels.astype(np.float64)
        if self.faults.get("mirror") == 1:
            levels = levels[:, ::-1]
        transmission = OPAQUE_TRANSMISSION + (CLEAR_TRANSMISSION - OPAQUE_TRANSMISSION) * levels**2
        return np.asarray(np.sqrt(transmission))

    def arrays(self, scene: Array, target: Array) -> dict[str, NDArray[np.generic]]:
        """All images of a session in which scene and target are (C, H, W), reflectance 0 to 1."""
        geometry = self.camera.geometry
        wanted = (len(self.caster.bands), *geometry.image)
        for name, picture in (("scene", scene), ("target", target)):
            if picture.shape != wanted:
                raise InputError(f"{name}: shape {picture.shape}; channels, rows and columns {wanted} are needed")
            if not (np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1):
                raise InputError(f"{name}: values from {picture.min():g} to {picture.max():g} are outside 0 .. 1")
        settings, lamp = self.settings, self.lamp[:, None, None]
        white = scene_light(self.caster, self.stand, np.broadcast_to(self.camera.response, wanted), geometry.sensor)
        self._white = float(white.max())
        point, second = self.point_light((0.0, 0.0), stale=True), self.point_light(self.second_px)
        around = [self.point_light(offset_px, stale=True) for offset_px in self.around_px]
        brightest = max(float((lamp * one).max()) for one in (point, second, *around))
        second = second * self._taken(self.second_px)
        around = [one * self._taken(offset_px) for one, offset_px in zip(around, self.around_px, strict=True)]
        if self.faults.get("swapped-channels") == 2:
            point, around = point[::-1], [one[::-1] for one in around]
        shots = {
            "point": (lamp * point / brightest, settings.point_frames),
            "second": (lamp * second / brightest, settings.point_frames),
            "target": (lamp * self.scene_light(target), settings.target_frames),
            "scene": (lamp * self.scene_light(scene), settings.scene_frames),
        }
        found: dict[str, NDArray[np.generic]] = {"dark": self._detect(0 * point, settings.dark_frames, 1, "dark")}
        for number, (name, (light, frames)) in enumerate(shots.items(), start=2):
            found[name] = self._detect(light, frames, number, name)
        found["around"] = np.concatenate(
            [
                self._detect(lamp * one / brightest, settings.point_frames, number, "around")
                for number, one in enumerate(around, start=10)
            ]
        )
        pictures = {"target_picture": target, "truth": scene}
        return found | {name: np.moveaxis(one, 0, -1).astype(np.float32) for name, one in pictures.items()}

    def record(self, created_utc: str, scene: str) -> LenslessCaptureRecord:
        """The record that goes with `arrays`."""
        settings, geometry = self.settings, self.camera.geometry
        return LenslessCaptureRecord(
            schema_version=1,
            kind="capture",
            modality="lensless",
            design_digest=self.design.design_digest,
            profile_digest=self.design.profile_digest,
            exposure_us=settings.exposure_us,
            units="counts",
            saturation_counts=float(self._top),
            created_utc=created_utc,
            channels=list(self.camera.channels),
            second_px=self.second_px,
            around_px=tuple(self.around_px),
            arrays={name: LenslessArray(file=IMAGES_FILE, role=role) for name, role in ROLES.items()},
            bench_state=BenchState(temperature_c=settings.temperature_c, roi_px=(0, 0, *geometry.sensor), binning=1),
            bench=SimulatedCamera(
                simulated_at=f"{self.caster.points} points along a code pixel, {self.caster.places} along a sample",
                shift_px=self.stand.shift_px,
                rotation_deg=self.stand.rotation_deg,
                distance_mm=self.stand.distance_um / 1000,
                dark_counts=self.dark_counts,
                gain_counts_per_photoelectron=self.gain,
                read_noise_counts=self.gain * settings.read_noise_photoelectrons,
                white_counts=[float(one) for one in self.lamp * self.gain * settings.photoelectrons_full_scale],
                adc_bits=settings.adc_bits,
                faults={str(name): value for name, value in self.faults.items()},
                seed=settings.seed,
                scene=scene,
            ),
        )

    def _detect(self, light: Array, frames: int, stream: int, name: str) -> NDArray[np.uint16]:
        """Readings (frames, h, w, C) of the converter for light (C, h, w) of 1 = a full sample."""
        settings, faults = self.settings, self.faults
        rng = np.random.default_rng([settings.seed, 1000, stream])
        everywhere = 0.01 * faults.get("dark", 0.0)
        light = light + (max(-everywhere, 0.0) if name == "dark" else max(everywhere, 0.0))
        if name in ("target", "scene"):
            slope = np.linspace(1, 0, light.shape[-1]) ** 2
            light = light + 0.01 * faults.get("stray-light", 0.0) * slope
        if "saturation" in faults:
            light = light * (0.01 * faults["saturation"] / DEFAULT_FILL)
        low_bits = 2 ** int(faults.get("bit-justification", 0.0)) - 1
        readings = np.empty((frames, *light.shape), dtype=np.uint16)
        for frame in readings:
            charge = rng.poisson(settings.photoelectrons_full_scale * self.response * light)
            counts = self.dark_counts + self.gain * charge
            counts = counts + rng.normal(0.0, self.gain * settings.read_noise_photoelectrons, light.shape)
            frame[:] = np.clip(np.rint(counts), 0, self._top).astype(np.uint16) & ~np.uint16(low_bits)
        if faults.get("swapped-channels") == 1:
            readings = readings[:, ::-1]
        if faults.get("mirror") == 2:
            readings = readings[..., ::-1]
        found = np.moveaxis(readings, 1, -1)
        return np.ascontiguousarray(found[..., 0] if found.shape[-1] == 1 else found)


ROLES: dict[ArrayName, str] = {
    "dark": "light blocked, same exposure",
    "point": "a point source in the middle of the field",
    "around": "point sources in the corners of the field",
    "second": "a point source elsewhere, which takes no part in the fit",
    "target": "a known picture in place of the scene",
    "target_picture": "that picture, 0 black to 1 white",
    "scene": "the scene, lit by the same lamp",
    "truth": "the simulated scene, reflectance 0 to 1",
}


def _refined(lines: Lines) -> Lines:
    """More lines of the same band, a Gaussian with its mean and spread."""
    middle = float((lines.wavelengths_um * lines.weights).sum())
    deviation = float(((lines.wavelengths_um - middle) ** 2 * lines.weights).sum() ** 0.5)
    if deviation == 0:
        return lines
    places = np.linspace(-2, 2, LINES)
    weights = np.exp(-0.5 * places**2)
    return Lines(middle + deviation * places, weights / weights.sum())


def _enlarged(plane: Array, scale: float) -> Array:
    """A picture enlarged about its middle; it is dark beside it."""
    rows, columns = ((np.arange(count) - (count - 1) / 2) / scale + (count - 1) / 2 for count in plane.shape)
    places = np.broadcast_arrays(rows[:, None], columns[None])
    found: Array = map_coordinates(plane, places, order=1, mode="grid-constant", cval=0.0)
    return found


def known_target(image: tuple[int, int], channels: int, seed: int = 0) -> Array:
    """A picture (C, H, W) that looks like no turned, mirrored or recoloured one of itself: patches of all sizes."""
    rng = np.random.default_rng([seed, *image, 7])
    picture = np.full((channels, *image), 0.08)
    rows, columns = np.mgrid[: image[0], : image[1]].astype(np.float64)
    least = min(image)
    for _ in range(24):
        middle = rng.uniform(0.05, 0.95, 2) * image
        half = rng.uniform(0.04, 0.16, 2) * least
        inside = (np.abs(rows - middle[0]) < half[0]) & (np.abs(columns - middle[1]) < half[1])
        picture[:, inside] = rng.uniform(0.1, 1.0, (channels, 1))
    return picture
