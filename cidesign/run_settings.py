"""Everything that decides a run's result, beside the profile and the library versions."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

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

    # Which modality's settings these are: one of `cidesign.modality.FOLDERS`.
    modality: str
    preset: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    # Pixels along a side of the image.
    side: Side
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
