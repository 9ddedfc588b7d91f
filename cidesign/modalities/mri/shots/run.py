"""A run of shots."""

from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.shots.settings import ShotSettings
from cidesign.pattern import NonCartesian
from cidesign.runs import RunOf


class ShotsRun(RunOf[ShotSettings, MriProfile, NonCartesian]):
    """A run for a scanner that plays shots of gradients."""

    modality = "mri-shots"
