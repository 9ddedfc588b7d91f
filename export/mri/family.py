"""Scanners as a device family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cidesign.checks import Check, Report, passed
from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.rules import require
from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.family import FileReport
from cidesign.export.mri.checks import SliceOrientation, check_sequence, failures, nothing_evaluated
from cidesign.export.mri.lines import DEFAULT_FORMATS, LINES, LineProtocols
from cidesign.export.mri.manifest import MriManifest, protocol_from
from cidesign.export.mri.own import LineOptions, read_own
from cidesign.export.mri.results import entry, in_one_line
from cidesign.export.mri.scan_family import ScanFamily, ScanOptions
from cidesign.export.options import read_options
from cidesign.export.own_design import OwnDesign
from cidesign.files import JsonObject
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines
from cidesign.text import totals

# A plain 2-D gradient echo that every scanner plays; all of it is shown and can be set.
FIRST_PROTOCOL: dict[str, str | float | None] = {
    "kind": "gre",
    "fov_mm": 224.0,
    "slice_thickness_mm": 5.0,
    "flip_angle_deg": 15.0,
    "te_ms": None,
    "tr_ms": None,
    "bandwidth_hz_per_px": 250.0,
    "t1_ms": 1000.0,
}
FIRST_ECHO_TRAIN_LENGTH = 8


@dataclass(frozen=True)
class SequenceFileOptions:
    """How the slice of a single sequence may lie: None is as written, with a remark on what a turned one breaks."""

    orientation: SliceOrientation | None = None

    def __post_init__(self) -> None:
        if self.orientation not in (None, "any", "as-written"):
            raise InputError(f"--orientation {self.orientation}: not known; choose any or as-written")


class MriFamily(ScanFamily[CartesianLines, LineProtocols, MriManifest, SequenceFileOptions]):
    """Sequences and lines for scanners."""

    name = "mri"
    design_type, manifest_type = CartesianLines, MriManifest
    scan_kind = LINES
    file_options_type = SequenceFileOptions
    samplings = ("lines",)
    suffixes = (".seq",)
    plural, contents = "MRI", "lines"
    formats, first_protocol = DEFAULT_FORMATS, FIRST_PROTOCOL

    def protocol(self, values: dict[str, Any]) -> LineProtocols:
        """`kind` is gre or tse."""
        if values["kind"] == "tse":
            values.setdefault("echo_train_length", FIRST_ECHO_TRAIN_LENGTH)
        return protocol_from(values)

    def read_own(self, files: Sequence[Path], profile: MriProfile, settings: Mapping[str, Any] = {}) -> OwnDesign:
        """Lines from a list or a mask."""
        return read_own(files, profile, read_options(LineOptions, settings, "a file of lines"))

    def check_design(
        self, design: CartesianLines, profile: MriProfile, options: ScanOptions[LineProtocols], where: Path
    ) -> list[Check]:
        """All calibration lines are there."""
        require(LineBudget(design.lines, len(design.acquired), design.calibration_lines).check(design))
        said = (
            f"{len(design.acquired)} of {design.lines} lines, R = {design.acceleration:.4g} exactly, "
            f"with all {design.calibration_lines} calibration lines"
        )
        return [passed("design", said)]

    def check_file(
        self, path: Path, profile: MriProfile | None, options: SequenceFileOptions, report: Report | None = None
    ) -> FileReport:
        """A Pulseq file against a scanner: every check is reported on, also after one that failed."""
        if profile is None:
            raise InputError(
                f"{path}: a sequence is checked against a scanner; give one with --profile (`cidesign profiles list`)"
            )
        return sequence_report(path, profile, check_sequence(path, profile, orientation=options.orientation))


def sequence_report(path: Path, profile: MriProfile, checks: list[Check]) -> FileReport:
    """The checks of a `.seq` file as a report; it fails too where nothing could be evaluated."""
    failure = _failure(path, checks)
    value: JsonObject = {
        "path": str(path),
        "profile": profile.id,
        "ok": failure is None,
        "checks": [{**entry(check), "breaks": check.fault} for check in checks],
    }
    text = "\n".join([*map(in_one_line, checks), "", f"{path}: {totals([check.status for check in checks])}"])
    return FileReport(tuple(checks), value, text, failure)


def _failure(path: Path, checks: list[Check]) -> CidesignError | None:
    failed = failures(checks)
    if not failed:
        return FileError(checks[0].text) if nothing_evaluated(checks) else None
    kind = FileError if any(check.fault == "file" for check in failed) else LimitError
    count = f"{len(failed)} of the checks" if len(failed) > 1 else "1 check"
    return kind(f"{path}: {count} failed: {', '.join(check.name for check in failed)}")


FAMILY = MriFamily()
