"""The settings of a run: three presets, and what the user changes of them."""

import math
from dataclasses import dataclass

import torch

from cidesign.errors import InputError
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.pattern import Encoding
from cidesign.runs import RunSettings

# 1e7 photoelectrons in one all-on frame of a white scene is about 16 nW at 532 nm during 235 us on a detector of
# unit quantum efficiency; photodiodes and multipliers on a bench collect this much or more.
DEFAULT_PHOTOELECTRONS = 1e7
DEFAULT_READ_NOISE = 100.0


@dataclass(frozen=True)
class Preset:
    """How large, how long and how finely a run trains; `ratio` is patterns over super-pixels, K / n^2."""

    side: int
    ratio: float
    images: int
    validation_images: int
    batch: int
    channels: int
    teacher_epochs: int
    student_epochs: int


PRESETS = {
    "quick": Preset(32, 0.10, 12_000, 1_000, 64, 16, 4, 4),
    "standard": Preset(32, 0.10, 60_000, 2_000, 64, 32, 15, 15),
    "paper": Preset(64, 0.10, 100_000, 4_000, 64, 64, 50, 50),
}


@dataclass(frozen=True)
class Request:
    """What a user asked for; None leaves the preset's or the device's value."""

    preset: str
    seed: int
    data: str | None
    side: int | None
    patterns: int | None
    bit_depth: int
    encoding: Encoding
    photoelectrons_per_frame: float
    read_noise_photoelectrons: float
    exposure_us: float | None
    device: str


def settings_for(request: Request) -> RunSettings:
    """All settings of a run; raises `InputError` for a value that makes no sense."""
    preset = PRESETS[request.preset]
    side = preset.side if request.side is None else request.side
    if not 4 <= side <= 512:
        raise InputError(f"--side {side}: between 4 and 512 super-pixels a side can be trained")
    patterns = round(preset.ratio * side * side) if request.patterns is None else request.patterns
    if not 1 <= patterns <= side * side:
        raise InputError(
            f"--patterns {patterns}: an image of {side} x {side} has {side * side} unknowns; use 1 to {side * side}"
        )
    for option, value in (
        ("--photoelectrons", request.photoelectrons_per_frame),
        ("--read-noise", request.read_noise_photoelectrons),
        ("--exposure-us", request.exposure_us),
    ):
        if value is not None and not math.isfinite(value):
            raise InputError(f"{option} {value}: a finite number is needed")
    device = pick_device(request.device)
    return RunSettings(
        preset=request.preset,
        seed=request.seed,
        side=side,
        patterns=patterns,
        bit_depth=request.bit_depth,
        encoding=request.encoding,
        photoelectrons_per_frame=request.photoelectrons_per_frame,
        read_noise_photoelectrons=request.read_noise_photoelectrons,
        exposure_us=request.exposure_us,
        data=request.data or "procedural",
        images=preset.images,
        validation_images=preset.validation_images,
        batch=preset.batch,
        channels=preset.channels,
        teacher_epochs=preset.teacher_epochs,
        student_epochs=preset.student_epochs,
        learning_rate=1e-3,
        optics_learning_rate=1e-2,
        precision="bfloat16" if gains_from_bfloat16(device) else "float32",
        device=device,
        weight_task=1.0,
        weight_decoder=0.1,
        weight_encoder=0.1,
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


def check_profile(settings: RunSettings, profile: DmdProfile) -> None:
    """Raise `LimitError` when the profile's device cannot show what would be trained."""
    import numpy as np

    from cidesign.constraints.rules import check_design, require
    from cidesign.constraints.sequence import plan_sequence
    from cidesign.pattern import PatternStack

    blank = np.zeros((settings.patterns, settings.side, settings.side), dtype=np.uint8)
    stack = PatternStack(blank, settings.bit_depth, settings.encoding, profile.id, profile.digest)
    plan = plan_sequence(profile, len(stack.frames()), settings.bit_depth, settings.exposure_us)
    require(check_design(stack, plan, profile))
