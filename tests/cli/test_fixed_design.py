"""`cidesign design --fixed`: designs that nothing is learnt for, by the names that `evaluate` gives them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cidesign as ci
from cidesign.distill.comparison.compare import Comparison
from cidesign.distill.job import Listener, start_run
from cidesign.errors import FileError, InputError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.pattern import CartesianLines, PatternStack
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run


@pytest.fixture(scope="module", params=["single-pixel", "cassi", "mri"])
def run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., TrainingSettings],
    profile_of: Callable[[str], HardwareProfile],
) -> Run:
    settings = make_settings(request.param, teacher_epochs=1, student_epochs=1, images=32, validation_images=8)
    return start_run(tmp_path_factory.mktemp("fixed") / "run", settings, profile_of(request.param), False, Listener())


def test_of_a_run_it_is_the_design_that_is_measured_beside_it(
    run: Run, cidesign: Callable[..., Any], tmp_path: Path
) -> None:
    designs = Comparison(run, None).designs
    for number, (name, design) in enumerate(designs.items()):
        out = tmp_path / str(number)
        done = cidesign("design", "--fixed", name, "--run", run.path, "--out", out, "--json")
        assert done.code == 0, done.err
        value = json.loads(done.out)
        assert (value["design_digest"], value["sources"]) == (design.design_digest, [])
        assert value["options"] == {"fixed": name}
        assert ci.open_design(out).design.design_digest == design.design_digest
    assert cidesign("check", tmp_path / "0").code == 0
    settings = {"decoder": "linear", "student_epochs": 0, "teacher_epochs": 0, "images": 16, "validation_images": 4}
    trained = ci.distill(design=tmp_path / "0", out=tmp_path / "run", batch=8, **settings)
    assert trained.design.design_digest == next(iter(designs.values())).design_digest


def test_of_a_profile_with_settings_of_a_run(cidesign: Callable[..., Any], tmp_path: Path) -> None:
    few = ("--set", "images=8", "--set", "validation_images=2", "--set", "batch=4")
    words = ("design", "--fixed", "low-pass cosines", "--profile", "dlp4500", *few)
    done = cidesign(*words, "--set", "patterns=20", "--set", "side=16", "--out", tmp_path / "spc")
    assert done.code == 0, done.err
    assert "the fixed design low-pass cosines: 20 patterns of 16 x 16" in done.out
    found = ci.open_design(tmp_path / "spc").design
    assert isinstance(found, PatternStack)
    np.testing.assert_array_equal(found.signed(), low_frequency_cosines(16, 20))
    few_lines = {"side": 32, "lines": 8, "images": 8, "validation_images": 2, "batch": 4}
    scan = ci.fixed_design("centre block", tmp_path / "mri", profile="mri-generic-3t", **few_lines)  # type: ignore[arg-type]
    assert isinstance(scan.design, CartesianLines)
    assert scan.design.acquired.tolist() == list(range(12, 20))


def test_what_cannot_be_is_one_line_and_leaves_nothing(cidesign: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"no such|none of that name here; .*Known are "):
        ci.fixed_design("no such", out, run=run)
    with pytest.raises(InputError, match="give a profile, or a run"):
        ci.fixed_design("random", out)
    with pytest.raises(InputError, match="give a profile, or a run"):
        ci.fixed_design("random", out, run=run, profile=run.profile)
    with pytest.raises(InputError, match=r"side: all settings are those of the run"):
        ci.fixed_design("random", out, run=run, side=16)
    (name, *_) = Comparison(run, None).designs
    for words, text in (
        (("design", "--out", out, "--profile", "dlp4500"), "FILE... is missing"),
        (("design", "a.npy", "--fixed", name, "--run", run.path, "--out", out), "leave a.npy out"),
        (("design", "--fixed", name, "--out", out), "--profile is needed"),
        (("design", "a.npy", "--run", run.path, "--out", out), "goes with --fixed"),
        (
            ("design", "--fixed", name, "--profile", "dlp4500", "--set", "out=x", "--out", out),
            "--set out: is an option",
        ),
        (("design", "--fixed", name, "--profile", "dlp4500", "--set", "name=x", "--out", out), "name: no such setting"),
    ):
        done = cidesign(*words)
        assert done.code == 2
        assert text in done.err
        assert len(done.err.strip().splitlines()[-1]) < 2000
    assert not out.exists()
    out.mkdir()
    with pytest.raises(FileError, match="exists"):
        ci.fixed_design(name, out, run=run)
