"""Every kind of design on disk: it returns as it was, only its own kind reads it, damage never ends in a traceback."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError
from cidesign.pattern import (
    ApertureMask,
    CartesianLines,
    Design,
    PatternStack,
)
from cidesign.testing.trajectories import points, shots


def _patterns() -> PatternStack:
    return PatternStack((np.arange(48) % 4).astype(np.uint8).reshape(3, 4, 4), 2, "complementary", "dlp4500", "ab" * 32)


def _synced() -> PatternStack:
    return _patterns().with_sync(2)


def _mask() -> ApertureMask:
    levels = (np.arange(5 * 7) % 3 == 0).astype(np.uint8).reshape(5, 7)
    return ApertureMask(levels, 10.0, "chrome-laser-10um", "ab" * 32)


def _lines() -> CartesianLines:
    return CartesianLines(9, 12, np.array([0, 3, 4, 5, 8]), 3, "mri-generic-3t", "ab" * 32)


DESIGNS = {
    "patterns": _patterns,
    "synced": _synced,
    "mask": _mask,
    "lines": _lines,
    "points": points,
    "shots": shots,
}


@pytest.mark.parametrize("make", DESIGNS.values(), ids=DESIGNS)
def test_every_design_returns_as_it_was(make: Callable[[], Design], tmp_path: Path) -> None:
    design = make()
    design.save(tmp_path / "design.npz")
    again = type(design).load(tmp_path / "design.npz")
    for name in design.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(design, name))
    assert again.design_digest == design.design_digest


@pytest.mark.parametrize("make", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("other", DESIGNS.values(), ids=DESIGNS)
def test_only_its_own_kind_reads_a_design(
    make: Callable[[], Design], other: Callable[[], Design], tmp_path: Path
) -> None:
    design, kind = make(), type(other())
    design.save(tmp_path / "design.npz")
    if isinstance(design, kind):
        assert kind.load(tmp_path / "design.npz").design_digest == design.design_digest
    else:
        with pytest.raises(FileError, match="this design"):
            kind.load(tmp_path / "design.npz")


@pytest.mark.parametrize("make", DESIGNS.values(), ids=DESIGNS)
def test_newer_design_is_refused(make: Callable[[], Design], tmp_path: Path) -> None:
    path = tmp_path / "design.npz"
    make().save(path)
    arrays = dict(np.load(path))
    header = arrays["header_json"].tobytes().replace(b'"schema_version":1', b'"schema_version":7')
    arrays["header_json"] = np.frombuffer(header, np.uint8)
    np.savez_compressed(path, **arrays)
    with pytest.raises(FileError, match="schema version 7"):
        type(make()).load(path)


@pytest.mark.parametrize("make", DESIGNS.values(), ids=DESIGNS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_design_never_ends_in_a_traceback(
    data: st.DataObject, make: Callable[[], Design], tmp_path: Path
) -> None:
    path = tmp_path / "design.npz"
    design = make()
    design.save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path.write_bytes(bytes(content))
    with contextlib.suppress(CidesignError):
        assert type(design).load(path).design_digest == design.design_digest


@pytest.mark.parametrize("make", DESIGNS.values(), ids=DESIGNS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_wrong_header_never_ends_in_a_traceback(
    data: st.DataObject, make: Callable[[], Design], tmp_path: Path
) -> None:
    """The archive is whole, but its header says anything."""
    path = tmp_path / "design.npz"
    design = make()
    design.save(path)
    arrays = dict(np.load(path))
    header = json.loads(arrays["header_json"].tobytes())
    values = st.none() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=5) | st.lists(st.integers())
    header[data.draw(st.sampled_from(sorted(header)))] = data.draw(values)
    arrays["header_json"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(path, **arrays)
    with contextlib.suppress(CidesignError):
        assert type(design).load(path).profile_digest == design.profile_digest
