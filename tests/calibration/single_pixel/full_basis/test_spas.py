"""SPAS captures in every way that SPAS writes them: the same readings, and the F the right way round."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import hadamard

from cidesign.calibration.single_pixel.full_basis.spas import read_spas, walsh_to_sylvester
from cidesign.errors import CidesignError, FileError, InputError

MakeScene = Callable[[int], NDArray[np.float64]]
SIDE = 8
PERIOD_MS = 1.4
WAVELENGTHS = np.array([500.1234, 510.5, 520.25])
SPECTRUM = np.array([1.0, 2.0, 0.5])


def walsh_patterns(side: int) -> NDArray[np.float64]:
    """All 0/1 patterns (2 N, side, side): row k of W has k sign changes; the image's rows first."""
    rows = hadamard(side)
    line = np.array(sorted(rows.tolist(), key=lambda row: np.count_nonzero(np.diff(row))))
    signed = np.einsum("ai,bj->abij", line, line).reshape(-1, side, side)
    return np.stack([signed > 0, signed < 0], axis=1).reshape(-1, side, side).astype(np.float64)


def spectra(scene: NDArray[np.float64], order: list[int], dark: float = 700.0) -> NDArray[np.float64]:
    """What the spectrometer counts: the light of each pattern, in 16 bits; an inserted frame is black."""
    side = len(scene)
    patterns = walsh_patterns(side)
    light = np.array([(patterns[number] * scene).sum() if number >= 0 else 0.0 for number in order])
    return np.rint(dark + 400 * light[:, None] * SPECTRUM)


def measured_order(side: int = SIDE, seed: int = 0) -> list[int]:
    """Pairs in a shuffled order, the first of them first."""
    rows = list(range(1, side * side))
    random.Random(seed).shuffle(rows)
    return [number for row in (0, *rows) for number in (2 * row, 2 * row + 1)]


def as_list(values: list[float]) -> str:
    return str([int(v) if float(v).is_integer() else float(v) for v in values])


def as_numpy(values: list[float]) -> str:
    with np.printoptions(threshold=10**6):
        return str(np.array(values))


def as_numpy_2(values: list[float]) -> str:
    return "[" + ", ".join(f"np.uint16({v})" if v >= 0 else f"np.int32({v})" for v in values) + "]"


def metadata(order: list[int], side: int = SIDE, printed: Callable[[list[Any]], str] = as_list, **changes: Any) -> Any:
    acquisition = {
        "pattern_compression": 1.0, "pattern_dimension_x": side, "pattern_dimension_y": side, "zoom": 1,
        "xw_offset": 128, "yh_offset": 0, "mask_index": "]", "x_mask_coord": "]", "y_mask_coord": "]",
        "pattern_amount": len(order), "acquired_spectra": len(order), "saturation_detected": False,
        "patterns": printed(order), "patterns_wp": "None",
        "wavelengths": "[" + ", ".join(f"{v:.4f}" for v in WAVELENGTHS) + "]",
        "timestamps": "[" + ", ".join(f"{PERIOD_MS:.4f}" for _ in order[1:]) + "]",
        "measurement_time": "[1.0000, 2.0000]", "class_description": "Acquisition parameters",
    }  # fmt: skip
    return [
        {"pattern_prefix": f"Walsh_{side}x{side}", "experiment_name": "f", "class_description": "Metadata"},
        {"picture_time_us": 1400, "initial_memory": 90000, "class_description": "DMD parameters"},
        {"high_resolution": True, "integration_time_ms": 1.0, "class_description": "Spectrometer parameters"},
        acquisition | changes,
    ]


def write(folder: Path, readings: NDArray[np.float64], objects: Any) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "f.x2_spectraldata.npz", spectral_data=readings)
    (folder / "f.x2_metadata.json").write_text(json.dumps(objects, indent=4))
    return folder / "f.x2"


def test_walsh_order_is_that_of_spas() -> None:
    """Row 1 changes once from left to right, row n once from top to bottom; all rows against SciPy's matrix."""
    patterns = walsh_patterns(4)
    assert patterns[2].tolist() == [[1, 1, 0, 0]] * 4
    assert patterns[8].tolist() == [[1] * 4] * 2 + [[0] * 4] * 2
    signed = (patterns[::2] - patterns[1::2]).reshape(16, 16)
    assert np.array_equal(hadamard(16)[walsh_to_sylvester(4)], signed)


@pytest.mark.parametrize("printed", [as_list, as_numpy, as_numpy_2, list])
@pytest.mark.parametrize("camera", [False, True])
def test_every_variant_gives_the_f(
    tmp_path: Path, f_scene: MakeScene, printed: Callable[[list[Any]], Any], camera: bool
) -> None:
    """Lists, prints of NumPy 1 over several lines and of NumPy 2, 4 or 5 objects in any order, either file or stem."""
    scene, order = f_scene(SIDE), measured_order()
    objects = metadata(order, printed=printed)
    if camera:
        objects.insert(3, {"gain": 0, "time_array": "[1, 2]", "class_description": "IDS camera configuration"})
        random.Random(1).shuffle(objects)
    readings = spectra(scene, order)
    stem = write(tmp_path / "a", readings, objects)
    for path in (stem, stem.with_name("f.x2_spectraldata.npz"), stem.with_name("f.x2_metadata.json")):
        capture = read_spas(path)
        assert np.array_equal(capture.readings, readings)
        assert capture.pattern_numbers.tolist() == order
        assert capture.wavelengths_nm == pytest.approx(WAVELENGTHS)
        assert (capture.metadata.exposure_us, capture.metadata.picture_time_us) == (1000.0, 1400.0)
        assert not capture.failed.any()
        assert capture.notes == ()
    full = capture.walsh_readings().full_basis()
    assert full.image(0) == pytest.approx(400 * SPECTRUM.sum() * scene, abs=0.5)
    assert full.labels == ("sum of all 3 wavelengths",)


def test_a_band_of_wavelengths(tmp_path: Path, f_scene: MakeScene) -> None:
    order = measured_order()
    capture = read_spas(write(tmp_path, spectra(f_scene(SIDE), order), metadata(order)))
    walsh = capture.walsh_readings((505.0, 520.25))
    assert walsh.label == "sum of 2 wavelengths from 505 to 520.25 nm"
    assert walsh.full_basis().image(0) == pytest.approx(400 * 2.5 * f_scene(SIDE), abs=0.5)
    for band in ((600.0, 700.0), (510.0, 500.0)):
        with pytest.raises(InputError, match=r"it has 3 from 500.123 to 520.25 nm"):
            capture.walsh_readings(band)
    capture = read_spas(write(tmp_path, spectra(f_scene(SIDE), order), metadata(order, wavelengths=None)))
    with pytest.raises(InputError, match="does not say its wavelengths"):
        capture.walsh_readings((500.0, 510.0))


def test_inserted_frames_are_kept_and_not_used(tmp_path: Path, f_scene: MakeScene) -> None:
    order = measured_order()
    for place in (0, 1, 17, 80):
        order.insert(place, -1)
    readings = spectra(f_scene(SIDE), order)
    capture = read_spas(write(tmp_path, readings, metadata(order, printed=as_numpy_2)))
    assert np.flatnonzero(capture.pattern_numbers == -1).tolist() == [0, 1, 17, 80]
    assert np.array_equal(capture.readings, readings)
    assert capture.walsh_readings().full_basis().image(0) == pytest.approx(1400 * f_scene(SIDE), abs=0.5)
    assert "4 inserted frames" in capture.notes[0]


def test_a_part_of_the_rows(tmp_path: Path, f_scene: MakeScene) -> None:
    order = measured_order()[:40]
    walsh = read_spas(write(tmp_path, spectra(f_scene(SIDE), order), metadata(order))).walsh_readings()
    assert not walsh.complete
    assert walsh.rows.tolist() == walsh_to_sylvester(SIDE)[np.array(order[::2]) // 2].tolist()
    wanted = 1400 * hadamard(SIDE**2)[walsh.rows] @ f_scene(SIDE).reshape(-1)
    assert walsh.readings == pytest.approx(wanted, abs=5)
    assert walsh.natural()[walsh.rows] == pytest.approx(walsh.readings)
    with pytest.raises(FileError, match="20 of 64 Hadamard rows were measured"):
        walsh.full_basis()


def test_failed_reads_and_repeats(tmp_path: Path, f_scene: MakeScene) -> None:
    """A failed read leaves its pair out, unless another repeat has it; repeats are averaged."""
    order = measured_order()
    readings = spectra(f_scene(SIDE), order)
    readings[[6, 33]] = 0
    walsh = read_spas(write(tmp_path, readings, metadata(order))).walsh_readings()
    assert walsh.rows.size == 62
    assert f"2 pairs with a failed reading are left out (Walsh rows {order[6] // 2}, {order[32] // 2})" in walsh.notes
    again = spectra(f_scene(SIDE), order) + 2
    objects = metadata(order, timestamps=str([PERIOD_MS] * (2 * len(order) - 2)))
    capture = read_spas(write(tmp_path, np.concatenate([readings, again]), objects))
    assert np.flatnonzero(capture.failed).tolist() == [6, 33]
    walsh = capture.walsh_readings()
    assert walsh.complete
    assert "2 repeats of the sequence are averaged" in walsh.notes
    assert walsh.natural()[0] == pytest.approx(1400 * f_scene(SIDE).sum(), abs=5)
    with pytest.raises(FileError, match="all 128 readings failed"):
        read_spas(write(tmp_path, np.zeros((128, 3)), metadata(order)))


def test_noise_comes_from_the_sums_of_pairs(tmp_path: Path, f_scene: MakeScene) -> None:
    order = measured_order(32)
    rng = np.random.default_rng(0)
    drift = np.linspace(1, 1.05, len(order))[:, None]
    readings = spectra(f_scene(32), order, dark=0) / 40 * drift + rng.normal(0, 50, (len(order), 3))
    walsh = read_spas(write(tmp_path, readings, metadata(order, 32))).walsh_readings()
    true = 50 * (2 * 3) ** 0.5  # two readings of three wavelengths
    assert walsh.noise_counts == pytest.approx(true, rel=0.1)
    assert walsh.full_basis().reading_noise(0) == walsh.noise_counts
    assert "vary by 2.0%" in walsh.notes[-1]


def lose(readings: NDArray[np.float64], timestamps: list[float], after: int, count: int = 1) -> None:
    """Triggers lost after a reading: later readings move up, empty ones are at the end, and the clock shows a gap."""
    readings[after + 1 : len(readings) - count] = readings[after + 1 + count :].copy()
    readings[len(readings) - count :] = 0
    del timestamps[after + 1 : after + 1 + count]
    timestamps[after] += count * PERIOD_MS
    timestamps.extend([-42949672.9] * count)


def test_lost_triggers_are_moved_back(tmp_path: Path, f_scene: MakeScene) -> None:
    order = measured_order()
    readings, timestamps = spectra(f_scene(SIDE), order), [PERIOD_MS] * (len(order) - 1)
    whole = readings.copy()
    lose(readings, timestamps, 20)
    lose(readings, timestamps, 60, count=2)
    capture = read_spas(write(tmp_path, readings, metadata(order, timestamps=str(timestamps))))
    lost = np.flatnonzero(capture.failed)
    assert lost.tolist() == [21, 62, 63]  # the second loss is counted from the readings, one behind by then
    kept = ~capture.failed
    assert np.array_equal(capture.readings[kept], whole[kept])
    assert "3 trigger(s) were lost after reading 20, 60" in capture.notes[0]
    walsh = capture.walsh_readings()
    assert walsh.rows.size == 62
    assert walsh.readings == pytest.approx(1400 * hadamard(64)[walsh.rows] @ f_scene(SIDE).reshape(-1), abs=5)


def test_lost_triggers_without_a_way_back(tmp_path: Path, f_scene: MakeScene) -> None:
    order = measured_order()
    readings, timestamps = spectra(f_scene(SIDE), order), [PERIOD_MS] * (len(order) - 1)
    gap = [*timestamps[:9], 2.1 * PERIOD_MS, *timestamps[10:]]
    with pytest.raises(FileError, match=r"after reading 9 is 2\.10 picture times, so 1 trigger.*record again"):
        read_spas(write(tmp_path, readings, metadata(order, timestamps=str(gap))))
    jitter = [*timestamps[:9], 1.45 * PERIOD_MS, *timestamps[10:]]
    assert read_spas(write(tmp_path, readings, metadata(order, timestamps=str(jitter)))).notes == ()
    capture = read_spas(write(tmp_path, readings, metadata(order, timestamps=None)))
    assert "lost triggers are not looked for" in capture.notes[0]
    readings[-2:] = 0
    stopped = read_spas(write(tmp_path, readings, metadata(order)))
    assert "the last 2 readings are empty" in stopped.notes[0]
    with pytest.raises(FileError, match="last 2 readings are empty, and no timestamps"):
        read_spas(write(tmp_path, readings, metadata(order, timestamps=None)))
    with pytest.raises(FileError, match="126 timestamps for 1 x 128 readings"):
        read_spas(write(tmp_path, readings, metadata(order, timestamps=str(timestamps[1:]))))


def test_saturated_readings_are_refused_in_their_band_only(tmp_path: Path, f_scene: MakeScene) -> None:
    order = measured_order()
    readings = spectra(f_scene(SIDE), order)
    readings[[3, 50], 1] = 65535
    capture = read_spas(write(tmp_path, readings, metadata(order, saturation_detected=True)))
    with pytest.raises(FileError, match=r"2 of 384 readings are at the full scale of 65535 .* 510.5 nm, .* frame 3"):
        capture.walsh_readings()
    assert capture.walsh_readings((500.0, 505.0)).complete
    coarse = metadata(order)
    coarse[2]["high_resolution"] = False
    readings[3, 0] = 16383
    with pytest.raises(FileError, match="full scale of 16383"):
        read_spas(write(tmp_path, readings, coarse)).walsh_readings((500.0, 505.0))
    flagged = metadata(order, saturation_detected=True)
    capture = read_spas(write(tmp_path, spectra(f_scene(SIDE), order), flagged))
    assert "SPAS detected saturation" in capture.notes[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patterns": "[   0    1 ... 4094 4095]"}, r"patterns is '\[   0    1 \.\.\. 4094.*left out in printing"),
        ({"timestamps": "[1.4, 2e300]"}, "timestamps holds 2 numbers; .* of 1e.12 and less"),
        ({"patterns": "[0, 1, two]"}, "patterns holds 'two', which is not a number"),
        ({"patterns": "[0, 1,, 2]"}, "holds ''"),
        ({"patterns": "[__import__('os')]"}, "holds .__import__"),
        ({"patterns": "[np.uint16(1), np.str_(2)]"}, r"holds 'np\.str_\(2\)'"),
        ({"patterns": "0, 1"}, "not a list of numbers"),
        ({"patterns": "[0, 1, 2, 3]"}, "names 4 patterns, but pattern_amount is 128"),
        ({"patterns": "[0, 1, 0, 1]", "pattern_amount": 4}, "pattern 0 is named 2 times"),
        ({"patterns": "[0, 1, 2.5, 3]", "pattern_amount": 4}, r"patterns\[2\] is 2\.5"),
        ({"patterns": "[0, 1, 128, 3]", "pattern_amount": 4}, r"patterns\[2\] is 128; .* 0 to 127"),
        ({"patterns": "[0, 1, -2, 3]", "pattern_amount": 4}, r"patterns\[2\] is -2"),
        ({"patterns": "]", "pattern_amount": None}, "names no patterns"),
        ({"patterns": "[0, 1, 2]", "pattern_amount": None}, r"spectral_data has shape \(128, 3\); 3 rows"),
        ({"wavelengths": "[500, 510]"}, "3 columns of spectral_data, .* names 2 wavelengths"),
        ({"wavelengths": "[500, 520, 510]"}, "do not rise"),
        ({"wavelengths": "[500, nan, 510]"}, "wavelengths holds 'nan'"),
        ({"pattern_dimension_y": 4}, "patterns of 8 x 4; square ones"),
        ({"pattern_dimension_x": 12, "pattern_dimension_y": 12}, "power of two"),
        ({"pattern_dimension_x": 16, "pattern_dimension_y": 16}, "patterns are Walsh_8x8; Walsh_16x16 ones"),
        ({"mask_index": "[1.0000, 2.0000]"}, "fill a region of 2 pixels"),
        ({"pattern_amount": "many"}, "Acquisition parameters: pattern_amount: Input should be a valid integer"),
        ({"class_description": "Acquisition"}, "lacks the object 'Acquisition parameters'; it holds Metadata"),
        ({"class_description": "Metadata"}, "holds Metadata twice"),
    ],
)
def test_wrong_metadata(tmp_path: Path, f_scene: MakeScene, changes: dict[str, Any], said: str) -> None:
    order = measured_order()
    with pytest.raises(FileError, match=said):
        read_spas(write(tmp_path, spectra(f_scene(SIDE), order), metadata(order, **changes)))


@pytest.mark.parametrize("picture_us", [2.7e-244, 0.0, -1400.0, 1e300])
def test_a_picture_time_that_no_device_has(tmp_path: Path, f_scene: MakeScene, picture_us: float) -> None:
    objects = metadata(measured_order())
    objects[1]["picture_time_us"] = picture_us
    with pytest.raises(FileError, match=r"DMD parameters.*picture_time_us"):
        read_spas(write(tmp_path, spectra(f_scene(SIDE), measured_order()), objects))


@pytest.mark.parametrize("prefix", ["Raster_8x8", "Walsh_inv_8x8", "Hadamard_8x8", ""])
def test_only_walsh_patterns(tmp_path: Path, f_scene: MakeScene, prefix: str) -> None:
    order = measured_order()
    objects = metadata(order)
    objects[0]["pattern_prefix"] = prefix
    with pytest.raises(FileError, match="Walsh_8x8 ones are read"):
        read_spas(write(tmp_path, spectra(f_scene(SIDE), order), objects))


def test_lone_patterns_and_too_few(tmp_path: Path, f_scene: MakeScene) -> None:
    scene = f_scene(SIDE)
    for order, said in (
        ([0, 1, 2, 3, 4, 5, 6, 9], r"pattern 6 was shown without its partner 7 \(2 such\)"),
        ([0, 1], "1 pairs"),
    ):
        capture = read_spas(write(tmp_path, spectra(scene, order), metadata(order)))
        with pytest.raises(FileError, match=said):
            capture.walsh_readings()


def test_missing_files_and_arrays(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"f_spectraldata\.npz: no such file; a SPAS capture is NAME_spectraldata"):
        read_spas(tmp_path / "f")
    np.savez(tmp_path / "f_spectraldata.npz", spectra=np.ones(3))
    with pytest.raises(FileError, match=r"f_metadata\.json: no such file"):
        read_spas(tmp_path / "f_spectraldata.npz")
    (tmp_path / "f_metadata.json").write_text(json.dumps(metadata(measured_order())))
    with pytest.raises(FileError, match="no array `spectral_data`, only spectra"):
        read_spas(tmp_path / "f_metadata.json")
    for text, said in (
        ("{}", "is a list of objects, not a dict"),
        ("[3]", "without a class_desc"),
        ("[", "readable JSON"),
    ):
        (tmp_path / "f_metadata.json").write_text(text)
        with pytest.raises(FileError, match=said):
            read_spas(tmp_path / "f")


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.lists(st.floats(), max_size=4),
    st.text(alphabet="[]0123456789., -enp.uit()", max_size=60).map(lambda text: f"[{text}]"),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_captures_are_errors_or_readings(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Other values in the fields, characters in the JSON, rows, or bytes: always one line, never another exception."""
    order = measured_order(4)
    objects = metadata(order, 4)
    for _ in range(data.draw(st.integers(0, 2))):
        part = data.draw(st.sampled_from(objects))
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(ODD)
    rows = data.draw(st.sampled_from([32, 32, 31, 64]))
    stem = write(tmp_path_factory.mktemp("fuzz"), np.resize(spectra(np.eye(4), order), (rows, 3)), objects)
    for ending in ("_metadata.json", "_spectraldata.npz"):
        path = stem.with_name(stem.name + ending)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(0, 1))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
    message = ""
    try:
        assert np.isfinite(read_spas(stem).walsh_readings((505.0, 530.0)).readings).all()
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message
