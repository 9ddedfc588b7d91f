"""Re-reads an MRI export from disk and compares every file with the design and with the limits of the scanner."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cidesign.checks import Check, passed
from cidesign.errors import FileError, LimitError
from cidesign.export.manifest import check_files, design_in, profile_to_check
from cidesign.export.mri.checks import check_sequence, failures, nothing_evaluated
from cidesign.export.mri.ismrmrd import check_ismrmrd
from cidesign.export.mri.manifest import MriManifest, acquisitions_of, read_mri_manifest
from cidesign.export.mri.tables import read_csv_lines, read_mat_lines
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import bart_mask, bart_trajectory, read_cfl
from cidesign.pattern import CartesianLines
from cidesign.units import format_bytes


def verify_mri_export(folder: Path, profile: MriProfile | None = None, rerun: bool = True) -> Iterator[Check]:
    """Check an MRI export with everything re-read from disk, and yield each thing that was found right.

    The limits are the design limits of the profile that the manifest carries, or of `profile`.  `rerun` False leaves
    out the checks of the sequences, for a caller that has just made them.  Raises `FileError` for files that are
    damaged, edited or not the design, and `LimitError` for a limit of the scanner.
    """
    manifest = read_mri_manifest(folder)
    scanner = profile_for(manifest.scanner_profile(folder), profile, str(folder))
    yield passed("manifest", f"{manifest.protocol.get('kind')} for {scanner.id}, {', '.join(manifest.formats)}")
    check_files(folder, manifest)
    total = sum(record.bytes for record in manifest.files.values())
    yield passed("files", f"{len(manifest.files)} files, {format_bytes(total)}, every SHA-256 fits")
    trajectory = design_in(folder, manifest, CartesianLines)
    yield passed(
        "design",
        f"{len(trajectory.acquired)} of {trajectory.lines} lines, R = {trajectory.acceleration:.4g}, "
        f"{trajectory.calibration_lines} calibration lines",
    )
    if sorted(manifest.scan.lines) != trajectory.acquired.tolist():
        raise FileError(
            f"{folder}: the order of lines in the manifest does not hold the lines of the design, each once"
        )
    if rerun:
        for name in manifest.files_of("pulseq-1.5.0", "pulseq-1.4.1"):
            yield from _sequence(folder, name, scanner, trajectory)
    yield from _companions(folder, manifest, trajectory)


def profile_for(own: MriProfile, asked: MriProfile | None, where: str) -> MriProfile:
    """The profile to check against; raises `LimitError` when `asked` is another scanner than `own`."""
    scanner = asked.id if asked else own.id
    return profile_to_check(
        own, asked, where, f"check one file of it with `cidesign check FILE.seq --profile {scanner}`"
    )


def _sequence(folder: Path, name: str, scanner: MriProfile, trajectory: CartesianLines) -> Iterator[Check]:
    checks = check_sequence(folder / name, scanner, trajectory, "design")
    failed = failures(checks)
    if failed:
        raise _error(folder / name, failed[0])
    if nothing_evaluated(checks):
        raise FileError(checks[0].text)
    for check in checks:
        text = f"not evaluated: {check.text}" if check.status == "not checked" else check.text
        yield check.model_copy(update={"name": f"{name}: {check.name}", "text": text})


def _error(path: Path, failed: Check) -> FileError | LimitError:
    kind = FileError if failed.fault == "file" else LimitError
    return kind(f"{path}: {failed.name} is {failed.value}, the limit is {failed.limit} ({failed.source}); export again")


def _companions(folder: Path, manifest: MriManifest, trajectory: CartesianLines) -> Iterator[Check]:
    lines, name = manifest.scan.lines, manifest.name
    for file in manifest.files_of("ismrmrd"):
        yield passed(file, check_ismrmrd(folder / file, trajectory, lines))
    if manifest.files_of("bart-mask"):
        mask = read_cfl(folder / f"{name}_mask", 2)
        if not np.array_equal(mask, bart_mask(trajectory)):
            raise FileError(f"{folder / name}_mask.cfl: is not the mask of the design; export again")
        yield passed(f"{name}_mask.cfl", f"{mask.shape[0]} x {mask.shape[1]}, equals the mask of the design")
        points = read_cfl(folder / f"{name}_traj", 3)
        if not np.array_equal(points, bart_trajectory(trajectory, lines)):
            raise FileError(f"{folder / name}_traj.cfl: is not the trajectory of the design; export again")
        yield passed(f"{name}_traj.cfl", f"{len(lines)} lines in order of acquisition, 1/FOV")
    for file in manifest.files_of("lines-csv"):
        if read_csv_lines(folder / file) != acquisitions_of(manifest.scan):
            raise FileError(f"{folder / file}: its rows are not the order of lines in the manifest; export again")
        yield passed(file, f"{len(lines)} rows equal the order of lines")
    for file in manifest.files_of("lines-mat"):
        if read_mat_lines(folder / file) != lines:
            raise FileError(f"{folder / file}: its lines are not the order of lines in the manifest; export again")
        yield passed(file, f"{len(lines)} lines equal the order of lines")
