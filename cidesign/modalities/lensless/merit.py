"""What can be said of a lensless camera's mask alone."""

import torch

from cidesign.modalities.lensless.encoders.convolution import ConvolutionEncoder, seen, spread
from cidesign.modalities.lensless.encoders.designed import MaskEncoder
from cidesign.physics.base import ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.encoder_metrics import operator_coherence
from cidesign.physics.linear_bound import Bound, LinearModel, linear_bound
from cidesign.physics.linear_inverse import resized_prior
from cidesign.physics.merit import Merit, NotEvaluated

# Every unknown's readings are computed: about 20 seconds of one processor.
MAX_UNKNOWNS = 2**13
# What the transfer function passes less than this of its largest value of counts as not passed.
LEAST_TRANSFER = 1e-6


@torch.no_grad()
def lensless_merits(encoder: MaskEncoder) -> dict[str, Merit]:
    """Light, condition of the transfer function, highest side lobe, and coherence of the columns."""
    unknowns = encoder.channels * encoder.size[0] * encoder.size[1]
    coherence: Merit = NotEvaluated(
        f"{unknowns} unknowns, each of which would have to be measured; the limit is {MAX_UNKNOWNS}"
    )
    if unknowns <= MAX_UNKNOWNS:
        coherence = operator_coherence(
            encoder.A, encoder.A_adjoint, (encoder.channels, *encoder.size), _device(encoder)
        )
    return {
        "open_fraction": float(encoder.mask().mean()),
        "transfer_condition": transfer_condition(encoder),
        "side_lobe": side_lobe(encoder),
        "column_coherence": coherence,
    }


def _device(encoder: MaskEncoder) -> torch.device:
    return encoder.weight.device


def transfer_condition(encoder: ConvolutionEncoder) -> float:
    """Largest over root mean harmonic square of |F psf_c| off the zero frequency, on the plane of an image: 1 if flat.

    1 / mean(1 / |T|^2) is the square of how much an inverse filter amplifies white noise.  The PSF is folded onto the
    image's own period, where a mosaic of uniformly redundant arrays is flat; the largest of all channels.
    """
    psf = encoder.psf()
    rows, columns = encoder.size
    folded = psf.new_zeros(*psf.shape[:2], rows, columns)
    for top in range(0, psf.shape[2], rows):
        for left in range(0, psf.shape[3], columns):
            part = psf[:, :, top : top + rows, left : left + columns]
            folded[:, :, : part.shape[2], : part.shape[3]] += part
    power = torch.fft.fft2(folded.double()).abs().square().sum(dim=0).flatten(1)[:, 1:]
    largest = power.amax(dim=1)
    harmonic = 1 / (1 / power.clamp_min(LEAST_TRANSFER**2 * largest[:, None])).mean(dim=1)
    return float((largest / harmonic).sqrt().max())


def side_lobe(encoder: ConvolutionEncoder) -> float:
    """The highest value of the autocorrelation of a PSF less its mean beside its peak, over the peak."""
    psf = encoder.psf().double()
    centred = psf - psf.mean(dim=(2, 3), keepdim=True)
    power = torch.fft.rfft2(centred).abs().square().sum(dim=0)
    lags = torch.fft.irfft2(power, s=psf.shape[2:])
    near = lags.clone()
    near[:, 0, 0] = -torch.inf
    return float((near.amax(dim=(1, 2)) / lags[:, 0, 0]).max())


@torch.no_grad()
def lensless_bound(encoder: ConvolutionEncoder, prior: ImagePrior) -> Bound | NotEvaluated:
    """The linear bound, with the noise of the mean image; principal colours and their 2-D DCT are the basis."""
    prior = ImagePrior(*(part.double() for part in resized_prior(prior, encoder.size)))
    down, across = (dct_matrix(count).to(prior.basis) for count in encoder.size)
    mean = prior.mean[None, :, None, None].expand(1, -1, *encoder.size)
    transfer, response = encoder.transfer().to(torch.complex128), encoder.response().double()
    sensor, image, plane = encoder.sensor, encoder.size, encoder.plane
    predicted = seen(mean, transfer, response, sensor, plane)
    noise = torch.full_like(predicted, 1e-12) if encoder.noise is None else encoder.noise.variance(predicted)
    # tr A^T S^-1 A over the unknowns, by one random draw of signs.
    signs = torch.randint(0, 2, predicted.shape, generator=torch.Generator().manual_seed(0)).to(predicted) * 2 - 1
    back = spread(signs / noise.sqrt(), transfer, response, image, plane)
    precision = float(back.square().sum()) / prior.variance.numel()

    def transform(x: torch.Tensor) -> torch.Tensor:
        return down @ torch.einsum("ij,bjhw->bihw", prior.basis, x) @ across.T

    def inverse(coefficients: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ji,bjhw->bihw", prior.basis, down.T @ coefficients @ across)

    return linear_bound(
        LinearModel(
            lambda x: seen(x, transfer, response, sensor, plane).flatten(1),
            lambda y: spread(y.reshape(-1, *predicted.shape[1:]), transfer, response, image, plane),
            transform,
            inverse,
            prior.variance,
            noise.flatten(),
            precision,
        )
    )
