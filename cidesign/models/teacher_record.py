"""The teacher that a run has taken over from another run: its own copy, and what made it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, SerializeAsAny, ValidationError, field_validator

from cidesign import __version__
from cidesign.errors import FileError
from cidesign.files import read_json
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.pattern import Design
from cidesign.records import Digest, Strict, first_problem
from cidesign.run_settings import Epochs, TrainingSettings
from cidesign.runs import Run, settings_of_record

FILE, WEIGHTS_FILE, DESIGN_FILE = "teacher.json", "teacher.safetensors", "teacher_design.npz"
SCHEMA_VERSION = 1


class TeacherRecord(Strict):
    """The content of `teacher.json`: the run that the weights are from, as it was.

    `relaxation` is the word of the ladder that they were trained with; None for a student, which serves where a run had
    no teacher.  `epochs` is what went into them.  `design_digest`: the design that such a student's optics are.
    """

    schema_version: Literal[1]
    kind: Literal["teacher"]
    named: str
    relaxation: str | None
    epochs: Epochs
    settings: SerializeAsAny[TrainingSettings]
    profile: dict[str, JsonValue]
    profile_digest: Digest
    data_digest: Digest
    weights_digest: Digest
    design_digest: Digest | None

    @field_validator("settings", mode="before")
    @classmethod
    def _of_their_modality(cls, value: Any) -> Any:
        return settings_of_record(value)

    def checked_profile(self, where: Path) -> HardwareProfile:
        """The profile that it was trained for; raises `FileError` for one that was changed, or of another modality."""
        profile = validate_profile(self.profile, str(where))
        if profile.digest != self.profile_digest:
            raise FileError(f"{where}: the profile inside was changed after the run (its digest does not fit)")
        if not isinstance(profile, modality(self.settings.modality).profile_type):
            raise FileError(f"{where}: joins {self.settings.modality} settings to a {profile.kind} profile")
        return profile

    def design(self, folder: Path) -> Design | None:
        """The design of a student whose optics were given, from its `folder`; None for any other."""
        if self.design_digest is None:
            return None
        path = folder / DESIGN_FILE
        if not path.is_file():
            raise FileError(f"{folder}: {DESIGN_FILE} is missing; the run folder is incomplete")
        found = modality(self.settings.modality).design_type.load(path)
        if found.design_digest != self.design_digest:
            raise FileError(f"{folder}: {DESIGN_FILE} is not the design that {FILE} names (their digests differ)")
        return found


def read_teacher_record(run: Run) -> TeacherRecord:
    """The record of the stored teacher of a run; raises `FileError` where it is missing, damaged or of another one."""
    path = run.file(FILE)
    raw = read_json(path, "teacher record")
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise FileError(
            f"{path}: has schema version {version!r}, cidesign {__version__} reads {SCHEMA_VERSION}; use the version "
            "of cidesign that wrote it"
        )
    try:
        record = TeacherRecord.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{path}: this teacher record is damaged: {first_problem(error)}") from error
    if record.weights_digest != run.record.teacher_digest:
        raise FileError(f"{path}: is not of the teacher that run.json names (their digests differ)")
    return record


def trained_epochs(run: Run) -> tuple[int, int]:
    """The epochs that went into the teacher of a run, stored or its own, and into its student."""
    own = run.settings.teacher_epochs
    return own if run.settings.teacher is None else read_teacher_record(run).epochs, run.settings.student_epochs


def teacher_name(run: Run) -> str:
    """What the teacher of a run is called in tables."""
    if run.settings.teacher is None:
        return f"teacher ({run.settings.ladder[-1]})"
    return f"stored teacher ({read_teacher_record(run).relaxation or 'a student'})"
