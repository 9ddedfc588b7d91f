"""A calibrated operator, and the others that its calibration does not exclude."""

from typing import NamedTuple, Protocol, cast

import numpy as np
from torch import Tensor

from cidesign.physics.base import Encoder
from cidesign.physics.places import Place

# The light of a bench differs from one capture to the next by this much, evenly spread to both sides.
GAIN_TOLERANCE = 0.02


class Drawn(NamedTuple):
    """One operator that may be the true one: y = encoder(gain x); `gain` is the light, 1 as calibrated."""

    encoder: Encoder
    gain: float


class OperatorFamily(Protocol):
    """What decoders are told (`centre`), and draws of what the bench may really do.

    `designed_scale`: what y is multiplied with for a decoder that is told the design in place of the centre.
    """

    @property
    def centre(self) -> Encoder:
        """The calibrated operator with the calibrated noise, not trained."""

    @property
    def designed_scale(self) -> float:
        """y of the design over y of the centre, for an evenly lit scene."""

    def draw(self, rng: np.random.Generator) -> Drawn:
        """An operator within the calibration's uncertainty; noise as calibrated."""

    def scene(self, x: Tensor) -> Tensor:
        """The part of images (B, C, H, W) that lies where the calibrated operator can see at all."""


class PartedFamily(OperatorFamily, Protocol):
    """A family of optics that are trained in places."""

    def at(self, place: Place) -> OperatorFamily:
        """The family of one place, in front of a scene that is dark beside it."""


def family_at(family: OperatorFamily, place: Place | None) -> OperatorFamily:
    """The family of one place; None: of all."""
    return family if place is None else cast(PartedFamily, family).at(place)


def gain_draw(rng: np.random.Generator) -> float:
    """A gain within the tolerance around 1."""
    return float(rng.uniform(1 - GAIN_TOLERANCE, 1 + GAIN_TOLERANCE))
