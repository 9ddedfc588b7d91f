"""The XML header of ISMRMRD: its encodings, and what of them decides where a sample lies."""

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from cidesign.calibration.mri.raw.ramps import ReadoutGradient
from cidesign.errors import FileError

MAX_XML_BYTES = 4_000_000
MAX_LINES = 100_000
# Fields of view that differ by less than this part belong to one resolution.
FOV_TOLERANCE = 0.01
TRAJECTORY_UNIT = "trajectory_unit"
CARTESIAN, ECHO_PLANAR = "cartesian", "epi"
# Of the description "ConventionalEPI": from the start of the gradient's ramp, in us.
EPI_TIMES = ("rampUpTime", "flatTopTime", "rampDownTime", "acqDelayTime", "dwellTime", "numSamples")
NUMBERS = {
    "encoded_x": "encodedSpace/matrixSize/x",
    "recon_x": "reconSpace/matrixSize/x",
    "lines": "encodedSpace/matrixSize/y",
    "centre": "encodingLimits/kspace_encoding_step_1/center",
    "encoded_fov": "encodedSpace/fieldOfView_mm/x",
    "recon_fov": "reconSpace/fieldOfView_mm/x",
}


@dataclass(frozen=True)
class EncodedMatrix:
    """Samples as recorded and without oversampling, lines, the line of the centre of k-space, and the field of view.

    `fov_mm`: along readout (without oversampling), phase encoding and slice, None where the header does not say it.
    """

    encoded_x: int
    recon_x: int
    lines: int
    centre: int
    fov_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class MrdHeader:
    """The parsed header of `path`."""

    path: Path
    root: ElementTree.Element

    @property
    def encodings(self) -> int:
        """How many encodings it declares."""
        return len(self.root.findall("./{*}encoding"))

    def value(self, encoding: int, where: str) -> str | None:
        """The text at `where` (a/b/c) in an encoding, None where there is none."""
        found = self.root.findall("./{*}encoding")[encoding].find("/".join("{*}" + part for part in where.split("/")))
        return None if found is None else (found.text or "").strip()

    def number(self, encoding: int, where: str) -> float | None:
        """The number at `where`, None where there is none, or one that no matrix has."""
        try:
            value = float(self.value(encoding, where) or "")
        except ValueError:
            return None
        return value if math.isfinite(value) and 0 <= value <= MAX_LINES else None

    def matrix(self, encoding: int) -> EncodedMatrix:
        """The matrix of an encoding; raises `FileError` for fields that are missing or contradict each other."""
        found = {name: self.number(encoding, where) for name, where in NUMBERS.items()}
        read = {name: value for name, value in found.items() if value is not None}
        missing = [NUMBERS[name] for name in NUMBERS if name not in read]
        if missing:
            raise FileError(f"{self.path}: its header has no usable encoding.{missing[0].replace('/', '.')}")
        encoded_x, recon_x, lines = read["encoded_x"], read["recon_x"], read["lines"]
        if min(encoded_x, recon_x, lines) < 1:
            raise FileError(
                f"{self.path}: a matrix of {lines:g} x {encoded_x:g} (encoding.encodedSpace.matrixSize) cannot be"
            )
        wider = read["encoded_fov"] / max(read["recon_fov"], 1e-9)
        if abs(wider / (encoded_x / recon_x) - 1) > FOV_TOLERANCE:
            raise FileError(
                f"{self.path}: {encoded_x:g} samples for {recon_x:g} pixels (encodedSpace, reconSpace), but its fields "
                f"of view are {wider:g} to 1; only readout oversampling is removed, other resolutions are not read"
            )
        across = [self.number(encoding, f"encodedSpace/fieldOfView_mm/{axis}") for axis in ("y", "z")]
        fov_mm = None if None in across else (read["recon_fov"], across[0] or 0.0, across[1] or 0.0)
        return EncodedMatrix(int(encoded_x), int(recon_x), int(lines), int(read["centre"]), fov_mm)

    def embeds_calibration(self, encoding: int) -> bool:
        """Whether calibration lines are lines of the image (parallelImaging.calibrationMode embedded)."""
        return (self.value(encoding, "parallelImaging/calibrationMode") or "").lower() == "embedded"

    def partitions(self, encoding: int) -> tuple[int, int]:
        """Partitions of a 3-D Cartesian encoding, and the one of the centre; raises `FileError` without them."""
        names = ("encodedSpace/matrixSize/z", "encodingLimits/kspace_encoding_step_2/center")
        found = [self.number(encoding, name) for name in names]
        for name, value in zip(names, found, strict=True):
            if value is None:
                raise FileError(f"{self.path}: its header has no usable encoding.{name.replace('/', '.')}")
        return int(found[0] or 0), int(found[1] or 0)

    def require_cartesian(self, encoding: int) -> list[str]:
        """Refuse encodings that are no 2-D Cartesian image of one slice; returns remarks.

        Raises `FileError` that names the field.
        """
        remarks = self.require_grid(encoding)
        first, last = (
            self.number(encoding, f"encodingLimits/kspace_encoding_step_2/{name}") or 0
            for name in ("minimum", "maximum")
        )
        if last > first:
            raise FileError(
                f"{self.path}: partitions {first:g} to {last:g} (encodingLimits.kspace_encoding_step_2) are a 3-D "
                "scan, which is not read"
            )
        return remarks

    def require_grid(self, encoding: int) -> list[str]:
        """Refuse encodings that are no Cartesian image of one slice or slab; returns remarks.

        Raises `FileError` that names the field.
        """
        trajectory = self.value(encoding, "trajectory")
        kind = (trajectory or "").lower()
        if kind not in ("", CARTESIAN, ECHO_PLANAR):
            raise FileError(
                f"{self.path}: its trajectory is {kind[:40]} (encoding.trajectory); only Cartesian lines are read"
            )
        bands = self.number(encoding, "parallelImaging/multiband/multiband_factor") or 1
        if bands > 1:
            raise FileError(
                f"{self.path}: {bands:g} slices were excited at once (parallelImaging.multiband.multiband_factor); "
                "they lie on top of each other and are not separated"
            )
        if kind == ECHO_PLANAR and not set(EPI_TIMES) <= set(self._described_trajectory(encoding)):
            return [
                "the header does not say whether samples were taken while the gradient ramps "
                f"(encoding.trajectoryDescription: {', '.join(EPI_TIMES)}); evenly spaced samples assumed"
            ]
        return [] if trajectory else ["the header names no trajectory (encoding.trajectory); Cartesian lines assumed"]

    def trajectory_unit(self, encoding: int) -> str | None:
        """What the description of the trajectory calls its unit (`trajectory_unit`); the standard names none."""
        described = self.root.findall("./{*}encoding")[encoding].find("{*}trajectoryDescription")
        for one in [] if described is None else described.findall("{*}userParameterString"):
            name, value = one.find("{*}name"), one.find("{*}value")
            if name is not None and value is not None and (name.text or "").strip() == TRAJECTORY_UNIT:
                return (value.text or "").strip()
        return None

    def gradient(self, encoding: int, samples: int) -> ReadoutGradient | None:
        """The readout gradient of an echo-planar encoding, where `samples` are taken on its ramps; else None."""
        values = self._described_trajectory(encoding)
        if (self.value(encoding, "trajectory") or "").lower() != ECHO_PLANAR or not set(EPI_TIMES) <= set(values):
            return None
        up_us, flat_us, down_us, delay_us, dwell_us, count = (values[name] for name in EPI_TIMES)
        found = ReadoutGradient(up_us, flat_us, down_us, delay_us, count * dwell_us)
        found.require_sound(self.path, "encoding.trajectoryDescription")
        return found if found.on_ramps(samples) else None

    def _described_trajectory(self, encoding: int) -> dict[str, float]:
        """The numbers of the trajectory's description by their names; those that are none are left out."""
        found = {}
        described = self.root.findall("./{*}encoding")[encoding].find("{*}trajectoryDescription")
        for one in [] if described is None else described:
            name, value = one.find("{*}name"), one.find("{*}value")
            if name is None or value is None:
                continue
            try:
                number = float(value.text or "")
            except ValueError:
                continue
            if math.isfinite(number) and number >= 0:
                found[(name.text or "").strip()] = number
        return found


def parse_header(path: Path, text: str) -> MrdHeader:
    """Parse an ISMRMRD header; raises `FileError` for one that is none, or too long."""
    if len(text) > MAX_XML_BYTES or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileError(f"{path}: its ISMRMRD header is not one (too long, or with XML entities)")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (without entities, and of bounded size)
    except (ElementTree.ParseError, ValueError) as error:
        raise FileError(f"{path}: its ISMRMRD header is not sound XML ({error})") from error
    header = MrdHeader(path, root)
    if not header.encodings:
        raise FileError(f"{path}: its ISMRMRD header describes no encoding")
    return header
