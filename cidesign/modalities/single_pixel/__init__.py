"""The single-pixel camera on a micromirror device."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.checks import Limit
from cidesign.files import JsonObject
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.single_pixel.run import SinglePixelRun, device_limits, measurement_time
from cidesign.modalities.single_pixel.settings import SinglePixelSettings, settings_for, way_text
from cidesign.modality import Bench, Classical, Modality, Preset
from cidesign.pattern import Design, PatternStack
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

if TYPE_CHECKING:  # torch loads only where something is trained or measured
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from cidesign.data.image_sets import MeasuredSet
    from cidesign.data.source import TrainingImages
    from cidesign.distill.systems import SystemMaker
    from cidesign.frozen.session import FrozenDecoder
    from cidesign.models.optics import Optics
    from cidesign.physics.base import Encoder, ImagePrior
    from cidesign.physics.linear_bound import Bound
    from cidesign.physics.merit import Merit, NotEvaluated
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.reconstruct.outcome import Reconstruction
    from cidesign.report.parts import Part, Shown


class SinglePixel(Modality):
    """K patterns of a micromirror device, each read by one detector."""

    name = "single-pixel"
    settings_type, profile_type, design_type = SinglePixelSettings, DmdProfile, PatternStack
    run_type = SinglePixelRun
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(32, 12_000, 1_000, 64, 16, 4, 4),
        "standard": Preset(64, 30_000, 1_000, 64, 32, 10, 10),
        "paper": Preset(64, 100_000, 4_000, 64, 64, 50, 50),
    }
    words: ClassVar[dict[str, str]] = {
        "photoelectrons": "photoelectrons_per_frame",
        "read_noise": "read_noise_photoelectrons",
    }
    headings: ClassVar[dict[str, str]] = {
        "condition_number": "condition number",
        "row_coherence": "row coherence",
        "column_coherence": "column coherence",
    }
    explanations: ClassVar[dict[str, str]] = {
        "condition_number": "largest over smallest singular value of the patterns; lower is better, 1 the least",
        "row_coherence": "largest correlation of two patterns, 0 to 1; lower is better: each measures something new",
        "column_coherence": "mutual coherence, the largest correlation of what two pixels do to the readings, 0 to 1; "
        "lower is better: they are told apart",
    }
    scene_word = "picture"
    has_classes = True
    procedural_kind = "images (dead leaves)"

    def settings(
        self, values: dict[str, object], profile: HardwareProfile, typed: Mapping[str, str]
    ) -> SinglePixelSettings:
        """All settings of a run."""
        return settings_for(values, cast(DmdProfile, profile), typed)

    def settings_of(self, design: Design) -> dict[str, Any]:
        """Size, number, depth and encoding of the patterns."""
        stack = cast(PatternStack, design)
        return {
            "side": stack.side,
            "patterns": stack.count,
            "bit_depth": stack.bit_depth,
            "encoding": stack.encoding,
        }

    def described(self, settings: TrainingSettings, profile: HardwareProfile) -> str:
        """How many patterns of which size and depth."""
        camera = cast(SinglePixelSettings, settings)
        size = f"{camera.side} x {camera.side}"
        way = way_text(camera, cast(DmdProfile, profile))
        return f"{camera.patterns} patterns of {size}, {camera.bit_depth} bit, {camera.encoding}{way}"

    def measurement(self, run: Run) -> tuple[JsonObject, list[str]]:
        """How long the device takes for one image."""
        return measurement_time(SinglePixelRun(run.path))

    def limits(self, run: Run) -> list[Limit]:
        """Times, tables and memories of the device."""
        return device_limits(SinglePixelRun(run.path))

    def export_settings(self, run: Run) -> dict[str, object]:
        """The exposure that the run was designed for."""
        return {"exposure_us": cast(SinglePixelSettings, run.settings).exposure_us}

    def optics(self, settings: TrainingSettings, profile: HardwareProfile) -> "Optics":
        """Patterns of any depth."""
        from cidesign.modalities.single_pixel.optics import SinglePixelOptics

        return SinglePixelOptics(cast(SinglePixelSettings, settings), cast(DmdProfile, profile))

    def teachers(self, settings: TrainingSettings) -> list[str]:
        """Any value, grey levels, and twice as many patterns, where there are so many."""
        camera = cast(SinglePixelSettings, settings)
        more = 2 * camera.patterns
        grey = ["4-bit"] if camera.bit_depth < 4 else []
        return ["real", *grey, *([f"real@{more}"] if more <= camera.side**2 else [])]

    def procedural_images(
        self, settings: TrainingSettings, profile: HardwareProfile, count: int, seed: int
    ) -> "NDArray[Any]":
        """Dead leaves."""
        from cidesign.data.procedural import dead_leaves

        return dead_leaves(count, settings.side, seed)[:, None]

    def images(self, settings: TrainingSettings, profile: HardwareProfile) -> "TrainingImages":
        """Crops of pictures."""
        from cidesign.data.source import training_pictures

        return training_pictures(settings, cast(SinglePixelSettings, settings).pictures == "whole")

    def measured_images(
        self, settings: TrainingSettings, profile: HardwareProfile, path: Path, trained: frozenset[str]
    ) -> "MeasuredSet":
        """Crops of pictures."""
        from cidesign.data.source import measured_pictures

        return measured_pictures(settings, path, trained, cast(SinglePixelSettings, settings).pictures == "whole")

    def fixed_designs(self, maker: "SystemMaker", profile: HardwareProfile) -> dict[str, Design]:
        """Random, low-pass and Hadamard patterns."""
        from cidesign.modalities.single_pixel.fixed_designs import fixed_designs

        return fixed_designs(cast(SinglePixelSettings, maker.settings), profile)

    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """Condition number over the non-zero singular values; the coherence of patterns and of pixels."""
        from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
        from cidesign.modalities.single_pixel.merit import pattern_merits

        return pattern_merits(cast(SinglePixelEncoder, encoder))

    def linear_bound(self, encoder: "Encoder", prior: "ImagePrior") -> "Bound | NotEvaluated":
        """Exact, by the matrix of the patterns."""
        from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
        from cidesign.modalities.single_pixel.merit import pattern_bound

        return pattern_bound(cast(SinglePixelEncoder, encoder), prior)

    def classical(self) -> list[Classical]:
        """Total variation."""
        from cidesign.modalities.single_pixel.classical import total_variation

        return [Classical("tv", "TV", total_variation)]

    def bench(self) -> Bench[Any, Any, Any, Any, Any, Any]:
        """Dark and white frames, calibration targets, scenes."""
        from cidesign.modalities.single_pixel.bench import SinglePixelBench

        return SinglePixelBench()

    def reconstruct_frozen(
        self, decoder: "FrozenDecoder", capture: Any, calibration: "Path | None", accept_failed: bool
    ) -> "Reconstruction":
        """One image, and how it explains the readings."""
        from cidesign.modalities.single_pixel.frozen.images import reconstruct_frozen

        return reconstruct_frozen(decoder, capture, calibration, accept_failed)

    def operator_family(self, run: Run, folder: Path, device: str) -> "OperatorFamily":
        """Patterns in their calibrated place and light."""
        from cidesign.calibration.single_pixel.record import read_calibration
        from cidesign.modalities.single_pixel.family import single_pixel_family

        return single_pixel_family(SinglePixelRun(run.path).design, read_calibration(folder), device)

    def report_part(self, run: Run, shown: "Shown") -> "Part":
        """Patterns, how long they take, reconstructions."""
        from cidesign.modalities.single_pixel.report import single_pixel_part

        return single_pixel_part(SinglePixelRun(run.path), shown)


MODALITY = SinglePixel()
