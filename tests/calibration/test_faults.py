"""Faults by name and strength."""

import pytest

from cidesign.calibration.faults import FAULTS, Modality, parse_fault, parse_faults
from cidesign.errors import InputError


@pytest.mark.parametrize("modality", list(FAULTS))
def test_names_defaults_and_ranges(modality: Modality) -> None:
    for name, kind in FAULTS[modality].items():
        assert kind.least <= kind.default <= kind.most
        assert kind.default != 0
        assert parse_fault(name, modality).strength == kind.default
        assert parse_fault(f"{name}={kind.most:g}", modality).strength == kind.most
        for strength in (kind.most + 1, kind.least - 1, 0, float("nan"), float("inf")):
            with pytest.raises(InputError, match=f"--fault {name}=.*needed"):
                parse_fault(f"{name}={strength}", modality)
        if kind.whole:
            with pytest.raises(InputError, match="a whole number"):
                parse_fault(f"{name}={kind.default + 0.5}", modality)


def test_wrong_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="nosuch: no such fault; known are lost-trigger, record-shift, flicker, drift"):
        parse_fault("nosuch", "single-pixel")
    with pytest.raises(InputError, match="means nothing for a run of the modality single-pixel"):
        parse_fault("coil-loss", "single-pixel")
    with pytest.raises(InputError, match="'a lot' is not a number"):
        parse_fault("shift=a lot", "single-pixel")
    with pytest.raises(InputError, match="shift is given twice"):
        parse_faults(("shift=1", "drift", "shift=2"), "single-pixel")
    assert parse_faults(("shift=-0.5", "drift"), "single-pixel") == {"shift": -0.5, "drift": 5}
