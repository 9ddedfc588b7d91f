"""The unrolled decoder: stages, what the readings take back, memory for time, and the weights of its predecessor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cidesign.errors import FileError
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.system import load_student
from cidesign.models.unet import LinearThenUNet, UNetSettings
from cidesign.models.unrolled import Unrolled, UnrolledSettings
from cidesign.physics.base import Encoder, ImagePrior


def _uniform(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _decoder(bands: int, side: int, roughness: float = 0.1, **settings: Any) -> Unrolled:
    torch.manual_seed(4)
    decoder = Unrolled(bands, (side, side), UnrolledSettings(**{"channels": 4, "stages": 3, **settings}))
    decoder.set_prior(ImagePrior(torch.full((bands,), 0.4), torch.eye(bands), torch.ones(bands, side, side)))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(roughness * torch.randn(weight.shape, generator=generator))
    return decoder


# Operators whose rows do not mix, or are inverted exactly: what the readings say of an image can be taken back whole.
OPERATORS: dict[str, tuple[Callable[[], Encoder], int, int]] = {
    "patterns": (lambda: SinglePixelEncoder.fixed(_uniform(20, 16, 16) - 0.5), 1, 16),
    "mask": (lambda: SdCassiEncoder.fixed(_uniform(12, 12).round(), Dispersion((0.0, 1.0, 3.0), "rows", 1)), 3, 12),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_no_stage_overrules_clean_readings(name: str) -> None:
    make, bands, side = OPERATORS[name]
    encoder, decoder = make(), _decoder(bands, side)
    y = encoder.A(_uniform(2, bands, side, side, seed=3))
    with torch.no_grad():
        linear, found = decoder.linear_estimate(y, encoder), decoder(y, encoder).prediction
    assert float((found - linear).norm()) > 0.1 * float(linear.norm())  # the networks have a say ...
    left = float((encoder.A(found) - encoder.A(linear)).norm())
    assert left < 1e-3 * float(encoder.A(found - linear).norm() + encoder.A(linear).norm())  # ... and not there


def test_later_stages_see_what_the_readings_took_back() -> None:
    """Without the operator between them, the stages' networks alone would give another image."""
    encoder, decoder = SinglePixelEncoder.fixed(_uniform(20, 16, 16) - 0.5), _decoder(1, 16)
    seen: list[Tensor] = []
    for stage in decoder.stages:
        stage.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    y = encoder.A(_uniform(2, 1, 16, 16))
    with torch.no_grad():
        decoder(y, encoder)
    assert [len(image[0]) for image in seen] == [1, 2, 2]
    for image in seen[1:]:
        taken = image[:, 1:]
        # What was taken back is all in the patterns' span, and nothing of it is left in the image that enters.
        inside = decoder.prior_variance.mean().sqrt() * taken
        unseen = encoder.estimator(decoder.prior).unseen(inside)
        assert float(unseen.norm()) < 1e-3 * float(inside.norm())
        assert float(inside.norm()) > 0


@pytest.mark.parametrize("bands", [1, 2, 8])
def test_as_many_parameters_as_the_unet(bands: int) -> None:
    """The shipped settings of both: never more than 2 % above."""
    counts = [
        sum(weight.numel() for weight in decoder.parameters())
        for decoder in (
            Unrolled(bands, (16, 16), UnrolledSettings()),
            LinearThenUNet(bands, (16, 16), UNetSettings()),
        )
    ]
    assert 0.93 * counts[1] < counts[0] < 1.02 * counts[1]


def _gradients(decoder: Unrolled, encoder: SdCassiEncoder, images: Tensor) -> tuple[list[Tensor], int]:
    """Prediction and all gradients, and how many values the graph keeps."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    decoder.zero_grad()
    encoder.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = decoder(encoder.A(images), encoder)
    ((output.prediction - images).square().mean() + output.features.square().mean()).backward()
    weights = [*decoder.parameters(), encoder.weight]
    return [output.prediction.detach(), *(torch.as_tensor(weight.grad).clone() for weight in weights)], sum(
        kept.values()
    )


@pytest.mark.parametrize("short", [None, torch.bfloat16])
def test_stages_that_are_computed_twice_give_the_same_bits(short: torch.dtype | None) -> None:
    images = _uniform(3, 3, 13, 13)
    encoder = SdCassiEncoder(_uniform(13, 13), (13, 13), None, Dispersion((0.0, 1.0, 2.0), "columns", 1), None)
    found = []
    for kept_gb in (1.0, 0.0):
        decoder = _decoder(3, 13, kept_gb=kept_gb)
        decoder.training_dtype = short
        found.append(_gradients(decoder, encoder, images))
    (plain, much), (again, little) = found
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
    assert little < 0.5 * much


def test_memory_decides_what_is_computed_twice() -> None:
    """By the size of the batch, and never where no gradient is wanted."""
    encoder, decoder = SinglePixelEncoder.fixed(_uniform(20, 16, 16)), _decoder(1, 16, kept_gb=3e-4)
    calls: list[int] = []
    decoder.stages[0].register_forward_hook(lambda *words: calls.append(len(words[1][0])))
    for count in (2, 8):
        decoder(encoder.A(_uniform(count, 1, 16, 16)), encoder).prediction.sum().backward()
    with torch.no_grad():
        decoder(encoder.A(_uniform(8, 1, 16, 16)), encoder)
    assert calls == [2, 8, 8, 8]


def test_weights_of_the_earlier_decoder_are_refused(
    finished_run: Callable[..., Any], make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    run = finished_run(tmp_path / "run", make_settings("cassi", decoder="unrolled"), CassiRun)
    load_student(run)
    path = run.path / "student.safetensors"
    others = {name: part for name, part in load_file(path).items() if not name.startswith("decoder.stages")}
    save_file({**others, "decoder.steps": torch.ones(2)}, path)
    with pytest.raises(FileError, match=r"student.safetensors: these weights are of an earlier unrolled decoder"):
        load_student(run)
