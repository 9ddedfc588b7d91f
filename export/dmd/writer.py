"""Writes a design as an export folder: checked before, read back and compared before it gets its name."""

from dataclasses import replace
from pathlib import Path

from cidesign.constraints.rules import check_design, require
from cidesign.constraints.sequence import SequencePlan
from cidesign.errors import InputError, LimitError
from cidesign.export.dmd.base import DmdOutput, Exporter, Job, grid_of
from cidesign.export.dmd.manifest import FileRecord, FlipRecord, GridRecord, Manifest, TimingRecord
from cidesign.export.dmd.parts import write_sequences
from cidesign.export.dmd.preview import write_preview
from cidesign.export.dmd.sync_frames import added_frames, designed_plan, sync_note
from cidesign.export.dmd.verify import entry_records, verify_export
from cidesign.export.folder import DESIGN_NAME, PREVIEW_NAME
from cidesign.export.manifest import common_fields
from cidesign.export.writing import require_own_profile, write_export_folder
from cidesign.files import refuse_existing
from cidesign.hardware_profiles.dmd.lattice import Grid, SuperpixelGrid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import PatternStack


def write_export(
    exporter: Exporter,
    pattern: PatternStack,
    profile: DmdProfile,
    plan: SequencePlan,
    folder: Path,
    force: bool = False,
) -> Manifest:
    """Write `pattern` for `profile` into `folder`, and verify it there; nothing is left when anything fails.

    Raises `InputError` when the format or the design is for another device, `LimitError` for the first limit that
    the design or the plan exceeds, and `FileError` when `folder` exists (without `force`) or cannot be written.
    """
    refuse_existing(folder, force)
    if profile.controller.value not in exporter.controllers:
        raise InputError(
            f"format {exporter.name} is for {', '.join(exporter.controllers)}; {profile.id} has a "
            f"{profile.controller.value} controller"
        )
    require_own_profile(pattern, profile, "patterns: they were")
    _require(pattern, plan, profile)
    job = Job(pattern, profile, plan, grid_of(profile, pattern))
    return write_export_folder(folder, force, lambda temporary: _write_into(temporary, exporter, job), verify_export)


def _require(pattern: PatternStack, plan: SequencePlan, profile: DmdProfile) -> None:
    """Raise `LimitError` for the first limit that is exceeded, and say where only the sync frames exceed it."""
    violations = check_design(pattern, plan, profile)
    if pattern.sync_every is not None:
        designed = designed_plan(profile, pattern, plan)
        # Split for their sake, a sequence could no longer be found by its blink code.
        split = [] if len(designed.starts) > 1 else check_design(pattern, replace(plan, starts=(0,)), profile)
        if (violations or split) and not check_design(pattern, designed, profile):
            raise LimitError(
                f"{(violations or split)[0]}; without its {added_frames(pattern)} sync frames the design fits: a "
                "larger --sync-every adds fewer"
            )
    require(violations)


def _write_into(folder: Path, exporter: Exporter, job: Job) -> Manifest:
    out = DmdOutput(folder, FileRecord)
    notes = write_sequences(exporter, job, out)
    if job.pattern.sync_every is not None:
        notes = (sync_note(job.pattern, job.profile, job.plan), *notes)
    job.pattern.save(folder / DESIGN_NAME)
    write_preview(job, folder / PREVIEW_NAME)
    out.record(DESIGN_NAME, "design")
    out.record(PREVIEW_NAME, "preview")
    plan = job.plan
    return Manifest(
        **common_fields(job.pattern, job.profile),
        kind="export",
        format=exporter.name,
        patterns_digest=None if job.pattern.sync_every is None else job.pattern.patterns_digest,
        sync_every=job.pattern.sync_every,
        bit_depth=plan.bit_depth,
        encoding=job.pattern.encoding,
        polarity=1,
        plane_order=exporter.plane_order,
        grid=_grid_record(job.grid, job.profile),
        flips=FlipRecord(),
        timing=TimingRecord(
            mode=plan.mode,
            requested_exposure_us=plan.requested_exposure_us,
            requested_period_us=plan.requested_period_us,
            exposure_us=plan.exposure_us,
            total_us=plan.total_us,
            notes=plan.notes,
        ),
        images=plan.images,
        entries=tuple(entry_records(job.pattern, plan)),
        notes=notes,
        files=out.files,
    )


def _grid_record(grid: Grid, profile: DmdProfile) -> GridRecord:
    mirrors = profile.mirrors
    superpixels = grid if isinstance(grid, SuperpixelGrid) else None
    return GridRecord(
        placement="superpixels" if superpixels else "mirrors",
        side=superpixels.side if superpixels else None,
        side_columns=superpixels.side_columns if superpixels else None,
        side_um=superpixels.side_um if superpixels else None,
        columns=mirrors.columns.value,
        rows=mirrors.rows.value,
        lattice=mirrors.lattice.value,
    )
