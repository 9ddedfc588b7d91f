"""Points (ky, kz) of a 3-D Cartesian MRI scan: every point is a readout of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.constraints.points import elliptical_radius
from cidesign.errors import InputError
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.mri import CartesianScan
from cidesign.modalities.mri.points.run import PointsRun
from cidesign.modalities.mri.points.settings import PointSettings, settings_for
from cidesign.modality import Bench
from cidesign.pattern import CartesianPoints, Design
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

if TYPE_CHECKING:  # torch loads only where something is trained or measured
    from torch import Tensor

    from cidesign.distill.systems import SystemMaker
    from cidesign.physics.base import Encoder
    from cidesign.physics.merit import Merit
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.report.parts import Part, Shown


class MriPoints(CartesianScan):
    """Points of two phase encodings of an exact budget."""

    name = "mri-points"
    settings_type, design_type = PointSettings, CartesianPoints
    run_type = PointsRun
    samplings = ("points",)
    words: ClassVar[dict[str, str]] = {"points": "acquired"}
    headings: ClassVar[dict[str, str]] = {
        "complex_psnr_db": "complex PSNR dB",
        "acceleration": "R",
        "point_density": "point density",
        "spread_coherence": "spread coherence",
        "side_lobe": "side lobe",
        "column_coherence": "column coherence",
    }
    explanations: ClassVar[dict[str, str]] = {
        "acceleration": "points of the matrix over points acquired, corners counted",
        "point_density": "share of points acquired in four rings of equal width, from the centre of k-space to the "
        "ellipse, without the corners; no way is better by itself: the centre holds the energy, the edge the detail",
        "spread_coherence": "largest value of the point spread in two dimensions off its centre, main lobe included, "
        "0 to 1; lower is better: sharper and less aliasing",
        "side_lobe": "largest value of the point spread beyond its main lobe, 0 to 1; lower is better: less aliasing",
        "column_coherence": "mutual coherence, the largest correlation of what two pixels do to the samples of all "
        "coils, 0 to 1; lower is better; with one coil it is that of the point spread",
    }

    def settings(self, values: dict[str, object], profile: HardwareProfile, typed: Mapping[str, str]) -> PointSettings:
        """All settings of a run."""
        return settings_for(values, typed)

    def settings_of(self, design: Design) -> dict[str, Any]:
        """The matrix, how many points of it, and whether corners are among them."""
        found = cast(CartesianPoints, design)
        return {
            "side": found.lines,
            "partitions": found.partitions,
            "readout": found.readout,
            "acquired": len(found.acquired),
            "acs_lines": found.calibration[0],
            "acs_partitions": found.calibration[1],
            "elliptical": not bool(found.mask[elliptical_radius(found.matrix) > 1].any()),
        }

    def described(self, settings: TrainingSettings, profile: HardwareProfile) -> str:
        """How many points, and of which."""
        scan = cast(PointSettings, settings)
        lines, partitions = scan.matrix
        corners = ", no corners" if scan.elliptical else ""
        return (
            f"{scan.acquired} of {lines} x {partitions} points (R = {scan.budget.acceleration:.4g}), a calibration "
            f"region of {scan.acs_lines} x {scan.acs_partitions} among them{corners}{self.circumstances(scan)}"
        )

    def fixed_designs(self, maker: "SystemMaker", profile: HardwareProfile) -> dict[str, Design]:
        """Poisson disc of variable density, CAIPI, Gaussian density."""
        from cidesign.modalities.mri.points.fixed_designs import fixed_designs

        return fixed_designs(cast(PointSettings, maker.settings), cast(MriProfile, profile))

    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """R, where the points lie, and their point spread."""
        from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
        from cidesign.modalities.mri.points.merit import point_merits

        return point_merits(cast(CartesianEncoder, encoder))

    def bench(self) -> Bench[Any, Any, Any, Any, Any, Any]:
        """Noise scan, scans."""
        from cidesign.modalities.mri.points.bench import PointsBench

        return PointsBench()

    def operator_family(self, run: Run, folder: Path, device: str) -> "OperatorFamily":
        """Measured coil maps."""
        raise InputError(
            f"{folder}: every position along the readout has coil maps of its own; the student of points is not "
            "fine-tuned to them in this version of cidesign"
        )

    def report_part(self, run: Run, shown: "Shown") -> "Part":
        """The points, their point spread, reconstructions."""
        from cidesign.modalities.mri.points.report import points_part

        return points_part(PointsRun(run.path), shown)


MODALITY = MriPoints()
