"""Profiles: found by name or path; what is wrong is said with the field's path, the value and what is allowed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.hardware_profiles.loader import load_dmd, load_profile, read_profile, shipped_profiles
from cidesign.hardware_profiles.schema import sourced_values
from cidesign.hardware_profiles.sourced import Sourced

SHIPPED = {entry.id: entry.path for entry in shipped_profiles()}
TEXT = SHIPPED["dlp4500"].read_text()
APERTURE = SHIPPED["chrome-laser-10um"].read_text()
MRI = SHIPPED["mri-generic-3t"].read_text()


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_profile_is_valid_and_named_as_its_file(name: str) -> None:
    profile = load_profile(name)
    assert profile.id == name == SHIPPED[name].stem
    assert len(sourced_values(profile)) >= 10
    assert profile.digest == read_profile(SHIPPED[name]).digest


def test_every_number_has_a_source() -> None:
    """A number outside a sourced value would have neither source nor confidence."""

    def visit(value: object, path: str) -> None:
        if isinstance(value, Sourced):
            assert value.source.strip(), path
            return
        assert not isinstance(value, (int, float)) or path == "schema_version", f"{path} has no source"
        if hasattr(type(value), "model_fields"):
            for name in type(value).model_fields:
                visit(getattr(value, name), f"{path}.{name}".lstrip("."))
        elif isinstance(value, dict):
            for key, item in value.items():
                visit(item, f"{path}.{key}")
        elif isinstance(value, list):
            for item in value:
                visit(item, path)

    for name in SHIPPED:
        visit(load_profile(name), "")


def test_own_file_works_wherever_a_name_does(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(TEXT.replace('id = "dlp4500"', 'id = "my-bench"'))
    assert load_profile(str(own)).id == "my-bench"


def test_digest_sees_every_value(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(TEXT.replace("value = 235,", "value = 240,"))
    assert read_profile(own).digest != load_profile("dlp4500").digest


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("dlp450", "dlp4500"), ("DLP4500", "dlp4500"), ("dlp-6500", "dlp6500"), ("lcr", "known are")],
)
def test_unknown_name_suggests_the_nearest(name: str, suggested: str) -> None:
    with pytest.raises(InputError, match=suggested):
        load_profile(name)


def test_a_micromirror_device_is_asked_for() -> None:
    assert load_dmd("dlp4500").kind == "dmd"
    with pytest.raises(InputError, match="mri-generic-3t is a profile of kind mri; a micromirror device is needed"):
        load_dmd("mri-generic-3t")


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (APERTURE, "min_gap_um =", "min_gap_mm =", r"lithography\.min_gap_mm: unknown field; did you mean min_gap_um"),
        (APERTURE, "{ value = 10.0,", "{ value = -1.0,", r"pixel_pitch_um\.value: -1\.0"),
        (APERTURE, "{ value = 10.0,", "{ value = 10.1,", r"pixel_pitch_um: 10\.1 is 40\.4 steps of the writer grid"),
        (APERTURE, "[0.0, 1.0, 2.0,", "[0.0, 2.0, 1.0,", "shift_px: must rise, or fall"),
        (APERTURE, "[0.0, 1.0, 2.0,", "[0.0, 2.0,", "7 shifts for 8 wavelengths"),
        (APERTURE, "450.0, 478.6", "478.6, 450.0", "wavelengths_nm: must rise"),
        (APERTURE, "[0.0, 1.0,", "[0.0, nan,", r"shift_px\.value\.1: nan"),
        (APERTURE, 'value = "columns"', 'value = "diagonal"', r"spectrograph\.axis\.value: 'diagonal'"),
        (APERTURE, "value = false", 'value = "no"', r"corner_contacts\.value: 'no'"),
        (APERTURE, "magnification = { value = 1.0", "magnification = { value = 0.0", "0 gives no image"),
        (MRI, "value = 120.0", "value = 120000.0", r"max_slew_t_per_m_per_s\.value: .*no known scanner.*G/cm/ms"),
        (MRI, 'value = 30.0, source = "mrseq', 'value = 0.03, source = "mrseq', r"max_gradient_mt_per_m\.value.*T/m"),
        (MRI, "max_slew_t_per_m_per_s", "max_slew", r"design\.max_slew: unknown field; did you mean"),
        (MRI, "field_t = { value = 3.0", "field_t = { value = inf", r"field_t\.value: inf"),
        (MRI, 'kind = "mri"', 'kind = "dmd"', "field"),
    ],
)
def test_wrong_aperture_and_scanner_files_are_explained(
    text: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FileError, match=said) as caught:
        read_profile(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pitch_x_um =", "pitch_x_mm =", r"mirrors\.pitch_x_mm: unknown field; did you mean pitch_x_um"),
        (
            "value = 10.8,",
            "value = 0.0108,",
            r"mirrors\.pitch_x_um\.value: 0\.0108 is not allowed.*greater than or equal",
        ),
        ("value = 912,", 'value = "912",', r"mirrors\.columns\.value: '912' is not allowed.*integer"),
        ("value = 912,", "value = -912,", r"mirrors\.columns\.value: -912"),
        ("value = 10.8,", "value = nan,", r"mirrors\.pitch_x_um\.value: nan"),
        (
            "min_exposure_us = { value = 235,",
            "min_exposure_us = { ",
            r"bit_depths\.1\.min_exposure_us\.value: .*missing",
        ),
        ('confidence = "P"', 'confidence = "U"', r"confidence: 'U' is not allowed"),
        ('kind = "dmd"', 'kind = "laser"', r"kind is 'laser'; allowed: aperture, dmd, lensless, mri"),
        ("schema_version = 1", "schema_version = 9", "newer than this program"),
        ("[bit_depths.1]", "[bit_depths.9]", r"bit_depths\.9"),
        ("value = 235,", "value = 900,", "must not fall with the bit depth"),
        ("schema_version = 1", "schema_version = = 1", "not valid TOML"),
    ],
)
def test_wrong_file_is_explained(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in TEXT
    path = tmp_path / "wrong.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(FileError, match=said) as caught:
        read_profile(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        load_profile(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("text", [TEXT, APERTURE, MRI], ids=["dmd", "aperture", "mri"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_never_end_in_a_traceback(data: st.DataObject, text: str, tmp_path: Path) -> None:
    content = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=6))
    path = tmp_path / "mutated.toml"
    path.write_bytes(bytes(content))
    problem = ""
    try:
        read_profile(path)
    except CidesignError as error:
        problem = str(error)
    assert "\n" not in problem
