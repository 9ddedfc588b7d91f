"""What one kind of Cartesian scan says of itself: lines of a slice, or points of a volume.

`writer` writes its files and `verify` holds them against the design; neither knows a kind by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from cidesign.checks import Check, passed
from cidesign.errors import FileError
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.manifest import MriFile, ScanManifest, ScanTimes
from cidesign.export.mri.protocol import Protocol
from cidesign.export.writing import Output
from cidesign.files import JsonObject
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines, CartesianPoints

D = TypeVar("D", CartesianLines, CartesianPoints)
P = TypeVar("P", bound=Protocol)
M = TypeVar("M", bound=ScanManifest)
# (line, partition) of each readout.
Order = Sequence[tuple[int, int]]


class ScanKind(ABC, Generic[D, P, M]):
    """How one kind of scan is planned, and which files beside the sequences tell of it."""

    design_type: type[D]
    manifest_type: type[M]
    # The kind of the manifest.
    name: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]

    @abstractmethod
    def plan(self, design: D, protocol: P, profile: MriProfile) -> MriPlan:
        """The sequence; raises `LimitError` for what cannot be played."""

    @abstractmethod
    def scan(self, plan: MriPlan, design: D, protocol: P) -> ScanTimes:
        """What is played, for the manifest."""

    @abstractmethod
    def order(self, manifest: M, design: D) -> Order:
        """The readouts as the manifest has them."""

    @abstractmethod
    def whole(self, design: D) -> tuple[int, ...]:
        """What a full scan would measure, along each direction that is encoded."""

    @abstractmethod
    def described(self, design: D) -> str:
        """How much of what is measured, for people."""

    @abstractmethod
    def write_tables(
        self, out: Output[MriFile], name: str, formats: Sequence[str], plan: MriPlan, design: D, protocol: P
    ) -> None:
        """Write the files of this kind's own formats."""

    @abstractmethod
    def check_tables(self, folder: Path, manifest: M, design: D) -> Iterator[Check]:
        """Hold them against the design as they lie on disk; raises `FileError`."""

    @abstractmethod
    def record(self, design: D, order: Order) -> JsonObject:
        """What the record for people says of the design."""

    @abstractmethod
    def notes(self, plan: MriPlan, design: D, protocol: P) -> tuple[str, ...]:
        """What should be known of a scan of this kind."""


AnyKind = ScanKind[Any, Any, Any]


def equals(file: str, same: bool, problem: str, said: str) -> Check:
    """A file that is what the design or the manifest says; raises `FileError` with the `problem` where it is not."""
    if not same:
        raise FileError(f"{problem}; export again")
    return passed(file, said)
