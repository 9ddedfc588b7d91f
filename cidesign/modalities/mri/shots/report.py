"""A run of shots in a report: the shots, their gradients over time, their point spread, and magnitudes with errors."""

from typing import cast

import torch

from cidesign.constraints.gradients import GradientRule
from cidesign.modalities.mri.report import Plain, circumstances, errors, reconstructions
from cidesign.modalities.mri.report_figures import lobe_text
from cidesign.modalities.mri.shots import report_figures as pictures
from cidesign.modalities.mri.shots.encoder import ShotsEncoder
from cidesign.modalities.mri.shots.merit import even_spread, hardware_shares, side_lobe
from cidesign.modalities.mri.shots.run import ShotsRun
from cidesign.report import html
from cidesign.report.parts import Figure, Part, Section, Shown, verdict


def shots_part(run: ShotsRun, shown: Shown) -> Part:
    """The part of a run of shots."""
    design = run.design
    with torch.no_grad():
        images = cast(ShotsEncoder, shown.student.encoder).gridded(shown.scenes.measured)
    said = "Gridding: samples weighted to an even density, and their adjoint Fourier sum."
    plain = Plain("gridding", images, said)
    return Part(
        f"{design.shots} shots of {design.samples_per_shot} samples (R = {design.acceleration:.4g}) for "
        f"{run.profile.name}",
        _design(run),
        _measures(run, shown),
        reconstructions(run.settings.data, shown, plain, "the first axis of k-space from top to bottom"),
        [errors(shown, plain)],
    )


def _design(run: ShotsRun) -> Section:
    settings, design, profile = run.settings, run.design, run.profile
    rule = GradientRule.of(profile)
    gradient, slew = hardware_shares(design, rule)
    readout_ms = 1e-6 * design.samples_per_shot * design.dwell_ns
    rows = [
        ("scanner", f"{profile.name} ({profile.id})"),
        ("image", f"{design.size[0]} x {design.size[1]} pixels of {design.fov_mm:g} mm"),
        ("shots", f"{design.shots}, R = {design.size[0]} / {design.shots} = {design.acceleration:.4g}"),
        (
            "readout",
            f"{design.samples_per_shot} samples of {design.dwell_ns / 1000:g} us in {readout_ms:.6g} ms, from "
            f"{1e-6 * design.delay_ns:.4g} ms of {1e-6 * design.duration_ns:.4g} ms on",
        ),
        ("largest gradient", f"{gradient:.1%} of {rule.gradient_mt_per_m:g} mT/m, as a vector"),
        ("largest slew rate", f"{slew:.1%} of {rule.slew_t_per_m_per_s:g} T/m/s, as a vector"),
        ("gradients", verdict(rule.check(design))),
        *circumstances(settings),
        ("design digest", design.design_digest),
    ]
    places = (
        "Where k-space is sampled: one dot for each sample, the first shot in red. The frame is the k-space of the "
        "image. Right: the same around the centre."
    )
    time = (
        "Length of the gradient vector and of its slope, shot by shot from its start, the first shot in red; the "
        "dashed lines are the design limits, which hold for vectors, so that the slice may lie at any angle. "
        "Prephasers, rewinders and the slice selection are not drawn."
    )
    return Section(
        "Design",
        [
            html.facts(rows),
            Figure("shots", pictures.trajectory(design), places),
            Figure("gradients", pictures.over_time(design, rule), time),
        ],
    )


def _measures(run: ShotsRun, shown: Shown) -> Section:
    k = torch.from_numpy(run.design.samples).flatten(0, 1)
    spreads = {shown.scenes.own: even_spread(k, run.design.size).numpy()}
    if shown.teacher is not None:
        teacher = cast(ShotsEncoder, shown.teacher.encoder)
        with torch.no_grad():
            theirs = teacher.k().flatten(0, 1)
        spreads[shown.teacher_name] = even_spread(theirs, teacher.size).numpy()
    rows = [("largest side lobe", lobe_text(side_lobe(k, run.design.size)))]
    caption = (
        "Point-spread function of the gridded image: the largest value at each distance, what one bright pixel "
        f"becomes. Main lobe: resolution; side lobes: aliasing. Values below {pictures.LOWEST_DB} dB lie under the "
        "picture."
    )
    return Section(
        "What the shots measure", [html.facts(rows), Figure("point_spread", pictures.point_spread(spreads), caption)]
    )
