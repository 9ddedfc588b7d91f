"""Micromirror devices as a device family."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cidesign.checks import Check, Report, passed, printed, remarked
from cidesign.constraints.rules import check_design, require
from cidesign.constraints.sequence import SequencePlan, sequences_text
from cidesign.errors import InputError
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import Manifest
from cidesign.export.dmd.planning import plan_design, plan_format, usual_format
from cidesign.export.dmd.sync_frames import sync_note
from cidesign.export.dmd.verify import acquisition_times, how_shown, profile_for, sequence_check, verified
from cidesign.export.dmd.writer import write_export
from cidesign.export.family import DeviceFamily, Exported, FileReport, NoOptions
from cidesign.export.folder import MANIFEST_NAME
from cidesign.export.options import fitting, read_options
from cidesign.export.own_design import OwnDesign
from cidesign.files import JsonObject, replacing_folder
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import PatternStack
from cidesign.text import table, totals
from cidesign.units import format_bytes

# Of more files the first and the last are listed.
MOST_ROWS = 40


@dataclass(frozen=True)
class Timing:
    """When frames are shown: None is the shortest legal time, and no sync frames."""

    exposure_us: float | None = None
    period_us: float | None = None
    sync_every: int | None = None


@dataclass(frozen=True)
class DmdOptions(Timing):
    """What is said of an export beside the design; no formats are the usual one of the controller."""

    formats: tuple[str, ...] = ()


def _own_files() -> ModuleType:
    """The readers of people's own patterns; they need libraries of pictures that a bridge computer does not have."""
    try:
        return importlib.import_module("cidesign.export.dmd.own")
    except ImportError as error:
        raise InputError(
            f"pictures and arrays of patterns are read with {error.name}, which is not installed here; do this with a "
            "full installation of cidesign"
        ) from error


class DmdFamily(DeviceFamily[PatternStack, DmdProfile, DmdOptions, NoOptions]):
    """Pattern sequences for micromirror devices."""

    name = "dmd"
    design_type, profile_type, manifest_type = PatternStack, DmdProfile, Manifest
    file_options_type = NoOptions
    suffixes = (".bmp", ".png")
    flags = ("exposure_us", "period_us", "sync_every")
    described, plural, contents = "a micromirror device", "micromirror devices", "patterns"

    def options(self, formats: Sequence[str] = (), settings: Mapping[str, Any] = {}) -> DmdOptions:
        """Formats by name, and times."""
        return DmdOptions(**fitting(Timing, settings, "an export of patterns"), formats=tuple(formats))

    def export(
        self, design: PatternStack, profile: DmdProfile, folder: Path, options: DmdOptions, force: bool = False
    ) -> Exported:
        """Write the patterns; several formats go to one folder each below `folder`."""
        pattern = design if options.sync_every is None else _with_sync(design, options.sync_every)
        plans = _plans(pattern, profile, options)
        plan = next(iter(plans.values()))
        manifests = _write(plans, pattern, profile, folder, force)
        synced = [] if options.sync_every is None else [sync_note(pattern, profile, plan)]
        told = dict.fromkeys(text for one in plans.values() for text in one.notes)
        notes = tuple(f"note: {text}" for text in (*told, *synced))
        said = {"format", "images", "timing", "files"}
        value: JsonObject = {
            "folders": [
                {"folder": str(one), **manifest.model_dump(mode="json", include=said)}
                for one, manifest in manifests.items()
            ],
            "frames": len(plan.entries),
            "total_us": plan.total_us,
            "sequences": len(plan.starts),
            "streamed": plan.streamed,
            **({} if options.sync_every is None else {"sync_every": options.sync_every}),
        }
        return Exported(folder, tuple(manifests), value, _text(manifests, profile, list(plans.values())), notes)

    def verify_export(self, folder: Path, profile: DmdProfile | None = None) -> Iterator[Check]:
        """Every mirror of every frame, the sequence and all hashes."""
        return verified(folder, profile)

    def profile_for(self, own: DmdProfile, asked: DmdProfile | None, where: str) -> DmdProfile:
        """Patterns lie on the mirrors of one device."""
        return profile_for(own, asked, where)

    def read_own(self, files: Sequence[Path], profile: DmdProfile, settings: Mapping[str, Any] = {}) -> OwnDesign:
        """Patterns from arrays and pictures."""
        own = _own_files()
        found: OwnDesign = own.read_own(
            files, profile, read_options(own.PatternOptions, settings, "a file of patterns")
        )
        return found

    def holds_files(self, folder: Path) -> bool:
        """A folder of frames: pictures and nothing else that is seen."""
        seen = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return bool(seen) and all(path.suffix.lower() in self.suffixes for path in seen)

    def check_file(
        self, path: Path, profile: DmdProfile | None, options: NoOptions, report: Report | None = None
    ) -> FileReport:
        """What pictures hold, and whether a device shows them."""
        checks: list[Check] = _own_files().describe_frames(path, profile)
        if report is not None:
            for check in checks:
                report(check)
        value: JsonObject = {"path": str(path), "ok": True, "checks": [printed(check) for check in checks]}
        return FileReport(tuple(checks), value, f"{path}: {totals([check.status for check in checks])}")

    def check_design(self, design: PatternStack, profile: DmdProfile, options: DmdOptions, where: Path) -> list[Check]:
        """Bit depth, exposure, and the sequence."""
        plan = plan_design(profile, design, options.exposure_us, options.period_us)
        require(check_design(design, plan, profile))
        return [
            passed("design", f"{design.count} patterns of {design.size_text}, digest fits the run"),
            passed("bit depth", f"{design.bit_depth} bit, which {profile.id} shows"),
            passed("exposure", f"{plan.exposure_us} us, within the table for {design.bit_depth} bit"),
            sequence_check(plan),
            *how_shown(profile, plan),
            *(remarked("note", text) for text in plan.notes),
            *acquisition_times(profile, plan),
        ]


def _plans(pattern: PatternStack, profile: DmdProfile, options: DmdOptions) -> dict[str, SequencePlan]:
    """The plan in each format that is asked for, or in the usual one."""
    times = options.exposure_us, options.period_us
    if not options.formats:
        plan = plan_design(profile, pattern, *times)
        return {usual_format(profile, plan).name: plan}
    exporters = [exporter_named(name) for name in dict.fromkeys(options.formats)]
    return {one.name: plan_format(one, profile, pattern, *times) for one in exporters}


def _with_sync(design: PatternStack, every: int) -> PatternStack:
    """The design with sync frames; raises `InputError` for a number of patterns that it does not have."""
    try:
        return design.with_sync(every)
    except InputError as error:
        raise InputError(f"--sync-every {every}: {str(error).removeprefix('patterns: ')}") from error


def _write(
    plans: Mapping[str, SequencePlan], pattern: PatternStack, profile: DmdProfile, folder: Path, force: bool
) -> dict[Path, Manifest]:
    if len(plans) == 1:
        ((name, plan),) = plans.items()
        return {folder: write_export(exporter_named(name), pattern, profile, plan, folder, force)}
    manifests = {}
    with replacing_folder(folder, force) as temporary:
        for name, plan in plans.items():
            manifests[folder / name] = write_export(exporter_named(name), pattern, profile, plan, temporary / name)
    return manifests


def _text(manifests: Mapping[Path, Manifest], profile: DmdProfile, plans: Sequence[SequencePlan]) -> str:
    rows = [
        (folder.as_posix() + "/" + name, record.role, format_bytes(record.bytes))
        for folder, manifest in manifests.items()
        for name, record in manifest.files.items()
    ]
    plan = plans[0]
    checks = [check for one in plans for check in (*how_shown(profile, one), *acquisition_times(profile, one))]
    told = "\n".join(dict.fromkeys(f"{one.name}: {one.text}" for one in checks))
    frames = f"{len(plan.entries)} frames in {plan.images} images{sequences_text(plan)}, exposure {plan.exposure_us} us"
    return f"{table(_short(rows), ('file', 'role', 'size'))}\n\n{frames}\n{told}"


def _short(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The first and last files, where there are very many."""
    if len(rows) <= MOST_ROWS:
        return rows
    left_out = len(rows) - MOST_ROWS + 1
    return [
        *rows[: MOST_ROWS // 2],
        (f"({left_out} more, all in {MANIFEST_NAME})", "", ""),
        *rows[-MOST_ROWS // 2 + 1 :],
    ]


FAMILY = DmdFamily()
