"""SD-CASSI as a calibration finds it: every band has its own mask, and its own affine way to the detector."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cidesign.calibration.cassi.operator import lit_by_no_other, part_to_code, reach_of, spread_of
from cidesign.modalities.cassi.encoders.sampling import sampling_of
from cidesign.modalities.cassi.encoders.strips import strips_across
from cidesign.physics.base import Encoder, ImagePrior, Tile
from cidesign.physics.linear_inverse import CosinePrior, resized_prior
from cidesign.physics.noise import PixelNoise
from cidesign.physics.splitting import LongSplittingEstimator, SplittingEstimator

# Variance of y where no noise is given: that of `SdCassiEncoder`.
NOISELESS_VARIANCE = 1e-6


class MeasuredCassiEncoder(Encoder):
    """y(q) = response_k B[masks_k x_k](T_k q) summed over the bands k, for cubes x (B, L, H, W); y is (B, h, w).

    B is the bilinear interpolation between the centres of code pixels, with zeros beside the code; T_k = `to_code[k]`
    (2, 3) gives (row, column) on the code for (row, column, 1) on the detector; `response` (L,).  The operator that a
    calibration measured: it is not trained.  Detector pixels that are not `valid` (h, w) read nothing at all: their
    rows of A are 0.  Masks may hold slightly negative transmissions, as noise leaves them.  With `thorough`, the linear
    estimate takes more steps; `variance` (h, w) is that of each reading, where it is known.
    """

    valid: Tensor
    variance: Tensor | None

    def __init__(
        self,
        masks: Tensor,
        to_code: Tensor,
        response: Tensor,
        size: tuple[int, int],
        valid: Tensor | None = None,
        noise: PixelNoise | None = None,
        *,
        thorough: bool = False,
        variance: Tensor | None = None,
    ) -> None:
        super().__init__()
        bands = len(masks) if masks.ndim == 3 else 0
        if not bands or to_code.shape != (bands, 2, 3) or response.shape != (bands,) or min(size) < 1:
            raise ValueError(
                f"masks {tuple(masks.shape)}, to_code {tuple(to_code.shape)}, response {tuple(response.shape)} and a "
                f"detector of {size} do not make an operator; (L, H, W), (L, 2, 3), (L,) and at least one pixel do"
            )
        for name, plane in (("valid pixels", valid), ("variances", variance)):
            if plane is not None and tuple(plane.shape) != tuple(size):
                raise ValueError(f"the map of {name} is {tuple(plane.shape)}, the detector {tuple(size)}")
        if variance is not None and not bool((variance > 0).all()):
            raise ValueError("the variance of every reading must be above 0")
        self.weight = nn.Parameter(masks.clone(), requires_grad=False)
        self.size, self.detector = (int(masks.shape[1]), int(masks.shape[2])), size
        self.noise, self.thorough = noise, thorough
        seeing = torch.ones(size, dtype=torch.bool) if valid is None else valid.bool()
        self.register_buffer("valid", seeing, persistent=False)
        self.register_buffer("variance", None if variance is None else variance.to(masks.dtype), persistent=False)
        self.to_code, self.response = to_code.double().cpu(), response
        self.sampling = sampling_of(to_code, response, (bands, *self.size), seeing, masks.dtype)

    @property
    def bands(self) -> int:
        """L."""
        return len(self.weight)

    def A(self, x: Tensor) -> Tensor:
        """Cubes (B, L, H, W) -> detector images (B, h, w)."""
        seen: Tensor = self.sampling(self.weight * x)
        return seen

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Detector images -> cubes (B, L, H, W)."""
        return self.weight * self.sampling.adjoint(y)

    def back_projection(self, y: Tensor) -> Tensor:
        """A^T y over the sum of squared responses: that of `SdCassiEncoder`, where bands are weighed."""
        return self.A_adjoint(y) / float(self.response.square().sum())

    def row_energy(self) -> Tensor:
        """The diagonal of A A^T (h, w): the squared light that reaches each detector pixel."""
        return self.sampling.gather(self.weight.square()[None], squared=True)[0]

    def row_sums(self) -> Tensor:
        """The sums of the rows of |A| |A|^T, (h, w): where bands are interpolated, more than `row_energy`.

        With E = diag(row sums), no eigenvalue of E^-1 A A^T is above 1.
        """
        ones = torch.ones(1, *self.detector, dtype=self.weight.dtype, device=self.weight.device)
        return self.sampling.gather(self.weight.square() * self.sampling.scatter(ones))[0]

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy detector images of cubes (B, L, H, W); pixels that are not valid read 0."""
        y = self.A(x)
        return y if self.noise is None else self.noise.sample(y, generator) * self.valid

    def mean_variance(self, prior: ImagePrior) -> float:
        """The variance of y for an average scene, mean over the valid pixels."""
        if self.noise is None:
            return NOISELESS_VARIANCE
        y = self.A(CosinePrior(prior).mean_image(self.size)).detach()
        return float(self.noise.variance(y)[0][self.valid].mean())

    def estimator(self, prior: ImagePrior) -> SplittingEstimator:
        """The linear estimate by splitting, as `SdCassiEncoder` has it; the long one where this is `thorough`.

        Interpolation couples neighbouring pixels, so the steps are scaled by the row sums of A A^T in place of its
        diagonal, with which they would be up to 4 times too long.  With whole shifts, both are equal.
        """
        covariance = CosinePrior(resized_prior(prior, self.size))
        kind = LongSplittingEstimator if self.thorough else SplittingEstimator
        return kind(
            self.A,
            self.A_adjoint,
            self.row_sums(),
            covariance.shrink,
            covariance.mean_image(self.size),
            self.mean_variance(prior) if self.variance is None else self.variance,
            float(prior.variance.mean()),
        )

    def tiles(self) -> Iterator[Tile]:
        """Strips across the dispersion, of a large mask; readings that see the scene beside a strip are not valid."""
        to_code = self.to_code.numpy()
        spread = spread_of(to_code, self.detector)
        axis = int(np.argmin(spread))
        for image, weight in strips_across(self.size, self.bands, axis, math.ceil(spread[axis])):
            reach = reach_of(to_code, image, self.detector)
            alone = torch.from_numpy(lit_by_no_other(to_code, image, self.size, reach)).to(self.valid.device)
            part = MeasuredCassiEncoder(
                self.weight[(slice(None), *image)],
                torch.from_numpy(part_to_code(to_code, image, reach)),
                self.response,
                (int(alone.shape[0]), int(alone.shape[1])),
                self.valid[reach] & alone,
                self.noise,
                thorough=self.thorough,
                variance=None if self.variance is None else self.variance[reach],
            )
            yield Tile(part.to(self.weight.device).eval(), reach, image, self.size, weight.to(self.weight))

    def norm_squared(self) -> Tensor:
        """Largest row sum of |A| |A|^T, which bounds the eigenvalues of A A^T."""
        return self.row_sums().max()

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """Not defined: a measured operator is a fact about a bench; raises `TypeError`."""
        raise TypeError("a measured operator is not trained, so it has no distance to a teacher")
