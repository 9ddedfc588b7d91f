"""What leaves training: patterns, masks and trajectories of k-space, as plain arrays with their units and digests."""

from cidesign.pattern.design import Design
from cidesign.pattern.lines import CartesianLines, centre_block
from cidesign.pattern.mask import ApertureMask
from cidesign.pattern.points import Cartesian, CartesianPoints, as_points, calibration_region
from cidesign.pattern.shots import NonCartesian
from cidesign.pattern.stack import BLINK_CODE, MAX_BIT_DEPTH, Encoding, Frame, FrameRole, PatternStack, Placement
from cidesign.pattern.store import SCHEMA_VERSION
from cidesign.pattern.trajectory import MAX_MATRIX, Trajectory

__all__ = [
    "ApertureMask",
    "BLINK_CODE",
    "Cartesian",
    "CartesianLines",
    "CartesianPoints",
    "Design",
    "Encoding",
    "Frame",
    "FrameRole",
    "MAX_BIT_DEPTH",
    "MAX_MATRIX",
    "NonCartesian",
    "PatternStack",
    "Placement",
    "SCHEMA_VERSION",
    "Trajectory",
    "as_points",
    "calibration_region",
    "centre_block",
]
