"""Fine-tuning of a decoder on a tiny bench: patterns that are shifted and turned, and more noise than in training."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.calibration.single_pixel.operator import Placement, SpcOperator
from cidesign.data.procedural import dead_leaves
from cidesign.distill.fine_tune import FineTuned, fine_tune, fine_tune_settings
from cidesign.errors import CidesignError
from cidesign.files import sha256_bytes
from cidesign.modalities.single_pixel.family import SinglePixelFamily
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import load_student
from cidesign.physics.base import Encoder
from cidesign.physics.noise import DetectorNoise
from cidesign.physics.operator_family import Drawn

PATTERNS = 40
# Root mean square of what the network adds.
ADDED = 0.08
DIM = DetectorNoise(2e4, 50.0, "complementary")
MOVED = SpcOperator(Placement(4.0, 0.5, -1.0), 1, np.ones((16, 16)), 0.2, 0.1, 0.02, True)


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> SinglePixelRun:
    """Random patterns of 16 x 16, and a decoder whose network adds what no image has."""
    settings = make_settings(side=16, patterns=PATTERNS, weight_decoder=0.0, images=64)
    torch.manual_seed(0)  # the network's weights
    found: SinglePixelRun = finished_run(tmp_path_factory.mktemp("fine") / "run", settings, SinglePixelRun)
    system = load_student(found)
    last = system.decoder.get_parameter("unet.last.weight")
    last.copy_(torch.randn(last.shape, generator=torch.Generator().manual_seed(2)))
    y = system.encoder(stored(1, 16).float() / 255)
    added = system.decoder(y, system.encoder).prediction - system.decoder.linear_estimate(y, system.encoder)
    last.mul_(ADDED / added.square().mean().sqrt())
    system.save(found.path / "student.safetensors")
    return found


@pytest.fixture(scope="module")
def family(run: SinglePixelRun) -> SinglePixelFamily:
    return SinglePixelFamily.around(MOVED, run.design, DIM)


def stored(seed: int, count: int) -> Tensor:
    return torch.from_numpy(dead_leaves(count, 16, seed))[:, None]


def tuned(run: SinglePixelRun, family: Any, seed: int = 5, **changes: Any) -> FineTuned:
    settings = fine_tune_settings(run.settings, 2, 256, seed, "cpu")
    settings = replace(settings, precision="float32", **{"learning_rate": 3e-3, **changes})
    return fine_tune(load_student(run), family, (stored(1, 256), stored(2, 64)), run.settings, settings)


@pytest.fixture(scope="module")
def outcome(run: SinglePixelRun, family: SinglePixelFamily) -> FineTuned:
    return tuned(run, family)


def state(decoder: torch.nn.Module) -> str:
    weights = decoder.state_dict()
    return sha256_bytes(*(weights[name].contiguous().numpy().tobytes() for name in sorted(weights)))


def test_a_decoder_improves_on_images_that_decided_nothing(run: SinglePixelRun, outcome: FineTuned) -> None:
    reported = outcome.reported
    assert outcome.kept
    assert state(outcome.decoder) != state(load_student(run).decoder)
    assert reported.gain.mean > 3 * reported.gain.standard_error
    assert reported.after.mean - reported.before.mean == pytest.approx(reported.gain.mean, abs=1e-9)
    assert reported.before.mean < reported.linear.mean
    assert reported.blind is not None
    assert reported.conditioning is not None
    assert reported.conditioning.mean > 1
    assert reported.before.mean - reported.blind.mean == pytest.approx(reported.conditioning.mean, abs=1e-9)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(
    run: SinglePixelRun, family: SinglePixelFamily, outcome: FineTuned
) -> None:
    again = tuned(run, family)
    assert state(again.decoder) == state(outcome.decoder)
    assert (again.choosing, again.reported) == (outcome.choosing, outcome.reported)
    assert state(tuned(run, family, seed=6).decoder) != state(outcome.decoder)


def test_only_the_decoder_is_trained(run: SinglePixelRun, family: SinglePixelFamily) -> None:
    files = {path.name: path.read_bytes() for path in run.path.iterdir()}
    system, before = load_student(run), load_student(run)
    centre = copy.deepcopy(family.centre.state_dict())
    settings = fine_tune_settings(run.settings, 1, 32, 1, "cpu")
    fine_tune(system, family, (stored(1, 32), stored(2, 16)), run.settings, settings)
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in system.state_dict().items())
    assert all(torch.equal(value, centre[name]) for name, value in family.centre.state_dict().items())
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == files


def test_a_decoder_that_got_worse_is_not_kept(run: SinglePixelRun, family: SinglePixelFamily) -> None:
    found = tuned(run, _Darkened(family), learning_rate=0.3)
    assert not found.kept
    assert found.choosing.mean < 0
    assert state(found.decoder) == state(load_student(run).decoder)


def test_training_that_diverges_says_so(run: SinglePixelRun, family: SinglePixelFamily) -> None:
    with pytest.raises(CidesignError, match="diverged with 2 x 256 images and seed 5; the old decoder stays"):
        tuned(run, family, learning_rate=1e30)


class _Darkened:
    """Trains on black scenes, and is measured on ordinary ones."""

    def __init__(self, family: SinglePixelFamily) -> None:
        self.family, self.shown = family, 0
        self.centre: Encoder = family.centre
        self.designed_scale = family.designed_scale

    def draw(self, rng: np.random.Generator) -> Drawn:
        return self.family.draw(rng)

    def scene(self, x: Tensor) -> Tensor:
        return x * 0 if torch.is_grad_enabled() else x


def test_terms_of_the_training_have_no_say(run: SinglePixelRun, family: SinglePixelFamily) -> None:
    guided = run.settings.model_copy(update={"weight_decoder": 0.5, "weight_output": 0.5, "weighting": "gradient"})
    images, settings = (stored(1, 64), stored(2, 16)), fine_tune_settings(run.settings, 1, 64, 1, "cpu")
    found = [fine_tune(load_student(run), family, images, asked, settings) for asked in (run.settings, guided)]
    assert state(found[0].decoder) == state(found[1].decoder)
    assert found[0].reported == found[1].reported


def test_draws_spread_around_the_centre(run: SinglePixelRun, family: SinglePixelFamily) -> None:
    rng = np.random.default_rng(0)
    drawn = [family.draw(rng) for _ in range(24)]
    centre = family.centre.weight
    spread = torch.stack([one.encoder.weight - centre for one in drawn])
    assert float(spread.abs().mean()) > 1e-3
    assert float(spread.mean(dim=0).abs().mean()) < 0.5 * float(spread.abs().mean())
    # Within 2 % of the light, the scale to the brightest pixel apart.
    assert all(0.9 < one.gain < 1.1 for one in drawn)
    exact = replace(MOVED, rotation_error_deg=0.0, shift_error_px=0.0, light_error=0.0)
    same = SinglePixelFamily.around(exact, run.design, DIM)
    assert torch.equal(same.draw(rng).encoder.weight, same.centre.weight)


def test_a_white_frame_reads_the_same_by_all_draws(run: SinglePixelRun) -> None:
    """Patterns that are all on: what a white frame reads is what the scale was measured with."""
    uneven = replace(MOVED, illumination=np.linspace(0.7, 1.3, 256).reshape(16, 16), light_error=0.1)
    design = copy.copy(run.design)
    object.__setattr__(design, "levels", np.ones_like(run.design.levels))
    family = SinglePixelFamily.around(uneven, design, DIM)
    white = torch.ones(1, 1, 16, 16)
    rng = np.random.default_rng(1)
    readings = [float(one.gain * one.encoder.A(white)[0, 0]) for one in (family.draw(rng) for _ in range(20))]
    assert np.allclose(readings, float(family.centre.A(white)[0, 0]), rtol=0.0201)


def test_settings_spend_a_share_of_the_training(make_settings: Callable[..., Any]) -> None:
    quick = fine_tune_settings(make_settings(images=12_000, teacher_epochs=4, student_epochs=4), None, None, 0, "cpu")
    assert (quick.epochs, quick.images) == (1, 7680)
    long = fine_tune_settings(make_settings(images=1000, teacher_epochs=50, student_epochs=50), None, None, 0, "cpu")
    assert (long.epochs, long.images) == (8, 1000)
    assert fine_tune_settings(make_settings(batch=64), 2, 10, 0, "cpu").batch == 10
    slow = fine_tune_settings(
        make_settings("cassi", images=4000, teacher_epochs=4, student_epochs=4), None, None, 0, "cpu"
    )
    assert (slow.epochs, slow.images) == (1, 960)


def test_files_of_a_run_stay_as_they_are(run: SinglePixelRun, outcome: FineTuned) -> None:
    assert sorted(path.name for path in Path(run.path).iterdir()) == ["design.npz", "run.json", "student.safetensors"]
