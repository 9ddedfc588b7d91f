"""A coded-aperture run in a report: the mask, where the bands land, spectra, and cubes in false colour."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cidesign.constraints.aperture import feature_rule
from cidesign.modalities.cassi import report_figures as cassi_figures
from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
from cidesign.modalities.cassi.pictures import distinct_pixels, false_colour_bands, false_colours
from cidesign.modalities.cassi.run import CassiRun
from cidesign.physics.metrics import psnr_db, sam_degrees, ssim
from cidesign.report import figures, html
from cidesign.report.parts import Figure, Part, Section, Shown, reconstruction_note, verdict

SHOWN_SCENES = 4
SPECTRA = 4


def cassi_part(run: CassiRun, shown: Shown) -> Part:
    """The part of a coded-aperture run."""
    bands_nm = run.profile.spectrograph.wavelengths_nm.value
    rows, columns = run.settings.mask_size
    return Part(
        f"a mask of {rows} x {columns} code pixels for {run.profile.name}, {len(bands_nm)} bands",
        _design(run),
        _measures(run, shown),
        _reconstructions(run, shown),
        [_spectra(run, shown)],
    )


def _design(run: CassiRun) -> Section:
    settings, design, profile = run.settings, run.design, run.profile
    rule, lithography = feature_rule(profile), profile.lithography
    height_um, width_um = (count * design.pitch_um for count in design.levels.shape)
    limits = [
        f"features of {lithography.min_feature_um.value:g} um ({rule.feature_px} code pixels)",
        f"gaps of {lithography.min_gap_um.value:g} um ({rule.gap_px} code pixels)",
        "areas that touch at a corner" if rule.corner_contacts else "no areas that touch at a corner alone",
    ]
    if rule.area_um2 > 0:
        limits.append(f"islands of {rule.area_um2:g} um2")
    rows = [
        ("process", f"{profile.name} ({profile.id})"),
        ("mask", f"{design.levels.shape[0]} x {design.levels.shape[1]} code pixels of {design.pitch_um:g} um"),
        ("size on the plate", f"{height_um / 1000:g} x {width_um / 1000:g} mm (height x width)"),
        ("open fraction", f"{design.open_fraction:.1%} of the code pixels let light pass"),
        ("smallest that can be made", ", ".join(limits)),
        ("feature rule", verdict(rule.check(design)) if design.is_binary else "not evaluated: the mask is grey"),
        (
            "light",
            f"{settings.photoelectrons_full_scale:g} photoelectrons in a detector pixel that sees a white scene "
            f"through an open mask in all bands, read noise {settings.read_noise_photoelectrons:g} photoelectrons",
        ),
        ("design digest", design.design_digest),
    ]
    if settings.crop is not None:
        rows.insert(
            2,
            (
                "trained",
                f"in crops of {settings.crop} x {settings.crop} code pixels; scenes below are seen through the middle",
            ),
        )
    caption = (
        "The mask, one square for each code pixel, as the scene's light sees it; white: light passes, dark: blocked."
    )
    return Section("Design", [html.facts(rows), Figure("mask", cassi_figures.mask(design), caption)])


def _measures(run: CassiRun, shown: Shown) -> Section:
    encoder = cast(SdCassiEncoder, shown.student.encoder)
    bands_nm = run.profile.spectrograph.wavelengths_nm.value
    shifts = run.profile.spectrograph.shift_px.value
    truth, scenes = shown.scenes.truth, shown.scenes
    rows = [
        ("bands", f"{len(bands_nm)} from {bands_nm[0]:g} to {bands_nm[-1]:g} nm"),
        (
            "dispersion",
            f"{shifts[-1] - shifts[0]:+g} code pixels from first to last band, along {encoder.dispersion.axis}",
        ),
        ("detector image", f"{scenes.measured.shape[1]} x {scenes.measured.shape[2]} pixels (rows x columns)"),
        ("compression", f"{scenes.measured[0].numel() / truth[0].numel():.1%} as many readings as unknowns"),
    ]
    picture = cassi_figures.detector(
        false_colours(truth[0].numpy(), bands_nm),
        photoelectrons(encoder, scenes.measured[0]),
        encoder.dispersion,
        bands_nm,
    )
    caption = (
        "Left: the first scene in false colour. Right: what the detector sees of it through the mask, with noise. The "
        "bars show which detector pixels each band reaches: every band is the masked scene, shifted."
    )
    return Section("What the detector sees", [html.facts(rows), Figure("detector", picture, caption)])


def photoelectrons(encoder: SdCassiEncoder, y: Tensor) -> NDArray[np.floating]:
    """A detector image in photoelectrons."""
    if encoder.noise is None:
        raise TypeError("an encoder without noise knows no photoelectrons")
    scaled: NDArray[np.floating] = (y * (encoder.noise.photoelectrons_full_scale / encoder.noise.full_scale)).numpy()
    return scaled


def _colour_names(bands_nm: Sequence[float]) -> str:
    red, green, blue = (f"{bands_nm[band]:g} nm" for band in false_colour_bands(bands_nm))
    return f"red is the band at {red}, green {green}, blue {blue}"


def _reconstructions(run: CassiRun, shown: Shown) -> Section:
    found = shown.scenes
    bands_nm = run.profile.spectrograph.wavelengths_nm.value
    angles = {name: sam_degrees(x, found.truth) for name, x in found.images.items()}
    rows = [
        (
            name,
            f"{float(psnr_db(x, found.truth).mean()):.2f}",
            f"{float(ssim(x, found.truth).mean()):.3f}",
            f"{float(angles[name].nanmean()):.2f}",
        )
        for name, x in found.images.items()
    ]
    captions = {
        name: [f"{value}, {angle_text(float(angle))}" for value, angle in zip(values, angles[name], strict=True)]
        for name, values in found.psnr_captions().items()
    }
    grid = {
        name: false_colours(x[:SHOWN_SCENES].numpy(), bands_nm)
        for name, x in {"truth": found.truth, **found.images}.items()
    }
    (height, width), count = found.truth.shape[-2:], len(next(iter(grid.values())))
    caption = (
        f"The first {count} of {len(found.truth)} scenes, {height} x {width} pixels, in false colour: "
        f"{_colour_names(bands_nm)}; reflectance 0 to 1 with a gamma of 2.2, what lies outside is drawn as 0 or 1. "
        "Below each image the PSNR over all bands and the spectral angle."
    )
    header = (f"mean of {len(found.truth)} scenes", "PSNR / dB", "SSIM", "spectral angle (SAM) / degrees")
    by_band = cassi_figures.band_psnr(_band_psnr(found.images, found.truth), bands_nm, false_colour_bands(bands_nm))
    return Section(
        "Reconstructions of unseen procedural scenes, with noise",
        [
            reconstruction_note(shown, run.settings.data),
            html.table(header, rows),
            Figure.of("reconstructions", figures.image_grid(grid, captions), caption),
            Figure(
                "band_psnr",
                by_band,
                f"PSNR of every band, mean of {len(found.truth)} scenes; vertical lines: bands of the false colours.",
            ),
        ],
    )


def angle_text(degrees: float) -> str:
    """A spectral angle, or that a scene is too dark to have one."""
    return "too dark for an angle" if math.isnan(degrees) else f"{degrees:.1f}°"


def _band_psnr(images: Mapping[str, Tensor], truth: Tensor) -> dict[str, list[float]]:
    """The mean PSNR of every band, by name."""
    return {
        name: [float(psnr_db(x[:, k : k + 1], truth[:, k : k + 1]).mean()) for k in range(truth.shape[1])]
        for name, x in images.items()
    }


def _spectra(run: CassiRun, shown: Shown) -> Section:
    bands_nm = run.profile.spectrograph.wavelengths_nm.value
    number = most_colourful(shown.scenes.truth)
    truth = shown.scenes.truth[number].numpy()
    pixels = distinct_pixels(truth, SPECTRA)
    named = {"truth": truth, **{name: x[number].numpy() for name, x in shown.scenes.images.items()}}
    colours = false_colours(truth, bands_nm)
    picture = cassi_figures.spectra(colours, pixels, named, bands_nm)
    caption = (
        f"Spectra at {len(pixels)} pixels of scene {number + 1}, which has the most varied spectra. Scene and pixels "
        "are chosen by the truth alone: the brightest pixel, then again and again the one whose spectrum is farthest "
        "from those chosen. Angles are between truth and image."
    )
    return Section("Spectra", [Figure("spectra", picture, caption)])


def most_colourful(cubes: Tensor) -> int:
    """Which of the cubes (M, L, H, W) has spectra that vary most around its mean spectrum, brightness apart."""
    unit = cubes / cubes.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return int((unit - unit.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(1, 2, 3)).argmax())
