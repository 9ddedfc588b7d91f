"""`cidesign simulate`: a digital twin of the bench."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cidesign.cli.assignments import keyword_values, refuse_options, set_option
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cidesign.calibration.capture import SimulatedBench

# Training images come from seeds below this (validation: seed + 2**32), so the scene is never one of them.
SCENE_SEED_OFFSET = 2**33
SCENE_CANDIDATES = 32
ADC_BITS = 16


@click.command("simulate")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Capture folder to write [default: RUN/capture].")
@click.option(
    "--scene",
    type=click.Path(path_type=Path),
    help="Picture to look at [default: a procedural one, never a training image].",
)
@click.option("--dark", type=float, default=200.0, show_default=True, help="Dark level, counts.")
@click.option("--gain", type=float, help="Counts per photoelectron [default: white fills 60 % of the converter].")
@click.option("--photoelectrons", type=float, help="Photoelectrons of an all-on white frame [default: as the run].")
@click.option("--read-noise", type=float, help="Read noise, counts [default: as the run].")
@click.option("--drift", type=float, default=0.0, show_default=True, help="Lamp drift, percent peak to peak.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise, drift and scene.")
@set_option
@force_option
@json_option
def command(
    run: Path | None,
    out: Path | None,
    scene: Path | None,
    dark: float,
    gain: float | None,
    photoelectrons: float | None,
    read_noise: float | None,
    drift: float,
    seed: int,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Simulate a capture of a scene with the patterns of RUN, with dark and white frames to calibrate from.

    For an MRI run: the raw data of a simulated scanner, with a noise scan.

    RUN is a run folder; without it the newest one below runs/ is used.
    """
    import numpy as np

    from cidesign.calibration.capture import write_capture
    from cidesign.calibration.twin import bench_settings, capture_record, full_scale, simulate_readings
    from cidesign.constraints.sequence import plan_sequence
    from cidesign.files import refuse_existing
    from cidesign.runs import Run, SinglePixelRun, now_utc, open_run

    found = open_run(run, Run)
    if run is None:
        note(f"run: {found.path} (the newest)")
    folder = out or found.path / "capture"
    refuse_existing(folder, force)
    if found.settings.modality == "mri":
        _simulate_scanner(found.path, folder, assignments, scene, seed, force, as_json)
        return
    opened = SinglePixelRun(found.path)
    design, settings = opened.design, opened.settings
    bench = bench_settings(
        dark_counts=dark,
        gain=gain,
        photoelectrons_per_frame=settings.photoelectrons_per_frame if photoelectrons is None else photoelectrons,
        read_noise_counts=read_noise,
        read_noise_photoelectrons=settings.read_noise_photoelectrons,
        drift_percent=drift,
        adc_bits=ADC_BITS,
        seed=seed,
        scene=str(scene)
        if scene
        else f"procedural (dead leaves), seed {seed}, of {SCENE_CANDIDATES} the one with most contrast",
    )
    picture, remarks = _scene(scene, design.side, seed)
    plan = plan_sequence(opened.profile, len(design.frames()), design.bit_depth, settings.exposure_us)
    readings = simulate_readings(design, picture, bench)
    write_capture(folder, capture_record(design, bench, plan.exposure_us, now_utc()), readings, force)

    saturated = int(np.count_nonzero(readings["scene"] >= np.int64(full_scale(ADC_BITS))))
    if saturated:
        remarks.append(f"{saturated} of {readings['scene'].size} scene readings are saturated; lower --gain")
    for text in remarks:
        note(f"note: {text}")
    value = {"capture": str(folder), "run": str(opened.path), "bench": bench.model_dump(mode="json"), "notes": remarks}
    result(value, f"{folder}: simulated on super-pixel level\n{_table(readings, bench, plan.exposure_us)}", as_json)
    calibration = folder.parent / "calibration"
    next_step(f"cidesign calibrate {quoted(folder)} --run {quoted(opened.path)} --out {quoted(calibration)}")


def _simulate_scanner(
    run: Path, folder: Path, assignments: tuple[str, ...], scene: Path | None, seed: int, force: bool, as_json: bool
) -> None:
    from cidesign.cli.mri_capture import simulate_mri
    from cidesign.runs import MriRun

    refuse_options(
        click.get_current_context(), ("run", "out", "scene", "seed", "assignments", "force", "as_json"), "mri"
    )
    fields = keyword_values(simulate_mri, assignments, ("scene", "seed", "force"))
    value, text = simulate_mri(MriRun(run), folder, scene=scene, seed=seed, force=force, **fields)
    result(value, text, as_json)
    next_step(f"cidesign calibrate {quoted(folder)} --run {quoted(run)} --out {quoted(folder.parent / 'calibration')}")


def _table(readings: "dict[str, NDArray[np.generic]]", bench: "SimulatedBench", exposure_us: int) -> str:
    scene, white = readings["scene"], readings["white"]
    rows = [
        ("scene", f"{scene.size} readings, {scene.min()} to {scene.max()} counts"),
        ("dark", f"{readings['dark'].size} frames"),
        ("white", f"{white.shape[0]} light levels of {white.shape[1]} frames"),
        ("dark level", f"{bench.dark_counts:g} counts"),
        ("gain", f"{bench.gain_counts_per_photoelectron:.5g} counts per photoelectron ({bench.gain_chosen})"),
        ("light", f"{bench.photoelectrons_per_frame:.4g} photoelectrons in an all-on white frame"),
        ("read noise", f"{bench.read_noise_counts:.4g} counts"),
        ("lamp drift", f"{bench.drift_percent:g} % peak to peak"),
        ("exposure", f"{exposure_us} us a frame"),
    ]
    return table(rows)


def _scene(path: Path | None, side: int, seed: int) -> "tuple[NDArray[np.float64], list[str]]":
    if path is not None:
        from cidesign.calibration.scenes import read_scene

        return read_scene(path, side)
    from cidesign.data.procedural import dead_leaves

    # Many crops are nearly flat or dark; the one with most contrast shows most, and is among the hardest.
    pictures = dead_leaves(SCENE_CANDIDATES, side, seed + SCENE_SEED_OFFSET) / 255.0
    return pictures[pictures.std(axis=(1, 2)).argmax()], []
