"""Lines of one's own: lists and masks of k-space lines, read as a design for a scanner."""

from cidesign.export.mri.own.options import LineOptions
from cidesign.export.mri.own.read import own_design, read_own

__all__ = ["LineOptions", "own_design", "read_own"]
