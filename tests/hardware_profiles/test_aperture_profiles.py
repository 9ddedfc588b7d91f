"""The numbers of every shipped lithographic process, and what the schema refuses."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from cidesign.constraints.aperture import feature_rule
from cidesign.errors import FileError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles, validate_profile
from cidesign.hardware_profiles.schema import sourced_values
from cidesign.hardware_profiles.sourced import Confidence

IDS = [entry.id for entry in shipped_profiles() if entry.kind == "aperture"]

# Process, code pitch, smallest feature and gap, writer grid: Photoplot Store; Topro and RIT SMFL; JD Photo Data.
NUMBERS = {
    "chrome-laser-10um": ("laser_chrome", 10.0, 6.0, 6.0, 0.25),
    "chrome-laser-10um-16band": ("laser_chrome", 10.0, 6.0, 6.0, 0.25),
    "chrome-ebeam-2um": ("ebeam_chrome", 2.0, 1.0, 1.0, 0.5),
    "film-20000dpi": ("film", 50.8, 16.0, 16.0, 25_400 / 20_000),
}


@pytest.fixture(params=IDS)
def profile(request) -> ApertureProfile:
    return load_profile(request.param)


def test_three_classes_of_process_are_shipped() -> None:
    assert set(IDS) >= set(NUMBERS)
    assert {load_profile(name).lithography.process.value for name in IDS} == {"laser_chrome", "ebeam_chrome", "film"}


def test_the_numbers_are_those_of_the_sources(profile) -> None:
    lithography = profile.lithography
    found = (
        lithography.process.value,
        profile.pixel_pitch_um.value,
        lithography.min_feature_um.value,
        lithography.min_gap_um.value,
        lithography.writer_grid_um.value,
    )
    assert found == NUMBERS[profile.id]


def test_every_number_has_a_source_and_a_known_confidence(profile) -> None:
    for path, value in sourced_values(profile):
        assert len(value.source) > 5, path
        assert value.confidence in get_args(Confidence), path


def test_limits_of_the_process_were_read_and_not_chosen(profile) -> None:
    lithography = profile.lithography
    for value in (lithography.min_feature_um, lithography.min_gap_um, lithography.writer_grid_um):
        assert value.confidence == "P"
    # Nobody has measured these shops' edge bias or smallest island, so none is shipped.
    assert lithography.edge_bias_um is None
    assert lithography.min_area_um2 is None


def test_one_code_pixel_can_be_made(profile) -> None:
    rule = feature_rule(profile)
    assert (rule.feature_px, rule.gap_px, rule.cell_px) == (1, 1, 1)
    whole_nm = np.array([profile.pixel_pitch_um.value, profile.lithography.writer_grid_um.value]) * 1000
    np.testing.assert_allclose(whole_nm, whole_nm.round(), rtol=1e-12)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("pixel_pitch_um", "value"),
            10.1,
            r"10.1 is 40.4 steps of the writer grid 0.25 um; it must be a whole number",
        ),
        (("lithography", "min_feature_um", "value"), 6_000.0, "min_feature_um"),
        (("lithography", "min_gap_um", "value"), -1.0, "min_gap_um"),
        (("lithography", "edge_bias_um"), {"value": 11.0, "source": "x", "confidence": "M"}, "edge_bias_um"),
        (("lithography", "min_area_um2"), {"value": 0.0, "source": "x", "confidence": "M"}, "min_area_um2"),
        (("lithography", "formats", "value"), ["dxf"], "formats"),
        (("lithography", "formats", "value"), [], "formats"),
        (("lithography", "process", "value"), "foil", "process"),
        (("lithography", "corner_contacts", "confidence"), "U", "confidence"),
        (("lithography", "min_feature"), 6.0, "unknown field; did you mean min_feature_um"),
        (("spectrograph", "magnification", "value"), 0.0, "magnification: 0 gives no image"),
        (("spectrograph", "shift_px", "value"), [0.0, 1.0], "2 shifts for 8 wavelengths"),
    ],
)
def test_wrong_numbers_are_refused_with_the_field(path, value, message) -> None:
    raw = load_profile("chrome-laser-10um").model_dump(mode="json", exclude_none=True)
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(FileError, match=message) as caught:
        validate_profile(raw, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")


def test_the_profile_in_the_guide_is_complete(tmp_path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "apertures.md").read_text()
    path = tmp_path / "custom.toml"
    path.write_text(guide.split("```toml\n")[1].split("```")[0])
    profile = load_profile(str(path))
    assert profile.id == "custom"
    assert feature_rule(profile).cell_px == 1
