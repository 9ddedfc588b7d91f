"""Detectors that are decoded in strips: parts of the operator read what the whole reads, and seams do not show."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.calibration.cassi.operator import CassiOperator, lit_by_no_other, part_to_code, reach_of
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves
from cidesign.modalities.cassi.encoders import strips
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.modalities.cassi.solve import encoder_of
from cidesign.models.decoder import DecoderSettings
from cidesign.models.linear import Linear
from cidesign.models.tiles import decoded
from cidesign.physics.linear_inverse import fit_prior
from cidesign.physics.noise import PixelNoise

BANDS, ROWS, COLUMNS = 4, 160, 40
NM = [450.0, 520.0, 590.0, 650.0]
NOISE = PixelNoise(20_000.0, 5.0, float(BANDS))


def operator(turn_deg: float, along: str = "columns") -> CassiOperator:
    """Bands displaced by up to 9.5 pixels along an axis and 0.4 across it, on a code that is turned a little."""
    rng = np.random.default_rng(1)
    size = (ROWS, COLUMNS) if along == "columns" else (COLUMNS, ROWS)
    masks = np.repeat((rng.random((1, *size)) < 0.5).astype(np.float32), BANDS, axis=0)
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    maps = []
    for band in range(BANDS):
        shift = np.array([0.4 * band / 3, 9.5 * band / 3]) if turn_deg else np.array([0.0, 3.0 * band])
        place = np.array([3.0, 3.0]) + (shift if along == "columns" else shift[::-1])
        maps.append(np.column_stack([turn, -turn @ place]))
    detector = (size[0] + 6, size[1] + 16) if along == "columns" else (size[0] + 16, size[1] + 6)
    return CassiOperator(masks, np.stack(maps), np.array([0.8, 1.1, 1.2, 0.9]), detector)


def scene(size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(spectral_dead_leaves(1, max(size), NM, 5)[..., : size[0], : size[1]]).float() / 255


def decoder() -> Linear:
    cubes = torch.from_numpy(spectral_dead_leaves(64, 32, NM, 4)).float() / 255
    made = Linear(BANDS, (32, 32), DecoderSettings())
    made.set_prior(fit_prior(cubes))
    return made


@pytest.fixture(autouse=True)
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three strips of the code below."""
    monkeypatch.setattr(strips, "AT_ONCE", BANDS * COLUMNS * 112)


@pytest.mark.parametrize("turn_deg", [0.0, 1.5])
@pytest.mark.parametrize("along", ["columns", "rows"])
def test_parts_of_the_operator_read_what_the_whole_reads(turn_deg: float, along: str) -> None:
    """Of the readings that a tile takes, the whole operator predicts each from the tile's own part of the scene."""
    whole = operator(turn_deg, along)
    encoder = encoder_of(whole)
    x = torch.rand(1, *whole.masks.shape, generator=torch.Generator().manual_seed(1))
    y = encoder.A(x)
    tiles = list(encoder.tiles())
    assert len(tiles) > 1
    taken = torch.zeros(whole.size, dtype=torch.bool)
    total = torch.zeros(whole.masks.shape[1:])
    for tile in tiles:
        assert isinstance(tile.encoder, MeasuredCassiEncoder)
        part = tile.encoder.A(x[(..., *tile.image)])
        used = tile.encoder.valid
        torch.testing.assert_close(part[0][used], y[(0, *tile.readings)][used], atol=1e-5, rtol=1e-5)
        taken[tile.readings] |= used
        total[tile.image] += tile.weight
        # Readings are left out near the ends of a tile alone.
        axis = 0 if along == "columns" else 1
        lost = (~used).all(dim=1 - axis).sum()
        assert int(lost) <= 2 * 2
    torch.testing.assert_close(total, torch.ones_like(total))
    assert bool(taken[encoder.row_energy() > 0].all())


def test_light_of_a_neighbour_is_left_out() -> None:
    """What lies beside the tile's part of the code changes no reading that counts as the tile's own."""
    whole = operator(1.5)
    code = (slice(40, 90), slice(0, COLUMNS))
    reach = reach_of(whole.to_code, code, whole.size)
    alone = lit_by_no_other(whole.to_code, code, (ROWS, COLUMNS), reach)
    rng = np.random.default_rng(2)
    cube = rng.random(whole.masks.shape).astype(np.float32)
    beside = cube.copy()
    beside[:, 40:90] = 0
    seen = whole.predict(beside)[reach]
    assert np.abs(seen[alone]).max() < 1e-6
    assert np.abs(seen[~alone]).max() > 0.01
    part = whole.part(code, reach)
    np.testing.assert_allclose(part.predict(cube[:, 40:90])[alone], whole.predict(cube)[reach][alone], atol=1e-5)
    assert part_to_code(whole.to_code, code, reach).shape == (BANDS, 2, 3)
    outside = whole.predict(cube - beside)
    outside[reach] = 0
    assert np.abs(outside).max() == 0


@pytest.mark.parametrize("turn_deg", [0.0, 1.5])
def test_seams_are_far_below_the_noise(turn_deg: float) -> None:
    """The linear cube in strips leaves the whole one by far less than another draw of the noise changes it."""
    whole = operator(turn_deg)
    encoder = encoder_of(whole, noise=NOISE)
    x, made = scene((ROWS, COLUMNS)), decoder()
    draws = [encoder(x, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    with torch.no_grad():
        first, second = (made.image(y, encoder) for y in draws)
        tiled = decoded(made.image, draws[0], encoder)
    scatter = (second - first).square().mean(dim=(0, 1, 3)).sqrt() / 2**0.5
    apart = (tiled - first).square().mean(dim=(0, 1, 3)).sqrt()
    assert float(apart.max() / scatter.mean()) < 0.2
    assert float((first - x).square().mean()) == pytest.approx(float((tiled - x).square().mean()), rel=3e-3)


@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_a_designed_mask_is_cut_across_its_dispersion(axis: Any) -> None:
    size = (ROWS, COLUMNS) if axis == "columns" else (COLUMNS, ROWS)
    mask = (torch.rand(size, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    encoder = SdCassiEncoder(mask, size, None, Dispersion((0.0, 3.0, 6.5, 9.0), axis, 1), NOISE)
    x = torch.rand(1, BANDS, *size, generator=torch.Generator().manual_seed(1))
    y = encoder.A(x)
    tiles = list(encoder.tiles())
    assert len(tiles) == 3
    for tile in tiles:
        torch.testing.assert_close(tile.encoder.A(x[(..., *tile.image)]), y[(..., *tile.readings)])
    torch.testing.assert_close(decoded(lambda part, one: one.A_adjoint(part), y, encoder), encoder.A_adjoint(y))


def test_what_fits_at_once_is_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "AT_ONCE", BANDS * COLUMNS * ROWS)
    encoder = encoder_of(operator(0.0), noise=NOISE)
    assert list(encoder.tiles()) == []
    made, y = decoder(), encoder(scene((ROWS, COLUMNS)), torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(decoded(made.image, y, encoder), made.image(y, encoder))
