"""A run for a lensless camera."""

from cidesign.hardware_profiles.lensless.schema import LenslessProfile
from cidesign.modalities.lensless.settings import LenslessSettings
from cidesign.pattern import ApertureMask
from cidesign.runs import RunOf


class LenslessRun(RunOf[LenslessSettings, LenslessProfile, ApertureMask]):
    """A run for a lensless camera."""

    modality = "lensless"
