"""A run for a scanner."""

from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.settings import MriSettings
from cidesign.pattern import CartesianLines
from cidesign.runs import RunOf


class MriRun(RunOf[MriSettings, MriProfile, CartesianLines]):
    """A run for a scanner."""

    modality = "mri"
