"""Re-reads an MRI export from disk and compares every file with the design and with the limits of the scanner."""

from collections.abc import Iterator
from pathlib import Path

from cidesign.checks import Check, passed
from cidesign.errors import FileError, LimitError
from cidesign.export.manifest import check_files, design_in, profile_to_check, read_as
from cidesign.export.mri.checks import failures, nothing_evaluated
from cidesign.export.mri.scan import AnyKind
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.units import format_bytes


def verify_scan(kind: AnyKind, folder: Path, profile: MriProfile | None = None, rerun: bool = True) -> Iterator[Check]:
    """Check the export of a scan with everything re-read from disk, and yield each thing that was found right.

    The limits are the design limits of the profile that the manifest carries, or of `profile`.  `rerun` False leaves
    out the checks of the sequences, for a caller that has just made them.  Raises `FileError` for files that are
    damaged, edited or not the design, and `LimitError` for a limit of the scanner.
    """
    manifest = read_as(folder, kind.manifest_type)
    scanner = profile_for(manifest.scanner_profile(folder), profile, str(folder))
    yield passed("manifest", f"{manifest.protocol.get('kind')} for {scanner.id}, {', '.join(manifest.formats)}")
    check_files(folder, manifest)
    total = sum(record.bytes for record in manifest.files.values())
    yield passed("files", f"{len(manifest.files)} files, {format_bytes(total)}, every SHA-256 fits")
    design = design_in(folder, manifest, kind.design_type)
    yield passed("design", kind.described(design))
    order = kind.order(manifest, design)
    kind.require_order(order, design, folder)
    if rerun:
        for name in manifest.files_of("pulseq-1.5.0", "pulseq-1.4.1"):
            yield from _sequence(folder / name, kind.check_file(folder / name, scanner, design, order))
    for file in manifest.files_of("ismrmrd"):
        yield passed(file, kind.check_template(folder / file, design, order))
    yield from kind.check_tables(folder, manifest, design)


def profile_for(own: MriProfile, asked: MriProfile | None, where: str) -> MriProfile:
    """The profile to check against; raises `LimitError` when `asked` is another scanner than `own`."""
    scanner = asked.id if asked else own.id
    return profile_to_check(
        own, asked, where, f"check one file of it with `cidesign check FILE.seq --profile {scanner}`"
    )


def _sequence(path: Path, checks: list[Check]) -> Iterator[Check]:
    """The checks of a sequence under its name; raises the first that failed, and `FileError` where none was made."""
    failed = failures(checks)
    if failed:
        raise _error(path, failed[0])
    if nothing_evaluated(checks):
        raise FileError(checks[0].text)
    for check in checks:
        text = f"not evaluated: {check.text}" if check.status == "not checked" else check.text
        yield check.model_copy(update={"name": f"{path.name}: {check.name}", "text": text})


def _error(path: Path, failed: Check) -> FileError | LimitError:
    kind = FileError if failed.fault == "file" else LimitError
    return kind(f"{path}: {failed.name} is {failed.value}, the limit is {failed.limit} ({failed.source}); export again")
