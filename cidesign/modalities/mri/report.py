"""An MRI run in a report: the acquired lines, their point-spread function, and magnitudes with their errors."""

from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.modalities.mri import report_figures as mri_figures
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.encoders.fourier import centred_fft, to_complex
from cidesign.modalities.mri.merit import DENSITY_PARTS
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.settings import ScanSettings
from cidesign.pattern import centre_block
from cidesign.physics.encoder_metrics import line_density, line_spread
from cidesign.physics.metrics import magnitude, psnr_db, ssim
from cidesign.report import figures, html
from cidesign.report.parts import Figure, Part, Section, Shown, reconstruction_note, verdict

SHOWN_SCENES = 4
DENSITY_BINS = 16


def mri_part(run: MriRun, shown: Shown) -> Part:
    """The part of an MRI run."""
    design, plain = run.design, of_zeros(shown, "lines")
    return Part(
        f"{len(design.acquired)} of {design.lines} lines (R = {design.acceleration:.4g}) for {run.profile.name}",
        _design(run, shown),
        _measures(run, shown),
        reconstructions(run.settings.data, shown, plain, "phase encoding from top to bottom"),
        [errors(shown, plain)],
    )


def _design(run: MriRun, shown: Shown) -> Section:
    settings, design, profile = run.settings, run.design, run.profile
    energy = line_energy(shown.scenes.truth)
    acquired = set(design.acquired.tolist())
    block = centre_block(design.lines, design.calibration_lines)
    centre = design.lines // 2
    rows = [
        ("scanner", f"{profile.name} ({profile.id})"),
        ("matrix", f"{design.lines} phase-encode lines of {design.readout} samples"),
        ("acquired lines", f"{len(design.acquired)}: {ranges(sorted(acquired))}"),
        ("calibration lines (ACS)", f"{len(block)}: {ranges(list(block))}" if len(block) else "none are fixed"),
        ("centre of k-space", f"line {centre}, {'acquired' if centre in acquired else 'NOT acquired'}"),
        (
            "acceleration",
            f"R = {design.lines} / {len(design.acquired)} = {exact_quotient(design.lines, len(acquired))}",
        ),
        ("line budget", verdict(settings.budget.check(design))),
        ("energy of the scenes", f"{energy[design.acquired].sum():.2%} lies on the acquired lines"),
        *circumstances(settings),
        ("design digest", design.design_digest),
    ]
    caption = (
        "Left: which lines of k-space are acquired, line 0 at the top; every acquired line is read out whole. Right: "
        f"the share of the energy that each line holds, over the {len(shown.scenes.truth)} scenes below."
    )
    return Section("Design", [html.facts(rows), Figure("lines", mri_figures.lines(design, energy), caption)])


def circumstances(settings: ScanSettings) -> list[tuple[str, str]]:
    """Coils and noise, for a table of facts."""
    noise = (
        f"{settings.noise:g} on real and imaginary part of each sample of orthonormal k-space; the brightest pixel of "
        "an image has magnitude 1"
    )
    return [("receive coils", "1" if settings.coils == 1 else f"{settings.coils} (simulated)"), ("noise", noise)]


def exact_quotient(numerator: int, denominator: int) -> str:
    """A quotient, with `about` where six digits do not hold it."""
    text = f"{numerator / denominator:.6g}"
    return text if abs(float(text) * denominator - numerator) < 1e-9 else f"about {text}"


def ranges(numbers: list[int]) -> str:
    """Rising whole numbers in words: `3, 7-9, 12`."""
    starts = [number for number, before in zip(numbers, [None, *numbers], strict=False) if before != number - 1]
    ends = [a for a, b in pairwise(numbers) if b != a + 1] + numbers[-1:]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def line_energy(x: Tensor) -> NDArray[np.float64]:
    """(H,) the share of the energy of complex images (M, 2, H, W) on each line of k-space; the sum is 1."""
    power = centred_fft(to_complex(x)).abs().square().double().sum(dim=(0, 2))
    share: NDArray[np.float64] = (power / power.sum().clamp_min(1e-300)).numpy()
    return share


def _measures(run: MriRun, shown: Shown) -> Section:
    design = run.design
    spread = line_spread(design.mask)
    weights = {shown.scenes.own: design.mask.astype(np.float64)}
    if shown.teacher is not None:
        # What is measured with an amplitude comes back with its square.
        weights[shown.teacher_name] = cast(CartesianEncoder, shown.teacher.encoder).choice().square().double().numpy()
    rows = [
        ("largest side lobe", mri_figures.lobe_text(spread.side_lobe)),
        (
            "coherence",
            f"{mri_figures.lobe_text(spread.coherence)} (the largest value off the centre, main lobe included)",
        ),
    ]
    caption = (
        "Point-spread function of the zero-filled image along the phase-encode direction: what one bright pixel "
        "becomes. Main lobe: resolution; side lobes: aliasing. The dashed line is the student's largest side lobe, "
        f"beyond the first minimum. Values below {mri_figures.LOWEST_DB} dB (zeros among them) lie under the picture."
    )
    picture = mri_figures.point_spread(weights, spread.side_lobe)
    bins, few = (min(count, design.lines // 2 + 1) for count in (DENSITY_BINS, DENSITY_PARTS))
    parts = ", ".join(f"{share:.0%}" for share in line_density(design.mask, few))
    dense = (
        f"Share of the lines that are acquired, by their distance from the centre of k-space, in {bins} parts of equal "
        f"width. Of the student in {few} parts from the centre outwards: {parts}."
    )
    return Section(
        "What the lines measure",
        [
            html.facts(rows),
            Figure("point_spread", picture, caption),
            Figure("line_density", mri_figures.line_density(weights, bins), dense),
        ],
    )


@torch.no_grad()
def zero_filled(encoder: CartesianEncoder, y: Tensor) -> Tensor:
    """Images (M, 2, H, W) of k-space with 0 on the lines that were not acquired; coils combined by their maps."""
    weight = encoder.coil_maps.abs().square().sum(dim=0)
    return encoder.A_adjoint(y) / weight.clamp_min(1e-12)


class Plain(NamedTuple):
    """Images (M, 2, H, W) of what was measured, made with a transform alone: their name, and what they are."""

    name: str
    images: Tensor
    explained: str


def of_zeros(shown: Shown, what: str) -> Plain:
    """Zero-filled images; `what` is measured."""
    images = zero_filled(cast(CartesianEncoder, shown.student.encoder), shown.scenes.measured)
    said = f"Zero-filled: the inverse Fourier transform of what was acquired, 0 on all other {what}."
    return Plain("zero-filled", images, said)


def reconstructions(data: str, shown: Shown, plain: Plain, axes: str) -> Section:
    """Magnitudes with their scores, the plain ones first; how the `axes` of the images lie."""
    truth, images = shown.scenes.truth, {plain.name: plain.images, **shown.scenes.images}
    target = magnitude(truth)
    scores = {name: (psnr_db(magnitude(x), target), ssim(magnitude(x), target)) for name, x in images.items()}
    rows = [
        (
            name,
            f"{float(psnr.mean()):.2f}",
            f"{float(near.mean()):.3f}",
            f"{float(psnr_db(images[name], truth).mean()):.2f}",
        )
        for name, (psnr, near) in scores.items()
    ]
    captions = {
        name: [f"{a:.1f} dB, SSIM {b:.3f}" for a, b in zip(psnr, near, strict=True)]
        for name, (psnr, near) in scores.items()
    }
    grid = {name: magnitude(x)[:SHOWN_SCENES, 0].numpy() for name, x in {"truth": truth, **images}.items()}
    count, (lines, samples) = len(next(iter(grid.values()))), truth.shape[-2:]
    caption = (
        f"Magnitudes of the first {count} of {len(truth)} scenes, {lines} x {samples} pixels, {axes}; black is 0, "
        "white 1 and above. Below each image PSNR and SSIM of its magnitude."
    )
    header = (
        f"mean of {len(truth)} scenes",
        "PSNR of the magnitude / dB",
        "SSIM of the magnitude",
        "PSNR of the complex image / dB",
    )
    explained = (
        f"{plain.explained} The two kinds of PSNR differ: the magnitude leaves out errors of the phase, and the mean "
        "of the complex image counts real and imaginary part as two values."
    )
    return Section(
        "Reconstructions of unseen procedural scenes, with noise",
        [
            reconstruction_note(shown, data),
            html.paragraph(explained),
            html.table(header, rows),
            Figure.of("reconstructions", figures.image_grid(grid, captions), caption),
        ],
    )


def errors(shown: Shown, plain: Plain) -> Section:
    """Where the magnitudes are wrong."""
    truth = magnitude(shown.scenes.truth)[:SHOWN_SCENES, 0]
    images = {plain.name: plain.images, **shown.scenes.images}
    found = {name: (magnitude(x)[:SHOWN_SCENES, 0] - truth).abs().numpy() for name, x in images.items()}
    top = max(float(found[shown.scenes.own].max()), 1e-6)
    caption = (
        "Absolute error of the magnitude, | |x_hat| - |x| |, in units of the brightest pixel, all on one scale that "
        f"ends at the largest error of the {shown.scenes.own} images; what is above is drawn in the last colour."
    )
    picture = figures.image_grid(found, {}, (top, "error of the magnitude / brightest pixel"))
    return Section("Where the errors are", [Figure.of("errors", picture, caption)])
