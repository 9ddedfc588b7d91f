"""What to scan for a calibration of points, in which order, and why."""

from cidesign.calibration.mri.plan import LEAST_MAP_LINES
from cidesign.calibration.plan import PlanStep
from cidesign.pattern import CartesianPoints


def points_plan(design: CartesianPoints, coils: int) -> list[PlanStep]:
    """The scans for a design."""
    whole = f"{design.lines} x {design.partitions}"
    steps = [
        PlanStep(
            title="Noise scan",
            how="readouts as in the image, without a pulse; exports of this program begin with one (`noise_scan`)",
            arrays="`noise` (coils, samples) in a capture folder",
            why="noise covariance, a constant offset, and coils without noise; else the edges of the readouts stand in",
            needed=False,
        ),
        PlanStep(
            title="The scan itself",
            how=f"the {len(design.acquired)} points of the design (export them as .seq), or all of {whole} to sample "
            "afterwards; do not touch coils or gain in between",
            arrays="ISMRMRD, BART .cfl, or a capture folder: `k` (coils, P, samples) in the order of time, `points` "
            "(P, 2)",
            why="coil maps, echo, scale, and the volume",
            needed=True,
        ),
    ]
    if coils > 1 and min(design.calibration) < LEAST_MAP_LINES:
        lines, partitions = design.calibration
        steps.append(
            PlanStep(
                title="A larger centre",
                how=f"the design samples {lines} x {partitions} points fully, coil maps call for {LEAST_MAP_LINES} x "
                f"{LEAST_MAP_LINES}: design with larger acs_lines and acs_partitions",
                arrays="as the scan itself",
                why="coil maps",
                needed=True,
            )
        )
    return steps
