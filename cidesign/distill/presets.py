"""The settings of a run: three presets for each modality, and what the user changes of them."""

import math
from typing import Any

import torch

from cidesign.errors import InputError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import Modality, Preset, Request, modalities, modality_for
from cidesign.run_settings import MOST_TEACHERS, TrainingSettings


def settings_for(request: Request, profile: HardwareProfile) -> TrainingSettings:
    """All settings of a run; raises `InputError` or `LimitError` for what cannot be trained for the profile."""
    kind = modality_for(profile)
    _refuse_foreign(request, kind, profile)
    settings = kind.settings(request, _common(request, kind.presets[request.preset], kind), profile)
    optics = kind.optics(settings, profile)
    with torch.device("meta"):  # shapes only: a teacher's patterns could be gigabytes
        for relaxation in settings.ladder:
            optics.encoder(relaxation)
    return settings


def _refuse_foreign(request: Request, kind: Modality, profile: HardwareProfile) -> None:
    for name, value in request.own.items():
        option = "--" + name.replace("_", "-")
        if name not in kind.options:
            owners = " and ".join(one.name for one in modalities() if name in one.options)
            raise InputError(
                f"{option}: is for {owners or 'no known'} runs; {profile.id} makes {kind.name} runs. Leave it out"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{option} {value}: a finite number is needed")


def _common(request: Request, preset: Preset, kind: Modality) -> dict[str, Any]:
    device = pick_device(request.device)
    ladder = request.ladder or kind.ladder
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
