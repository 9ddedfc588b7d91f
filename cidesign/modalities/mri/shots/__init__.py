"""The non-Cartesian 2-D MRI scan: shots of gradients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.checks import Check, Limit
from cidesign.constraints.gradients import GradientRule, gradient_sizes, slew_sizes
from cidesign.errors import InputError
from cidesign.files import JsonObject
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.mri import Scan
from cidesign.modalities.mri.shots.run import ShotsRun
from cidesign.modalities.mri.shots.settings import ShotSettings, settings_for
from cidesign.modality import Bench, Classical, Preset
from cidesign.pattern import Design, NonCartesian
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

if TYPE_CHECKING:  # torch loads only where something is trained or measured
    from torch import Tensor

    from cidesign.distill.systems import SystemMaker
    from cidesign.export.own_design import OwnDesign
    from cidesign.models.optics import Optics
    from cidesign.physics.base import Encoder, ImagePrior
    from cidesign.physics.linear_bound import Bound
    from cidesign.physics.merit import Merit, NotEvaluated
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.report.parts import Part, Shown

LEARNT = {"radial": "angles of the spokes", "spiral": "angles of the arms", "free": "form of every shot"}


class MriShots(Scan):
    """Shots of gradients within the limits of a scanner, with any number of coils."""

    name = "mri-shots"
    settings_type, design_type = ShotSettings, NonCartesian
    run_type = ShotsRun
    samplings = ("radial", "spiral", "free")
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(64, 1_000, 200, 16, 16, 4, 4),
        "standard": Preset(128, 4_000, 400, 16, 16, 10, 10, {"coils": 4}),
        "paper": Preset(256, 10_000, 1_000, 32, 32, 50, 50),
    }
    derived = frozenset({"acceleration", "readout_ms"})
    headings: ClassVar[dict[str, str]] = {
        "complex_psnr_db": "complex PSNR dB",
        "acceleration": "R",
        "samples": "samples",
        "side_lobe": "side lobe",
    }
    explanations: ClassVar[dict[str, str]] = {
        "acceleration": "lines of the image over shots",
        "samples": "of all shots together; more at the same dwell time are a longer readout",
        "side_lobe": "largest value of the point spread beyond its main lobe, with samples weighted to an even "
        "density, 0 to 1; lower is better: less aliasing",
    }

    def settings(self, values: dict[str, object], profile: HardwareProfile, typed: Mapping[str, str]) -> ShotSettings:
        """All settings of a run."""
        return settings_for(values, GradientRule.of(cast(MriProfile, profile)), typed)

    def settings_of(self, design: Design) -> dict[str, Any]:
        """The matrix and the field of view, and shots and their samples.

        Raises `InputError` for images that are not square.
        """
        found = cast(NonCartesian, design)
        height, width = found.size
        if height != width:
            raise InputError(f"design of {height} x {width} pixels: shots are reconstructed for square images")
        return {
            "side": height,
            "fov_mm": found.fov_mm,
            "shots": found.shots,
            "samples_per_shot": found.samples_per_shot,
            "dwell_ns": found.dwell_ns,
        }

    def described(self, settings: TrainingSettings, profile: HardwareProfile) -> str:
        """How many shots, how long, and what of them is learnt."""
        scan = cast(ShotSettings, settings)
        learnt = "" if scan.design is not None else f"; learnt: the {LEARNT[scan.sampling]}"
        kind = "given" if scan.design is not None else scan.sampling
        return (
            f"{scan.shots} {kind} shots (R = {scan.side / scan.shots:.4g}) of {scan.samples_per_shot} samples in "
            f"{1e-6 * scan.readout_ns:.6g} ms for {scan.fov_mm:g} mm{learnt}{self.circumstances(scan)}"
        )

    def measurement(self, run: Run) -> tuple[JsonObject, list[str]]:
        """How long the readouts take, and how near their gradients come to the limits."""
        from cidesign.modalities.mri.shots.merit import hardware_shares

        found, profile = cast(NonCartesian, run.design), cast(MriProfile, run.profile)
        gradient, slew = hardware_shares(found, GradientRule.of(profile))
        readout_ms, shot_ms = 1e-6 * found.samples_per_shot * found.dwell_ns, 1e-6 * found.duration_ns
        value: JsonObject = {
            "readout_ms": readout_ms,
            "shot_ms": shot_ms,
            "largest_gradient_share": gradient,
            "largest_slew_share": slew,
        }
        line = (
            f"{found.shots} shots of {shot_ms:.4g} ms, {readout_ms:.6g} ms of it sampled; the largest gradient is "
            f"{gradient:.1%} of the limit and the largest slew rate {slew:.1%}"
        )
        return value, [line]

    def broken_requests(self, run: Run) -> list[Check]:
        """The gradients' limits, which the shots were projected on."""
        return GradientRule.of(cast(MriProfile, run.profile)).check(cast(NonCartesian, run.design))

    def limits(self, run: Run) -> list[Limit]:
        """Gradient and slew rate as vectors, and the samples of a readout."""
        found, profile = cast(NonCartesian, run.design), cast(MriProfile, run.profile)
        gradient, slew, most = (
            profile.design.max_gradient_mt_per_m,
            profile.design.max_slew_t_per_m_per_s,
            profile.max_adc_samples,
        )
        sizes = [
            ("largest slew rate", float(slew_sizes(found).max()), slew.value, "T/m/s", slew.source),
            ("largest gradient", float(gradient_sizes(found).max()), gradient.value, "mT/m", gradient.source),
        ]
        if most is not None:
            sizes.append(("samples of a shot", found.samples_per_shot, most.value, "", most.source))
        return [
            Limit(name=name, value=value, sense="at most", limit=limit, unit=unit, source=source)
            for name, value, limit, unit, source in sizes
            if value > 0
        ]

    def optics(self, settings: TrainingSettings, profile: HardwareProfile) -> "Optics":
        """Where the shots sample k-space."""
        from cidesign.modalities.mri.shots.optics import ShotsOptics

        return ShotsOptics(cast(ShotSettings, settings), cast(MriProfile, profile))

    def teachers(self, settings: TrainingSettings) -> list[str]:
        """Half as many shots again and twice as many; of free ones, twice the slew rate too."""
        scan = cast(ShotSettings, settings)
        more = [] if scan.shots == 1 else ["shots1.5"]
        return [*more, "shots2", *(["slew2"] if scan.sampling != "radial" else [])]

    def scanned_design(
        self, files: Sequence[Path], profile: HardwareProfile, settings: Mapping[str, Any]
    ) -> "OwnDesign | None":
        """The shots that a scan played."""
        from cidesign.modalities.mri.shots.own_shots import scanned_shots

        return scanned_shots(files, cast(MriProfile, profile), settings)

    def fixed_designs(self, maker: "SystemMaker", profile: HardwareProfile) -> dict[str, Design]:
        """Radial, spiral, centre block."""
        from cidesign.modalities.mri.shots.fixed_designs import fixed_designs
        from cidesign.modalities.mri.shots.optics import ShotsOptics

        return fixed_designs(cast(ShotsOptics, maker.optics).scan)

    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """R, samples and point spread."""
        from cidesign.modalities.mri.shots.encoder import ShotsEncoder
        from cidesign.modalities.mri.shots.merit import shot_merits

        return shot_merits(cast(ShotsEncoder, encoder))

    def linear_bound(self, encoder: "Encoder", prior: "ImagePrior") -> "Bound | NotEvaluated":
        """Exact for small scans, else an estimate; of the complex image."""
        from cidesign.modalities.mri.shots.encoder import ShotsEncoder
        from cidesign.modalities.mri.shots.merit import shot_bound

        return shot_bound(cast(ShotsEncoder, encoder), prior)

    def classical(self) -> list[Classical]:
        """Gridding."""
        from cidesign.modalities.mri.shots.classical import gridded

        return [Classical("gridding", "gridding", gridded)]

    def bench(self) -> Bench[Any, Any, Any, Any, Any, Any]:
        """Noise scan, phantom, scans."""
        from cidesign.modalities.mri.shots.bench import ShotsBench

        return ShotsBench()

    def operator_family(self, run: Run, folder: Path, device: str) -> "OperatorFamily":
        """Raises `InputError`: there are no calibrations of shots yet."""
        raise InputError(f"{folder}: calibrations of {self.name} runs are not read by this version")

    def report_part(self, run: Run, shown: "Shown") -> "Part":
        """The shots, their gradients, their point spread, reconstructions."""
        from cidesign.modalities.mri.shots.report import shots_part

        return shots_part(ShotsRun(run.path), shown)


MODALITY = MriShots()
