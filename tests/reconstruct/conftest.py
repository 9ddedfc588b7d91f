"""A finished run without training: the decoder is its linear first step, because its U-Net starts at zero."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cidesign.data.procedural import dead_leaves
from cidesign.hardware_profiles.loader import load_profile
from cidesign.models.system import build_system
from cidesign.physics.linear_inverse import fit_prior
from cidesign.runs import Run, RunRecord, RunSettings, library_versions, write_record


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    @functools.cache  # runs are only read
    def make(side: int = 16, patterns: int = 40, bit_depth: int = 1, encoding: Any = "complementary") -> Run:
        path = tmp_path_factory.mktemp("runs") / f"{side}-{patterns}-{bit_depth}-{encoding}"
        profile = load_profile("dlp4500")
        settings = RunSettings(
            preset="test", seed=1, side=side, patterns=patterns, bit_depth=bit_depth, encoding=encoding,
            photoelectrons_per_frame=1e6, read_noise_photoelectrons=50.0, exposure_us=None, data="procedural",
            images=64, validation_images=8, batch=8, channels=4, teacher_epochs=1, student_epochs=1,
            learning_rate=1e-3, optics_learning_rate=1e-3, precision="float32", device="cpu",
            weight_task=1.0, weight_decoder=0.0, weight_encoder=0.0,
        )  # fmt: skip
        torch.manual_seed(side + patterns)
        weight = torch.randn(patterns, side, side) * 3**-0.5
        system = build_system(settings, profile, weight, constrained=True)
        images = torch.from_numpy(dead_leaves(64, side, 1)).float()[:, None] / 255
        system.decoder.set_prior(fit_prior(images))
        path.mkdir()
        design = system.encoder.pattern(encoding, profile.id, profile.digest)
        design.save(path / "design.npz")
        system.save(path / "student.safetensors")
        write_record(path, _record(settings, design.design_digest))
        return Run(path)

    return make


def _record(settings: RunSettings, design_digest: str) -> RunRecord:
    profile = load_profile("dlp4500")
    return RunRecord(
        schema_version=1,
        kind="run",
        modality="single-pixel",
        status="complete",
        created_utc="2026-01-01T00:00:00+00:00",
        cidesign_version="0.1.0",
        versions=library_versions(),
        settings=settings,
        profile=profile.model_dump(mode="json"),
        profile_digest=profile.digest,
        data_digest="0" * 64,
        teacher_digest=None,
        design_digest=design_digest,
        metrics={},
    )


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
