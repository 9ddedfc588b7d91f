"""An SD-CASSI instrument that exists, described in a short TOML file, as a calibration that nobody has verified.

    mask = "mask.mat"              # image (H, W) as the detector sees it, or a cube of one image for each band
    wavelengths_nm = [453.3, 457.6, ...]
    step_px = 2.0                  # or shift_px = [0, 2, ...], or dispersion = "table.csv" (nm, pixels)
    axis = "columns"               # along which the bands are shifted
    sign = 1                       # 1: later bands (of larger shift) lie at higher rows or columns; -1: at lower ones
    detector = [660, 714]          # rows, columns; left out: what mask and dispersion need
    lamp = "lamp.csv"              # optional: nm, relative value; efficiencies = ["detector.csv", "grating.csv"]

Names of files are relative to the TOML file.  All lengths are detector pixels, which are those of the
mask's image.
"""

import tomllib
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import PixelPair, Spectrum, WavelengthNm
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.errors import FileError
from cidesign.files import read_limited
from cidesign.io.arrays import read_array
from cidesign.orientation import OrientationOptions
from cidesign.records import Finite, NotNegative, Positive, first_problem

MAX_TOML_BYTES = 1_000_000
FULL_SCALES = (255.0, 65_535.0)
ROUNDING = 1e-6
# What is taken of the brightest reading where nobody says what the detector's noise is.
ASSUMED_NOISE = 0.01
BRIGHTEST_PERCENTILE = 99.9
Name = Annotated[str, Field(min_length=1, max_length=255)]
Shift = Annotated[float, Field(ge=-10_000, le=10_000, allow_inf_nan=False)]


class InstrumentFile(OrientationOptions):
    """The content of an instrument file.

    `mask_white`, `mask_black`: values of full and no transmission; `transpose`, `flip_vertical`, `flip_horizontal`:
    what turns the mask's image into how the detector sees it, in this order; `bands`: along which axis of a mask
    cube the bands lie; `cube_grid`: whether its images are cut to the mask (`mask`), or lie on the detector where
    each band does (`detector`).
    `origin_px`: where mask pixel (0, 0) lies on the detector in the least shifted band.  `white_counts`: counts above
    dark of a white scene in the mean band through an open mask.
    """

    mask: Name
    mask_array: Name = "mask"
    mask_white: Finite | None = None
    mask_black: Finite = 0.0
    bands: Literal["first", "last"] | None = None
    cube_grid: Literal["mask", "detector"] | None = None
    wavelengths_nm: Annotated[list[WavelengthNm], Field(min_length=2, max_length=1000)]
    step_px: Positive | None = None
    shift_px: Annotated[list[Shift], Field(min_length=2, max_length=1000)] | None = None
    dispersion: Name | None = None
    axis: Literal["columns", "rows"]
    sign: Literal[1, -1]
    detector: tuple[Annotated[int, Field(ge=1, le=20_000)], Annotated[int, Field(ge=1, le=20_000)]] | None = None
    origin_px: PixelPair | None = None
    lamp: Name | None = None
    efficiencies: Annotated[list[Name], Field(max_length=20, default_factory=list)]
    dark_counts: NotNegative | None = None
    white_counts: Positive | None = None
    read_noise_counts: Positive | None = None
    gain_counts_per_photoelectron: NotNegative | None = None
    saturation_counts: Positive | None = None


@dataclass(frozen=True)
class Instrument:
    """An instrument as its file describes it; `notes` say how it was understood."""

    path: Path
    file: InstrumentFile
    operator: CassiOperator
    shift_px: NDArray[np.float64]
    notes: tuple[str, ...]

    def calibration(self, frames: NDArray[np.float64] | None = None) -> CassiCalibration:
        """The calibration of the instrument; `frames` (h, w) or (R, h, w): a capture, which tells what the file does
        not: the brightest reading.

        Raises `FileError` for a capture of another size than the detector.
        """
        file, size, notes = self.file, self.operator.size, list(self.notes)
        if frames is not None and frames.shape[-2:] != size:
            raise FileError(
                f"{self.path}: a capture of {frames.shape[-2]} x {frames.shape[-1]} pixels for a detector of {size[0]} "
                f"x {size[1]} (mask {self.operator.masks.shape[1]} x {self.operator.masks.shape[2]}); cut the capture "
                "to where the mask's image is, or say the detector's size"
            )
        dark = file.dark_counts or 0.0
        if file.dark_counts is None:
            notes.append("dark_counts is not given: 0 is taken as the level without light")
        brightest = 1.0 if frames is None else float(np.percentile(frames - dark, BRIGHTEST_PERCENTILE))
        if brightest <= 0:
            raise FileError(f"{self.path}: the capture is dark: its brightest readings are {dark + brightest:g} counts")
        scale, read_noise = file.white_counts, file.read_noise_counts
        if scale is None:
            # Half of a mask is open: the brightest reading is then that of white in nearly all bands.
            scale = brightest / float(self.operator.response.sum() * max(self.operator.masks.mean(), 1e-3) * 2)
            notes.append(
                "white_counts is not given: the cube is in units of the capture's brightest light, not in reflectance"
            )
        if read_noise is None:
            read_noise = ASSUMED_NOISE * brightest
            notes.append(
                f"read_noise_counts is not given: {ASSUMED_NOISE:.0%} of the brightest reading is taken, and "
                "chi-square means nothing"
            )
        return CassiCalibration(
            operator=self.operator,
            dark_counts=np.full(size, dark),
            scale_counts=scale,
            read_noise_counts=read_noise,
            gain_counts_per_photoelectron=file.gain_counts_per_photoelectron or 0.0,
            flat=np.ones(size),
            pixel_uncertainty_px=0.0,
            shift_px=self.shift_px,
            notes=tuple(notes),
            saturation_counts=file.saturation_counts,
        )


def read_instrument(path: Path) -> Instrument:
    """Read an instrument file and the files that it names.

    Raises `FileError` for what is missing, damaged or does not fit together: sizes with those that would.
    """
    file = _file(path)
    shift_px, dispersion_note = _shifts(path, file)
    masks, mask_notes = _masks(path, file, shift_px)
    size, origin = _place(path, file, masks.shape[1:], float(shift_px.max()))
    axis = 0 if file.axis == "rows" else 1
    along = shift_px if file.sign > 0 else ceil(shift_px.max()) - shift_px
    places = np.array(origin) + along[:, None] * np.eye(2)[axis]
    to_code = np.stack([np.column_stack([np.eye(2), -place]) for place in places])
    response, light_note = _response(path, file)
    operator = CassiOperator(masks, to_code, response, size)
    direction = "higher" if file.sign > 0 else "lower"
    notes = (
        f"from {path.name}, which nobody has verified: a white target, or narrow lines, would verify it",
        *mask_notes,
        f"{dispersion_note} towards {direction} {file.axis}; detector {size[0]} x {size[1]}",
        light_note,
    )
    return Instrument(path, file, operator, shift_px, notes)


def _file(path: Path) -> InstrumentFile:
    try:
        raw = tomllib.loads(read_limited(path, "instrument file", MAX_TOML_BYTES).decode())
        return InstrumentFile.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{path}: {first_problem(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is no TOML file ({str(error).splitlines()[0]})") from error


def _shifts(path: Path, file: InstrumentFile) -> tuple[NDArray[np.float64], str]:
    """Shift of each band from the least shifted one (L,), in pixels, and where it comes from."""
    bands = len(file.wavelengths_nm)
    given = [name for name in ("step_px", "shift_px", "dispersion") if getattr(file, name) is not None]
    if len(given) != 1:
        raise FileError(
            f"{path}: gives {' and '.join(given) or 'no dispersion'}; give one of step_px, shift_px, dispersion"
        )
    if file.step_px is not None:
        shift = np.arange(bands, dtype=np.float64) * file.step_px
        return shift, f"{bands} bands, {file.step_px:g} px from band to band,"
    if file.shift_px is not None:
        if len(file.shift_px) != bands:
            raise FileError(
                f"{path}: {len(file.shift_px)} shifts in shift_px for {bands} wavelengths; give one for each"
            )
        shift = np.array(file.shift_px, dtype=np.float64)
        return shift - shift.min(), f"{bands} bands, shifted by 0 to {np.ptp(shift):g} px as listed,"
    nm, px = _table(path.parent / str(file.dispersion), "dispersion table")
    wanted = np.array(file.wavelengths_nm)
    if wanted.min() < nm[0] or wanted.max() > nm[-1]:
        raise FileError(
            f"{path}: {file.dispersion} is known from {nm[0]:g} to {nm[-1]:g} nm, the bands are {wanted.min():g} to "
            f"{wanted.max():g} nm; measure it over all bands"
        )
    shift = np.interp(wanted, nm, px)
    return shift - shift.min(), f"{bands} bands, shifted by 0 to {np.ptp(shift):.4g} px by {file.dispersion},"


def _table(path: Path, what: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two columns of a text table, wavelength in nm and a value, with rising wavelengths."""
    table = read_array(path, what)
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2:
        raise FileError(f"{path}: shape {table.shape}; a {what} has two columns, nm and value, and two rows or more")
    if np.any(np.diff(table[:, 0]) <= 0):
        raise FileError(f"{path}: the wavelengths of a {what} must rise")
    return table[:, 0], table[:, 1]


def _masks(path: Path, file: InstrumentFile, shift_px: NDArray[np.float64]) -> tuple[NDArray[np.float32], list[str]]:
    """The mask as each band sees it (L, H, W)."""
    where = path.parent / file.mask
    values = read_array(where, file.mask_array)
    bands = len(file.wavelengths_nm)
    if values.ndim == 3:
        values = np.moveaxis(values, -1, 0) if _bands_last(where, values.shape, bands, file) else values
    elif values.ndim != 2 or 1 in values.shape:
        raise FileError(f"{where}: shape {values.shape}; a mask is an image (H, W), or a cube of {bands} of them")
    levels, how = _levels(where, values, file)
    turned = file.orientation.apply(levels)
    notes = [f"mask {file.mask}: {how}, {file.orientation.text}"]
    if turned.ndim == 2:
        if file.cube_grid is not None or file.bands is not None:
            raise FileError(f"{path}: cube_grid and bands are for a cube; {file.mask} is one image: leave them out")
        return np.repeat(turned[None], bands, axis=0), notes
    if file.cube_grid is None:
        raise FileError(
            f'{path}: {file.mask} is a cube: are its images cut to the mask (cube_grid = "mask"), or do they lie on '
            'the detector where each band does (cube_grid = "detector")?'
        )
    return (turned if file.cube_grid == "mask" else _cut(path, file, turned, shift_px)), notes


def _bands_last(where: Path, shape: tuple[int, ...], bands: int, file: InstrumentFile) -> bool:
    fits = {name: shape[axis] == bands for name, axis in (("first", 0), ("last", -1))}
    if file.bands is not None and fits[file.bands]:
        return file.bands == "last"
    if file.bands is not None or not any(fits.values()):
        raise FileError(f"{where}: a cube of shape {shape} for {bands} wavelengths; one axis holds one mask for each")
    if all(fits.values()):
        raise FileError(
            f'{where}: shape {shape}: the bands may be its first or last axis; say bands = "first" or "last"'
        )
    return fits["last"]


def _levels(where: Path, values: NDArray[np.float64], file: InstrumentFile) -> tuple[NDArray[np.float32], str]:
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise FileError(f"{where}: all values are {low:g}; there is no mask in it")
    white = file.mask_white
    if white is None:
        white = 1.0 if high <= 1 + ROUNDING else high if high in FULL_SCALES else None
    if white is None:
        raise FileError(
            f"{where}: values from {low:g} to {high:g}; a transmission is 0 to 1: say which value lets all light pass, "
            f"as mask_white = {high:g}"
        )
    if white == file.mask_black:
        raise FileError(f"{where}: mask_white and mask_black are both {white:g}")
    levels = (values - file.mask_black) / (white - file.mask_black)
    outside = int(np.count_nonzero((levels < -ROUNDING) | (levels > 1 + ROUNDING)))
    if outside:
        raise FileError(
            f"{where}: {outside} of {values.size} values ({low:g} to {high:g}) are outside {file.mask_black:g} to "
            f"{white:g}, no and full transmission; say them as mask_black and mask_white"
        )
    return np.clip(levels, 0, 1).astype(np.float32), f"transmission 0 at {file.mask_black:g} and 1 at {white:g}"


def _cut(
    path: Path, file: InstrumentFile, cube: NDArray[np.float32], shift_px: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Masks that lie on the detector where each band does, cut to the mask."""
    whole = np.rint(shift_px).astype(int)
    if np.abs(shift_px - whole).max() > ROUNDING:
        raise FileError(f"{path}: masks on the detector's grid are cut at whole pixels; the shifts are not whole")
    span, axis = int(whole.max()), 1 if file.axis == "rows" else 2
    length = cube.shape[axis] - span
    if length < 1:
        raise FileError(f"{path}: masks of {cube.shape[1]} x {cube.shape[2]} leave nothing for shifts up to {span} px")
    firsts = whole if file.sign > 0 else span - whole
    bands = np.arange(len(cube))
    cut = [np.take(cube[band], range(firsts[band], firsts[band] + length), axis - 1) for band in bands]
    return np.stack(cut)


def _place(
    path: Path, file: InstrumentFile, mask: tuple[int, ...], span_px: float
) -> tuple[tuple[int, int], tuple[float, float]]:
    """The detector (h, w), and where mask pixel (0, 0) lies on it in the least shifted band."""
    axis, bands = (0 if file.axis == "rows" else 1), len(file.wavelengths_nm)
    needed = [mask[0], mask[1]]
    needed[axis] += ceil(span_px - ROUNDING)
    if file.detector is None:
        return (needed[0], needed[1]), (0.0, 0.0) if file.origin_px is None else file.origin_px
    size = file.detector
    step = span_px / (bands - 1)
    fitting = (size[axis] - mask[axis]) / (bands - 1)
    mask_text = f"a mask of {mask[0]} x {mask[1]} in {bands} bands of {step:.4g} px"
    told = f"{path}: {mask_text} needs {needed[0]} x {needed[1]} pixels"
    would = f"a step of {fitting:.4g} px would fit its {file.axis}" if fitting > 0 else "no step would fit it"
    if size[1 - axis] < mask[1 - axis] or size[axis] < needed[axis]:
        raise FileError(f"{told}, the detector has {size[0]} x {size[1]}; {would}, or the mask is another")
    if file.origin_px is not None:
        return size, file.origin_px
    if size != (needed[0], needed[1]):
        raise FileError(
            f"{told}, the detector has {size[0]} x {size[1]}: the mask is smaller than the capture. Say with "
            f"origin_px = [row, column] where its first pixel lies; {would}"
        )
    return size, (0.0, 0.0)


def _response(path: Path, file: InstrumentFile) -> tuple[NDArray[np.float64], str]:
    """The light of the bands (L,), mean 1."""
    names = [*([file.lamp] if file.lamp else []), *file.efficiencies]
    nm = np.array(file.wavelengths_nm)
    if np.any(np.diff(nm) <= 0):
        raise FileError(
            f"{path}: wavelengths_nm must rise from band to band; with sign the dispersion may go either way"
        )
    response = np.ones(len(nm))
    for name in names:
        table = path.parent / name
        where, relative = _table(table, "spectrum")
        try:
            spectrum = Spectrum(wavelength_nm=where.tolist(), relative=relative.tolist(), source=name)
        except ValidationError as error:
            raise FileError(f"{table}: {first_problem(error)}") from error
        response *= spectrum.at(nm, str(table))
    if file.lamp is None:
        known = f"; of the light {', '.join(names)} is known alone" if names else ""
        return response / response.mean(), f"no lamp is given{known}: the cube's spectra are in units of the lamp's"
    return response / response.mean(), f"light of the bands: {', '.join(names)}"
