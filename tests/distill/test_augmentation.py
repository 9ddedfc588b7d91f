"""What is done to the images of a step, and what is not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cidesign.distill.augmentation import AUGMENTATIONS, shifted
from cidesign.distill.examples import Examples
from cidesign.distill.loop import batches_with_targets

Draws = Callable[[int], torch.Generator]


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shifts_are_whole_pixels_with_the_border_repeated() -> None:
    """Each image is one of the 5 x 5 shifts of itself, all of which occur; no pixel is interpolated or mirrored."""
    image = torch.arange(32 * 32, dtype=torch.float32).reshape(1, 32, 32)
    found = shifted(image.expand(400, 1, 32, 32), _draws(1))
    assert found.shape == (400, 1, 32, 32)
    rows, columns = found[:, 0] // 32, found[:, 0] % 32
    down, right = rows[:, 16, 16] - 16, columns[:, 16, 16] - 16
    seen = {(int(a), int(b)) for a, b in zip(down, right, strict=True)}
    assert seen == {(a, b) for a in range(-2, 3) for b in range(-2, 3)}
    at = torch.arange(32)
    wanted = (at + down[:, None]).clamp(0, 31)[:, :, None] * 32 + (at + right[:, None]).clamp(0, 31)[:, None, :]
    assert torch.equal(found[:, 0], wanted)


def test_all_bands_of_an_image_move_together() -> None:
    image = torch.rand(6, 1, 16, 20, generator=_draws(2)).expand(6, 3, 16, 20)
    found = shifted(image, _draws(3))
    assert torch.equal(found[:, 0], found[:, 2])
    assert not torch.equal(found, image)


def test_nothing_is_done_where_nothing_is_asked_for() -> None:
    image = torch.rand(6, 1, 8, 8)
    assert torch.equal(AUGMENTATIONS["none"](image, _draws(1)), image)


@pytest.mark.parametrize(("augmentation", "mirrored"), [("flips-and-turns", True), ("shifts", False), ("none", False)])
def test_images_of_a_step_and_their_classes(
    augmentation: str, mirrored: bool, make_settings: Callable[..., Any]
) -> None:
    """A ramp that falls to the right never rises where images are not mirrored; the class goes with its image."""
    ramps = (torch.arange(32).repeat(96, 1, 32, 1) + 64 * torch.arange(2).repeat(48)[:, None, None, None]).byte()
    examples = Examples(ramps, torch.arange(2).repeat(48))
    settings = make_settings(side=32, augmentation=augmentation)
    rises = []
    for x, labels in batches_with_targets(examples, settings, "teacher", 0, 12):
        rises.append((x[:, 0, 16, -1] > x[:, 0, 16, 0]).float().mean())
        assert torch.equal(labels, (255 * x.mean(dim=(1, 2, 3)) > 48).long())
    assert (min(rises) < 1) == mirrored


def test_images_are_their_own_targets(make_settings: Callable[..., Any]) -> None:
    examples = Examples(torch.randint(0, 255, (32, 1, 8, 8), dtype=torch.uint8))
    for x, targets in batches_with_targets(examples, make_settings(), "teacher", 0, 2):
        assert targets is x
