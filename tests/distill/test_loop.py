"""The loop's parts: phases, epochs, batches that can be taken up anywhere; and systems trained alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cidesign.data.source import load_images
from cidesign.distill import loop
from cidesign.distill.alone import train_alone
from cidesign.distill.loop import (
    StepReport,
    StoredImages,
    as_floats,
    batches,
    epochs_of,
    evaluation_batches,
    generator_for,
    make_optimiser,
    phases_of,
)
from cidesign.distill.systems import SystemMaker
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder

MakeSettings = Callable[..., Any]


@pytest.mark.parametrize(
    ("ladder", "epochs", "phases", "shares"),
    [
        (("real",), 5, ["teacher", "student"], [5, 3]),
        (("real@9", "real"), 5, ["teacher-1", "teacher-2", "student"], [2, 3, 3]),
        (("real@9", "4-bit", "2-bit"), 3, ["teacher-1", "teacher-2", "teacher-3", "student"], [1, 1, 1, 3]),
    ],
)
def test_teachers_share_their_epochs(
    ladder: tuple[str, ...], epochs: int, phases: list[str], shares: list[int], make_settings: MakeSettings
) -> None:
    settings = make_settings(ladder=ladder, teacher_epochs=epochs, student_epochs=3)
    assert phases_of(settings) == phases
    assert [epochs_of(settings, phase) for phase in phases] == shares


def test_bytes_and_half_precision_are_values() -> None:
    assert as_floats(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert as_floats(torch.tensor([-0.5, 2.0], dtype=torch.float16)).tolist() == [-0.5, 2.0]


def test_every_epoch_shows_every_image_once(make_settings: MakeSettings) -> None:
    settings = make_settings(batch=4)
    images = torch.arange(12.0)[:, None, None, None].expand(12, 1, 2, 2).half()
    seen = [x[:, 0, 0, 0].tolist() for x in batches(images, settings, "teacher", 0, 6)]
    assert all(sorted(image for batch in epoch for image in batch) == list(range(12)) for epoch in (seen[:3], seen[3:]))
    assert seen[:3] != seen[3:]
    other = [x[:, 0, 0, 0].tolist() for x in batches(images, settings, "student", 0, 6)]
    assert seen != other


@pytest.mark.parametrize("first", range(6))
def test_batches_can_be_taken_up_anywhere(first: int, make_settings: MakeSettings) -> None:
    settings = make_settings(batch=4)
    images = torch.rand(14, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    whole = list(batches(images, settings, "teacher", 0, 6))
    rest = list(batches(images, settings, "teacher", first, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole[first:], rest, strict=True))


def test_images_are_turned_with_all_their_channels(make_settings: MakeSettings) -> None:
    """Channel 1 is channel 0 plus one, in every orientation; all eight orientations occur."""
    corner = torch.zeros(64, 1, 3, 3)
    corner[:, 0, 0, 1], corner[:, 0, 0, 0] = 0.5, 0.25
    images = torch.cat([corner, corner + 1], dim=1)
    (x,) = batches(images, make_settings(batch=64), "teacher", 0, 1)
    torch.testing.assert_close(x[:, 1], x[:, 0] + 1)
    assert len({tuple(image.flatten().tolist()) for image in x[:, 0]}) == 8


def test_draws_depend_on_seed_purpose_phase_and_step(make_settings: MakeSettings) -> None:
    places = [
        (3, 0, "teacher", 0),
        (4, 0, "teacher", 0),
        (3, 1, "teacher", 0),
        (3, 0, "student", 0),
        (3, 0, "teacher", 1),
    ]
    drawn = [float(torch.rand(1, generator=generator_for(make_settings(seed=seed), *rest))) for seed, *rest in places]
    assert len(set(drawn)) == 5


def test_evaluation_sees_all_images_in_order() -> None:
    images = torch.arange(700, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 32, 32)
    optics = Dispersion((0.0, 1.0), "columns", 1)
    encoder = SdCassiEncoder(torch.rand(96, 96), (96, 96), None, optics, None, (32, 32))
    parts, places = [], []
    for part in evaluation_batches(images, encoder):
        parts.append(part)
        places.append(encoder.place)
    assert len(parts) == 2
    assert torch.equal(torch.cat(parts), images)
    assert places == [(0, 0, 32, 32), (32, 32, 32, 32)]
    assert encoder.place is None


def test_statistics_see_all_images_in_order_and_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PASS_VALUES", 3 * 4 * 16)
    stored = torch.randint(0, 256, (10, 4, 4, 4), dtype=torch.uint8)
    passes = StoredImages(stored)
    for _ in range(2):  # as often as one goes through them
        found = list(passes)
        assert [len(batch) for batch in found] == [3, 3, 3, 1]
        assert torch.equal(torch.cat(found), stored.float() / 255)
    monkeypatch.setattr(loop, "PASS_VALUES", 1)
    assert [len(batch) for batch in passes] == [1] * 10


@pytest.mark.parametrize("modality", ["single-pixel", "cassi", "mri"])
def test_systems_are_made_without_all_images_as_floats(
    modality: str, make_settings: MakeSettings, profile_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prior and start from batches of one image are those of all images at once, to rounding."""
    settings = make_settings(modality)
    stored = torch.from_numpy(load_images(settings, profile_of(modality)).train)
    monkeypatch.setattr(loop, "PASS_VALUES", 1)
    made = SystemMaker(settings, profile_of(modality), stored)
    wanted = made.optics.prior(as_floats(stored))
    torch.testing.assert_close(made.prior.mean, wanted.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(made.prior.variance, wanted.variance, rtol=1e-3, atol=1e-7)
    start = made.optics.start(None, as_floats(stored))
    torch.testing.assert_close(made.system("student").encoder.weight.detach(), start, rtol=0, atol=1e-4)


def test_optics_have_their_own_rate(make_settings: MakeSettings, profile_of: Callable[[str], Any]) -> None:
    settings = make_settings()
    maker = SystemMaker(settings, profile_of("single-pixel"), torch.zeros(4, 1, 8, 8, dtype=torch.uint8) + 9)
    system = maker.system("student")
    groups = make_optimiser(system, settings).param_groups
    assert [group["lr"] for group in groups] == [1e-2, 1e-3]
    assert groups[0]["params"] == [system.encoder.weight]
    assert sum(len(group["params"]) for group in groups) == len(list(system.parameters()))


@pytest.mark.parametrize("modality", ["single-pixel", "cassi", "mri"])
def test_trained_alone(modality: str, make_settings: MakeSettings, profile_of: Callable[[str], Any]) -> None:
    """End-to-end training moves the optics; a fixed design stays to the last bit, and its decoder learns."""
    settings, profile = make_settings(modality), profile_of(modality)
    train = torch.from_numpy(load_images(settings, profile).train)
    maker = SystemMaker(settings, profile, train)
    before = maker.system("student")
    seen: list[StepReport] = []
    alone = train_alone(maker, train, 1, None, seen.append)
    assert [report.step for report in seen] == [1, 2, 3, 4, 5, 6]
    assert not torch.equal(alone.encoder.weight, before.encoder.weight)
    assert not alone.training
    optics = maker.optics.encoder(None)
    with torch.no_grad():
        optics.weight.copy_(torch.rand(optics.weight.shape, generator=torch.Generator().manual_seed(1)))
    design = maker.optics.design(optics)
    fixed = train_alone(maker, train, 1, design)
    assert maker.optics.design(fixed.encoder).design_digest == design.design_digest
    moved = [
        not torch.equal(a, b) for a, b in zip(fixed.decoder.parameters(), before.decoder.parameters(), strict=True)
    ]
    assert any(moved)
    again = train_alone(maker, train, 1, None)
    assert torch.equal(again.encoder.weight, alone.encoder.weight)
