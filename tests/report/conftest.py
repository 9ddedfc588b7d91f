"""Small trained runs of each kind, and their reports as the command writes them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cidesign.runs import Run

CHANGES: dict[str, dict[str, Any]] = {
    "single-pixel": {"ladder": ("real@12", "3-bit")},
    "cassi": {},
    "lensless": {},
    "mri": {"coils": 2, "ladder": ("R1.5", "soft")},
    "mri-points": {"coils": 2, "ladder": ("R1.5", "soft")},
    "mri-shots": {"coils": 2, "ladder": ("shots2", "slew2"), "images": 16},
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], profile_of: Callable[[str], Any]
) -> Callable[[str], Path]:
    """A finished run of a modality; tests only read it."""
    from cidesign.distill.job import Listener, start_run

    folder = tmp_path_factory.mktemp("trained")

    def make(modality: str) -> Path:
        path = folder / modality
        if not path.exists():
            settings = make_settings(modality, **{"images": 32, "validation_images": 8, **CHANGES[modality]})
            start_run(path, settings, profile_of(modality), False, Listener())
        return path

    return make


@pytest.fixture(scope="module", params=["single-pixel", "cassi", "mri", "mri-points", "mri-shots", "lensless"])
def reported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, trained: Callable[[str], Path]
) -> Run:
    """A run of each kind, its name written to break a page, with the report that the command wrote."""
    from click.testing import CliRunner

    from cidesign.cli import group

    path = tmp_path_factory.mktemp("reported") / "<b>&\"'run"
    shutil.copytree(trained(request.param), path)
    CliRunner().invoke(group, ["report", str(path)], catch_exceptions=False, standalone_mode=False)
    return Run(path)


@pytest.fixture
def run(trained: Callable[[str], Path], tmp_path: Path) -> Run:
    """A copy of the single-pixel run, without a report."""
    return Run(shutil.copytree(trained("single-pixel"), tmp_path / "run"))
