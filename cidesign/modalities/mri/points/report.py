"""A run of points in a report: the acquired points, their point-spread function, and magnitudes with their errors."""

from typing import cast

import numpy as np

from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.encoders.fourier import centred_fft, to_complex
from cidesign.modalities.mri.points import report_figures as pictures
from cidesign.modalities.mri.points.merit import DENSITY_RINGS, ring_density
from cidesign.modalities.mri.points.run import PointsRun
from cidesign.modalities.mri.report import circumstances, errors, exact_quotient, of_zeros, reconstructions
from cidesign.modalities.mri.report_figures import lobe_text
from cidesign.physics.encoder_metrics import spread_of_points
from cidesign.report import html
from cidesign.report.parts import Figure, Part, Section, Shown, verdict

AXES = "ky from top to bottom, kz from left to right"
DENSITY_BINS = 16


def points_part(run: PointsRun, shown: Shown) -> Part:
    """The part of a run of points."""
    design, plain = run.design, of_zeros(shown, "points")
    return Part(
        f"{len(design.acquired)} of {design.lines} x {design.partitions} points (R = {design.acceleration:.4g}) for "
        f"{run.profile.name}",
        _design(run, shown),
        _measures(run, shown),
        reconstructions(run.settings.data, shown, plain, AXES),
        [errors(shown, plain)],
    )


def _design(run: PointsRun, shown: Shown) -> Section:
    settings, design, profile = run.settings, run.design, run.profile
    power = centred_fft(to_complex(shown.scenes.truth)).abs().square().double().sum(dim=0).numpy()
    share = power[design.mask == 1].sum() / max(power.sum(), 1e-300)
    choices, count = design.lines * design.partitions, len(design.acquired)
    centre = design.mask[design.lines // 2, design.partitions // 2]
    corners = int(design.mask[settings.budget.radius > 1].sum())
    rows = [
        ("scanner", f"{profile.name} ({profile.id})"),
        (
            "matrix",
            f"{design.lines} lines x {design.partitions} partitions; each point is a readout of {design.readout} "
            "samples",
        ),
        ("acquired points", str(count)),
        ("calibration region (ACS)", "{} x {}".format(*design.calibration)),
        ("corners outside the ellipse", f"{corners} acquired" if corners else "none acquired"),
        ("centre of k-space", "acquired" if centre else "NOT acquired"),
        ("acceleration", f"R = {choices} / {count} = {exact_quotient(choices, count)}, corners counted"),
        ("point budget", verdict(settings.budget.check(design))),
        ("energy of the scenes", f"{share:.2%} lies on the acquired points"),
        *circumstances(settings),
        ("design digest", design.design_digest),
    ]
    caption = (
        "Left: which points (ky, kz) of k-space are acquired, ky from top to bottom; every one is a readout. Right: "
        f"the mean energy of each point in dB of the largest, over the {len(shown.scenes.truth)} scenes below."
    )
    picture = pictures.points(design, settings.budget.never, power)
    return Section("Design", [html.facts(rows), Figure("points", picture, caption)])


def _measures(run: PointsRun, shown: Shown) -> Section:
    design = run.design
    spread = spread_of_points(design.mask)
    weights = {shown.scenes.own: design.mask.astype(np.float64)}
    if shown.teacher is not None:
        # What is measured with an amplitude comes back with its square.
        choice = cast(CartesianEncoder, shown.teacher.encoder).choice()
        weights[shown.teacher_name] = choice.square().double().numpy()
    rows = [
        ("largest side lobe", lobe_text(spread.side_lobe)),
        ("coherence", f"{lobe_text(spread.coherence)} (the largest value off the centre, main lobe included)"),
    ]
    caption = (
        "Point-spread function of the zero-filled image in both phase-encode directions: what one bright pixel "
        "becomes, in dB of its centre. Main lobe: resolution; side lobes: aliasing."
    )
    few = ", ".join(f"{share:.0%}" for share in ring_density(design.mask, DENSITY_RINGS) if not np.isnan(share))
    dense = (
        "Share of the points that are acquired, by their distance from the centre of k-space (1 is the ellipse in the "
        f"matrix). Of the student in {DENSITY_RINGS} rings from the centre outwards: {few}."
    )
    return Section(
        "What the points measure",
        [
            html.facts(rows),
            Figure("point_spread", pictures.point_spreads(weights), caption),
            Figure("point_density", pictures.point_density(weights, DENSITY_BINS), dense),
        ],
    )
