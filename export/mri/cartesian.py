"""What lines and points have in common as kinds of scans: their readouts lie on a grid."""

from pathlib import Path
from typing import Generic, TypeVar

from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.ismrmrd import check_ismrmrd, write_ismrmrd
from cidesign.export.mri.protocol import Protocol
from cidesign.export.mri.pulseq.write import Definitions
from cidesign.export.mri.scan import M, Order, ScanKind
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import Cartesian, CartesianLines, CartesianPoints, as_points

C = TypeVar("C", CartesianLines, CartesianPoints)
G = TypeVar("G", bound=Protocol)


class CartesianKind(ScanKind[C, G, M], Generic[C, G, M]):
    """Lines, or points."""

    def require_order(self, order: Order, design: C, where: Path) -> None:
        """The acquired ones."""
        if sorted(order) != [tuple(point) for point in as_points(design).acquired.tolist()]:
            word = design.kind
            raise FileError(
                f"{where}: the order of {word} in the manifest does not hold the {word} of the design, each once"
            )

    def stem(self, design: C) -> str:
        """How many of how many."""
        matrix = design.matrix if isinstance(design, CartesianPoints) else (design.lines,)
        return f"{len(design.acquired)}of{'x'.join(str(n) for n in matrix)}"

    def definitions(self, design: C, protocol: G) -> Definitions:
        """Matrix, its centre, field of view."""
        return cartesian_definitions(design, protocol)

    def check_file(self, path: Path, profile: MriProfile, design: C, order: Order) -> list[Check]:
        """The lines or points of the design, in their order."""
        return check_sequence(path, profile, design, "design", order=order)

    def write_template(self, path: Path, plan: MriPlan, design: C, protocol: G, profile: MriProfile) -> None:
        """By counters."""
        write_ismrmrd(path, plan, design, protocol, profile)

    def check_template(self, path: Path, design: C, order: Order) -> str:
        """By counters."""
        return check_ismrmrd(path, design, order)


def cartesian_definitions(trajectory: Cartesian, protocol: Protocol) -> Definitions:
    """What Pulseq files say of lines and points."""
    pixel_mm = protocol.fov_mm / trajectory.readout
    line_mm = protocol.phase_fov / trajectory.lines
    found: dict[str, str | float | list[float]] = {
        "Name": f"cidesign_{protocol.kind}_research_only",
        "FOV": [size_mm * 1e-3 for size_mm in protocol.fovs_mm],
        "BaseResolution": trajectory.readout,
        "ReadoutOversamplingFactor": protocol.oversampling,
        "PhaseEncodingLines": trajectory.lines,
        "kSpaceCenterLine": trajectory.lines // 2,
        "PhaseResolution": pixel_mm / line_mm,
        "SliceThickness": protocol.excited_mm * 1e-3,
    }
    if isinstance(trajectory, CartesianPoints):
        found |= {
            "Partitions": trajectory.partitions,
            "kSpaceCenterPartition": trajectory.partitions // 2,
            "PartitionResolution": pixel_mm / (protocol.depth_fov / trajectory.partitions),
        }
    return found
