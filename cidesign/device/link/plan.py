"""What an upload will do, before a byte is sent: re-read from the export folder and checked against every limit."""

from dataclasses import dataclass, replace
from pathlib import Path

from cidesign.checks import Check, exceeds
from cidesign.constraints.rules import require
from cidesign.device.controllers import controller
from cidesign.device.dmd import DeviceInfo, TableEntry
from cidesign.device.link.link import BITS_PER_BYTE
from cidesign.device.link.messages import Caps, ObjectKind, Slot
from cidesign.device.link.transfer import LinkObject, LinkUpload
from cidesign.device.link.way import Way
from cidesign.errors import DeviceError, FileError, InputError
from cidesign.export.dmd.manifest import FileRecord, Manifest, read_manifest
from cidesign.export.dmd.verify import verify_export
from cidesign.files import JsonObject, inside, read_limited, sha256_bytes
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.units import US_PER_S, format_bytes, format_duration_us

MAX_IMAGE_BYTES = 64_000_000
LINK_OVERHEAD = 1.04  # framing, escapes and answers, rounded up; benchmarks/link/efficiency.py measures it
LONG_LINK_S = 120


@dataclass(frozen=True)
class UploadPlan:
    """An export folder that was re-read and checked, or one sequence of it, as the objects of one upload.

    `way`: how images reach the device.  `sequence_us`: time to show every frame once that way.  `sequence` counts from
    1 and is None where everything goes at once; `images` are those of this upload.
    """

    folder: Path
    manifest: Manifest
    profile: DmdProfile
    way: Way
    entries: tuple[TableEntry, ...]
    upload: LinkUpload
    sequence_us: int
    images: int
    warnings: tuple[str, ...]
    sequence: int | None = None

    def link_s(self, baud: int) -> float:
        """Seconds of line time at a rate, with framing; loading the device comes on top."""
        return self.upload.total_bytes * LINK_OVERHEAD * BITS_PER_BYTE / baud

    def rows(self, baud: int) -> list[tuple[str, str]]:
        """The plan for people."""
        profile, bits = self.profile, self.manifest.bit_depth
        planes = len(self.entries) * bits
        shortest, longest = self._exposures()
        exposure = f"{shortest} us" if shortest == longest else f"{shortest} to {longest} us"
        limits = profile.depth_limits(bits)
        of_table = ""
        if limits is not None:
            of_table = f" (the table's shortest at {bits} bit: {limits.min_exposure_us.value} us)"
        return [
            ("export", f"{self.folder} ({self.manifest.format}), every file re-read and equal to the design"),
            ("device", f"{profile.id} ({profile.controller.value})"),
            *self._which(),
            ("frames", f"{len(self.entries)} of {bits} bit"),
            ("planes", self.way.planes(planes, profile)),
            ("images", f"{self.images}, by {self.way.name}"),
            ("exposure", exposure + of_table),
            ("sequence", f"{format_duration_us(self.sequence_us)} to show every frame once"),
            (
                "to send",
                f"{len(self.upload.objects)} objects, {format_bytes(self.upload.total_bytes)}: "
                f"{format_duration_us(self.link_s(baud) * US_PER_S)} at {baud} baud",
            ),
        ]

    def value(self, baud: int) -> JsonObject:
        """The plan for programs."""
        shortest, longest = self._exposures()
        return {
            "folder": str(self.folder),
            "format": self.manifest.format,
            "profile": self.profile.id,
            "design_digest": self.manifest.design_digest,
            "upload_digest": self.upload.digest.hex(),
            "way": self.way.name,
            "frames": len(self.entries),
            "bit_depth": self.manifest.bit_depth,
            "planes": len(self.entries) * self.manifest.bit_depth,
            "plane_memory": self.profile.memory.full_rate_planes.value,
            "images": self.images,
            "sequence": self.sequence,
            "exposure_us": [shortest, longest],
            "sequence_us": self.sequence_us,
            "objects": len(self.upload.objects),
            "bytes": self.upload.total_bytes,
            "baud": baud,
            "link_s": round(self.link_s(baud), 3),
            "warnings": list(self.warnings),
        }

    def _which(self) -> list[tuple[str, str]]:
        return [] if self.sequence is None else [("part", f"sequence {self.sequence} of {self.manifest.sequences}")]

    def _exposures(self) -> tuple[int, int]:
        times = [entry.exposure_us for entry in self.entries]
        return min(times), max(times)


@dataclass(frozen=True)
class UploadPlans:
    """An export folder that was re-read and checked: one upload, or one for each of its `sequences`."""

    folder: Path
    manifest: Manifest
    profile: DmdProfile
    way: Way

    @property
    def sequences(self) -> int:
        """How many uploads there are, which the device shows one after the other."""
        return 1 if self.way.joins_sequences else self.manifest.sequences

    def plan(self, number: int, baud: int) -> UploadPlan:
        """The upload of sequence `number`, 1 .. `sequences`; its files are read now.

        Raises `InputError` for another number, and `FileError` for files that have changed.
        """
        if not 1 <= number <= self.sequences:
            raise InputError(f"sequence {number}: {self.folder} holds 1 to {self.sequences}")
        chosen = number if self.sequences > 1 else None
        entries = tuple(_entries(self.manifest, self.way, chosen))
        images = sorted({entry.image for entry in entries})
        objects = [LinkObject(Slot(ObjectKind.TABLE, 0), b"".join(entry.pack() for entry in entries))]
        for image, half, name, record in self._files(chosen, images):
            kind = ObjectKind.IMAGE_SECONDARY if half else ObjectKind.IMAGE_PRIMARY
            objects.append(LinkObject(Slot(kind, image), _read(self.folder, name, record)))
        upload = LinkUpload(tuple(objects), bytes.fromhex(self.manifest.design_digest))
        us = self.way.sequence_us(entries)
        plan = UploadPlan(
            self.folder, self.manifest, self.profile, self.way, entries, upload, us, len(images), (), chosen
        )
        return replace(plan, warnings=tuple(_warnings(plan, baud)))

    def rows(self, baud: int) -> list[tuple[str, str]]:
        """All sequences for people, by what the manifest says of their files."""
        found = []
        for number in range(1, self.sequences + 1):
            entries = _entries(self.manifest, self.way, number)
            files = self._files(number, sorted({entry.image for entry in entries}))
            size = sum(record.bytes for *_, record in files) + sum(len(entry.pack()) for entry in entries)
            link_us = size * LINK_OVERHEAD * BITS_PER_BYTE / baud * US_PER_S
            shown_us = self.way.sequence_us(tuple(entries))
            text = (
                f"{len(entries)} frames in {format_duration_us(shown_us)}; {format_bytes(size)} to send: "
                f"{format_duration_us(link_us)} at {baud} baud"
            )
            found.append((f"sequence {number}", text))
        return found

    def _files(self, sequence: int | None, images: list[int]) -> list[tuple[int, int, str, FileRecord]]:
        """The files of the images, in the order of the way; none where they are in the device already."""
        role = self.way.role
        if role is None:
            return []
        found = [
            (record.image, record.half or 0, name, record)
            for name, record in self.manifest.files.items()
            if record.role == role and record.image is not None and sequence in (None, record.sequence)
        ]
        there = {image for image, *_ in found}
        if there != set(images):
            raise FileError(
                f"{self.folder}: holds {len(there)} of the {len(images)} images ({role}) that go by {self.way.name}; "
                "export again"
            )
        return sorted(found, key=lambda item: self.way.order(item[0], item[1]))


def open_uploads(folder: Path, profile: DmdProfile | None, images_in_flash: bool = False) -> UploadPlans:
    """Re-read an export folder, to plan its uploads.

    Every file is hashed and compared with the design, and every limit of the profile is checked on what was
    re-read.  `images_in_flash`: the images are in the flash of the device already, tables alone are sent.
    Raises `FileError`, `InputError` or `LimitError` in one line.
    """
    manifest = read_manifest(folder)
    own = manifest.device_profile(folder)
    way = controller(own.controller.value).way(own, images_in_flash)
    way.check_export(manifest, own, folder)
    verify_export(folder, profile)
    return UploadPlans(folder, manifest, own, way)


def plan_upload(
    folder: Path, profile: DmdProfile | None, baud: int, images_in_flash: bool = False, sequence: int | None = None
) -> UploadPlan:
    """Re-read an export folder and plan its one upload, or that of one `sequence`; raises as `open_uploads` does.

    Raises `InputError` where it holds several and none is named.
    """
    uploads = open_uploads(folder, profile, images_in_flash)
    if sequence is None and uploads.sequences > 1:
        raise InputError(
            f"{folder}: holds {uploads.sequences} sequences, of which the device holds one at a time; name one of them "
            "(--sequence N), or show all of them, each once (--start --repeats 1)"
        )
    return uploads.plan(1 if sequence is None else sequence, baud)


def _entries(manifest: Manifest, way: Way, sequence: int | None) -> list[TableEntry]:
    """The sequence table, of one sequence where there are several."""
    return [
        TableEntry(
            entry.image,
            entry.slot,
            manifest.bit_depth,
            entry.loads_image,
            entry.exposure_us,
            way.dark_us(entry, manifest),
        )
        for entry in manifest.entries
        if sequence in (None, entry.sequence)
    ]


def _read(folder: Path, name: str, record: FileRecord) -> bytes:
    content = read_limited(inside(folder, name, "export manifest"), "device image", MAX_IMAGE_BYTES)
    if sha256_bytes(content) != record.sha256:
        raise FileError(f"{folder / name}: was changed while it was read; export again")
    return content


def _warnings(plan: UploadPlan, baud: int) -> list[str]:
    found = plan.way.warnings(plan.manifest, plan.profile, plan.entries)
    if plan.link_s(baud) > LONG_LINK_S:
        found.append(
            f"sending takes {format_duration_us(plan.link_s(baud) * US_PER_S)}; a higher --baud (921600, 3000000) or "
            "larger super-pixels shorten it"
        )
    return found


def check_device(plan: UploadPlan, caps: Caps) -> None:
    """Compare a plan with the device that answered; what the device reports overrules the profile.

    Raises `DeviceError` for another device, and `LimitError` for a limit that it reports.
    """
    info, profile = caps.info, plan.profile
    if info.profile_id != profile.id or info.controller != profile.controller.value:
        raise DeviceError(
            f"the device is a {info.profile_id} ({info.controller}), the export {plan.folder} is for {profile.id} "
            f"({profile.controller.value}); connect the other device, or export a design for {info.profile_id}"
        )
    mirrors = (profile.mirrors.columns.value, profile.mirrors.rows.value)
    if (info.columns, info.rows) != mirrors:
        raise DeviceError(
            f"the device has {info.columns} x {info.rows} mirrors, the export {plan.folder} is for "
            f"{mirrors[0]} x {mirrors[1]}; is the bridge running with the right --profile?"
        )
    plan.way.check_device(info, profile)
    require(_violations(plan, info))


def _violations(plan: UploadPlan, info: DeviceInfo) -> list[Check]:
    """What of a plan exceeds the limits that a device reports."""
    violations = []
    device = f"{info.profile_id} with firmware {'.'.join(map(str, info.firmware))}"
    for what, count, limit in (
        ("entries", len(plan.entries), info.max_entries),
        ("images", plan.images, info.max_images),
    ):
        if count > limit:
            violations.append(
                exceeds(f"number of {what}", str(plan.folder), str(count), f"{limit} on the {device}", "use fewer")
            )
    shortest_us = info.min_exposure_us.get(plan.manifest.bit_depth)
    depths = ", ".join(str(depth) for depth in sorted(info.min_exposure_us))
    if shortest_us is None:
        violations.append(
            exceeds(
                "bit depth",
                str(plan.folder),
                str(plan.manifest.bit_depth),
                f"{depths} on the {device}",
                "export a design of one of these",
            )
        )
    else:
        violations += [
            exceeds(
                "exposure",
                f"entry {number}",
                f"{entry.exposure_us} us",
                f"at least {shortest_us} us, as the {device} reports",
                f"export again with --exposure-us {shortest_us} or more",
            )
            for number, entry in enumerate(plan.entries)
            if entry.exposure_us < shortest_us
        ]
    return violations
