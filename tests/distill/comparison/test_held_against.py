"""What needs no training, held against networks: on the same readings, and said where it wins."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.distill.comparison.compare import Comparison, Row
from cidesign.distill.comparison.evaluate import Held, held, image_metrics, iterated, measure
from cidesign.distill.comparison.evaluation import Evaluation, EvaluationListener, evaluate_run
from cidesign.distill.comparison.evaluation_record import FILE, kept_evaluation
from cidesign.distill.comparison.held_words import network_words
from cidesign.distill.job import Listener, start_run
from cidesign.distill.loop import as_floats, evaluate, evaluation_noise
from cidesign.distill.tasks.base import task_named
from cidesign.errors import FileError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.models.system import load_student
from cidesign.physics.metrics import psnr_db
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run


@pytest.fixture(scope="module", params=["single-pixel", "cassi", "mri"])
def run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., TrainingSettings],
    profile_of: Callable[[str], HardwareProfile],
) -> Run:
    settings = make_settings(request.param, teacher_epochs=1, student_epochs=1, images=32, validation_images=16)
    return start_run(tmp_path_factory.mktemp("held") / "run", settings, profile_of(request.param), False, Listener())


def _images(run: Run, count: int = 16) -> torch.Tensor:
    kind = modality(run.settings.modality)
    return torch.from_numpy(kind.procedural_images(run.settings, run.profile, count, 2**40))


def test_all_are_made_of_the_same_readings(run: Run) -> None:
    kind, system, images = modality(run.settings.modality), load_student(run), _images(run)
    found = measure(system, images, run.settings, len(images), kind.classical())
    assert found.metrics == image_metrics(system, images, run.settings)
    assert found.held["linear"].score == pytest.approx(
        evaluate(system, images, run.settings)["linear_psnr_db"], abs=1e-4
    )
    x = as_floats(images)
    y = system.encoder(x, evaluation_noise(run.settings))
    (one,) = kind.classical()
    made = one.reconstruct(y, system.encoder, system.decoder.prior)
    scores = psnr_db(kind.compared(made), kind.compared(x))
    assert made.shape == x.shape
    assert found.held[one.name].score == pytest.approx(float(scores.mean()), abs=1e-4)
    assert found.held[one.name].difference == pytest.approx(found.metrics["psnr_db"] - float(scores.mean()), abs=1e-4)
    # It is a reconstruction, and no worse than a picture of one level.
    flat = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert float(scores.mean()) > float(psnr_db(kind.compared(flat), kind.compared(x)).mean())


def test_what_iterates_is_of_some_images_evenly_spaced(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    images = _images(run)
    monkeypatch.setattr("cidesign.distill.comparison.evaluate.ITERATED_VALUES", 0)
    assert iterated(images) == 8
    kind, system = modality(run.settings.modality), load_student(run)
    (one,) = kind.classical()
    found = measure(system, images, run.settings, len(images), kind.classical()).held
    assert (found["linear"].images, found[one.name].images) == (16, 8)
    y = system.encoder(as_floats(images), evaluation_noise(run.settings))
    chosen = torch.tensor([0, 2, 4, 6, 9, 11, 13, 15])
    made = one.reconstruct(y[chosen], system.encoder, system.decoder.prior)
    wanted = psnr_db(kind.compared(made), kind.compared(as_floats(images[chosen]))).mean()
    assert found[one.name].score == pytest.approx(float(wanted), abs=1e-4)


def test_who_wins_is_a_matter_of_standard_errors_and_of_few_images_of_the_mean() -> None:
    draws = torch.Generator().manual_seed(0)
    network = 25 + torch.randn(400, generator=draws, dtype=torch.float64)
    beside = network + 0.3 + torch.randn(400, generator=draws, dtype=torch.float64)
    found = held("linear estimate", network, beside, 400)
    assert found.difference == pytest.approx(float((network - beside).mean()))
    assert found.standard_error == pytest.approx(float((network - beside).std()) / 20)
    assert found.wins == "classical"
    assert held("", beside, network, 400).wins == "network"
    # The same crops of 16 pictures are no 400 images: 0.3 is within two of their standard errors.
    assert held("", network, beside, 16).wins == "neither"
    assert held("", network[:3], network[:3] + 0.01, 3).wins == "classical"
    assert held("", network, network, 400).wins == "neither"
    one = held("", network[:1], network[:1] - 1, 1)
    assert (one.standard_error, one.wins) == (None, "network")


def test_a_network_that_makes_it_worse_is_told(run: Run) -> None:
    """A network that adds a constant loses to its own linear estimate; without it neither wins, and nothing is said."""
    system, images = load_student(run), _images(run)
    plain = system.decoder.forward

    def spoilt(y: torch.Tensor, encoder: Any) -> Any:
        found = plain(y, encoder)
        return found._replace(prediction=system.decoder.linear_estimate(y, encoder) + 0.2)

    system.decoder.forward = spoilt  # type: ignore[method-assign]
    found = measure(system, images, run.settings, len(images), ())
    assert found.held["linear"].wins == "classical"
    assert found.held["linear"].difference < -1
    row = Row("student", found.metrics, found.held, {}, found.scores)
    (line,) = network_words([row], len(images), _score())
    assert line.startswith(f"on these images the linear estimate wins by {-found.held['linear'].difference:.2f} dB")
    assert "train on images like these (`cidesign distill --data`)" in line
    assert network_words([replace(row, held_against={})], 16, _score()) == []


NONE = torch.empty(0)


def _score() -> Any:
    return task_named("reconstruct").score


def test_words_of_subsets_and_of_other_systems() -> None:
    loses = Held("linear estimate", 26.0, 100, -0.42, 0.05, "classical")
    draws = Held("linear estimate", 26.0, 100, 0.01, 0.05, "neither")
    beats = Held("TV", 26.5, 20, -0.9, 0.2, "classical")
    rows = [Row("student", {}, {"linear": draws, "tv": beats}, {}, NONE), Row("E2E", {}, {"linear": loses}, {}, NONE)]
    assert network_words(rows, 100, _score()) == [
        "on these images TV wins by 0.90 dB (standard error 0.20): it needs no training and beats the network of "
        "student; train on images like these (`cidesign distill --data`), or take an image that needs no training "
        "(`cidesign reconstruct` writes some beside the network's)",
        "TV: of 20 of the 100 images, evenly spaced; network of student - TV of these: -0.90 dB",
        "the networks of these lose to their own linear estimate too: E2E (-0.42 dB)",
    ]


def test_the_evaluation_is_kept_for_the_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_evaluation(run) is None
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")
    found = evaluate_run(run, None, False, EvaluationListener())
    kept = kept_evaluation(run)
    # Whenever it is asked for, it is the record of one evaluation.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2000")
    assert kept == found.record()
    assert kept is not None
    assert [row.name for row in kept.rows][:1] == ["student"]
    names = [one.name for one in modality(run.settings.modality).classical()]
    assert list(kept.rows[0].held_against) == ["linear", *names]
    assert list(kept.rows[1].held_against) == ["linear", *names]
    value = found.value()["rows"][0]["held_against"]["linear"]
    assert value["images"] == 16
    assert value["difference"] == pytest.approx(kept.rows[0].images["psnr_db"] - value["score"], abs=1e-5)
    assert "linear estimate dB" in found.text()
    (run.path / FILE).write_text("{}")
    with pytest.raises(FileError, match="evaluation record is damaged"):
        kept_evaluation(run)
    (run.path / FILE).unlink()


def test_values_without_a_number_are_kept(run: Run) -> None:
    """An image that is met exactly has an infinite PSNR."""
    measured = Comparison(run, None).measured_on
    exact = Held("linear estimate", math.inf, 3, -math.inf, math.nan, "classical")
    row = Row("student", {"psnr_db": 30.0}, {"linear": exact}, {"condition_number": math.inf}, NONE)
    entry = Evaluation(run, measured, 2, [row]).value()["rows"][0]
    assert entry["held_against"]["linear"]["score"] is None
    assert entry["optics"] == {"condition_number": None}
    assert np.isfinite(entry["images"]["psnr_db"])
