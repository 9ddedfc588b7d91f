"""A single-pixel run in a report: its patterns, their singular values, and the time that the device takes."""

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.rules import bit_depth_rule
from cidesign.constraints.sequence import SequencePlan, sequences_text, stored_together, video_time_us
from cidesign.export.dmd.planning import plan_design
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.physics.metrics import psnr_db, ssim
from cidesign.report import figures, html
from cidesign.report.figures import STUDENT, TEACHER, Drawn, new_figure, png
from cidesign.report.parts import Figure, Part, Section, Shown, reconstruction_note, verdict
from cidesign.units import format_duration_us

PATTERN_COLUMNS, PATTERN_ROWS = 12, 4
ZERO_SINGULAR_VALUE = 1e-6
# About a minute of one processor; larger operators are left out of the picture.
MAX_SVD_OPERATIONS = 2e11


def single_pixel_part(run: SinglePixelRun, shown: Shown) -> Part:
    """The part of a single-pixel run."""
    settings = run.settings
    plan = plan_design(run.profile, run.design, settings.exposure_us)
    return Part(
        f"{settings.patterns} patterns for {run.profile.name}",
        _design(run, plan),
        _measures(run, shown),
        _reconstructions(run, shown),
        [_timing(run, plan)],
    )


def _design(run: SinglePixelRun, plan: SequencePlan) -> Section:
    settings, design = run.settings, run.design
    rule = bit_depth_rule(run.profile, settings.bit_depth)
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
            f"read noise {settings.read_noise_photoelectrons:g} photoelectrons",
        ),
        ("bit depth rule", verdict(rule.check(design))),
        ("design digest", design.design_digest),
    ]
    count = min(design.count, PATTERN_COLUMNS * PATTERN_ROWS)
    caption = f"Patterns 0 to {count - 1} of {design.count}; white: mirrors on during the whole exposure."
    return Section(
        "Design", [html.facts(rows), Figure.of("patterns", pattern_grid(design.levels, design.max_level), caption)]
    )


def pattern_grid(levels: NDArray[np.uint8], max_level: int) -> Drawn:
    """The first patterns (K, n, n) side by side, numbered."""
    count = min(len(levels), PATTERN_COLUMNS * PATTERN_ROWS)
    columns = min(count, PATTERN_COLUMNS)
    rows = -(-count // columns)
    # A few patterns are not drawn larger than those of a full row.
    panel_inches = figures.WIDTH_INCHES / PATTERN_COLUMNS
    figure = new_figure(rows * (panel_inches + 0.17) + 0.1)
    figure.set_figwidth(columns * panel_inches)
    axes = figure.subplots(rows, columns, squeeze=False)
    for position, axis in enumerate(axes.flat):
        figures.bare(axis)
        if position >= count:
            axis.set_axis_off()
        else:
            axis.imshow(levels[position], cmap="gray", vmin=0, vmax=max_level, interpolation="nearest")
            axis.set_title(str(position), fontsize=7, pad=2)
    dpi = figures.fine_enough(levels.shape[-1], panel_inches * 0.9)
    figures.lay_out(figure, dpi)
    size, share = (levels.shape[1], levels.shape[2]), levels.mean(axis=(1, 2)) / max_level
    spots = tuple(
        figures.panel_spot(axis, f"pattern {position}: {share[position]:.1%} of all light", size, max_level)
        for position, axis in enumerate(axes.flat[:count])
    )
    return Drawn(png(figure, dpi), spots)


def _measures(run: SinglePixelRun, shown: Shown) -> Section:
    title = "What the patterns measure"
    side, count = run.settings.side, run.settings.patterns
    systems = {shown.teacher_name: (shown.teacher, TEACHER), shown.scenes.own: (shown.student, STUDENT)}
    operators = {
        name: (cast(SinglePixelEncoder, system.encoder).matrix().numpy().astype(np.float64), colour)
        for name, (system, colour) in systems.items()
        if system is not None
    }
    most = max((len(matrix) for matrix, _ in operators.values()))
    if most**2 * side**2 > MAX_SVD_OPERATIONS:
        text = f"Singular values are left out: {most} patterns of {side**2} unknowns would take minutes."
        return Section(title, [html.paragraph(text, "note")])
    if run.settings.design is None:
        start = low_frequency_cosines(side, count).reshape(count, -1).astype(np.float64) / side
        operators["low-pass cosines"] = start, figures.REFERENCE
    caption = (
        "Singular values of the operators y = A x, largest first. The flatter the curve, the more evenly light is "
        "spent on what is measured"
    )
    caption += "." if shown.teacher is None else "; the teacher's cannot be built."
    return Section(title, [Figure("singular_values", singular_values(operators), caption)])


def singular_values(operators: Mapping[str, tuple[NDArray[np.float64], str]]) -> bytes:
    """Singular values of each operator (K, N), each in its colour, and what its condition number is."""
    figure = new_figure(3.2)
    axis = figure.subplots()
    for name, (matrix, colour) in operators.items():
        values = np.linalg.svd(matrix, compute_uv=False)
        kept = values[values > ZERO_SINGULAR_VALUE * values[0]]
        remark = f"condition number {kept[0] / kept[-1]:.3g}" if len(kept) == len(values) else f"rank {len(kept)}"
        numbers = np.arange(1, len(kept) + 1)
        axis.semilogy(numbers, kept, ".-", markersize=3, label=f"{name} ({remark})", color=colour)
    axis.set_xlabel("number of the singular value")
    axis.set_ylabel("singular value of A")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return png(figure)


def _reconstructions(run: SinglePixelRun, shown: Shown) -> Section:
    found = shown.scenes
    rows = [
        (name, f"{float(psnr_db(x, found.truth).mean()):.2f}", f"{float(ssim(x, found.truth).mean()):.3f}")
        for name, x in found.images.items()
    ]
    grid = {name: x[:, 0].numpy() for name, x in {"truth": found.truth, **found.images}.items()}
    side = run.settings.side
    caption = (
        f"{len(found.truth)} scenes of {side} x {side} pixels; black is 0, white 1, and what lies outside is drawn as "
        "black or white. Below each image its PSNR."
    )
    return Section(
        "Reconstructions of unseen procedural scenes, with noise",
        [
            reconstruction_note(shown, run.settings.data),
            html.table((f"mean of {len(found.truth)} scenes", "PSNR / dB", "SSIM"), rows),
            Figure.of("reconstructions", figures.image_grid(grid, found.psnr_captions()), caption),
        ],
    )


def _timing(run: SinglePixelRun, plan: SequencePlan) -> Section:
    video_us = video_time_us(run.profile, len(plan.entries), plan.bit_depth, plan.exposure_us)
    asked = "" if plan.requested_exposure_us is None else f" (asked for: {plan.requested_exposure_us:g} us)"
    rows = [
        ("frames and images", f"{len(plan.entries)} frames in {plan.images} images{sequences_text(plan)}"),
        ("exposure of a frame", f"{plan.exposure_us} us{asked}"),
        *([] if plan.streamed else [(_stored(run), format_duration_us(plan.total_us))]),
        *([("streamed over HDMI", format_duration_us(video_us))] if video_us is not None else []),
    ]
    notes = [html.paragraph(remark, "note") for remark in plan.notes]
    caption = "How many frames have been shown at each time."
    if len(plan.starts) > 1:
        caption += " The time between two sequences is not in it."
    figure = Figure("timing", sequence_timing(plan, video_us, _stored(run)), caption)
    return Section("Time on the device", [html.facts(rows), *notes, figure])


def _stored(run: SinglePixelRun) -> str:
    return "from flash" if stored_together(run.profile) else "from pattern memory"


def sequence_timing(plan: SequencePlan, video_us: int | None, stored: str = "from flash") -> bytes:
    """When each frame starts when images come from the device, and over HDMI where it has that."""
    figure = new_figure(2.6)
    axis = figure.subplots()
    starts_us = np.cumsum([0, *(entry.period_us for entry in plan.entries)])
    if not plan.streamed:
        axis.plot(
            starts_us / 1000,
            np.arange(len(starts_us)),
            drawstyle="steps-post",
            color=STUDENT,
            label=f"{stored}: {format_duration_us(plan.total_us)}",
        )
    if video_us is not None:
        axis.plot(
            [0, video_us / 1000],
            [0, len(plan.entries)],
            color=TEACHER,
            label=f"streamed over HDMI: {format_duration_us(video_us)}",
        )
    axis.set_xlabel("time / ms")
    axis.set_ylabel("frames shown")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return png(figure)
