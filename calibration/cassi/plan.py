"""The captures that an SD-CASSI calibration takes, in order."""

import numpy as np

from cidesign.calibration.cassi.capture import MIN_LINES
from cidesign.calibration.cassi.optics import margin_px
from cidesign.calibration.plan import PlanStep
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.pattern import ApertureMask

LINES_ADVISED = 7


def cassi_plan(design: ApertureMask, profile: ApertureProfile) -> list[PlanStep]:
    """What to capture for the mask of a run, with the lines that its bands need."""
    return [*_detector_steps(design), *_line_steps(profile), *_scene_steps()]


def _detector_steps(design: ApertureMask) -> list[PlanStep]:
    height, width = design.levels.shape
    margin = margin_px((height, width))
    return [
        PlanStep(
            title="Region, focus and exposure",
            how=f"choose a region with the code of {height} x {width} pixels and a dark frame of {margin} code pixels "
            "around all its bands, both sides a multiple of detector_px_per_code_px; focus on the mask; set the "
            "exposure so that the lamp without the mask stays below 80 % of the converter's range, then touch neither",
            arrays="capture.json: exposure_us, saturation_counts, detector_px_per_code_px, code_origin_px, bench_state",
            why="a saturated or moved capture cannot be put right afterwards; from the dark frame stray light is seen",
            needed=True,
        ),
        PlanStep(
            title="Dark frames",
            how="block the light in front of the mask, room lights as during the scene; 16 frames",
            arrays="dark (M, h, w)",
            why="dark level, hot pixels and read noise; frames of another exposure are refused",
            needed=True,
        ),
        PlanStep(
            title="Flat field",
            how="take the mask out, or move to a clear window of the plate; light the field evenly by the lamp that "
            "will light the scene; 16 frames at the exposure of the scene",
            arrays="flat (M, h, w); capture.json: lamp and detector_response, as measured by a spectrometer",
            why="vignetting, the response of the pixels, the gain, and what a count is worth",
            needed=True,
        ),
    ]


def _line_steps(profile: ApertureProfile) -> list[PlanStep]:
    bands_nm = np.array(profile.spectrograph.wavelengths_nm.value)
    low, high = float(bands_nm.min()), float(bands_nm.max())
    advised = ", ".join(f"{nm:.0f}" for nm in np.linspace(low - 5, high + 5, LINES_ADVISED))
    return [
        PlanStep(
            title=f"The mask in {MIN_LINES} or more narrow lines",
            how=f"lasers, a monochromator or narrow filters through a diffuser, for example at {advised} nm: the outer "
            "ones beyond the outer bands; below 80 % of the range, average several frames of each",
            arrays="lines (n, h, w); capture.json: line_nm",
            why="where every code pixel lies in every band, and how grey it is; a shift of the mask along the "
            "dispersion cannot be told from an error of the wavelengths in any other way",
            needed=True,
        ),
        PlanStep(
            title="The same lines without the mask",
            how="as the flat field, once for each line",
            arrays="flat_lines (n, h, w)",
            why="transmission instead of brightness: the open fraction, and light of the lines that is uneven",
            needed=False,
        ),
        PlanStep(
            title="One more line",
            how="between two of the others; it takes no part in the fit",
            arrays="check_line (h, w); capture.json: check_line_nm",
            why="shows that the wavelengths are right; without it each line is left out in turn",
            needed=False,
        ),
    ]


def _scene_steps() -> list[PlanStep]:
    return [
        PlanStep(
            title="White target",
            how="an even, white, matt target in place of the scene, lit by the lamp; 8 frames at the exposure of the "
            "scene, and again with every scene",
            arrays="white (R, h, w)",
            why="the only capture that shows a turned, inverted or shifted mask, a wrong step and a wrong lamp: the "
            "fit of a scene does not; it is never part of the fit",
            needed=True,
        ),
        PlanStep(
            title="Scene",
            how="lit by the same lamp, at the same exposure",
            arrays="scene (R, h, w)",
            why="what all this is for",
            needed=True,
        ),
    ]
