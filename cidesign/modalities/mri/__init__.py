"""The 2-D Cartesian MRI scan."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.checks import Check
from cidesign.constraints.kspace import LineBudget
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.settings import MriSettings, acceleration_word, settings_for
from cidesign.modality import Bench, Classical, Modality, Preset
from cidesign.pattern import CartesianLines, Design
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

if TYPE_CHECKING:  # torch loads only where something is trained or measured
    from numpy.typing import NDArray
    from torch import Tensor

    from cidesign.data.image_sets import MeasuredSet
    from cidesign.data.source import TrainingImages
    from cidesign.distill.systems import SystemMaker
    from cidesign.export.own_design import OwnDesign
    from cidesign.models.optics import Optics
    from cidesign.physics.base import Encoder, ImagePrior
    from cidesign.physics.linear_bound import Bound
    from cidesign.physics.merit import Merit, NotEvaluated
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.report.parts import Part, Shown


# What images are taken for that come without a phase, by the setting `echo`.
ECHOES = {"any": "any echoes", "gradient": "gradient echoes", "spin": "spin echoes"}


class Mri(Modality):
    """Phase-encode lines of an exact budget, with any number of coils."""

    name = "mri"
    settings_type, profile_type, design_type = MriSettings, MriProfile, CartesianLines
    run_type = MriRun
    samplings = ("lines",)
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
        "line_density": "line density",
        "spread_coherence": "spread coherence",
        "side_lobe": "side lobe",
        "column_coherence": "column coherence",
    }
    explanations: ClassVar[dict[str, str]] = {
        "acceleration": "lines of the matrix over lines acquired",
        "line_density": "share of lines acquired in four parts of equal width, from the centre of k-space to its edge; "
        "no way is better by itself: the centre holds the energy, the edge the detail",
        "spread_coherence": "largest value of the point spread off its centre, main lobe included, 0 to 1; lower is "
        "better: sharper and less aliasing",
        "side_lobe": "largest value of the point spread beyond its main lobe, 0 to 1; lower is better: less aliasing",
        "column_coherence": "mutual coherence, the largest correlation of what two pixels do to the samples of all "
        "coils, 0 to 1; lower is better; with one coil it is that of the point spread",
    }
    scene_word = "slice"
    procedural_kind = "complex slices (phantoms)"

    def settings(self, values: dict[str, object], profile: HardwareProfile, typed: Mapping[str, str]) -> MriSettings:
        """All settings of a run."""
        return settings_for(values, typed)

    def settings_of(self, design: Design) -> dict[str, Any]:
        """The matrix, and how many lines of it."""
        found = cast(CartesianLines, design)
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
        return LineBudget(asked.side, asked.acquired, asked.acs_lines).check(cast(CartesianLines, run.design))

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

    def teachers(self, settings: TrainingSettings) -> list[str]:
        """Four thirds and twice the lines, where there are so many, and shares of the same time."""
        scan = cast(MriSettings, settings)
        counts = [round(scan.acquired * share) for share in (4 / 3, 2)]
        more = dict.fromkeys(acceleration_word(scan.side, n) for n in counts if scan.acquired < n <= scan.side)
        return [*more, "soft"]

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

    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """R, where the lines lie, their point spread, and the coherence of the columns."""
        from cidesign.modalities.mri.encoders.lines import MriEncoder
        from cidesign.modalities.mri.merit import line_merits

        return line_merits(cast(MriEncoder, encoder))

    def linear_bound(self, encoder: "Encoder", prior: "ImagePrior") -> "Bound | NotEvaluated":
        """Exact for one coil and for small scans of several, else an estimate; of the complex image."""
        from cidesign.modalities.mri.encoders.lines import MriEncoder
        from cidesign.modalities.mri.merit import line_bound

        return line_bound(cast(MriEncoder, encoder), prior)

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
