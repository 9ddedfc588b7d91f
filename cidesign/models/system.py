"""An imaging system: optics, noise and decoder.  Teacher and student are both this."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cidesign.errors import FileError, InputError
from cidesign.files import replacing_file
from cidesign.models.class_decoder import FEWEST_CLASSES, ClassDecoder
from cidesign.models.decoder import Decoder, DecoderOutput
from cidesign.models.decoders import decoder_class, decoder_settings
from cidesign.models.optics import optics_for
from cidesign.models.weights_file import write_tensors
from cidesign.physics.base import Encoder
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run


class ImagingSystem(nn.Module):
    """An encoder with its noise, and a decoder that takes the operator."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> DecoderOutput:
        """Measure images (B, C, H, W) once and decode them."""
        with self.encoder.unchanged():
            output: DecoderOutput = self.decoder(self.encoder(x, generator), self.encoder)
        return output

    def save(self, path: Path) -> None:
        """Write all weights as safetensors, in one step."""
        with replacing_file(path) as temporary:
            write_tensors(temporary, self.state_dict())


def build_decoder(settings: TrainingSettings, bands: int, size: tuple[int, int]) -> Decoder:
    """The decoder of the settings, from torch's global generator.

    Raises `InputError` for a decoder that is not installed, or settings that it does not take.
    """
    own = decoder_settings(settings.decoder, settings.decoder_settings)
    kind = decoder_class(settings.decoder)
    if issubclass(kind, ClassDecoder):
        return kind(bands, size, own, max(len(settings.classes or ()), FEWEST_CLASSES))
    return kind(bands, size, own)


def require_decoder(run: Run) -> None:
    """Raise `FileError` when the decoder of a run is not installed, or does not take the run's settings of it."""
    try:
        decoder_settings(run.settings.decoder, run.settings.decoder_settings)
    except InputError as error:
        raise FileError(f"{run.path}: {error}") from error


def load_student(run: Run) -> ImagingSystem:
    """The trained student of a finished run, in eval mode; raises `FileError` when its file does not fit the run."""
    run.require_complete()
    return _load(run, "student.safetensors", None)


def load_teacher(run: Run) -> ImagingSystem | None:
    """The teacher of a finished run (the last one of a ladder), in eval mode; None where it had none."""
    run.require_complete()
    if run.settings.teacher_epochs == 0:
        return None
    return _load(run, "teacher.safetensors", run.settings.ladder[-1])


def _load(run: Run, name: str, relaxation: str | None) -> ImagingSystem:
    path = run.file(name)
    require_decoder(run)
    optics = optics_for(run.settings, run.profile)
    system = ImagingSystem(optics.encoder(relaxation), build_decoder(run.settings, optics.bands, optics.size))
    if relaxation is None and run.settings.design is not None:
        # A design that no weights can express is held beside them.
        optics.place(system.encoder, run.design)
    try:
        system.load_state_dict(load_file(path))
    except FileError as error:
        raise FileError(f"{path}: {error}") from error
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise FileError(f"{path}: these weights are damaged or belong to another run ({reason})") from error
    return system.eval().requires_grad_(False)
