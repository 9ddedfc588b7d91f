"""What leaves training: patterns, masks and k-space lines, as plain arrays with their units and digests."""

from cidesign.pattern.design import Design
from cidesign.pattern.mask import ApertureMask
from cidesign.pattern.stack import BLINK_CODE, MAX_BIT_DEPTH, Encoding, Frame, FrameRole, PatternStack, Placement
from cidesign.pattern.store import SCHEMA_VERSION
from cidesign.pattern.trajectory import MAX_MATRIX, Trajectory, centre_block

__all__ = [
    "ApertureMask",
    "BLINK_CODE",
    "Design",
    "Encoding",
    "Frame",
    "FrameRole",
    "MAX_BIT_DEPTH",
    "MAX_MATRIX",
    "PatternStack",
    "Placement",
    "SCHEMA_VERSION",
    "Trajectory",
    "centre_block",
]
