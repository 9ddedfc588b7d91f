"""The numbers of every shipped micromirror device, against the tables they were taken from."""

from typing import get_args

import pytest

from cidesign.constraints.rules import ExposureTable
from cidesign.constraints.sequence import plan_sequence
from cidesign.errors import FileError
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles, validate_profile
from cidesign.hardware_profiles.schema import sourced_values
from cidesign.hardware_profiles.sourced import Confidence

IDS = [entry.id for entry in shipped_profiles() if entry.kind == "dmd"]

# Minimum exposures of 1..8 bits: TI LightCrafter 4500 GUI source; TI DLPU018F Table 2-103, DLPS037F Table 7-3.
EXPOSURES_US = {
    "dlp4500": [235, 700, 1570, 1700, 2000, 2500, 4500, 8333],
    "dlp6500": [105, 304, 394, 823, 1215, 1487, 1998, 4046],
    "dlp9000": [105, 304, 380, 733, 1215, 1487, 1998, 4046],
    "dlp670s": [105, 343, 438, 768, 1299, 1488, 2000, 4046],
    "dlp500yx": [62, 184, 269, 458, 682, 807, 1083, 2263],
}
# Bytes of a 1-bit frame and of a 24-plane image, bytes of what each controller gets, planes on board.
SIZES = {
    "dlp4500": (129_960, 3_119_040, [912], 48),
    "dlp6500": (259_200, 6_220_800, [1920], 400),
    "dlp9000": (512_000, 12_288_000, [1280, 1280], 480),
    "dlp670s": (543_200, 13_036_800, [1358, 1358], 400),
    "dlp500yx": (307_200, 7_372_800, [1024, 1024], 800),
    "dlp7000": (98_304, 2_359_296, [1024], 40_690),
}


@pytest.fixture(params=IDS)
def profile(request) -> DmdProfile:
    return load_profile(request.param)


def test_the_devices_that_are_shipped() -> None:
    assert set(IDS) >= set(SIZES)


def test_every_number_has_a_source_and_a_known_confidence(profile) -> None:
    values = sourced_values(profile)
    assert len(values) >= 20
    for path, value in values:
        assert len(value.source) > 5, path
        assert value.confidence in get_args(Confidence), path
        assert value.confidence != "U", path


def test_exposures_are_those_of_the_tables(profile) -> None:
    table = [profile.bit_depths[depth].min_exposure_us.value for depth in sorted(profile.bit_depths)]
    assert table == sorted(table)
    if profile.id in EXPOSURES_US:
        assert table == EXPOSURES_US[profile.id]
        assert profile.timing.limits_from.value == "profile"
    else:
        assert profile.timing.limits_from.value == "device"


def test_bytes_and_planes_fit_the_mirrors(profile) -> None:
    frame_bytes, image_bytes, widths, planes = SIZES[profile.id]
    columns, rows = profile.mirrors.columns.value, profile.mirrors.rows.value
    assert columns * rows / 8 == frame_bytes
    assert columns * rows * 3 == image_bytes
    halves = 2 if profile.dual_controller.value else 1
    assert [columns // halves] * halves == widths
    assert profile.memory.full_rate_planes.value == planes
    for depth, limits in profile.bit_depths.items():
        assert int(depth) * limits.frames_per_image.value <= 24
    if profile.timing.image_load_us is None:
        per_image = profile.bit_depths["1"].frames_per_image.value
        assert profile.timing.image_buffers.value == -(-planes // per_image)


def test_super_pixels_are_squares_on_every_lattice(profile) -> None:
    grid = superpixel_grid(profile, 8)
    rows, columns = (grid.index == 0).nonzero()
    height = (rows.max() - rows.min() + 1) * profile.mirrors.row_pitch_columns
    assert height == pytest.approx(columns.max() - columns.min() + 1, abs=1)
    pitch = profile.mirrors.pitch_x_um
    assert grid.side_um == (None if pitch is None else grid.side_columns * pitch.value)


def test_a_pitch_without_a_source_is_not_shipped() -> None:
    assert load_profile("dlp500yx").mirrors.pitch_x_um is None


def test_planning_values_are_said_and_are_no_limit() -> None:
    profile = load_profile("dlp7000")
    plan = plan_sequence(profile, 10, 1)
    assert "44 us is a planning value: dlp7000 reports its own limits" in plan.notes[0]
    assert ExposureTable(profile).check(plan_sequence(profile, 10, 1, exposure_us=32)) == []
    limited = plan_sequence(load_profile("dlp6500"), 10, 1, exposure_us=32)
    assert len(ExposureTable(load_profile("dlp6500")).check(limited)) == 1


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("mirrors", "pitch_y_um"), None, "give both, or leave out both"),
        (("mirrors", "pitch_y_um", "value"), 5.4, r"5\.4 is 0\.714 of pitch_x_um 7\.56; on a square lattice it is 1"),
        (("mirrors", "columns", "value"), 2559, "2559 cannot be split between two controllers"),
        (("timing", "max_exposure_us"), None, "max_exposure_us: this value is missing, and limits_from says"),
        (("timing", "max_exposure_us", "value"), 4000, "4000 is below the table's 4046"),
        (("timing", "limits_from", "value"), "user", "'user' is not allowed"),
        (("bit_depths", "2", "min_exposure_us", "value"), 100, "must not fall with the bit depth"),
    ],
)
def test_wrong_numbers_are_refused_with_the_field(path, value, message) -> None:
    raw = load_profile("dlp9000").model_dump(mode="json", exclude_none=True)
    place = raw
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(FileError, match=message) as caught:
        validate_profile(raw, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")
