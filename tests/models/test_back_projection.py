"""The decoder on the back-projection: what its network sees, in which order of size, and that nothing else is seen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.rules import BitDepth
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder, SharedTimeEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.back_projection import BackProjectionUNet
from cidesign.models.unet import UNetSettings
from cidesign.physics.base import ImagePrior


def _uniform(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_binary_patterns_are_divided_by_their_number() -> None:
    """Phi^T Phi x / K for patterns of -1 and 1."""
    weight = _uniform(5, 4, 4) - 0.5
    encoder = SinglePixelEncoder(weight, BitDepth(1, (1,), "test"), None)
    x = _uniform(2, 1, 4, 4, seed=2)
    phi = np.where(weight.numpy().reshape(5, 16) >= 0, 1.0, -1.0)
    wanted = x.numpy().reshape(2, 16) @ phi.T @ phi / 5
    found = encoder.back_projection(encoder.A(x)).detach().numpy().reshape(2, 16)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_the_size_of_patterns_does_not_count() -> None:
    """A real-valued teacher that starts small gives its network images as large as its student's."""
    patterns, x = _uniform(5, 4, 4) - 0.5, _uniform(2, 1, 4, 4, seed=2)
    large, small = (SinglePixelEncoder(scale * patterns, None, None) for scale in (1.0, 0.01))
    found = [encoder.back_projection(encoder.A(x)) for encoder in (large, small)]
    torch.testing.assert_close(*found)
    # The number is no way for a gradient: only Phi in Phi^T Phi x is.
    small.back_projection(small.A(x)).sum().backward()
    assert small.weight.grad is not None
    one = SinglePixelEncoder(0.01 * patterns, None, None)
    norm = 4**4 / float((0.01 * patterns).square().sum())
    (norm * one.A_adjoint(one.A(x))).sum().backward()
    torch.testing.assert_close(small.weight.grad, one.weight.grad)


@pytest.mark.parametrize(("reduction", "gain"), [("sum", 1.0), ("sum", 3.0), ("mean", 2.0)])
def test_cubes_are_divided_by_the_bands(reduction: Any, gain: float) -> None:
    """An open mask gives an even spectrum back as it is, where all bands meet; what multiplies y does not count."""
    optics = Dispersion((0.0, 1.0, 2.0), "columns", 1, reduction, gain)
    encoder = SdCassiEncoder.fixed(torch.ones(3, 9), optics)
    image = encoder.back_projection(encoder.A(torch.full((1, 3, 3, 9), 0.7)))
    assert image[0, :, :, 4].flatten().tolist() == pytest.approx([0.7] * 9)
    mask = _uniform(3, 9)
    plain = SdCassiEncoder.fixed(mask, Dispersion((0.0, 1.0, 2.0), "columns", 1))
    other = SdCassiEncoder.fixed(mask, optics)
    x = _uniform(2, 3, 3, 9, seed=3)
    torch.testing.assert_close(other.back_projection(other.A(x)), plain.back_projection(plain.A(x)))


def test_a_measured_camera_gives_images_as_large_as_the_designed_one() -> None:
    mask, gain = _uniform(6, 9), 0.8
    designed = SdCassiEncoder.fixed(mask, Dispersion((0.0, 1.0, 2.0), "columns", 1, gain=gain))
    to_code = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, -float(band)]] for band in range(3)])
    measured = MeasuredCassiEncoder(mask.expand(3, 6, 9), to_code, torch.full((3,), gain), (6, 11))
    x = _uniform(2, 3, 6, 9, seed=2)
    torch.testing.assert_close(measured.A(x), designed.A(x))
    found = [encoder.back_projection(encoder.A(x)) for encoder in (measured, designed)]
    torch.testing.assert_close(*found)


def test_lines_that_are_not_measured_are_filled_with_zeros() -> None:
    rule = LineBudget(8, 3, 2)
    encoder = CartesianEncoder(torch.arange(8.0), rule, torch.ones(1, 8, 6, dtype=torch.complex64), 0.01)
    x = _uniform(2, 2, 8, 6)
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x[:, 0] + 1j * x[:, 1], axes=(1, 2)), norm="ortho"), axes=(1, 2))
    k[:, [line for line in range(8) if line not in (3, 4, 7)]] = 0
    wanted = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(k, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    found = encoder.back_projection(encoder.A(x)).numpy()
    np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], wanted, atol=1e-5)


def test_shares_of_the_time_are_weighed_twice() -> None:
    encoder = SharedTimeEncoder(
        torch.arange(8.0) / 3, LineBudget(8, 3, 2), torch.ones(1, 8, 6, dtype=torch.complex64), 0.01
    )
    x = _uniform(2, 2, 8, 6)
    torch.testing.assert_close(encoder.back_projection(encoder.A(x)), encoder.A_adjoint(encoder.A(x)))


@pytest.mark.parametrize("modality", ["single-pixel", "cassi", "mri"])
def test_no_linear_estimate_is_seen(
    modality: str, make_settings: Callable[..., Any], make_system: Callable[..., Any]
) -> None:
    """Whatever the statistics of the images, the prediction stays the same to the last bit."""
    settings = make_settings(modality, decoder="back-projection")
    bands = {"single-pixel": 1, "cassi": 8, "mri": 2}[modality]
    x = _uniform(16, bands, settings.side, settings.side)
    system = make_system(settings, x)
    y = system.encoder.A(x)
    before = system.decoder(y, system.encoder).prediction
    old = system.decoder.prior
    system.decoder.set_prior(ImagePrior(old.mean + 0.3, old.basis, 9 * old.variance))
    assert torch.equal(system.decoder(y, system.encoder).prediction, before)


def test_the_network_makes_the_image_itself() -> None:
    """It begins with an image, not with nothing, and can overrule the readings."""
    torch.manual_seed(1)
    decoder = BackProjectionUNet(1, (8, 8), UNetSettings(channels=4))
    encoder = SinglePixelEncoder.fixed(_uniform(6, 8, 8) - 0.5)
    y = encoder.A(_uniform(2, 1, 8, 8))
    with torch.no_grad():
        image = decoder.image(y, encoder)
        assert image.std() > 0
        decoder.unet.last.bias.add_(1.0)
        torch.testing.assert_close(decoder.image(y, encoder), image + 1)
