"""The 2-D Cartesian MRI scan."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.checks import Check
from cidesign.constraints.kspace import LineBudget
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.settings import MriSettings, settings_for
from cidesign.modality import Bench, Classical, Modality, Preset
from cidesign.pattern import Design, Trajectory
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

if TYPE_CHECKING:  # torch loads only where something is trained or measured
    from numpy.typing import NDArray
    from torch import Tensor

    from cidesign.data.image_sets import MeasuredSet
    from cidesign.data.source import TrainingImages
    from cidesign.distill.job import SystemMaker
    from cidesign.export.own_design import OwnDesign
    from cidesign.models.optics import Optics
    from cidesign.physics.base import Encoder
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.report.parts import Part, Shown


# What images are taken for that come without a phase, by the setting `echo`.
ECHOES = {"any": "any echoes", "gradient": "gradient echoes", "spin": "spin echoes"}


class Mri(Modality):
    """Phase-encode lines of an exact budget, with any number of coils."""

    name = "mri"
    settings_type, profile_type, design_type = MriSettings, MriProfile, Trajectory
    run_type = MriRun
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(64, 3_000, 400, 32, 16, 4, 4),
        "standard": Preset(256, 4_000, 400, 16, 16, 10, 10, {"coils": 4}),
        "paper": Preset(256, 10_000, 1_000, 32, 32, 50, 50),
    }
    words: ClassVar[dict[str, str]] = {"lines": "acquired"}
    derived = frozenset({"acceleration"})
    quality = " of the magnitude"
    independent_draws = True
    headings: ClassVar[dict[str, str]] = {
        "complex_psnr_db": "complex PSNR dB",
        "acceleration": "R",
        "side_lobe": "side lobe",
    }
    scene_word = "slice"
    procedural_kind = "complex slices (phantoms)"

    def settings(self, values: dict[str, object], profile: HardwareProfile, typed: Mapping[str, str]) -> MriSettings:
        """All settings of a run."""
        return settings_for(values, typed)

    def settings_of(self, design: Design) -> dict[str, Any]:
        """The matrix, and how many lines of it."""
        found = cast(Trajectory, design)
        return {
            "side": found.lines,
            "readout": found.readout,
            "acquired": len(found.acquired),
            "acs_lines": found.calibration_lines,
        }

    def described(self, settings: TrainingSettings, profile: HardwareProfile) -> str:
        """How many lines, and of which."""
        scan = cast(MriSettings, settings)
        coils = "" if scan.coils == 1 else f", {scan.coils} coils"
        if scan.virtual_coils is not None:
            from cidesign.modalities.mri.data.phantoms import virtual_maps

            kept = virtual_maps(scan.coils, scan.matrix, scan.virtual_coils)[1]
            coils += f" as {scan.virtual_coils} virtual ones, which keep {kept:.2%} of their energy"
        return (
            f"{scan.acquired} of {scan.side} lines (R = {scan.side / scan.acquired:.4g}), "
            f"{scan.acs_lines} of them calibration lines{coils}; {ECHOES[scan.echo]}"
        )

    def broken_requests(self, run: Run) -> list[Check]:
        """The exact budget, with all calibration lines."""
        asked = cast(MriSettings, run.settings)
        return LineBudget(asked.side, asked.acquired, asked.acs_lines).check(cast(Trajectory, run.design))

    def scanned_design(
        self, files: Sequence[Path], profile: HardwareProfile, settings: Mapping[str, Any]
    ) -> "OwnDesign | None":
        """The lines that a scan measured."""
        from cidesign.modalities.mri.own_lines import scanned_design

        return scanned_design(files, cast(MriProfile, profile), settings)

    def optics(self, settings: TrainingSettings, profile: HardwareProfile) -> "Optics":
        """Which lines are measured."""
        from cidesign.modalities.mri.optics import MriOptics

        return MriOptics(cast(MriSettings, settings), cast(MriProfile, profile))

    def procedural_images(
        self, settings: TrainingSettings, profile: HardwareProfile, count: int, seed: int
    ) -> "NDArray[Any]":
        """Slices of phantoms."""
        from cidesign.modalities.mri.data.matrix import largest_side, on_matrix
        from cidesign.modalities.mri.data.phantoms import phantom_slices

        scan = cast(MriSettings, settings)
        return on_matrix(phantom_slices(count, largest_side(scan.matrix), seed, scan.echo), scan.matrix)

    def images(self, settings: TrainingSettings, profile: HardwareProfile) -> "TrainingImages":
        """Slices of volumes and of k-space."""
        from cidesign.modalities.mri.data.images import training_slices

        return training_slices(cast(MriSettings, settings))

    def measured_images(
        self, settings: TrainingSettings, profile: HardwareProfile, path: Path, trained: frozenset[str]
    ) -> "MeasuredSet":
        """Slices of volumes and of k-space."""
        from cidesign.modalities.mri.data.images import measure_slices

        scan = cast(MriSettings, settings)
        return measure_slices(path, scan.matrix, settings.seed, trained, scan.echo)

    def fixed_designs(self, maker: "SystemMaker", profile: HardwareProfile) -> dict[str, Design]:
        """Centre block, variable density, equispaced, partial Fourier."""
        from cidesign.modalities.mri.fixed_designs import fixed_designs
        from cidesign.modalities.mri.optics import MriOptics

        return fixed_designs(cast(MriOptics, maker.optics), maker.settings.seed)

    def optics_metrics(self, encoder: "Encoder") -> dict[str, float]:
        """R, and the largest side lobe of the lines' point spread."""
        import torch

        from cidesign.modalities.mri.encoders.lines import MriEncoder
        from cidesign.physics.encoder_metrics import line_spread

        lines = cast(MriEncoder, encoder).lines()
        spread = line_spread(lines.to(torch.uint8).cpu().numpy())
        return {"acceleration": len(lines) / float(lines.sum()), "side_lobe": spread.side_lobe}

    def compared(self, images: "Tensor") -> "Tensor":
        """The magnitude."""
        from cidesign.physics.metrics import magnitude

        return magnitude(images)

    def image_metrics(self, x_hat: "Tensor", x: "Tensor") -> "dict[str, Tensor]":
        """PSNR of the complex image; all other metrics are those of the magnitude."""
        from cidesign.physics.metrics import psnr_db

        return {"complex_psnr_db": psnr_db(x_hat, x)}

    def classical(self) -> list[Classical]:
        """Total variation with the weight that reconstructions have."""
        from cidesign.modalities.mri.solve import designed_total_variation

        return [Classical("tv", "TV", designed_total_variation)]

    def bench(self) -> Bench[Any, Any, Any, Any, Any, Any]:
        """Noise scan, phantom, scans."""
        from cidesign.modalities.mri.bench import MriBench

        return MriBench()

    def operator_family(self, run: Run, folder: Path, device: str) -> "OperatorFamily":
        """Measured coil maps."""
        from cidesign.calibration.mri.record import read_kspace_calibration
        from cidesign.modalities.mri.family import kspace_family

        return kspace_family(MriRun(run.path).design, read_kspace_calibration(folder), device)

    def report_part(self, run: Run, shown: "Shown") -> "Part":
        """The lines, their point spread, reconstructions."""
        from cidesign.modalities.mri.report import mri_part

        return mri_part(MriRun(run.path), shown)


MODALITY = Mri()
