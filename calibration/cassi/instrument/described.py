"""An SD-CASSI instrument that was described, not measured, as a calibration that nobody has verified."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.cassi.calibration import CassiCalibration, bin_mean
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.detector import estimate_detector
from cidesign.calibration.cassi.instrument.file import (
    Bands,
    Description,
    InstrumentFile,
    Seen,
    bands_of,
    masks_of,
    place_of,
    read_instrument_file,
    response_of,
)
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.optics import Array
from cidesign.errors import FileError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.pattern import ApertureMask

# What is taken of the brightest reading where nobody says what the detector's noise is.
ASSUMED_NOISE = 0.01
BRIGHTEST_PERCENTILE = 99.9


@dataclass(frozen=True)
class Instrument:
    """A described instrument; `notes` say how the description was understood."""

    told: Description
    bands: Bands
    operator: CassiOperator
    binning: int
    capture: CassiCapture | None
    notes: tuple[str, ...]

    def calibration(self) -> CassiCalibration:
        """Its calibration; what the file does not say of the detector is taken from the frames of the capture."""
        file, detector = self.told.file, self._detector()
        return CassiCalibration(
            operator=self.operator,
            dark_counts=detector.dark_counts,
            scale_counts=detector.scale_counts,
            read_noise_counts=detector.read_noise_counts,
            gain_counts_per_photoelectron=detector.gain,
            flat=detector.flat,
            pixel_uncertainty_px=0.0,
            shift_px=self.bands.shift_px,
            notes=(*self.notes, *detector.notes),
            saturation_counts=file.saturation_counts or (self.capture.saturation_counts if self.capture else None),
            usable=detector.usable,
        )

    def _detector(self) -> "_Detector":
        capture, file = self.capture, self.told.file
        said = (file.dark_counts, file.white_counts, file.read_noise_counts, file.gain_counts_per_photoelectron)
        if capture is not None and {"dark", "flat"} <= set(capture.arrays) and set(said) == {None}:
            return _of_frames(capture, self.operator, self.binning)
        return _of_file(self, capture)


@dataclass(frozen=True)
class _Detector:
    """See `CassiCalibration`."""

    dark_counts: Array
    scale_counts: float
    read_noise_counts: float
    gain: float
    flat: Array
    usable: NDArray[np.bool_] | None
    notes: list[str]


def read_instrument(
    path: Path, design: ApertureMask, profile: ApertureProfile, capture: CassiCapture | None = None
) -> Instrument:
    """Read an instrument file and the files that it names; what it leaves out is as in `design` and `profile`.

    `capture`: one of the instrument, which tells the size of the detector and its levels.  Raises `FileError` for what
    is missing, damaged or does not fit together: sizes with those that would.
    """
    told = Description(str(path), path.parent, read_instrument_file(path), design, profile)
    return _instrument(told, capture, f"from {path.name}, which nobody has verified")


def nominal_instrument(design: ApertureMask, profile: ApertureProfile, capture: CassiCapture) -> Instrument:
    """The instrument as it was designed, for a capture; raises `FileError` where these do not fit together."""
    told = Description(str(capture.path), Path(), InstrumentFile(), design, profile)
    return _instrument(told, capture, "the mask and the dispersion as designed, which nobody has verified")


def _instrument(told: Description, capture: CassiCapture | None, described: str) -> Instrument:
    bands = bands_of(told)
    masks, mask_notes = masks_of(told, bands)
    height, width = told.design.levels.shape
    if masks.shape[1:] != (height, width):
        raise FileError(
            f"{told.where}: the mask as the detector sees it has {masks.shape[1]} x {masks.shape[2]} pixels, that of "
            f"the design {height} x {width}; name the design of this mask"
        )
    seen = _seen(told, capture)
    size, origin = place_of(told, bands, masks.shape[1:], seen)
    recorded = None if capture is None else capture.record
    response, light_note = response_of(told, bands.wavelengths_nm, recorded)
    places = np.array(origin) + bands.places()
    to_code = np.stack([np.column_stack([np.eye(2), -place]) for place in places])
    operator = CassiOperator(masks, to_code, response, size)
    notes = (described, *mask_notes, f"{bands.note}; detector {size[0]} x {size[1]}", light_note)
    return Instrument(told, bands, operator, seen.binning, capture, notes)


def _seen(told: Description, capture: CassiCapture | None) -> Seen:
    """Raises `FileError` for a capture whose sides are no multiples of the detector's pixels in one of the mask."""
    recorded = None if capture is None else capture.record
    binning = told.file.detector_px_per_mask_px or (1 if recorded is None else recorded.detector_px_per_code_px)
    if capture is None:
        return Seen(None, binning, None)
    height, width = next(array.shape[-2:] for name, array in capture.arrays.items() if name != "truth")
    if height % binning or width % binning:
        raise FileError(
            f"{capture.path}: images of {height} x {width} pixels, of which {binning} x {binning} are one of the mask; "
            "cut both sides to multiples of that"
        )
    return Seen((height // binning, width // binning), binning, None if recorded is None else recorded.code_origin_px)


def _of_frames(capture: CassiCapture, operator: CassiOperator, binning: int) -> _Detector:
    found = estimate_detector(capture)
    return _Detector(
        dark_counts=found.dark_counts,
        scale_counts=found.flat_counts / float(operator.response.sum()),
        read_noise_counts=found.read_noise_counts,
        gain=found.gain,
        flat=found.model_flat(binning),
        usable=found.usable,
        notes=["dark level, noise, flat field and scale are those of the frames of the capture"],
    )


def _of_file(instrument: Instrument, capture: CassiCapture | None) -> _Detector:
    file, operator, where = instrument.told.file, instrument.operator, instrument.told.where
    raw = (operator.size[0] * instrument.binning, operator.size[1] * instrument.binning)
    dark, notes = np.full(raw, file.dark_counts or 0.0), []
    if file.dark_counts is None and capture is not None and "dark" in capture.arrays:
        dark = capture.frames("dark").mean(axis=0)
    elif file.dark_counts is None:
        notes.append("dark_counts is not given: 0 is taken as the level without light")
    brightest = 1.0
    if capture is not None and "scene" in capture.arrays:
        brightest = float(np.percentile(capture.scene - dark, BRIGHTEST_PERCENTILE))
        if brightest <= 0:
            raise FileError(
                f"{where}: the capture is dark: its brightest readings are {brightest:g} counts from the level "
                f"without light, {dark.mean():g}"
            )
    scale, read_noise = file.white_counts, file.read_noise_counts
    white = None if capture is None else capture.white
    if scale is None and white is not None:
        light = bin_mean(white.mean(axis=0) - dark, instrument.binning)
        predicted = operator.predict(np.ones_like(operator.masks))
        scale = float((light * predicted).sum() / max(float((predicted**2).sum()), 1e-300))
        if scale <= 0:
            raise FileError(f"{where}: the white target is darker than the level without light, {dark.mean():g} counts")
        notes.append("scale: as bright as the white target is")
    if scale is None:
        # Half of a mask is open: the brightest reading is then that of white in nearly all bands.
        scale = brightest / float(operator.response.sum() * max(operator.masks.mean(), 1e-3) * 2)
        notes.append(
            "white_counts is not given: the cube is in units of the capture's brightest light, not in reflectance"
        )
    if read_noise is None:
        read_noise = ASSUMED_NOISE * brightest
        notes.append(
            f"read_noise_counts is not given: {ASSUMED_NOISE:.0%} of the brightest reading is taken, and chi-square "
            "means nothing"
        )
    gain = file.gain_counts_per_photoelectron or 0.0
    return _Detector(dark, scale, read_noise, gain, np.ones(operator.size), None, notes)
