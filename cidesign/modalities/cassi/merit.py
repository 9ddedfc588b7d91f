"""What can be said of a coded aperture alone."""

import torch
from torch import Tensor

from cidesign.distill.loop import evaluation_batches
from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
from cidesign.physics.base import ImagePrior, looking_at
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.encoder_metrics import band_correlation, operator_coherence
from cidesign.physics.linear_bound import Bound, LinearModel, linear_bound, mean_bound
from cidesign.physics.linear_inverse import resized_prior
from cidesign.physics.merit import Merit, NotEvaluated

# Every unknown's image is measured: about 20 seconds of one processor.
MAX_UNKNOWNS = 2**14
MOST_CUBES, MOST_PLACES = 16, 4


@torch.no_grad()
def mask_merits(encoder: SdCassiEncoder, cubes: Tensor) -> dict[str, Merit]:
    """Open share, coherence of the columns, and how alike the bands of A^T A x are for stored cubes x (M, L, H, W)."""
    bands = len(encoder.dispersion.shift_px)
    unknowns = bands * encoder.size[0] * encoder.size[1]
    coherence: Merit = NotEvaluated(
        f"{unknowns} unknowns, each of which would have to be measured; the limit is {MAX_UNKNOWNS}"
    )
    if unknowns <= MAX_UNKNOWNS:
        coherence = operator_coherence(encoder.A, encoder.A_adjoint, (bands, *encoder.size), encoder.weight.device)
    some = cubes[torch.linspace(0, len(cubes) - 1, min(len(cubes), MOST_CUBES)).round().long()]
    seen = [encoder.A_adjoint(encoder.A(x)) for x in evaluation_batches(some, encoder)]
    return {
        "open_fraction": float(encoder.mask().mean()),
        "column_coherence": coherence,
        "band_correlation": band_correlation(torch.cat(seen)),
    }


def mask_bound(encoder: SdCassiEncoder, prior: ImagePrior) -> Bound | NotEvaluated:
    """The linear bound, with the noise of the mean cube; of optics that are trained in parts, the mean over parts."""
    places = encoder.places(None)
    some = [places[number * len(places) // MOST_PLACES] for number in range(MOST_PLACES)]
    parts = []
    for place in places if len(places) <= MOST_PLACES else some:
        with looking_at(place, encoder):
            parts.append(linear_bound(mask_model(encoder, prior)))
    return mean_bound(parts, len(places))


@torch.no_grad()
def mask_model(encoder: SdCassiEncoder, prior: ImagePrior) -> LinearModel:
    """What is looked at, in double precision: the spectra's principal components and their 2-D DCT are the basis."""
    own = SdCassiEncoder.fixed(encoder.mask().double(), encoder.dispersion)
    prior = ImagePrior(*(part.double() for part in resized_prior(prior, encoder.size)))
    down, across = (dct_matrix(count).to(prior.basis) for count in encoder.size)
    mean = prior.mean[None, :, None, None].expand(1, -1, *encoder.size)
    seen = own.A(mean)
    noise = torch.full_like(seen, 1e-6) if encoder.noise is None else encoder.noise.variance(seen)
    # tr A^T S^-1 A over the unknowns.
    precision = float((own.row_energy() / noise.clamp_min(1e-9 * float(noise.mean()))).sum()) / prior.variance.numel()

    def transform(x: Tensor) -> Tensor:
        return down @ torch.einsum("ij,bjhw->bihw", prior.basis, x) @ across.T

    def inverse(coefficients: Tensor) -> Tensor:
        return torch.einsum("ji,bjhw->bihw", prior.basis, down.T @ coefficients @ across)

    return LinearModel(
        lambda x: own.A(x).flatten(1),
        lambda y: own.A_adjoint(y.reshape(-1, *seen.shape[1:])),
        transform,
        inverse,
        prior.variance,
        noise.flatten(),
        precision,
    )
