"""A simulated scanner that plays Pulseq files (MRzero, of another project, for tests only)."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


@pytest.fixture
def mrzero() -> Any:
    """The package, where it is installed."""
    pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("MRzeroCore", reason="mrzerocore (AGPL, for tests only) is not installed")


@pytest.fixture
def sequence_of(mrzero: Any) -> Callable[[Path, str], Any]:
    """A file as one of its parsers reads it."""

    def read(path: Path, parser: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return mrzero.Sequence.import_file(str(path), backend=parser)

    return read


@pytest.fixture
def played(mrzero: Any, sequence_of: Callable[[Path, str], Any]) -> Callable[..., NDArray[np.complex64]]:
    """The signal of every sample of a file for a density along x, y and z, with voxels of `steps_mm`."""
    import torch

    def play(
        path: Path, density: NDArray[np.float32], steps_mm: tuple[float, float, float], parser: str = "pulseq_rs"
    ) -> NDArray[np.complex64]:
        values: torch.Tensor = torch.from_numpy(np.ascontiguousarray(density, dtype=np.float32))
        one = torch.ones_like(values)
        body = mrzero.VoxelGridPhantom(
            PD=values,
            T1=1.0 * one,
            T2=0.1 * one,
            T2dash=0.05 * one,
            D=0 * one,
            B0=0 * one,
            B1=one[None],
            coil_sens=one[None],
            affine=torch.diag(torch.tensor([*steps_mm, 1.0])),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sequence, data = sequence_of(path, parser), body.build(voxel_shape="point")
            graph = mrzero.compute_graph(sequence, data, max_state_count=40, min_state_mag=1e-3)
            signal = mrzero.execute_graph(graph, sequence, data, print_progress=False)
        found: NDArray[np.complex64] = signal.numpy().ravel()
        return found

    return play
