"""The student and its operator on plain arrays: to decode readings that never were a capture folder.

NumPy in gives NumPy out, tensors give tensors; leading dimensions are a batch.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cidesign.calibration.base import AnyCalibration
from cidesign.errors import InputError
from cidesign.models.class_decoder import probabilities
from cidesign.models.system import ImagingSystem, load_student
from cidesign.models.tiles import decoded
from cidesign.physics.base import Encoder
from cidesign.reconstruct.fine_tuned import load_decoder_for
from cidesign.runs import Run


@dataclass(frozen=True)
class Form:
    """How people hold images and readings: complex images (N, n) are two channels of an encoder, real ones are as
    they are, a grey image (n, n) is one channel."""

    image_shape: tuple[int, ...]
    reading_shape: tuple[int, ...]
    is_complex: bool = False

    def channels(self, images: Tensor) -> Tensor:
        """Images (B, *image_shape) as an encoder takes them, (B, C, H, W)."""
        if self.is_complex:
            return torch.stack([images.real, images.imag], dim=1)
        return images.reshape(len(images), -1, *self.image_shape[-2:])

    def images(self, channels: Tensor) -> Tensor:
        """Channels (B, C, H, W) as images (B, *image_shape)."""
        if self.is_complex:
            return torch.complex(channels[:, 0], channels[:, 1])
        return channels.reshape(-1, *self.image_shape)


def _batched(values: Any, shape: tuple[int, ...], is_complex: bool, what: str) -> tuple[Tensor, tuple[int, ...]]:
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    batch = tuple(tensor.shape[: tensor.ndim - len(shape)])
    if tuple(tensor.shape) != (*batch, *shape):
        raise InputError(f"{what} of shape {tuple(tensor.shape)}: (..., {', '.join(map(str, shape))}) is needed")
    if tensor.is_complex() and not is_complex:
        raise InputError(f"{what} are complex; real ones are needed here")
    kind = torch.complex64 if is_complex else torch.float32
    return tensor.to(kind).reshape(-1, *shape), batch


def _like(values: Any, found: Tensor, batch: tuple[int, ...]) -> Any:
    shaped = found.reshape(*batch, *found.shape[1:])
    return shaped.to(values.device) if isinstance(values, Tensor) else shaped.detach().numpy()


@dataclass(frozen=True)
class ArrayOperator:
    """y = A x of an encoder, without noise, for images (..., *image_shape) and readings (..., *reading_shape)."""

    encoder: Encoder
    form: Form

    def A(self, x: Any) -> Any:
        """The readings of images; differentiable for tensors."""
        form = self.form
        images, batch = _batched(x, form.image_shape, form.is_complex, "images")
        return _like(x, self.encoder.A(form.channels(images)), batch)

    def A_adjoint(self, y: Any) -> Any:
        """The adjoint: <A x, y> = <x, A_adjoint y>."""
        form = self.form
        readings, batch = _batched(y, form.reading_shape, form.is_complex, "readings")
        return _like(y, form.images(self.encoder.A_adjoint(readings)), batch)


@dataclass(frozen=True)
class Student:
    """The trained decoder, told an operator: that of the design, or a calibrated one.

    `seen`: how many validation images the run had, which the probabilities of classes take into account.
    """

    system: ImagingSystem
    operator: ArrayOperator
    seen: int = 0

    def __call__(self, y: Any) -> Any:
        """The images (..., *image_shape) of readings (..., *reading_shape) in units of y = A x; of a run of classes how
        probable each is (..., classes), in the order of the run's settings."""
        form = self.operator.form
        readings, batch = _batched(y, form.reading_shape, form.is_complex, "readings")
        if self.system.decoder.predicts == "classes":
            with torch.no_grad():
                logits = self.system.decoder(readings, self.operator.encoder).prediction
            return _like(y, probabilities(logits, self.seen).float(), batch)
        with torch.no_grad():
            image = decoded(self.system.decoder.image, readings, self.operator.encoder)
        return _like(y, form.images(image), batch)


def student_of(
    run: Run,
    image_shape: tuple[int, ...],
    calibration: AnyCalibration | None,
    told: Encoder | None,
    is_complex: bool = False,
) -> Student:
    """The student of a run, told the design, or a calibrated operator with the calibration's own decoder."""
    system = load_student(run) if calibration is None else load_decoder_for(run, calibration.path)[0]
    encoder = system.encoder if told is None else told
    encoder.requires_grad_(False).keep()
    form = Form(image_shape, (), is_complex)
    kind = torch.complex64 if is_complex else torch.float32
    with torch.no_grad():
        readings = encoder.A(form.channels(torch.zeros(1, *image_shape, dtype=kind)))
    seen = int(run.record.metrics.get("validation_images", 0))
    return Student(system, ArrayOperator(encoder, replace(form, reading_shape=tuple(readings.shape[1:]))), seen)
