"""What the page is made of: sections, figures, and the part that each modality adds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import torch
from torch import Tensor

from cidesign.checks import Check
from cidesign.models.system import ImagingSystem
from cidesign.physics.base import looking_at
from cidesign.physics.metrics import psnr_db
from cidesign.report import html
from cidesign.report.figures import Drawn
from cidesign.report.html import Spot


class Figure(NamedTuple):
    """A picture: the stem of its file, the PNG, a caption that says what is drawn, and what is where in it."""

    name: str
    png: bytes
    caption: str
    spots: Sequence[Spot] = ()

    @classmethod
    def of(cls, name: str, drawn: Drawn, caption: str) -> Self:
        """A picture that knows what is where in it."""
        return cls(name, drawn.png, caption, drawn.spots)


@dataclass(frozen=True)
class Section:
    """A titled section; its blocks are ready HTML or figures, in order."""

    title: str
    blocks: list[str | Figure]


@dataclass(frozen=True)
class Part:
    """What one modality says of a run: `headline` stands in the title, `more` comes after the reconstructions."""

    headline: str
    design: Section
    measures: Section
    reconstructions: Section
    more: list[Section] = field(default_factory=list)


@dataclass(frozen=True)
class Reconstructions:
    """Scenes (M, C, H, W), the student's noisy measurement of them, and the images that were made of it, by name.

    The first image is the student's; the teacher's, where there is one, is of its own measurement.  Of decoders of
    classes there is the linear estimate alone.
    """

    truth: Tensor
    measured: Tensor
    images: dict[str, Tensor]

    @property
    def own(self) -> str:
        """The name of the images that the run's own decoder made."""
        return next(iter(self.images))

    def psnr_captions(self) -> dict[str, list[str]]:
        """The PSNR of every image, over all its channels."""
        return {name: [f"{value:.1f} dB" for value in psnr_db(x, self.truth)] for name, x in self.images.items()}


@dataclass(frozen=True)
class Shown:
    """What every part draws from: both systems (a run may have no teacher), the teacher's name, and what they make of
    unseen scenes."""

    student: ImagingSystem
    teacher: ImagingSystem | None
    teacher_name: str
    scenes: Reconstructions


@torch.no_grad()
def reconstruct_scenes(
    student: ImagingSystem, teacher: ImagingSystem | None, teacher_name: str, scenes: Tensor
) -> Reconstructions:
    """Measure scenes (M, C, H, W) with one fixed draw of the noise, and decode them.

    Of optics that are trained in parts, those in the middle see them.
    """
    places = student.encoder.places(None)
    with looking_at(places[len(places) // 2], *(one.encoder for one in (student, teacher) if one is not None)):
        return _reconstructed(student, teacher, teacher_name, scenes)


def _reconstructed(
    student: ImagingSystem, teacher: ImagingSystem | None, teacher_name: str, scenes: Tensor
) -> Reconstructions:
    y = student.encoder(scenes, torch.Generator().manual_seed(0))
    linear = student.decoder.linear_estimate(y, student.encoder)
    if student.decoder.predicts != "images":
        return Reconstructions(scenes, y, {student.decoder.column: linear})
    images = {student.decoder.column: student.decoder(y, student.encoder).prediction}
    if student.decoder.learns:
        images["linear estimate"] = linear
    if teacher is not None:
        images[teacher_name] = teacher(scenes, torch.Generator().manual_seed(0)).prediction
    return Reconstructions(scenes, y, images)


def verdict(violations: Sequence[Check]) -> str:
    """What a rule's check found, in words."""
    return "obeyed" if not violations else "BROKEN: " + "; ".join(broken.text for broken in violations)


def reconstruction_note(shown: Shown, data: str) -> str:
    """What the names of the images shown mean, whatever the modality; `data` is what the run was trained on."""
    scenes = (
        "The scenes come from the generators of the training images, with seeds that no run trains on."
        if data == "procedural"
        else f"The scenes are procedural, while the run was trained on {data}."
    )
    if shown.student.decoder.predicts != "images":
        return html.paragraph(
            "The decoder names classes and makes no images; drawn as student is the best linear estimate from what the "
            f"device measures, which the decoder looks at. {scenes}"
        )
    if shown.student.decoder.learns:
        meaning = (
            "Student: what the device will give. Linear estimate: the best linear estimate from the student's "
            "measurement, before any network."
        )
    else:
        meaning = "Linear: the best linear estimate from what the device measures; nothing was trained."
    if shown.teacher is not None:
        meaning += " Teacher: from its own measurement, whose optics cannot be built."
    return html.paragraph(f"{meaning} {scenes}")
