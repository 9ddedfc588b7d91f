"""What to capture for a single-pixel camera, in which order, and the files that help: the card and a record to fill."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.camera.view import write_graycode
from cidesign.calibration.plan import PlanStep
from cidesign.calibration.single_pixel.capture import SCHEMA_VERSION
from cidesign.calibration.single_pixel.response import MIN_LEVELS, MIN_REPEATS
from cidesign.calibration.single_pixel.targets import card_png, f_card
from cidesign.files import Json, JsonObject, replacing_folder, save_npz, write_bytes, write_json
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import PatternStack

CARD_PICTURE, KNOWN_ARRAYS, TEMPLATE = "card.png", "known.npz", "capture.json"
GRAYCODE_FOLDER = "graycode"
_OVER_HDMI = (
    "; the times in capture.json are those of images in flash: shown over HDMI, remove time_us and sequence_starts "
    "from it, for nobody knows when an image reaches the mirrors"
)


_GRAY_CODE = PlanStep(
    "the Gray code with a camera",
    "where a camera looks at the scene: show the pictures of graycode/ on the device and take one picture of "
    "each, on the white reference; with --set card_photo=FILE a photograph of the F card in its place, all "
    "mirrors on",
    "a folder of numbered pictures, `--set graycode=FOLDER`; of a checkerboard, `--set checkerboard=FOLDER`",
    "where each super-pixel lies to a hundredth of a mirror, and what the card really looks like there",
    False,
)


def plan_spc(
    design: PatternStack, exposure_us: float, starts: tuple[int, ...] = (0,), hdmi_too: bool = False
) -> list[PlanStep]:
    """The captures for the design's sequence at one exposure; `starts`: the first frame of each of several.

    `hdmi_too`: the device may as well show the design over HDMI, where the times of frames are others.
    """
    frames = len(design.frames())
    sequence = _showing(frames, exposure_us, len(starts))
    return [
        PlanStep(
            "dark frames",
            f"block the light where it leaves the lamp, leave everything else on; at least {MIN_REPEATS}, better 256 "
            f"readings at {exposure_us:g} us",
            "dark (M,)",
            "the detector's offset would pass for light",
            True,
        ),
        PlanStep(
            "white levels",
            f"a white reference (PTFE, paper) in place of the scene, all mirrors on; at least {MIN_LEVELS}, better 8 "
            f"light levels (neutral filters, lamp current) of {MIN_REPEATS}, better 256 readings each; the brightest "
            "below 80 % of full scale",
            "white (L, M), with light_fractions in capture.json",
            "gain, scale, linearity, stray light and saturation",
            True,
        ),
        PlanStep(
            "the sequence on the white reference",
            sequence,
            f"flat ({frames},)",
            "uneven light would be taken for the scene's own brightness",
            False,
        ),
        PlanStep(
            "the sequence on the F card",
            f"print {CARD_PICTURE} so that it fills the patterns' field, upright as the scene is; {sequence}",
            f"card ({frames},), and card_picture from {KNOWN_ARRAYS}",
            "mirrored, inverted, turned or shifted patterns; without it the calibration is not verified",
            False,
        ),
        PlanStep(
            "the scene",
            f"{sequence}; repeats as rows; do not touch lamp, gain or exposure any more" + (_OVER_HDMI * hdmi_too),
            f"scene ({frames},) or (R, {frames})",
            "it is what you came for",
            True,
        ),
        _GRAY_CODE,
        PlanStep(
            "the F card again, at the end of the day",
            "as before, in a folder with the last scene",
            f"card ({frames},)",
            "`cidesign reconstruct` then says whether the bench has moved since it was calibrated",
            False,
        ),
    ]


def _showing(frames: int, exposure_us: float, sequences: int) -> str:
    """What is to be done to show a design once and record it."""
    if sequences == 1:
        return f"run the uploaded sequence once ({frames} frames of {exposure_us:g} us) and save every reading"
    return (
        f"run the {sequences} sequences of the export once each, one after the other ({frames} frames of "
        f"{exposure_us:g} us in all), and save every reading, those of each sequence after those before; what the "
        "detector reads between two of them belongs to no frame"
    )


def write_plan_files(
    folder: Path,
    design: PatternStack,
    profile: DmdProfile,
    exposure_us: float,
    time_us: NDArray[np.float64] | None,
    force: bool,
    starts: tuple[int, ...] = (0,),
) -> None:
    """Write the card to print, its picture and the frames' times, the Gray code, and a `capture.json` to complete.

    `time_us` None: when a frame begins is not known, as over HDMI.
    """
    with replacing_folder(folder, force) as temporary:
        write_graycode(temporary / GRAYCODE_FOLDER, profile)
        write_bytes(temporary / CARD_PICTURE, card_png(design.side))
        known = {"card_picture": f_card(design.side), **({} if time_us is None else {"time_us": time_us})}
        save_npz(temporary / KNOWN_ARRAYS, known)
        write_json(temporary / TEMPLATE, _template(design, exposure_us, list(known), starts))


def _template(design: PatternStack, exposure_us: float, known: list[str], starts: tuple[int, ...]) -> JsonObject:
    arrays: dict[str, Json] = {name: {"file": f"{name}.npy"} for name in ("dark", "flat", "card", "scene")}
    arrays["white"] = {"file": "white.npy", "light_fractions": [0.25, 0.5, 0.75, 1.0]}
    arrays |= {name: {"file": KNOWN_ARRAYS} for name in known}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "capture",
        "modality": "single-pixel",
        "design_digest": design.design_digest,
        "profile_digest": design.profile_digest,
        "encoding": design.encoding,
        "exposure_us": exposure_us,
        "units": "counts",
        "saturation_counts": None,
        "created_utc": "",
        "bench_state": {"temperature_c": None, "detector_gain": None},
        **({"sequence_starts": list(starts)} if len(starts) > 1 else {}),
        "arrays": arrays,
    }
