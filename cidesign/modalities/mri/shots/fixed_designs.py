"""Shots that are not learnt: the baselines that learned ones have to beat."""

from collections.abc import Callable

from cidesign.errors import LimitError
from cidesign.modalities.mri.shots.shapes import Shape, Shots, arms, block, spokes
from cidesign.pattern import Design

SHAPES: dict[str, Callable[[Shots], Shape]] = {"radial": spokes, "spiral": arms, "centre block": block}


def fixed_designs(scan: Shots) -> dict[str, Design]:
    """Golden-angle radial, spiral, and the central Cartesian lines, of as many shots and samples; those that the
    scanner can play in the readout."""
    found: dict[str, Design] = {}
    for name, shape in SHAPES.items():
        # Two kinds of three may be too fast for a readout that the third one fills.
        try:
            found[name] = scan.design(shape(scan))
        except LimitError:
            continue
    return found
