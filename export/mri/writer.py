"""Writes a design as the export of a scan: planned, written, re-read and checked before it gets its name."""

import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cidesign import __version__
from cidesign.checks import Check
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.folder import DESIGN_NAME
from cidesign.export.manifest import common_fields
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.checks import failures, nothing_evaluated
from cidesign.export.mri.ismrmrd import ismrmrd
from cidesign.export.mri.manifest import FileCheck, MriFile, ScanTimes, protocol_record
from cidesign.export.mri.pulseq.library import library_version
from cidesign.export.mri.pulseq.write import write_pulseq
from cidesign.export.mri.scan import D, M, P, ScanKind
from cidesign.export.mri.verify import verify_scan
from cidesign.export.writing import Output, require_own_profile, write_export_folder
from cidesign.files import JsonObject, refuse_existing, write_json
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import sourced_values

NOTES = (
    "Nothing here has been on a scanner; for research only. Clearance for nerve stimulation and SAR is the scanner's.",
    "Pulseq 1.4.1 and 1.5.0 hold the same sequence: take the one that your interpreter accepts; it rejects the other.",
    "Reconstruct offline: Siemens online reconstruction takes the number of lines from the largest LIN label and "
    "expects a regular pattern.",
    "The ISMRMRD file is a template: its data are zeros.",
)


def write_scan(
    kind: ScanKind[D, P, M],
    design: D,
    profile: MriProfile,
    folder: Path,
    protocol: P,
    formats: Sequence[str],
    force: bool = False,
) -> M:
    """Write a design for `profile` into `folder`, re-read and check all files; nothing is left when anything fails.

    Raises `InputError` for an unknown format, a missing package or a design of another profile, `LimitError` for what
    the scanner cannot play, and `FileError` when `folder` exists (without `force`) or cannot be written.
    """
    refuse_existing(folder, force)
    wanted = tuple(dict.fromkeys(formats))
    unknown = [name for name in wanted if name not in kind.formats]
    if unknown or not wanted:
        raise InputError(f"format {', '.join(unknown) or '(none)'}: give some of {', '.join(kind.formats)}")
    plan = planned(kind, design, protocol, profile)

    def fill(temporary: Path) -> M:
        return _write_into(kind, temporary, wanted, plan, design, protocol, profile)

    def verify(temporary: Path) -> Iterator[Check]:
        return verify_scan(kind, temporary, rerun=False)

    return write_export_folder(folder, force, fill, verify)


def planned(kind: ScanKind[D, P, M], design: D, protocol: P, profile: MriProfile) -> MriPlan:
    """The sequence for a design; raises `LimitError` for what cannot be played and `InputError` for another profile."""
    require_own_profile(design, profile, "trajectory: it was")
    return kind.plan(design, protocol, profile)


def _write_into(
    kind: ScanKind[D, P, M],
    folder: Path,
    formats: tuple[str, ...],
    plan: MriPlan,
    design: D,
    protocol: P,
    profile: MriProfile,
) -> M:
    name = f"{protocol.kind}_{kind.stem(design)}"
    out = Output(folder, MriFile)
    order = [(one.line, one.partition) for one in plan.acquisitions]
    if "pulseq" in formats:
        v150, v141 = folder / f"{name}_v150.seq", folder / f"{name}_v141.seq"
        write_pulseq(plan, kind.definitions(design, protocol), profile, v150, v141)
        out.record(v150.name, "pulseq-1.5.0")
        out.record(v141.name, "pulseq-1.4.1")
    if "ismrmrd" in formats:
        kind.write_template(folder / f"{name}.h5", plan, design, protocol, profile)
        out.record(f"{name}.h5", "ismrmrd")
    kind.write_tables(out, name, formats, plan, design, protocol)
    design.save(folder / DESIGN_NAME)
    out.record(DESIGN_NAME, "design")
    checks = _checked(folder, out.files, lambda path: kind.check_file(path, profile, design, order))
    scan = kind.scan(plan, design, protocol)
    if "table" in formats:
        said = (*plan.notes, *NOTES)
        write_json(folder / f"{name}.json", _record(kind.record(design, order), protocol, profile, scan, checks, said))
        out.record(f"{name}.json", "record-json")
    return kind.manifest_type(
        **common_fields(design, profile),
        kind=kind.name,
        name=name,
        versions=_versions(formats),
        formats=formats,
        protocol=protocol_record(protocol),
        scan=scan,
        checks=tuple(checks),
        notes=(*plan.notes, f"dummies: {plan.dummies_reason}", *kind.notes(plan, design, protocol), *NOTES),
        files=out.files,
    )


def _checked(folder: Path, files: dict[str, MriFile], check: Callable[[Path], list[Check]]) -> list[FileCheck]:
    """Check every sequence as it lies on disk."""
    records = []
    for name, record in files.items():
        if record.role not in ("pulseq-1.5.0", "pulseq-1.4.1"):
            continue
        checks = check(folder / name)
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
    said: JsonObject,
    protocol: Any,
    profile: MriProfile,
    scan: ScanTimes,
    checks: list[FileCheck],
    notes: tuple[str, ...],
) -> JsonObject:
    """The record for people: what the design is, every profile value with its source, checks and versions."""
    return {
        "what": f"{said['what']} designed by cidesign; for research only, never played on a scanner",
        "cidesign_version": __version__,
        **{name: value for name, value in said.items() if name != "what"},
        "protocol": protocol_record(protocol),
        "scan": scan.model_dump(mode="json", exclude={"acquisitions", "points"}),
        "profile": {
            "id": profile.id,
            "digest": profile.digest,
            "values": {path: value.model_dump(mode="json") for path, value in sourced_values(profile)},
        },
        "checks": [check.model_dump(mode="json") for check in checks],
        "notes": list(notes),
    }


def _versions(formats: tuple[str, ...]) -> dict[str, str]:
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if "pulseq" in formats:
        versions["pypulseq"] = library_version()
    if "ismrmrd" in formats:
        from importlib.metadata import version

        versions["ismrmrd"] = version(ismrmrd().__name__)
    return versions
