"""Faults by name and strength."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import cidesign.calibration
from cidesign.calibration.faults import FaultKinds, fault_of, parse_fault, parse_faults
from cidesign.checks import FileFault
from cidesign.errors import InputError, LimitError
from cidesign.modality import FOLDERS, modality

KINDS = {name: modality(name).bench().faults for name in FOLDERS}


@pytest.mark.parametrize("kinds", KINDS.values(), ids=list(KINDS))
def test_names_defaults_and_ranges(kinds: FaultKinds) -> None:
    for name, kind in kinds.items():
        assert kind.least <= kind.default <= kind.most
        assert kind.default != 0
        assert parse_fault(name, kinds).strength == kind.default
        assert parse_fault(f"{name}={kind.most:g}", kinds).strength == kind.most
        for strength in (kind.most + 1, kind.least - 1, 0, float("nan"), float("inf")):
            with pytest.raises(InputError, match=f"--fault {name}=.*needed"):
                parse_fault(f"{name}={strength}", kinds)
        if kind.whole:
            with pytest.raises(InputError, match="a whole number"):
                parse_fault(f"{name}={kind.default + 0.5}", kinds)


def test_wrong_names_are_answered_with_the_known_ones() -> None:
    kinds = KINDS["single-pixel"]
    for name in ("nosuch", "coil-loss"):
        with pytest.raises(InputError, match=f"{name}: this bench has no such fault; known are lost-trigger, record-"):
            parse_fault(name, kinds)
    with pytest.raises(InputError, match="'a lot' is not a number"):
        parse_fault("shift=a lot", kinds)
    with pytest.raises(InputError, match="shift is given twice"):
        parse_faults(("shift=1", "drift", "shift=2"), kinds)
    assert parse_faults(("shift=-0.5", "drift"), kinds) == {"shift": -0.5, "drift": 5}


def test_the_fault_of_an_error_is_that_of_a_bench() -> None:
    assert fault_of(LimitError("x", fault="mirror")) == "mirror"
    assert fault_of(LimitError("x", fault="limit")) is None
    assert fault_of(LimitError("x")) is None


def _said() -> Iterator[tuple[Path, str]]:
    """The words that calibrations give to `fault`, where they stand in the code."""
    (folder,) = cidesign.calibration.__path__
    for path in sorted(Path(folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.keyword) and node.arg == "fault" and isinstance(node.value, ast.Constant)):
                continue
            if isinstance(node.value.value, str):
                yield path.relative_to(folder), node.value.value


def test_what_calibrations_find_has_a_name_that_some_twin_knows() -> None:
    known = {*(name for kinds in KINDS.values() for name in kinds), *get_args(FileFault)}
    said = list(_said())
    assert len(said) > 20
    assert [(path, word) for path, word in said if word not in known] == []
