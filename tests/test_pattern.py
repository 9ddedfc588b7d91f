"""Patterns, masks and lines: values and order by hand, round trips, and refusal of what was changed."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.pattern import (
    BLINK_CODE,
    ApertureMask,
    CartesianLines,
    Design,
    Encoding,
    Frame,
    PatternStack,
    centre_block,
)
from cidesign.testing.trajectories import points, shots


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


def _mask() -> ApertureMask:
    levels = (np.arange(5 * 7) % 3 == 0).astype(np.uint8).reshape(5, 7)
    return ApertureMask(levels, 10.0, "chrome-laser-10um", "ab" * 32)


def _trajectory(lines: int = 9, calibration: int = 3) -> CartesianLines:
    return CartesianLines(lines, 12, np.array([0, 3, 4, 5, 8]), calibration, "mri-generic-3t", "ab" * 32)


def _synced() -> PatternStack:
    return _stack().with_sync(2)


DESIGNS = {
    "patterns": _stack,
    "synced": _synced,
    "mask": _mask,
    "lines": _trajectory,
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


def test_mask_digest_sees_pixels_shape_pitch_and_process() -> None:
    mask = _mask()
    others = [
        ApertureMask(1 - mask.levels, 10.0, mask.profile_id, mask.profile_digest),
        ApertureMask(mask.levels.reshape(7, 5), 10.0, mask.profile_id, mask.profile_digest),
        ApertureMask(mask.levels, 10.5, mask.profile_id, mask.profile_digest),
        ApertureMask(mask.levels, 10.0, mask.profile_id, "cd" * 32),
    ]
    assert len({mask.design_digest, *(other.design_digest for other in others)}) == 5
    assert mask.open_fraction == pytest.approx(12 / 35)


def test_trajectory_digest_sees_lines_matrix_and_scanner() -> None:
    one = _trajectory()
    others = [
        CartesianLines(9, 12, np.array([0, 3, 4, 5, 7]), 3, one.profile_id, one.profile_digest),
        CartesianLines(10, 12, one.acquired, 2, one.profile_id, one.profile_digest),
        CartesianLines(9, 14, one.acquired, 3, one.profile_id, one.profile_digest),
        CartesianLines(9, 12, one.acquired, 1, one.profile_id, one.profile_digest),
        CartesianLines(9, 12, one.acquired, 3, one.profile_id, "cd" * 32),
    ]
    assert len({one.design_digest, *(other.design_digest for other in others)}) == 6
    assert one.acceleration == pytest.approx(9 / 5)
    assert one.mask.tolist() == [1, 0, 0, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("lines", "count", "block"),
    [
        (8, 0, []),
        (8, 1, [4]),
        (8, 2, [3, 4]),
        (8, 3, [3, 4, 5]),
        (9, 2, [3, 4]),
        (9, 3, [3, 4, 5]),
        (4, 4, [0, 1, 2, 3]),
    ],
)
def test_the_centre_block_holds_the_centre_of_the_fft(lines: int, count: int, block: list[int]) -> None:
    assert list(centre_block(lines, count)) == block
    assert count == 0 or np.flatnonzero(np.fft.fftshift(np.fft.fftfreq(lines)) == 0)[0] in block


@pytest.mark.parametrize(
    ("levels", "pitch_um"),
    [
        (np.zeros((3, 4), np.float64), 10.0),
        (np.full((3, 4), 1.5, np.float32), 10.0),
        (np.full((3, 4), -0.1, np.float32), 10.0),
        (np.full((3, 4), np.nan, np.float32), 10.0),
        (np.zeros((2, 3, 4), np.uint8), 10.0),
        (np.zeros((0, 4), np.uint8), 10.0),
        (np.full((3, 4), 2, np.uint8), 10.0),
        (np.zeros((3, 4), np.uint8), 0.0),
        (np.zeros((3, 4), np.uint8), float("inf")),
        (np.zeros((3, 4), np.uint8), float("nan")),
    ],
)
def test_wrong_masks_are_refused(levels: np.ndarray, pitch_um: float) -> None:
    with pytest.raises(InputError, match="mask"):
        ApertureMask(levels, pitch_um, "test", "")


@pytest.mark.parametrize(
    ("lines", "readout", "acquired", "calibration", "said"),
    [
        (8, 8, np.array([1, 4], dtype=np.int32), 1, "int64"),
        (8, 8, np.array([], dtype=np.int64), 0, "int64 of shape"),
        (8, 8, np.array([[1, 4]]), 1, "int64 of shape"),
        (8, 8, np.array([4, 8]), 1, r"lines 4\.\.8 are outside 0\.\.7"),
        (8, 8, np.array([-1, 4]), 1, "outside"),
        (8, 8, np.array([4, 1]), 1, "must rise"),
        (8, 8, np.array([4, 4]), 1, "none may occur twice"),
        (8, 8, np.array([1, 2, 4]), 2, "calibration lines 3 are missing"),
        (8, 0, np.array([4]), 1, "8 lines of 0 samples are no matrix"),
        (10**12, 8, np.array([4]), 0, "1000000000000 lines of 8 samples"),
        (8, 8, np.array([3, 4]), 10**12, "1000000000000 calibration lines among 2 lines"),
        (8, 8, np.array([3, 4]), -1, "-1 calibration lines"),
    ],
)
def test_wrong_trajectories_are_refused(
    lines: int, readout: int, acquired: np.ndarray, calibration: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        CartesianLines(lines, readout, acquired, calibration, "test", "")


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


def _grey() -> ApertureMask:
    levels = np.linspace(0.02, 1, 35, dtype=np.float32).reshape(5, 7)
    return ApertureMask(levels, 10.0, "chrome-laser-10um", "ab" * 32)


def test_a_grey_mask_is_kept_exactly_and_no_plate_can_have_it(tmp_path: Path) -> None:
    mask = _grey()
    mask.save(tmp_path / "design.npz")
    again = ApertureMask.load(tmp_path / "design.npz")
    assert again.levels.dtype == np.float32
    assert np.array_equal(again.levels, mask.levels)
    assert again.design_digest == mask.design_digest
    assert not again.is_binary
    assert mask.open_fraction == pytest.approx(0.51, abs=1e-7)
    with pytest.raises(InputError, match=r"34 of 35 code pixels are grey \(0.02 to 1\); a plate is open or opaque"):
        _ = mask.plate_levels


def test_one_mask_has_one_form_and_digest() -> None:
    binary = _mask()
    stored = ApertureMask(binary.levels.astype(np.float32), 10.0, binary.profile_id, binary.profile_digest)
    assert stored.is_binary
    assert stored.design_digest == binary.design_digest
    assert stored.plate_levels.dtype == np.uint8
    nearly = binary.levels.astype(np.float32)
    nearly[0, 0] = 0.5
    assert not ApertureMask(nearly, 10.0, binary.profile_id, binary.profile_digest).is_binary
