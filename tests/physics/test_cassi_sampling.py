"""Displaced bands are copied: the same numbers as interpolation gives, in NumPy and in torch, without its memory."""

import numpy as np
import pytest
import torch

from cidesign.calibration.cassi.operator import CassiOperator, code_coordinates, displaced_copies
from cidesign.modalities.cassi.encoders.sampling import Displaced, Interpolated, sampling_of

CODE, DETECTOR = (6, 9), (8, 12)
# Inside, by whole pixels, by parts of them along one axis and along both, and partly or wholly beside the detector.
PLACES = {
    "whole": [(1.0, 0.0), (1.0, 2.0), (1.0, 3.0)],
    "parts": [(0.0, 0.4), (0.0, 1.9), (0.0, 2.1)],
    "both": [(0.3, 0.4), (1.25, 1.9), (1.7, 2.1)],
    "beside": [(-2.5, 0.0), (4.0, 7.5), (-30.0, 2.0)],
}


@pytest.fixture(params=PLACES)
def operator(request: pytest.FixtureRequest) -> CassiOperator:
    rng = np.random.default_rng(1)
    to_code = np.stack([np.column_stack([np.eye(2), -np.array(place)]) for place in PLACES[request.param]])
    return CassiOperator(rng.random((3, *CODE)).astype(np.float32), to_code, np.array([0.7, 1.0, 1.3]), DETECTOR)


def test_copies_are_what_interpolation_comes_to(operator: CassiOperator) -> None:
    cube = np.random.default_rng(2).random(operator.masks.shape).astype(np.float32)
    # A turn by nothing that can be seen, which is interpolated.
    turned = operator.to_code.copy()
    turned[:, 0, 1] = 1e-12
    other = CassiOperator(operator.masks, turned, operator.response, operator.size)
    assert None not in operator.copies
    assert set(other.copies) == {None}
    np.testing.assert_allclose(operator.predict(cube), other.predict(cube), atol=1e-6)
    np.testing.assert_allclose(operator.row_energy(), other.row_energy(), atol=1e-6)
    np.testing.assert_allclose(operator.band_images(), other.band_images(), atol=1e-6)


def test_torch_copies_alike(operator: CassiOperator) -> None:
    valid = torch.from_numpy(np.random.default_rng(3).random(DETECTOR) > 0.2)
    to_code, response = torch.from_numpy(operator.to_code), torch.from_numpy(operator.response)
    made = sampling_of(to_code, response, (3, *CODE), valid, torch.float64)
    other = Interpolated(to_code, response, (3, *CODE), valid, torch.float64)
    assert isinstance(made, Displaced)
    draws = torch.Generator().manual_seed(4)
    cube = torch.rand(2, 3, *CODE, generator=draws, dtype=torch.float64)
    y = torch.rand(2, *DETECTOR, generator=draws, dtype=torch.float64)
    for squared in (False, True):
        torch.testing.assert_close(made.gather(cube, squared), other.gather(cube, squared), atol=1e-12, rtol=0)
        torch.testing.assert_close(made.scatter(y, squared), other.scatter(y, squared), atol=1e-12, rtol=0)
    cube.requires_grad_()
    assert torch.autograd.gradcheck(made, (cube,))
    assert [name for name, _ in made.named_buffers()] == ["valid"]


def test_turned_bands_are_interpolated() -> None:
    valid, response = torch.ones(DETECTOR, dtype=torch.bool), torch.ones(1)
    to_code = torch.tensor([[[0.999, 0.01, 0.0], [-0.01, 0.999, 0.0]]], dtype=torch.float64)
    assert displaced_copies(to_code[0].numpy(), CODE, DETECTOR) is None
    assert isinstance(sampling_of(to_code, response, (1, *CODE), valid, torch.float32), Interpolated)
    rows, columns = code_coordinates(to_code[0].numpy(), DETECTOR)
    assert rows[2, 3] == pytest.approx(0.999 * 2 + 0.01 * 3)
    assert columns[2, 3] == pytest.approx(0.999 * 3 - 0.01 * 2)
