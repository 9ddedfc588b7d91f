"""A run for a coded aperture."""

from cidesign.checks import Limit
from cidesign.constraints.aperture import FEATURE, GAP, narrowest_px
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.modalities.cassi.settings import CassiSettings
from cidesign.pattern import ApertureMask
from cidesign.runs import RunOf


class CassiRun(RunOf[CassiSettings, ApertureProfile, ApertureMask]):
    """A run for a coded aperture."""

    modality = "cassi"


def process_limits(run: CassiRun) -> list[Limit]:
    """How near the mask comes to the process: its smallest feature and gap, and the plate; none for a grey mask."""
    design, lithography = run.design, run.profile.lithography
    if not design.is_binary:
        return []
    widths = narrowest_px(design.plate_levels)
    smallest = ((1, FEATURE, lithography.min_feature_um), (0, GAP, lithography.min_gap_um))
    found = [
        Limit(
            name=name, value=widths[value] * design.pitch_um, sense="at least", limit=least.value, unit="um",
            source=least.source,
        )
        for value, name, least in smallest
        if value in widths
    ]  # fmt: skip
    plate = (("height", lithography.plate_height_mm), ("width", lithography.plate_width_mm))
    return found + [
        Limit(
            name=f"{side} of the code", value=count * design.pitch_um / 1000, sense="at most", limit=most.value,
            unit="mm", source=most.source,
        )
        for count, (side, most) in zip(design.levels.shape, plate, strict=True)
    ]  # fmt: skip
