"""Profiles of scanners: the numbers of their sources, nothing made up, and units that cannot be mistaken."""

from pathlib import Path

import pytest

from cidesign.errors import FileError
from cidesign.hardware_profiles.loader import load_profile, read_profile, shipped_profiles
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import sourced_values

GENERIC = Path(__file__).parents[2] / "hardware_profiles" / "mri" / "mri-generic-3t.toml"
SCANNERS = [entry.id for entry in shipped_profiles() if entry.kind == "mri"]


def scanner(name: str) -> MriProfile:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    return profile


def test_only_systems_whose_numbers_have_sources_are_shipped() -> None:
    assert SCANNERS == [
        "mri-ge-mr750",
        "mri-ge-mr750w",
        "mri-ge-premier",
        "mri-ge-uhp",
        "mri-generic-3t",
        "mri-siemens-prisma",
    ]


# Table in pge2's opts.m: coil, chronaxie, rheobase, effective length, gradient, slew.
@pytest.mark.parametrize(
    ("name", "nominal", "nerve"),
    [
        ("mri-ge-mr750", (50, 200), (334, 23.4, 0.333)),
        ("mri-ge-mr750w", (33, 120), (360, 20.0, 0.324)),
        ("mri-ge-uhp", (100, 200), (359, 26.5, 0.370)),
        ("mri-ge-premier", None, (642.4, 17.9, 0.310)),
        ("mri-siemens-prisma", (80, 200), None),
        ("mri-generic-3t", None, None),
    ],
)
def test_numbers_are_those_of_the_sources(
    name: str, nominal: tuple[float, float] | None, nerve: tuple[float, float, float] | None
) -> None:
    profile = scanner(name)
    limits, model = profile.nominal, profile.nerve_stimulation
    found = None if limits is None else (limits.max_gradient_mt_per_m.value, limits.max_slew_t_per_m_per_s.value)
    assert found == nominal
    constants = None
    if model is not None:
        constants = (model.chronaxie_us.value, model.rheobase_t_per_s.value, model.effective_length_m.value)
    assert constants == nerve


@pytest.mark.parametrize("name", SCANNERS)
def test_rasters_and_dead_times_are_those_of_the_vendor(name: str) -> None:
    profile = scanner(name)
    rasters, times = profile.rasters, profile.dead_times
    found = (rasters.gradient_us.value, rasters.block_us.value, rasters.rf_us.value, rasters.adc_ns.value)
    dead = (times.rf_dead_us.value, times.rf_ringdown_us.value, times.adc_dead_us.value)
    assert found == ((4, 4, 2, 2000) if "-ge-" in name else (10, 10, 1, 100))
    assert dead == ((72, 56, 40) if "-ge-" in name else (100, 30, 10))
    limit = None if profile.max_adc_samples is None else profile.max_adc_samples.value
    assert limit == (8192 if "siemens" in name else None)


@pytest.mark.parametrize("name", SCANNERS)
def test_every_value_names_its_source(name: str) -> None:
    for path, value in sourced_values(load_profile(name)):
        assert len(value.source) > 8, path
        assert value.confidence != "T" or not path.startswith(("rasters", "dead_times")), path


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('value = 30.0, source = "mrseq', 'value = 0.04, source = "mrseq', "no known scanner has 0.04 mT/m"),
        ('value = 30.0, source = "mrseq', 'value = 400.0, source = "mrseq', "was it given in T/m, G/cm or Hz/m"),
        ("value = 120.0", "value = 5109000000.0", "was it given in G/cm/ms or Hz/m/s"),
        ("value = 3.0,", "value = 30000.0,", "was it given in gauss or MHz"),
        ("max_gradient_mt_per_m", "max_grad", "design.max_grad: unknown field; did you mean max_gradient_mt_per_m?"),
        ("rf_dead_us = ", "# rf_dead_us = ", "dead_times.rf_dead_us: this value is missing"),
        ("{ value = 30.0, source", "{ value = 30.0, sauce", "unknown field; did you mean source?"),
    ],
)
def test_a_wrong_unit_is_asked_about_and_nothing_is_filled_in(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    text = GENERIC.read_text()
    assert old in text
    own = tmp_path / "mine.toml"
    own.write_text(text.replace(old, new, 1))
    with pytest.raises(FileError) as caught:
        read_profile(own)
    assert expected in str(caught.value)


def test_design_limits_stay_below_the_nominal_ones(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    text = GENERIC.with_name("mri-siemens-prisma.toml").read_text()
    own.write_text(text.replace("value = 130.0", "value = 230.0", 1))
    with pytest.raises(FileError, match=r"230.0 is above the nominal 200.0"):
        read_profile(own)
