"""A run for a scanner."""

from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.settings import MriSettings
from cidesign.pattern import Trajectory
from cidesign.runs import RunOf


class MriRun(RunOf[MriSettings, MriProfile, Trajectory]):
    """A run for a scanner."""

    modality = "mri"
