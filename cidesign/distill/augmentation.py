"""How the images of a step are changed at random, so that a decoder sees no image twice as it is."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# Of a side: so far an image is shifted at most.
SHIFT = 1 / 16

Augmented = Callable[[Tensor, torch.Generator], Tensor]


def flipped_and_turned(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip left-right, flip up-down and, where they are square, transpose, each with probability 1/2 for each image."""
    choice = torch.rand(3, len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    images = torch.where(choice[0], images.flip(3), images)
    images = torch.where(choice[1], images.flip(2), images)
    return torch.where(choice[2], images.mT, images) if images.shape[2] == images.shape[3] else images


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by whole pixels, down or up and right or left, its border repeated: it still shows the same."""
    places = []
    for length in images.shape[2:]:
        most = round(SHIFT * length)
        by = torch.randint(-most, most + 1, (len(images), 1), generator=generator, device=images.device)
        places.append((torch.arange(length, device=images.device) + by).clamp(0, length - 1))
    numbers = torch.arange(len(images), device=images.device)[:, None, None, None]
    bands = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return images[numbers, bands, places[0][:, None, :, None], places[1][:, None, None, :]]


def unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images themselves."""
    return images


AUGMENTATIONS: Mapping[str, Augmented] = {
    "flips-and-turns": flipped_and_turned,
    "shifts": shifted,
    "none": unchanged,
}
