"""The run folder: what was asked for, what was trained, and on which profile."""

import platform
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, JsonValue, SerializeAsAny, ValidationError, field_validator
from pydantic_core import PydanticCustomError, to_json

from cidesign import __version__
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.files import read_json, require_folder, write_json
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import FOLDERS, modality
from cidesign.pattern import Design
from cidesign.records import Digest, Finite, NotNegative, Strict, first_problem
from cidesign.run_settings import TrainingSettings

if TYPE_CHECKING:  # torch loads only where something is decoded
    from cidesign.reconstruct.student import ArrayOperator, Student

SCHEMA_VERSION = 2
DESIGN_FILE, GIVEN_FILE = "design.npz", "given_design.npz"
RUNS_FOLDER = Path("runs")
# Of the folder beside a run that holds the teachers which were trained for it to choose from.
TEACHERS_SUFFIX = "-teachers"


class StrategyChoice(Strict):
    """Whether optics that are learnt have a teacher or are trained end to end (E2E), and what decided it.

    `by`: it was `asked` for, something was asked of the `teacher`, a `recipe` is followed, a `stored-teacher` fits, the
    nearest `regime` was `measured`, or none is near (`not-measured`).  `gain_db` is the PSNR of a student minus that of
    E2E there, at equal total epochs, with its standard error over `seeds`.
    """

    strategy: Literal["distill", "e2e"]
    by: Literal["asked", "teacher", "recipe", "stored-teacher", "measured", "not-measured"]
    reason: str
    regime: str | None = None
    gain_db: Finite | None = None
    standard_error_db: NotNegative | None = None
    seeds: int | None = None

    @property
    def said(self) -> tuple[str, ...]:
        """One line for people; nothing where they have asked for it."""
        return () if self.by == "asked" else (f"strategy {self.strategy}: {self.reason}",)


class TeacherScore(Strict):
    """A teacher that could be taken, and the `score` of the student before training with what it inherits of it."""

    folder: str
    relaxation: str | None
    weights_digest: Digest
    score: float


class TeacherChoice(Strict):
    """Which of several teachers was taken: the `folder` of the one with the largest score, in units of `metric`."""

    metric: str
    folder: str
    candidates: tuple[TeacherScore, ...]


class Choices(NamedTuple):
    """What a run decided for itself; None where there was nothing to decide."""

    strategy: StrategyChoice | None = None
    teacher: TeacherChoice | None = None


class RunRecord(BaseModel):
    """The content of `run.json`.

    `status` is `untrained` where nothing was trained at all, as for the design of a design folder.  `design_digest` is
    None until the design is known: from the start where it is given, else at the end.  `strategy` and `teacher_choice`
    are what the run decided for itself, None in older records too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2]
    kind: Literal["run"]
    status: Literal["training", "complete", "untrained"]
    created_utc: str
    cidesign_version: str
    versions: dict[str, str]
    settings: SerializeAsAny[TrainingSettings]
    profile: dict[str, JsonValue]
    profile_digest: str
    data_digest: str
    teacher_digest: str | None
    design_digest: str | None
    metrics: dict[str, float]
    strategy: StrategyChoice | None = None
    teacher_choice: TeacherChoice | None = None

    @field_validator("settings", mode="before")
    @classmethod
    def _of_their_modality(cls, value: Any) -> Any:
        return settings_of_record(value)


def settings_of_record(value: Any) -> Any:
    """The settings in a record, read as those of the modality that they name; for validators of pydantic."""
    if not isinstance(value, dict):
        return value
    name = value.get("modality")
    if not isinstance(name, str) or name not in FOLDERS:
        known = {"name": repr(name)[:60], "known": ", ".join(FOLDERS)}
        raise PydanticCustomError("modality", "modality {name} is not known; known are {known}", known)
    try:
        return modality(name).settings_type.from_record(value)
    except CidesignError as error:
        raise PydanticCustomError("settings", "{problem}", {"problem": str(error)}) from error


class Run:
    """An opened run folder; raises `FileError` when something in it is missing, damaged or of another version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        require_folder(path, "run folder", f"make one with `cidesign distill --profile NAME --out {path}`")
        if (path / "design.json").is_file() and not (path / "run.json").exists():
            raise FileError(
                f"{path}: a design that was read from files, without a trained decoder, which this needs; train one "
                f"with `cidesign distill --design {path}`"
            )
        if (path / "sweep.json").is_file():
            raise FileError(
                f"{path}: a sweep, not a run; name one of the runs in it, or see all of them with `cidesign sweep "
                "report SPEC` and the spec that it was made of"
            )
        if not (path / "run.json").exists():
            raise FileError(f"{path}: this folder is not a run (it has no run.json); name a run folder")
        raw = read_json(path / "run.json", "run record")
        version = raw.get("schema_version")
        if version != SCHEMA_VERSION:
            raise FileError(
                f"{path}: run.json has schema version {version!r}, cidesign {__version__} reads {SCHEMA_VERSION}; "
                "use the version of cidesign that wrote it"
            )
        self._settings_as_stored: Any = raw.get("settings")
        try:
            self.record = RunRecord.model_validate(raw)
        except ValidationError as error:
            raise FileError(f"{path}: run.json is damaged: {first_problem(error)}") from error

    @property
    def settings(self) -> TrainingSettings:
        """What was asked for."""
        return self.record.settings

    @property
    def settings_text(self) -> str:
        """The settings as they stand in the record: what a run of an older version is known by stays what it was."""
        return to_json(self._settings_as_stored).decode()

    @property
    def complete(self) -> bool:
        """Whether training reached its end, or there was none to do."""
        return self.record.status != "training"

    @property
    def systems(self) -> tuple[str, ...]:
        """Of `teacher` and `student` those whose quality the record of a finished run holds.

        A stored teacher is measured where it sees the run's images.
        """
        stored = self.settings.teacher is not None and any(name.startswith("teacher_") for name in self.record.metrics)
        student = () if self.settings.only_teacher else ("student",)
        return ("teacher", *student) if self.settings.teacher_epochs or stored else student

    @property
    def known_as(self) -> Path:
        """The folder that people know: that of the run, or of the design that it was made from without training."""
        given = self.settings.design
        return Path(given) if self.record.status == "untrained" and given is not None else self.path

    @property
    def profile(self) -> HardwareProfile:
        """The run's own copy of its profile; its digest is checked."""
        return self._profile

    @cached_property
    def _profile(self) -> HardwareProfile:
        profile = validate_profile(self.record.profile, str(self.path / "run.json"))
        if profile.digest != self.record.profile_digest:
            raise FileError(
                f"{self.path}: the profile inside run.json was changed after the run (its digest does not fit)"
            )
        if not isinstance(profile, modality(self.settings.modality).profile_type):
            raise FileError(
                f"{self.path}: run.json joins {self.settings.modality} settings to a {profile.kind} profile"
            )
        return profile

    def require_complete(self) -> None:
        """Raise `FileError` when the run was interrupted, with the command that finishes it."""
        if not self.complete:
            raise FileError(
                f"{self.path}: this run is not finished; finish it with `cidesign distill --resume --out {self.path}`"
            )

    def with_design(self) -> Self:
        """This run; raises `FileError` when it was interrupted, and `InputError` when it holds a teacher alone."""
        self.require_complete()
        if self.settings.only_teacher:
            profile = self.profile.id
            raise InputError(
                f"{self.path}: holds a teacher alone, with neither design nor student; train one from it with "
                f"`cidesign distill --profile {profile} --teacher {self.path}`"
            )
        return self

    @property
    def design(self) -> Design:
        """The hard design of a finished run; its digest is checked against `run.json`."""
        return self._design

    @cached_property
    def _design(self) -> Design:
        self.with_design()
        return self._stored_design(DESIGN_FILE)

    def given_design(self) -> Design | None:
        """The run's own copy of the design that was given, its digest checked; None where the optics are learnt."""
        return None if self.settings.design is None else self._stored_design(GIVEN_FILE)

    def _stored_design(self, name: str) -> Design:
        design = modality(self.settings.modality).design_type.load(self.file(name))
        if design.design_digest != self.record.design_digest:
            raise FileError(f"{self.path}: {name} is not the design that run.json names (their digests differ)")
        return design

    @cached_property
    def student(self) -> "Student":
        """The trained student: `run.student(y)` decodes readings in units of y = A x, NumPy arrays or tensors."""
        self.with_design()
        kind = modality(self.settings.modality)
        run = self if isinstance(self, kind.run_type) else kind.run_type(self.path)
        found: Student = kind.bench().student(run, None)
        return found

    @property
    def operator(self) -> "ArrayOperator":
        """y = A x of the design, without noise, with its adjoint, for NumPy arrays or tensors."""
        return self.student.operator

    def file(self, name: str) -> Path:
        """The path of a file that must be in the run folder."""
        path = self.path / name
        if not path.is_file():
            raise FileError(f"{self.path}: {name} is missing; the run folder is incomplete")
        return path


_S = TypeVar("_S", bound=TrainingSettings)
_P = TypeVar("_P", bound=HardwareProfile)
_D = TypeVar("_D", bound=Design)


class RunOf(Run, Generic[_S, _P, _D]):
    """A run of one modality; opening another one raises `InputError`."""

    modality: ClassVar[str]

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found = super().settings.modality
        if found != self.modality:
            raise InputError(f"{path}: a run of the modality {found}; this works with {self.modality} runs")

    @property
    def settings(self) -> _S:
        """What was asked for."""
        return cast(_S, super().settings)

    @property
    def profile(self) -> _P:
        """The run's own copy of its profile."""
        return cast(_P, super().profile)

    @property
    def design(self) -> _D:
        """The hard design of a finished run."""
        return cast(_D, super().design)


_R = TypeVar("_R", bound=Run)


def open_run(path: Path | None, kind: type[_R]) -> _R:
    """Open the run at `path`, or the newest one below `runs/` when none is given, as one of a kind."""
    return kind(newest_run() if path is None else path)


def newest_run() -> Path:
    """The run folder below `runs/` whose `run.json` changed last, of those that do not hold a teacher alone."""
    runs = _newest_first()
    found = next((path for path in runs if not _only_teacher(path)), None)
    if found is None:
        raise InputError(
            f"below runs/ are teachers alone ({runs[0]}), and no run with a design; make one from it with `cidesign "
            f"distill --profile {Run(runs[0]).profile.id} --teacher {runs[0]}`"
        )
    return found


def teacher_runs() -> list[Path]:
    """The run folders below `runs/` that hold a teacher alone, finished or not, the newest first; those that were
    trained for the choice of another run among them."""
    return [path for path in _records_newest_first("*", f"*{TEACHERS_SUFFIX}/*") if _only_teacher(path)]


def not_a_teacher(path: Path) -> Path:
    """A folder; raises `InputError` for that of a run that holds a teacher alone."""
    if (path / "run.json").is_file() and _only_teacher(path):
        Run(path).with_design()
    return path


def _only_teacher(path: Path) -> bool:
    """Whether a run holds a teacher alone; one that cannot be read says what is wrong with it when it is opened."""
    try:
        return Run(path).settings.only_teacher
    except CidesignError:
        return False


def newest_unfinished_run() -> Path:
    """The unfinished run below `runs/` that changed last; where all are finished, the newest of those."""
    runs = _newest_first()
    return next((path for path in runs if not Run(path).complete), runs[0])


def _newest_first() -> list[Path]:
    runs = _records_newest_first()
    if not runs:
        raise InputError("no run is below runs/; name one, or make one with `cidesign distill --profile dlp4500`")
    return runs


def _records_newest_first(*patterns: str) -> list[Path]:
    records = [record for pattern in patterns or ("*",) for record in RUNS_FOLDER.glob(f"{pattern}/run.json")]
    # A visible name: hidden ones are folders that are being made.
    visible = [record for record in records if not record.parent.name.startswith(".")]
    return [record.parent for record in sorted(visible, key=lambda one: one.stat().st_mtime_ns, reverse=True)]


def write_record(path: Path, record: RunRecord) -> None:
    """Write `run.json` in one step."""
    write_json(path / "run.json", record.model_dump(mode="json"))


def library_versions() -> dict[str, str]:
    """The versions that a result depends on."""
    names = ("torch", "numpy", "opencv-python-headless", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
