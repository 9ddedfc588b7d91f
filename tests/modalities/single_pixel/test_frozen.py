"""A decoder with its operator frozen in: the run's images, the same gate, and no torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cidesign import benchwork
from cidesign.calibration.single_pixel.calibrate import calibrate_spc
from cidesign.calibration.single_pixel.capture import read_capture, write_capture
from cidesign.calibration.single_pixel.record import write_calibration
from cidesign.calibration.single_pixel.twin import bench_settings, capture_record, simulate_readings
from cidesign.errors import FileError, InputError, LimitError
from cidesign.frozen.container import read_contents
from cidesign.frozen.session import open_decoder
from cidesign.modalities.single_pixel.frozen import freeze as freezing
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import load_student

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
UTC = "2026-01-01T00:00:00+00:00"
# Images are of the order of 1, single precision has 7 digits, sums have hundreds of terms.
SINGLE = 3e-5
# Not a multiple of 8: the network's image is padded and cut.
SIDE, PATTERNS = 12, 60


@pytest.fixture(scope="module")
def make_trained(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> Callable[..., SinglePixelRun]:
    """Runs whose network does something: its last layer is no longer 0."""

    def make(decoder: str = "unet", seed: int = 1, **changes: Any) -> SinglePixelRun:
        path = tmp_path_factory.mktemp("runs") / "run"
        settings = make_settings(
            side=SIDE, patterns=PATTERNS, read_noise_photoelectrons=50.0, decoder=decoder, **changes
        )
        run: SinglePixelRun = finished_run(path, settings, SinglePixelRun, seed)
        system = load_student(run)
        with torch.no_grad():
            for name, weight in system.decoder.named_parameters():
                if "last" in name:
                    weight.copy_(0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
        system.save(path / "student.safetensors")
        return run

    return make


@pytest.fixture(scope="module")
def run(make_trained: Callable[..., SinglePixelRun]) -> SinglePixelRun:
    return make_trained()


def _bench(run: SinglePixelRun, scene: NDArray[np.float64], folder: Path, **faults: float) -> tuple[Path, Path]:
    """A capture of an F and the calibration of its bench."""
    bench = bench_settings(
        dark_counts=200.0, gain=None, photoelectrons_per_frame=1e7, read_noise_counts=2.0,
        read_noise_photoelectrons=0.0, adc_bits=16, seed=0, scene="F", faults=faults,
    )  # fmt: skip
    readings = simulate_readings(run.design, scene, bench, 235.0 * np.arange(len(run.design.frames())))
    write_capture(folder / "capture", capture_record(run.design, bench, 235.0, UTC), readings, force=True)
    capture = read_capture(folder / "capture")
    write_calibration(folder / "cal", capture, calibrate_spc(capture, run.design), UTC, force=True)
    return folder / "capture", folder / "cal"


@pytest.fixture(scope="module")
def bench(
    run: SinglePixelRun, f_scene: Callable[[int], NDArray[np.float64]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    return _bench(run, f_scene(SIDE), tmp_path_factory.mktemp("bench"), rotation=3.0)


@pytest.fixture(scope="module")
def calibrated(run: SinglePixelRun, bench: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frozen") / "decoder.onnx"
    benchwork.freeze(run, path, bench[1])
    return path


def test_image_of_a_capture_is_the_runs_own(run: SinglePixelRun, bench: tuple[Path, Path], calibrated: Path) -> None:
    capture, folder = bench
    own = benchwork.reconstruct(run, capture, folder)
    found = benchwork.reconstruct_frozen(calibrated, capture, folder)
    assert np.abs(found.images.student - own.images.student).max() < SINGLE
    # The network and the place of the patterns matter far more than that.
    assert np.abs(found.images.student - own.images.lmmse).max() > 100 * SINGLE
    assert found.images.student.shape == (SIDE, SIDE)
    assert found.record.verdict == own.record.verdict
    assert [check.name for check in found.record.checks] == [check.name for check in own.record.checks]
    assert found.record.units == own.record.units


@pytest.mark.parametrize("decoder", ["unet", "linear", "back-projection"])
def test_readings_give_what_the_decoder_gives(
    decoder: str, make_trained: Callable[..., SinglePixelRun], tmp_path: Path
) -> None:
    run = make_trained(decoder, seed=5)
    frozen = benchwork.freeze(run, tmp_path / "d.onnx")
    y = np.random.default_rng(2).normal(size=(5, PATTERNS)).astype(np.float32)
    with torch.no_grad():
        system = load_student(run)
        wanted = system.decoder.image(torch.from_numpy(y), system.encoder)[:, 0].numpy()
    assert np.abs(frozen(y) - wanted).max() < SINGLE * max(1.0, float(np.abs(wanted).max()))
    assert frozen.record.parity.largest_difference < frozen.record.parity.bound


def test_steps_are_not_frozen(make_trained: Callable[..., SinglePixelRun], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unrolled solves for its image in steps"):
        benchwork.freeze(make_trained("unrolled"), tmp_path / "d.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("modality", ["cassi", "mri"])
def test_other_modalities_say_why(modality: str, tmp_path: Path) -> None:
    from cidesign.modality import modality as named

    with pytest.raises(InputError, match="not by one matrix that a file could hold; reconstruct with the run"):
        named(modality).bench().freeze(None, None, tmp_path / "d.onnx")


def test_file_that_differs_is_not_left(run: SinglePixelRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = freezing.frozen_parts

    def wrong(*given: Any) -> Any:
        found = parts(*given)
        found.offset[0] += 0.01
        return found

    monkeypatch.setattr(freezing, "frozen_parts", wrong)
    with pytest.raises(LimitError, match=r"differ by 0\.01 from those of the run's decoder, more than 0\.0001"):
        benchwork.freeze(run, tmp_path / "d.onnx")
    assert not list(tmp_path.iterdir())


def test_other_design_and_other_calibration_are_refused(
    run: SinglePixelRun,
    bench: tuple[Path, Path],
    calibrated: Path,
    make_trained: Callable[..., SinglePixelRun],
    f_scene: Callable[[int], NDArray[np.float64]],
    tmp_path: Path,
) -> None:
    capture, folder = bench
    other_capture, other_folder = _bench(make_trained(seed=9), f_scene(SIDE), tmp_path)
    with pytest.raises(FileError, match="was recorded with design"):
        benchwork.reconstruct_frozen(calibrated, other_capture, folder)
    with pytest.raises(FileError, match=r"frozen into decoder\.onnx is"):
        benchwork.reconstruct_frozen(calibrated, capture, other_folder)
    with pytest.raises(InputError, match="name it with --calibration"):
        benchwork.reconstruct_frozen(calibrated, capture)
    benchwork.freeze(run, tmp_path / "designed.onnx")
    with pytest.raises(InputError, match="holds the operator as designed"):
        benchwork.reconstruct_frozen(tmp_path / "designed.onnx", capture, folder)


def test_designed_operator_is_not_verified(run: SinglePixelRun, bench: tuple[Path, Path], tmp_path: Path) -> None:
    benchwork.freeze(run, tmp_path / "designed.onnx")
    found = benchwork.reconstruct_frozen(tmp_path / "designed.onnx", bench[0], None, tmp_path / "images")
    assert found.record.verdict == "not verified"
    assert any("noise of the run's training" in note for note in found.record.notes)
    assert json.loads((tmp_path / "images" / "reconstruction.json").read_text())["design_digest"] == (
        run.design.design_digest
    )


def test_file_says_what_it_is(run: SinglePixelRun, calibrated: Path) -> None:
    import onnx

    record = read_contents(calibrated).record
    assert record.design().levels.tobytes() == run.design.levels.tobytes()
    model = onnx.load(calibrated, load_external_data=False)
    assert {(one.domain, one.version) for one in model.opset_import} == {("", record.opset)}
    assert not any(one.external_data for one in model.graph.initializer)
    assert "row 0 at the top" in record.orientation
    assert record.units.startswith("reflectance")


def test_changed_graph_never_reaches_onnxruntime(
    calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    import onnxruntime

    def never(*_: object, **__: object) -> None:
        raise AssertionError("onnxruntime was given the file")

    monkeypatch.setattr(onnxruntime, "InferenceSession", never)
    model = onnx.load(calibrated)
    model.graph.node[0].op_type = "Gemm"
    (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="graph was changed"):
        open_decoder(tmp_path / "changed.onnx")
    del model.metadata_props[:]
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="not a decoder that cidesign wrote"):
        open_decoder(tmp_path / "foreign.onnx")
    whole = calibrated.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        with pytest.raises(FileError):
            open_decoder(tmp_path / "cut.onnx")


def test_tensors_in_other_files_are_refused(calibrated: Path, tmp_path: Path) -> None:
    import onnx

    from cidesign.frozen.container import graph_digest
    from cidesign.frozen.record import KEY

    model = onnx.load(calibrated)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    (said,) = (one for one in model.metadata_props if one.key == KEY)
    said.value = json.dumps({**json.loads(said.value), "graph_sha256": graph_digest(model.SerializeToString())})
    (tmp_path / "outside.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="holds other operators, functions or files"):
        open_decoder(tmp_path / "outside.onnx")


@pytest.mark.parametrize("kind", ["operator", "domain", "tensor in a node", "sparse tensor"])
def test_operators_that_no_decoder_has_are_refused(calibrated: Path, tmp_path: Path, kind: str) -> None:
    """Also by somebody who makes the digest fit."""
    import onnx
    from onnx import helper

    from cidesign.frozen.container import graph_digest

    model = onnx.load(calibrated)
    if kind == "operator":
        model.graph.node.append(helper.make_node("Loop", ["a"], ["b"]))
    elif kind == "domain":
        model.graph.node.append(helper.make_node("Relu", ["a"], ["b"], domain="somebody"))
    elif kind == "tensor in a node":
        held = helper.make_attribute("value", helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [1.0]))
        model.graph.node[0].attribute.append(held)
    else:
        model.graph.sparse_initializer.add()
    (said,) = (entry for entry in model.metadata_props if entry.key == "cidesign")
    said.value = json.dumps({**json.loads(said.value), "graph_sha256": graph_digest(model.SerializeToString())})
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(FileError, match="holds other operators, functions or files"):
        open_decoder(tmp_path / "other.onnx")


def test_reconstructs_where_torch_is_not_installed(bench: tuple[Path, Path], calibrated: Path, tmp_path: Path) -> None:
    capture, folder = bench
    words = ["reconstruct", "--decoder", calibrated, capture, "--calibration", folder, "--out", tmp_path / "images"]
    # Libraries ask whether torch is loaded, so it is not found rather than None.
    program = (
        "import sys\nclass Absent:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchmetrics', 'safetensors', 'onnx'):\n"
        "            raise ModuleNotFoundError(f'No module named {name}')\n"
        f"sys.meta_path.insert(0, Absent())\nsys.argv = {['cidesign', *map(str, words)]!r}\n"
        "from cidesign.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "verification: passed" in done.stdout
    with np.load(tmp_path / "images" / "student.npz") as stored:
        wanted = benchwork.reconstruct_frozen(calibrated, capture, folder).images.student
        assert np.array_equal(stored["image"], wanted)
