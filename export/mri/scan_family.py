"""What the device families of scanners share, whatever their scans sample."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from cidesign.checks import Check
from cidesign.export.family import DeviceFamily, Exported
from cidesign.export.mri.manifest import ScanManifest
from cidesign.export.mri.scan import D, M, P, ScanKind
from cidesign.export.mri.verify import profile_for, verify_scan
from cidesign.export.mri.writer import write_scan
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import Design, Trajectory
from cidesign.text import table
from cidesign.units import format_bytes, format_duration_us

F = TypeVar("F")


@dataclass(frozen=True)
class ScanOptions(Generic[P]):
    """What is played, in which files, and the values of the protocol that nobody gave."""

    protocol: P
    formats: tuple[str, ...]
    untouched: tuple[tuple[str, Any], ...] = ()


class ScanFamily(DeviceFamily[D, MriProfile, ScanOptions[P], F], Generic[D, P, M, F]):
    """Sequences and tables of one kind of scan."""

    profile_type = MriProfile
    scan_kind: ScanKind[D, P, M]
    described = "a scanner"
    left_to_files = "gradients, times and nerve stimulation of the sequence"
    # Those that are written where none are named.
    formats: ClassVar[tuple[str, ...]]
    # A plain protocol that every scanner plays; all of it is shown and can be set.
    first_protocol: ClassVar[Mapping[str, str | float | None]]

    @abstractmethod
    def protocol(self, values: dict[str, Any]) -> P:
        """The protocol of its fields and its `kind`; raises `InputError`."""

    def options(self, formats: Sequence[str] = (), settings: Mapping[str, Any] = {}) -> ScanOptions[P]:
        """Formats by name, and `kind` with the fields of the protocol."""
        values = {**self.first_protocol, **settings}
        if "dwell_us" in settings and "bandwidth_hz_per_px" not in settings:
            values.pop("bandwidth_hz_per_px")
        protocol = self.protocol(values)
        untouched = [(name, value) for name, value in values.items() if name not in settings and value is not None]
        return ScanOptions(protocol, tuple(formats) or self.formats, tuple(untouched))

    def remarks(self, options: ScanOptions[P]) -> tuple[str, ...]:
        """The values of the protocol that were not set."""
        if not options.untouched:
            return ()
        shown = ", ".join(f"{name}={value}" for name, value in options.untouched)
        return (f"protocol values that were not set: {shown}; TE and TR are the shortest unless set",)

    def export(
        self, design: D, profile: MriProfile, folder: Path, options: ScanOptions[P], force: bool = False
    ) -> Exported:
        """Write the design as sequences and tables."""
        manifest = write_scan(self.scan_kind, design, profile, folder, options.protocol, options.formats, force)
        said = {"name", "formats", "protocol", "scan", "checks", "notes", "files"}
        value = {"folder": str(folder), **manifest.model_dump(mode="json", include=said)}
        return Exported(folder, (folder,), value, _text(folder, manifest, self.scan_kind.described(design)))

    def verify_export(self, folder: Path, profile: MriProfile | None = None) -> Iterator[Check]:
        """Every sequence, every table, and all hashes."""
        return verify_scan(self.scan_kind, folder, profile)

    def load_design(self, path: Path) -> Design:
        """A trajectory of any kind."""
        return Trajectory.load(path)

    def profile_for(self, own: MriProfile, asked: MriProfile | None, where: str) -> MriProfile:
        """A sequence is played within the limits of one scanner."""
        return profile_for(own, asked, where)


def _text(folder: Path, manifest: ScanManifest, described: str) -> str:
    scan = manifest.scan
    rows = [
        (f"{folder.as_posix()}/{name}", record.role, format_bytes(record.bytes))
        for name, record in manifest.files.items()
    ]
    spacing = f", echo spacing {scan.echo_spacing_ms:g} ms" if scan.echo_spacing_ms is not None else ""
    times = (
        f"{described}: TE {scan.te_ms:g} ms, TR {scan.tr_ms:g} ms{spacing}, {scan.dummies} dummies, "
        f"{format_duration_us(scan.total_ms * 1000)} in all"
    )
    passed = sum(record.status == "passed" for record in manifest.checks)
    missing = dict.fromkeys(record.name for record in manifest.checks if record.status == "not checked")
    checks = f"{passed} checks of the re-read files passed; not evaluated: {', '.join(missing)}"
    notes = "\n".join(f"note: {text}" for text in manifest.notes)
    return f"{table(rows, ('file', 'role', 'size'))}\n\n{times}\n\n{checks}\n\n{notes}"
