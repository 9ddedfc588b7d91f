"""Everything that decides a run's result, beside the profile and the library versions."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cidesign.pattern import Encoding

PositiveInt = Annotated[int, Field(ge=1, le=100_000_000)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=4, le=1024)]
MOST_TEACHERS = 10


class TrainingSettings(BaseModel):
    """What all modalities have in common.

    `data` is `procedural` or where the images are.  `ladder` names the relaxations of the teacher, from the freest to
    the one that guides the student; `teacher_epochs` are shared out evenly among them.  `start` says where the
    student begins: at the `teacher`'s optics and decoder, or `fresh`.  `losses` are the `effective` forms (of what is
    built, scale-free) or the `published` ones; `weight_*` weigh task, decoder (features) and encoder
    (operators), as they are (`fixed`) or balanced by their gradients (`gradient`).  `stages` counts the steps of the
    unrolled decoder.  `precision` is that of the network during training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preset: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: str
    images: PositiveInt
    validation_images: PositiveInt
    batch: PositiveInt
    decoder: Literal["unet", "unrolled"]
    channels: Annotated[int, Field(ge=4, le=256)]
    stages: Annotated[int, Field(ge=1, le=20)]
    ladder: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_TEACHERS, strict=False)]
    teacher_epochs: PositiveInt
    student_epochs: PositiveInt
    start: Literal["teacher", "fresh"]
    learning_rate: PositiveFloat
    optics_learning_rate: PositiveFloat
    precision: Literal["float32", "bfloat16"]
    device: str
    losses: Literal["effective", "published"]
    weighting: Literal["fixed", "gradient"]
    weight_task: NonNegative
    weight_decoder: NonNegative
    weight_encoder: NonNegative

    @model_validator(mode="after")
    def _check_ladder(self) -> "TrainingSettings":
        if len(self.ladder) > self.teacher_epochs:
            raise ValueError(f"ladder: {len(self.ladder)} teachers cannot share {self.teacher_epochs} teacher epochs")
        return self


class SinglePixelSettings(TrainingSettings):
    """A single-pixel camera on a micromirror device.

    `photoelectrons_per_frame` is what the detector collects in one frame with all mirrors on and a white scene;
    `read_noise_photoelectrons` is the standard deviation of its read noise, referred to photoelectrons.
    """

    modality: Literal["single-pixel"] = "single-pixel"
    side: Annotated[int, Field(ge=4, le=512)]
    patterns: PositiveInt
    bit_depth: Annotated[int, Field(ge=1, le=8)]
    encoding: Encoding
    photoelectrons_per_frame: PositiveFloat
    read_noise_photoelectrons: NonNegative
    exposure_us: PositiveFloat | None


class CassiSettings(TrainingSettings):
    """A single-disperser coded-aperture spectral camera with the profile's bands.

    A detector pixel collects `photoelectrons_full_scale` where a white scene is seen through an open mask in all
    bands; `read_noise_photoelectrons` is the standard deviation of its read noise.
    """

    modality: Literal["cassi"] = "cassi"
    side: Side
    photoelectrons_full_scale: PositiveFloat
    read_noise_photoelectrons: NonNegative


class MriSettings(TrainingSettings):
    """A 2-D Cartesian scan: `acquired` of `side` phase-encode lines, `calibration` of them the fixed centre.

    `noise` is the standard deviation of real and imaginary part of a sample of orthonormal k-space, for images
    whose largest magnitude is 1.  `coils` is 1, or the number of simulated receive coils.
    """

    modality: Literal["mri"] = "mri"
    side: Side
    acquired: PositiveInt
    calibration: Annotated[int, Field(ge=0, le=1024)]
    coils: Annotated[int, Field(ge=1, le=64)]
    noise: PositiveFloat


RunSettings = Annotated[SinglePixelSettings | CassiSettings | MriSettings, Field(discriminator="modality")]
