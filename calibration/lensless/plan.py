"""The captures that a lensless calibration takes, in order."""

from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.optics import Geometry
from cidesign.calibration.lensless.simulated.twin import SECOND_PLACE
from cidesign.calibration.plan import PlanStep


def lensless_plan(camera: Camera) -> list[PlanStep]:
    """What to capture with the mask of a run."""
    geometry = camera.geometry
    height, width = geometry.sensor
    where = "far away" if geometry.scene_distance_um is None else f"{geometry.scene_distance_um / 1000:g} mm away"
    return [
        PlanStep(
            title="Region and exposure",
            how=f"choose the middle {height} x {width} samples of {geometry.sample_um:g} um; automatic gain, white "
            f"balance, "
            "gamma and denoising off; the brightest reading below 80 % of the range",
            arrays="capture.json: exposure_us, saturation_counts, channels, detector_px_per_sample, bench_state",
            why="one saturated sample of a PSF is wrong in every pixel of the image",
            needed=True,
        ),
        PlanStep(
            title="Dark frames",
            how="light blocked, room lights as during the scene; 16 frames, again for every other exposure",
            arrays="dark (M, h, w) or (M, h, w, C); dark_points where the point sources have their own exposure",
            why="dark level, hot pixels and read noise; frames of another exposure are refused",
            needed=True,
        ),
        *_points(geometry, where),
        PlanStep(
            title="Known target",
            how=f"a screen or a print that fills the field ({geometry.field_deg[0]:.0f} x {geometry.field_deg[1]:.0f} "
            f"degrees) {where}, with patches "
            "in colour and no symmetry, at the exposure of the scene; 8 frames",
            arrays="target; target_picture (H, W) or (H, W, C), 0 black to 1 white",
            why="the only capture that shows an image that is mirrored or has its colours exchanged, and gives the "
            "scale",
            needed=False,
        ),
        PlanStep(
            title="Scene",
            how=f"{where}, lit by the same lamp, at the same exposure; nothing bright beside the field",
            arrays="scene (M, h, w) or (M, h, w, C)",
            why="what all this is for",
            needed=True,
        ),
    ]


def _points(geometry: Geometry, where: str) -> list[PlanStep]:
    """The point sources: `where` says how far away."""
    rows, columns = geometry.image
    down, right = (round(part * count) for part, count in zip(SECOND_PLACE, (rows, columns), strict=True))
    step_mrad = 1000 * geometry.sample_um / geometry.distance_um
    return [
        PlanStep(
            title="Point source in the middle",
            how=f"a white LED behind a pinhole that is smaller than {step_mrad:.2f} mrad as seen from the mask, "
            f"{where}, in front of "
            "the middle of the sensor, in a dark room; average 32 frames",
            arrays="point (M, h, w) or (M, h, w, C)",
            why="the measured PSF, which the image is made with",
            needed=True,
        ),
        PlanStep(
            title="Points in the corners",
            how=f"the same source in each corner of the field, {rows // 2} pixels above and {rows - 1 - rows // 2} "
            f"below, {columns // 2} left and {columns - 1 - columns // 2} right of the middle, {step_mrad:.2f} mrad "
            "each; 32 frames of every place, those of one after those of another",
            arrays="around (K M, h, w) or (K M, h, w, C) of K places; capture.json: around_px, where each stands",
            why="what the point in the middle throws beside the sensor is measured here, else it is the drawing's; a "
            "tilted mask and its distance show as well",
            needed=False,
        ),
        PlanStep(
            title="Second point source",
            how=f"the same source moved so that its light comes from {down:+d} pixels (down) and {right:+d} (right) "
            f"of the image, "
            f"{step_mrad:.2f} mrad each",
            arrays="second; capture.json: second_px",
            why="a tilted mask, a PSF of another day, a mask at another distance: none shows in the first point",
            needed=False,
        ),
    ]
