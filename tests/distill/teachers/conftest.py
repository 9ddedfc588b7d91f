"""A teacher of each modality that is stored, and students of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.distill.job import Listener, start_run
from cidesign.run_settings import TrainingSettings
from cidesign.testing.training import student_of

MODALITIES = ("single-pixel", "cassi", "mri")
UNGUIDED: dict[str, Any] = {"weight_decoder": 0.0, "weight_encoder": 0.0}
ALONE: dict[str, Any] = {**UNGUIDED, "only_teacher": True, "student_epochs": 0}
ProfileOf = Callable[[str], Any]
Make = Callable[..., TrainingSettings]


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory, make_settings: Make, profile_of: ProfileOf) -> dict[str, Path]:
    """A run of each modality that holds a teacher alone; only read."""
    found = {}
    for modality in MODALITIES:
        found[modality] = tmp_path_factory.mktemp("stores") / modality
        start_run(found[modality], make_settings(modality, **ALONE), profile_of(modality), False, Listener())
    return found


@pytest.fixture
def store(stores: dict[str, Path]) -> Path:
    """The single-pixel one."""
    return stores["single-pixel"]


@pytest.fixture(scope="session")
def whole_students(
    stores: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, make_settings: Make, profile_of: ProfileOf
) -> dict[str, Path]:
    """Students that nothing interrupted."""
    folder = tmp_path_factory.mktemp("students")
    return {
        modality: student_of(stores[modality], folder / modality, make_settings(modality), profile_of(modality)).path
        for modality in MODALITIES
    }
