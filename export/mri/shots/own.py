"""A trajectory of one's own becomes a design: samples of k-space, and the gradients that pass them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field

from cidesign.constraints.rules import require
from cidesign.errors import InputError
from cidesign.export.mri.shots.files import First, known_of, read_trajectory, require_open
from cidesign.export.mri.shots.fit import fit_gradients
from cidesign.export.mri.shots.limits import broken_limits
from cidesign.export.mri.shots.plan import shot_readout
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian
from cidesign.pattern.shots import Unit, units_in_steps
from cidesign.records import Strict, shown

_Positive = Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)]
# What is asked for, and how it is said.
QUESTIONS = {
    "fov_mm": "the field of view of the image in mm (fov_mm=220)",
    "side": "the pixels along its side (side=128)",
    "dwell_us": "the time between two samples (dwell_us=5)",
    "units": "the unit of k (units=1/fov, 1/m, rad/m, cycles/px for -0.5 to 0.5, rad/px for -pi to pi)",
    "first": "which of the two comes first (first=right, as kx, ky; first=down)",
}
# The reach of a trajectory in halves of the image's k-space: beyond it another image is meant.
LEAST_REACH, LARGEST_REACH = 0.5, 1.02
_PICTURE_PX = 640


class ShotOptions(Strict):
    """What a file of a trajectory leaves open; None: the file says it, or it is asked for.

    `fov_mm`, `side`: the image; `dwell_us` the time between samples; `units` of k; `first`: whether the first of the
    two components runs along the columns of the image (right: kx) or its rows (down).
    """

    fov_mm: _Positive | None = None
    side: Annotated[int, Field(ge=2, le=4096)] | None = None
    dwell_us: _Positive | None = None
    units: Unit | None = None
    first: First | None = None


def read_own(files: Sequence[Path], profile: MriProfile, options: ShotOptions) -> OwnDesign:
    """Read the trajectory of one file as a design for the scanner of `profile`; see `read_trajectory`.

    Raises `FileError` for damage, `InputError` for what the file leaves open, naming the options that say it, and
    `LimitError`, with shot and time, for what the gradients cannot play.
    """
    if len(files) != 1:
        raise InputError(f"a trajectory is one file, {len(files)} are named: {shown(path.name for path in files)}")
    found = read_trajectory(files[0], profile)
    require_open(files[0], found, options.model_dump())
    complete = options.model_copy(update=known_of(found))
    own = own_design(found.samples, str(files[0]), found.sources, profile, complete)
    return OwnDesign(own.design, (*found.said, *own.said), own.sources, own.preview_png)


def own_design(
    samples: NDArray[np.float64],
    where: str,
    sources: Sequence[tuple[str, str]],
    profile: MriProfile,
    options: ShotOptions,
) -> OwnDesign:
    """Samples (shots, samples, 2), as a file has them, as a design."""
    _require_said(samples, where, options)
    fov_mm, side, dwell_ns = _number(options.fov_mm), _number(options.side), _number(options.dwell_us) * 1e3
    if abs(dwell_ns - round(dwell_ns)) > 1e-6:
        raise InputError(f"--set dwell_us={options.dwell_us}: times are whole nanoseconds")
    k = samples * units_in_steps(fov_mm, side)[_word(options.units)]
    k = k[..., ::-1] if options.first == "right" else k
    _require_reach(k, where, int(side), options)
    raster_ns = round(profile.rasters.gradient_us.value * 1e3)
    slew = profile.design.max_slew_t_per_m_per_s.value
    fitted = fit_gradients(k, round(dwell_ns), raster_ns, fov_mm, slew)
    design = NonCartesian(
        (int(side), int(side)),
        fov_mm,
        np.ascontiguousarray(fitted.gradients_mt_per_m),
        np.ascontiguousarray(fitted.starts),
        raster_ns,
        samples.shape[1],
        round(dwell_ns),
        fitted.ramps_ns[0],
        profile.id,
        profile.digest,
    )
    require(broken_limits(design, profile))
    shot_readout(design, profile)
    said = (
        f"{design.shots} shots of {samples.shape[1]} samples, one every {options.dwell_us:g} us, k in {options.units}, "
        f"the first component along the {'columns' if options.first == 'right' else 'rows'} of the image",
        f"an image of {int(side)} x {int(side)} pixels over {fov_mm:g} mm; k reaches {np.abs(k).max():.4g} of "
        f"{side / 2:g} steps of 1/FOV",
        f"gradients with corners every {raster_ns / 1e3:g} us pass every sample to {fitted.apart:.1e} of 1/FOV",
        f"ramps of {fitted.ramps_ns[0] / 1e3:g} us before and {fitted.ramps_ns[1] / 1e3:g} us behind the samples lead "
        "the gradients from and to 0; they are no part of the file",
    )
    return OwnDesign(design, said, tuple(sources), trajectory_picture(design))


def _require_said(samples: NDArray[np.float64], where: str, options: ShotOptions) -> None:
    missing = [question for name, question in QUESTIONS.items() if getattr(options, name) is None]
    if missing:
        raise InputError(
            f"{where}: {samples.shape[0]} shots of {samples.shape[1]} samples, the largest component "
            f"{np.abs(samples).max():.4g}; it does not say {'; '.join(missing)}: say it with --set"
        )


def _number(value: float | None) -> float:
    if value is None:  # asked for before
        raise InputError("trajectory: a value is missing")
    return float(value)


def _word(units: Unit | None) -> Unit:
    if units is None:  # asked for before
        raise InputError("trajectory: its unit is missing")
    return units


def _require_reach(k: NDArray[np.float64], where: str, side: int, options: ShotOptions) -> None:
    largest = float(np.abs(k).max())
    if LEAST_REACH <= largest / (side / 2) <= LARGEST_REACH:
        return
    shot, sample, _ = np.unravel_index(int(np.argmax(np.abs(k))), k.shape)
    raise InputError(
        f"{where}: k reaches {largest:.4g} of 1/FOV (shot {shot}, sample {sample}), an image of {side} pixels has "
        f"{side / 2:g}; is it one of another field of view than {options.fov_mm:g} mm, of {2 * largest:.4g} pixels "
        f"(--set side), or in another unit than {options.units}?"
    )


def trajectory_picture(design: NonCartesian) -> bytes:
    """k-space with all shots, rows down; shots rise from dark to bright, the first is green."""
    height, width = design.size
    scale = _PICTURE_PX / max(height, width)
    picture = Image.new("RGB", (round(width * scale), round(height * scale)), (30, 30, 30))
    draw = ImageDraw.Draw(picture)
    for shot in range(design.shots - 1, -1, -1):
        bright = 90 + 150 * shot // max(design.shots - 1, 1)
        points = (design.samples[shot][:, ::-1] + [width / 2, height / 2]) * scale
        colour = (120, 220, 120) if shot == 0 else (bright, bright, bright)
        draw.line([(float(x), float(y)) for x, y in points], fill=colour)
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()
