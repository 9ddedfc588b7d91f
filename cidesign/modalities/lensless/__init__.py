"""The lensless camera: a mask a few millimetres in front of a bare sensor."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.checks import Limit
from cidesign.constraints.aperture import process_limits
from cidesign.hardware_profiles.lensless.schema import LenslessProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.lensless.run import LenslessRun
from cidesign.modalities.lensless.settings import LenslessSettings, geometry_of, propagation_text, settings_for
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


class Lensless(Modality):
    """One binary mask, whose shadow every point of the scene throws on the sensor, displaced."""

    name = "lensless"
    settings_type, profile_type, design_type = LenslessSettings, LenslessProfile, ApertureMask
    run_type = LenslessRun
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(32, 1_200, 200, 32, 16, 2, 2),
        "standard": Preset(128, 3_000, 200, 16, 32, 10, 10),
        "paper": Preset(128, 20_000, 1_000, 32, 64, 50, 50),
    }
    words: ClassVar[dict[str, str]] = {
        "photoelectrons": "photoelectrons_full_scale",
        "read_noise": "read_noise_photoelectrons",
    }
    headings: ClassVar[dict[str, str]] = {
        "open_fraction": "open fraction",
        "transfer_condition": "transfer condition",
        "side_lobe": "side lobe",
        "column_coherence": "column coherence",
    }
    explanations: ClassVar[dict[str, str]] = {
        "open_fraction": "share of the mask that lets light pass; no way is better by itself: more light, or more code",
        "transfer_condition": "how unevenly the transfer function passes details: its largest value over the root of "
        "the harmonic mean of its squares, off the zero frequency and folded onto one image; lower is better, 1 the "
        "least",
        "side_lobe": "highest value of the shadow's autocorrelation beside its peak, over the peak, less the mean; "
        "lower is better, and near 1 where shadows are smooth",
        "column_coherence": "mutual coherence, the largest correlation of what two pixels do to the readings, 0 to 1; "
        "lower is better, and near 1 for all masks, whose shadows share their mean",
    }
    scene_word = "picture"
    procedural_kind = "images (dead leaves)"

    def settings(
        self, values: dict[str, object], profile: HardwareProfile, typed: Mapping[str, str]
    ) -> LenslessSettings:
        """All settings of a run."""
        return settings_for(values, cast(LenslessProfile, profile), typed)

    def settings_of(self, design: Design) -> dict[str, Any]:
        """The size of the mask."""
        rows, columns = cast(ApertureMask, design).levels.shape
        return {"mask_rows": rows, "mask_columns": columns}

    def described(self, settings: TrainingSettings, profile: HardwareProfile) -> str:
        """The sizes of mask, sensor and image, and how the shadow is computed."""
        own, camera = cast(LenslessSettings, settings), cast(LenslessProfile, profile)
        field_deg = geometry_of(own, camera).field_deg[0]
        return (
            f"one mask of {own.mask_rows} x {own.mask_columns} code pixels, {own.sensor_side} x {own.sensor_side} "
            f"samples of {own.binning} x {own.binning} pixels, an image of {own.side} x {own.side} over "
            f"{field_deg:.0f} degrees; "
            f"{propagation_text(own, camera)}"
        )

    def limits(self, run: Run) -> list[Limit]:
        """The smallest feature and gap, and the size of the plate."""
        own = LenslessRun(run.path)
        return process_limits(own.design, own.profile)

    def optics(self, settings: TrainingSettings, profile: HardwareProfile) -> "Optics":
        """One mask."""
        from cidesign.modalities.lensless.optics import LenslessOptics

        return LenslessOptics(cast(LenslessSettings, settings), cast(LenslessProfile, profile))

    def teachers(self, settings: TrainingSettings) -> list[str]:
        """Any transmission; a sensor that sees all of the shadow; two masks."""
        return ["real", "sensor", "shots@2"]

    def procedural_images(
        self, settings: TrainingSettings, profile: HardwareProfile, count: int, seed: int
    ) -> "NDArray[Any]":
        """Dead leaves, in colour where the sensor has colours."""
        if len(cast(LenslessProfile, profile).sensor.channels) == 3:
            from cidesign.modalities.lensless.data.leaves import colour_leaves

            return colour_leaves(count, settings.side, seed)
        from cidesign.data.procedural import dead_leaves

        return dead_leaves(count, settings.side, seed)[:, None]

    def images(self, settings: TrainingSettings, profile: HardwareProfile) -> "TrainingImages":
        """Crops of pictures, in colour where the sensor has colours."""
        from cidesign.data.source import training_pictures

        if len(cast(LenslessProfile, profile).sensor.channels) != 3:
            return training_pictures(settings)
        from cidesign.modalities.lensless.data.pictures import training_images

        return training_images(settings)

    def measured_images(
        self, settings: TrainingSettings, profile: HardwareProfile, path: Path, trained: frozenset[str]
    ) -> "MeasuredSet":
        """Crops of pictures, in colour where the sensor has colours."""
        from cidesign.data.source import measured_pictures

        if len(cast(LenslessProfile, profile).sensor.channels) != 3:
            return measured_pictures(settings, path, trained)
        from cidesign.data.colours import measured_colours

        return measured_colours(path, settings.side, settings.validation_images, settings.seed, trained)

    def fixed_designs(self, maker: "SystemMaker", profile: HardwareProfile) -> dict[str, Design]:
        """Random, MURA, separable m-sequence, Fresnel zone aperture, pinholes."""
        from cidesign.modalities.lensless.fixed_designs import fixed_designs
        from cidesign.modalities.lensless.optics import LenslessOptics

        return fixed_designs(cast(LenslessOptics, maker.optics), maker.settings.seed)

    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """Light, condition of the transfer function, side lobe, coherence of the columns."""
        from cidesign.modalities.lensless.encoders.designed import MaskEncoder
        from cidesign.modalities.lensless.merit import lensless_merits

        return lensless_merits(cast(MaskEncoder, encoder))

    def linear_bound(self, encoder: "Encoder", prior: "ImagePrior") -> "Bound | NotEvaluated":
        """Exact for small images, else an estimate."""
        from cidesign.modalities.lensless.encoders.convolution import ConvolutionEncoder
        from cidesign.modalities.lensless.merit import lensless_bound

        return lensless_bound(cast(ConvolutionEncoder, encoder), prior)

    def classical(self) -> list[Classical]:
        """Wiener's filter and ADMM-TV."""
        from cidesign.modalities.lensless.classical import admm_tv, wiener

        return [Classical("wiener", "Wiener", wiener), Classical("admm_tv", "ADMM-TV", admm_tv)]

    def bench(self) -> Bench[Any, Any, Any, Any, Any, Any]:
        """Dark, point sources, a known target, scenes."""
        from cidesign.modalities.lensless.bench import LenslessBench

        return LenslessBench()

    def operator_family(self, run: Run, folder: Path, device: str) -> "OperatorFamily":
        """Measured PSFs."""
        from cidesign.calibration.lensless.record import read_lensless_calibration
        from cidesign.modalities.lensless.family import lensless_family

        return lensless_family(LenslessRun(run.path).design, read_lensless_calibration(folder), device)

    def report_part(self, run: Run, shown: "Shown") -> "Part":
        """The mask, its shadow, reconstructions."""
        from cidesign.modalities.lensless.report import lensless_part

        return lensless_part(LenslessRun(run.path), shown)


MODALITY = Lensless()
