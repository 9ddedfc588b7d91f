"""Adapting the decoder to the user's own captures, without any truth: what some readings show must predict the others.

The loss is measurement splitting (Yaman et al., Magn. Reson. Med. 84, 3172, 2020): in each step some readings are
hidden, the decoder makes an image of the rest, and the hidden ones are compared with what that image predicts.  It
trusts the operator, so it must not be used with one that did not pass its verification.

With one operator and one scene, readings that are predicted better are no proof of a better image: on simulated scenes
with 102 learnt patterns the image lost more often than it won.  So the caller has to see to it that a decoder which was
adapted is not worse on other images.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.decoder import Decoder
from cidesign.physics.noise import DetectorNoise

# Readings that are never trained on: as many say when to stop as then say, unused until then, whether it helped.
HELD_BACK_SHARE = 0.2
# Of the others, so many are hidden in each step.
HIDDEN_SHARE = 0.2
# Fewer readings cannot be split twice.
LEAST_READINGS = 20
STEPS, STEPS_PER_LOOK, PATIENCE = 200, 10, 5
# Of 3e-6 to 1e-3 none made images of simulated scenes better on average; from 3e-5 on they became much worse.
LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class Scene:
    """Readings of one scene: patterns (K, n, n) as calibrated, y (K,), their standard deviations (K,), the noise."""

    signed: Tensor
    y: Tensor
    deviation: Tensor
    noise: DetectorNoise

    def image(self, decoder: Decoder, readings: Tensor) -> Tensor:
        """The image (1, 1, n, n) that the decoder makes of the readings numbered (k,)."""
        encoder = SinglePixelEncoder.fixed(self.signed[readings], self.noise)
        image: Tensor = decoder(self.y[readings][None], encoder).image
        return image

    def misfit(self, image: Tensor, readings: Tensor) -> Tensor:
        """Mean squared difference of an image's readings from the measured ones, in units of their noise."""
        predicted = SinglePixelEncoder.fixed(self.signed[readings]).A(image)[0]
        return ((predicted - self.y[readings]) / self.deviation[readings]).square().mean()


@dataclass(frozen=True)
class Adapted:
    """The decoder after the step that predicts one half of the held-back readings best.

    `residual_before` and `residual_after`: mean squared misfit of the other half in units of the noise; `improved`: it
    fell.  Where it did not, `decoder` is the given one and both are equal.
    """

    decoder: Decoder
    improved: bool
    steps: int
    held_back: int
    residual_before: float
    residual_after: float


def adapt(
    decoder: Decoder, scene: Scene, seed: int, on_look: Callable[[int, float], None] = lambda step, residual: None
) -> Adapted:
    """Adapt a copy of a decoder to one scene; stops when held-back readings are no longer predicted better.

    Raises `ValueError` for fewer than 20 readings.
    """
    count = len(scene.y)
    if count < LEAST_READINGS:
        raise ValueError(f"{count} readings cannot be split; at least {LEAST_READINGS} are needed")
    rng = np.random.default_rng([seed, 20])
    half = round(HELD_BACK_SHARE * count / 2)
    order = torch.from_numpy(rng.permutation(count))
    stopping, judging, used = (part.sort().values for part in (order[:half], order[half : 2 * half], order[2 * half :]))

    def residual(candidate: Decoder, readings: Tensor) -> float:
        with torch.no_grad():
            return float(scene.misfit(scene.image(candidate, used), readings))

    best, least, best_step = decoder, residual(decoder, stopping), 0
    for step, candidate in _training(decoder, scene, used, rng):
        found = residual(candidate, stopping)
        on_look(step, found)
        if found < least:
            best, least, best_step = copy.deepcopy(candidate), found, step
        elif step - best_step >= PATIENCE * STEPS_PER_LOOK:
            break
    best = best.eval().requires_grad_(False)
    before, after = residual(decoder, judging), residual(best, judging)
    if after >= before:
        return Adapted(decoder, False, 0, 2 * half, before, before)
    return Adapted(best, True, best_step, 2 * half, before, after)


def _training(decoder: Decoder, scene: Scene, used: Tensor, rng: np.random.Generator) -> Iterator[tuple[int, Decoder]]:
    """The copy in training, every few steps."""
    tuned = copy.deepcopy(decoder).requires_grad_(True)
    optimiser = torch.optim.Adam(tuned.parameters(), lr=LEARNING_RATE)
    hidden_count = max(1, round(HIDDEN_SHARE * len(used)))
    first_loss = 0.0
    for step in range(1, STEPS + 1):
        order = torch.from_numpy(rng.permutation(len(used)))
        hidden, shown = used[order[:hidden_count]], used[order[hidden_count:].sort().values]
        loss = scene.misfit(scene.image(tuned, shown), hidden)
        first_loss = first_loss or float(loss.detach())
        optimiser.zero_grad()
        (loss / first_loss).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % STEPS_PER_LOOK == 0:
            yield step, tuned
