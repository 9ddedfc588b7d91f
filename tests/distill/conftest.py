"""Runs small enough to train in a second, one of each kind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cidesign.distill.job import Listener, start_run
from cidesign.run_settings import TrainingSettings

CASES: dict[str, dict[str, Any]] = {
    "single-pixel": {"modality": "single-pixel"},
    "cassi": {"modality": "cassi"},
    "mri": {"modality": "mri"},
    "ladder": {"modality": "single-pixel", "ladder": ("real@12", "3-bit"), "weighting": "gradient"},
    "coils, unrolled, two teachers": {
        "modality": "mri", "coils": 3, "decoder": "unrolled", "ladder": ("R1", "R2"), "side": 12, "acquired": 3,
    },
    "published, fresh": {"modality": "cassi", "losses": "published", "start": "fresh"},
    "recipe": {
        "modality": "mri", "recipe": "published", "losses": "published", "start": "fresh", "optics_start": "random",
        "exploring": False, "schedule": "constant", "decoder": "back-projection",
    },
    "uncertainty, soft labels": {"modality": "single-pixel", "weighting": "uncertainty", "weight_output": 0.2},
    # Nine places in the six steps of an epoch.
    "in crops": {"modality": "cassi", "side": 24, "crop": 12},
}  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Arrays this small only wait for a second thread, all the more when tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, make_settings: Callable[..., TrainingSettings]) -> TrainingSettings:
    """The settings of one kind of run: 6 steps an epoch, two epochs of teachers, two of the student."""
    return make_settings(**CASES[request.param])


@pytest.fixture(scope="session")
def settings(make_settings: Callable[..., TrainingSettings]) -> TrainingSettings:
    """A single-pixel run."""
    return make_settings("single-pixel")


@pytest.fixture(scope="session")
def profile(profile_of: Callable[[str], Any]) -> Any:
    """Its profile."""
    return profile_of("single-pixel")


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory, case: TrainingSettings, profile_of: Callable[[str], Any]) -> Path:
    """An uninterrupted run of each kind; tests only read it."""
    path = tmp_path_factory.mktemp("every") / "whole"
    start_run(path, case, profile_of(case.modality), False, Listener())
    return path
