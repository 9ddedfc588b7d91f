"""The run folder: what was asked for, what was trained, and on which profile."""

import os
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cidesign import __version__
from cidesign.errors import FileError, InputError
from cidesign.files import read_json, write_json
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.pattern import Encoding, PatternStack
from cidesign.records import first_problem

SCHEMA_VERSION = 1
RUNS_FOLDER = Path("runs")

PositiveInt = Annotated[int, Field(ge=1, le=100_000_000)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RunSettings(BaseModel):
    """Everything that decides a run's result, beside the profile and the library versions.

    `photoelectrons_per_frame` is what the detector collects in one frame with all mirrors on and a white scene;
    `read_noise_photoelectrons` is the standard deviation of its read noise, referred to photoelectrons.
    `data` is `procedural` or the folder of images.  `precision` is that of the U-Net during training.
    `weight_*` weigh the student's loss: task, decoder (bottleneck features), encoder (Gram).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preset: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    side: Annotated[int, Field(ge=4, le=512)]
    patterns: PositiveInt
    bit_depth: Annotated[int, Field(ge=1, le=8)]
    encoding: Encoding
    photoelectrons_per_frame: PositiveFloat
    read_noise_photoelectrons: NonNegative
    exposure_us: PositiveFloat | None
    data: str
    images: PositiveInt
    validation_images: PositiveInt
    batch: PositiveInt
    channels: Annotated[int, Field(ge=4, le=256)]
    teacher_epochs: PositiveInt
    student_epochs: PositiveInt
    learning_rate: PositiveFloat
    optics_learning_rate: PositiveFloat
    precision: Literal["float32", "bfloat16"]
    device: str
    weight_task: NonNegative
    weight_decoder: NonNegative
    weight_encoder: NonNegative


class RunRecord(BaseModel):
    """The content of `run.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    kind: Literal["run"]
    modality: Literal["single-pixel"]
    status: Literal["training", "complete"]
    created_utc: str
    cidesign_version: str
    versions: dict[str, str]
    settings: RunSettings
    profile: dict[str, Any]
    profile_digest: str
    data_digest: str
    teacher_digest: str | None
    design_digest: str | None
    metrics: dict[str, float]


class Run:
    """An opened run folder; raises `FileError` when something in it is missing, damaged or of another version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise FileError(f"{path}: no such run folder; make one with `cidesign distill --profile NAME --out {path}`")
        raw = read_json(path / "run.json", "run record")
        version = raw.get("schema_version")
        if version != SCHEMA_VERSION:
            raise FileError(
                f"{path}: run.json has schema version {version!r}, cidesign {__version__} reads {SCHEMA_VERSION}; "
                "use the version of cidesign that wrote it"
            )
        try:
            self.record = RunRecord.model_validate(raw)
        except ValidationError as error:
            raise FileError(f"{path}: run.json is damaged: {first_problem(error)}") from error

    @property
    def settings(self) -> RunSettings:
        """What was asked for."""
        return self.record.settings

    @property
    def complete(self) -> bool:
        """Whether training reached its end."""
        return self.record.status == "complete"

    @cached_property
    def profile(self) -> DmdProfile:
        """The run's own copy of its profile; its digest is checked."""
        profile = validate_profile(self.record.profile, str(self.path / "run.json"))
        if profile.digest != self.record.profile_digest:
            raise FileError(
                f"{self.path}: the profile inside run.json was changed after the run (its digest does not fit)"
            )
        return profile

    def require_complete(self) -> None:
        """Raise `FileError` when the run was interrupted, with the command that finishes it."""
        if not self.complete:
            raise FileError(
                f"{self.path}: this run is not finished; finish it with `cidesign distill --resume --out {self.path}`"
            )

    @cached_property
    def design(self) -> PatternStack:
        """The hard patterns of a finished run; the digest is checked against `run.json`."""
        self.require_complete()
        design = PatternStack.load(self.path / "design.npz")
        if design.design_digest != self.record.design_digest:
            raise FileError(f"{self.path}: design.npz is not the design that run.json names (their digests differ)")
        return design

    def file(self, name: str) -> Path:
        """The path of a file that must be in the run folder."""
        path = self.path / name
        if not path.is_file():
            raise FileError(f"{self.path}: {name} is missing; the run folder is incomplete")
        return path


def open_run(path: Path | None) -> Run:
    """Open the run at `path`, or the newest one below `runs/` when none is given."""
    return Run(newest_run() if path is None else path)


def newest_run() -> Path:
    """The run folder below `runs/` whose `run.json` changed last."""
    records = sorted(RUNS_FOLDER.glob("*/run.json"), key=lambda record: record.stat().st_mtime_ns)
    if not records:
        raise InputError("no run is below runs/; name one, or make one with `cidesign distill --profile dlp4500`")
    return records[-1].parent


def write_record(path: Path, record: RunRecord) -> None:
    """Write `run.json` in one step."""
    write_json(path / "run.json", record.model_dump(mode="json"))


def library_versions() -> dict[str, str]:
    """The versions that a result depends on."""
    import platform
    from importlib.metadata import version

    names = ("torch", "numpy", "opencv-python-headless", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def now_utc() -> str:
    """The time for records; SOURCE_DATE_EPOCH, where set, replaces it (reproducible files)."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
