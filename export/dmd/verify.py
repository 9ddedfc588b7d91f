"""Re-reads an export folder from disk and compares it with the design, bit for bit, and with the device's limits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cidesign.checks import Check, Report, passed, remarked
from cidesign.constraints.rules import SequenceFits, check_design, require
from cidesign.constraints.sequence import SequencePlan, flash_images, sequences_text, stored_together, video_time_us
from cidesign.errors import FileError
from cidesign.export.dmd.base import ReadBack, grid_of
from cidesign.export.dmd.bitplanes import planes_of
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import EntryRecord, Manifest, read_manifest
from cidesign.export.dmd.parts import read_sequences
from cidesign.export.dmd.sync_frames import sync_summary
from cidesign.export.folder import DESIGN_NAME
from cidesign.export.manifest import check_files, design_in, profile_to_check
from cidesign.hardware_profiles.dmd.lattice import Grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import PatternStack
from cidesign.units import format_bytes, format_duration_us

_LISTED = 4


def verify_export(folder: Path, profile: DmdProfile | None = None, report: Report | None = None) -> list[Check]:
    """Check an export folder; `report` is called with each finding.  See `verified` for what is raised."""
    findings = []
    for finding in verified(folder, profile):
        findings.append(finding)
        if report:
            report(finding)
    return findings


def verified(folder: Path, profile: DmdProfile | None = None) -> Iterator[Check]:
    """Check an export folder with everything re-read from disk, and yield each finding.

    The limits are those of the profile that the manifest carries, or of `profile`.  Raises `FileError` for files
    that are damaged, edited or not the design, and `LimitError` for a limit that the device has.
    """
    manifest = read_manifest(folder)
    exporter = exporter_named(manifest.format)
    device = profile_for(manifest.device_profile(folder), profile, str(folder))
    exporter.check_words(folder, manifest.files)
    yield passed("manifest", f"{manifest.format} export for {device.id}, {len(manifest.entries)} frames")
    check_files(folder, manifest)
    total = sum(record.bytes for record in manifest.files.values())
    yield passed("files", f"{len(manifest.files)} files, {format_bytes(total)}, every SHA-256 fits")
    pattern = _design(folder, manifest)
    yield passed("design", f"{pattern.count} patterns of {pattern.size_text}, {pattern.bit_depth} bit")
    if pattern.sync_every is not None:
        yield passed("sync frames", sync_summary(pattern))
    back = read_sequences(exporter, folder, manifest.sequences)
    plan = replace(back.plan, streamed=exporter.streamed)
    check_sequence(folder, plan, pattern, manifest, device)
    yield sequence_check(plan)
    compared = compare_frames(folder, back, pattern, grid_of(device, pattern))
    mirrors = device.mirrors.columns.value * device.mirrors.rows.value
    yield passed("mirrors", f"{compared} frames of {mirrors} mirrors equal the design bit for bit")
    if exporter.flash_bytes is not None:
        # Of images that equal the design; what they take is counted from it.
        plan = replace(plan, flash_bytes=exporter.flash_bytes(pattern, plan, grid_of(device, pattern)))
        require(SequenceFits(device).check(plan))
    yield from how_shown(device, plan)
    yield from acquisition_times(device, plan)


def profile_for(own: DmdProfile, asked: DmdProfile | None, where: str) -> DmdProfile:
    """The profile to check against; raises `LimitError` when `asked` is another device than `own`."""
    device = asked.id if asked else own.id
    otherwise = f"design for the other device with `cidesign distill --profile {device}`"
    return profile_to_check(own, asked, where, otherwise)


def check_sequence(
    folder: Path, plan: SequencePlan, pattern: PatternStack, manifest: Manifest, profile: DmdProfile
) -> None:
    """Compare the sequence that was re-read with the design, the manifest and the device's limits."""
    if len(plan.entries) != len(pattern.frames()):
        raise FileError(
            f"{folder}: the device files show {len(plan.entries)} frames, the design has {len(pattern.frames())}; "
            "export again"
        )
    for entry, record in zip(entry_records(pattern, plan), manifest.entries, strict=False):
        if entry != record:
            raise FileError(f"{folder}: frame {entry.frame} of the device files is not what the manifest says")
    if len(plan.entries) != len(manifest.entries) or plan.images != manifest.images:
        raise FileError(f"{folder}: the device files hold another number of frames or images than the manifest says")
    if plan.mode != manifest.timing.mode or plan.total_us != manifest.timing.total_us:
        raise FileError(f"{folder}: the device files have another mode or total time than the manifest says")
    require(check_design(pattern, plan, profile))


def compare_frames(folder: Path, back: ReadBack, pattern: PatternStack, grid: Grid) -> int:
    """Compare every frame with the design spread over the mirrors; returns how many were equal."""
    count = 0
    for frame, (shown, designed) in enumerate(zip(back.frames, pattern.each_displayed(), strict=True)):
        expected = grid.spread(designed)
        if shown.shape != expected.shape:
            raise FileError(
                f"{folder}: frame {frame} has {shown.shape[1]} x {shown.shape[0]} mirrors, the device has "
                f"{expected.shape[1]} x {expected.shape[0]}"
            )
        wrong = int(np.count_nonzero(shown != expected))
        if wrong:
            raise FileError(
                f"{folder}: frame {frame} differs from the design in {wrong} of {expected.size} mirrors; export again"
            )
        count += 1
    return count


def entry_records(pattern: PatternStack, plan: SequencePlan) -> list[EntryRecord]:
    """The manifest's lines for a plan."""
    several = len(plan.starts) > 1
    number = np.searchsorted(plan.starts, np.arange(len(plan.entries)), side="right").tolist()
    return [
        EntryRecord(
            frame=entry.frame,
            pattern=frame.pattern,
            role=frame.role,
            image=entry.image,
            slot=entry.slot,
            planes=planes_of(plan.bit_depth, entry.slot),
            loads_image=entry.loads_image,
            exposure_us=entry.exposure_us,
            period_us=entry.period_us,
            sequence=sequence if several else None,
        )
        for entry, frame, sequence in zip(plan.entries, pattern.frames(), number, strict=True)
    ]


def sequence_check(plan: SequencePlan) -> Check:
    """What is said of a sequence, or of several, within the limits of their device."""
    entries, images = len(plan.entries), plan.images
    if plan.streamed:
        return passed("sequence", f"{entries} entries, {images} images, shown one after the other: within all limits")
    mode = (plan.mode or "").replace("_", " ")
    split = f"{sequences_text(plan)} of {_lengths(plan)}" if len(plan.starts) > 1 else ""
    return passed("sequence", f"{entries} entries, {images} images, {mode}{split}: within all limits")


def _lengths(plan: SequencePlan) -> str:
    """`1824 and 1452`, or `400, 400, ... and 76`, for people."""
    lengths = [str(len(part.entries)) for part in plan.sequences]
    shown = [*lengths[:2], "..."] if len(lengths) > _LISTED else lengths[:-1]
    return f"{', '.join(shown)} and {lengths[-1]}"


def how_shown(profile: DmdProfile, plan: SequencePlan) -> list[Check]:
    """How several sequences reach the device, and how much of its flash they take; nothing for a single one."""
    if len(plan.starts) == 1:
        return []
    if not stored_together(profile):
        return [
            remarked("sequences", "each is loaded and started after the one before: the device holds one at a time")
        ]
    flash, taken = profile.memory.flash_bytes, plan.flash_bytes
    size = "" if flash is None or taken is None else f", about {format_bytes(taken)} of {format_bytes(flash.value)}"
    return [
        remarked("sequences", "started one after the other from flash"),
        remarked("images in flash", f"{plan.images} of {flash_images(profile)}{size}"),
    ]


def acquisition_times(profile: DmdProfile, plan: SequencePlan) -> list[Check]:
    """How long showing every frame once takes, on each way that images reach the device."""
    stored = "flash" if stored_together(profile) else "pattern memory"
    between = "" if len(plan.starts) == 1 else f", and the time between {len(plan.starts)} sequences"
    found = [] if plan.streamed else [remarked(f"time from {stored}", format_duration_us(plan.total_us) + between)]
    video_us = video_time_us(profile, len(plan.entries), plan.bit_depth, plan.exposure_us)
    if video_us is not None:
        found.append(remarked("time streamed over HDMI", format_duration_us(video_us)))
    return found


def _design(folder: Path, manifest: Manifest) -> PatternStack:
    pattern = design_in(folder, manifest, PatternStack)
    told = None if pattern.sync_every is None else pattern.patterns_digest
    if (manifest.sync_every, manifest.patterns_digest) != (pattern.sync_every, told):
        raise FileError(
            f"{folder}: the manifest says something else about sync frames than {DESIGN_NAME}; export again"
        )
    return pattern
