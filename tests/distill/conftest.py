"""A run small enough to train in a second."""

from collections.abc import Iterator

import pytest
import torch

from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.runs import RunSettings


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Arrays this small only wait for a second thread, all the more when tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def profile() -> DmdProfile:
    return load_profile("dlp4500")


@pytest.fixture(scope="session")
def settings() -> RunSettings:
    return RunSettings(
        preset="quick",
        seed=3,
        side=8,
        patterns=7,
        bit_depth=1,
        encoding="complementary",
        photoelectrons_per_frame=1e6,
        read_noise_photoelectrons=10.0,
        exposure_us=None,
        data="procedural",
        images=96,
        validation_images=32,
        batch=16,
        channels=4,
        teacher_epochs=2,
        student_epochs=2,
        learning_rate=1e-3,
        optics_learning_rate=1e-2,
        precision="float32",
        device="cpu",
        weight_task=1.0,
        weight_decoder=0.3,
        weight_encoder=0.1,
    )
