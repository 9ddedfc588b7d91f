"""A run for a coded aperture."""

from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.modalities.cassi.settings import CassiSettings
from cidesign.pattern import ApertureMask
from cidesign.runs import RunOf


class CassiRun(RunOf[CassiSettings, ApertureProfile, ApertureMask]):
    """A run for a coded aperture."""

    modality = "cassi"
