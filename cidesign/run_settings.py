"""Everything that decides a run's result, beside the profile and the library versions."""

import difflib
import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cidesign.errors import InputError

PositiveInt = Annotated[int, Field(ge=1, le=100_000_000)]
Epochs = Annotated[int, Field(ge=0, le=100_000_000)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=4, le=1024)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Ladder = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
ClassName = Annotated[str, Field(min_length=1, max_length=255)]
Classes = Annotated[tuple[ClassName, ...], Field(max_length=1000, strict=False)]
MOST_TEACHERS = 10

_Model = TypeVar("_Model", bound=BaseModel)


def validated(kind: type[_Model], values: Mapping[str, Any], spelled: Mapping[str, str] | None = None) -> _Model:
    """A settings model of values; raises `InputError`, one line with the name, the value and the limit.

    `spelled` maps fields to the names that the user typed for them.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problem = error.errors()[0]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(_said(problem, kind, spelled or {}) + more) from error


def whole(values: Mapping[str, object], name: str) -> int:
    """A whole number among values that are not yet checked; raises `InputError` for anything else."""
    found = values.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise InputError(f"{name} {shown_value(found)}: a whole number is needed")
    return found


def _said(problem: Any, kind: type[BaseModel], spelled: Mapping[str, str]) -> str:
    if problem["type"] == "value_error":  # a rule over several settings, which words itself
        return str(problem["ctx"]["error"])
    path = [str(part) for part in problem["loc"]]
    name = ".".join([spelled.get(path[0], path[0]), *path[1:]])
    if problem["type"] == "extra_forbidden":
        return unknown(name, list(kind.model_fields))
    if problem["type"] == "missing":
        return f"{name}: this setting is needed"
    return f"{name} {shown_value(problem['input'])}: {problem['msg'].removeprefix('Input ')}"


def unknown(name: str, known: list[str]) -> str:
    """What to say of a setting that there is not."""
    near = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{name}: no such setting here; {meant}Known are {', '.join(known)}"


def shown_value(value: Any) -> str:
    """A value for one line of an error."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = value if isinstance(value, str) and value and value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def about_a_teacher(name: str, value: Any) -> str:
    """What to say of a setting that is about a teacher, where there is to be none."""
    return (
        f"{name} {shown_value(value)}: is about a teacher, and strategy e2e trains without one; leave one of them out"
    )


def plain(value: Any) -> Any:
    """Numbers of other libraries as Python's, paths as text: what a record holds."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class TrainingSettings(BaseModel):
    """What all modalities have in common.

    `data` is `procedural` or where the images are.  `ladder` names the relaxations of the teacher, from the freest to
    the one that guides the student; `teacher_epochs` are shared out evenly among them.  `start` says where the
    student begins: at the `teacher`'s optics and decoder, or `fresh`.  `losses` are the `effective` forms (of what is
    built, scale-free) or the `published` ones; `weight_*` weigh task, decoder (features), encoder (operators) and
    output (the teacher's predictions), as they are (`fixed`), balanced by their gradients (`gradient`), or multiplied
    by inverse variances that are learnt (`uncertainty`).  `decoder` and `task` are names of their tables;
    `decoder_settings` are the decoder's own, which it checks itself when it is built (reading a run loads no network).
    `precision` is that of the network during training.  `threads` is how many compute on a processor; None: as many as
    are fastest while it trains, which may differ from run to run and then rounds otherwise.

    `design` is None where the optics are learnt, else what was named as the design that they are (a folder or a file;
    the run keeps a copy): then they stay as they are, and only the decoder is trained.  Such a run may do without a
    teacher (`teacher_epochs` 0), and without any training (`student_epochs` 0 too).

    `strategy` is `distill` where optics that are learnt have a teacher, and `e2e` where they have none and are trained
    end to end with the decoder: `teacher_epochs` 0, `start` fresh, and no guiding terms.

    `teacher` is None where the run trains its own, else the folder of the run whose teacher is stored and taken (the
    run keeps a copy); `teacher_epochs` is then 0.  `only_teacher`: the run is such a store, and has no student.

    `augmentation` says how the images of a step are changed at random: flipped and turned, shifted by up to a sixteenth
    of their sides, or not at all.

    `recipe` names the settings that were taken together; what was given otherwise by name stands here as it was given.
    `optics_start`: optics begin at a good fixed design (`designed`), at one that is `searched` for by what it tells of
    images like the training's (single-pixel patterns; `auto`: in little light, and a run records which), or at
    `random`.  `schedule`: the rates fall to zero over a phase (`cosine`) or stay (`constant`).  `exploring`: optics
    that choose among what they could measure (lines) take turns in some steps; without it the gradient passes straight
    through the choice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # Fields of older records under their names of today, and fields that they do not have.
    renamed: ClassVar[Mapping[str, str]] = {}
    added_later: ClassVar[frozenset[str]] = frozenset(
        {
            "decoder_settings", "task", "design", "threads", "teacher", "only_teacher", "augmentation", "classes",
            "weight_output", "recipe", "optics_start", "schedule", "exploring", "strategy",
        }
    )  # fmt: skip

    # What the memory that training takes grows with.
    sizes: ClassVar[tuple[str, ...]] = ("side", "batch", "images")

    # Which modality's settings these are: one of `cidesign.modality.FOLDERS`.
    modality: str
    preset: str = "quick"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    # Pixels along a side of the image.
    side: Side = 32
    data: Annotated[str, Field(min_length=1)] = "procedural"
    images: PositiveInt = 4_000
    validation_images: PositiveInt = 400
    batch: PositiveInt = 32
    decoder: Name = "unet"
    decoder_settings: dict[Name, bool | int | float | str] = Field(default_factory=dict)
    task: Name = "reconstruct"
    ladder: Ladder
    design: Annotated[str, Field(min_length=1)] | None = None
    strategy: Literal["distill", "e2e"] = "distill"
    teacher_epochs: Epochs = 4
    student_epochs: Epochs = 4
    start: Literal["teacher", "fresh"] = "teacher"
    learning_rate: PositiveFloat = 1e-3
    optics_learning_rate: PositiveFloat = 1e-2
    precision: Literal["float32", "bfloat16"] = "float32"
    device: str = "cpu"
    threads: Threads | None = None
    losses: Literal["effective", "published"] = "effective"
    weighting: Literal["fixed", "gradient", "uncertainty"] = "fixed"
    # What a run has where it has no weights; which it gets by default is in `distill.choices.guiding`.
    weight_task: NonNegative = 1.0
    weight_decoder: NonNegative = 0.0
    weight_encoder: NonNegative = 0.0
    weight_output: NonNegative = 0.0
    recipe: Name | None = None
    optics_start: Literal["auto", "designed", "random", "searched"] = "designed"
    schedule: Literal["cosine", "constant"] = "cosine"
    exploring: bool = True
    teacher: Annotated[str, Field(min_length=1)] | None = None
    only_teacher: bool = False
    augmentation: Literal["flips-and-turns", "shifts", "none"] = "flips-and-turns"
    # Of the images, in the order of their numbers: found in the data.  Empty until then, None where there are none.
    classes: Classes | None = None

    @property
    def has_teacher(self) -> bool:
        """Whether there is a teacher, trained by the run itself or stored."""
        return self.teacher_epochs > 0 or self.teacher is not None

    @property
    def guided(self) -> bool:
        """Whether a teacher has a say while the student trains, beyond its start."""
        return bool(self.weight_decoder or self.weight_encoder or self.weight_output)

    @model_validator(mode="after")
    def _check_epochs(self) -> Self:
        ways_out = {"teacher_epochs": " or strategy e2e", "student_epochs": ""}
        needed = {
            "teacher_epochs": self.teacher is None and self.strategy == "distill",
            "student_epochs": not self.only_teacher,
        }
        for name, learnt in needed.items():
            if getattr(self, name) == 0 and self.design is None and learnt:
                raise ValueError(
                    f"{name} 0: optics that are learnt take 1 or more; 0 is for a design that is given{ways_out[name]}"
                )
        for name in ("weight_decoder", "weight_encoder", "weight_output"):
            if getattr(self, name) and not self.has_teacher:
                raise ValueError(
                    f"{name} {getattr(self, name):g}: there is no teacher (teacher_epochs 0); leave it out"
                )
        if self.weight_encoder and self.design is not None:
            raise ValueError(f"weight_encoder {self.weight_encoder:g}: moves optics, which are given; leave it out")
        return self

    @model_validator(mode="after")
    def _check_strategy(self) -> Self:
        if self.strategy == "distill":
            return self
        if self.design is not None:
            raise ValueError(f"strategy e2e: the optics are given ({self.design}), not learnt; leave one of them out")
        apart = {"teacher_epochs": 0, "teacher": None, "only_teacher": False, "start": "fresh"}
        for name, wanted in apart.items():
            if (found := getattr(self, name)) != wanted:
                raise ValueError(about_a_teacher(name, found))
        return self

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        if self.teacher is not None and self.teacher_epochs:
            raise ValueError(
                f"teacher_epochs {self.teacher_epochs}: the teacher {self.teacher} is stored; leave it out"
            )
        if self.teacher is not None and self.start == "fresh" and not self.guided:
            raise ValueError(
                f"start fresh: nothing would be taken of the stored teacher {self.teacher}; leave it out, or let it "
                "guide (weight_decoder, weight_encoder)"
            )
        if not self.only_teacher:
            return self
        for name in ("student_epochs", "weight_decoder", "weight_encoder"):
            if getattr(self, name):
                raise ValueError(f"{name} {getattr(self, name):g}: only a teacher is trained, no student; leave it out")
        for name in ("design", "teacher"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} {getattr(self, name)}: only a teacher is trained, by itself; leave it out")
        return self

    @model_validator(mode="after")
    def _check_ladder(self) -> Self:
        if self.teacher_epochs and len(self.ladder) > min(self.teacher_epochs, MOST_TEACHERS):
            raise ValueError(
                f"ladder {','.join(self.ladder)}: {len(self.ladder)} teachers; each needs an epoch of the "
                f"{self.teacher_epochs} of teacher_epochs, and {MOST_TEACHERS} are the most"
            )
        return self

    def changed(self, **values: Any) -> Self:
        """These settings with other values, checked like new ones; raises `InputError`, or `LimitError` for a budget.

        `decoder_settings` are given whole; a decoder checks its own when it is built.
        """
        return validated(type(self), {**dict(self), **{name: plain(value) for name, value in values.items()}})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; pydantic's own would take any value."""
        copied = super().model_copy(deep=deep)
        return copied.changed(**update) if update else copied

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> Self:
        """The settings in a run's record, of this version or an older one; nothing that they must hold is filled in.

        Raises `InputError` or `LimitError`, as `validated` does.
        """
        values = {cls.renamed.get(name, name): value for name, value in stored.items()}
        if "decoder_settings" not in values:  # knobs of the two first decoders stood among the others, in every run
            knobs = {name: values.pop(name) for name in ("channels", "stages") if name in values}
            wanted = {"unet": ("channels",), "unrolled": ("channels", "stages")}.get(str(values.get("decoder")), knobs)
            values["decoder_settings"] = {name: knobs[name] for name in wanted if name in knobs}
        values.setdefault("optics_start", "designed")  # what there was before it was a setting, whatever is usual now
        missing = [name for name in cls.model_fields if name not in values and name not in cls.added_later]
        if missing:
            raise InputError(f"{missing[0]}: this setting is missing")
        return validated(cls, values)
