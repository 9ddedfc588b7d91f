"""The encoder of a mask that is learnt, or given, and the one of PSFs that were measured."""

import torch
from torch import Tensor, nn

from cidesign.constraints.aperture import MinimumFeature
from cidesign.modalities.lensless.encoders.convolution import ConvolutionEncoder
from cidesign.modalities.lensless.encoders.propagation import Propagation
from cidesign.models.mask_relax import enlarge, feasible, project
from cidesign.pattern import ApertureMask
from cidesign.physics.noise import PixelNoise
from cidesign.physics.straight_through import limited


class MaskEncoder(ConvolutionEncoder):
    """The optics of one mask, or of several that are used one after the other.

    `weight` (K, rows, columns): with a rule, one value for each cell of the mask, rounded to what can be made
    (student); without one, the transmission of the amplitude itself, limited to [0, 1] (teachers).
    """

    def __init__(
        self, weight: Tensor, rule: MinimumFeature | None, light: Propagation, exponent: float, noise: PixelNoise | None
    ) -> None:
        super().__init__(light.geometry.sensor, light.geometry.image, noise)
        self.weight = nn.Parameter(weight.clone())
        self.rule, self.light, self.exponent, self.held = rule, light, exponent, False

    @property
    def channels(self) -> int:
        """Colour channels."""
        return len(self.light.lines)

    def response(self) -> Tensor:
        """cos(theta)^n at the directions of the image pixels."""
        down, across = (torch.from_numpy(line).to(self.weight) for line in self.light.geometry.tangents())
        return (1 + down[:, None].square() + across.square()) ** (-self.exponent / 2)

    def mask(self) -> Tensor:
        """The masks as built, (K, rows, columns), in [0, 1]; the gradient reaches `weight`."""
        return self.once("mask", self._mask)

    def _mask(self) -> Tensor:
        if self.rule is not None:
            return torch.stack([project(self.rule, one, *self.light.geometry.code) for one in self.weight])
        return self.weight if self.held else limited(self.weight, 0.0, 1.0)

    def latent(self) -> Tensor:
        """The weights as they are, one for each code pixel."""
        if self.rule is None:
            return self.weight
        return torch.stack([enlarge(self.rule, one, *self.light.geometry.code) for one in self.weight])

    def psf(self) -> Tensor:
        """What the masks throw on the sensor, (K, C, P, Q)."""
        return self.once("psf", self._psf)

    def _psf(self) -> Tensor:
        mask = self.mask()
        if self.rule is None:
            return self.light.psf(mask)
        # Light goes with the square of the field, whose slope is 0 where a cell is closed: no mask would ever open one.
        # t - t^2 is 0 for 0 and 1, and its slope, along rays, makes that of a cell what opening or closing it changes.
        return self.light.psf(mask) + self.light.straight(mask - mask.square())

    def hold(self, mask: Tensor) -> None:
        """Take a mask (rows, columns) as it is, grey values and broken rules included, and train it no more."""
        if tuple(mask.shape) != tuple(self.light.geometry.code):
            raise ValueError(f"a mask of {tuple(mask.shape)} for an encoder of {tuple(self.light.geometry.code)}")
        self.weight = nn.Parameter(mask[None].to(self.weight).clone(), requires_grad=False)
        self.rule, self.held = None, True

    def pattern(self, pitch_um: float, profile_id: str, profile_digest: str) -> ApertureMask:
        """The hard mask for the plate; needs a rule (only the student's optics can be made)."""
        if self.rule is None:
            raise TypeError("a teacher's real-valued mask cannot be made")
        cells = feasible(self.rule, self.weight[0].detach())
        levels = enlarge(self.rule, cells, *self.light.geometry.code).to(torch.uint8).cpu().numpy()
        return ApertureMask(levels, pitch_um, profile_id, profile_digest)


class MeasuredEncoder(ConvolutionEncoder):
    """The operator of PSFs (C, h + H - 1, w + W - 1) that were measured, and a `response` (H, W); it is not trained."""

    def __init__(self, psf: Tensor, response: Tensor, noise: PixelNoise | None = None) -> None:
        image = response.shape[0], response.shape[1]
        sensor = psf.shape[1] - image[0] + 1, psf.shape[2] - image[1] + 1
        super().__init__(sensor, image, noise)
        self.weight = nn.Parameter(psf.clone(), requires_grad=False)
        self.register_buffer("taken", response.to(psf).clone())

    @property
    def channels(self) -> int:
        """Colour channels."""
        return len(self.weight)

    def response(self) -> Tensor:
        """As measured or computed."""
        return self.get_buffer("taken")

    def psf(self) -> Tensor:
        """As measured, (1, C, P, Q)."""
        return self.weight[None]

    def latent(self) -> Tensor:
        """The PSFs themselves."""
        return self.weight
