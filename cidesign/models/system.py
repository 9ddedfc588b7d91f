"""An imaging system: optics, noise and decoder.  Teacher and student are both this."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cidesign.constraints.rules import bit_depth_rule
from cidesign.errors import FileError
from cidesign.files import replacing_file
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.models.unet import DecoderOutput, LinearThenUNet
from cidesign.physics.noise import DetectorNoise
from cidesign.physics.single_pixel import SinglePixelEncoder
from cidesign.runs import Run, RunSettings


class ImagingSystem(nn.Module):
    """An encoder with its noise, and a decoder that takes the operator."""

    def __init__(self, encoder: SinglePixelEncoder, decoder: LinearThenUNet) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> DecoderOutput:
        """Measure images (B, 1, n, n) once and decode them."""
        output: DecoderOutput = self.decoder(self.encoder(x, generator), self.encoder)
        return output

    def save(self, path: Path) -> None:
        """Write all weights as safetensors, in one step."""
        with replacing_file(path) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, temporary)


def build_system(settings: RunSettings, profile: DmdProfile, weight: Tensor, constrained: bool) -> ImagingSystem:
    """A new system for a run: with the profile's bit depth (student), or with real-valued optics (teacher).

    `weight` (K, n, n) is where the optics start; the decoder starts from torch's global generator.
    """
    noise = DetectorNoise(settings.photoelectrons_per_frame, settings.read_noise_photoelectrons, settings.encoding)
    rule = bit_depth_rule(profile, settings.bit_depth) if constrained else None
    return ImagingSystem(SinglePixelEncoder(weight, rule, noise), LinearThenUNet(settings.side, settings.channels))


def load_student(run: Run) -> ImagingSystem:
    """The trained student of a finished run, in eval mode; raises `FileError` when its file does not fit the run."""
    run.require_complete()
    return _load(run, "student.safetensors", constrained=True)


def load_teacher(run: Run) -> ImagingSystem:
    """The teacher of a finished run, in eval mode."""
    run.require_complete()
    return _load(run, "teacher.safetensors", constrained=False)


def _load(run: Run, name: str, constrained: bool) -> ImagingSystem:
    path = run.file(name)
    settings = run.settings
    blank = torch.zeros(settings.patterns, settings.side, settings.side)
    system = build_system(settings, run.profile, blank, constrained)
    try:
        system.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise FileError(f"{path}: these weights are damaged or belong to another run ({reason})") from error
    return system.eval().requires_grad_(False)
