"""What one kind of scan says of itself: lines of a slice, points of a volume, shots of a slice.

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
from cidesign.export.mri.protocol import ScanProtocol
from cidesign.export.mri.pulseq.write import Definitions
from cidesign.export.writing import Output
from cidesign.files import JsonObject
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines, CartesianPoints, NonCartesian

D = TypeVar("D", CartesianLines, CartesianPoints, NonCartesian)
P = TypeVar("P", bound=ScanProtocol)
M = TypeVar("M", bound=ScanManifest)
# (line, partition) of each readout; shots are counted as lines.
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
    def require_order(self, order: Order, design: D, where: Path) -> None:
        """Raise `FileError` unless the readouts are those of the design, each once."""

    @abstractmethod
    def stem(self, design: D) -> str:
        """What the names of its files say of the design."""

    @abstractmethod
    def definitions(self, design: D, protocol: P) -> Definitions:
        """What a Pulseq file says of the scan, beside TE and TR."""

    @abstractmethod
    def check_file(self, path: Path, profile: MriProfile, design: D, order: Order) -> list[Check]:
        """Every check of one sequence as it lies on disk, against the design limits."""

    @abstractmethod
    def write_template(self, path: Path, plan: MriPlan, design: D, protocol: P, profile: MriProfile) -> None:
        """Write the ISMRMRD template."""

    @abstractmethod
    def check_template(self, path: Path, design: D, order: Order) -> str:
        """Hold it against the design as it lies on disk; raises `FileError`, returns what was found."""

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
