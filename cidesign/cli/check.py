"""`cidesign check`: a design or its device files against the limits of the device."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cidesign.cli.assignments import keyword_values, set_option
from cidesign.cli.output import json_option, next_step, quoted, result
from cidesign.text import MARKS, totals

if TYPE_CHECKING:
    from cidesign.checks import Finding
    from cidesign.hardware_profiles.dmd.schema import DmdProfile

MASK_FILES = (".tif", ".tiff", ".gds", ".gds2", ".gdsii", ".oas", ".oasis")


@click.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--profile", "profile_name", metavar="NAME", help="Check against this profile [default: the design's own]."
)
@click.option(
    "--tone",
    type=click.Choice(["clear", "chrome"]),
    help="What the 1-pixels of a single mask file become on the plate.",
)
@click.option(
    "--orientation",
    type=click.Choice(["any", "as-written"]),
    help="How the slice of a single .seq file may lie; any refuses what an oblique slice would break "
    "[default: as written, with a remark].",
)
@set_option
@json_option
def command(
    path: Path,
    profile_name: str | None,
    tone: str | None,
    orientation: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check PATH: a run folder (its design, and its export if there is one), an export folder, or a single file.

    Files are read back from disk by readers of their own and compared with the design bit for bit.  A single mask
    (TIFF, GDSII, OASIS) or sequence (.seq) of anyone's is checked against --profile; --set cell=NAME takes one cell
    of a layout.  Leaves with 3 when a limit of the device is violated, and with 5 when a file is damaged, was edited,
    or cannot be evaluated at all.
    """
    from cidesign.errors import FileError, InputError

    if tone is not None and path.suffix.lower() not in MASK_FILES:
        raise InputError("--tone: is for a single mask file; an order folder says its tone itself")
    if orientation is not None and path.suffix.lower() != ".seq":
        raise InputError("--orientation: is for a single .seq file; an export is within the limits in any orientation")
    if path.is_file():
        if path.suffix.lower() in MASK_FILES:
            _check_mask(path, profile_name, tone, assignments, as_json)
            return
        if assignments:
            raise InputError(f"--set {assignments[0]}: no such setting for this kind of file")
        _check_sequence(path, profile_name, orientation, as_json)
        return
    if assignments:
        raise InputError(f"--set {assignments[0]}: is for a single file; a run or an export says all of it itself")
    is_run = (path / "run.json").is_file()
    folders = _export_folders(path / "export" if is_run else path)
    if not is_run and not folders:
        raise FileError(
            f"{path}: neither a run (run.json) nor an export (manifest.json); "
            f"export a run first with `cidesign export RUN --out {path}`"
        )
    checks: list[dict[str, Any]] = []

    def show(where: Path, finding: "Finding") -> None:
        checks.append({"path": str(where), **finding._asdict()})
        if not as_json:
            click.echo(f"{MARKS[finding.status]}  {finding.check}: {finding.result}")

    modality = _modality(path) if is_run else None
    if modality == "single-pixel":
        for finding in _check_patterns(path, _dmd(profile_name), folders):
            show(path, finding)
    elif modality is not None:
        for finding in _check_run(path, folders):
            show(path, finding)
    kinds = {modality}
    for folder in folders:
        if not as_json:
            click.echo(f"{folder}:")
        kinds.add(_verify(folder, profile_name, partial(show, folder)))
    text = f"{path}: {totals([check['status'] for check in checks])}"
    result({"path": str(path), "ok": True, "checks": checks}, text, as_json)
    run = path if is_run else path.parent if (path.parent / "run.json").is_file() else Path("RUN")
    if is_run and not folders:
        next_step(f"cidesign export {quoted(path)}")
    elif "single-pixel" in kinds:
        next_step(f"cidesign simulate {quoted(run)} --out {quoted(run / 'capture')}")


def _check_mask(path: Path, profile_name: str | None, tone: Any, assignments: tuple[str, ...], as_json: bool) -> None:
    """A single mask file."""
    from cidesign.hardware_profiles.loader import load_aperture
    from cidesign.modalities.cassi.files import check_aperture

    def show(finding: "Finding") -> None:
        if not as_json:
            click.echo(f"{MARKS[finding.status]}  {finding.check}: {finding.result}")

    settings = keyword_values(_mask_settings, assignments, ())
    profile = load_aperture(profile_name) if profile_name else None
    result(*check_aperture(path, profile, tone, show, **settings), as_json)


def _mask_settings(*, cell: str | None = None) -> None:
    """What `--set` takes for a single mask file: the cell of a layout that has several."""


def _check_sequence(path: Path, profile_name: str | None, orientation: Any, as_json: bool) -> None:
    """A single file that is not a mask."""
    from cidesign.errors import FileError
    from cidesign.hardware_profiles.loader import load_mri

    if path.suffix.lower() != ".seq":
        known = ", ".join((*MASK_FILES, ".seq"))
        raise FileError(f"{path}: a single file of this kind cannot be checked; known are {known}")
    from cidesign.modalities.mri.files import check_mri, require_sound

    value, text = check_mri(path, load_mri(profile_name) if profile_name else None, orientation=orientation)
    result(value, text, as_json)
    require_sound(path, value)


def _modality(path: Path) -> str:
    from cidesign.runs import Run

    return Run(path).settings.modality


def _dmd(profile_name: str | None) -> "DmdProfile | None":
    from cidesign.hardware_profiles.loader import load_dmd

    return load_dmd(profile_name) if profile_name else None


def _verify(folder: Path, profile_name: str | None, show: Any) -> str:
    """Check an export folder by the kind that its manifest names; returns the modality."""
    from cidesign.files import read_json
    from cidesign.hardware_profiles.loader import load_aperture, load_mri

    kind = read_json(folder / "manifest.json", "manifest").get("kind")
    if kind == "mri-export":
        from cidesign.export.mri.verify import verify_mri_export

        for finding in verify_mri_export(folder, load_mri(profile_name) if profile_name else None):
            show(finding)
        return "mri"
    if kind == "aperture-export":
        from cidesign.export.aperture.verify import verify_aperture_export

        for finding in verify_aperture_export(folder, load_aperture(profile_name) if profile_name else None):
            show(finding)
        return "cassi"
    from cidesign.export.dmd.verify import verify_export

    verify_export(folder, _dmd(profile_name), show)
    return "single-pixel"


def _export_folders(path: Path) -> list[Path]:
    if (path / "manifest.json").is_file():
        return [path]
    return sorted(manifest.parent for manifest in path.glob("*/manifest.json"))


def _check_run(path: Path, folders: list[Path]) -> "list[Finding]":
    """Check the mask or the lines of a run against their rules, and that its exports are of this design."""
    from cidesign.checks import Finding
    from cidesign.constraints.kspace import LineBudget
    from cidesign.constraints.rules import require
    from cidesign.errors import FileError
    from cidesign.export.aperture.verify import check_design, picture_beside
    from cidesign.files import read_json
    from cidesign.modalities.cassi.run import CassiRun
    from cidesign.modalities.mri.run import MriRun

    run: CassiRun | MriRun
    if _modality(path) == "cassi":
        run = CassiRun(path)
        mask = run.design
        check_design(mask, run.profile, picture_beside(path))
        rows, columns = mask.levels.shape
        said = Finding(
            "design",
            f"mask of {rows} x {columns} pixels of {mask.pitch_um:g} um, {mask.open_fraction:.1%} open, "
            f"within the feature rules of {run.profile.id}",
        )
    else:
        run = MriRun(path)
        lines = run.design
        require(LineBudget(run.settings.side, run.settings.acquired, run.settings.calibration).check(lines))
        said = Finding(
            "design",
            f"{len(lines.acquired)} of {lines.lines} lines, R = {lines.acceleration:.4g} exactly, "
            f"with all {lines.calibration_lines} calibration lines",
        )
    for folder in folders:
        if read_json(folder / "manifest.json", "manifest").get("design_digest") != run.design.design_digest:
            raise FileError(f"{folder}: holds another design than {path}; repeat `cidesign export {path} --force`")
    return [said]


def _check_patterns(path: Path, asked: "DmdProfile | None", folders: list[Path]) -> "list[Finding]":
    """Check the patterns of a run against the rules of its device, and that its exports are of this design."""
    from cidesign.checks import Finding
    from cidesign.constraints.rules import check_design, require
    from cidesign.constraints.sequence import plan_sequence
    from cidesign.errors import FileError
    from cidesign.export.dmd.manifest import read_manifest
    from cidesign.export.dmd.verify import acquisition_times, profile_for
    from cidesign.modalities.single_pixel.run import SinglePixelRun

    run = SinglePixelRun(path)
    pattern = run.design
    profile = profile_for(run.profile, asked, str(path))
    plan = plan_sequence(profile, len(pattern.frames()), pattern.bit_depth, run.settings.exposure_us)
    require(check_design(pattern, plan, profile))
    for folder in folders:
        if read_manifest(folder).run_digest != pattern.design_digest:
            raise FileError(f"{folder}: holds another design than {path}; repeat `cidesign export {path} --force`")
    mode = (plan.mode or "").replace("_", " ")
    return [
        Finding("design", f"{pattern.count} patterns of {pattern.side} x {pattern.side}, digest fits the run"),
        Finding("bit depth", f"{pattern.bit_depth} bit, which {profile.id} shows"),
        Finding("exposure", f"{plan.exposure_us} us, within the table for {pattern.bit_depth} bit"),
        Finding("sequence", f"{len(plan.entries)} entries, {plan.images} images, {mode}: within all limits"),
        *(Finding("note", text, "remark") for text in plan.notes),
        *acquisition_times(profile, plan),
    ]
