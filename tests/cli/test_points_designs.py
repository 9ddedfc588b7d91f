"""Points that are given: a mask needs the word, a folder of its design says it itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cidesign as ci
from cidesign.modalities.mri.points.run import PointsRun


def test_masks_and_folders_of_points_are_taken_as_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cidesign: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    mask = np.random.default_rng(1).random((16, 12)) < 0.4
    mask[6:10, 4:8] = mask[0, 0] = True
    np.save("mask.npy", mask)
    untrained = ("--decoder", "linear", "--set", "images=8", "--set", "validation_images=8")
    words = ("--profile", "mri-generic-3t", "--sampling", "points")
    assert "readout" in cidesign("distill", "--design", "mask.npy", *words, *untrained).err
    ci.design("mask.npy", "mri-generic-3t", "mine", sampling="points", readout=16)
    done = cidesign("distill", "--design", "mine", *untrained, "--set", "partitions=12", "--out", "run")
    assert done.code == 0, done.err
    run = PointsRun(Path("run"))
    assert np.array_equal(run.design.mask, mask)
    assert (run.settings.sampling, run.settings.elliptical) == ("points", False)
    other = cidesign("distill", "--design", "mine", *untrained, "--set", "partitions=10", "--out", "other")
    assert "partitions 10: the design mine has 12" in other.err
    assert not Path("other").exists()
