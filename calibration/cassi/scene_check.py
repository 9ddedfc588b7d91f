"""What the image of a scene says of an operator that was calibrated before, where no white target was captured."""

from dataclasses import replace

import numpy as np

from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.optics import Array
from cidesign.calibration.cassi.scene import SceneImage, Stand
from cidesign.calibration.cassi.white import LIT_SHARE, middle_of
from cidesign.checks import Check

NAME = "mask in the scene"
# An operator that explains so much of the fine structure, and so much more than others, is that of the bench.  On 60
# simulated scenes the right one explains 0.6 to 0.99, the mask put in otherwise at most 0.28.
LEAST_EXPLAINED, MARGIN = 0.45, 0.2
# Of what the calibrated operator leaves, a change of it must explain this part to be one; the mask's place also so much
# of all, as next to nothing is left of smooth scenes.
CONVINCING, LEAST_GAIN = 0.15, 0.05
# Another step that explains this part is no proof, but the calibrated one is not confirmed either: sound benches gave
# more than this on 2 of 62 scenes, a dispersion 20 % too short at least 0.07 on 14.
DOUBTFUL_STEP = 0.05
# With fewer sound pixels than this, or less of them above the noise, an image shows nothing; with its light in few of
# them, some shift of some mask fits by chance.
LEAST_PIXELS, LEAST_SIGNAL, LEAST_SPREAD = 400, 0.5, 150
UNSEEN = "; a bench that has changed since its calibration would go unseen"


def scene_check(calibration: CassiCalibration, frames: Array) -> Check:
    """Whether the scene (R, h_raw, w_raw) in counts shows the mask as it was calibrated; `failed` with the fault that
    explains it better, `not checked` where the scene cannot tell.

    A shift along the dispersion is no different from another spectrum, and goes unseen.
    """
    image = _image(calibration, frames)
    if int(image.lit.sum()) < LEAST_PIXELS or image.signal_over_noise < LEAST_SIGNAL:
        return _unsure("the scene is too dark, or too little of the code's image is sound", None)
    if image.spread_px < LEAST_SPREAD:
        return _unsure("the scene's light falls on too few pixels", None)
    others = image.turned_over()
    best = max(others, key=lambda stand: stand.explained)
    if not _explains(image.told, best.explained):
        other = _other(image, others)
        if other is None:
            return _unsure("the scene's own detail hides the mask", image.told)
        return _changed(image.told, other)
    moved = [image.across(), image.rotated()]
    found = max(moved, key=lambda stand: stand.explained)
    gain = found.explained - image.told
    if gain > LEAST_GAIN and _part_of_rest(image.told, found.explained) > CONVINCING:
        return _changed(image.told, found)
    step = image.stretched()
    part = _part_of_rest(image.told, step.explained)
    if part > DOUBTFUL_STEP:
        # A spectrum that is not smooth is explained by the calibrated dispersion as well as a smooth one by another.
        if part > CONVINCING and step.explained > image.told_freely:
            return _changed(image.told, step)
        return _unsure(f"{step.text}, or a scene without light in the outer bands, would explain it", image.told)
    text = f"the operator explains {image.told:.2f} of the scene's fine structure, the mask put in otherwise at most "
    return _of(image.told, "passed", f"{text}{max(best.explained, 0.0):.2f}")


def _explains(told: float, other: float) -> bool:
    return told >= LEAST_EXPLAINED and told >= other + MARGIN


def _part_of_rest(told: float, changed: float) -> float:
    return (changed - told) / max(1 - told, 1e-9)


def _other(image: SceneImage, others: list[Stand]) -> Stand | None:
    """What explains the scene where the calibrated operator does not; None where nothing does."""
    for stands in (others, image.shifted(), [image.rotated()]):
        best = max(stands, key=lambda stand: stand.explained)
        if _explains(best.explained, image.told):
            return best
    return None


def _changed(told: float, found: Stand) -> Check:
    text = (
        f"the operator explains {told:.2f} of the scene's fine structure; {found.text} would explain "
        f"{found.explained:.2f}: the bench has changed since its calibration; put it back, or calibrate again"
    )
    return _of(told, "failed", text).model_copy(update={"fault": found.fault})


def _unsure(why: str, told: float | None) -> Check:
    return Check(name=NAME, status="not checked", text=why + UNSEEN, value=told)


def _of(told: float, status: str, text: str) -> Check:
    return Check.model_validate(
        {"name": NAME, "status": status, "text": text, "value": told, "limit": LEAST_EXPLAINED,
         "unit": "of the fine structure"}
    )  # fmt: skip


def _image(calibration: CassiCalibration, frames: Array) -> SceneImage:
    """The middle of the scene's image, where light reaches and pixels are sound."""
    y, variance, valid = calibration.measurements(frames)
    operator = calibration.operator
    opened = replace(operator, masks=np.ones_like(operator.masks))
    lit = valid & (opened.predict(opened.masks) > LIT_SHARE * operator.response.sum())
    middle, cut = middle_of(operator)
    return SceneImage(middle, y[cut], variance[cut], lit[cut])
