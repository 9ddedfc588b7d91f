"""`cidesign export`: device files from the patterns of a run."""

from pathlib import Path

import click

from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result, table


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write [default: RUN/export].")
@click.option("--format", "formats", multiple=True, metavar="F", help="File format [default: by the controller].")
@click.option("--exposure-us", type=float, help="Exposure of each frame in us [default: as the run, or the shortest].")
@click.option("--period-us", type=float, help="Time from frame to frame in us [default: the shortest legal one].")
@force_option
@json_option
def command(
    run: Path | None,
    out: Path | None,
    formats: tuple[str, ...],
    exposure_us: float | None,
    period_us: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the files that the device takes, with a manifest, and read them back.

    RUN is a run folder; without it the newest one below runs/ is used.  Several formats go to one folder each
    below the output folder.
    """
    from cidesign.constraints.sequence import plan_sequence
    from cidesign.export.formats import exporter_named, formats_for
    from cidesign.export.manifest import Manifest
    from cidesign.export.verify import acquisition_times
    from cidesign.export.writer import write_export
    from cidesign.files import replacing_folder
    from cidesign.runs import open_run
    from cidesign.units import format_bytes

    opened = open_run(run)
    if run is None:
        note(f"run: {opened.path} (the newest)")
    pattern, profile = opened.design, opened.profile
    exposure_us = opened.settings.exposure_us if exposure_us is None else exposure_us
    plan = plan_sequence(profile, len(pattern.frames()), pattern.bit_depth, exposure_us, period_us)
    exporters = [exporter_named(name) for name in dict.fromkeys(formats or formats_for(profile.controller.value)[:1])]
    target = out or opened.path / "export"
    manifests: dict[Path, Manifest] = {}
    if len(exporters) == 1:
        manifests[target] = write_export(exporters[0], pattern, profile, plan, target, force)
    else:
        with replacing_folder(target, force) as temporary:
            for exporter in exporters:
                manifests[target / exporter.name] = write_export(
                    exporter, pattern, profile, plan, temporary / exporter.name
                )
    for text in plan.notes:
        note(f"note: {text}")
    rows = [
        (folder.as_posix() + "/" + name, record.role, format_bytes(record.bytes))
        for folder, manifest in manifests.items()
        for name, record in manifest.files.items()
    ]
    times = "\n".join(f"{finding.check}: {finding.result}" for finding in acquisition_times(profile, plan))
    frames = f"{len(plan.entries)} frames in {plan.images} images, exposure {plan.exposure_us} us"
    value = {
        "folders": [
            {"folder": str(folder), **manifest.model_dump(mode="json", include={"format", "images", "timing", "files"})}
            for folder, manifest in manifests.items()
        ],
        "frames": len(plan.entries),
        "total_us": plan.total_us,
    }
    result(value, f"{table(rows, ('file', 'role', 'size'))}\n\n{frames}\n{times}", as_json)
    next_step(f"cidesign check {quoted(target)}")
