"""Optics of shots for any relaxation, what students take over, and runs from settings to shots that can be played."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.constraints.gradients import GradientRule
from cidesign.distill.comparison.compare import Comparison
from cidesign.distill.job import Listener, start_run
from cidesign.distill.presets import settings_for
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.mri.shots.encoder import FreeShots, ShotsEncoder, TurnedShots
from cidesign.modalities.mri.shots.merit import hardware_shares, side_lobe
from cidesign.modalities.mri.shots.optics import ShotsOptics
from cidesign.modalities.mri.shots.run import ShotsRun
from cidesign.modality import modality, modality_for
from cidesign.pattern import NonCartesian
from cidesign.physics.linear_bound import Bound

pytest.importorskip("finufft")
PROFILE = load_profile("mri-siemens-prisma")
RULE = GradientRule.of(PROFILE)  # type: ignore[arg-type]
TINY = {"side": 16, "shots": 3, "images": 12, "validation_images": 4, "batch": 6, "channels": 4, "device": "cpu"}


def _settings(**values: Any) -> Any:
    return settings_for(PROFILE, **{**TINY, "sampling": "free", "threads": 1, **values})


def _optics(**values: Any) -> ShotsOptics:
    return ShotsOptics(_settings(**values), PROFILE)  # type: ignore[arg-type]


def _started(optics: ShotsOptics, relaxation: str | None) -> ShotsEncoder:
    encoder = optics.encoder(relaxation)
    with torch.no_grad():
        encoder.weight.copy_(optics.start(relaxation, torch.zeros(1, 2, 16, 16)))
    return encoder


def test_words_of_samplings_lead_here() -> None:
    for word in ("radial", "spiral", "free"):
        assert modality_for(PROFILE, word).name == "mri-shots"


@pytest.mark.parametrize("begins", ["radial", "spiral"])
def test_free_shots_begin_near_their_shape_and_can_be_played_wherever_training_leads(begins: str) -> None:
    optics = _optics(begins=begins)
    shape = modality("mri-shots").fixed_designs(_Maker(optics), PROFILE)  # type: ignore[arg-type]
    encoder = _started(optics, None)
    assert isinstance(encoder, FreeShots)
    wanted = shape[begins]
    assert isinstance(wanted, NonCartesian)
    assert np.abs(optics.design(encoder).samples - wanted.samples).max() < 0.6
    draws = torch.Generator().manual_seed(1)
    for size in (0.1, 1.0, 10.0):
        with torch.no_grad():
            encoder.weight += size * torch.randn(encoder.weight.shape, generator=draws)
        design = optics.design(encoder)
        assert RULE.check(design) == []
        encoder.explore(0.5, draws)
        # What is learnt on from here are the shots that were played.
        np.testing.assert_allclose(optics.design(encoder).samples, design.samples, atol=5e-3)
    assert max(hardware_shares(design, RULE)) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("sampling", ["radial", "spiral"])
def test_turned_shots_can_be_played_at_any_angle(sampling: str) -> None:
    optics = _optics(sampling=sampling)
    encoder = _started(optics, None)
    assert isinstance(encoder, TurnedShots)
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([0.7, -2.1, 0.1]))
    assert RULE.check(optics.design(encoder)) == []


def test_teachers_have_more_shots_or_a_higher_slew_rate() -> None:
    optics = _optics()
    assert len(_started(optics, "shots2").k()) == 6
    with torch.no_grad():
        fast = _started(optics, "slew2")
        fast.weight += 5 * torch.randn(fast.weight.shape, generator=torch.Generator().manual_seed(2))
        _, slew = hardware_shares(optics.design(fast), RULE)
    assert 1.5 < slew <= 2
    for word in ("R2", "slew1", "slew", "shots99", "shotsnan", "soft"):
        with pytest.raises(InputError, match=f"ladder {word}: .*shots2.*slew2"):
            optics.encoder(word)


@pytest.mark.parametrize("sampling", ["radial", "spiral", "free"])
def test_students_take_over_the_nearest_shots_of_their_teacher(sampling: str) -> None:
    optics = _optics(sampling=sampling)
    teacher, student = _started(optics, "shots2"), _started(optics, None)
    with torch.no_grad():
        teacher.weight += 0.05 * torch.randn(teacher.weight.shape, generator=torch.Generator().manual_seed(3))
    optics.inherit(student, teacher)
    apart = torch.cdist(student.k().detach().flatten(1), teacher.k().detach().flatten(1)).min(dim=1).values
    # Golden spokes and arms of half as many are among the teacher's.
    assert float(apart.max()) < 0.2 * float(student.k().detach().flatten(1).norm(dim=1).min())
    assert len(set(map(tuple, student.weight.detach().reshape(3, -1).tolist()))) == 3


def test_given_shots_become_the_design_bit_for_bit() -> None:
    optics = _optics()
    design = modality("mri-shots").fixed_designs(_Maker(optics), PROFILE)["centre block"]  # type: ignore[arg-type]
    encoder = _started(optics, None)
    optics.place(encoder, design)
    assert optics.design(encoder).design_digest == design.design_digest


class _Maker:
    """What `fixed_designs` asks for."""

    def __init__(self, optics: ShotsOptics) -> None:
        self.optics, self.settings = optics, optics.settings


def test_merits_and_bound() -> None:
    optics = _optics(sampling="radial", shots=24)
    encoder = _started(optics, None).requires_grad_(False)
    prior = optics.prior(torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(4)))
    found = modality("mri-shots").optics_metrics(encoder, torch.zeros(1, 2, 16, 16))
    assert (found["acceleration"], found["samples"]) == (16 / 24, 24 * 32)
    # A full grid of spokes has low side lobes, three of them do not.
    sparse = _started(_optics(sampling="radial"), None).k().detach().flatten(0, 1)
    assert isinstance(found["side_lobe"], float)
    assert found["side_lobe"] < 0.5 * side_lobe(sparse, (16, 16))
    bound = modality("mri-shots").linear_bound(encoder, prior)
    assert isinstance(bound, Bound)
    assert bound.standard_error is None
    more = _optics(sampling="radial", shots=24, noise=0.3)
    worse = modality("mri-shots").linear_bound(_started(more, None).requires_grad_(False), prior)
    assert isinstance(worse, Bound)
    assert worse.mean_square > bound.mean_square


@pytest.mark.parametrize("sampling", ["free", "radial"])
def test_a_run_trains_and_ends_with_shots_that_can_be_played(tmp_path: Path, sampling: str) -> None:
    settings = _settings(sampling=sampling, teacher_epochs=1, student_epochs=1, optics_learning_rate=0.05)
    run = ShotsRun(start_run(tmp_path / "run", settings, PROFILE, False, Listener()).path)
    kind = modality("mri-shots")
    assert kind.broken_requests(run) == []
    begun = _optics(sampling=sampling)
    start = begun.design(_started(begun, None))
    # The optics moved.
    assert np.abs(run.design.samples - start.samples).max() > 0.01
    values, lines = kind.measurement(run)
    assert values["readout_ms"] == pytest.approx(0.32)
    assert "3 shots" in lines[0]
    assert kind.settings_of(run.design)["samples_per_shot"] == 32
    if sampling == "free":
        # Fixed shots of another timing are trained, kept, and read again as they are.
        compared = Comparison(run, None)
        first, again = (compared.other("radial", lambda report: None) for _ in range(2))
        assert first.images == again.images
        assert first.optics["acceleration"] == pytest.approx(16 / 3)
