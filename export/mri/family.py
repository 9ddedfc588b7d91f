"""Scanners as a device family."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cidesign.checks import Check, Report, passed
from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.rules import require
from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.family import DeviceFamily, Exported, FileReport
from cidesign.export.mri.checks import SliceOrientation, check_sequence, failures, nothing_evaluated
from cidesign.export.mri.lines import DEFAULT_FORMATS, verify_mri_export, write_mri_export
from cidesign.export.mri.manifest import MriManifest, protocol_from
from cidesign.export.mri.own import LineOptions, read_own
from cidesign.export.mri.protocol import GreProtocol, TseProtocol
from cidesign.export.mri.results import entry, in_one_line
from cidesign.export.mri.verify import profile_for
from cidesign.export.options import read_options
from cidesign.export.own_design import OwnDesign
from cidesign.files import JsonObject
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines, Design, Trajectory
from cidesign.text import table, totals
from cidesign.units import format_bytes, format_duration_us

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
class MriOptions:
    """What is played, in which files, and the values of the protocol that nobody gave."""

    protocol: GreProtocol | TseProtocol
    formats: tuple[str, ...] = DEFAULT_FORMATS
    untouched: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class SequenceFileOptions:
    """How the slice of a single sequence may lie: None is as written, with a remark on what a turned one breaks."""

    orientation: SliceOrientation | None = None

    def __post_init__(self) -> None:
        if self.orientation not in (None, "any", "as-written"):
            raise InputError(f"--orientation {self.orientation}: not known; choose any or as-written")


class MriFamily(DeviceFamily[CartesianLines, MriProfile, MriOptions, SequenceFileOptions]):
    """Sequences and lines for scanners."""

    name = "mri"
    design_type, profile_type, manifest_type = CartesianLines, MriProfile, MriManifest
    file_options_type = SequenceFileOptions
    samplings = ("lines",)
    suffixes = (".seq",)
    described, plural, contents = "a scanner", "MRI", "lines"

    def options(self, formats: Sequence[str] = (), settings: Mapping[str, Any] = {}) -> MriOptions:
        """Formats by name, and `kind` (gre or tse) with the fields of the protocol."""
        protocol = {**FIRST_PROTOCOL, **settings}
        if "dwell_us" in settings and "bandwidth_hz_per_px" not in settings:
            protocol.pop("bandwidth_hz_per_px")
        if protocol["kind"] == "tse":
            protocol.setdefault("echo_train_length", FIRST_ECHO_TRAIN_LENGTH)
        untouched = [(name, value) for name, value in protocol.items() if name not in settings and value is not None]
        return MriOptions(protocol_from(protocol), tuple(formats) or DEFAULT_FORMATS, tuple(untouched))

    def remarks(self, options: MriOptions) -> tuple[str, ...]:
        """The values of the protocol that were not set."""
        if not options.untouched:
            return ()
        shown = ", ".join(f"{name}={value}" for name, value in options.untouched)
        return (f"protocol values that were not set: {shown}; TE and TR are the shortest unless set",)

    def export(
        self, design: CartesianLines, profile: MriProfile, folder: Path, options: MriOptions, force: bool = False
    ) -> Exported:
        """Write the lines as sequences and tables."""
        manifest = write_mri_export(design, profile, folder, options.protocol, options.formats, force)
        said = {"name", "formats", "protocol", "scan", "checks", "notes", "files"}
        value = {"folder": str(folder), **manifest.model_dump(mode="json", include=said)}
        return Exported(folder, (folder,), value, _text(folder, manifest, design))

    def verify_export(self, folder: Path, profile: MriProfile | None = None) -> Iterator[Check]:
        """Every sequence, every table, and all hashes."""
        return verify_mri_export(folder, profile)

    def load_design(self, path: Path) -> Design:
        """A trajectory of any kind."""
        return Trajectory.load(path)

    def profile_for(self, own: MriProfile, asked: MriProfile | None, where: str) -> MriProfile:
        """A sequence is played within the limits of one scanner."""
        return profile_for(own, asked, where)

    def read_own(self, files: Sequence[Path], profile: MriProfile, settings: Mapping[str, Any] = {}) -> OwnDesign:
        """Lines from a list or a mask."""
        return read_own(files, profile, read_options(LineOptions, settings, "a file of lines"))

    def check_design(
        self, design: CartesianLines, profile: MriProfile, options: MriOptions, where: Path
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


def _text(folder: Path, manifest: MriManifest, design: CartesianLines) -> str:
    scan = manifest.scan
    rows = [
        (f"{folder.as_posix()}/{name}", record.role, format_bytes(record.bytes))
        for name, record in manifest.files.items()
    ]
    spacing = f", echo spacing {scan.echo_spacing_ms:g} ms" if scan.echo_spacing_ms is not None else ""
    times = (
        f"{len(scan.lines)} of {design.lines} lines, R = {scan.acceleration:.4g}: TE {scan.te_ms:g} ms, "
        f"TR {scan.tr_ms:g} ms{spacing}, {scan.dummies} dummies, {format_duration_us(scan.total_ms * 1000)} in all"
    )
    passed = sum(record.status == "passed" for record in manifest.checks)
    missing = dict.fromkeys(record.name for record in manifest.checks if record.status == "not checked")
    checks = f"{passed} checks of the re-read files passed; not evaluated: {', '.join(missing)}"
    notes = "\n".join(f"note: {text}" for text in manifest.notes)
    return f"{table(rows, ('file', 'role', 'size'))}\n\n{times}\n\n{checks}\n\n{notes}"


FAMILY = MriFamily()
