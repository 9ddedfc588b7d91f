"""The network of complex images sees them without their smooth phase."""

import math

import pytest
import torch
from torch import Tensor

from cidesign.constraints.kspace import LineBudget
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder, fit_fourier_prior
from cidesign.modalities.mri.encoders.fourier import smooth_phase, to_channels, to_complex
from cidesign.models.phase_unet import PhaseUNet
from cidesign.models.unet import LinearThenUNet, UNetSettings

SIDE = 32


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(5, 1, 8, 8, generator=generator)
    real = torch.nn.functional.interpolate(coarse, scale_factor=4.0)[:, 0] + 0.1
    return to_channels(real.to(torch.complex64))


def _phase() -> Tensor:
    """Some turns over the image, other ones down than to the right."""
    down, right = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return torch.exp(1j * (2 * math.pi * down / SIDE + 1.5 * torch.cos(2 * math.pi * right / SIDE) + 0.4))


def _rough(kind: type[LinearThenUNet], images: Tensor) -> LinearThenUNet:
    """A decoder that adds something, the same for both kinds."""
    torch.manual_seed(3)
    decoder = kind(2, (SIDE, SIDE), UNetSettings(channels=4))
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    decoder.set_prior(fit_fourier_prior(images))
    return decoder.eval()


def _encoder(lines: int) -> CartesianEncoder:
    weight = -(torch.arange(SIDE) - SIDE // 2).abs().float()
    return CartesianEncoder(weight, LineBudget(SIDE, lines, 2), torch.ones(1, SIDE, SIDE, dtype=torch.complex64), 1e-4)


def test_a_smooth_phase_is_found_as_it_is(images: Tensor) -> None:
    turned = to_channels(to_complex(images) * _phase())
    found = smooth_phase(turned)
    torch.testing.assert_close(found.abs(), torch.ones_like(found.abs()))
    left = (to_complex(turned) * found.conj()).angle()
    # The real image's own edges are the error, and the phase runs through three full turns.
    assert float(left.abs().mean()) < 0.2
    assert float(_phase().angle().amax() - _phase().angle().amin()) > 6
    assert torch.equal(smooth_phase(torch.zeros_like(images)), torch.ones_like(found))


def test_a_turn_of_the_image_turns_the_prediction(images: Tensor) -> None:
    """A phase that is the same everywhere is no matter to the network; to one that sees it, it is."""
    encoder = _encoder(12)
    turn = torch.exp(torch.tensor(1j * 2.1))
    for kind, exact in ((PhaseUNet, True), (LinearThenUNet, False)):
        decoder = _rough(kind, images)
        with torch.no_grad():
            plain = to_complex(decoder.image(encoder.A(images), encoder))
            turned = to_complex(decoder.image(encoder.A(to_channels(to_complex(images) * turn)), encoder))
        assert torch.allclose(turned, plain * turn, atol=1e-4) is exact
