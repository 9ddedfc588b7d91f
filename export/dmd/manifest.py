"""The manifest of an export folder: what every file is, its hash, and when each frame is shown."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from cidesign.export.manifest import ExportManifest, FileEntry, profile_in, read_as
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import Encoding, FrameRole, Placement
from cidesign.records import Digest, Strict

Index = Annotated[int, Field(ge=0, le=100_000)]
Count = Annotated[int, Field(ge=1, le=10_000)]
TimeUs = Annotated[int, Field(ge=0, le=1_000_000_000)]
Half = Literal[0, 1]
# What a file is and how it is coded, in words of its format; `Exporter.check_words` knows which ones a format has.
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]


def _without_sequence(dumped: dict[str, object]) -> dict[str, object]:
    """Nothing is said of sequences where there is one."""
    return {name: value for name, value in dumped.items() if (name, value) != ("sequence", None)}


class FileRecord(FileEntry):
    """One file of the folder: its hash, its length and what it is.

    `image` numbers the device images; `half` is 0 for the primary controller and 1 for the secondary, None where
    there is one; `compression` is how an image is coded where its format leaves a choice.  `sequence` counts from 1,
    None where there is one.
    """

    role: Word
    image: Index | None = None
    half: Half | None = None
    compression: Word | None = None
    sequence: Count | None = None

    @model_serializer(mode="wrap")
    def _said(self, dumped: SerializerFunctionWrapHandler) -> dict[str, object]:
        return _without_sequence(dumped(self))


class EntryRecord(Strict):
    """One displayed frame: frame `frame` shows pattern `pattern` (`+`), its complement (`-`), all `on` or `off` (-1).

    It lies in planes `planes` of image `image`, least significant level bit first.  `sequence` counts from 1, None
    where there is one; `image` is the number by which the device knows it (`SequencePlan`).
    """

    frame: Index
    pattern: Annotated[int, Field(ge=-1, le=100_000)]
    role: FrameRole
    image: Index
    slot: Annotated[int, Field(ge=0, le=23)]
    planes: tuple[Annotated[int, Field(ge=0, le=23)], ...]
    loads_image: bool
    exposure_us: TimeUs
    period_us: TimeUs
    sequence: Count | None = None

    @model_serializer(mode="wrap")
    def _said(self, dumped: SerializerFunctionWrapHandler) -> dict[str, object]:
        return _without_sequence(dumped(self))


class TimingRecord(Strict):
    """What was asked for beside what is done; None where the shortest legal value was left to the plan."""

    mode: Literal["fixed_exposure", "variable_exposure"] | None
    requested_exposure_us: float | None
    requested_period_us: float | None
    exposure_us: TimeUs
    total_us: Annotated[int, Field(ge=0, le=10**15)]
    notes: tuple[str, ...]


class GridRecord(Strict):
    """The super-pixels on the mirrors: `side` x `side` squares of `side_columns` column pitches each.

    Frames of the mirrors themselves have no super-pixels; `placement` is written only there.
    """

    placement: Placement = "superpixels"
    side: Index | None
    side_columns: Index | None
    side_um: float | None
    columns: Index
    rows: Index
    lattice: str

    @model_serializer(mode="wrap")
    def _said(self, dumped: SerializerFunctionWrapHandler) -> dict[str, object]:
        fields: dict[str, object] = dumped(self)
        return {name: value for name, value in fields.items() if (name, value) != ("placement", "superpixels")}


class FlipRecord(Strict):
    """The device's own flips and inversion that the files are written for; all off."""

    long_axis: Literal[False] = False
    short_axis: Literal[False] = False
    inverted: Literal[False] = False


class Manifest(ExportManifest):
    """The content of `manifest.json`; `polarity` 1: a level of 1 is an on mirror.

    `sync_every` and `patterns_digest` are there only where the design carries sync frames: how many patterns lie
    between them, and the digest of the design without them, which is the run's.
    """

    kind: Literal["export"]
    format: str
    patterns_digest: Digest | None = None
    sync_every: Annotated[int, Field(ge=1, le=100_000)] | None = None
    bit_depth: Annotated[int, Field(ge=1, le=8)]
    encoding: Encoding
    polarity: Literal[1]
    plane_order: str
    grid: GridRecord
    flips: FlipRecord
    timing: TimingRecord
    images: Index
    entries: tuple[EntryRecord, ...]
    notes: tuple[str, ...]
    files: dict[str, FileRecord]

    @property
    def run_digest(self) -> str:
        """The digest of the design of the run that was exported: without sync frames."""
        return self.patterns_digest or self.design_digest

    def device_profile(self, where: Path) -> DmdProfile:
        """The manifest's own copy of the profile; its digest is checked."""
        return profile_in(where, self, DmdProfile)

    def unsaid(self) -> set[str]:
        """Nothing is said of sync frames where there are none."""
        return {"patterns_digest", "sync_every"} if self.sync_every is None else set()

    @property
    def sequences(self) -> int:
        """How many sequences there are; raises nothing, whatever the entries say."""
        return max((entry.sequence or 1 for entry in self.entries), default=1)

    def image_files(self) -> list[str]:
        """The names of the device images in the order of their sequences, numbers and halves."""
        images = [
            (record.sequence or 1, record.image, record.half or 0, name)
            for name, record in self.files.items()
            if record.role == "image" and record.image is not None
        ]
        return [name for *_, name in sorted(images)]


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`; raises `FileError` when it is missing, damaged or of another version."""
    return read_as(folder, Manifest)
