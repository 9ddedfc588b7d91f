"""What to scan for an MRI calibration, in which order, and why."""

from cidesign.calibration.mri.phantom import interleaved
from cidesign.calibration.plan import PlanStep
from cidesign.pattern import CartesianLines

LEAST_MAP_LINES = 7


def scan_plan(design: CartesianLines, coils: int) -> list[PlanStep]:
    """The scans for a design: noise, phantom, the designed lines, and with several coils lines for their maps."""
    count, order = len(design.acquired), interleaved(design.lines)
    steps = [
        PlanStep(
            title="Noise scan",
            how="readouts as in the image, without a pulse; exports of this program begin with one (`noise_scan`)",
            arrays="readouts flagged as noise in the raw data; `noise` (coils, samples) in a capture folder",
            why="noise covariance, a constant offset, and coils without noise; else the edges of the readouts stand in",
            needed=False,
        ),
        PlanStep(
            title="Phantom with marks",
            how=f"all {design.lines} lines of a phantom whose drawing you have, with marks in all corners and no "
            f"symmetry; every other line upwards ({order[0]}, {order[1]}, ...), then those between downwards "
            f"(..., {order[-2]}, {order[-1]}), so that a drift is told from a shift; same coils, field of "
            "view and gain",
            arrays="--set phantom=FILE --set phantom_picture=DRAWING.npy; in a capture folder `phantom`, "
            "`phantom_lines` and `phantom_truth`",
            why="reversed gradients, a shifted field of view, lost readouts, drift, and a late converter",
            needed=False,
        ),
        PlanStep(
            title="The scan itself",
            how=f"the {count} lines of the design (export them as .seq), or all {design.lines} to sample afterwards; "
            "do not touch coils or gain in between",
            arrays="ISMRMRD, Siemens .dat, BART .cfl, fastMRI .h5, .npy or .npz, or a capture folder",
            why="coil maps, echo, scale, and the image",
            needed=True,
        ),
    ]
    if coils > 1 and design.calibration_lines < LEAST_MAP_LINES:
        steps.append(
            PlanStep(
                title="All lines of the same object",
                how=f"the design keeps {design.calibration_lines} calibration lines, coil maps call for "
                f"{LEAST_MAP_LINES} contiguous ones: check that it measures them, or design with --acs-lines 11",
                arrays="as the scan itself",
                why="coil maps, and with 11 lines some can be held out to try the maps on",
                needed=False,
            )
        )
    return steps
