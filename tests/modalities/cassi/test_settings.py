"""What an SD-CASSI camera refuses before anything is trained."""

import pytest

from cidesign.distill.presets import settings_for
from cidesign.errors import LimitError
from cidesign.hardware_profiles.loader import load_profile


def test_bands_that_would_not_overlap_are_refused() -> None:
    profile = load_profile("chrome-laser-10um-16band")
    shifts = profile.spectrograph.shift_px.value
    span = int(max(shifts) - min(shifts))
    with pytest.raises(LimitError, match=f"spreads the bands over {span} pixels, so first and last band would not"):
        settings_for(profile, "quick", side=span)
    assert settings_for(profile, "quick", side=span + 1).side == span + 1
