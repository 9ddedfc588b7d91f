"""Where the patterns lie on the scene, and what light they get, from the design's own sequence on two
calibration targets.

The white reference shows the illumination, the known card (an F) the orientation, turn and shift:

    y_flat = phi . W^T g / n,      y_card = a phi . W^T (g x_card) / n

with g a smooth polynomial.  Orientation and polarity are tried, turn, shift and the level a are found by least
squares with g solved for inside.  Every fifth pattern is held out of the fit: its misfit is the score.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from cidesign import progress
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.operator import Placement, SpcOperator, light_basis, of_polarity
from cidesign.calibration.single_pixel.target_readings import TargetReadings
from cidesign.errors import FileError
from cidesign.orientation import ORIENTATIONS, Orientation
from cidesign.pattern import Encoding, PatternStack

Vector = NDArray[np.float64]
HELD_OUT_EVERY, HELD_OUT_FIRST = 5, 2
# Of fewer patterns, less than three would be held out of the fit: too few to judge it by.
# The search is the longest part of a calibration, and is named so to whoever waits.
PLACE = "place of the patterns"
MIN_PATTERNS = 15
# Illuminations depart from an even one by about as much, in each coefficient.
LIGHT_PRIOR = 0.3
# What readings of a calibration target are left with at the least, of their variation, where noise is less.
LEAST_MISFIT = 0.01
# An illumination is taken for uneven where it varies by so many times its error (its coefficients are many), or where
# the readings depart from it by so many times their noise.
UNEVEN = 2.0
# Starts of the search for a large turn or shift, tried where the orientations alone do not explain the card.
COARSE_TURNS_DEG = tuple(range(-42, 43, 6))
COARSE_SHIFTS_PX = tuple(range(-4, 5, 2))
EXPLAINED = 0.1
# Where less than this part of the light of a frame arrives, no illumination can be told; nor does it matter there.
LEAST_SEEN = 0.05
CANDIDATES, COARSE_CANDIDATES = 4, 6


@dataclass(frozen=True)
class TargetFit:
    """The operator found, and how well it predicts what was held out of the fit.

    `relative_residual`: root mean square of the misfit over that of the signal's variation, for the held-out patterns
    on the known card (on the white reference where there is no card).  `margin`: by how much the misfit of the next
    best orientation exceeds that of the best; None without a known card.  `card_level`: light of the card's capture
    over that of the white reference.
    """

    operator: SpcOperator
    relative_residual: float
    margin: float | None
    card_level: float
    held_out: "HeldOut"


@dataclass(frozen=True)
class HeldOut:
    """What held-out patterns read on a calibration target, (M,), and what the operator predicts for them.

    `noise` (M,): standard deviation of each reading.
    """

    measured: Vector
    predicted: Vector
    noise: Vector

    @property
    def relative_residual(self) -> float:
        """sqrt(|measured - predicted|^2 - what noise can be) / |measured - mean(measured)|, 0 where noise explains all.

        What noise can be: its expected square and two standard deviations of it.
        """
        misfit = float(np.sum((self.measured - self.predicted) ** 2))
        noise = float(np.sum(self.noise**2)) * (1 + 2 * (2 / self.measured.size) ** 0.5)
        variation = float(np.sum((self.measured - self.measured.mean()) ** 2))
        return float((max(misfit - noise, 0.0) / max(variation, 1e-30)) ** 0.5)


def fit_targets(
    design: PatternStack, flat: Measurements | None, card: Measurements | None, picture: NDArray[np.float64] | None
) -> TargetFit:
    """Fit the operator to the measurements of the calibration targets, both taken with the design as it is.

    Raises `FileError` without any target, for fewer than 15 patterns, and for a picture of another size or without
    contrast.
    """
    targets = _gather(design, flat, card, picture)
    held = np.arange(targets.kept.size) % HELD_OUT_EVERY == HELD_OUT_FIRST
    fitted, tested = targets.part(~held), targets.part(held)
    if targets.card is None or targets.picture is None:
        operator = _operator(targets, Placement(), 1, np.array([0.0, 0.0, 0.0, 1.0]), None)
        held_out = _held_out(operator, tested)
        return TargetFit(operator, held_out.relative_residual, None, 1.0, held_out)
    some = fitted.some()
    likely = _ranked(some)[:CANDIDATES]
    straight = [(orientation, sign, (0.0, 0.0, 0.0)) for orientation, sign in likely]
    tried = sorted((_refined(some, *start) for start in progress.steps(PLACE, straight)), key=_cost)
    best = tried[0]
    if _relative(best, some) > EXPLAINED:
        starts = _coarse(some, likely)
        others = [_refined(some, *start) for start in progress.steps(PLACE, starts)]
        tried = sorted([*tried, *others], key=_cost)
        best = tried[0]
    margin = min(_relative(one, some) for one in tried if one[0] != best[0]) - _relative(best, some)
    if some is not fitted:
        best = _refined(fitted, best[0], best[1], (*best[2][:3].tolist(),), float(best[2][3]))
    orientation, sign, values, jacobian, _ = best
    operator = _operator(fitted, Placement(orientation=orientation), sign, values, jacobian)
    held_out = _held_out(operator, tested)
    return TargetFit(operator, held_out.relative_residual, float(margin), float(values[3]), held_out)


_Fit = tuple[Orientation, int, Vector, NDArray[np.float64], float]


def _cost(fit: _Fit) -> float:
    return fit[4]


def _gather(
    design: PatternStack, flat: Measurements | None, card: Measurements | None, picture: NDArray[np.float64] | None
) -> TargetReadings:
    if flat is None and card is None:
        raise FileError(
            "calibration targets: neither `flat` nor `card` was captured; nothing to fit the patterns' place to"
        )
    if card is not None:
        require_picture(picture, design.side)
    both = [one for one in (flat, card) if one is not None]
    kept = both[0].kept if len(both) == 1 else np.intersect1d(both[0].kept, both[1].kept)
    if len(kept) < MIN_PATTERNS:
        raise FileError(
            f"calibration targets: {len(kept)} patterns can be used; at least {MIN_PATTERNS} are needed to fit their "
            "place"
        )

    def values(one: Measurements | None) -> Vector | None:
        return None if one is None else one.y[np.searchsorted(one.kept, kept)]

    return TargetReadings(
        design,
        kept.astype(np.int64),
        values(flat),
        flat.light_level.value if flat is not None else 0.0,
        values(card),
        card.light_level.value if card is not None else 0.0,
        picture,
        noise_of(both[-1])[np.searchsorted(both[-1].kept, kept)],
    )


def noise_of(measured: Measurements) -> Vector:
    """Standard deviation of each y (K,)."""
    return np.asarray(np.sqrt(measured.own_variance + measured.shared_variance), dtype=np.float64)


def require_picture(picture: NDArray[np.float64] | None, side: int) -> None:
    """Raise `FileError` for the picture of a card of another size than the patterns, or without contrast."""
    if picture is None or picture.shape != (side, side):
        shape = None if picture is None else picture.shape
        raise FileError(f"card_picture: shape {shape} is not the patterns' {side} x {side}")
    if picture.min() < 0 or np.ptp(picture) < 0.2:
        raise FileError(
            f"card_picture: reflectances from {picture.min():.3g} to {picture.max():.3g}; a card of at least 0.2 "
            "between dark and bright is needed, none below 0"
        )


def _ranked(targets: TargetReadings) -> list[tuple[Orientation, int]]:
    """Orientations, each with its likelier polarity, best first, by what of the card differs between them.

    What all orientations of the card have in common is taken off: it says nothing, and is most of the readings.
    """
    if targets.card is None or targets.picture is None:
        raise FileError("calibration targets: no known card was captured")
    common = np.mean([orientation.apply(targets.picture) for orientation in ORIENTATIONS], axis=0)
    rest = {sign: targets.card - targets.read(sign, Placement(), common[None])[:, 0] for sign in (1, -1)}
    found = []
    for orientation in ORIENTATIONS:
        both = []
        for sign in (1, -1):
            placed = Placement(orientation=orientation)
            expected = targets.read(sign, placed, (targets.picture - common)[None])[:, 0]
            both.append((float(np.corrcoef(expected, rest[sign])[0, 1]), sign))
        found.append((*max(both), orientation))
    return [(orientation, sign) for _, sign, orientation in sorted(found, key=lambda one: -one[0])]


def _project(signed: NDArray[np.float64], placement: Placement, images: NDArray[np.float64]) -> NDArray[np.float64]:
    """phi . W^T f / n for images (M, n, n): (K, M)."""
    count, side, _ = signed.shape
    gathered = placement.gathered(images).reshape(len(images), -1)
    projected: NDArray[np.float64] = signed.reshape(count, -1) @ gathered.T / side
    return projected


def _system(
    targets: TargetReadings, orientation: Orientation, sign: int, values: Vector
) -> tuple[NDArray[np.float64], Vector]:
    """Rows of the linear problem for the illumination's coefficients, each target in units of its own variation."""
    placement, level = placement_of(values, orientation), float(values[3])
    side = targets.side
    basis = light_basis(side)
    rows, wanted = [], []
    field = placement.seen(np.ones((1, side, side)))[0]
    for y, light, picture, gain in (
        (targets.flat, targets.flat_level, np.ones((side, side)), 1.0),
        (targets.card, targets.card_level, targets.picture, level),
    ):
        if y is None or picture is None:
            continue
        scale = _scale(y)
        rows.append(gain * targets.read(sign, placement, basis * picture) / scale)
        wanted.append(y / scale)
        total = np.sum(basis * picture * field, axis=(1, 2)) / side
        rows.append(gain * total[None] * targets.level_weight / scale)
        wanted.append(np.array([light * side * targets.level_weight / scale]))
    # What noise alone would ask for stays small: in little light an even one is the likelier.
    prior = np.full(len(basis), max(LEAST_MISFIT, _noise_part(targets)) / LIGHT_PRIOR)
    prior[0] = 0.0
    rows.append(np.diag(prior))
    wanted.append(np.zeros(len(basis)))
    return np.concatenate(rows), np.concatenate(wanted)


def _scale(y: Vector) -> float:
    """What the readings of a target are measured in: their variation together."""
    return max(float(np.std(y)), 1e-12) * float(y.size**0.5)


def _noise_part(targets: TargetReadings) -> float:
    """Noise of a reading in that unit, of the target where it is larger."""
    noise = float(np.mean(targets.noise**2) ** 0.5)
    return max(noise / _scale(y) for y in (targets.flat, targets.card) if y is not None)


def _rest(targets: TargetReadings, orientation: Orientation, sign: int, values: Vector) -> Vector:
    matrix, wanted = _system(targets, orientation, sign, values)
    rest: Vector = matrix @ np.linalg.lstsq(matrix, wanted, rcond=None)[0] - wanted
    return rest


def _refined(
    targets: TargetReadings, orientation: Orientation, sign: int, start: tuple[float, ...], level: float = 1.0
) -> _Fit:
    """Least squares over turn, shift and level from one start; without a white reference the level is 1."""
    free = 4 if targets.flat is not None else 3

    def rest(values: Vector) -> Vector:
        return _rest(targets, orientation, sign, np.append(values, [1.0] * (4 - free)))

    guess = np.array([*start, level])[:free]
    solution = least_squares(rest, guess, x_scale=np.array([1.0, 0.5, 0.5, 0.1])[:free], diff_step=1e-3, max_nfev=30)
    values = np.append(solution.x, [1.0] * (4 - free))
    return orientation, sign, values, solution.jac, float(2 * solution.cost)


def _relative(fit: _Fit, targets: TargetReadings) -> float:
    """Misfit of the targets, of their variation."""
    count = (targets.flat is not None) + (targets.card is not None)
    return float((fit[4] / count) ** 0.5)


def _coarse(
    targets: TargetReadings, orientations: list[tuple[Orientation, int]]
) -> list[tuple[Orientation, int, tuple[float, float, float]]]:
    """The most promising turns and shifts of an evenly lit card."""
    if targets.card is None or targets.picture is None:
        return []
    side = targets.side
    shifts = [shift for shift in COARSE_SHIFTS_PX if abs(shift) < side / 4]
    found = []
    for (orientation, sign), turn in product(orientations, COARSE_TURNS_DEG):
        for down, right in product(shifts, shifts):
            placement = Placement(turn, down, right, orientation)
            expected = targets.read(sign, placement, targets.picture[None])[:, 0]
            correlation = float(np.corrcoef(expected, targets.card)[0, 1])
            found.append((correlation, orientation, sign, (float(turn), float(down), float(right))))
    best = sorted(found, key=lambda one: -one[0])[:COARSE_CANDIDATES]
    return [(orientation, sign, start) for _, orientation, sign, start in best]


def _operator(
    targets: TargetReadings, placement: Placement, sign: int, values: Vector, jacobian: NDArray[np.float64] | None
) -> SpcOperator:
    matrix, wanted = _system(targets, placement.orientation, sign, values)
    coefficients = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    side = targets.side
    basis = light_basis(side)
    light: NDArray[np.float64] = np.tensordot(coefficients, basis, axes=1)
    seen = placement_of(values, placement.orientation).seen(np.ones((1, side, side)))[0] > LEAST_SEEN
    light = np.where(seen, light, light[seen].mean())
    rest = matrix @ coefficients - wanted
    variance = float(np.sum(rest**2)) / max(rest.size - len(coefficients) - 4, 1)
    spread = variance * np.linalg.inv(matrix.T @ matrix)
    error = float(np.mean(np.einsum("mij,mn,nij->ij", basis, spread, basis))) ** 0.5
    by_noise = variance**0.5 < UNEVEN * _noise_part(targets)
    if by_noise and light.std() < UNEVEN * error:  # it would predict worse than an even one
        light = np.full_like(light, max(float(light.mean()), error))
    if light.min() <= 0:
        raise FileError(
            "calibration targets: no illumination explains the readings, the best one falls to "
            f"{light.min() / light.mean():.3g} of its mean; was the white reference smaller than the field, another "
            "sequence or another card than card_picture shown, the field shifted by more than an eighth of its side, "
            "or did the lamp change unseen (offset encoding)?"
        )
    light_error = error / float(light.mean())
    turn_error = shift_error = 0.0
    if jacobian is not None:
        errors = np.sqrt(variance * np.diag(np.linalg.pinv(jacobian.T @ jacobian)))
        turn_error, shift_error = float(errors[0]), float(np.hypot(errors[1], errors[2]) / 2**0.5)
    placed = placement_of(values, placement.orientation)
    fitted = jacobian is not None
    return SpcOperator(placed, sign, light / light.mean(), turn_error, shift_error, light_error, fitted)


def placement_of(values: Vector, orientation: Orientation) -> Placement:
    """The placement of fitted values (turn, down, right, level)."""
    return Placement(float(values[0]), float(values[1]), float(values[2]), orientation)


def predicted(
    operator: SpcOperator, signed: NDArray[np.float64], encoding: Encoding, picture: NDArray[np.float64]
) -> Vector:
    """What the patterns (K, n, n) of the design read on a card, up to a factor, (K,)."""
    images = (operator.illumination * picture)[None]
    return _project(of_polarity(signed, operator.polarity, encoding), operator.placement, images)[:, 0]


def compared(
    operator: SpcOperator,
    signed: NDArray[np.float64],
    encoding: Encoding,
    y: Vector,
    picture: NDArray[np.float64],
    noise: Vector,
) -> HeldOut:
    """Readings y (K,) of a card beside what the operator predicts for them, with the best common factor >= 0."""
    expected = predicted(operator, signed, encoding, picture)
    factor = max(float(y @ expected) / max(float(expected @ expected), 1e-30), 0.0)
    return HeldOut(y, factor * expected, noise)


def _held_out(operator: SpcOperator, targets: TargetReadings) -> HeldOut:
    design = targets.design
    signed = design.level_weights.astype(np.float64)[design.levels[targets.kept]]
    if targets.card is not None and targets.picture is not None:
        return compared(operator, signed, design.encoding, targets.card, targets.picture, targets.noise)
    side = targets.side
    flat = targets.flat if targets.flat is not None else np.zeros(targets.kept.size)
    return compared(operator, signed, design.encoding, flat, np.ones((side, side)), targets.noise)
