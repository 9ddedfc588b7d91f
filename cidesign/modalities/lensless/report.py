"""A lensless run in a report: the mask, its shadow, what the sensor reads, reconstructions."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cidesign.constraints.aperture import feature_rule
from cidesign.modalities.lensless.encoders.designed import MaskEncoder
from cidesign.modalities.lensless.run import LenslessRun
from cidesign.modalities.lensless.settings import geometry_of, propagation_text
from cidesign.physics.metrics import psnr_db, ssim
from cidesign.report import figures, html
from cidesign.report.parts import Figure, Part, Section, Shown, reconstruction_note, verdict

SHOWN_SCENES = 4


def lensless_part(run: LenslessRun, shown: Shown) -> Part:
    """The part of a lensless run."""
    settings = run.settings
    return Part(
        f"a mask of {settings.mask_rows} x {settings.mask_columns} code pixels for {run.profile.name}",
        _design(run),
        _measures(run, shown),
        _reconstructions(run, shown),
    )


def _design(run: LenslessRun) -> Section:
    settings, design, profile = run.settings, run.design, run.profile
    rule, lithography, sensor = feature_rule(profile), profile.lithography, profile.sensor
    height_mm, width_mm = (count * design.pitch_um / 1000 for count in design.levels.shape)
    rows = [
        ("camera", f"{profile.name} ({profile.id})"),
        ("mask", f"{design.levels.shape[0]} x {design.levels.shape[1]} code pixels of {design.pitch_um:g} um"),
        ("size on the plate", f"{height_mm:g} x {width_mm:g} mm (height x width)"),
        ("distance", f"{profile.mask_distance_mm.value:g} mm from the mask to the sensor"),
        ("open fraction", f"{design.open_fraction:.1%} of the code pixels let light pass"),
        (
            "smallest that can be made",
            f"features of {lithography.min_feature_um.value:g} um, gaps of {lithography.min_gap_um.value:g} um",
        ),
        ("feature rule", verdict(rule.check(design)) if design.is_binary else "not evaluated: the mask is grey"),
        (
            "samples",
            f"{settings.sensor_side} x {settings.sensor_side}, each {settings.binning} x {settings.binning} pixels of "
            f"{sensor.pixel_pitch_um.value:g} um",
        ),
        (
            "light",
            f"{settings.photoelectrons_full_scale:.3g} photoelectrons of a white scene in a sample behind an open "
            f"mask; read noise {settings.read_noise_photoelectrons:.3g} photoelectrons",
        ),
        ("design digest", design.design_digest),
    ]
    picture = figures.image_grid({"mask": design.levels[None].astype(np.float64)}, {}).png
    caption = (
        "The mask as the scene's light sees it, row 0 at the top of the image; white: light passes, dark: blocked."
    )
    return Section("Design", [html.facts(rows), Figure("mask", picture, caption)])


def _measures(run: LenslessRun, shown: Shown) -> Section:
    encoder = cast(MaskEncoder, shown.student.encoder)
    geometry = geometry_of(run.settings, run.profile)
    psf, readings = encoder.psf()[0].detach(), shown.scenes.measured[0]
    rows = [
        ("propagation", propagation_text(run.settings, run.profile)),
        ("field of view", f"{geometry.field_deg[0]:.0f} x {geometry.field_deg[1]:.0f} degrees (down x across)"),
        ("shadow", f"{geometry.shadow[0]:.0f} x {geometry.shadow[1]:.0f} samples"),
        ("readings", f"{readings.numel() / shown.scenes.truth[0].numel():.0%} as many as unknowns"),
    ]
    spread = figures.image_grid({"shadow": _stretched(psf)[None]}, {}).png
    seen = figures.image_grid({"readings": _stretched(readings)[None]}, {}).png
    return Section(
        "What the sensor sees",
        [
            html.facts(rows),
            Figure(
                "shadow", spread, "What a point on axis throws on the plane of the sensor, stretched to its largest."
            ),
            Figure(
                "readings", seen, "What the sensor reads of the first scene, with noise, stretched between its ends."
            ),
        ],
    )


def _stretched(planes: Tensor) -> NDArray[np.float64]:
    """Planes (C, h, w) as one picture between 0 and 1."""
    low, high = float(planes.min()), float(planes.max())
    return pictured((planes - low) / max(high - low, 1e-12))


def pictured(planes: Tensor) -> NDArray[np.float64]:
    """Planes (..., C, h, w) as pictures (..., h, w, 3), or (..., h, w) of one channel; limited to [0, 1]."""
    values = planes.double().clamp(0, 1).numpy()
    if values.shape[-3] != 3:
        return np.asarray(values[..., 0, :, :])
    return np.asarray(np.moveaxis(values, -3, -1))


def _reconstructions(run: LenslessRun, shown: Shown) -> Section:
    found = shown.scenes
    rows = [
        (
            name,
            f"{float(psnr_db(x, found.truth).mean()):.2f}",
            f"{float(ssim(x, found.truth).mean()):.3f}",
        )
        for name, x in found.images.items()
    ]
    grid = {name: pictured(x[:SHOWN_SCENES]) for name, x in {"truth": found.truth, **found.images}.items()}
    count = len(grid["truth"])
    height, width = found.truth.shape[-2:]
    caption = (
        f"The first {count} of {len(found.truth)} scenes, {height} x {width} pixels; values 0 to 1, what lies outside "
        "is drawn as 0 or 1. Below each image its PSNR over all channels."
    )
    return Section(
        "Reconstructions of unseen procedural scenes, with noise",
        [
            reconstruction_note(shown, run.settings.data),
            html.table((f"mean of {len(found.truth)} scenes", "PSNR / dB", "SSIM"), rows),
            Figure.of("reconstructions", figures.image_grid(grid, found.psnr_captions()), caption),
        ],
    )
