"""Writes the lines of a design as an MRI export: planned, written, re-read and checked before it gets its name."""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cidesign import __version__
from cidesign.checks import Check
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.folder import DESIGN_NAME
from cidesign.export.manifest import common_fields
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.checks import check_sequence, failures, nothing_evaluated
from cidesign.export.mri.gre import plan_gre
from cidesign.export.mri.ismrmrd import ismrmrd, write_ismrmrd
from cidesign.export.mri.manifest import (
    FileCheck,
    MriFile,
    MriManifest,
    ScanRecord,
    protocol_record,
    scan_record,
)
from cidesign.export.mri.protocol import GreProtocol, Protocol, TseProtocol
from cidesign.export.mri.pulseq.library import library_version
from cidesign.export.mri.pulseq.write import write_pulseq
from cidesign.export.mri.tables import write_csv, write_mat
from cidesign.export.mri.tse import plan_tse
from cidesign.export.mri.verify import verify_mri_export
from cidesign.export.writing import Output, require_own_profile, write_export_folder
from cidesign.files import JsonObject, refuse_existing, write_json
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import sourced_values
from cidesign.io.bart import bart_mask, bart_trajectory, write_cfl
from cidesign.pattern import CartesianLines, centre_block

MRI_FORMATS = ("pulseq", "ismrmrd", "bart", "table", "mat")
DEFAULT_FORMATS = ("pulseq", "ismrmrd", "bart", "table")
NOTES = (
    "Nothing here has been on a scanner; for research only. Clearance for nerve stimulation and SAR is the scanner's.",
    "Pulseq 1.4.1 and 1.5.0 hold the same sequence: take the one that your interpreter accepts; it rejects the other.",
    "Reconstruct offline: Siemens online reconstruction takes the number of lines from the largest LIN label and "
    "expects a regular pattern.",
    "The ISMRMRD file is a template: its data are zeros.",
)


def plan_scan(trajectory: CartesianLines, protocol: GreProtocol | TseProtocol, profile: MriProfile) -> MriPlan:
    """The sequence for a design; raises `LimitError` for what cannot be played and `InputError` for another profile."""
    require_own_profile(trajectory, profile, "trajectory: it was")
    if isinstance(protocol, TseProtocol):
        return plan_tse(trajectory, protocol, profile)
    return plan_gre(trajectory, protocol, profile)


def write_mri_export(
    trajectory: CartesianLines,
    profile: MriProfile,
    folder: Path,
    protocol: GreProtocol | TseProtocol,
    formats: Sequence[str] = DEFAULT_FORMATS,
    force: bool = False,
) -> MriManifest:
    """Write the lines for `profile` into `folder`, re-read and check all files; nothing is left when anything fails.

    Raises `InputError` for an unknown format or a missing package, `LimitError` for what the scanner cannot play, and
    `FileError` when `folder` exists (without `force`) or cannot be written.
    """
    refuse_existing(folder, force)
    wanted = tuple(dict.fromkeys(formats))
    unknown = [name for name in wanted if name not in MRI_FORMATS]
    if unknown or not wanted:
        raise InputError(f"format {', '.join(unknown) or '(none)'}: give some of {', '.join(MRI_FORMATS)}")
    plan = plan_scan(trajectory, protocol, profile)

    def verify(temporary: Path) -> Iterator[Check]:
        return verify_mri_export(temporary, rerun=False)

    return write_export_folder(
        folder, force, lambda temporary: _write_into(temporary, wanted, plan, trajectory, protocol, profile), verify
    )


def _write_into(
    folder: Path,
    formats: tuple[str, ...],
    plan: MriPlan,
    trajectory: CartesianLines,
    protocol: GreProtocol | TseProtocol,
    profile: MriProfile,
) -> MriManifest:
    name = f"{protocol.kind}_{len(trajectory.acquired)}of{trajectory.lines}"
    out = Output(folder, MriFile)
    _write_files(out, name, formats, plan, trajectory, protocol, profile)
    checks = _checked(folder, out.files, trajectory, profile)
    scan = scan_record(plan, trajectory.acceleration)
    if "table" in formats:
        write_json(folder / f"{name}.json", _record(trajectory, protocol, profile, scan, checks, plan.notes))
        out.record(f"{name}.json", "record-json")
    return MriManifest(
        **common_fields(trajectory, profile),
        kind="mri-export",
        name=name,
        versions=_versions(formats),
        formats=formats,
        protocol=protocol_record(protocol),
        scan=scan,
        checks=tuple(checks),
        notes=(*plan.notes, _dummies_note(plan), *_line_notes(trajectory), *NOTES),
        files=out.files,
    )


def _write_files(
    out: Output[MriFile],
    name: str,
    formats: tuple[str, ...],
    plan: MriPlan,
    trajectory: CartesianLines,
    protocol: Protocol,
    profile: MriProfile,
) -> None:
    folder = out.folder
    lines = [acquisition.line for acquisition in plan.acquisitions]
    if "pulseq" in formats:
        v150, v141 = folder / f"{name}_v150.seq", folder / f"{name}_v141.seq"
        write_pulseq(plan, trajectory, protocol, profile, v150, v141)
        out.record(v150.name, "pulseq-1.5.0")
        out.record(v141.name, "pulseq-1.4.1")
    if "ismrmrd" in formats:
        write_ismrmrd(folder / f"{name}.h5", plan, trajectory, protocol, profile)
        out.record(f"{name}.h5", "ismrmrd")
    if "bart" in formats:
        for path in write_cfl(folder / f"{name}_mask", bart_mask(trajectory)):
            out.record(path.name, "bart-mask")
        for path in write_cfl(folder / f"{name}_traj", bart_trajectory(trajectory, lines)):
            out.record(path.name, "bart-trajectory")
    if "table" in formats:
        write_csv(folder / f"{name}.csv", trajectory, plan.acquisitions)
        out.record(f"{name}.csv", "lines-csv")
    if "mat" in formats:
        write_mat(folder / f"{name}.mat", trajectory, lines, protocol)
        out.record(f"{name}.mat", "lines-mat")
    trajectory.save(folder / DESIGN_NAME)
    out.record(DESIGN_NAME, "design")


def _checked(
    folder: Path, files: dict[str, MriFile], trajectory: CartesianLines, profile: MriProfile
) -> list[FileCheck]:
    """Check every sequence as it lies on disk, against the design limits."""
    records = []
    for name, record in files.items():
        if record.role not in ("pulseq-1.5.0", "pulseq-1.4.1"):
            continue
        checks = check_sequence(folder / name, profile, trajectory, "design")
        failed = failures(checks)
        if failed:
            raise LimitError(
                f"{name}: {failed[0].name} is {failed[0].value}, the limit is {failed[0].limit} "
                f"({failed[0].source}); {_way_out(failed[0])}"
            )
        if nothing_evaluated(checks):
            raise FileError(checks[0].text)
        records += [FileCheck.model_validate({**dict(check), "file": name}) for check in checks]
    return records


def _way_out(failed: Check) -> str:
    if failed.fault == "stimulation":
        return "give the profile a lower design slew, or use a thicker slice or a larger fov_mm"
    return "nothing was exported; please report the protocol and the profile"


def _record(
    trajectory: CartesianLines,
    protocol: Protocol,
    profile: MriProfile,
    scan: ScanRecord,
    checks: list[FileCheck],
    notes: tuple[str, ...],
) -> JsonObject:
    """The record for people: lines, exact acceleration, every profile value with its source, checks and versions."""
    return {
        "what": "phase-encode lines designed by cidesign; for research only, never played on a scanner",
        "cidesign_version": __version__,
        "matrix": {"readout": trajectory.readout, "lines": trajectory.lines},
        "centre_line": trajectory.lines // 2,
        "lines": trajectory.acquired.tolist(),
        "acceleration": trajectory.acceleration,
        "calibration_lines": list(centre_block(trajectory.lines, trajectory.calibration_lines)),
        "order": scan.lines,
        "trajectory_file": "points in 1/FOV, readout without oversampling",
        "protocol": protocol_record(protocol),
        "scan": scan.model_dump(mode="json", exclude={"acquisitions"}),
        "profile": {
            "id": profile.id,
            "digest": profile.digest,
            "values": {path: value.model_dump(mode="json") for path, value in sourced_values(profile)},
        },
        "checks": [check.model_dump(mode="json") for check in checks],
        "notes": [*notes, *NOTES],
    }


def _versions(formats: tuple[str, ...]) -> dict[str, str]:
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if "pulseq" in formats:
        versions["pypulseq"] = library_version()
    if "ismrmrd" in formats:
        from importlib.metadata import version

        versions["ismrmrd"] = version(ismrmrd().__name__)
    return versions


def _dummies_note(plan: MriPlan) -> str:
    return f"dummies: {plan.dummies_reason}"


def _line_notes(trajectory: CartesianLines) -> tuple[str, ...]:
    notes = []
    if trajectory.lines // 2 not in trajectory.acquired:
        notes.append(f"line {trajectory.lines // 2}, the centre of k-space, is not measured")
    if trajectory.lines - 1 not in trajectory.acquired:
        notes.append(f"the last line {trajectory.lines - 1} is not measured: the largest LIN label is less than that")
    return tuple(notes)
