"""The optics of non-Cartesian shots for training: where they sample k-space."""

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor

from cidesign.constraints.gradients import GradientRule, Values, project, refinement
from cidesign.errors import InputError
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.data.phantoms import virtual_maps
from cidesign.modalities.mri.encoders.cartesian import fit_fourier_prior
from cidesign.modalities.mri.shots.encoder import FreeShots, ShotsEncoder, Timing, TurnedShots, nearest
from cidesign.modalities.mri.shots.settings import ShotSettings
from cidesign.modalities.mri.shots.shapes import Shape, Shots, arms, spokes
from cidesign.models.optics import Optics, WorkingValues, start_draws
from cidesign.pattern import Design, NonCartesian
from cidesign.physics.base import Encoder, ImagePrior, Images
from cidesign.physics.splitting import ITERATIONS

# Of splines: the time between two knots.
KNOTS_NS = 40_000
MOST_FREEDOM = 16.0


class ShotsOptics(Optics):
    """Relaxations: `shots2` (twice as many shots), `slew2` (twice the slew rate); any factor above 1."""

    stored_bytes = 2

    def __init__(self, settings: ShotSettings, profile: MriProfile) -> None:
        self.settings, self.profile = settings, profile
        self.bands, self.size = 2, settings.matrix
        self.rule = GradientRule.of(profile)
        self.scan = Shots(settings, self.rule, profile.id, profile.digest)

    def scan_of(self, relaxation: str | None) -> Shots:
        """The scan of a teacher, or (None) of the student; raises `InputError` for a relaxation that there is not."""
        if relaxation is None:
            return self.scan
        for word in ("shots", "slew"):
            times = _factor(relaxation, word)
            if times is None:
                continue
            if word == "slew":
                return Shots(self.settings, self.rule.with_slew(times), self.profile.id, self.profile.digest)
            more = self.settings.changed(shots=round(times * self.settings.shots))
            return Shots(more, self.rule, self.profile.id, self.profile.digest)
        raise InputError(
            f"ladder {relaxation}: a teacher of shots has more of them, written shots2, or a higher slew rate, written "
            f"slew2; factors are above 1, up to {MOST_FREEDOM:g}"
        )

    def _shape(self, scan: Shots) -> Shape:
        """What the optics begin with."""
        sampling = scan.settings.sampling
        chosen = scan.settings.begins if sampling == "free" else sampling
        return spokes(scan) if chosen == "radial" else arms(scan)

    @property
    def _rasters(self) -> int:
        """Raster times between two knots."""
        return max(1, round(KNOTS_NS / self.rule.raster_ns))

    def _timing(self, delay_ns: int) -> Timing:
        settings = self.settings
        return Timing(
            delay_ns / self.rule.raster_ns, settings.samples_per_shot, settings.dwell_ns / self.rule.raster_ns
        )

    def encoder(self, relaxation: str | None) -> ShotsEncoder:
        """A new encoder with the coils and the noise of the settings; of shots that are given, blank."""
        settings, scan = self.settings, self.scan_of(relaxation)
        maps = torch.ones(1, *self.size)
        if settings.coils > 1:
            count = settings.virtual_coils or settings.coils
            maps = torch.from_numpy(virtual_maps(settings.coils, self.size, count)[0].copy())
        coils = maps.to(torch.complex64)
        if settings.design is not None and relaxation is None:
            blank = torch.zeros(scan.settings.shots, 1, 2, dtype=torch.float64)
            return TurnedShots(torch.zeros(len(blank)), blank, self._timing(0), coils, settings.noise)
        shape = self._shape(scan)
        timing = self._timing(shape.delay_ns)
        if settings.sampling != "free":
            base = torch.from_numpy(shape.points)
            return TurnedShots(torch.zeros(len(base)), base, timing, coils, settings.noise)
        count = math.ceil(shape.points.shape[1] / self._rasters)
        refined = torch.from_numpy(refinement(count, self._rasters))
        bounds = scan.bounds.coarser(self._rasters)
        weight = torch.zeros(len(shape.points), count, 2)
        return FreeShots(weight, refined, bounds, timing, coils, settings.noise)

    def working_values(self, relaxation: str | None, learnt: bool) -> WorkingValues:
        """An image for each step of the splitting, and images of all coils and readings several times."""
        scan, image = self.scan_of(relaxation).settings, 2 * math.prod(self.size)
        coils = self.settings.virtual_coils or self.settings.coils
        reading = 2 * coils * scan.shots * scan.samples_per_shot
        return WorkingValues(reading, (ITERATIONS + 4) * image + 6 * (reading + coils * image))

    def start(self, relaxation: str | None, images: Images) -> Tensor:
        """Angles of 0, or the splines nearest to the shots that free ones begin with; at random each shot is turned."""
        scan = self.scan_of(relaxation)
        turned = torch.zeros(scan.settings.shots)
        if self.settings.optics_start == "random":
            turned = 2 * math.pi * torch.rand(len(turned), generator=start_draws(self.settings, relaxation))
        if self.settings.sampling != "free":
            return turned
        points = self._shape(scan).points
        cos, sin = np.cos(turned.double().numpy())[:, None], np.sin(turned.double().numpy())[:, None]
        down, right = points[..., 0], points[..., 1]
        return self._splines(scan, np.stack([cos * down - sin * right, sin * down + cos * right], axis=2))

    def _splines(self, scan: Shots, points: Values) -> Tensor:
        """The splines (shots, m, 2) nearest to control points on the raster that can be played."""
        rasters = self._rasters
        count = math.ceil(points.shape[1] / rasters)
        rest = np.repeat(points[:, -1:], rasters * count - points.shape[1], axis=1)
        whole = np.concatenate([points, rest], axis=1)
        found = np.einsum("mn,snk->smk", np.linalg.pinv(refinement(count, rasters)), whole)
        return torch.from_numpy(project(found, scan.bounds.coarser(rasters))).float()

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """Each shot takes what the teacher's nearest shot learnt.

        Shots with another number of samples, or of another timing, tell nothing of single shots: then they stay.
        """
        own, taught = cast(ShotsEncoder, encoder), cast(ShotsEncoder, teacher)
        with torch.no_grad():
            k, theirs = own.k(), taught.k().to(own.weight.device)
            if k.shape[1:] != theirs.shape[1:] or own.weight.shape[1:] != taught.weight.shape[1:]:
                return
            chosen = nearest(k, theirs)
            own.weight.copy_(taught.weight.detach().to(own.weight)[chosen])

    def limits(self) -> dict[str, float]:
        """Acceleration, readout time, coils and noise."""
        settings = self.settings
        return {
            "acceleration": settings.side / settings.shots,
            "readout_ns": settings.readout_ns,
            "coils": settings.coils,
            "noise": settings.noise,
        }

    def prior(self, images: Images) -> ImagePrior:
        """The power of every sample of centred k-space."""
        return fit_fourier_prior(images)

    def design(self, encoder: Encoder) -> NonCartesian:
        """The shots."""
        found = cast(ShotsEncoder, encoder)
        if found.given is not None:
            return found.given
        with torch.no_grad():
            points = found.points().cpu().double().numpy()
        return self.scan.design(Shape(points, round(found.timing.before * self.rule.raster_ns)))

    def place(self, encoder: Encoder, design: Design) -> None:
        """Hold the shots of the trajectory."""
        cast(ShotsEncoder, encoder).hold(cast(NonCartesian, design))


def _factor(word: str, name: str) -> float | None:
    """The factor of a word like `slew2`, or None where it is none."""
    try:
        times = float(word.removeprefix(name))
    except ValueError:
        return None
    return times if word.startswith(name) and 1 < times <= MOST_FREEDOM else None
