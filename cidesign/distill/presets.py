"""The settings of a run: three presets for each modality, and what the user changes of them."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch

from cidesign.constraints.aperture import require_freedom
from cidesign.constraints.kspace import LineBudget, lines_for
from cidesign.errors import InputError
from cidesign.hardware_profiles.aperture_schema import ApertureProfile
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.models.optics import optics_for
from cidesign.pattern import Encoding
from cidesign.run_settings import MOST_TEACHERS, CassiSettings, MriSettings, RunSettings, SinglePixelSettings

PATTERN_RATIO = 0.10
ACCELERATION = 4.0
# A sixteenth of the matrix, as in the fixed designs of the field (8 % at R = 4 and 4 % at R = 8).
CALIBRATION_FRACTION = 1 / 16


@dataclass(frozen=True)
class Preset:
    """How large and how long a run trains."""

    side: int
    images: int
    validation_images: int
    batch: int
    channels: int
    teacher_epochs: int
    student_epochs: int


PRESETS: dict[str, dict[str, Preset]] = {
    "dmd": {
        "quick": Preset(32, 12_000, 1_000, 64, 16, 4, 4),
        "standard": Preset(32, 60_000, 2_000, 64, 32, 15, 15),
        "paper": Preset(64, 100_000, 4_000, 64, 64, 50, 50),
    },
    "aperture": {
        "quick": Preset(32, 4_000, 400, 32, 16, 4, 4),
        "standard": Preset(64, 10_000, 800, 32, 32, 15, 15),
        "paper": Preset(128, 20_000, 1_000, 32, 64, 50, 50),
    },
    "mri": {
        "quick": Preset(64, 3_000, 400, 32, 16, 4, 4),
        "standard": Preset(128, 6_000, 800, 32, 16, 15, 15),
        "paper": Preset(256, 10_000, 1_000, 32, 32, 50, 50),
    },
}
LADDERS = {"dmd": ("real",), "aperture": ("real",), "mri": ("R2",)}


@dataclass(frozen=True)
class Request:
    """What a user asked for; None leaves the preset's value, or the device's.

    `photoelectrons` are those of an all-on frame of a white scene (DMD) or of the brightest pixel (aperture);
    `read_noise` is in photoelectrons too.  `noise` is that of an MRI sample.
    """

    preset: str = "quick"
    seed: int = 1
    data: str | None = None
    side: int | None = None
    device: str = "auto"
    decoder: Literal["unet", "unrolled"] = "unet"
    ladder: tuple[str, ...] | None = None
    start: Literal["teacher", "fresh"] = "teacher"
    losses: Literal["effective", "published"] = "effective"
    weighting: Literal["fixed", "gradient"] = "fixed"
    weight_decoder: float | None = None
    weight_encoder: float | None = None
    teacher_epochs: int | None = None
    student_epochs: int | None = None
    photoelectrons: float | None = None
    read_noise: float | None = None
    patterns: int | None = None
    bit_depth: int | None = None
    encoding: Encoding | None = None
    exposure_us: float | None = None
    acceleration: float | None = None
    lines: int | None = None
    calibration: int | None = None
    coils: int | None = None
    noise: float | None = None


ONLY_FOR = {
    "patterns": "dmd",
    "bit_depth": "dmd",
    "encoding": "dmd",
    "exposure_us": "dmd",
    "acceleration": "mri",
    "lines": "mri",
    "calibration": "mri",
    "coils": "mri",
    "noise": "mri",
}


def settings_for(request: Request, profile: HardwareProfile) -> RunSettings:
    """All settings of a run; raises `InputError` or `LimitError` for what cannot be trained for the profile."""
    _refuse_foreign(request, profile.kind)
    preset = PRESETS[profile.kind][request.preset]
    common = _common(request, preset, profile.kind)
    if isinstance(profile, DmdProfile):
        camera = _single_pixel(request, preset, common)
        _check_sequence(camera, profile)
        settings: RunSettings = camera
    elif isinstance(profile, ApertureProfile):
        settings = _cassi(request, preset, common)
        require_freedom(profile, settings.side, settings.side)
    else:
        settings = _mri(request, preset, common)
    optics = optics_for(settings, profile)
    with torch.device("meta"):  # shapes only: a teacher's patterns could be gigabytes
        for relaxation in settings.ladder:
            optics.encoder(relaxation)
    return settings


def _refuse_foreign(request: Request, kind: str) -> None:
    for name, owner in ONLY_FOR.items():
        if owner != kind and getattr(request, name) is not None:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option}: is for profiles of kind {owner}; this one is of kind {kind}. Leave it out")
    if kind == "mri" and (request.photoelectrons is not None or request.read_noise is not None):
        raise InputError("--photoelectrons and --read-noise: are for cameras; an MRI run takes --noise")
    for name in ("photoelectrons", "read_noise", "exposure_us", "acceleration", "noise"):
        value = getattr(request, name)
        if value is not None and not math.isfinite(value):
            raise InputError(f"--{name.replace('_', '-')} {value}: a finite number is needed")


def _common(request: Request, preset: Preset, kind: str) -> dict[str, Any]:
    device = pick_device(request.device)
    ladder = request.ladder or LADDERS[kind]
    teacher_epochs = request.teacher_epochs or preset.teacher_epochs
    if len(ladder) > min(teacher_epochs, MOST_TEACHERS):
        raise InputError(
            f"--ladder {','.join(ladder)}: {len(ladder)} teachers; each needs an epoch of the {teacher_epochs} of "
            f"--teacher-epochs, and {MOST_TEACHERS} are the most"
        )
    side = preset.side if request.side is None else request.side
    if not 8 <= side <= 512:
        raise InputError(f"--side {side}: between 8 and 512 pixels a side can be trained")
    return {
        "preset": request.preset,
        "seed": request.seed,
        "side": side,
        "data": request.data or "procedural",
        "images": preset.images,
        "validation_images": preset.validation_images,
        "batch": preset.batch,
        "decoder": request.decoder,
        "channels": preset.channels,
        "stages": 5,
        "ladder": ladder,
        "teacher_epochs": teacher_epochs,
        "student_epochs": request.student_epochs or preset.student_epochs,
        "start": request.start,
        "learning_rate": 1e-3,
        "optics_learning_rate": 1e-2,
        "precision": "bfloat16" if gains_from_bfloat16(device) else "float32",
        "device": device,
        "losses": request.losses,
        "weighting": request.weighting,
        **_weights(request),
    }


def _weights(request: Request) -> dict[str, float]:
    """Task, decoder and encoder weights; of the published losses those of the authors' code for single-pixel cameras.

    The guiding terms of the effective losses are off: measured with the warm start, none of them helps
    (docs/results.md).
    """
    task, decoder, encoder = (0.1, 0.1, 0.8) if request.losses == "published" else (1.0, 0.0, 0.0)
    return {
        "weight_task": task,
        "weight_decoder": decoder if request.weight_decoder is None else request.weight_decoder,
        "weight_encoder": encoder if request.weight_encoder is None else request.weight_encoder,
    }


def _single_pixel(request: Request, preset: Preset, common: dict[str, Any]) -> SinglePixelSettings:
    side = common["side"]
    patterns = round(PATTERN_RATIO * side * side) if request.patterns is None else request.patterns
    if not 1 <= patterns <= side * side:
        raise InputError(
            f"--patterns {patterns}: an image of {side} x {side} has {side * side} unknowns; use 1 to {side * side}"
        )
    # 1e7 photoelectrons in one all-on frame of a white scene is about 16 nW at 532 nm during 235 us on a detector of
    # unit quantum efficiency; photodiodes and multipliers on a bench collect this much or more.
    return SinglePixelSettings(
        **common,
        patterns=patterns,
        bit_depth=request.bit_depth or 1,
        encoding=request.encoding or "complementary",
        photoelectrons_per_frame=1e7 if request.photoelectrons is None else request.photoelectrons,
        read_noise_photoelectrons=100.0 if request.read_noise is None else request.read_noise,
        exposure_us=request.exposure_us,
    )


def _cassi(request: Request, preset: Preset, common: dict[str, Any]) -> CassiSettings:
    # A CMOS pixel holds some 10,000 to 30,000 photoelectrons and reads them with a noise of a few.
    return CassiSettings(
        **common,
        photoelectrons_full_scale=20_000.0 if request.photoelectrons is None else request.photoelectrons,
        read_noise_photoelectrons=5.0 if request.read_noise is None else request.read_noise,
    )


def _mri(request: Request, preset: Preset, common: dict[str, Any]) -> MriSettings:
    side = common["side"]
    if request.lines is not None and request.acceleration is not None:
        raise InputError("--lines and --acceleration: give one of them; the other follows")
    if request.acceleration is not None and not 1 <= request.acceleration <= side:
        raise InputError(f"--acceleration {request.acceleration:g}: between 1 and {side} for {side} lines")
    acceleration = ACCELERATION if request.acceleration is None else request.acceleration
    acquired = lines_for(side, acceleration) if request.lines is None else request.lines
    calibration = round(side * CALIBRATION_FRACTION) if request.calibration is None else request.calibration
    LineBudget(side, acquired, calibration)
    coils = request.coils or 1
    if coils > side:
        raise InputError(f"--coils {coils}: {side} lines cannot tell as many coils apart; use fewer")
    # 1 % of the brightest pixel, a good clinical scan; the noise of one-channel phantom scans is 2.5 %.
    return MriSettings(
        **common,
        acquired=acquired,
        calibration=calibration,
        coils=coils,
        noise=0.01 if request.noise is None else request.noise,
    )


def pick_device(name: str) -> str:
    """`auto` is a GPU when there is one; raises `InputError` for a device that torch cannot use."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name}: torch cannot use it here ({str(error).splitlines()[0]}); try auto"
        ) from error
    return name


def gains_from_bfloat16(device: str) -> bool:
    """Whether the convolutions run faster in bfloat16: GPUs that support it, CPUs with the instructions for it."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    # torch tells what a CPU can do since 2.6 or so; an older one trains in float32.
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _check_sequence(settings: SinglePixelSettings, profile: DmdProfile) -> None:
    """Raise `LimitError` when the profile's device cannot show what would be trained."""
    import numpy as np

    from cidesign.constraints.rules import check_design, require
    from cidesign.constraints.sequence import plan_sequence
    from cidesign.pattern import PatternStack

    # The rules look at one pattern like at all of them; all could be gigabytes, before the device has refused them.
    blank = np.zeros((1, settings.side, settings.side), dtype=np.uint8)
    stack = PatternStack(blank, settings.bit_depth, settings.encoding, profile.id, profile.digest)
    frames = 2 * settings.patterns if settings.encoding == "complementary" else settings.patterns + 1
    plan = plan_sequence(profile, frames, settings.bit_depth, settings.exposure_us)
    require(check_design(stack, plan, profile))
