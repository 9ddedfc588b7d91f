"""Points of one's own: lists and masks of (ky, kz), read as a design for a scanner."""

from cidesign.export.mri.points.own.options import PointOptions
from cidesign.export.mri.points.own.read import read_own

__all__ = ["PointOptions", "read_own"]
