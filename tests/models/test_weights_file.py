"""Weights are written as the library writes them, and read back by it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from cidesign.models.weights_file import DTYPES, write_tensors


def test_the_bytes_are_those_of_the_library(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = {"weight": (3, 4, 5), "a": (2, 3), "step": (), "empty": (0, 3), "m\u00fcde": (2,)}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    write_tensors(tmp_path / "own", tensors)
    assert (tmp_path / "own").read_bytes() == save(tensors)


def test_kinds_in_one_file_come_back(tmp_path: Path) -> None:
    tensors = {str(dtype): torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype) for dtype in DTYPES}
    write_tensors(tmp_path / "own", tensors)
    found = load_file(tmp_path / "own")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_comes_back(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {"x": torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)}
    write_tensors(tmp_path / "file", tensors, {"run": 'of "two"\n'})
    assert torch.equal(load_file(tmp_path / "file")["x"], tensors["x"])


def test_how_a_tensor_lies_in_memory_is_not_stored(tmp_path: Path) -> None:
    x = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    for name, lying in (("plain", x), ("last", x.contiguous(memory_format=torch.channels_last)), ("turned", x.mT.mT)):
        write_tensors(tmp_path / name, {"x": lying})
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "last").read_bytes() == (tmp_path / "turned").read_bytes()
