"""`cidesign check`: a design or its device files against the limits of the device."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cidesign.cli.output import json_option, next_step, quoted, result

if TYPE_CHECKING:
    from cidesign.export.verify import Finding
    from cidesign.hardware_profiles.dmd_schema import DmdProfile


@click.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--profile", "profile_name", metavar="NAME", help="Check against this profile [default: the design's own]."
)
@json_option
def command(path: Path, profile_name: str | None, as_json: bool) -> None:
    """Check PATH, a run folder (its design, and its export if there is one) or an export folder.

    Device files are read back from disk by a reader of their own and compared with the design bit for bit.
    Leaves with 3 when a limit of the device is violated, and with 5 when a file is damaged or was edited.
    """
    from cidesign.errors import FileError
    from cidesign.export.verify import Finding, verify_export
    from cidesign.hardware_profiles.loader import load_dmd

    profile = load_dmd(profile_name) if profile_name else None
    is_run = (path / "run.json").is_file()
    folders = _export_folders(path / "export" if is_run else path)
    if not is_run and not folders:
        raise FileError(
            f"{path}: neither a run (run.json) nor an export (manifest.json); "
            f"export a run first with `cidesign export RUN --out {path}`"
        )
    checks: list[dict[str, str]] = []

    def show(where: Path, finding: Finding) -> None:
        checks.append({"path": str(where), "check": finding.check, "result": finding.result})
        if not as_json:
            click.echo(f"ok  {finding.check}: {finding.result}")

    if is_run:
        for finding in _check_run(path, profile, folders):
            show(path, finding)
    for folder in folders:
        if not as_json:
            click.echo(f"{folder}:")
        verify_export(folder, profile, partial(show, folder))
    text = f"{path}: all {len(checks)} checks passed"
    result({"path": str(path), "ok": True, "checks": checks}, text, as_json)
    if is_run:
        next_step(
            f"cidesign simulate {quoted(path)} --out {quoted(path / 'capture')}"
            if folders
            else f"cidesign export {quoted(path)}"
        )
    else:
        run = path.parent if (path.parent / "run.json").is_file() else Path("RUN")
        next_step(f"cidesign simulate {quoted(run)} --out {quoted(run / 'capture')}")


def _export_folders(path: Path) -> list[Path]:
    if (path / "manifest.json").is_file():
        return [path]
    return sorted(manifest.parent for manifest in path.glob("*/manifest.json"))


def _check_run(path: Path, asked: "DmdProfile | None", folders: list[Path]) -> "list[Finding]":
    """Check the design of a run against the rules of its device, and that its exports are of this design."""
    from cidesign.constraints.rules import check_design, require
    from cidesign.constraints.sequence import plan_sequence
    from cidesign.errors import FileError
    from cidesign.export.manifest import read_manifest
    from cidesign.export.verify import Finding, acquisition_times, profile_for
    from cidesign.runs import Run

    run = Run(path)
    pattern = run.design
    profile = profile_for(run.profile, asked, str(path))
    plan = plan_sequence(profile, len(pattern.frames()), pattern.bit_depth, run.settings.exposure_us)
    require(check_design(pattern, plan, profile))
    for folder in folders:
        if read_manifest(folder).design_digest != pattern.design_digest:
            raise FileError(f"{folder}: holds another design than {path}; repeat `cidesign export {path} --force`")
    mode = (plan.mode or "").replace("_", " ")
    return [
        Finding("design", f"{pattern.count} patterns of {pattern.side} x {pattern.side}, digest fits the run"),
        Finding("bit depth", f"{pattern.bit_depth} bit, which {profile.id} shows"),
        Finding("exposure", f"{plan.exposure_us} us, within the table for {pattern.bit_depth} bit"),
        Finding("sequence", f"{len(plan.entries)} entries, {plan.images} images, {mode}: within all limits"),
        *(Finding("note", text) for text in plan.notes),
        *acquisition_times(profile, plan),
    ]
