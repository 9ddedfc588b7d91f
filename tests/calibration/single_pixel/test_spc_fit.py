"""The fit of the patterns' place and light to calibration targets, from measurements without noise."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.fit import MIN_PATTERNS, compared, fit_targets, predicted
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.operator import Placement, SpcOperator, light_basis
from cidesign.calibration.single_pixel.targets import f_card
from cidesign.errors import FileError
from cidesign.orientation import ORIENTATIONS, Orientation
from cidesign.pattern import PatternStack

WHITE, CARD = np.ones((16, 16)), f_card(16)


def _measured(
    design: PatternStack, place: Placement, sign: int, light: NDArray[np.float64], card: NDArray[np.float64]
) -> Measurements:
    """y = sign sum((W phi) g x) / n, and the light of all mirrors on."""
    seen = sign * place.seen(design.signed().astype(np.float64)) * light
    field = place.seen(np.ones((1, 16, 16)))[0] * light
    y = (seen * card).sum(axis=(1, 2)) / 16
    return Measurements(
        y=y, own_variance=np.full(len(y), 1e-8), shared_variance=0.0, signed=design.signed(), kept=np.arange(len(y)),
        light_level=Estimate(float((field * card).mean()), 1e-4), light_weights=np.ones((16, 16)), repeats=1,
        lamp=None, scatter_ratio=None, notes=(),
    )  # fmt: skip


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_orientation_polarity_and_place(card_design: PatternStack, orientation: Orientation, sign: int) -> None:
    place = Placement(1.5, -0.6, 0.8, orientation)
    light = 1 + 0.2 * light_basis(16)[1] - 0.1 * light_basis(16)[4]
    flat, card = (_measured(card_design, place, sign, light, target) for target in (WHITE, CARD))
    fit = fit_targets(card_design, flat, card, CARD)
    found = fit.operator
    assert (found.placement.orientation, found.polarity) == (orientation, sign)
    assert found.placement.rotation_deg == pytest.approx(1.5, abs=0.05)
    assert found.placement.down_px == pytest.approx(-0.6, abs=0.01)
    assert found.placement.right_px == pytest.approx(0.8, abs=0.01)
    lit = place.seen(np.ones((1, 16, 16)))[0] > 0.5
    assert found.illumination[lit] == pytest.approx((light / light.mean())[lit], abs=0.03)
    assert fit.card_level == pytest.approx(1, abs=0.01)
    assert fit.relative_residual < 0.01
    assert fit.margin is not None
    assert fit.margin > 0.1


def test_the_lamp_between_the_targets(card_design: PatternStack) -> None:
    place, light = Placement(0.0, 0.0, 0.5), np.ones((16, 16))
    flat = _measured(card_design, place, 1, light, WHITE)
    card = _measured(card_design, place, 1, 0.9 * light, CARD)
    fit = fit_targets(card_design, flat, card, CARD)
    assert fit.card_level == pytest.approx(0.9, abs=0.005)
    assert fit.operator.placement.right_px == pytest.approx(0.5, abs=0.01)


def test_held_out_patterns_are_no_part_of_the_fit(card_design: PatternStack) -> None:
    """Spoiling them leaves the operator as it was, and raises the score."""
    flat, card = (_measured(card_design, Placement(), 1, WHITE, target) for target in (WHITE, CARD))
    good = fit_targets(card_design, flat, card, CARD)
    spoilt = card.y.copy()
    spoilt[2::5] = np.random.default_rng(0).normal(0, spoilt.std(), len(spoilt[2::5]))
    bad = fit_targets(card_design, flat, Measurements(**{**vars(card), "y": spoilt}), CARD)
    assert bad.operator.placement == good.operator.placement
    assert np.array_equal(bad.operator.illumination, good.operator.illumination)
    assert good.relative_residual < 0.01
    assert bad.relative_residual > 0.5


def test_the_comparison_by_hand(card_design: PatternStack) -> None:
    signed = card_design.signed().astype(np.float64)
    operator = SpcOperator.as_designed(16)
    truth = (signed * CARD).sum(axis=(1, 2)) / 16
    assert predicted(operator, signed, "complementary", CARD) == pytest.approx(truth)
    assert (
        compared(operator, signed, "complementary", 3 * truth, CARD, np.zeros(80)).relative_residual < 1e-12
    )  # a common factor is no error
    assert (
        compared(operator, signed, "complementary", -truth, CARD, np.zeros(80)).relative_residual >= 1
    )  # an exchanged polarity is
    # Noise that the readings are known to have is no misfit.
    noisy = truth + np.random.default_rng(2).normal(0, 0.1, 80)
    assert compared(operator, signed, "complementary", noisy, CARD, np.full(80, 0.1)).relative_residual == 0
    assert compared(operator, signed, "complementary", noisy, CARD, np.full(80, 0.02)).relative_residual > 0
    knows_nothing = compared(
        operator, signed, "complementary", np.random.default_rng(1).normal(size=80), CARD, np.zeros(80)
    )
    assert knows_nothing.relative_residual > 0.9


def test_what_cannot_be_fitted(card_design: PatternStack, make_design: Callable[..., PatternStack]) -> None:
    with pytest.raises(FileError, match="neither `flat` nor `card` was captured"):
        fit_targets(card_design, None, None, None)
    flat, card = (_measured(card_design, Placement(), 1, WHITE, target) for target in (WHITE, CARD))
    with pytest.raises(FileError, match="card_picture: shape None"):
        fit_targets(card_design, flat, card, None)
    few = make_design(16, MIN_PATTERNS - 1)
    with pytest.raises(FileError, match="14 patterns can be used; at least 15 are needed"):
        fit_targets(few, None, _measured(few, Placement(), 1, WHITE, CARD), CARD)
    dark_side = 1 + 1.5 * light_basis(16)[1]
    with pytest.raises(FileError, match="was the white reference smaller than the field"):
        fit_targets(card_design, _measured(card_design, Placement(), 1, dark_side, WHITE), None, None)
