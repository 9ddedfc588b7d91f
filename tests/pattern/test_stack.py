"""Patterns: values and order by hand, round trips, and refusal of what was changed."""

import json
from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import FileError, InputError
from cidesign.pattern import (
    BLINK_CODE,
    Encoding,
    Frame,
    PatternStack,
)


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


def test_the_blink_code_agrees_with_itself_only_where_it_is() -> None:
    signs = np.array([1 if role == "on" else -1 for role in BLINK_CODE])
    agreement = np.correlate(signs, signs, "full")
    assert agreement[12] == 13
    assert set(np.delete(agreement, 12)) == {0, 1}


@pytest.mark.parametrize(
    ("encoding", "every", "shown"),
    [
        ("complementary", 1, "+0 -0 on off +1 -1 on off +2 -2 on off"),
        ("complementary", 2, "+0 -0 +1 -1 on off +2 -2 on off"),
        ("complementary", 3, "+0 -0 +1 -1 +2 -2 on off"),
        ("offset", 1, "+0 on off +1 on off +2 on on off"),
        ("offset", 2, "+0 +1 on off +2 on on off"),
        ("offset", 3, "+0 +1 +2 on on off"),
        ("as-shown", 2, "+0 +1 on off +2 on off"),
    ],
)
def test_order_of_sync_frames(encoding: Encoding, every: int, shown: str) -> None:
    plain = _stack(2, encoding)
    stack = plain.with_sync(every)
    frames = stack.frames()
    assert frames[:13] == [Frame(-1, role) for role in BLINK_CODE]
    assert " ".join(frame.role + (str(frame.pattern) if frame.pattern >= 0 else "") for frame in frames[13:]) == shown
    levels = stack.displayed()
    assert len(levels) == len(frames)
    assert [frames[place] for place in stack.design_frames] == plain.frames()
    np.testing.assert_array_equal(levels[stack.design_frames], plain.displayed())
    for role, level in (("on", 3), ("off", 0)):
        assert stack.frames_of(role).tolist() == [i for i, frame in enumerate(frames) if frame == (-1, role)]
        np.testing.assert_array_equal(levels[stack.frames_of(role)], level)


def test_sync_frames_are_in_the_digest_and_nothing_else_is_new() -> None:
    """The two digests were taken before there were sync frames."""
    for encoding, digest in (
        ("complementary", "244e55d87eeb159a8116d3fde99dfd1a21b0026b7cfe476692e64858644d77a6"),
        ("offset", "749d100fcb70bc519d3a4c64047fe8844a962cdd47ee0ed2d0eee59f942eae8d"),
    ):
        stack = _stack(2, encoding)
        assert stack.design_digest == stack.patterns_digest == digest
        assert stack.design_frames.tolist() == list(range(len(stack.frames())))
        synced = [stack.with_sync(every) for every in (1, 2, 3)]
        assert len({digest, *(other.design_digest for other in synced)}) == 4
        assert {other.patterns_digest for other in synced} == {digest}


@pytest.mark.parametrize("every", [None, 2])
def test_only_a_design_with_sync_frames_says_so_on_disk(every: int | None, tmp_path: Path) -> None:
    stack = _stack() if every is None else _stack().with_sync(every)
    stack.save(tmp_path / "design.npz")
    header = json.loads(dict(np.load(tmp_path / "design.npz"))["header_json"].tobytes())
    names = {"bit_depth", "design_digest", "encoding", "profile_digest", "profile_id", "schema_version"}
    assert set(header) == names | ({"sync_every"} if every else set())
    assert PatternStack.load(tmp_path / "design.npz").sync_every == every


@pytest.mark.parametrize("every", [0, -1, 4, 10**12])
def test_wrong_sync_intervals_are_refused(every: int) -> None:
    with pytest.raises(InputError, match=f"after every {every} patterns; choose a number from 1 to the 3 patterns"):
        _stack().with_sync(every)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
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


@pytest.mark.parametrize("bits", [1, 4])
def test_patterns_as_shown_add_nothing(bits: int) -> None:
    stack = _stack(bits, "as-shown")
    assert stack.frames() == [Frame(k, "+") for k in range(3)]
    np.testing.assert_array_equal(stack.displayed(), stack.levels)
    np.testing.assert_allclose(stack.signed(), stack.levels / (2**bits - 1), rtol=1e-6)
    assert stack.signed().dtype == np.float32


def test_frames_of_mirrors_keep_their_shape(tmp_path: Path) -> None:
    levels = (np.arange(3 * 4 * 7) % 2).reshape(3, 4, 7).astype(np.uint8)
    stack = PatternStack(levels, 1, "complementary", "mine", "ab" * 32, placement="mirrors").with_sync(2)
    stack.save(tmp_path / "design.npz")
    again = PatternStack.load(tmp_path / "design.npz")
    np.testing.assert_array_equal(again.levels, levels)
    assert (again.placement, again.sync_every, again.design_digest) == ("mirrors", 2, stack.design_digest)
    assert again.size_text == "7 x 4 mirrors"
    np.testing.assert_array_equal(again.displayed()[again.design_frames][1::2], 1 - levels)
    with pytest.raises(InputError, match="frames of 7 x 4 mirrors, not of n x n super-pixels"):
        _ = again.side
    with pytest.raises(InputError, match=r"\(K, rows, columns\)"):
        PatternStack(levels[0], 1, "as-shown", "mine", "", placement="mirrors")
    with pytest.raises(InputError, match="placement 'tiles'"):
        PatternStack(levels, 1, "as-shown", "mine", "", placement="tiles")  # type: ignore[arg-type]


def test_digest_sees_order_encoding_and_device() -> None:
    stack = _stack()
    others = [
        PatternStack(stack.levels[::-1].copy(), 2, "complementary", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 2, "offset", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 3, "complementary", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 2, "complementary", "dlp4500", "cd" * 32),
        PatternStack(stack.levels.transpose(0, 2, 1).copy(), 2, "complementary", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 2, "as-shown", "dlp4500", stack.profile_digest),
        PatternStack(stack.levels, 2, "complementary", "dlp4500", stack.profile_digest, placement="mirrors"),
    ]
    assert len({stack.design_digest, *(other.design_digest for other in others)}) == 8


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
