"""The solvers of MRI against other programs: CG-SENSE, total variation."""

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import centred_fft
from cidesign.constraints.kspace import LineBudget
from cidesign.io.bart import read_cfl, write_cfl
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices
from cidesign.modalities.mri.fixed_designs import variable_density_lines
from cidesign.modalities.mri.solve import (
    batch,
    calibrated_encoder,
    cg_sense,
    residual,
    to_numpy,
    total_variation,
    zero_filled,
)
from cidesign.pattern import CartesianLines

BART = shutil.which("bart")
SIDE, COILS, NOISE = 32, 4, 0.01


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def slice_of(side: int = SIDE) -> NDArray[np.complex64]:
    real, imaginary = phantom_slices(1, side, 2**33 + 5)[0].astype(np.float32)
    return np.asarray(real + 1j * imaginary, dtype=np.complex64)


def problem(
    coils: int = COILS, side: int = SIDE, calibration: int = 8
) -> tuple[NDArray[np.complex64], NDArray[np.complex64], CartesianLines]:
    """Noisy full k-space, maps, and variable-density lines."""
    maps = coil_maps(coils, side, 3)
    rng = np.random.default_rng(4)
    k = centred_fft(maps * slice_of(side), (-2, -1))
    k = (k + NOISE * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape))).astype(np.complex64)
    lines = variable_density_lines(LineBudget(side, side // 2, calibration), 0, 3.0)
    return k, maps, CartesianLines(side, side, lines, calibration, "some", "0" * 64)


def apart(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))


def test_cg_sense_solves_the_normal_equations() -> None:
    k, maps, lines = problem(2, 12, 2)
    encoder = calibrated_encoder(lines, maps, NOISE)
    weight = 0.02
    found = to_numpy(cg_sense(batch(k, lines), encoder, weight, 200))
    basis = np.eye(144, dtype=np.complex64).reshape(144, 12, 12)
    columns = (centred_fft(maps * basis[:, None], (-2, -1)) * lines.mask[:, None]).reshape(144, -1).T
    measured = (k * lines.mask[:, None]).reshape(-1)
    exact = np.linalg.solve(columns.conj().T @ columns + weight * np.eye(144), columns.conj().T @ measured)
    assert apart(found, exact.reshape(12, 12)) < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_cg_sense_agrees_with_sigpy() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mri = pytest.importorskip("sigpy.mri", reason="sigpy is not installed")
        k, maps, lines = problem()
        masked = k * lines.mask[:, None].astype(np.float32)
        weights = np.broadcast_to(lines.mask[:, None], masked.shape[1:]).astype(np.float32)
        theirs = mri.app.SenseRecon(masked, maps, lamda=0.01, weights=weights, max_iter=60, show_pbar=False).run()
    own = to_numpy(cg_sense(batch(k, lines), calibrated_encoder(lines, maps, NOISE), 0.01, 60))
    assert apart(own, theirs) < 0.01


@pytest.mark.skipif(BART is None, reason="the program bart is not installed")
def test_cg_sense_agrees_with_bart(tmp_path: Path) -> None:
    assert BART is not None
    k, maps, lines = problem()

    def written(name: str, array: NDArray[Any]) -> None:
        write_cfl(tmp_path / name, np.ascontiguousarray(array.astype(np.complex64).transpose(2, 1, 0)[:, :, None]))

    written("k", k * lines.mask[:, None])
    written("maps", maps)
    written("mask", np.broadcast_to(lines.mask[:, None], (1, SIDE, SIDE)))
    words = [BART, "pics", "-S", "-w1", "-l2", "-r0.01", "-i60", "-p", "mask", "k", "maps", "image"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    theirs = read_cfl(tmp_path / "image").reshape(SIDE, SIDE).T
    own = to_numpy(cg_sense(batch(k, lines), calibrated_encoder(lines, maps, NOISE), 0.01, 60))
    assert apart(own, theirs) < 0.03


def test_total_variation_has_converged_to_a_minimum() -> None:
    k, maps, lines = problem()
    encoder, weight = calibrated_encoder(lines, maps, NOISE), 0.01
    y = batch(k, lines)

    def cost(image: torch.Tensor) -> float:
        fit = 0.5 * float((encoder.A(image) - y).abs().square().sum())
        down = torch.nn.functional.pad(image.diff(dim=-2), (0, 0, 0, 1))
        right = torch.nn.functional.pad(image.diff(dim=-1), (0, 1))
        return fit + weight * float((down.square() + right.square()).sum(dim=1).sqrt().sum())

    best = total_variation(y, encoder, weight, 400)
    assert cost(best) <= cost(total_variation(y, encoder, weight)) <= 1.01 * cost(best)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-2):
        assert cost(best + size * torch.randn(best.shape, generator=generator)) > cost(best)
    assert cost(zero_filled(y, encoder)) > 1.1 * cost(best)


def test_more_information_gives_better_images() -> None:
    k, maps, lines = problem()
    truth, y, encoder = slice_of(), batch(k, lines), calibrated_encoder(lines, maps, NOISE)
    folded = apart(to_numpy(zero_filled(y, encoder)), truth)
    unfolded = cg_sense(y, encoder, 0.02)
    assert apart(to_numpy(unfolded), truth) < 0.9 * folded
    assert 0.3 < residual(unfolded, y, encoder).chi_square < 1.2
    assert residual(torch.zeros_like(unfolded), y, encoder).relative == pytest.approx(1)
