"""What a training takes: steps and memory before it starts, from shapes alone; time once its first steps were timed."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.machine import free_bytes, held_bytes
from cidesign.distill.computing.ranks import ALONE, Ranks
from cidesign.distill.loop import EVALUATION_PIXELS, epochs_of, phases_of, places_of_step
from cidesign.errors import CidesignError, LimitError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.models.footprint import decoding_bytes, training_bytes
from cidesign.models.optics import WorkingValues, optics_for
from cidesign.models.system import build_decoder
from cidesign.models.teacher_record import FILE as RECORD_FILE
from cidesign.models.teacher_record import TeacherRecord
from cidesign.run_settings import TrainingSettings
from cidesign.text import joined
from cidesign.units import format_bytes

# Python with torch and what training imports; with CUDA's libraries.
BASE_BYTES, GPU_BASE_BYTES = 500_000_000, 2_000_000_000
# What allocators lose between blocks.
SLACK = 1.1
# Validation images cost about so much of a training step of as many.
EVALUATION_SHARE = 0.5


class Memory(NamedTuple):
    """What a training takes of a memory at its peak, and what there is for it (None: the system does not say)."""

    name: str
    needed_bytes: int
    there_bytes: int | None


@dataclass(frozen=True)
class Needs:
    """Steps and epochs of all phases together, and memories; without memories, `unknown` says why not."""

    steps: int
    epochs: int
    memories: tuple[Memory, ...]
    unknown: str | None = None


class Pace(NamedTuple):
    """What is left at the pace of the first steps; `threads` is None where a GPU computes.

    While their number is not `chosen`, others are still being timed: it can only become less.
    """

    seconds_left: float
    seconds_per_step: float
    threads: int | None
    chosen: bool


class Footprint:
    """The memory that a run takes; a decoder that needs numbers raises whatever it raises."""

    def __init__(
        self, settings: TrainingSettings, profile: HardwareProfile, teacher: TeacherRecord | None = None
    ) -> None:
        self.settings, self.optics = settings, optics_for(settings, profile)
        self.shape = (self.optics.bands, *self.optics.size)
        self.image = self.optics.bands * self.optics.size[0] * self.optics.size[1]
        teachers = settings.ladder if settings.teacher_epochs else ()
        relaxations = [*teachers, *([] if settings.only_teacher else [None])]
        # The teacher that a student is guided by, and what a stored one holds.
        self.guide, self.stored_bytes = None if not teachers else self.optics.working_values(teachers[-1], False), 0
        with torch.device("meta"):
            self.decoder = build_decoder(settings, *self.shape[:1], self.optics.size)
            self.encoders = {relaxation: self.optics.encoder(relaxation) for relaxation in relaxations}
            if teacher is not None:
                theirs = optics_for(teacher.settings, teacher.checked_profile(Path(RECORD_FILE)))
                self.guide = theirs.working_values(teacher.relaxation, False)
                self.stored_bytes = _bytes_of(theirs.encoder(teacher.relaxation)) + _bytes_of(
                    build_decoder(teacher.settings, theirs.bands, theirs.size)
                )
        if settings.precision == "bfloat16":
            self.decoder.training_dtype = torch.bfloat16

    def changed(self, **values: int) -> "Footprint":
        """The same with another number of images, or another batch: no shape of optics or decoder depends on them."""
        other = copy.copy(self)
        other.settings = self.settings.changed(**values)
        return other

    def images_bytes(self) -> int:
        """The stored images."""
        count = self.settings.images + self.settings.validation_images
        return count * self.image * self.optics.stored_bytes

    def loading_bytes(self) -> int:
        """While images are drawn, those for training are there twice: as they were drawn, and in another order."""
        return self.images_bytes() + self.settings.images * self.image * self.optics.stored_bytes

    def training_bytes(self) -> int:
        """What training takes at its peak beside images and program."""
        return max(self._phases().values())

    def largest_phase(self) -> str | None:
        """The relaxation that takes most; None where it is the student."""
        phases = self._phases()
        return max(phases, key=lambda relaxation: phases[relaxation])

    def copied_bytes(self) -> int:
        """A GPU's weights, moments and teacher on their way into a checkpoint."""
        return 4 * (max(_bytes_of(encoder) for encoder in self.encoders.values()) + _bytes_of(self.decoder))

    def _phases(self) -> dict[str | None, int]:
        found: dict[str | None, int] = {}
        before = self.stored_bytes
        for relaxation, encoder in self.encoders.items():
            system = _bytes_of(encoder) + _bytes_of(self.decoder)
            optics = 4 * encoder.weight.numel() if self._learnt(relaxation) else 0
            # A gradient, and two moments of Adam; the gradients of the network are part of its step.
            held = before + system + 3 * optics + 2 * _learnt_bytes(self.decoder)
            work = self._evaluation(relaxation)
            if self.settings.student_epochs or relaxation is not None:
                work = max(work, self._step(relaxation))
            found[relaxation] = held + work
            before = system
        return found

    def _step(self, relaxation: str | None) -> int:
        """A training step: the network with what is kept beside it, or what optics and estimate take alone."""
        settings, values = self.settings, self.optics.working_values(relaxation, self._learnt(relaxation))
        batch = settings.batch
        network = training_bytes(self.decoder, self.shape, values.reading, batch)
        guide = self.guide if relaxation is None else None
        if guide is not None and (settings.weight_decoder or settings.weight_output):
            network += self._decoding(guide, batch)
        if guide is not None and settings.weight_encoder:
            network += 4 * values.kept
        return _most(values, batch, network)

    def _learnt(self, relaxation: str | None) -> bool:
        return relaxation is not None or self.settings.design is None

    def _decoding(self, values: WorkingValues, batch: int) -> int:
        return _most(values, batch, decoding_bytes(self.decoder, self.shape, values.reading, batch))

    def _evaluation(self, relaxation: str | None) -> int:
        count = min(max(1, EVALUATION_PIXELS // self.image), self.settings.validation_images)
        return self._decoding(self.optics.working_values(relaxation, learnt=False), count)


def _most(values: WorkingValues, batch: int, network_bytes: int) -> int:
    each, kept, alone = (int(4 * SLACK * count) for count in (batch * values.each, values.kept, values.alone))
    return each + max(network_bytes + kept, alone)


def _bytes_of(module: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _learnt_bytes(module: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in module.parameters())


def memories_of(found: Footprint, processes: int = 1) -> tuple[Memory, ...]:
    """What a run takes of every memory that it takes something of, in each of so many `processes` on this machine."""
    training = found.training_bytes()
    device = found.settings.device
    if device.startswith("cuda"):
        host = GPU_BASE_BYTES + max(found.loading_bytes(), found.images_bytes() + found.copied_bytes())
        on_gpu = found.images_bytes() + training
        return (_host(host, processes), Memory("GPU memory", on_gpu, _free_gpu_bytes(device)))
    return (_host(BASE_BYTES + max(found.loading_bytes(), found.images_bytes() + training), processes),)


def _host(needed_bytes: int, processes: int) -> Memory:
    free = free_bytes()
    return Memory("memory", needed_bytes, None if free is None else free // processes + held_bytes())


def _free_gpu_bytes(device: str) -> int:
    """What is free of a GPU, with what torch holds there and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def needs_of(
    settings: TrainingSettings,
    profile: HardwareProfile,
    teacher: TeacherRecord | None = None,
    resumed: bool = False,
    ranks: Ranks = ALONE,
) -> Needs:
    """What a run takes; raises `LimitError` when it cannot fit, with both numbers and what to lower.

    `teacher` is the stored one, where it has one.  A run that is `resumed` keeps its settings.  Of several `ranks` each
    takes so much, with its part of a batch.
    """
    epochs = sum(epochs_of(settings, phase) for phase in phases_of(settings))
    steps = epochs * (settings.images // settings.batch)
    try:
        found = Footprint(settings, profile, teacher)
        if ranks.size > 1:
            _require_images_for_all(found, ranks)
            found = found.changed(batch=-(-settings.batch // ranks.size))
        memories = memories_of(found, ranks.local_size)
    except CidesignError:
        raise
    except Exception as error:  # another package's decoder may fail in any way where there are no numbers
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        reason = f"the decoder {settings.decoder} does not tell it by its shapes ({cause})"
        return Needs(steps, epochs, (), reason)
    for memory in memories:
        if memory.there_bytes is not None and memory.needed_bytes > memory.there_bytes:
            _refuse(found, memory, resumed, ranks)
    return Needs(steps, epochs, memories)


def _require_images_for_all(found: Footprint, ranks: Ranks) -> None:
    """Raise `LimitError` where a place that a step looks at would have no image for some of the ranks."""
    settings = found.settings.changed(device="cpu")
    per_epoch, phase = settings.images // settings.batch, phases_of(settings)[0]
    for encoder in found.encoders.values():
        count = len(places_of_step(encoder, settings, phase, 0, per_epoch))
        if settings.batch // count < ranks.size:
            raise LimitError(
                f"batch {settings.batch}: a step looks at {count} places of the optics, and each of {ranks.size} "
                f"processes needs an image of each; raise batch to {count * ranks.size}, or start "
                f"{settings.batch // count} at the most"
            )


def _refuse(found: Footprint, memory: Memory, resumed: bool, ranks: Ranks) -> None:
    settings, there = found.settings, memory.there_bytes or 0
    said = ", ".join(f"{name} {getattr(settings, name)}" for name in settings.sizes)
    said += f" in each of {ranks.size} processes" * (ranks.size > 1)
    head = (
        f"{said}: training takes about {format_bytes(memory.needed_bytes)} of {memory.name}, and there are "
        f"{format_bytes(there)} for it"
    )
    if resumed:
        raise LimitError(f"{head}; a run that was begun keeps its settings: end other programs, or go on elsewhere")
    # A design that exists has the size that it has.
    names = [name for name in settings.sizes if settings.design is None or name in ("batch", "images")]
    names += ["channels"] if "channels" in settings.decoder_settings else []
    for name in ("batch", "images"):
        if fitting := _largest(found, name, memory):
            others = [one for one in names if one != name]
            whole = fitting * ranks.size if name == "batch" else fitting  # all processes share a batch
            raise LimitError(f"{head}; lower {name} to {whole}, or {joined(others, 'or')}")
    names.remove("batch")
    teacher = found.largest_phase()
    nearer = "" if teacher is None else f"take a teacher nearer to the student than {teacher}, or "
    raise LimitError(f"{head}; a batch of 1 does not fit either: {nearer}lower {joined(names, 'or')}")


def _largest(found: Footprint, name: str, memory: Memory) -> int | None:
    """The largest value of a setting, below its own, with which a memory suffices; None where there is none."""

    def fits(value: int) -> bool:
        other = found.changed(**{name: value})
        needed = next(one.needed_bytes for one in memories_of(other) if one.name == memory.name)
        return needed <= (memory.there_bytes or 0)

    low, high = 0, getattr(found.settings, name)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low or None


def steps_left(settings: TrainingSettings, per_epoch: int, progress: Progress) -> float:
    """How many steps all phases have yet to go, evaluations between epochs counted as part of one."""
    phases = phases_of(settings)
    epochs = sum(epochs_of(settings, phase) for phase in phases[phases.index(progress.phase) :])
    done = progress.step / per_epoch
    return (epochs - done) * (per_epoch + EVALUATION_SHARE * settings.validation_images / settings.batch)
