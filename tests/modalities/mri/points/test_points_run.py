"""Runs of points: limits in every step, records, given designs, and what a student takes over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.distill import job
from cidesign.distill.given import GivenDesign
from cidesign.distill.job import Listener, start_run
from cidesign.distill.loop import StepReport
from cidesign.distill.presets import settings_for
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.optics import MriOptics
from cidesign.modalities.mri.points.run import PointsRun
from cidesign.modalities.mri.points.settings import PointSettings
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.pattern import CartesianPoints

PROFILE = load_profile("mri-generic-3t")


class _Watch(Listener):
    """Looks at the points after every step."""

    def __init__(self) -> None:
        self.system: ImagingSystem | None = None
        self.seen: dict[str, set[bytes]] = {}

    def step(self, report: StepReport) -> None:
        assert self.system is not None
        encoder = self.system.encoder
        assert isinstance(encoder, CartesianEncoder)
        mask = encoder.choice().detach().numpy()
        assert set(np.unique(mask)) == {0, 1}
        assert mask.sum() == (30 if report.phase == "student" else 60)
        assert encoder.rule.check(encoder.pattern(16, "test", "0" * 64)) == []
        self.seen.setdefault(report.phase, set()).add(mask.tobytes())


def test_limits_hold_in_every_step_and_the_run_is_whole(
    tmp_path: Path, make_settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, original = _Watch(), job._run_phase

    def watched(run: Any, system: ImagingSystem, *rest: Any) -> None:
        watch.system = system
        original(run, system, *rest)

    monkeypatch.setattr(job, "_run_phase", watched)
    settings = make_settings("mri-points", coils=2, images=48, validation_images=8)
    start_run(tmp_path / "run", settings, PROFILE, False, watch)
    assert max(len(masks) for masks in watch.seen.values()) > 1, "no points took turns"
    run = PointsRun(tmp_path / "run")
    assert run.settings == settings
    assert run.design.matrix == (12, 10)
    assert run.design.readout == 16
    assert len(run.design.acquired) == 30
    assert run.design.calibration == (3, 2)
    assert not run.design.mask[settings.budget.never].any()
    assert modality("mri-points").broken_requests(run) == []


def test_settings_of_a_run() -> None:
    found = settings_for(PROFILE, sampling="points", side=64, partitions=48, acceleration=8.0, device="cpu")
    assert isinstance(found, PointSettings)
    assert (found.acquired, found.acs_lines, found.acs_partitions, found.elliptical) == (384, 8, 6, True)
    assert (found.matrix, found.samples, found.ladder) == ((64, 48), 64, ("R2",))
    words = modality("mri-points").described(found, PROFILE)
    assert words.startswith("384 of 64 x 48 points (R = 8), a calibration region of 8 x 6 among them, no corners; ")
    assert modality("mri-points").teachers(found) == ["R6", "R4", "soft"]
    # Maps of several coils need 7.
    coils = settings_for(PROFILE, sampling="points", side=64, partitions=48, acceleration=8.0, coils=4, device="cpu")
    assert (coils.acs_lines, coils.acs_partitions) == (8, 7)
    many = settings_for(PROFILE, sampling="points", points=3000, device="cpu")
    # A teacher of half of the points would have fewer: it has all.
    assert many.ladder == ("R1.2772",)
    assert MriOptics(many, PROFILE).encoder("R1.2772").rule.acquired == 3207  # type: ignore[arg-type]
    assert PointSettings.from_record(dict(found)) == found


def test_teachers_are_words_of_the_ladder(make_settings: Callable[..., Any]) -> None:
    optics = MriOptics(make_settings("mri-points"), PROFILE)  # type: ignore[arg-type]
    for word, acquired in (("R2", 60), ("R3", 40), ("R4", 30), ("soft", 30)):
        assert optics.encoder(word).rule.acquired == acquired
    for wrong in ("R1", "R8", "soft2", "Rnan"):
        with pytest.raises(InputError, match=f"ladder {wrong}: .* between R1.3.* and R4; or soft"):
            optics.encoder(wrong)


@pytest.mark.parametrize(("size", "of_teacher"), [((12, 10), (16, 7)), ((9, 14), (12, 10))])
def test_points_of_the_same_frequency_keep_their_rank(
    size: tuple[int, int], of_teacher: tuple[int, int], make_settings: Callable[..., Any]
) -> None:
    def encoder(matrix: tuple[int, int], seed: int) -> tuple[MriOptics, CartesianEncoder]:
        settings = make_settings("mri-points", side=matrix[0], partitions=matrix[1], acquired=20)
        optics = MriOptics(settings, PROFILE)  # type: ignore[arg-type]
        made = optics.encoder(None)
        with torch.no_grad():
            made.weight.copy_(torch.randn(matrix, generator=torch.Generator().manual_seed(seed)))
        return optics, made

    (own, student), (_, teacher) = encoder(size, 1), encoder(of_teacher, 2)
    start = student.weight.detach().clone()
    own.inherit(student, teacher)
    parts = [
        [slice(n // 2 - min(n, m) // 2, n // 2 - min(n, m) // 2 + min(n, m)) for n, m in zip(a, b, strict=True)]
        for a, b in ((size, of_teacher), (of_teacher, size))
    ]
    here, there = student.weight.detach()[tuple(parts[0])], teacher.weight.detach()[tuple(parts[1])]
    assert torch.equal(here.flatten().argsort(), there.flatten().argsort())
    torch.testing.assert_close(here.std(), start[tuple(parts[0])].std(), rtol=1e-5, atol=1e-6)
    beyond = torch.ones(size, dtype=torch.bool)
    beyond[tuple(parts[0])] = False
    assert torch.equal(student.weight[beyond], start[beyond])
    assert own.design(student).mask.sum() == 20


@pytest.mark.parametrize("corner", [False, True])
def test_settings_follow_from_points_that_are_given(corner: bool) -> None:
    chosen = [[0, 0] if corner else [0, 5], *([row, column] for row in (5, 6) for column in (4, 5)), [9, 2]]
    points = CartesianPoints(12, 10, 16, np.array(chosen), (2, 2), PROFILE.id, PROFILE.digest)
    given = GivenDesign("mine", points)
    found = settings_for(PROFILE, given=given, device="cpu", teacher_epochs=0)
    assert isinstance(found, PointSettings)
    assert (found.matrix, found.samples, found.acquired) == ((12, 10), 16, 6)
    assert (found.acs_lines, found.acs_partitions, found.elliptical) == (2, 2, not corner)
    optics = MriOptics(found, PROFILE)  # type: ignore[arg-type]
    encoder = optics.encoder(None)
    optics.place(encoder, points)
    assert optics.design(encoder).design_digest == points.design_digest
    with pytest.raises(InputError, match="partitions 9: the design mine has 10"):
        settings_for(PROFILE, given=given, device="cpu", partitions=9)
