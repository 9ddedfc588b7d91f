"""Cartesian MRI: which phase-encode lines, or points of two phase encodings, are measured, by one coil or several."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cidesign.constraints.kspace import Budget
from cidesign.modalities.mri.encoders.coils import CoilsEstimator, MaskNormal
from cidesign.modalities.mri.encoders.fourier import (
    centred_fft,
    centred_ifft,
    from_coils,
    measured,
    smooth_phase,
    to_channels,
    to_coils,
    to_complex,
)
from cidesign.modalities.mri.relax import hard_choice, select, soft_choice
from cidesign.pattern import CartesianLines, CartesianPoints, centre_block
from cidesign.physics.base import Encoder, Estimator, ImagePrior, Images, mean_over

# Scores have a standard deviation of 1 over the lines: at the first temperature some ten lines near the threshold
# take turns (of points the same share), at the last one next to none.
FIRST_TEMPERATURE, LAST_TEMPERATURE = 0.2, 0.05
# Exploration ends here, so that the decoder's last epochs see the lines that will be built.
EXPLORED = 0.6
# Shares of the scan time fall off over some ten lines, and none is so small that its square root has no slope.
SHARING_TEMPERATURE, LEAST_SHARE = 0.2, 1e-4


def fit_fourier_prior(images: Images) -> ImagePrior:
    """Fit the prior of complex images (B, 2, H, W): the mean power of every sample of centred k-space, mean 0."""
    power = mean_over(images, lambda batch: centred_fft(to_complex(batch)).abs().square().sum(dim=0))
    power = power.clamp_min(max(1e-6 * float(power.mean()), 1e-12)).float()
    eye = torch.eye(2, device=power.device)
    return ImagePrior(torch.zeros_like(eye[0]), eye, power.expand(2, -1, -1).clone())


class KspaceEstimator:
    """The linear estimate of one coil: every measured sample is shrunk by v / (v + s^2), the others are 0."""

    def __init__(self, mask: Tensor, prior: ImagePrior, variance: float) -> None:
        power = prior.variance[0]
        self.mask, self.shrinkage = mask, power / (power + variance)

    def estimate(self, y: Tensor) -> Tensor:
        """x_0 (B, 2, H, W) from k-space (B, 1, H, W)."""
        # y is 0 where nothing was measured.  Multiplied by the mask once more, the estimate would have no gradient
        # where that is 0, and no line could ever come in.
        return to_channels(centred_ifft(self.shrinkage * y[:, 0]))

    def unseen(self, x: Tensor) -> Tensor:
        """(I - G A) x: keep the samples that were not measured, and of the others what noise leaves open."""
        left = 1 - self.mask * self.shrinkage
        return to_channels(centred_ifft(left * centred_fft(to_complex(x))))


class CartesianEncoder(Encoder):
    """y = m F (s_c x) + n: a mask m of 0 and 1, centred orthonormal FFT, coil maps s (coils, H, W).

    Images are (B, 2, H, W), real and imaginary part; k-space is complex (B, coils, H, W), zero where nothing is
    measured.  `weight` holds the scores that the budget takes the highest of: (H,) of lines, phase encoding running
    along H, or (H, W) of points, where both axes are phase encodings.  `noise` is the standard deviation of real and
    imaginary part of each measured sample.
    """

    coil_maps: Tensor

    def __init__(self, weight: Tensor, rule: Budget, coil_maps: Tensor, noise: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.rule, self.noise = rule, noise
        self.register_buffer("coil_maps", coil_maps, persistent=True)
        self._temperature = LAST_TEMPERATURE
        self._perturbation: Tensor | None = None

    def explore(self, progress: float, generator: torch.Generator | None) -> None:
        """Anneal the temperature; with a generator, draw logistic noise on the scores in the first 60 % of training."""
        fraction = min(progress / EXPLORED, 1.0)
        self._temperature = FIRST_TEMPERATURE * (LAST_TEMPERATURE / FIRST_TEMPERATURE) ** fraction
        self._perturbation = None
        if generator is None or fraction >= 1:
            return
        draws = torch.rand(self.weight.shape, generator=generator, device=self.weight.device)
        self._perturbation = self._temperature * torch.logit(draws, eps=1e-6)

    def choice(self) -> Tensor:
        """0/1 in the shape of the scores, with exactly the budget; the gradient reaches `weight`."""
        return select(self.rule, self.weight, self._temperature, self._perturbation)

    def mask(self) -> Tensor:
        """The choice as it multiplies k-space: (H, 1) of lines, (H, W) of points."""
        chosen = self.choice()
        return chosen if chosen.ndim == 2 else chosen[:, None]

    def A(self, x: Tensor) -> Tensor:
        """Images (B, 2, H, W) -> k-space (B, coils, H, W)."""
        return self.mask() * self._all(x)

    def _all(self, x: Tensor) -> Tensor:
        return to_coils(to_complex(x), self.coil_maps)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """K-space (B, coils, H, W) -> images (B, 2, H, W)."""
        return self._combine(self.mask() * y)

    def back_projection(self, y: Tensor) -> Tensor:
        """The zero-filled image, over |A|^2; its gradient reaches what is not measured."""
        return self._combine(y) / self.norm_squared()

    def _combine(self, y: Tensor) -> Tensor:
        """The adjoint for k-space that is 0 already where nothing was measured (see `KspaceEstimator.estimate`)."""
        return to_channels(from_coils(y, self.coil_maps))

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy k-space (B, coils, H, W) of images (B, 2, H, W); what is not measured stays 0."""
        return self._noisy(x, generator, on_all=False)

    def _noisy(self, x: Tensor, generator: torch.Generator | None, on_all: bool) -> Tensor:
        maps = self.coil_maps
        draws = torch.randn(2, len(x), *maps.shape, generator=generator, device=maps.device)
        return measured(to_complex(x), self.mask(), maps, self.noise, draws, on_all)

    def smooth_phase(self, x: Tensor) -> Tensor:
        """The smooth phase of images (B, 2, H, W)."""
        return smooth_phase(x)

    def estimator(self, prior: ImagePrior) -> Estimator:
        """One coil: exact, point by point in k-space; several: by splitting."""
        if len(self.coil_maps) == 1:
            return KspaceEstimator(self.mask(), prior, 2 * self.noise**2)
        # K-space is 0 already where nothing was measured (see `KspaceEstimator.estimate`).
        return self._of_coils(prior, self.mask(), self._combine)

    def _of_coils(self, prior: ImagePrior, weights: Tensor, gathered: Callable[[Tensor], Tensor]) -> CoilsEstimator:
        """The estimate of several coils whose k-space A^H A weighs with `weights`; `gathered` is A^H."""
        # Mask and coil maps make the diagonal of A A^H at most this; it is exact where the maps' squares sum to 1.
        energy = self.norm_squared()
        normal = MaskNormal(self.coil_maps, weights)
        return CoilsEstimator(normal, weights, prior.variance[0], energy, 2 * self.noise**2, gathered)

    def norm_squared(self) -> Tensor:
        """Largest sum over coils of |s|^2, which bounds the eigenvalues."""
        return self.coil_maps.abs().square().sum(dim=0).max()

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """Effective: squared difference of the soft choices at this budget, over the budget; published: of masks.

        For one coil sum (m_s^2 - m_t^2)^2 is exactly |A^H A - B^H B|_F^2.  A hard teacher of a larger budget
        cannot rank its own subsets, so the teacher's scores are asked what they would choose with this budget.
        """
        if not isinstance(teacher, CartesianEncoder):
            raise TypeError("the teacher of an MRI encoder must be one")
        if published:
            return (self.choice() - teacher.choice().detach()).square().mean()
        own = soft_choice(self.rule, self.weight, FIRST_TEMPERATURE)
        wanted = soft_choice(self.rule, teacher.weight.detach(), FIRST_TEMPERATURE)
        return (own - wanted).square().sum() / self.rule.acquired

    def pattern(self, readout: int, profile_id: str, profile_digest: str) -> CartesianLines | CartesianPoints:
        """The lines or points for the scanner."""
        chosen = hard_choice(self.rule, self.weight).bool().cpu().numpy()
        return self.rule.trajectory(chosen, readout, profile_id, profile_digest)


class SharedTimeEstimator:
    """The linear estimate of one coil whose samples have shares of the time: a v / (a^2 v + s^2) for y = a k + n."""

    def __init__(self, amplitudes: Tensor, prior: ImagePrior, variance: float) -> None:
        power, a = prior.variance[0], amplitudes
        self.amplitudes, self.weight = a, a * power / (a.square() * power + variance)

    def estimate(self, y: Tensor) -> Tensor:
        """x_0 (B, 2, H, W) from k-space (B, 1, H, W)."""
        return to_channels(centred_ifft(self.weight * y[:, 0]))

    def unseen(self, x: Tensor) -> Tensor:
        """(I - G A) x."""
        return to_channels(centred_ifft((1 - self.weight * self.amplitudes) * centred_fft(to_complex(x))))


class SharedTimeEncoder(CartesianEncoder):
    """A teacher that shares the same scan time among all lines or points: y = sqrt(p) F (s_c x) + n, with sum p = L.

    A line measured with a share p of one excitation has its signal-to-noise ratio times sqrt(p).  No scanner can
    do this with p < 1; it relaxes the choice, not the time, and what is never measured has next to no share.
    """

    def explore(self, progress: float, generator: torch.Generator | None) -> None:
        """Nothing to explore: everything is measured, and the shares have an exact gradient."""

    def choice(self) -> Tensor:
        """sqrt(p) of every line or point."""
        return soft_choice(self.rule, self.weight, SHARING_TEMPERATURE).clamp_min(LEAST_SHARE).sqrt()

    def back_projection(self, y: Tensor) -> Tensor:
        """A^H y over |A|^2: everything is measured, each with its share."""
        return self.A_adjoint(y) / self.norm_squared()

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy k-space of everything; the noise does not shrink with the share."""
        return self._noisy(x, generator, on_all=True)

    def estimator(self, prior: ImagePrior) -> Estimator:
        """One coil: exact; several: by splitting."""
        amplitudes = self.mask()
        if len(self.coil_maps) == 1:
            return SharedTimeEstimator(amplitudes, prior, 2 * self.noise**2)
        return self._of_coils(prior, amplitudes.square(), lambda y: self._combine(amplitudes * y))

    def pattern(self, readout: int, profile_id: str, profile_digest: str) -> CartesianLines | CartesianPoints:
        """Shares of a line cannot be built."""
        raise TypeError("a teacher's shares of the scan time cannot be built")


def start_scores(images: Images, rule: Budget) -> Tensor:
    """Scores (H,) of lines or (H, W) of points that rank them by the energy each adds to a linear reconstruction.

    The images' phase is smooth, so once it is known from the centre, line -u follows from line u in part (partial
    Fourier imaging: Margosian 1985, Noll et al. 1991).  With e_u the mean energy of a line of images (B, 2, H, W)
    and p_u the part of it that line -u predicts, a line whose mirror image is missing adds e_u + p_-u e_-u, and
    one whose mirror image is there (1 - p_u) e_u.  The block that the phase is known from is there first, by energy
    alone.  Equal gains go to the higher line, so one side is preferred.  Points are ranked in the same way.
    Scores are logarithms of the gains, with mean 0 and standard deviation 1.
    """
    energy, predicted = _statistics(images, rule)
    core = _block(rule)
    numbers = torch.arange(core.numel()).reshape(core.shape)
    mirror = _mirrored(numbers, core.ndim)
    ahead = energy + _mirrored(predicted * energy, core.ndim)
    behind = (1 - predicted) * energy
    partner = _mirrored(ahead, core.ndim)
    # Of a pair the one that adds more comes first, so no gain depends on other pairs.
    first = (ahead > partner) | ((ahead == partner) & (numbers > mirror))
    gains = torch.where(first & ~_mirrored(core, core.ndim), ahead, behind)
    gains = torch.where(core | (mirror == numbers), energy, gains)
    scores = gains.clamp_min(1e-12).log()
    return ((scores - scores.mean()) / scores.std().clamp_min(1e-6)).float()


def _block(rule: Budget) -> Tensor:
    """Bool in the shape of the choice: the block around the centre that the phase is known from."""
    block = torch.zeros(rule.always.shape, dtype=torch.bool)
    parts = [centre_block(size, part) for size, part in zip(block.shape, rule.core, strict=True)]
    block[tuple(slice(part.start, part.stop) for part in parts)] = True
    return block


def _window(rule: Budget) -> Tensor:
    """The block with smooth edges, as it multiplies k-space: (H, 1) of lines, (H, W) of points."""
    window = torch.ones(())
    for axis, (size, part) in enumerate(zip(rule.always.shape, rule.core, strict=True)):
        along = torch.zeros(size)
        along[list(centre_block(size, part))] = torch.hann_window(part + 2, periodic=False)[1:-1]
        window = window * (along[:, None] if axis == 0 else along)
    return window


def _statistics(images: Images, rule: Budget) -> tuple[Tensor, Tensor]:
    """Mean energy of every line or point, and the part of it that the mirrored one predicts; float64, on the CPU.

    The phase that this needs is that of the block around the centre, as a reconstruction would estimate it.
    """
    small = _window(rule)

    def products(batch: Tensor) -> Tensor:
        """|k|^2 of every sample, and its product with the mirrored sample, once the phase is taken out."""
        x = to_complex(batch)
        phase = centred_ifft(small.to(x.device) * centred_fft(x)).angle()
        k = centred_fft(x * torch.polar(torch.ones_like(phase), -phase))
        return torch.stack([(k * k.conj()).sum(dim=0), (k * _mirrored(k)).sum(dim=0)])

    power, product = mean_over(images, products)
    power = power.real.clamp_min(1e-12)
    predicted = product.abs().square() / _mirrored(power)
    if rule.always.ndim == 1:
        power, predicted = power.sum(dim=1), predicted.sum(dim=1)
    return power.cpu(), (predicted / power).clamp(0, 1).cpu()


def _mirrored(k: Tensor, axes: int = 2) -> Tensor:
    """Every sample of k-space from the other side of its centre, along the last `axes` axes."""
    for axis in range(-axes, 0):
        count = k.shape[axis]
        k = k.index_select(axis, ((2 * (count // 2) - torch.arange(count, device=k.device)) % count))
    return k
