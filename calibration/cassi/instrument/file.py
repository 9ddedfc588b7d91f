"""A description of an SD-CASSI instrument in a short TOML file; what it leaves out is as in the design and its profile.

    mask = "mask.mat"              # image (H, W) as the detector sees it, or a cube of one image for each band
    wavelengths_nm = [453.3, 457.6, ...]
    step_px = 2.0                  # or shift_px = [0, 2, ...], or dispersion = "table.csv" (nm, pixels)
    axis = "columns"               # along which the bands are displaced
    sign = 1                       # 1: later bands (of larger shift) lie at higher rows or columns; -1: at lower ones
    detector = [660, 714]          # rows, columns; left out: those of the capture
    lamp = "lamp.csv"              # nm, relative value; efficiencies = ["detector.csv", "grating.csv"]

Names of files are relative to the TOML file.  Lengths are in pixels of the mask's image; `detector_px_per_mask_px` says
how many pixels of the detector these have along a side.
"""

import tomllib
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from cidesign.calibration.cassi.capture import CassiCaptureRecord, PixelPair, Spectrum, WavelengthNm
from cidesign.errors import FileError, first_line
from cidesign.files import read_limited
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.io.arrays import read_array
from cidesign.orientation import OrientationOptions
from cidesign.pattern import ApertureMask
from cidesign.records import Finite, NotNegative, Positive, first_problem

MAX_TOML_BYTES = 1_000_000
FULL_SCALES = (255.0, 65_535.0)
ROUNDING = 1e-6
# Bands that differ from those of the profile by this part of their distance are others.
BAND_SHARE = 0.1
Name = Annotated[str, Field(min_length=1, max_length=255)]
Shift = Annotated[float, Field(ge=-10_000, le=10_000, allow_inf_nan=False)]


class InstrumentFile(OrientationOptions):
    """The content of an instrument file.

    `mask_white`, `mask_black`: values of full and no transmission; `transpose`, `flip_vertical`, `flip_horizontal`:
    what turns the mask's image (the file's or the design's) into how the detector sees it, in this order; `bands`:
    along which axis of a mask cube the bands lie; `cube_grid`: whether its images are cut to the mask (`mask`), or lie
    on the detector where each band does (`detector`).
    `origin_px`: where mask pixel (0, 0) lies on the detector in the least displaced band.  `white_counts`: counts above
    dark of a white scene in the mean band through an open mask.
    """

    mask: Name | None = None
    mask_array: Name = "mask"
    mask_white: Finite | None = None
    mask_black: Finite = 0.0
    bands: Literal["first", "last"] | None = None
    cube_grid: Literal["mask", "detector"] | None = None
    wavelengths_nm: Annotated[list[WavelengthNm], Field(min_length=2, max_length=1000)] | None = None
    step_px: Positive | None = None
    shift_px: Annotated[list[Shift], Field(min_length=2, max_length=1000)] | None = None
    dispersion: Name | None = None
    axis: Literal["columns", "rows"] | None = None
    sign: Literal[1, -1] | None = None
    detector: tuple[Annotated[int, Field(ge=1, le=20_000)], Annotated[int, Field(ge=1, le=20_000)]] | None = None
    detector_px_per_mask_px: Annotated[int, Field(ge=1, le=32)] | None = None
    origin_px: PixelPair | None = None
    lamp: Name | None = None
    efficiencies: Annotated[list[Name], Field(max_length=20)] = Field(default_factory=list)
    dark_counts: NotNegative | None = None
    white_counts: Positive | None = None
    read_noise_counts: Positive | None = None
    gain_counts_per_photoelectron: NotNegative | None = None
    saturation_counts: Positive | None = None


class Description(NamedTuple):
    """An instrument file with its place, and the design and profile that say what it leaves out.

    `where` stands in front of every error: the file, or what is described by the design alone.
    """

    where: str
    folder: Path
    file: InstrumentFile
    design: ApertureMask
    profile: ApertureProfile


class Seen(NamedTuple):
    """What a capture says of itself: `size` (h, w) in pixels of the mask, which are `binning` pixels of the detector
    along a side, and where the mask should lie; None where there is no capture, or nobody wrote it down."""

    size: tuple[int, int] | None
    binning: int
    origin_px: PixelPair | None


class Bands(NamedTuple):
    """`wavelengths_nm` (L,), how far each band is displaced from the least displaced one (L,), in pixels of the mask
    along `axis` (0 rows, 1 columns) towards higher (`sign` 1) or lower places, and how that is known."""

    wavelengths_nm: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    axis: Literal[0, 1]
    sign: Literal[1, -1]
    note: str

    @property
    def span_px(self) -> float:
        """The largest displacement."""
        return float(self.shift_px.max())

    def places(self) -> NDArray[np.float64]:
        """Where each band lies (L, 2) against the least displaced place, row and column."""
        along = self.shift_px if self.sign > 0 else ceil(self.span_px - ROUNDING) - self.shift_px
        return np.asarray(along[:, None] * np.eye(2)[self.axis])


def read_instrument_file(path: Path) -> InstrumentFile:
    """Read an instrument file; raises `FileError` for one that is missing, damaged or says what there is not."""
    try:
        raw = tomllib.loads(read_limited(path, "instrument file", MAX_TOML_BYTES).decode())
        return InstrumentFile.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{path}: {first_problem(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is no TOML file ({first_line(error)})") from error


def bands_of(told: Description) -> Bands:
    """The bands and their dispersion; those of the profile where the file has none.

    Raises `FileError` where they contradict each other or the profile.
    """
    file, spectrograph = told.file, told.profile.spectrograph
    own_nm = np.array(spectrograph.wavelengths_nm.value)
    wanted_nm = own_nm if file.wavelengths_nm is None else np.array(file.wavelengths_nm)
    if np.any(np.diff(wanted_nm) <= 0):
        raise FileError(
            f"{told.where}: wavelengths_nm must rise from band to band; with sign the dispersion may go either way"
        )
    shift, note = _shifts(told, wanted_nm)
    # The cube is in the bands of the profile: others under their names would be wrong spectra.
    if len(wanted_nm) != len(own_nm) or np.abs(wanted_nm - own_nm).max() > BAND_SHARE * np.diff(own_nm).min():
        raise FileError(
            f"{told.where}: {_range(wanted_nm)}, and profile {told.profile.id} has {_range(own_nm)}; make the design "
            "with a profile of the instrument's bands, or leave wavelengths_nm out"
        )
    profile_shift = np.array(spectrograph.shift_px.value)
    sign = file.sign or (1 if profile_shift[-1] >= profile_shift[0] else -1)
    axis = file.axis or spectrograph.axis.value
    direction = "higher" if sign > 0 else "lower"
    return Bands(wanted_nm, shift, 0 if axis == "rows" else 1, sign, f"{note} towards {direction} {axis}")


def _range(bands_nm: NDArray[np.float64]) -> str:
    return f"{len(bands_nm)} bands from {bands_nm[0]:g} to {bands_nm[-1]:g} nm"


def _shifts(told: Description, bands_nm: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Shift of each band from the least displaced one (L,), in pixels, and where it comes from."""
    path, file, bands = told.where, told.file, len(bands_nm)
    given = [name for name in ("step_px", "shift_px", "dispersion") if getattr(file, name) is not None]
    if len(given) > 1:
        raise FileError(f"{path}: gives {' and '.join(given)}; give one of step_px, shift_px, dispersion")
    if not given:
        own = np.array(told.profile.spectrograph.shift_px.value)
        if len(own) != bands:
            raise FileError(
                f"{path}: {bands} wavelengths, and profile {told.profile.id} has {len(own)} bands; give one of "
                "step_px, shift_px, dispersion"
            )
        shift = np.abs(own - own[0])
        return shift, f"{bands} bands, displaced by 0 to {shift.max():g} px by profile {told.profile.id},"
    if file.step_px is not None:
        shift = np.arange(bands, dtype=np.float64) * file.step_px
        return shift, f"{bands} bands, {file.step_px:g} px from band to band,"
    if file.shift_px is not None:
        if len(file.shift_px) != bands:
            raise FileError(
                f"{path}: {len(file.shift_px)} shifts in shift_px for {bands} wavelengths; give one for each"
            )
        shift = np.array(file.shift_px, dtype=np.float64)
        return shift - shift.min(), f"{bands} bands, displaced by 0 to {np.ptp(shift):g} px as listed,"
    nm, px = _table(told.folder / str(file.dispersion), "dispersion table")
    if bands_nm.min() < nm[0] or bands_nm.max() > nm[-1]:
        raise FileError(
            f"{path}: {file.dispersion} is known from {nm[0]:g} to {nm[-1]:g} nm, the bands are {bands_nm.min():g} to "
            f"{bands_nm.max():g} nm; measure it over all bands"
        )
    shift = np.interp(bands_nm, nm, px)
    return shift - shift.min(), f"{bands} bands, displaced by 0 to {np.ptp(shift):.4g} px by {file.dispersion},"


def _table(path: Path, what: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two columns of a text table, wavelength in nm and a value, with rising wavelengths."""
    table = read_array(path, what)
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2:
        raise FileError(f"{path}: shape {table.shape}; a {what} has two columns, nm and value, and two rows or more")
    if np.any(np.diff(table[:, 0]) <= 0):
        raise FileError(f"{path}: the wavelengths of a {what} must rise")
    return table[:, 0], table[:, 1]


def masks_of(told: Description, bands: Bands) -> tuple[NDArray[np.float32], list[str]]:
    """The mask as each band sees it (L, H, W), and how it was understood; raises `FileError` where it is not clear."""
    path, file, count = told.where, told.file, len(bands.shift_px)
    if file.mask is None:
        needless = [name for name in ("mask_white", "cube_grid", "bands") if getattr(file, name) is not None]
        if needless:
            raise FileError(f"{path}: {needless[0]} is for a mask in a file; name it with mask, or leave it out")
        turned = file.orientation.apply(told.design.levels.astype(np.float32))
        return np.repeat(turned[None], count, axis=0), [f"mask: the design's, {file.orientation.text}"]
    where = told.folder / file.mask
    values = read_array(where, file.mask_array)
    if values.ndim == 3:
        values = np.moveaxis(values, -1, 0) if _bands_last(where, values.shape, count, file) else values
    elif values.ndim != 2 or 1 in values.shape:
        raise FileError(f"{where}: shape {values.shape}; a mask is an image (H, W), or a cube of {count} of them")
    levels, how = _levels(where, values, file)
    turned = file.orientation.apply(levels)
    notes = [f"mask {file.mask}: {how}, {file.orientation.text}"]
    if turned.ndim == 2:
        if file.cube_grid is not None or file.bands is not None:
            raise FileError(f"{path}: cube_grid and bands are for a cube; {file.mask} is one image: leave them out")
        return np.repeat(turned[None], count, axis=0), notes
    if file.cube_grid is None:
        raise FileError(
            f'{path}: {file.mask} is a cube: are its images cut to the mask (cube_grid = "mask"), or do they lie on '
            'the detector where each band does (cube_grid = "detector")?'
        )
    return (turned if file.cube_grid == "mask" else _cut(path, bands, turned)), notes


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


def _cut(path: str, bands: Bands, cube: NDArray[np.float32]) -> NDArray[np.float32]:
    """Masks that lie on the detector where each band does, cut to the mask."""
    whole = np.rint(bands.shift_px).astype(int)
    if np.abs(bands.shift_px - whole).max() > ROUNDING:
        raise FileError(f"{path}: masks on the detector's grid are cut at whole pixels; the shifts are not whole")
    span, axis = int(whole.max()), 1 + bands.axis
    length = cube.shape[axis] - span
    if length < 1:
        raise FileError(f"{path}: masks of {cube.shape[1]} x {cube.shape[2]} leave nothing for shifts up to {span} px")
    firsts = whole if bands.sign > 0 else span - whole
    cut = [np.take(cube[band], range(firsts[band], firsts[band] + length), bands.axis) for band in range(len(cube))]
    return np.stack(cut)


def place_of(told: Description, bands: Bands, mask: tuple[int, ...], seen: Seen) -> tuple[tuple[int, int], PixelPair]:
    """The detector (h, w), and where mask pixel (0, 0) lies on it in the least displaced band, in pixels of the mask.

    Raises `FileError` for a mask that does not fill the detector and whose place nobody says, and for one, or a
    dispersion, that does not fit on it: with the step that would.
    """
    file, axis, count = told.file, bands.axis, len(bands.shift_px)
    needed = [mask[0], mask[1]]
    needed[axis] += ceil(bands.span_px - ROUNDING)
    capture, origin = seen.size, seen.origin_px
    said = None if file.detector is None else (file.detector[0] // seen.binning, file.detector[1] // seen.binning)
    if said is not None and capture is not None and capture != said:
        raise FileError(
            f"{told.where}: a capture of {capture[0]} x {capture[1]} pixels for a detector of {said[0]} x {said[1]} "
            f"(mask {mask[0]} x {mask[1]}); cut the capture to where the mask's image is, or say the detector's size"
        )
    size = said or (needed[0], needed[1]) if capture is None else (capture[0], capture[1])
    at = file.origin_px or origin or (0.0, 0.0)
    ends = (at[0] + needed[0], at[1] + needed[1])
    inside = min(at) > -1 and ends[0] < size[0] + 1 and ends[1] < size[1] + 1
    if inside and (file.origin_px or origin or size == (needed[0], needed[1])):
        return size, at
    step, fitting = bands.span_px / (count - 1), (size[axis] - mask[axis]) / (count - 1)
    across = size[1 - axis] == mask[1 - axis]
    would = f"a step of {fitting:.4g} px would fit its {('rows', 'columns')[axis]}" if fitting > 0 and across else ""
    if size == (needed[1], needed[0]) and size[0] != size[1]:
        would = "with rows and columns exchanged it would: transpose the capture, or say the other axis"
    text = (
        f"{told.where}: a mask of {mask[0]} x {mask[1]} in {count} bands of {step:.4g} px needs {needed[0]} x "
        f"{needed[1]} pixels, the detector has {size[0]} x {size[1]}"
    )
    if file.origin_px or origin:
        raise FileError(f"{text}, and from ({at[0]:g}, {at[1]:g}) on it leaves the detector{_and(would)}")
    if size[0] >= needed[0] and size[1] >= needed[1]:
        raise FileError(
            f"{text}: the mask is smaller than the capture. Say where its first pixel lies with origin_px = [row, "
            f"column] in a file for --instrument{_and(would)}"
        )
    raise FileError(f"{text}; {would or 'no step would fit it'}, or the mask is another")


def _and(would: str) -> str:
    return f"; {would}" if would else ""


def response_of(
    told: Description, bands_nm: NDArray[np.float64], recorded: CassiCaptureRecord | None
) -> tuple[NDArray[np.float64], str]:
    """The light of the bands (L,), mean 1: the file's spectra, or those that were `recorded` with the capture."""
    names = [*([told.file.lamp] if told.file.lamp else []), *told.file.efficiencies]
    response = np.ones(len(bands_nm))
    for name in names:
        table = told.folder / name
        nm, relative = _table(table, "spectrum")
        try:
            spectrum = Spectrum(wavelength_nm=nm.tolist(), relative=relative.tolist(), source=name)
        except ValidationError as error:
            raise FileError(f"{table}: {first_problem(error)}") from error
        response *= spectrum.at(bands_nm, str(table))
    if not names and recorded is not None and recorded.lamp is not None:
        known = [one for one in (recorded.lamp, recorded.detector_response) if one is not None]
        for one in known:
            response *= one.at(bands_nm, f"{told.where}: spectrum")
        return response / response.mean(), f"light of the bands: {', '.join(one.source for one in known)}"
    note = f"light of the bands: {', '.join(names)}"
    if told.file.lamp is None:
        rest = f"; of the light {', '.join(names)} is known alone" if names else ""
        note = f"no lamp is given{rest}: the cube's spectra are in units of the lamp's"
    return response / response.mean(), note
