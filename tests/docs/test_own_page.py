"""What "I already have ..." says can be typed is typed, on files made here; its Python is run on what that left."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import fftconvolve

from cidesign.calibration.mri.kspace import centred_fft
from cidesign.cli import group
from cidesign.io.nifti import read_nifti
from cidesign.pattern.hadamard import hadamard_order_rows, hadamard_rows

PAGE = Path(__file__).parents[2] / "docs" / "own.md"
SIDE = 32
# The same commands in seconds.
SHORTER = (
    " --set images=64 --set validation_images=16 --set batch=16 --set channels=4 --teacher-epochs 1 --student-epochs 1"
)


# What classes are told apart by takes more steps than it takes to draw an image.
LONGER = SHORTER.replace("images=64", "images=320").replace("epochs 1", "epochs 2")


def _scene(side: int) -> NDArray[np.float64]:
    """An F, unlike its mirror images."""
    scene, unit = np.full((side, side), 0.1), side // 8
    scene[unit : 7 * unit, 2 * unit : 3 * unit] = 0.9
    scene[unit : 2 * unit, 2 * unit : 6 * unit] = 0.9
    scene[3 * unit : 4 * unit, 2 * unit : 5 * unit] = 0.7
    return scene


def _patterns(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for number in (1, 2, 3):
        Image.fromarray(rng.integers(0, 256, (1140, 912, 3), dtype=np.uint8)).save(folder / f"frames_{number}.bmp")


def _readings(folder: Path) -> None:
    rows = hadamard_rows(SIDE, hadamard_order_rows(SIDE)["sequency"])
    np.save(folder / "hadamard.npy", rows)
    shown = np.stack([(1 + rows) / 2, (1 - rows) / 2], axis=1).reshape(-1, SIDE**2)
    light = shown @ _scene(SIDE).reshape(-1)
    readings = 100 + 3 * light + np.random.default_rng(2).normal(size=light.size)
    np.savetxt(folder / "readings.csv", readings, header="reading", comments="")
    np.save(folder / "full_basis.npy", rows.reshape(-1, SIDE**2) @ _scene(SIDE).reshape(-1))


def _mask(folder: Path) -> None:
    np.save(folder / "mask.npy", np.random.default_rng(3).random((24, 20), dtype=np.float32))


def _pair(folder: Path) -> None:
    """A point's speckle, and the light of the scene through it, in 16 bits."""
    speckle = np.zeros((SIDE, SIDE))
    speckle[6:-6, 6:-6] = np.random.default_rng(7).exponential(1.0, (SIDE - 12, SIDE - 12)) ** 2
    light = fftconvolve(_scene(SIDE), speckle, "full")[SIDE // 2 :, SIDE // 2 :][:SIDE, :SIDE]
    for name, image in (("raw", light), ("psf", speckle)):
        tifffile.imwrite(folder / f"{name}.tif", np.rint(100 + 60_000 * image / image.max()).astype(np.uint16))


def _scan(folder: Path) -> None:
    """Every second line and the middle ones of one coil, as ISMRMRD's own library writes them."""
    ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")
    k = 1e-3 * centred_fft(_scene(SIDE).astype(np.complex64), (-2, -1))
    k += 1e-5 * (np.random.default_rng(4).normal(size=(2, SIDE, SIDE)) * [[[1]], [[1j]]]).sum(axis=0)
    dataset = ismrmrd.Dataset(str(folder / "scan.h5"), "dataset", create_if_needed=True)
    matrix = f"<matrixSize><x>{SIDE}</x><y>{SIDE}</y><z>1</z></matrixSize>"
    space = matrix + "<fieldOfView_mm><x>220</x><y>220</y><z>5</z></fieldOfView_mm>"
    limits = f"<minimum>0</minimum><maximum>{SIDE - 1}</maximum><center>{SIDE // 2}</center>"
    dataset.write_xml_header(
        (
            '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions>'
            "<H1resonanceFrequency_Hz>123200000</H1resonanceFrequency_Hz></experimentalConditions><encoding>"
            f"<encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace><encodingLimits>"
            f"<kspace_encoding_step_1>{limits}</kspace_encoding_step_1></encodingLimits>"
            "<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
        ).encode()
    )
    for line in sorted({*range(0, SIDE, 2), *range(SIDE // 2 - 4, SIDE // 2 + 4)}):
        one = ismrmrd.Acquisition.from_array(np.ascontiguousarray(k[line][None], dtype=np.complex64))
        one.center_sample, one.sample_time_us = SIDE // 2, 5.0
        one.idx.kspace_encode_step_1 = line
        dataset.append_acquisition(one)
    dataset.close()


def _photographs(folder: Path) -> None:
    (folder / "photographs").mkdir()
    rng = np.random.default_rng(5)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8)).resize((64, 64)).save(
            folder / "photographs" / f"{number}.png"
        )


def _design(folder: Path) -> None:
    """The design that a section before leaves, and images of one's own."""
    _photographs(folder)
    rows = hadamard_rows(16, hadamard_order_rows(16)["sequency"][:60])
    np.save(folder / "rows.npy", rows)
    _type(f"design {folder / 'rows.npy'} --profile dlp4500 --set encoding=complementary --out {folder / 'mine'}")


def _digits(folder: Path) -> None:
    """Two classes that are each other's mirror images, a little different each time."""
    rng = np.random.default_rng(6)
    for name, columns in (("0", slice(4, 10)), ("1", slice(22, 28))):
        (folder / "digits" / name).mkdir(parents=True)
        for number in range(20):
            picture = rng.integers(0, 40, (SIDE, SIDE), dtype=np.uint8)
            picture[rng.integers(4, 8) : rng.integers(24, 28), columns] += 180
            Image.fromarray(picture).save(folder / "digits" / name / f"{number}.png")


def _type(command: str) -> None:
    group.main(command.split(), prog_name="cidesign", standalone_mode=False)


def _commands(heading: str) -> list[str]:
    """What a section says to type after the prompt, one command each."""
    section = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(heading)]
    lines = [line.removeprefix("    $ ") for line in text.splitlines() if line.startswith("    $ ")]
    return [one.removeprefix("cidesign ") for line in lines for one in line.split(" && ")]


def _likeness(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1])


def _saw_patterns(folder: Path) -> None:
    assert len(list((folder / "mine" / "export").glob("*.bmp"))) == 3


def _saw_readings(folder: Path) -> None:
    for name in ("linear", "tv"):
        assert _likeness(np.load(folder / "images" / f"{name}.npz")["image"], _scene(SIDE)) > 0.99
    assert _likeness(np.load(folder / "basis" / "full_basis.npz")["image"], _scene(SIDE)) > 0.99


def _saw_mask(folder: Path) -> None:
    truth = np.load(folder / "cube" / "truth.npz")
    linear = np.load(folder / "cube" / "linear.npz")
    assert _likeness(next(iter(linear.values())), next(iter(truth.values()))) > 0.8


def _saw_pair(folder: Path) -> None:
    for name in ("wiener", "admm_tv"):
        assert _likeness(np.load(folder / "lensless" / f"{name}.npz")["cube"][0], _scene(SIDE)) > 0.7


def _saw_scan(folder: Path) -> None:
    for name in ("cg_sense", "linear"):
        assert _likeness(read_nifti(folder / "slice" / f"{name}.nii").slices[0], _scene(SIDE)) > 0.9


def _saw_run(folder: Path) -> None:
    assert (folder / "run" / "images" / "student.npz").is_file()
    assert (folder / "run" / "evaluation.json").is_file()


def _saw_classes(folder: Path) -> None:
    rows = (folder / "run" / "images" / "classes.csv").read_text().splitlines()
    assert rows[0] == "class,probability"
    assert rows[1].startswith("1,")
    assert (folder / "run" / "images" / "lmmse.npz").is_file()
    assert (folder / "run" / "evaluation.json").is_file()


@pytest.mark.parametrize(
    ("heading", "make", "look"),
    [
        ("... patterns that a DMD shows", _patterns, _saw_patterns),
        ("... patterns, and what the detector read", _readings, _saw_readings),
        ("... a mask that hangs in the camera", _mask, _saw_mask),
        ("... a raw image of a lensless camera, and its PSF", _pair, _saw_pair),
        ("... a scan from a year ago", _scan, _saw_scan),
        ("... a design, and images like mine", _design, _saw_run),
        ("... pictures of several classes", _digits, _saw_classes),
    ],
)
def test_what_the_page_says_can_be_typed(
    heading: str,
    make: Callable[[Path], None],
    look: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    commands = _commands(heading)
    assert commands
    for command in commands:
        shorter = LONGER if "--task classify" in command else SHORTER
        _type(command + shorter if command.startswith("distill") else command)
    look(tmp_path)


def test_its_python_runs_on_what_the_commands_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _readings(tmp_path)
    for command in _commands("... patterns, and what the detector read")[:2]:
        _type(command)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(program, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert names["image"].shape == (SIDE, SIDE)
    assert _likeness(names["again"], _scene(SIDE)) > 0.99
    assert names["design"].signed().shape == (SIDE**2, SIDE, SIDE)
    x = names["physics"].A_adjoint(names["physics"].A(_tensor(_scene(SIDE))))
    assert x.shape == (1, 1, SIDE, SIDE)


def _tensor(image: NDArray[np.float64]) -> Any:
    """An image as a batch of one."""
    import torch

    return torch.from_numpy(image).float()[None, None]


def test_every_section_is_tried() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(headings) == 8
