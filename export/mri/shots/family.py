"""Scanners that play shots, as a device family."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cidesign.checks import Check, passed
from cidesign.export.family import NoOptions
from cidesign.export.mri.manifest import protocol_of
from cidesign.export.mri.scan_family import ScanFamily, ScanOptions
from cidesign.export.mri.shots.manifest import ShotsManifest
from cidesign.export.mri.shots.own import ShotOptions, read_own
from cidesign.export.mri.shots.plan import ShotProtocol
from cidesign.export.mri.shots.scan import SHOT_FORMATS, SHOTS, shots_said
from cidesign.export.options import read_options
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian

# A plain gradient echo that every scanner plays; all of it is shown and can be set.
FIRST_PROTOCOL: dict[str, str | float | None] = {
    "kind": "gre",
    "slice_thickness_mm": 5.0,
    "flip_angle_deg": 15.0,
    "te_ms": None,
    "tr_ms": None,
    "t1_ms": 1000.0,
}


class ShotFamily(ScanFamily[NonCartesian, ShotProtocol, ShotsManifest, NoOptions]):
    """Sequences whose readouts play the gradients of a design."""

    name = "mri-shots"
    design_type, manifest_type = NonCartesian, ShotsManifest
    scan_kind = SHOTS
    file_options_type = NoOptions
    samplings = ("radial", "spiral", "free")
    plural, contents = "non-Cartesian MRI", "shots"
    formats, first_protocol = SHOT_FORMATS, FIRST_PROTOCOL

    def protocol(self, values: dict[str, Any]) -> ShotProtocol:
        """`kind` is gre."""
        return protocol_of(values, (ShotProtocol,))

    def check_design(
        self, design: NonCartesian, profile: MriProfile, options: ScanOptions[ShotProtocol], where: Path
    ) -> list[Check]:
        """Amplitude and slew of every shot, its raster and samples, and that a sequence can be made of it."""
        self.scan_kind.plan(design, options.protocol, profile)
        limits = profile.design
        within = f"{limits.max_gradient_mt_per_m.value:g} mT/m and {limits.max_slew_t_per_m_per_s.value:g} T/m/s"
        return [passed("design", f"{shots_said(design)}, within {within} (design)")]

    def read_own(self, files: Sequence[Path], profile: MriProfile, settings: Mapping[str, Any] = {}) -> OwnDesign:
        """Shots from the trajectory of a file."""
        return read_own(files, profile, read_options(ShotOptions, settings, "a file of a trajectory"))


FAMILY = ShotFamily()
