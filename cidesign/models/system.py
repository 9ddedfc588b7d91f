"""An imaging system: optics, noise and decoder.  Teacher and student are both this."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cidesign.errors import FileError, InputError
from cidesign.files import canonical_json, replacing_file, sha256_bytes
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.models.class_decoder import FEWEST_CLASSES, ClassDecoder
from cidesign.models.decoder import Decoder, DecoderOutput
from cidesign.models.decoders import decoder_class, decoder_settings
from cidesign.models.optics import optics_for
from cidesign.models.teacher_record import FILE as RECORD_FILE
from cidesign.models.teacher_record import WEIGHTS_FILE, read_teacher_record
from cidesign.models.weights_file import bytes_of, write_tensors
from cidesign.pattern import Design
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

    def digest(self) -> str:
        """SHA-256 over all weights, names included."""
        state = self.state_dict()
        names = canonical_json(sorted(state))
        return sha256_bytes(names, *(bytes_of(state[name]) for name in sorted(state)))


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
    run.with_design()
    require_decoder(run)
    design = None if run.settings.design is None else run.design
    return load_system(run.file("student.safetensors"), run.settings, run.profile, None, design)


def load_teacher(run: Run) -> ImagingSystem | None:
    """The teacher of a finished run (the last one of a ladder), in eval mode; None where it had none.

    That of a run which took a stored one may be for images of another size.
    """
    run.require_complete()
    if run.settings.teacher is not None:
        return load_kept_teacher(run)
    if run.settings.teacher_epochs == 0:
        return None
    require_decoder(run)
    return load_system(run.file(WEIGHTS_FILE), run.settings, run.profile, run.settings.ladder[-1])


def load_kept_teacher(run: Run) -> ImagingSystem:
    """The run's own copy of the stored teacher that it took, in eval mode; raises `FileError` for a changed one."""
    record = read_teacher_record(run)
    path, profile = run.file(WEIGHTS_FILE), record.checked_profile(run.path / RECORD_FILE)
    require_decoder(run)
    found = load_system(path, record.settings, profile, record.relaxation, record.design(run.path))
    if found.digest() != record.weights_digest:
        raise FileError(f"{path}: these are not the weights that {RECORD_FILE} names (their digests differ)")
    return found


def load_comparable_teacher(run: Run) -> ImagingSystem | None:
    """The teacher of a finished run where it can be held against the student; None where it cannot, or is none."""
    return load_teacher(run) if comparable_teacher(run) else None


def comparable_teacher(run: Run) -> bool:
    """Whether the teacher of a run can be held against its student on the same images; a stored one may not."""
    if run.settings.teacher is None:
        return True
    record = read_teacher_record(run)
    theirs = optics_for(record.settings, record.checked_profile(run.path / RECORD_FILE))
    return optics_for(run.settings, run.profile).apart(theirs) is None


def load_system(
    path: Path,
    settings: TrainingSettings,
    profile: HardwareProfile,
    relaxation: str | None,
    design: Design | None = None,
) -> ImagingSystem:
    """A system with the weights of a file, in eval mode; `design`: what its optics are, where they were given.

    Raises `FileError` for weights that are damaged or of something else.
    """
    optics = optics_for(settings, profile)
    system = ImagingSystem(optics.encoder(relaxation), build_decoder(settings, optics.bands, optics.size))
    if design is not None:
        # A design that no weights can express is held beside them.
        optics.place(system.encoder, design)
    try:
        system.load_state_dict(load_file(path))
    except FileError as error:
        raise FileError(f"{path}: {error}") from error
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise FileError(f"{path}: these weights are damaged or belong to another run ({reason})") from error
    return system.eval().requires_grad_(False)
