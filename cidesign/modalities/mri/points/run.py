"""A run for a 3-D scan."""

from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.points.settings import PointSettings
from cidesign.pattern import CartesianPoints
from cidesign.runs import RunOf


class PointsRun(RunOf[PointSettings, MriProfile, CartesianPoints]):
    """A run for points of a 3-D scan."""

    modality = "mri-points"
