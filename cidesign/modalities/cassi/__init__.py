"""The coded-aperture spectral camera with one disperser (SD-CASSI)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.checks import Limit
from cidesign.constraints.aperture import process_limits
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.settings import CassiSettings, settings_for
from cidesign.modality import Bench, Classical, Modality, Preset
from cidesign.pattern import ApertureMask, Design
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

if TYPE_CHECKING:  # torch loads only where something is trained or measured
    from numpy.typing import NDArray
    from torch import Tensor

    from cidesign.data.image_sets import MeasuredSet
    from cidesign.data.source import TrainingImages
    from cidesign.distill.systems import SystemMaker
    from cidesign.models.optics import Optics
    from cidesign.physics.base import Encoder, ImagePrior
    from cidesign.physics.linear_bound import Bound
    from cidesign.physics.merit import Merit, NotEvaluated
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.report.parts import Part, Shown


class Cassi(Modality):
    """One binary mask, through which all bands are seen, each shifted."""

    name = "cassi"
    settings_type, profile_type, design_type = CassiSettings, ApertureProfile, ApertureMask
    run_type = CassiRun
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(32, 4_000, 400, 32, 16, 4, 4),
        "standard": Preset(128, 3_000, 200, 16, 32, 10, 10),
        "paper": Preset(128, 20_000, 1_000, 32, 64, 50, 50),
    }
    # Large masks are trained in parts.
    largest_side = 1024
    words: ClassVar[dict[str, str]] = {
        "photoelectrons": "photoelectrons_full_scale",
        "read_noise": "read_noise_photoelectrons",
    }
    headings: ClassVar[dict[str, str]] = {
        "sam_degrees": "spectral angle deg",
        "open_fraction": "open fraction",
        "column_coherence": "column coherence",
        "band_correlation": "band correlation",
    }
    explanations: ClassVar[dict[str, str]] = {
        "open_fraction": "share of the mask that lets light pass; no way is better by itself: more light, or more code",
        "column_coherence": "mutual coherence, the largest correlation of what two voxels do to the detector image, 0 "
        "to 1; lower is better, but with shifts of whole pixels it is 1 as soon as two open pixels share one",
        "band_correlation": "mean correlation of two bands of A^T A x of the measured cubes x, 0 to 1; lower is better "
        "among masks of the same open fraction alone: every band carries the code itself",
    }
    scene_word = "cube"
    procedural_kind = "spectral cubes (dead leaves)"
    # The converged linear estimate of measured operators takes several times as long as that of the training.
    fine_tuning_share = 0.03

    def settings(self, values: dict[str, object], profile: HardwareProfile, typed: Mapping[str, str]) -> CassiSettings:
        """All settings of a run."""
        return settings_for(values, cast(ApertureProfile, profile), typed)

    def settings_of(self, design: Design) -> dict[str, Any]:
        """The size of the mask."""
        height, width = cast(ApertureMask, design).levels.shape
        return {"side": height, "columns": None if width == height else width}

    def described(self, settings: TrainingSettings, profile: HardwareProfile) -> str:
        """The size of the mask, and for how many bands."""
        bands = len(cast(ApertureProfile, profile).spectrograph.wavelengths_nm.value)
        chosen = cast(CassiSettings, settings)
        rows, columns = chosen.mask_size
        learns = chosen.teacher_epochs + chosen.student_epochs > 0
        crops = f", trained in crops of {chosen.crop} x {chosen.crop}" if chosen.crop and learns else ""
        return f"one mask of {rows} x {columns} code pixels for {bands} bands{crops}"

    def limits(self, run: Run) -> list[Limit]:
        """The smallest feature and gap, and the size of the plate."""
        own = CassiRun(run.path)
        return process_limits(own.design, own.profile)

    def optics(self, settings: TrainingSettings, profile: HardwareProfile) -> "Optics":
        """One mask."""
        from cidesign.modalities.cassi.optics import CassiOptics

        return CassiOptics(cast(CassiSettings, settings), cast(ApertureProfile, profile))

    def teachers(self, settings: TrainingSettings) -> list[str]:
        """Any transmission: the one relaxation that there is."""
        return ["real"]

    def procedural_images(
        self, settings: TrainingSettings, profile: HardwareProfile, count: int, seed: int
    ) -> "NDArray[Any]":
        """Spectral dead leaves in the bands of the profile."""
        from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves

        wavelengths_nm = cast(ApertureProfile, profile).spectrograph.wavelengths_nm.value
        rows, columns = cast(CassiSettings, settings).image_size
        cubes = spectral_dead_leaves(count, max(rows, columns), wavelengths_nm, seed)
        return cubes[:, :, :rows, :columns]

    def images(self, settings: TrainingSettings, profile: HardwareProfile) -> "TrainingImages":
        """Crops of cubes, in the bands of the profile."""
        from cidesign.modalities.cassi.data.images import training_cubes

        return training_cubes(cast(CassiSettings, settings), cast(ApertureProfile, profile))

    def measured_images(
        self, settings: TrainingSettings, profile: HardwareProfile, path: Path, trained: frozenset[str]
    ) -> "MeasuredSet":
        """Crops of cubes, in the bands of the profile."""
        from cidesign.modalities.cassi.data.images import measure_cubes

        wavelengths_nm = cast(ApertureProfile, profile).spectrograph.wavelengths_nm.value
        count, seed = settings.validation_images, settings.seed
        size = cast(CassiSettings, settings).image_size
        found = measure_cubes(path, max(size), wavelengths_nm, count, seed, trained)
        return replace(found, images=found.images[:, :, : size[0], : size[1]])

    def fixed_designs(self, maker: "SystemMaker", profile: HardwareProfile) -> dict[str, Design]:
        """Random and blue-noise masks."""
        from cidesign.modalities.cassi.fixed_designs import fixed_designs
        from cidesign.modalities.cassi.optics import CassiOptics

        return fixed_designs(cast(CassiOptics, maker.optics), maker.settings.seed)

    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """The share of the mask that is open, the coherence of the columns, and how alike bands look through it."""
        from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
        from cidesign.modalities.cassi.merit import mask_merits

        return mask_merits(cast(SdCassiEncoder, encoder), images)

    def linear_bound(self, encoder: "Encoder", prior: "ImagePrior") -> "Bound | NotEvaluated":
        """Exact for small masks, else an estimate."""
        from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
        from cidesign.modalities.cassi.merit import mask_bound

        return mask_bound(cast(SdCassiEncoder, encoder), prior)

    def image_metrics(self, x_hat: "Tensor", x: "Tensor") -> "dict[str, Tensor]":
        """The spectral angle in degrees."""
        from cidesign.physics.metrics import sam_degrees

        return {"sam_degrees": sam_degrees(x_hat, x)}

    def classical(self) -> list[Classical]:
        """GAP-TV."""
        from cidesign.modalities.cassi.gap_tv import designed_gap_tv

        return [Classical("gap_tv", "GAP-TV", designed_gap_tv)]

    def bench(self) -> Bench[Any, Any, Any, Any, Any, Any]:
        """Dark, flat, narrow lines, white target, scenes."""
        from cidesign.modalities.cassi.bench import CassiBench

        return CassiBench()

    def operator_family(self, run: Run, folder: Path, device: str) -> "OperatorFamily":
        """Measured masks in their calibrated place."""
        from cidesign.calibration.cassi.record import read_cassi_calibration
        from cidesign.modalities.cassi.family import cassi_family

        return cassi_family(CassiRun(run.path).design, read_cassi_calibration(folder), device)

    def report_part(self, run: Run, shown: "Shown") -> "Part":
        """The mask, its widths, reconstructions."""
        from cidesign.modalities.cassi.report import cassi_part

        return cassi_part(CassiRun(run.path), shown)


MODALITY = Cassi()
