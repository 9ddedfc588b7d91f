"""What tests of several packages need: tiny settings of each modality, and runs that are finished without training."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.hardware_profiles.loader import load_profile
from cidesign.modality import modality as modality_named
from cidesign.run_settings import TrainingSettings

if TYPE_CHECKING:  # the tests of the bench half start without pydantic's profiles and without torch
    from cidesign.hardware_profiles.schema import HardwareProfile
    from cidesign.modalities.single_pixel.run import SinglePixelRun
    from cidesign.models.system import ImagingSystem
    from cidesign.runs import Run

PROFILES = {
    "single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t", "mri-points": "mri-generic-3t",
    "mri-shots": "mri-generic-3t", "lensless": "lensless-imx250",
}  # fmt: skip
COMMON: dict[str, Any] = {
    "preset": "quick", "seed": 3, "side": 8, "data": "procedural", "images": 96, "validation_images": 32, "batch": 16,
    "decoder": "unet", "ladder": ("real",), "teacher_epochs": 2, "student_epochs": 2, "threads": 1,
    "start": "teacher", "learning_rate": 1e-3, "optics_learning_rate": 1e-2, "precision": "float32", "device": "cpu",
    "losses": "effective", "weighting": "fixed", "weight_task": 1.0, "weight_decoder": 0.3, "weight_encoder": 0.1,
}  # fmt: skip
# Of the decoder's own settings; those that it has are given to it.
KNOBS: dict[str, Any] = {"channels": 4, "stages": 2}
OWN: dict[str, dict[str, Any]] = {
    "single-pixel": {
        "patterns": 7, "bit_depth": 1, "encoding": "complementary", "photoelectrons_per_frame": 1e6,
        "read_noise_photoelectrons": 10.0, "exposure_us": None, "optics_start": "designed",
    },
    # 8 bands in steps of one pixel spread over 7: a code of 12 pixels, so that bands overlap.
    "cassi": {"side": 12, "photoelectrons_full_scale": 20_000.0, "read_noise_photoelectrons": 5.0},
    # A code pixel is 0.9 samples wide, so that the mask is small.
    "lensless": {
        "sensor_side": 8, "binning": 20, "mask_rows": 18, "mask_columns": 18, "photoelectrons_full_scale": 1e5,
        "read_noise_photoelectrons": 2.4,
    },
    # Spin echoes, whose phase is smooth: what these tests are about is no matter of phase.
    "mri": {
        "side": 16, "acquired": 4, "acs_lines": 2, "coils": 1, "noise": 0.01, "ladder": ("R2",), "echo": "spin",
    },
    "mri-points": {
        "side": 12, "partitions": 10, "readout": 16, "acquired": 30, "acs_lines": 3, "acs_partitions": 2, "coils": 1,
        "noise": 0.01, "ladder": ("R2",), "echo": "spin",
    },
    "mri-shots": {
        "sampling": "free", "side": 12, "shots": 3, "samples_per_shot": 24, "dwell_ns": 10_000, "coils": 1,
        "noise": 0.01, "ladder": ("shots2",), "echo": "spin",
    },
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait for SLURM begin first: at the end nothing else would run while they wait."""
    items.sort(key=lambda item: item.path.parent.name != "slurm")


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., TrainingSettings]:
    """Settings of a run that trains in a second: `make_settings("mri", coils=4)`."""

    def make(modality: str = "single-pixel", **changes: Any) -> TrainingSettings:
        knobs = {name: changes.pop(name, value) for name, value in KNOBS.items()}
        values = {**COMMON, **OWN[modality], **changes}
        if values["decoder"] in ("unet", "phase-unet", "back-projection", "classifier"):
            del knobs["stages"]
        if values["decoder"] == "linear":
            knobs = {}
        return modality_named(modality).settings_type(**{"decoder_settings": knobs, **values})

    return make


@pytest.fixture(scope="session")
def profile_of() -> Callable[[str], "HardwareProfile"]:
    """The shipped profile that a modality is tested with."""
    return lambda modality: load_profile(PROFILES[modality])


@pytest.fixture(scope="session")
def make_record(profile_of: Callable[[str], "HardwareProfile"]) -> Callable[..., Any]:
    """The record of a finished run."""
    from cidesign.runs import RunRecord

    def make(settings: TrainingSettings, design_digest: str | None, **changes: Any) -> RunRecord:
        profile = profile_of(settings.modality)
        values: dict[str, Any] = {
            "schema_version": 2, "kind": "run", "status": "complete", "created_utc": "2026-01-01T00:00:00+00:00",
            "cidesign_version": "0.1.0", "versions": {}, "settings": settings,
            "profile": profile.model_dump(mode="json"), "profile_digest": profile.digest, "data_digest": "0" * 64,
            "teacher_digest": None, "design_digest": design_digest, "metrics": {},
        }  # fmt: skip
        return RunRecord(**{**values, **changes})

    return make


@pytest.fixture(scope="session")
def make_system(profile_of: Callable[[str], "HardwareProfile"]) -> Callable[..., "ImagingSystem"]:
    """A system before training, for a relaxation or the student, with the start and the prior of given images."""

    def make(settings: TrainingSettings, images: Any, relaxation: str | None = None) -> "ImagingSystem":
        import torch

        from cidesign.models.optics import optics_for
        from cidesign.models.system import ImagingSystem, build_decoder

        optics = optics_for(settings, profile_of(settings.modality))
        encoder, decoder = optics.encoder(relaxation), build_decoder(settings, optics.bands, optics.size)
        with torch.no_grad():
            encoder.weight.copy_(optics.start(relaxation, images))
        decoder.set_prior(optics.prior(images))
        return ImagingSystem(encoder, decoder)

    return make


@pytest.fixture(scope="session")
def finished_run(make_record: Callable[..., Any], profile_of: Callable[[str], "HardwareProfile"]) -> Callable[..., Any]:
    """Write a run without training it: random patterns, and a decoder that is its linear first step."""

    def write(path: Path, settings: TrainingSettings, kind: Any, seed: int = 0) -> "Run":
        import torch

        from cidesign.data.procedural import dead_leaves
        from cidesign.models.optics import optics_for
        from cidesign.models.system import ImagingSystem, build_decoder
        from cidesign.runs import library_versions, write_record

        optics = optics_for(settings, profile_of(settings.modality))
        system = ImagingSystem(optics.encoder(None), build_decoder(settings, optics.bands, optics.size))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            system.encoder.weight.copy_(torch.randn(system.encoder.weight.shape, generator=generator) * 3**-0.5)
        images = torch.from_numpy(dead_leaves(64, settings.side, 1)).float()[:, None] / 255
        system.decoder.set_prior(optics.prior(images))
        path.mkdir(parents=True)
        design = optics.design(system.encoder)
        design.save(path / "design.npz")
        system.save(path / "student.safetensors")
        write_record(path, make_record(settings, design.design_digest, versions=library_versions()))
        return kind(path)

    return write


@pytest.fixture(scope="session")
def make_run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> "Callable[..., SinglePixelRun]":
    """Finished single-pixel runs: `make_run(16, 40)`."""
    from cidesign.modalities.single_pixel.run import SinglePixelRun

    @functools.cache  # runs are only read
    def make(
        side: int = 16, patterns: int = 40, bit_depth: int = 1, encoding: Any = "complementary"
    ) -> "SinglePixelRun":
        path = tmp_path_factory.mktemp("runs") / f"{side}-{patterns}-{bit_depth}-{encoding}"
        settings = make_settings(
            side=side, patterns=patterns, bit_depth=bit_depth, encoding=encoding, read_noise_photoelectrons=50.0
        )
        run: SinglePixelRun = finished_run(path, settings, SinglePixelRun, side + patterns)
        return run

    return make


@pytest.fixture(scope="session")
def f_scene() -> Callable[[int], NDArray[np.float64]]:
    """An F on a slope: no flip, turn or transposition leaves it as it is."""

    def make(side: int) -> NDArray[np.float64]:
        scene = np.linspace(0.05, 0.2, side * side).reshape(side, side)
        stroke = max(side // 8, 1)
        left, top, bottom = side // 4, side // 8, side - side // 8
        scene[top:bottom, left : left + stroke] = 0.9
        scene[top : top + stroke, left : left + side // 2] = 0.8
        middle = side // 2 - stroke
        scene[middle : middle + stroke, left : left + side // 3] = 0.7
        return scene

    return make
