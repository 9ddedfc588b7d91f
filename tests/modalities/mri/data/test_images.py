"""Training slices: one size, largest magnitude 1, validation from elsewhere, nothing left out silently."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import FileError, InputError
from cidesign.modalities.mri.data.images import PHASE_NOTE, measure_slices, read_slice_scene, read_slices

SHARED = Path(__file__).parents[4].parent / "shared" / "data" / "mri"


def _body(height: int, width: int, level: float = 1.0) -> np.ndarray:
    """Brighter to lower right, in dark air."""
    image = np.zeros((height, width))
    inner = image[height // 4 : -(height // 4), width // 4 : -(width // 4)]
    inner[:] = level * (1 + np.add.outer(3 * np.arange(inner.shape[0]), np.arange(inner.shape[1])))
    return image


def _magnitude(slices: np.ndarray) -> np.ndarray:
    return np.hypot(slices[:, 0].astype(np.float32), slices[:, 1].astype(np.float32))


def test_slices_of_one_size_and_scale(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([_body(40, 40, 1 + k) for k in range(5)]))
    np.save(tmp_path / "b.npy", np.stack([_body(16, 12, 1000.0)] * 2) * np.exp(1j))
    np.save(tmp_path / "c.npy", _body(20, 30))
    found = read_slices(tmp_path, 20, 30, 6, 1)
    assert found.train.shape == (30, 2, 20, 20)
    assert found.validation.shape == (6, 2, 20, 20)
    assert found.train.dtype == np.float16
    assert (found.pictures, found.skipped) == (8, ())
    for part in (found.train, found.validation):
        largest = _magnitude(part).max(axis=(1, 2))
        assert largest.max() <= 1
        assert largest.min() > 0.998
    assert found.notes == (
        "a.npy: slices 40 x 40 are averaged down from more pixels",
        "b.npy: slices 16 x 12 are padded with zeros, a larger field of view",
        "c.npy: slices 20 x 30 are averaged down from more pixels",
        PHASE_NOTE,
        "slices that are not square are padded with zeros",
    )


def test_direction_and_phase_are_kept(tmp_path: Path) -> None:
    image = _body(24, 24) * np.exp(0.7j)
    np.save(tmp_path / "a.npy", np.stack([image] * 4))
    found = read_slices(tmp_path / "a.npy", 24, 3, 1, 1)  # no slice is drawn twice: none is mirrored
    whole = found.train[:, 0].astype(np.float32) + 1j * found.train[:, 1].astype(np.float32)
    np.testing.assert_allclose(whole, np.stack([image] * 3) / abs(image).max(), atol=1e-3)


def test_repeats_are_mirrored_and_moved(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([_body(32, 32)] * 3))
    drawn = read_slices(tmp_path / "a.npy", 32, 40, 1, 1).train
    assert len({one.tobytes() for one in drawn}) > 15
    energy = (_magnitude(drawn) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(energy, energy[0], rtol=1e-2)  # nothing is cut off


def test_validation_files_are_not_trained_on(tmp_path: Path) -> None:
    for number in range(12):
        image = _body(16, 16)
        image[8, 8] = 100 + 20 * number  # the rest of each file has a level of its own
        np.save(tmp_path / f"{number:02d}.npy", image)
    found = read_slices(tmp_path, 16, 60, 10, 1)
    levels = [
        {round(float(np.median(one[one > 0])), 3) for one in _magnitude(p)} for p in (found.train, found.validation)
    ]
    assert not levels[0] & levels[1]
    assert len(levels[1]) == 1
    assert len(levels[0]) == 11


def test_a_block_of_a_single_file_is_for_validation(tmp_path: Path) -> None:
    slices = np.stack([_body(16, 16)] * 30)
    slices[:, 8, 8] = 100 + 20 * np.arange(30)
    np.save(tmp_path / "a.npy", slices)
    found = read_slices(tmp_path / "a.npy", 16, 25, 3, 1)
    levels = [np.sort([np.median(one[one > 0]) for one in _magnitude(p)]) for p in (found.train, found.validation)]
    assert np.unique(levels[0]).size == 25  # 30 less 3 for validation, less a neighbour on either side
    assert not set(levels[0]) & set(levels[1])
    inner = (levels[0] > levels[1].min()) & (levels[0] < levels[1].max())
    assert not inner.any()
    assert "a single file: slices 13 to 15 of those with signal are kept for validation" in found.notes


def test_few_drawn_slices_are_from_all_parts(tmp_path: Path) -> None:
    slices = np.stack([_body(16, 16)] * 200)
    slices[:, 8, 8] = 100 + 5 * np.arange(200)
    np.save(tmp_path / "a.npy", slices)
    drawn = _magnitude(read_slices(tmp_path / "a.npy", 16, 20, 3, 1).train)
    levels = [float(np.median(one[one > 0])) for one in drawn]
    assert max(levels) > 4 * min(levels)


def test_too_few_slices(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", _body(16, 16))
    with pytest.raises(InputError, match=r"a\.npy: 1 slice with signal is too little to train on"):
        read_slices(tmp_path / "a.npy", 16, 4, 4, 1)
    np.save(tmp_path / "b.npy", np.stack([_body(16, 16), 0 * _body(16, 16)]))
    with pytest.raises(InputError, match=r"b\.npy: 1 slice with signal"):
        read_slices(tmp_path / "b.npy", 16, 4, 4, 1)
    assert read_slices(tmp_path, 16, 4, 4, 1).pictures == 2


def test_slices_without_contrast_are_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([_body(16, 16)] * 4 + [np.full((16, 16), 40.0)] * 2))
    found = read_slices(tmp_path / "a.npy", 16, 4, 4, 1)
    assert found.pictures == 4
    assert any("2 of 6 slices have no contrast (nearly all magnitudes of one are 40)" in note for note in found.notes)
    np.save(tmp_path / "b.npy", np.full((3, 16, 16), 7.0) * np.exp(1j))
    with pytest.raises(FileError, match="3 of 3 slices have no contrast"):
        read_slices(tmp_path / "b.npy", 16, 4, 4, 1)


def test_every_slice_is_measured_once(tmp_path: Path) -> None:
    slices = np.stack([_body(16, 16)] * 30)
    slices[:, 8, 8] = 100 + 20 * np.arange(30)
    np.save(tmp_path / "a.npy", slices)
    (tmp_path / "broken.nii").write_bytes(b"")
    found = measure_slices(tmp_path, (16, 16), 1, frozenset())
    assert (found.images.shape, found.pictures, found.held_out) == ((30, 2, 16, 16), 30, True)
    assert len({one.tobytes() for one in found.images}) == 30
    assert [line.split(":")[0] for line in found.skipped] == ["broken.nii"]
    trained = read_slices(tmp_path / "a.npy", 16, 25, 3, 1).trained
    again = measure_slices(
        tmp_path / "a.npy", (16, 16), 1, trained
    )  # neighbours of those for validation are not, either
    assert (len(again.images), again.left_out, again.held_out) == (3, 27, True)
    np.save(tmp_path / "one.npy", slices[0])
    single = measure_slices(tmp_path / "one.npy", (16, 16), 1, trained)
    assert (len(single.images), single.held_out) == (1, False)


def test_empty_slices_are_counted(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((4, 16, 16)) * 0.5
    np.save(tmp_path / "a.npy", np.concatenate([np.stack([_body(16, 16)] * 6), noise]))
    found = read_slices(tmp_path / "a.npy", 16, 4, 4, 1)
    assert found.pictures == 6
    assert "a.npy: 4 of 10 slices have hardly any signal and are left out" in found.notes
    np.save(tmp_path / "b.npy", np.zeros((3, 16, 16)))
    with pytest.raises(FileError, match="nothing but zeros"):
        read_slices(tmp_path / "b.npy", 16, 4, 4, 1)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", _body(16, 16))
    np.save(tmp_path / "b.npy", _body(16, 16))
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b rubbish")
    (tmp_path / "notes.txt").write_bytes(b"not an image")
    found = read_slices(tmp_path, 16, 4, 4, 1)
    assert [line.split(":")[0] for line in found.skipped] == ["broken.nii.gz"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="no MR images below"):
        read_slices(tmp_path / "empty", 16, 4, 4, 1)
    with pytest.raises(FileError, match=r"\.txt files are not read as MR images"):
        read_slices(tmp_path / "notes.txt", 16, 4, 4, 1)


def test_same_seed_same_slices(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([_body(16, 16, k + 1) for k in range(4)]))
    first, again, other = (read_slices(tmp_path / "a.npy", 16, 20, 3, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.train, again.train)
    assert (first.train != other.train).any()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared slices are not here")
def test_real_slices() -> None:
    found = read_slices(SHARED, 64, 50, 10, 1)
    assert {line.split(":")[0] for line in found.skipped} == {"cartesian_ksp.npy", "projection_coord.npy"}
    assert found.pictures > 250
    assert 0.05 < _magnitude(found.train).mean() < 0.4


def _complex(slices: np.ndarray) -> np.ndarray:
    whole: np.ndarray = slices[:, 0].astype(np.float32) + 1j * slices[:, 1].astype(np.float32)
    return whole


def test_magnitudes_get_a_smooth_phase_that_is_their_own(tmp_path: Path) -> None:
    slices = np.stack([_body(32, 32)] * 30)
    slices[:, 16, 16] = 200 + 20 * np.arange(30)
    np.save(tmp_path / "a.npy", slices)
    found = read_slices(tmp_path / "a.npy", 32, 27, 3, 1)
    assert PHASE_NOTE in found.notes
    np.testing.assert_allclose(np.sort(_magnitude(found.train).max(axis=(1, 2))), 1, atol=2e-3)
    whole = _complex(found.train)
    inside = whole[:, 9:23, 9:23]
    # Smooth: no neighbours differ by a tenth of a turn; not constant: within a body it goes over a good part of one.
    steps = np.angle(inside[:, :, 1:] * inside[:, :, :-1].conj())
    assert abs(steps).max() < 0.6
    spread = np.array([np.angle(one * one.mean().conj()).std() for one in inside])
    assert np.median(spread) > 0.3
    # Each its own: the phases of two slices differ.
    assert abs(np.angle(inside[0] * inside[1].conj()).std()) > 0.1
    # The same for the same seed and content, in another order and in another file too.
    np.save(tmp_path / "b.npy", slices[::-1])
    measured = [measure_slices(tmp_path / name, (32, 32), 1, frozenset()).images for name in ("a.npy", "b.npy")]
    assert {one.tobytes() for one in measured[0]} == {one.tobytes() for one in measured[1]}
    assert {one.tobytes() for one in found.validation} <= {one.tobytes() for one in measured[0]}
    other = measure_slices(tmp_path / "a.npy", (32, 32), 2, frozenset()).images
    assert not {one.tobytes() for one in other} & {one.tobytes() for one in measured[0]}


def test_the_phase_of_complex_images_is_theirs(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([_body(16, 16)] * 3).astype(np.complex64))
    np.save(tmp_path / "b.npy", np.stack([_body(16, 16)] * 3) * np.exp(0.5j))
    np.save(tmp_path / "c.npy", np.stack([_body(16, 16)] * 3))
    for name, phase in (("a.npy", 0.0), ("b.npy", 0.5)):
        found = read_slices(tmp_path / name, 16, 9, 1, 1)
        assert PHASE_NOTE not in found.notes
        whole = _complex(found.train)
        np.testing.assert_allclose(np.angle(whole[abs(whole) > 0.1]), phase, atol=2e-3)
    assert PHASE_NOTE in read_slices(tmp_path, 16, 9, 1, 1).notes


def test_what_was_trained_on_is_known_whatever_its_phase(tmp_path: Path) -> None:
    slices = np.stack([_body(16, 16)] * 12)
    slices[:, 8, 8] = 200 + 20 * np.arange(12)
    np.save(tmp_path / "a.npy", slices)
    trained = read_slices(tmp_path / "a.npy", 16, 9, 1, 1).trained
    assert measure_slices(tmp_path / "a.npy", (16, 16), 5, trained).left_out == len(trained) == 11


def test_a_slice_as_a_scene(tmp_path: Path) -> None:
    slices = np.stack([_body(32, 32) * np.exp(1j * number) for number in range(5)])
    np.savez(tmp_path / "a.npz", images=slices, labels=np.arange(5)[:, None])
    image, remarks = read_slice_scene(tmp_path / "a.npz", (32, 32), 1)
    np.testing.assert_allclose(image, slices[2] / abs(slices[2]).max(), atol=1e-6)
    assert any("slice 2 of 5 slices with signal is taken" in remark for remark in remarks)
    assert any("left out: `labels` (5, 1)" in remark for remark in remarks)
    np.save(tmp_path / "b.npy", _body(40, 40))
    image, remarks = read_slice_scene(tmp_path / "b.npy", (32, 32), 1)
    assert image.shape == (32, 32)
    assert abs(image).max() == pytest.approx(1)
    assert np.angle(image[abs(image) > 0.1]).std() > 0.1
    assert f"scene: {PHASE_NOTE}" in remarks
