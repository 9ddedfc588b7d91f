"""The report of a run: what was designed, how training went, what it reconstructs, how long the device takes."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequencePlan, plan_sequence, video_time_us
from cidesign.errors import FileError
from cidesign.files import read_json, read_limited, write_bytes
from cidesign.models.system import ImagingSystem, load_student, load_teacher
from cidesign.physics.designs import low_frequency_cosines
from cidesign.report import figures, html
from cidesign.runs import Run
from cidesign.units import format_duration_us

MAX_PICTURE_BYTES = 50_000_000


class Report(NamedTuple):
    """What was written: the page and its pictures."""

    page: Path
    pictures: list[Path]


def write_report(run: Run, scenes: NDArray[np.uint8], included: list[Path], force: bool) -> Report:
    """Write `report.html` and `figures/` into the run folder.

    `scenes` (M, n, n) are images that the run has not seen; `included` are reconstruction folders to show.
    Raises `FileError` when a report is there already and `force` is not set.
    """
    target = run.path / "report.html"
    if target.exists() and not force:
        raise FileError(f"{target}: exists already; repeat with --force to replace it")
    student, teacher = load_student(run), load_teacher(run)
    plan = plan_sequence(run.profile, len(run.design.frames()), run.settings.bit_depth, run.settings.exposure_us)
    video_us = video_time_us(run.profile, len(plan.entries), plan.bit_depth, plan.exposure_us)
    pictures = {
        "patterns": figures.pattern_grid(run.design.levels, run.design.max_level),
        "singular_values": figures.singular_values(_operators(run, student, teacher)),
        "training": figures.training_curves(_metric_lines(run)),
        "reconstructions": _reconstructions(student, teacher, scenes),
        "timing": figures.sequence_timing(plan, video_us),
    }
    sections = [
        html.section("Design", *_design_parts(run, plan), html.picture(pictures["patterns"], "patterns")),
        html.section(
            "What the patterns measure",
            html.picture(pictures["singular_values"], "singular values"),
            html.paragraph("The flatter the curve, the more evenly light is spent; the teacher cannot be built."),
        ),
        html.section("Training", _quality_table(run), html.picture(pictures["training"], "training curves")),
        html.section(
            "Reconstructions of unseen procedural scenes, with noise",
            html.paragraph("Linear: the best linear estimate from the student's readings, before its network."),
            html.picture(pictures["reconstructions"], "scenes and reconstructions"),
        ),
        html.section("Time on the device", *_timing_parts(plan, video_us), html.picture(pictures["timing"], "timing")),
        *(_included_section(folder) for folder in included),
        html.section("How to repeat it", *_provenance_parts(run)),
    ]
    written = []
    for name, content in pictures.items():
        write_bytes(run.path / "figures" / f"{name}.png", content)
        written.append(run.path / "figures" / f"{name}.png")
    title = f"{run.path.name}: {run.settings.patterns} patterns for {run.profile.name}"
    write_bytes(target, html.page(title, *sections).encode())
    return Report(target, written)


def _operators(run: Run, student: ImagingSystem, teacher: ImagingSystem) -> dict[str, NDArray[np.float64]]:
    side, count = run.settings.side, run.settings.patterns
    start = low_frequency_cosines(side, count).reshape(count, -1) / side
    return {
        "teacher": teacher.encoder.matrix().numpy().astype(np.float64),
        "student": student.encoder.matrix().numpy().astype(np.float64),
        "starting design": start.astype(np.float64),
    }


def _metric_lines(run: Run) -> list[dict[str, Any]]:
    content = read_limited(run.file("metrics.jsonl"), "metrics file", MAX_PICTURE_BYTES)
    try:
        lines = [json.loads(line) for line in content.decode().splitlines()]
        return [{key: line[key] for key in ("phase", "epoch", "psnr_db", "linear_psnr_db")} for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{run.path / 'metrics.jsonl'}: this metrics file is damaged ({error})") from error


@torch.no_grad()
def _reconstructions(student: ImagingSystem, teacher: ImagingSystem, scenes: NDArray[np.uint8]) -> bytes:
    x = torch.from_numpy(scenes).float()[:, None] / 255
    y = student.encoder(x, torch.Generator().manual_seed(0))
    shown = {
        "truth": x,
        "student": student.decoder(y, student.encoder).image,
        "linear": student.decoder.linear_estimate(y, student.encoder),
        "teacher": teacher(x, torch.Generator().manual_seed(0)).image,
    }
    captions = {
        name: [
            f"{-10 * np.log10(max(float((image - truth).square().mean()), 1e-12)):.1f} dB"
            for image, truth in zip(images, x, strict=True)
        ]
        for name, images in shown.items()
        if name != "truth"
    }
    return figures.image_rows({name: images[:, 0].numpy() for name, images in shown.items()}, captions)


def _design_parts(run: Run, plan: SequencePlan) -> list[str]:
    settings = run.settings
    rows = [
        ("device", f"{run.profile.name} ({run.profile.id})"),
        (
            "patterns",
            f"{settings.patterns} of {settings.side} x {settings.side} super-pixels, {settings.bit_depth} bit",
        ),
        ("compression", f"{settings.patterns / settings.side**2:.1%} of the unknowns are measured"),
        ("encoding", f"{settings.encoding}: {len(plan.entries)} frames"),
        (
            "light",
            f"{settings.photoelectrons_per_frame:g} photoelectrons in an all-on frame of a white scene, "
            f"read noise {settings.read_noise_photoelectrons:g}",
        ),
        ("design digest", str(run.record.design_digest)),
    ]
    return [html.table(("", ""), rows)]


def _quality_table(run: Run) -> str:
    metrics = run.record.metrics
    rows = [
        (
            name,
            f"{metrics[f'{name}_psnr_db']:.2f}",
            f"{metrics[f'{name}_ssim']:.3f}",
            f"{metrics[f'{name}_linear_psnr_db']:.2f}",
        )
        for name in ("teacher", "student")
    ]
    return html.table(("validation", "PSNR / dB", "SSIM", "linear estimate / dB"), rows)


def _timing_parts(plan: SequencePlan, video_us: int | None) -> list[str]:
    rows = [
        ("frames and images", f"{len(plan.entries)} frames in {plan.images} images"),
        (
            "exposure of a frame",
            f"{plan.exposure_us} us"
            + ("" if plan.requested_exposure_us is None else f" (asked for: {plan.requested_exposure_us:g} us)"),
        ),
        ("from flash", format_duration_us(plan.total_us)),
        *([("streamed over HDMI", format_duration_us(video_us))] if video_us is not None else []),
    ]
    return [html.table(("", ""), rows), *(html.paragraph(remark, "note") for remark in plan.notes)]


def _included_section(folder: Path) -> str:
    """A reconstruction folder: its numbers and its comparison picture."""
    record = read_json(folder / "reconstruction.json", "reconstruction record")
    picture = read_limited(folder / "comparison.png", "comparison picture", MAX_PICTURE_BYTES)
    numbers = [(key, f"{value:.6g}") for key, value in record.items() if isinstance(value, int | float)]
    rows = record.get("table")
    parts = [html.picture(picture, f"comparison of {folder.name}")]
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        header = list(rows[0])
        parts.insert(0, html.table(header, [[_cell(row.get(key)) for key in header] for row in rows]))
    elif numbers:
        parts.insert(0, html.table(("", ""), numbers))
    return html.section(f"Reconstruction: {folder.name}", *parts)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _provenance_parts(run: Run) -> list[str]:
    record = run.record
    rows = [
        ("created", record.created_utc),
        ("cidesign", record.cidesign_version),
        *record.versions.items(),
        ("profile digest", record.profile_digest),
        ("images digest", record.data_digest),
        *((key, str(value)) for key, value in record.settings.model_dump().items()),
    ]
    return [html.table(("", ""), rows)]
