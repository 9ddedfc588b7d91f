"""`cidesign export`: device files from the design of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cidesign.cli.assignments import assigned
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result
from cidesign.text import table

if TYPE_CHECKING:
    from cidesign.export.aperture.layout import OrderOptions
    from cidesign.modalities.single_pixel.run import SinglePixelRun
    from cidesign.pattern import PatternStack

# A plain 2-D gradient echo that every scanner plays; all of it is shown and can be set.
FIRST_PROTOCOL: dict[str, Any] = {
    "kind": "gre",
    "fov_mm": 224.0,
    "slice_thickness_mm": 5.0,
    "flip_angle_deg": 15.0,
    "te_ms": None,
    "tr_ms": None,
    "bandwidth_hz_per_px": 250.0,
    "t1_ms": 1000.0,
}


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write [default: RUN/export].")
@click.option("--format", "formats", multiple=True, metavar="F", help="File format [default: by the device].")
@click.option("--exposure-us", type=float, help="DMD: exposure of each frame [default: as the run, or the shortest].")
@click.option("--period-us", type=float, help="DMD: time from frame to frame [default: the shortest legal one].")
@click.option(
    "--sync-every",
    type=int,
    metavar="N",
    help="DMD: begin with a blink code, and show all-on and all-off after every N patterns [default: neither].",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Aperture: a field of the order (tone=clear). MRI: one of the protocol (te_ms=5, kind=tse).",
)
@force_option
@json_option
def command(
    run: Path | None,
    out: Path | None,
    formats: tuple[str, ...],
    exposure_us: float | None,
    period_us: float | None,
    sync_every: int | None,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Write the files that the device, the mask shop or the scanner takes, with a manifest, and read them back.

    RUN is a run folder; without it the newest one below runs/ is used.  Several formats of a micromirror device go to
    one folder each below the output folder.
    """
    from cidesign.modalities.cassi.run import CassiRun
    from cidesign.modalities.mri.run import MriRun
    from cidesign.modalities.single_pixel.run import SinglePixelRun
    from cidesign.runs import Run, open_run

    opened = open_run(run, Run)
    if run is None:
        note(f"run: {opened.path} (the newest)")
    target = out or opened.path / "export"
    modality = opened.settings.modality
    if modality == "single-pixel":
        if assignments:
            raise click.UsageError("--set is for apertures and MRI; patterns take --exposure-us and --period-us")
        pattern_run = SinglePixelRun(opened.path)
        value, text = _export_patterns(pattern_run, target, formats, exposure_us, period_us, sync_every, force)
    else:
        if exposure_us is not None or period_us is not None:
            raise click.UsageError("--exposure-us and --period-us are for micromirror devices; use --set")
        if sync_every is not None:
            raise click.UsageError(f"--sync-every is for micromirror devices; this is a run of the modality {modality}")
        fields = assigned(assignments)
        if modality == "cassi":
            value, text = _export_mask(CassiRun(opened.path), target, formats, fields, force)
        else:
            value, text = _export_lines(MriRun(opened.path), target, formats, fields, force)
    result(value, text, as_json)
    next_step(f"cidesign check {quoted(target)}")


def _export_mask(
    run: Any, target: Path, formats: tuple[str, ...], fields: dict[str, Any], force: bool
) -> tuple[dict[str, Any], str]:
    from cidesign.modalities.cassi.files import export_aperture

    return export_aperture(run.design, run.profile, target, _order_options(fields), formats, force)


def _order_options(fields: dict[str, Any]) -> "OrderOptions":
    """The options of a mask order; raises `InputError` for a name or a type that they do not have."""
    import dataclasses

    from cidesign.errors import InputError
    from cidesign.export.aperture.layout import OrderOptions

    known = {field.name: field.default for field in dataclasses.fields(OrderOptions)}
    for name, value in fields.items():
        if name not in known:
            raise InputError(f"--set {name}: an order has no such field; known are {', '.join(known)}")
        wanted = float if known[name] is None else type(known[name])
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            fields[name] = float(value)
        elif type(value) is not wanted:
            raise InputError(f"--set {name}={value}: a value of the kind {wanted.__name__} is needed")
    return OrderOptions(**fields)


def _export_lines(
    run: Any, target: Path, formats: tuple[str, ...], fields: dict[str, Any], force: bool
) -> tuple[dict[str, Any], str]:
    from cidesign.modalities.mri.files import export_mri

    protocol = {**FIRST_PROTOCOL, **fields}
    if "dwell_us" in fields:
        protocol.pop("bandwidth_hz_per_px")
    if protocol["kind"] == "tse":
        protocol.setdefault("echo_train_length", 8)
    untouched = {name: value for name, value in protocol.items() if name not in fields and value is not None}
    if untouched:
        shown = ", ".join(f"{name}={value}" for name, value in untouched.items())
        note(f"protocol values that were not set: {shown}; TE and TR are the shortest unless set")
    return export_mri(run.design, run.profile, target, protocol, formats, force)


def _with_sync(design: "PatternStack", every: int) -> "PatternStack":
    """The design with sync frames; raises `InputError` for a number of patterns that it does not have."""
    from cidesign.errors import InputError

    try:
        return design.with_sync(every)
    except InputError as error:
        raise InputError(f"--sync-every {every}: {str(error).removeprefix('patterns: ')}") from error


def _export_patterns(
    run: "SinglePixelRun",
    target: Path,
    formats: tuple[str, ...],
    exposure_us: float | None,
    period_us: float | None,
    sync_every: int | None,
    force: bool,
) -> tuple[dict[str, Any], str]:
    from cidesign.constraints.sequence import plan_sequence
    from cidesign.export.dmd.formats import exporter_named, formats_for
    from cidesign.export.dmd.manifest import Manifest
    from cidesign.export.dmd.sync_frames import sync_note
    from cidesign.export.dmd.verify import acquisition_times
    from cidesign.export.dmd.writer import write_export
    from cidesign.files import replacing_folder
    from cidesign.units import format_bytes

    profile = run.profile
    pattern = run.design if sync_every is None else _with_sync(run.design, sync_every)
    exposure_us = run.settings.exposure_us if exposure_us is None else exposure_us
    plan = plan_sequence(profile, len(pattern.frames()), pattern.bit_depth, exposure_us, period_us)
    exporters = [exporter_named(name) for name in dict.fromkeys(formats or formats_for(profile.controller.value)[:1])]
    manifests: dict[Path, Manifest] = {}
    if len(exporters) == 1:
        manifests[target] = write_export(exporters[0], pattern, profile, plan, target, force)
    else:
        with replacing_folder(target, force) as temporary:
            for exporter in exporters:
                manifests[target / exporter.name] = write_export(
                    exporter, pattern, profile, plan, temporary / exporter.name
                )
    synced = [] if sync_every is None else [sync_note(pattern, profile, plan)]
    for text in (*plan.notes, *synced):
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
        **({} if sync_every is None else {"sync_every": sync_every}),
    }
    return value, f"{table(rows, ('file', 'role', 'size'))}\n\n{frames}\n{times}"
