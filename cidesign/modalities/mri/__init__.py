"""MRI: what all scans have in common, and the 2-D Cartesian one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cidesign.checks import Check, Limit
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.settings import (
    CartesianSettings,
    MriSettings,
    ScanSettings,
    acceleration_word,
    settings_for,
)
from cidesign.modality import Bench, Classical, Modality, Preset
from cidesign.pattern import CartesianLines, CartesianPoints, Design
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


Cartesian = CartesianLines | CartesianPoints
# What images are taken for that come without a phase, by the setting `echo`.
ECHOES = {"any": "any echoes", "gradient": "gradient echoes", "spin": "spin echoes"}


class Scan(Modality):
    """What all scans have in common: complex slices, receive coils, and what quality is measured on."""

    profile_type = MriProfile
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(64, 3_000, 400, 32, 16, 4, 4),
        "standard": Preset(256, 4_000, 400, 16, 16, 10, 10, {"coils": 4}),
        "paper": Preset(256, 10_000, 1_000, 32, 32, 50, 50),
    }
    quality = " of the magnitude"
    independent_draws = True
    scene_word = "slice"
    procedural_kind = "complex slices (phantoms)"

    def circumstances(self, settings: ScanSettings) -> str:
        """Coils and echoes, the end of what is said of a scan."""
        coils = "" if settings.coils == 1 else f", {settings.coils} coils"
        if settings.virtual_coils is not None:
            from cidesign.modalities.mri.data.phantoms import virtual_maps

            kept = virtual_maps(settings.coils, settings.matrix, settings.virtual_coils)[1]
            coils += f" as {settings.virtual_coils} virtual ones, which keep {kept:.2%} of their energy"
        return f"{coils}; {ECHOES[settings.echo]}"

    def procedural_images(
        self, settings: TrainingSettings, profile: HardwareProfile, count: int, seed: int
    ) -> "NDArray[Any]":
        """Slices of phantoms."""
        from cidesign.modalities.mri.data.matrix import largest_side, on_matrix
        from cidesign.modalities.mri.data.phantoms import phantom_slices

        scan = cast(ScanSettings, settings)
        return on_matrix(phantom_slices(count, largest_side(scan.matrix), seed, scan.echo), scan.matrix)

    def images(self, settings: TrainingSettings, profile: HardwareProfile) -> "TrainingImages":
        """Slices of volumes and of k-space."""
        from cidesign.modalities.mri.data.images import training_slices

        return training_slices(cast(ScanSettings, settings))

    def measured_images(
        self, settings: TrainingSettings, profile: HardwareProfile, path: Path, trained: frozenset[str]
    ) -> "MeasuredSet":
        """Slices of volumes and of k-space."""
        from cidesign.modalities.mri.data.images import measure_slices

        scan = cast(ScanSettings, settings)
        return measure_slices(path, scan.matrix, settings.seed, trained, scan.echo)

    def compared(self, images: "Tensor") -> "Tensor":
        """The magnitude."""
        from cidesign.physics.metrics import magnitude

        return magnitude(images)

    def image_metrics(self, x_hat: "Tensor", x: "Tensor") -> "dict[str, Tensor]":
        """PSNR of the complex image; all other metrics are those of the magnitude."""
        from cidesign.physics.metrics import psnr_db

        return {"complex_psnr_db": psnr_db(x_hat, x)}


class CartesianScan(Scan):
    """A scan of lines or points of an exact budget, with any number of coils."""

    derived = frozenset({"acceleration"})

    def broken_requests(self, run: Run) -> list[Check]:
        """The exact budget, with the whole calibration region."""
        return cast(CartesianSettings, run.settings).budget.check(run.design)

    def limits(self, run: Run) -> list[Limit]:
        """The exact budget of the run."""
        budget, count = cast(CartesianSettings, run.settings).budget, len(cast(Cartesian, run.design).acquired)
        name = f"acquired {self.samplings[0]} of {budget.always.size} (R = {budget.acceleration:.4g})"
        source = "the settings of the run"
        return [Limit(name=name, value=count, sense="exactly", limit=budget.acquired, source=source)]

    def optics(self, settings: TrainingSettings, profile: HardwareProfile) -> "Optics":
        """Which lines or points are measured."""
        from cidesign.modalities.mri.optics import MriOptics

        return MriOptics(cast(CartesianSettings, settings), cast(MriProfile, profile))

    def teachers(self, settings: TrainingSettings) -> list[str]:
        """Four thirds and twice the lines or points, where there are so many, and shares of the same time."""
        budget = cast(CartesianSettings, settings).budget
        counts = [round(budget.acquired * share) for share in (4 / 3, 2)]
        choices = budget.always.size
        more = dict.fromkeys(acceleration_word(choices, n) for n in counts if budget.acquired < n <= budget.most)
        return [*more, "soft"]

    def linear_bound(self, encoder: "Encoder", prior: "ImagePrior") -> "Bound | NotEvaluated":
        """Exact for one coil and for small scans of several, else an estimate; of the complex image."""
        from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
        from cidesign.modalities.mri.merit import cartesian_bound

        return cartesian_bound(cast(CartesianEncoder, encoder), prior)

    def classical(self) -> list[Classical]:
        """Total variation with the weight that reconstructions have."""
        from cidesign.modalities.mri.solve import designed_total_variation

        return [Classical("tv", "TV", designed_total_variation)]


class Mri(CartesianScan):
    """Phase-encode lines of an exact budget."""

    name = "mri"
    settings_type, design_type = MriSettings, CartesianLines
    run_type = MriRun
    samplings = ("lines",)
    words: ClassVar[dict[str, str]] = {"lines": "acquired"}
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
        return (
            f"{scan.acquired} of {scan.side} lines (R = {scan.side / scan.acquired:.4g}), "
            f"{scan.acs_lines} of them calibration lines{self.circumstances(scan)}"
        )

    def scanned_design(
        self, files: Sequence[Path], profile: HardwareProfile, settings: Mapping[str, Any]
    ) -> "OwnDesign | None":
        """The lines that a scan measured."""
        from cidesign.modalities.mri.own_lines import scanned_design

        return scanned_design(files, cast(MriProfile, profile), settings)

    def fixed_designs(self, maker: "SystemMaker", profile: HardwareProfile) -> dict[str, Design]:
        """Centre block, variable density, equispaced, partial Fourier."""
        from cidesign.modalities.mri.fixed_designs import fixed_designs

        return fixed_designs(cast(MriSettings, maker.settings), cast(MriProfile, profile))

    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """R, where the lines lie, their point spread, and the coherence of the columns."""
        from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
        from cidesign.modalities.mri.merit import line_merits

        return line_merits(cast(CartesianEncoder, encoder))

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
