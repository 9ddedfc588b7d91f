"""3-D scans of points as a device family."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cidesign.checks import Check, passed
from cidesign.constraints.points import PointBudget
from cidesign.constraints.rules import require
from cidesign.export.family import NoOptions
from cidesign.export.mri.manifest import protocol_of
from cidesign.export.mri.points.manifest import PointsManifest
from cidesign.export.mri.points.own import PointOptions, read_own
from cidesign.export.mri.points.protocol import PointsProtocol
from cidesign.export.mri.points.scan import POINT_FORMATS, POINTS, points_said
from cidesign.export.mri.scan_family import ScanFamily, ScanOptions
from cidesign.export.options import read_options
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianPoints

# A plain 3-D gradient echo that every scanner plays; all of it is shown and can be set.
FIRST_PROTOCOL: dict[str, str | float | None] = {
    "kind": "gre3d",
    "fov_mm": 224.0,
    "slab_thickness_mm": 160.0,
    "flip_angle_deg": 10.0,
    "te_ms": None,
    "tr_ms": None,
    "bandwidth_hz_per_px": 400.0,
    "rf_duration_ms": 2.0,
    "t1_ms": 1000.0,
}


class PointsFamily(ScanFamily[CartesianPoints, PointsProtocol, PointsManifest, NoOptions]):
    """Sequences and points for scanners."""

    name = "mri-points"
    design_type, manifest_type = CartesianPoints, PointsManifest
    scan_kind = POINTS
    file_options_type = NoOptions
    samplings = ("points",)
    plural, contents = "3-D MRI", "points"
    formats, first_protocol = POINT_FORMATS, FIRST_PROTOCOL

    def protocol(self, values: dict[str, Any]) -> PointsProtocol:
        """`kind` is gre3d."""
        return protocol_of(values, (PointsProtocol,))

    def read_own(self, files: Sequence[Path], profile: MriProfile, settings: Mapping[str, Any] = {}) -> OwnDesign:
        """Points from a mask or a list."""
        return read_own(files, profile, read_options(PointOptions, settings, "a file of points"))

    def check_design(
        self, design: CartesianPoints, profile: MriProfile, options: ScanOptions[PointsProtocol], where: Path
    ) -> list[Check]:
        """The whole calibration region is there."""
        budget = PointBudget(*design.matrix, len(design.acquired), design.calibration, elliptical=False)
        require(budget.check(design))
        return [passed("design", points_said(design))]


FAMILY = PointsFamily()
