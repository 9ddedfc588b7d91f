"""The pattern stack: signs, display order, round trip, and refusal of what was changed."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.pattern import Encoding, Frame, PatternStack


def _stack(bits: int = 2, encoding: Encoding = "complementary") -> PatternStack:
    levels = (np.arange(3 * 4 * 4) + np.arange(3 * 4 * 4) // 17).reshape(3, 4, 4) % 2**bits
    return PatternStack(levels.astype(np.uint8), bits, encoding, "dlp4500", "ab" * 32)


def test_signed_values_by_hand() -> None:
    assert _stack(1).signed()[0, 0].tolist() == [-1, 1, -1, 1]
    np.testing.assert_allclose(_stack(2).signed()[0, 0], [-1, -1 / 3, 1 / 3, 1], rtol=1e-6)


def test_complementary_order() -> None:
    stack = _stack(2)
    assert stack.frames()[:3] == [Frame(0, "+"), Frame(0, "-"), Frame(1, "+")]
    shown = stack.displayed()
    assert shown.shape == (6, 4, 4)
    np.testing.assert_array_equal(shown[2], stack.levels[1])
    np.testing.assert_array_equal(shown[2] + shown[3], np.full((4, 4), 3))


def test_offset_order() -> None:
    stack = _stack(2, "offset")
    assert stack.frames() == [Frame(0, "+"), Frame(1, "+"), Frame(2, "+"), Frame(-1, "on")]
    shown = stack.displayed()
    np.testing.assert_array_equal(shown[:3], stack.levels)
    np.testing.assert_array_equal(shown[3], np.full((4, 4), 3))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_round_trip(bits: int, encoding: Encoding, tmp_path: Path) -> None:
    stack = _stack(bits, encoding)
    stack.save(tmp_path / "design.npz")
    again = PatternStack.load(tmp_path / "design.npz")
    np.testing.assert_array_equal(again.levels, stack.levels)
    assert (again.bit_depth, again.encoding, again.profile_id, again.design_digest) == (
        bits,
        encoding,
        "dlp4500",
        stack.design_digest,
    )


def test_digest_sees_order_encoding_and_device() -> None:
    stack = _stack()
    others = [
        PatternStack(stack.levels[::-1].copy(), 2, "complementary", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 2, "offset", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 3, "complementary", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 2, "complementary", "dlp4500", "cd" * 32),
        PatternStack(stack.levels.transpose(0, 2, 1).copy(), 2, "complementary", "dlp4500", stack.profile_digest),
    ]
    assert len({stack.design_digest, *(other.design_digest for other in others)}) == 6


@pytest.mark.parametrize(
    "levels",
    [
        np.zeros((2, 3, 4), np.uint8),
        np.zeros((3, 3), np.uint8),
        np.zeros((1, 4, 4), np.float32),
        np.zeros((0, 4, 4), np.uint8),
        np.full((1, 4, 4), 4, np.uint8),
    ],
)
def test_wrong_arrays_are_refused(levels: np.ndarray) -> None:
    with pytest.raises(InputError, match="patterns"):
        PatternStack(levels, 2, "offset", "dlp4500", "")


def test_changed_design_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "design.npz"
    stack = _stack(1)
    stack.save(path)
    arrays = dict(np.load(path))
    arrays["levels"][0, 0, 0] ^= 1
    np.savez_compressed(path, **arrays)
    with pytest.raises(FileError, match="changed after it was written"):
        PatternStack.load(path)


def test_newer_design_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "design.npz"
    _stack().save(path)
    arrays = dict(np.load(path))
    header = arrays["header_json"].tobytes().replace(b'"schema_version":1', b'"schema_version":7')
    arrays["header_json"] = np.frombuffer(header, np.uint8)
    np.savez_compressed(path, **arrays)
    with pytest.raises(FileError, match="schema version 7"):
        PatternStack.load(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_design_never_ends_in_a_traceback(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "design.npz"
    _stack().save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path.write_bytes(bytes(content))
    with contextlib.suppress(CidesignError):
        assert PatternStack.load(path).design_digest == _stack().design_digest
