"""What `cidesign export` and `cidesign check` do for a scanner: values for --json, and texts for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.text import MARKS, table, totals
from cidesign.units import format_bytes, format_duration_us

if TYPE_CHECKING:
    from cidesign.export.mri.checks import Orientation
    from cidesign.hardware_profiles.mri.schema import MriProfile
    from cidesign.pattern import Trajectory


def export_mri(
    trajectory: "Trajectory",
    profile: "MriProfile",
    folder: Path,
    protocol: Mapping[str, Any],
    formats: Sequence[str] = (),
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Write an MRI export; `protocol` holds `kind` (gre or tse) and the fields of `GreProtocol` or `TseProtocol`.

    No formats are the default ones.  Raises what `write_mri_export` raises.
    """
    from cidesign.export.mri.manifest import protocol_from
    from cidesign.export.mri.writer import DEFAULT_FORMATS, write_mri_export

    asked = protocol_from(protocol)
    manifest = write_mri_export(trajectory, profile, folder, asked, tuple(formats) or DEFAULT_FORMATS, force)
    scan = manifest.scan
    rows = [
        (f"{folder.as_posix()}/{name}", record.role, format_bytes(record.bytes))
        for name, record in manifest.files.items()
    ]
    spacing = f", echo spacing {scan.echo_spacing_ms:g} ms" if scan.echo_spacing_ms is not None else ""
    times = (
        f"{len(scan.lines)} of {trajectory.lines} lines, R = {scan.acceleration:.4g}: TE {scan.te_ms:g} ms, "
        f"TR {scan.tr_ms:g} ms{spacing}, {scan.dummies} dummies, {format_duration_us(scan.total_ms * 1000)} in all"
    )
    passed = sum(record.status == "pass" for record in manifest.checks)
    missing = dict.fromkeys(record.check for record in manifest.checks if record.status == "not evaluated")
    checks = f"{passed} checks of the re-read files passed; not evaluated: {', '.join(missing)}"
    notes = "\n".join(f"note: {text}" for text in manifest.notes)
    value = {
        "folder": str(folder),
        **manifest.model_dump(mode="json", include={"name", "formats", "protocol", "scan", "checks", "notes", "files"}),
    }
    return value, f"{table(rows, ('file', 'role', 'size'))}\n\n{times}\n\n{checks}\n\n{notes}"


def check_mri(
    path: Path,
    profile: "MriProfile | None" = None,
    trajectory: "Trajectory | None" = None,
    orientation: "Orientation | None" = None,
) -> tuple[dict[str, Any], str]:
    """Check an MRI export folder, or anyone's `.seq` file against a profile.

    `ok` in the value is False on a failure, and where nothing could be evaluated.  A folder raises `FileError` or
    `LimitError` at the first thing that is wrong; a single file is reported on in full.
    """
    from cidesign.errors import InputError
    from cidesign.export.mri.checks import check_sequence, failures, nothing_evaluated
    from cidesign.export.mri.verify import verify_mri_export

    if path.is_dir():
        findings = sorted(verify_mri_export(path, profile), key=lambda finding: finding.status == "not evaluated")
        value = {"path": str(path), "ok": True, "checks": [finding._asdict() for finding in findings]}
        return value, "\n".join(f"{MARKS[one.status]}  {one.check}: {one.result}" for one in findings)
    if profile is None:
        raise InputError(
            f"{path}: a sequence is checked against a scanner; give one with --profile (`cidesign profiles list`)"
        )
    checks = check_sequence(path, profile, trajectory, orientation=orientation)
    value = {
        "path": str(path),
        "profile": profile.id,
        "ok": not failures(checks) and not nothing_evaluated(checks),
        "checks": [vars(line) for line in checks],
    }
    return value, "\n".join([*map(str, checks), "", f"{path}: {totals([line.status for line in checks])}"])


def require_sound(path: Path, value: Mapping[str, Any]) -> None:
    """Raise `FileError` or `LimitError` for what `check_mri` found wrong in a single file."""
    from cidesign.errors import FileError, LimitError

    if value["ok"]:
        return
    failed = [check for check in value["checks"] if check["status"] == "fail"]
    if not failed:
        raise FileError(value["checks"][0]["value"])
    kind = FileError if any(check["breaks"] == "file" for check in failed) else LimitError
    count = f"{len(failed)} of the checks" if len(failed) > 1 else "1 check"
    raise kind(f"{path}: {count} failed: {', '.join(check['check'] for check in failed)}")
