"""A decoder of a package outside the source tree: found by its entry point, trained, stored, loaded, used, missed."""

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.distill.job import Listener, resume_run, start_run
from cidesign.distill.presets import settings_for
from cidesign.errors import FileError, InputError
from cidesign.models.decoders import DECODERS, decoder_class, decoder_names
from cidesign.models.system import load_student
from cidesign.physics.base import Encoder
from cidesign.runs import Run
from cidesign.testing import decoders

PLUGIN = Path(__file__).parents[1] / "plugins" / "toy_decoder"
TINY = {"images": 32, "validation_images": 8, "batch": 8, "teacher_epochs": 1, "student_epochs": 1, "side": 8}
Make = Callable[..., Any]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is on the path, as an installed one is."""
    monkeypatch.syspath_prepend(PLUGIN)
    monkeypatch.delitem(sys.modules, "toy_decoder", raising=False)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("law", decoders.LAWS, ids=lambda law: law.__name__)
def test_laws(law: decoders.Law, make_settings: Make, make_system: Make) -> None:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    encoder: Encoder = make_system(make_settings(), images).encoder
    law(decoder_class("toy"), encoder, images)


def test_trained_stored_loaded_used_and_missed(
    installed: None, profile_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoder_names() == [*DECODERS, "toy"]
    profile = profile_of("single-pixel")
    settings = settings_for(profile, decoder="toy", width=5, patterns=9, **TINY)
    assert settings.decoder_settings == {"width": 5}
    run = start_run(tmp_path / "run", settings, profile, False, Listener())
    assert run.record.metrics["student_psnr_db"] > 10
    system = load_student(Run(run.path))
    assert type(system.decoder).__name__ == "ToyDecoder"
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        image = system.decoder(system.encoder.A(x), system.encoder).prediction
    assert image.shape == x.shape
    assert bool(torch.isfinite(image).all())

    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(PLUGIN)])
    importlib.invalidate_caches()
    again = Run(run.path)
    assert np.array_equal(again.design.levels, run.design.levels)  # the files for the device need no decoder
    with pytest.raises(
        FileError, match="run: 'toy' is no decoder known here; known are unet, phase-unet, unrolled, "
    ) as caught:
        load_student(again)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="'toy' is no decoder known here"):
        settings_for(profile, decoder="toy")
    (run.path / "run.json").write_text((run.path / "run.json").read_text().replace('"complete"', '"training"'))
    with pytest.raises(FileError, match="'toy' is no decoder known here"):
        resume_run(run.path, Listener())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width": 0}, "width 0: should be greater than or equal to 1"),
        ({"channels": 8}, "channels: no such setting here; .* width"),
        ({"decoder_settings": {"width": 3}, "width": 4}, "width: given by name and in decoder_settings"),
    ],
)
def test_its_settings_are_its_own(values: dict[str, Any], said: str, profile_of: Make) -> None:
    with pytest.raises(InputError, match=said):
        settings_for(profile_of("mri"), decoder="toy", **values)


def _package(folder: Path, name: str, entry: str, code: str = "") -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cidesign.decoders]\n{entry}\n")
    if code:
        (folder / f"{name}.py").write_text(code)


@pytest.mark.parametrize(
    ("entry", "code", "name", "said"),
    [
        (
            "bad = lab_bad:Bad",
            "raise RuntimeError('no key')",
            "bad",
            r"bad: the package lab_bad 1\.0 .* cannot be imported .*no key",
        ),
        ("bad = lab_bad:Bad", "", "bad", r"bad: the package lab_bad 1\.0 .* cannot be imported .*ModuleNotFoundError"),
        (
            "bad = lab_bad:Bad",
            "Other = 1",
            "bad",
            r"bad: the package lab_bad 1\.0 .* cannot be imported .*AttributeError",
        ),
        (
            "bad = lab_bad:Bad",
            "Bad = dict",
            "bad",
            r"bad: lab_bad:Bad, which the package lab_bad 1\.0 adds to cidesign\.decoders, is no Decoder;",
        ),
        (
            "unet = lab_bad:Bad",
            "Bad = dict",
            "unet",
            r"unet: the packages cidesign, lab_bad 1\.0 all claim this name in cidesign\.decoders",
        ),
    ],
)
def test_packages_that_offer_no_decoder_are_named(
    entry: str, code: str, name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path / "site", "lab_bad", entry, code)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "lab_bad", raising=False)
    with pytest.raises(InputError, match=said) as caught:
        decoder_class(name)
    assert "\n" not in str(caught.value)
    monkeypatch.delitem(sys.modules, "lab_bad", raising=False)


def test_a_package_that_is_there_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PLUGIN, tmp_path / "site")
    monkeypatch.syspath_prepend(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "toy_decoder", raising=False)
    assert decoder_class("toy").__name__ == "ToyDecoder"
    monkeypatch.delitem(sys.modules, "toy_decoder", raising=False)
