"""Processor time per frame of a reconstruction, beside other packages on the same work and the same readings.

Single-pixel: SPyRiT's Tikhonov operator with the whole covariance of our prior (exact, like ours), then our U-Net in
both.  MRI: SigPy's CG-SENSE and total variation with our coil maps, lines and number of steps.  SD-CASSI: deepinv's
proximal gradient with total variation on our camera, beside our GAP-TV and linear estimate, and its own camera.
One thread; each column is the shortest of `--repeats`, after one that warms up.  What is not installed is left out by
name.  The packages are none of this project's dependencies: an environment of its own serves them best
(`pip install spyrit sigpy deepinv`).

    python benchmarks/sizes/peers.py [--repeats 3]
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from cidesign.data.source import load_images
from cidesign.distill.loop import as_floats
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.gap_tv import designed_gap_tv
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder, to_channels
from cidesign.modalities.mri.solve import CG_ITERATIONS, CG_TOLERANCE, TV_ITERATIONS, cg_sense, total_variation
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.system import ImagingSystem
from cidesign.models.unet import LinearThenUNet
from cidesign.physics.linear_inverse import CosinePrior, dct_matrix

Work = Callable[[], Tensor]


@contextmanager
def optional(package: str) -> Iterator[None]:
    """Leave a package out that is not here, and say so."""
    try:
        yield
    except ImportError as error:
        print(f"  {package}: left out ({error})")


def system_of(profile_name: str, frames: int, **changes: Any) -> tuple[ImagingSystem, Tensor]:
    """A student before training, and images (frames, C, H, W) of its kind."""
    profile = load_profile(profile_name)
    settings = settings_for(profile, device="cpu", **changes).changed(images=256, validation_images=frames, batch=16)
    images = load_images(settings, profile)
    system = SystemMaker(settings, profile, torch.from_numpy(images.train)).system("student").eval()
    return system, as_floats(torch.from_numpy(images.validation))


def line(name: str, work: Work, truth: Tensor, repeats: int) -> None:
    """Print the milliseconds per frame of `work`, and the PSNR of what it makes."""
    found = work()
    shortest = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        shortest = min(shortest, time.process_time() - start)
    error = float((found - truth).square().mean())
    score = 10 * float(torch.log10(truth.abs().max() ** 2 / torch.tensor(error)))
    print(f"  {name:52s}{1e3 * shortest / len(truth):10.1f} ms/frame{score:8.2f} dB", flush=True)


def single_pixel(side: int, frames: int, repeats: int) -> None:
    """The exact linear estimate and a U-Net of 16 channels, at 10 % of the pixels."""
    system, x = system_of("dlp4500", frames, side=side, encoding="offset")
    encoder, decoder = cast(SinglePixelEncoder, system.encoder), cast(LinearThenUNet, system.decoder)
    y = encoder(x, torch.Generator().manual_seed(1))
    print(f"single-pixel {side} x {side}, {y.shape[1]} patterns, {frames} frames together")
    line("cidesign: linear estimate", lambda: decoder.linear_estimate(y, encoder), x, repeats)
    line("cidesign: linear estimate and U-Net", lambda: decoder(y, encoder).prediction, x, repeats)
    with encoder.unchanged():
        line("cidesign: linear estimate, operator kept", lambda: decoder.linear_estimate(y, encoder), x, repeats)
        line("cidesign: the same and U-Net, operator kept", lambda: decoder(y, encoder).prediction, x, repeats)
    with optional("SPyRiT"):
        from spyrit.core.inverse import Tikhonov
        from spyrit.core.meas import Linear

        cosines = torch.kron(dct_matrix(side), dct_matrix(side))
        sigma = cosines.T @ (decoder.prior.variance.flatten()[:, None] * cosines)
        matrix, mean = encoder.matrix().detach(), CosinePrior(decoder.prior).mean_image((side, side))
        operator = Tikhonov(Linear(matrix, meas_shape=(side, side)), sigma)
        noise = encoder.noise.typical_variance(float(decoder.prior.mean[0]), side) if encoder.noise else 1e-6
        gamma = noise * torch.eye(len(matrix)).expand(frames, 1, -1, -1)
        offset = encoder.A(mean)

        def theirs() -> Tensor:
            return cast(Tensor, operator((y - offset)[:, None], gamma)) + mean

        line("SPyRiT: Tikhonov, whole covariance", theirs, x, repeats)
        line("SPyRiT: the same and the U-Net", lambda: _refined(decoder, theirs()), x, repeats)


def _refined(decoder: LinearThenUNet, x_0: Tensor) -> Tensor:
    correction, _ = decoder.unet(decoder._padded(x_0))
    return x_0 + cast(Tensor, correction)


def mri(side: int, coils: int, repeats: int) -> None:
    """CG-SENSE and total variation, R = 4."""
    system, x = system_of("mri-generic-3t", 2, side=side, coils=coils)
    encoder = cast(CartesianEncoder, system.encoder)
    y = encoder(x, torch.Generator().manual_seed(1))
    print(f"MRI {side} x {side}, {coils} coils, R = 4")
    weight, strength = 2 * encoder.noise**2 / float(system.decoder.prior.variance[0].mean()), 0.5 * encoder.noise
    line(f"cidesign: CG-SENSE, at most {CG_ITERATIONS} steps", lambda: cg_sense(y, encoder, weight), x, repeats)
    line(f"cidesign: TV, {TV_ITERATIONS} steps", lambda: total_variation(y, encoder, strength), x, repeats)
    line("cidesign: linear estimate and U-Net", lambda: system.decoder(y, encoder).prediction, x, repeats)
    with optional("SigPy"):
        from sigpy.mri.app import SenseRecon, TotalVariationRecon

        maps = encoder.coil_maps.numpy()
        weights = np.broadcast_to(encoder.choice().detach().numpy()[None, :, None], maps.shape).astype(np.float32)

        def every(make: Callable[[Any], Any]) -> Tensor:
            images = [torch.from_numpy(np.asarray(make(one).run(), dtype=np.complex64)) for one in y.numpy()]
            return to_channels(torch.stack(images))

        def sense(one: Any) -> Any:
            return SenseRecon(
                one, maps, weight, weights, max_iter=CG_ITERATIONS, tol=CG_TOLERANCE * _norm(y), show_pbar=False
            )

        def varied(one: Any) -> Any:
            return TotalVariationRecon(one, maps, strength, weights, max_iter=TV_ITERATIONS, show_pbar=False)

        line("SigPy: CG-SENSE, as many steps", lambda: every(sense), x, repeats)
        line("SigPy: TV, as many steps", lambda: every(varied), x, repeats)


def _norm(y: Tensor) -> float:
    return float(y[0].abs().square().sum().sqrt())


def cassi(side: int, repeats: int) -> None:
    """Total variation, at most 60 steps, with the least shift of a pixel from band to band."""
    system, x = system_of("chrome-laser-10um", 2, side=side)
    bands = x.shape[1]
    # A camera that both packages can say: a pixel a band, along the columns, and the mean of the bands.
    optics = Dispersion(tuple(map(float, range(bands))), "columns", 1, "mean")
    drawn = (torch.rand(side, side, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    encoder = SdCassiEncoder(drawn, (side, side), None, optics, None).requires_grad_(False)
    y = encoder.A(x)
    prior = system.decoder.prior
    print(f"SD-CASSI {side} x {side} x {bands}, no noise")
    line("cidesign: GAP-TV, at most 60 steps", lambda: designed_gap_tv(y, encoder, prior), x, repeats)
    line("cidesign: linear estimate", lambda: encoder.estimator(prior).estimate(y), x, repeats)
    with optional("deepinv"):
        from deepinv.optim import L2, PGD, TVPrior
        from deepinv.physics import CompressiveSpectralImaging

        from cidesign.physics.deepinv import EncoderPhysics

        mask = drawn.expand(1, bands, side, side).clone()
        camera = CompressiveSpectralImaging((bands, side, side), mask, mode="sd", shear_dir="w")
        own = EncoderPhysics(encoder, is_complex=False)
        # The largest step that converges; of strengths from 1e-5 to 1e-2 this one serves best in 60 steps.
        step = 1 / float(encoder.norm_squared())
        solver = PGD(data_fidelity=L2(), prior=TVPrior(n_it_max=20), lambda_reg=1e-3, stepsize=step, max_iter=60)
        line("deepinv: proximal gradient, TV, 60 steps, our camera", partial(solver, y, own), x, repeats)
        for name, physics in (("cidesign: the camera and its adjoint", own), ("deepinv: the same", camera)):
            line(name, partial(_there_and_back, physics, x), x, repeats)


def _there_and_back(physics: Any, x: Tensor) -> Tensor:
    return cast(Tensor, physics.A_adjoint(physics.A(x)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", choices=["", "single-pixel", "mri", "cassi"])
    options = parser.parse_args()
    only, repeats = options.only, options.repeats
    torch.set_num_threads(1)
    with torch.no_grad():
        for side, frames in ((32, 1), (32, 16), (64, 1), (64, 16)):
            if only in ("", "single-pixel"):
                single_pixel(side, frames, repeats)
        if only in ("", "mri"):
            mri(256, 8, repeats)
        if only in ("", "cassi"):
            cassi(128, repeats)


if __name__ == "__main__":
    main()
