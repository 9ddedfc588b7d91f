"""What a capture of any scene says of an instrument's mask: its orientation, and how far apart the bands lie.

The fine structure of an image, relative to its local contrast, is compared in tiles with that of the mask as the bands
show it, mixed by few functions of the wavelength.  The mask that was in the instrument explains many times the part
that chance does, wherever the scene has light: on five real scenes of 660 x 714 pixels 0.045 to 0.14, the mask turned
over otherwise at most 0.007, a step that is 20 % wrong at most 0.7 of the right one.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import nnls

from cidesign.calibration.cassi.calibrate import NOTHING_HELD, SCORE_MEANING
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.detector import saturation_checks
from cidesign.calibration.cassi.instrument.described import Instrument
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.place.orient import Mounting
from cidesign.calibration.cassi.scene import FREE, Stand, hats, moved, stand_of
from cidesign.calibration.cassi.verify import check_white
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.orientation import ORIENTATIONS, Orientation
from cidesign.pattern import ApertureMask

# Not the name of the check of a calibrated bench, which may stand for a white target: this one may not.
NAME, LIGHT = "mask in the capture", "light of the bands"
# Less alike than this, in their fine structure, two masks are not one.
LEAST_ALIKE = 0.05
FUNCTIONS = 4
LOCAL_PX, CONTRAST_PX = 1.5, 8.0
TILE_PX, LEAST_TILE_PX = 66, 16
# What a mask must explain at least, as a part and over what as many functions explain by chance.
LEAST_EXPLAINED, OVER_CHANCE = 0.015, 4.0
# How many times as much a mask explains as it does turned over, and a dispersion as another.
TURNED_RATIO, STEP_RATIO, SHIFT_RATIO = 3.0, 1.3, 1.5
STEPS_PERCENT = (-32.0, -25.0, -20.0, -16.7, -11.0, 11.0, 16.7, 20.0, 25.0, 32.0)
# The end of the spectrum, or its middle, that is in its place when the step is wrong.
PIVOTS = (0.0, 0.5, 1.0)
SHIFTS_PX = (-4, -3, -2, -1, 1, 2, 3, 4)
UNSEEN = "a mask that is mirrored or turned, or a wrong step, would go unseen"


@dataclass(frozen=True)
class _Capture:
    """The fine structure of an image over its local contrast in tiles."""

    y: NDArray[np.float64]
    valid: NDArray[np.bool_]

    @cached_property
    def structure(self) -> NDArray[np.float32]:
        fine = _fine(np.where(self.valid, self.y, 0.0).astype(np.float32))
        contrast = np.sqrt(gaussian_filter(fine * fine, CONTRAST_PX))
        floor = 1e-3 * float(np.abs(fine).max())
        return np.asarray(np.where(self.valid, fine / (contrast + max(floor, 1e-30)), 0.0), dtype=np.float32)

    @cached_property
    def tile_px(self) -> int:
        quarter = int(min(self.y.shape)) // 4
        return max(LEAST_TILE_PX, min(TILE_PX, quarter))

    def explained(self, operator: CassiOperator, functions: int = FUNCTIONS) -> tuple[float, float]:
        """The part that a mask explains, and the part that its inverse does."""
        bands = operator.band_images()
        mixed = np.tensordot(hats(len(bands), min(functions, len(bands))), bands, 1).astype(np.float32)
        columns = np.stack([_fine(image) for image in mixed]) * self.valid
        parts, energy = [0.0, 0.0], 1e-30
        for rows, cols in self._tiles():
            basis = columns[:, rows, cols].reshape(len(columns), -1).astype(np.float64)
            z = self.structure[rows, cols].ravel().astype(np.float64)
            energy += float(z @ z)
            normal = basis @ basis.T
            normal[np.diag_indices(len(normal))] += 1e-3 * np.trace(normal) / len(normal) + 1e-12
            lower = np.linalg.cholesky(normal)
            projected = np.linalg.solve(lower, basis @ z)
            for number, sign in enumerate((1.0, -1.0)):
                weights, _ = nnls(lower.T, sign * projected)
                left = sign * projected - lower.T @ weights
                parts[number] += float(projected @ projected - left @ left)
        return parts[0] / energy, parts[1] / energy

    def _tiles(self) -> list[tuple[slice, slice]]:
        height, width = self.y.shape
        step = self.tile_px
        return [
            (slice(row, row + step), slice(column, column + step))
            for row in range(0, max(height - step, 0) + 1, step)
            for column in range(0, max(width - step, 0) + 1, step)
        ]

    @property
    def least(self) -> float:
        """With less than this, a mask is not seen."""
        return max(LEAST_EXPLAINED, OVER_CHANCE * FUNCTIONS / self.tile_px**2)


def described_verification(instrument: Instrument, calibration: CassiCalibration) -> Verification:
    """What is known of a calibration that was made from a description of the instrument, and its capture, if any.

    Without an even white target in the capture it is never more than *not verified*.
    """
    capture, checks = instrument.capture, []
    if instrument.told.file.mask is not None:
        checks.append(_file_check(calibration.operator.masks.mean(axis=0), instrument.told.design))
    if capture is not None:
        checks += saturation_checks(capture, ("white", "scene"))
    found = seen_checks(calibration, capture)
    meaning = NOTHING_HELD if found.score is None else SCORE_MEANING
    return Verification(score=found.score, score_meaning=meaning, checks=[*checks, *found.checks])


class SeenChecks(NamedTuple):
    """What a capture says of a described instrument; `score`: what its white target leaves as relative residual."""

    checks: list[Check]
    score: float | None


def seen_checks(calibration: CassiCalibration, capture: CassiCapture | None) -> SeenChecks:
    """Hold a description against the white target of a capture, or else against the mask in its scene."""
    if capture is not None and capture.white is not None:
        white = check_white(calibration, capture.white)
        return SeenChecks(white.checks, white.relative_residual if np.isfinite(white.relative_residual) else None)
    light = Check(
        name=LIGHT,
        status="not checked",
        text="mask, dispersion and light of the bands are described, and no capture of a white target tells the light",
    )
    if capture is None or "scene" not in capture.arrays:
        seen = Check(name=NAME, status="not checked", text=f"no capture of a scene was given; {UNSEEN}")
    else:
        seen = mask_check(calibration, capture.scene)
    return SeenChecks([light, seen], None)


def _file_check(mask: NDArray[np.float32], design: ApertureMask) -> Check:
    """Whether the mask of a file is that of the design, and how it stands against it; the file's is used."""
    fine = _fine(mask.astype(np.float32))
    found = {}
    for one in ORIENTATIONS:
        drawn = one.apply(design.levels.astype(np.float32))
        if drawn.shape == fine.shape:
            found[one] = float(np.corrcoef(fine.ravel(), _fine(drawn).ravel())[0, 1])
    best = max(found, key=lambda one: abs(found[one]))
    mounting = Mounting(best, inverted=found[best] < 0)
    value, least = abs(found[best]), max(LEAST_ALIKE, 6 / fine.size**0.5)
    text = f"it correlates {value:.2f} with the design's"
    of_design = {"name": "mask of the file", "value": value, "limit": least, "unit": "correlation"}
    if not value > least:
        wrong = f"{text}: another mask; name the design of this one"
        return Check.model_validate({**of_design, "status": "failed", "text": wrong})
    if mounting.as_drawn:
        return Check.model_validate({**of_design, "status": "passed", "text": text})
    stands = f"{text}, {mounting.text} against it; the mask is taken as the file has it"
    return Check.model_validate({**of_design, "status": "corrected", "text": stands, "fault": mounting.fault})


def mask_check(calibration: CassiCalibration, frames: NDArray[np.float64]) -> Check:
    """Whether a capture shows the mask as the instrument file has it: `failed` with the fault that it resembles where
    the mask turned over, inverted or shifted, or another step, explains the capture far better; `not checked` where
    the scene does not tell."""
    y, _, valid = calibration.measurements(frames)
    capture = _Capture(y, valid)
    operator = calibration.operator
    explained = {mounting: part for one in _turned(operator) for mounting, part in _scored(capture, *one)}
    told = explained.pop(Mounting())
    others = [stand_of(mounting, part) for mounting, part in explained.items()]
    over = max(stand.explained for stand in others)
    best = max([*others, *_shifts(capture, operator)], key=lambda stand: stand.explained)
    if best.explained >= max(capture.least, (SHIFT_RATIO if best.fault == "shift" else TURNED_RATIO) * told):
        return _failed(told, best, "put it right in the instrument file")
    seen = max(capture.least, TURNED_RATIO * over)
    step = _best_step(capture, operator)
    if step.explained >= max(seen, STEP_RATIO * told, STEP_RATIO * capture.explained(operator, FREE)[0]):
        return _failed(told, step, "measure the dispersion")
    text = f"it explains {told:.3f} of the capture's fine structure, turned over at most {over:.3f}; "
    if told < seen:
        text = f"the scene's own detail hides the mask: {text}{UNSEEN}"
        return Check(name=NAME, status="not checked", text=text, value=told)
    return Check(
        name=NAME,
        status="passed",
        text=f"{text}which end of the spectrum is which does not show",
        value=told,
        limit=capture.least,
        unit="of the fine structure",
    )


def _shifts(capture: _Capture, operator: CassiOperator) -> list[Stand]:
    """The mask shifted across the dispersion by whole pixels; along it, another spectrum does the same."""
    axis = _axis(operator)
    where = ("further up", "further down") if axis == 1 else ("further left", "further right")
    across = np.eye(2)[1 - axis]
    return [
        Stand(
            "shift",
            f"the mask {abs(px)} px {where[px > 0]}",
            px,
            capture.explained(moved(operator, px * across))[0],
        )
        for px in SHIFTS_PX
    ]


def _best_step(capture: _Capture, operator: CassiOperator) -> Stand:
    """Another dispersion that explains the capture best."""
    tried = [(percent, pivot) for percent in STEPS_PERCENT for pivot in PIVOTS]
    explained = {one: capture.explained(_stretched(operator, *one))[0] for one in tried}
    best = max(explained, key=lambda one: explained[one])
    places = operator.to_code[:, :, 2]
    step = float(np.ptp(places[:, _axis(operator)])) / (len(places) - 1)
    text = f"a step of about {step * (1 + best[0] / 100):.3g} px from band to band, in place of {step:.3g} px,"
    return Stand("wrong-step", text, best[0], explained[best])


def _axis(operator: CassiOperator) -> int:
    places = operator.to_code[:, :, 2]
    return int(np.abs(places[-1] - places[0]).argmax())


def _failed(told: float, found: Stand, remedy: str) -> Check:
    text = f"it explains {told:.3f} of the capture's fine structure; {found.text} would explain {found.explained:.3f}"
    return Check(
        name=NAME, status="failed", text=f"{text}: {remedy}", value=told, limit=found.explained,
        unit="of the fine structure", fault=found.fault,
    )  # fmt: skip


def _scored(capture: _Capture, orientation: Orientation, operator: CassiOperator) -> list[tuple[Mounting, float]]:
    normal, inverted = capture.explained(operator)
    return [(Mounting(orientation), normal), (Mounting(orientation, inverted=True), inverted)]


def _turned(operator: CassiOperator) -> list[tuple[Orientation, CassiOperator]]:
    """All orientations that leave the mask its shape."""
    found = []
    for one in ORIENTATIONS:
        if one.transpose and operator.masks.shape[1] != operator.masks.shape[2]:
            continue
        found.append((one, replace(operator, masks=one.apply(operator.masks))))
    return found


def _stretched(operator: CassiOperator, percent: float, pivot: float) -> CassiOperator:
    """Another dispersion about one place in the spectrum: 0 the first band, 1 the last."""
    matrices = operator.to_code.copy()
    places = matrices[:, :, 2]
    fixed = (1 - pivot) * places[0] + pivot * places[-1]
    matrices[:, :, 2] = places + 0.01 * percent * (places - fixed)
    return replace(operator, to_code=matrices)


def _fine(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(image - gaussian_filter(image, LOCAL_PX, mode="nearest"), dtype=np.float32)
