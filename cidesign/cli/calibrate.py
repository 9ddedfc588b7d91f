"""`cidesign calibrate`: the detector's response from dark and white frames."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cidesign.cli.assignments import keyword_values, set_option
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result, table

if TYPE_CHECKING:
    from cidesign.calibration.record import Calibration


@click.command("calibrate")
@click.argument("capture", type=click.Path(path_type=Path))
@click.option("--run", type=click.Path(path_type=Path), help="Run whose device was used [default: the newest].")
@click.option("--out", type=click.Path(path_type=Path), help="Calibration folder to write [default: RUN/calibration].")
@set_option
@force_option
@json_option
def command(
    capture: Path, run: Path | None, out: Path | None, assignments: tuple[str, ...], force: bool, as_json: bool
) -> None:
    """Estimate dark level, read noise, gain, scale and linearity from CAPTURE.

    CAPTURE is a capture folder with `dark` (light blocked) and `white` (all mirrors on, a white reference, several
    light levels) beside the scene.  For an MRI run it holds raw k-space: a capture folder, ISMRMRD, Siemens twix, BART,
    fastMRI-style HDF5 or npy; noise, coil maps, echo shift and scale are estimated.
    """
    from cidesign.calibration.capture import read_capture
    from cidesign.calibration.record import write_calibration
    from cidesign.calibration.response import estimate_response
    from cidesign.errors import FileError
    from cidesign.files import refuse_existing
    from cidesign.runs import MriRun, Run, SinglePixelRun, now_utc, open_run

    found = open_run(run, Run)
    if run is None:
        note(f"run: {found.path} (the newest)")
    folder = out or found.path / "calibration"
    refuse_existing(folder, force)
    if found.settings.modality == "mri":
        from cidesign.cli.mri_capture import calibrate_mri

        fields = keyword_values(calibrate_mri, assignments, ("force",))
        result(*calibrate_mri(MriRun(found.path), capture, folder, force=force, **fields), as_json)
        _next(found.path, capture, folder)
        return
    if assignments:
        raise click.UsageError("--set means nothing for a run of the modality single-pixel")
    opened = SinglePixelRun(found.path)
    recorded = read_capture(capture)
    response, levels = estimate_response(recorded)
    if recorded.record is not None and recorded.record.profile_digest != opened.record.profile_digest:
        raise FileError(
            f"{capture}: was recorded with profile {recorded.record.profile_digest[:12]}, the run is for "
            f"{opened.record.profile_digest[:12]}; name the run of this device with --run"
        )
    calibration = write_calibration(folder, recorded, response, levels, now_utc(), force)
    for text in response.notes:
        note(f"note: {text}")
    result(
        {"calibration": str(folder), **calibration.record.model_dump(mode="json")},
        f"{folder}: exposure {calibration.record.exposure_us:g} us, {len(levels.light_fraction)} white levels of "
        f"{levels.repeats} frames\n{_table(calibration)}",
        as_json,
    )
    _next(opened.path, capture, folder)


def _next(run: Path, capture: Path, folder: Path) -> None:
    next_step(
        f"cidesign reconstruct {quoted(run)} {quoted(capture)} --calibration {quoted(folder)} "
        f"--out {quoted(folder.parent / 'images')}"
    )


def _table(calibration: "Calibration") -> str:
    """The estimates with their standard errors and, for a simulated capture, the truth."""
    from cidesign.calibration.response import Estimate

    response, bench = calibration.response, calibration.record.simulated_bench
    entries: list[tuple[str, Estimate | None, str]] = [
        ("dark level", response.dark_counts, "counts"),
        ("noise of dark frames", response.read_noise_counts, "counts"),
        ("gain", response.gain_counts_per_photoelectron, "counts per photoelectron"),
        ("scale (all on, white, less dark)", response.scale_counts, "counts"),
        ("light of that frame", response.photoelectrons_per_frame, "photoelectrons"),
    ]
    truths: list[float] = []
    if bench:
        truths = [
            bench.dark_counts,
            (bench.read_noise_counts**2 + 1 / 12) ** 0.5,  # its converter rounds to whole counts
            bench.gain_counts_per_photoelectron,
            bench.gain_counts_per_photoelectron * bench.photoelectrons_per_frame,
            bench.photoelectrons_per_frame,
        ]
    rows = [
        (
            name,
            f"{estimate.value:.6g}" if estimate else "not resolved",
            f"± {estimate.standard_error:.2g}" if estimate else "",
            unit,
            *(f"{truth:.6g}" for truth in truths[number : number + 1]),
        )
        for number, (name, estimate, unit) in enumerate(entries)
    ]
    rows.append(("largest departure from linear", f"{response.linearity_percent:.3g}", "", "% of full white"))
    if bench:
        rows[-1] = (*rows[-1], "0")
    return table(rows, ("quantity", "value", "error", "unit", *(["simulated truth"] if bench else [])))
