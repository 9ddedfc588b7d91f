"""The bench verbs on objects, and operators and students on arrays: the same laws for all modalities."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cidesign.benchwork import calibrate, open_calibration, open_capture, reconstruct, simulate, student, to_deepinv
from cidesign.calibration.cassi.record import StoredCassiCalibration
from cidesign.calibration.single_pixel.record import SinglePixelCalibration
from cidesign.distill.loop import as_floats
from cidesign.errors import FileError, InputError
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.solve import encoder_of
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modality import modality
from cidesign.models.optics import optics_for
from cidesign.physics import linear_inverse
from cidesign.physics.deepinv import EncoderPhysics
from cidesign.physics.linear_inverse import _cholesky
from cidesign.progress import Part, heard_by
from cidesign.reconstruct.outcome import Reconstruction
from cidesign.report.included import included_section
from cidesign.report.shown_record import shown_record
from cidesign.runs import Run, library_versions, write_record

RUNS: dict[str, tuple[type[Run], dict[str, Any]]] = {
    "single-pixel": (SinglePixelRun, {"side": 16, "patterns": 60, "read_noise_photoelectrons": 50.0}),
    "cassi": (CassiRun, {"side": 24}),
    "mri": (MriRun, {"side": 48, "acquired": 24, "acs_lines": 10, "coils": 2}),
}


@pytest.fixture(scope="module", params=list(RUNS))
def chain(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Any,
    make_system: Any,
    make_record: Any,
    profile_of: Any,
) -> "Chain":
    """A run, a capture, a calibration and a reconstruction, none of which but the run is on disk."""
    name: str = request.param
    kind, changes = RUNS[name]
    settings, profile = make_settings(name, **changes), profile_of(name)
    images = torch.from_numpy(modality(name).procedural_images(settings, profile, 96, 1))
    system = make_system(settings, as_floats(images))
    design = optics_for(settings, profile).design(system.encoder)
    path = tmp_path_factory.mktemp(name) / "run"
    path.mkdir()
    design.save(path / "design.npz")
    system.save(path / "student.safetensors")
    write_record(path, make_record(settings, design.design_digest, versions=library_versions()))
    run = kind(path)
    capture = simulate(run, seed=3).capture
    calibration = calibrate(run, capture).calibration
    return run, capture, calibration, reconstruct(run, capture, calibration)


Chain = tuple[Run, Any, Any, Reconstruction]


def _drawn(shape: tuple[int, ...], is_complex: bool, seed: int) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    return values + 1j * rng.normal(size=shape) if is_complex else values


def _largest(values: NDArray[Any]) -> float:
    return float(np.abs(values).max())


@pytest.mark.parametrize("which", ["calibrated", "designed"])
def test_operators_are_linear_with_their_adjoint_on_arrays_and_tensors(chain: Chain, which: str) -> None:
    run, _, calibration, _ = chain
    operator = calibration.operator if which == "calibrated" else run.operator
    form = operator if which == "calibrated" else operator.form
    is_complex = run.settings.modality == "mri"
    x, x2 = (_drawn((3, *form.image_shape), is_complex, seed) for seed in (1, 2))
    y = _drawn((3, *form.reading_shape), is_complex, 4)
    read = operator.A(x)
    assert isinstance(read, np.ndarray)
    assert read.shape == y.shape
    ahead, back = np.vdot(read, y), np.vdot(x, operator.A_adjoint(y))
    assert abs(ahead - back) < 1e-5 * np.linalg.norm(read) * np.linalg.norm(y)
    assert operator.A(2 * x - x2) == pytest.approx(2 * read - operator.A(x2), abs=1e-4 * _largest(read))
    assert operator.A(x[0]) == pytest.approx(read[0], abs=1e-5 * _largest(read))
    kind = torch.complex64 if is_complex else torch.float32
    tensor = operator.A(torch.from_numpy(x).to(kind))
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == kind
    assert tensor.numpy() == pytest.approx(read, abs=1e-5 * _largest(read))
    with pytest.raises(InputError, match=r"images of shape \(5, 7\)"):
        operator.A(np.zeros((5, 7)))


def test_the_calibrated_operator_is_the_one_that_decoders_are_told(chain: Chain) -> None:
    run, _, calibration, _ = chain
    numpy, told = calibration.operator, student(run, calibration).operator
    x = _drawn(numpy.image_shape, run.settings.modality == "mri", 5)
    assert told.A(x) == pytest.approx(numpy.A(x), abs=1e-5 * _largest(numpy.A(x)))


def test_frames_that_come_one_by_one_share_what_is_made_of_the_operator(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, calibration, _ = chain
    solved: list[int] = []

    def counted(gram: torch.Tensor, noise_variance: float) -> torch.Tensor:
        solved.append(len(gram))
        return _cholesky(gram, noise_variance)

    monkeypatch.setattr(linear_inverse, "_cholesky", counted)
    decoder = student(run, calibration)
    y = decoder.operator.A(np.abs(_drawn(decoder.operator.form.image_shape, run.settings.modality == "mri", 6)))
    first, second = decoder(y), decoder(2 * y)
    assert not np.array_equal(first, second)
    assert decoder(y) == pytest.approx(first, abs=0)
    assert len(solved) == (1 if run.settings.modality == "single-pixel" else 0)


def test_a_student_decodes_an_array_that_never_was_a_capture(chain: Chain) -> None:
    run, capture, calibration, images = chain
    x = np.abs(_drawn(run.operator.form.image_shape, run.settings.modality == "mri", 6)) * 0.2
    y = run.operator.A(x)
    image = run.student(y)
    assert isinstance(image, np.ndarray)
    assert image.shape == x.shape
    many = run.student(np.stack([y, 2 * y]))
    assert many[0] == pytest.approx(image, abs=1e-4)
    tensor = run.student(torch.from_numpy(y))
    assert isinstance(tensor, torch.Tensor)
    assert tensor.numpy() == pytest.approx(image, abs=1e-6)
    if isinstance(calibration, SinglePixelCalibration):
        measured = calibration.measurements(capture, run.design)
        again = student(run, calibration)(measured.y)
        assert again == pytest.approx(images.images.student, abs=1e-6)


def test_nothing_stays_on_disk_until_it_is_written(chain: Chain, tmp_path: Path) -> None:
    run, capture, calibration, images = chain
    before = set(run.path.rglob("*"))
    assert not capture.path.exists()
    assert not calibration.path.exists()
    assert "student" in images.images
    assert images.images.student is images.images["student"]
    assert "student" in images.table()
    with pytest.raises(AttributeError, match=r"no image 'nothing'; there are .*student"):
        _ = images.images.nothing
    stored = images.write(tmp_path / "images")
    assert json.loads((tmp_path / "images" / "reconstruction.json").read_text()) == images.value
    assert stored.value["folder"] == str(tmp_path / "images")
    with pytest.raises(FileError, match="exists already"):
        images.write(tmp_path / "images")
    assert set(run.path.rglob("*")) == before


def test_folders_and_objects_give_the_same_images(chain: Chain, tmp_path: Path) -> None:
    run, _, _, images = chain
    simulate(run, tmp_path / "capture", seed=3)
    calibrate(run, tmp_path / "capture", tmp_path / "calibration")
    opened = open_calibration(tmp_path / "calibration")
    with pytest.raises(InputError, match="name the run"):
        _ = opened.operator
    assert open_calibration(tmp_path / "calibration", run).operator.image_shape
    assert opened.verification.verdict != "failed"
    checks = opened.accepts(open_capture(tmp_path / "capture", run), run.design)
    assert not [check for check in checks if check.status == "failed"]
    again = reconstruct(run, tmp_path / "capture", tmp_path / "calibration", tmp_path / "images")
    for name, image in images.images.items():
        assert np.array_equal(again.images[name], image), name
    assert (tmp_path / "images" / "comparison.png").is_file()


def test_records_are_read_with_their_schema_and_older_ones_without(chain: Chain, tmp_path: Path) -> None:
    run, _, _, images = chain
    folder = tmp_path / "images"
    images.write(folder)
    assert included_section(folder, run.design.design_digest).blocks
    record = json.loads((folder / "reconstruction.json").read_text())
    shown = shown_record(folder)
    assert shown.plain["modality"] == run.settings.modality
    assert shown.verdict == images.judgement.verdict if images.judgement else False

    def stored(**changes: Any) -> None:
        (folder / "reconstruction.json").write_text(json.dumps(record | changes))

    stored(schema_version=1)
    earlier = shown_record(folder)
    assert earlier == shown
    stored(schema_version=3)
    with pytest.raises(FileError, match="schema version 3, this program reads 2"):
        shown_record(folder)
    stored(surprise=1)
    with pytest.raises(FileError, match="surprise"):
        shown_record(folder)
    stored(images="none")
    with pytest.raises(FileError, match="images"):
        shown_record(folder)


def test_the_bands_of_the_sparse_operator_are_those_that_are_predicted(chain: Chain) -> None:
    _, _, calibration, _ = chain
    if not isinstance(calibration, StoredCassiCalibration):
        pytest.skip("other modalities have no bands")
    operator = calibration.calibration.operator
    cube = np.random.default_rng(1).random(operator.masks.shape).astype(np.float32)
    assert calibration.operator.A(cube) == pytest.approx(operator.predict(cube), abs=1e-5)
    assert operator.row_energy() == pytest.approx(encoder_of(operator).row_energy().numpy(), abs=1e-5)


def test_physics_for_solvers(chain: Chain) -> None:
    """Adjoint, pseudo-inverse and proximal step, as deepinv's solvers use them."""
    run, _, calibration, images = chain
    physics = to_deepinv(run, calibration)
    channels = 2 if run.settings.modality == "mri" else np.atleast_3d(images.images.student).shape[0]
    x = torch.rand(2, channels if run.settings.modality != "single-pixel" else 1, *run.operator.form.image_shape[-2:])
    y = physics.A(x, unused=1)
    assert not y.is_complex()
    v = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    assert float((y * v).sum()) == pytest.approx(float((x * physics.A_adjoint(v)).sum()), rel=1e-3, abs=1e-2)
    least = physics.A_dagger(y)
    assert float((physics.A(least) - y).norm()) < 0.05 * float(y.norm())
    assert float(least.norm()) <= 1.01 * float(x.norm())
    step = physics.prox_l2(torch.zeros_like(x), y, 0.5)
    gradient = 0.5 * physics.A_adjoint(physics.A(step) - y) + step
    assert float(gradient.norm()) < 1e-3 * float(physics.A_adjoint(y).norm())
    assert float(physics(x).shape[0]) == 2
    assert physics.noise_model(y).shape == y.shape


@pytest.fixture(scope="module")
def deepinv() -> Any:
    """The package, where it is installed with a torchvision of the same build as torch (CONTRIBUTING.md)."""
    try:
        return importlib.import_module("deepinv")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"deepinv cannot be imported here: {error}")


@pytest.fixture
def problem(chain: Chain) -> tuple[EncoderPhysics, torch.Tensor, torch.Tensor]:
    """The calibrated physics, an image of the shape it takes, and its readings."""
    run, _, calibration, _ = chain
    physics, form = to_deepinv(run, calibration), run.operator.form
    image = torch.rand(form.image_shape, generator=torch.Generator().manual_seed(1))
    x = form.channels((image * (1 + 0.5j) if form.is_complex else image)[None])
    return physics, x, physics.A(x)


def test_deepinv_finds_the_adjoint_right(deepinv: Any, problem: Any) -> None:
    physics, x, _ = problem
    test = deepinv.physics.LinearPhysics.adjointness_test
    assert abs(float(test(physics, u=x))) < 1e-4
    wrong = SimpleNamespace(A=physics.A, A_adjoint=lambda y: 1.01 * physics.A_adjoint(y))
    assert abs(float(test(wrong, u=x))) > 1e-3


@pytest.mark.parametrize("iteration", ["PGD", "ADMM"])
def test_solvers_of_deepinv_reach_the_least_squares_solution(deepinv: Any, problem: Any, iteration: str) -> None:
    """argmin |A x - y|^2 / 2 + weight |x|^2 / 2, which conjugate gradients find in another way."""
    physics, x, y = problem
    largest = float(physics.compute_norm(x))
    weight = 0.03 * largest
    wanted = physics.prox_l2(torch.zeros_like(x), y, 1 / weight)

    def solved(steps: int) -> torch.Tensor:
        model = deepinv.optim.optim_builder(
            iteration=iteration,
            prior=deepinv.optim.Tikhonov(),
            data_fidelity=deepinv.optim.L2(),
            max_iter=steps,
            params_algo={"stepsize": (1.0 if iteration == "PGD" else 10.0) / largest, "lambda": weight, "beta": 1.0},
        )
        with torch.no_grad():
            found: torch.Tensor = model(y, physics)
        return found

    assert float((solved(300) - wanted).norm()) < 2e-3 * float(wanted.norm())
    first, last = (float((physics.A(solved(steps)) - y).norm()) for steps in (1, 16))
    assert last < min(first, 0.5 * float(y.norm()))


def test_settings_are_named_and_within_their_range(chain: Chain) -> None:
    run, capture, calibration, _ = chain
    with pytest.raises(InputError, match="nosuch: no such setting here; known are"):
        simulate(run, nosuch=1)
    with pytest.raises(InputError, match="no such fault"):
        simulate(run, faults={"nosuch": 1.0})
    with pytest.raises(InputError, match="nosuch: no such setting here"):
        calibrate(run, capture, nosuch=1)
    with pytest.raises(InputError, match="nosuch: no such setting here"):
        reconstruct(run, capture, calibration, nosuch=1)


def test_who_waits_for_the_bench_verbs_hears_how_far_they_are_and_gets_the_same_images(chain: Chain) -> None:
    run, capture, calibration, images = chain
    told: list[Part] = []
    with heard_by(told.append):
        calibrate(run, capture)
        calibrated = len(told)
        again = reconstruct(run, capture, calibration)
    assert all(0 <= one.share <= 1 for one in told)
    # MRI's calibration of one slice is done in a moment; every other verb tells of several parts.
    assert calibrated or run.settings.modality == "mri"
    assert len({one.name for one in told[calibrated:]}) >= 2
    assert "scatter of the image" in {one.name for one in told[calibrated:]}
    for before, after in zip(images.leaves, again.leaves, strict=True):
        assert np.array_equal(before.array, after.array)
