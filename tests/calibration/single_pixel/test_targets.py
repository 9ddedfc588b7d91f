"""The F card: none of the 8 orientations leaves it as it is, and its print is its picture."""

import io

import numpy as np
import pytest
from PIL import Image

from cidesign.calibration.single_pixel.targets import card_png, f_card
from cidesign.orientation import ORIENTATIONS


@pytest.mark.parametrize("side", [8, 12, 16, 32, 64])
def test_every_orientation_shows(side: int) -> None:
    card = f_card(side)
    turned = [orientation.apply(card) for orientation in ORIENTATIONS]
    for first in range(8):
        for second in range(first):
            assert np.abs(turned[first] - turned[second]).mean() > 0.05
    assert 0 <= card.min() < card.max() <= 1
    edge = np.concatenate([card[0], card[-1], card[:, 0], card[:, -1]])
    assert np.ptp(edge) == 0  # what lies beyond the card stays out of the readings
    assert edge[0] == card.min()


def test_the_print() -> None:
    with Image.open(io.BytesIO(card_png(16, 8))) as picture:
        assert picture.mode == "L"
        levels = np.asarray(picture)
    assert levels.shape == (128, 128)
    assert levels.reshape(16, 8, 16, 8).std(axis=(1, 3)).max() == 0
    assert levels[::8, ::8] / 255 == pytest.approx(f_card(16), abs=0.5 / 255)
