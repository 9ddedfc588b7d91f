"""The U-Net decoder: sides that do not halve, and readings that it cannot overrule."""

import pytest
import torch

from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.models.unet import LinearThenUNet, UNet, UNetSettings
from cidesign.physics.base import ImagePrior
from cidesign.physics.noise import DetectorNoise


def _encoder(side: int, count: int) -> SinglePixelEncoder:
    return SinglePixelEncoder.fixed(low_frequency_cosines(side, count), DetectorNoise(1e6, 10.0, "complementary"))


@pytest.mark.parametrize("side", [8, 12, 13, 32])
def test_any_side_is_decoded(side: int) -> None:
    decoder, encoder = LinearThenUNet(1, (side, side), UNetSettings(channels=4)), _encoder(side, 10)
    output = decoder(torch.zeros(2, 10), encoder)
    padded = side + -side % 8
    assert output.prediction.shape == (2, 1, side, side)
    assert output.features.shape == (2, 32, padded // 8, padded // 8)


def test_features_are_the_bottleneck() -> None:
    assert UNet(4, 3).encode(torch.zeros(1, 3, 16, 24))[-1].shape == (1, 32, 2, 3)
    correction, features = UNet(4, 3)(torch.rand(1, 3, 16, 24))
    assert correction.shape == (1, 3, 16, 24)
    assert features.shape == (1, 32, 2, 3)


def test_the_operator_is_an_argument() -> None:
    """Measured and decoded with exchanged patterns the linear estimate is the same; with the wrong ones it is not."""
    decoder = LinearThenUNet(1, (16, 16), UNetSettings(channels=4))
    variance = 1 / (1 + torch.arange(16.0)[:, None] ** 2 + torch.arange(16.0))
    decoder.set_prior(ImagePrior(torch.tensor([0.4]), torch.eye(1), variance[None]))
    patterns = torch.from_numpy(low_frequency_cosines(16, 20))
    exchanged = SinglePixelEncoder.fixed(patterns.flip(0))
    designed = SinglePixelEncoder.fixed(patterns)
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    right = decoder.linear_estimate(designed.A(x), designed)
    torch.testing.assert_close(decoder.linear_estimate(exchanged.A(x), exchanged), right, atol=1e-4, rtol=1e-4)
    assert (decoder.linear_estimate(exchanged.A(x), designed) - right).abs().max() > 0.05


def test_gradient_reaches_the_optics_through_both_ways() -> None:
    encoder = SinglePixelEncoder(torch.randn(6, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.3, None, None)
    decoder = LinearThenUNet(1, (8, 8), UNetSettings(channels=4))
    y = encoder(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(2)))
    decoder(y.detach(), encoder).prediction.square().sum().backward()  # the operator's own way
    assert encoder.weight.grad is not None
    assert float(encoder.weight.grad.norm()) > 0


def test_the_network_cannot_overrule_clean_readings() -> None:
    torch.manual_seed(4)
    decoder = LinearThenUNet(1, (16, 16), UNetSettings(channels=4))
    torch.nn.init.normal_(decoder.unet.last.weight)
    encoder = SinglePixelEncoder.fixed(low_frequency_cosines(16, 20))
    x = torch.rand(2, 1, 16, 16)
    y = encoder.A(x)
    found = decoder(y, encoder).prediction
    assert (found - decoder.linear_estimate(y, encoder)).abs().max() > 0.01
    torch.testing.assert_close(encoder.A(found), y, atol=1e-4, rtol=0)
