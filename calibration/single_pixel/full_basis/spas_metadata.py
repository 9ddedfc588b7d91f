"""`NAME_metadata.json` of a SPAS acquisition: a list of objects, whose arrays are printed texts.

SPAS prints its arrays in whatever way its NumPy does: `[1, 2]`, `[1 2]` over several lines, or
`[np.uint16(1), np.uint16(2)]`; an empty one is `]`.  Source: openspyrit/spas, metadata2.py and acquisition_SPC2D.py.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cidesign.errors import FileError
from cidesign.files import MAX_JSON_BYTES, Json, JsonObject, read_limited
from cidesign.records import first_problem, shown

MAX_SIDE = 128
MAX_NUMBERS = 1_000_000
INSERTED = -1
FULL_SCALE_COUNTS = {True: 65535.0, False: 16383.0}  # of the spectrometer's 16-bit and 14-bit converter

NUMBER = r"[+-]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?"
ENTRY = re.compile(rf"(?:np\.(?:u?int|float)[0-9]{{1,3}}\(({NUMBER})\)|({NUMBER}))")
SEPARATOR = re.compile(r"\s*,\s*|\s+")
PREFIX = re.compile(r"Walsh(?:_([0-9]{1,5})x([0-9]{1,5}))?")

_Text = Annotated[str, Field(max_length=MAX_JSON_BYTES)]
_Printed = _Text | list[float] | None
# Of microseconds or milliseconds: a nanosecond, and what no measurement lasts.  Numbers are divided by one another.
LEAST, MOST = 1e-3, 1e12
_Positive = Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=MAX_NUMBERS)]


class _Foreign(BaseModel):
    """What is used of an object that another program wrote; its other fields are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Description(_Foreign):
    pattern_prefix: _Text
    experiment_name: _Text = ""


class _Dmd(_Foreign):
    picture_time_us: _Positive | None = None


class _Spectrometer(_Foreign):
    high_resolution: bool = True
    integration_time_ms: _Positive | None = None
    dark_correction_enable: bool | None = None


class _Acquisition(_Foreign):
    pattern_dimension_x: _Count
    pattern_dimension_y: _Count
    zoom: float | _Text | None = None
    pattern_amount: _Count | None = None
    saturation_detected: bool | None = None
    patterns: _Printed = None
    wavelengths: _Printed = None
    timestamps: _Printed = None
    mask_index: _Printed = None


@dataclass(frozen=True)
class SpasMetadata:
    """What SPAS wrote about an acquisition of n x n Walsh patterns, n = `side`.

    `patterns` (P,) are the numbers of the patterns in display order: 2 r shows where Walsh row r is +1, 2 r + 1 where
    it is -1, and -1 is a frame that was inserted.  `intervals_ms` lie between successive readings.  None: not written.
    """

    experiment: str
    side: int
    patterns: NDArray[np.int64]
    wavelengths_nm: NDArray[np.float64] | None
    intervals_ms: NDArray[np.float64] | None
    exposure_us: float | None
    picture_time_us: float | None
    full_scale_counts: float
    saturation_detected: bool | None
    dark_corrected: bool | None
    zoom: float | None


def read_spas_metadata(path: Path) -> SpasMetadata:
    """Read the metadata; raises `FileError` for damage, patterns other than Walsh's, or numbers lost in printing."""
    objects = _objects(path)
    description = _part(path, objects, "Metadata", _Description)
    dmd = _part(path, objects, "DMD parameters", _Dmd)
    spectrometer = _part(path, objects, "Spectrometer parameters", _Spectrometer)
    acquisition = _part(path, objects, "Acquisition parameters", _Acquisition)
    side = _side(path, description, acquisition)
    exposure_ms = spectrometer.integration_time_ms
    return SpasMetadata(
        experiment=description.experiment_name,
        side=side,
        patterns=_patterns(path, acquisition, side),
        wavelengths_nm=_wavelengths(path, acquisition),
        intervals_ms=_numbers(path, "timestamps", acquisition.timestamps),
        exposure_us=None if exposure_ms is None else 1000 * exposure_ms,
        picture_time_us=dmd.picture_time_us,
        full_scale_counts=FULL_SCALE_COUNTS[spectrometer.high_resolution],
        saturation_detected=acquisition.saturation_detected,
        dark_corrected=spectrometer.dark_correction_enable,
        zoom=acquisition.zoom if isinstance(acquisition.zoom, float) else None,
    )


def _objects(path: Path) -> dict[str, Json]:
    """The objects of the list by their `class_description`, in whatever order and number they come."""
    content = read_limited(path, "SPAS metadata", MAX_JSON_BYTES)
    try:
        value: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: this SPAS metadata is not readable JSON ({error})") from error
    if not isinstance(value, list):
        raise FileError(f"{path}: SPAS metadata is a list of objects, not a {type(value).__name__}")
    objects: dict[str, Json] = {}
    for part in value:
        name = part.get("class_description") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise FileError(f"{path}: SPAS metadata holds something without a class_description")
        if name in objects:
            raise FileError(f"{path}: SPAS metadata holds {shown([name])} twice")
        objects[name] = part
    return objects


_P = TypeVar("_P", bound=_Foreign)


def _part(path: Path, objects: JsonObject, name: str, model: type[_P]) -> _P:
    if name not in objects:
        raise FileError(f"{path}: SPAS metadata lacks the object {name!r}; it holds {shown(objects)}")
    try:
        return model.model_validate(objects[name])
    except ValidationError as error:
        raise FileError(f"{path}: {name}: {first_problem(error)}") from error


def _side(path: Path, description: _Description, acquisition: _Acquisition) -> int:
    side, down = acquisition.pattern_dimension_x, acquisition.pattern_dimension_y
    if side != down or side & (side - 1) or not 2 <= side <= MAX_SIDE:
        raise FileError(
            f"{path}: patterns of {side} x {down}; square ones are read, with a side that is a power of two up to "
            f"{MAX_SIDE}"
        )
    prefix = PREFIX.fullmatch(description.pattern_prefix)
    if prefix is None or (prefix[1] and (int(prefix[1]), int(prefix[2])) != (side, side)):
        raise FileError(
            f"{path}: the patterns are {shown([description.pattern_prefix[:60]])}; Walsh_{side}x{side} ones are read"
        )
    mask = _numbers(path, "mask_index", acquisition.mask_index)
    if mask is not None and mask.size:
        raise FileError(
            f"{path}: the patterns fill a region of {mask.size} pixels (mask_index), not the square; record it without "
            "a mask"
        )
    return side


def _patterns(path: Path, acquisition: _Acquisition, side: int) -> NDArray[np.int64]:
    numbers = _numbers(path, "patterns", acquisition.patterns)
    if numbers is None or not numbers.size:
        raise FileError(f"{path}: SPAS metadata names no patterns, so nothing says what the readings are of")
    amount = acquisition.pattern_amount
    if amount is not None and amount != numbers.size:
        raise FileError(f"{path}: names {numbers.size} patterns, but pattern_amount is {amount}; which were left out?")
    wrong = np.flatnonzero((numbers != np.rint(numbers)) | (numbers < INSERTED) | (numbers >= 2 * side * side))
    if wrong.size:
        raise FileError(
            f"{path}: patterns[{int(wrong[0])}] is {numbers[wrong[0]]:g}; -1 (inserted) and 0 to {2 * side * side - 1} "
            f"are patterns of {side} x {side}"
        )
    values, counts = np.unique(numbers[numbers >= 0], return_counts=True)
    if counts.size and counts.max() > 1:
        raise FileError(f"{path}: pattern {values[counts.argmax()]:g} is named {counts.max()} times in one sequence")
    return numbers.astype(np.int64)


def _wavelengths(path: Path, acquisition: _Acquisition) -> NDArray[np.float64] | None:
    wavelengths = _numbers(path, "wavelengths", acquisition.wavelengths)
    if wavelengths is None or not wavelengths.size:
        return None
    if (np.diff(wavelengths) <= 0).any() or wavelengths[0] <= 0:
        raise FileError(f"{path}: the wavelengths do not rise from {wavelengths[0]:g} to {wavelengths[-1]:g} nm")
    return wavelengths


def _numbers(path: Path, name: str, printed: str | list[float] | None) -> NDArray[np.float64] | None:
    """The numbers of a printed array, by a strict grammar; None where there is none."""
    if printed is None:
        return None
    if isinstance(printed, list):
        numbers = np.array(printed, dtype=np.float64)
    else:
        text = printed.strip()
        if "..." in text:
            raise FileError(
                f"{path}: {name} is {text[:40]!r}: numbers were left out in printing; put the whole list in its "
                "place (patterns: the first pattern_amount of pattern_order in the file named by pattern_order_source)"
            )
        if text in ("", "]", "[]", "None"):
            return np.empty(0) if "]" in text else None
        if text[0] != "[" or text[-1] != "]":
            raise FileError(f"{path}: {name} is {text[:40]!r}, not a list of numbers")
        entries = [(entry, ENTRY.fullmatch(entry)) for entry in SEPARATOR.split(text[1:-1].strip())]
        wrong = next((entry for entry, match in entries if match is None), None)
        if wrong is not None:
            raise FileError(f"{path}: {name} holds {wrong[:40]!r}, which is not a number")
        numbers = np.array([float(match[1] or match[2]) for _, match in entries if match])
    if numbers.size > MAX_NUMBERS or not (np.abs(numbers) <= MOST).all():
        raise FileError(
            f"{path}: {name} holds {numbers.size} numbers; up to {MAX_NUMBERS} are read, of {MOST:g} and less"
        )
    return numbers
