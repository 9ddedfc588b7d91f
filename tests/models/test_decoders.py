"""Decoders that learn over all modalities: shapes, features, the operator as an argument, and what is registered."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.decoder import Decoder
from cidesign.models.decoders import DECODERS, decoder_class
from cidesign.models.system import ImagingSystem
from cidesign.physics.base import Encoder
from cidesign.testing import decoders

CASES: dict[str, dict[str, Any]] = {
    "single-pixel": {"modality": "single-pixel"},
    "cassi": {"modality": "cassi"},
    "mri": {"modality": "mri"},
    "mri, 3 coils": {"modality": "mri", "coils": 3},
    "mri, odd": {"modality": "mri", "side": 13},
}
Make = Callable[..., ImagingSystem]


def _sample(settings: Any, channels: int, count: int, seed: int) -> Tensor:
    """Smooth random images with values around 1/2 (their channels are alike)."""
    noise = torch.randn(count, channels, settings.side, settings.side, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1, count_include_pad=False)
    return 0.5 + 0.3 * (smooth + smooth.mean(dim=1, keepdim=True))


def _channels(settings: Any) -> int:
    return {"single-pixel": 1, "cassi": 8, "mri": 2}[settings.modality]


@pytest.fixture(
    params=[name for name in DECODERS if decoder_class(name).learns and decoder_class(name).predicts == "images"]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=CASES)
def settings(request: pytest.FixtureRequest, kind: str, make_settings: Callable[..., Any]) -> Any:
    return make_settings(**CASES[request.param], decoder=kind)


@pytest.fixture
def images(settings: Any) -> Tensor:
    return _sample(settings, _channels(settings), 6, 1)


@pytest.fixture
def system(settings: Any, images: Tensor, make_system: Make) -> ImagingSystem:
    torch.manual_seed(1)
    return make_system(settings, _sample(settings, _channels(settings), 32, 2))


def _roughen(decoder: Decoder, strength: float = 0.1) -> None:
    """Away from the start, where the networks add nothing."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(strength * torch.randn(weight.shape, generator=generator))


@pytest.mark.parametrize("law", decoders.LAWS, ids=lambda law: law.__name__)
def test_laws(law: decoders.Law, system: ImagingSystem, images: Tensor, kind: str) -> None:
    law(decoder_class(kind), system.encoder, images)


def _uniform(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2))


def _shifted() -> MeasuredCassiEncoder:
    """Masks on a detector that lies a little shifted and turned."""
    to_code = torch.tensor([[[0.99, 0.02, 0.3 * band], [-0.02, 0.99, 0.1 - band]] for band in range(3)])
    return MeasuredCassiEncoder(_uniform(3, 6, 9), to_code, torch.tensor([0.9, 1.0, 0.7]), (6, 11))


# Operators as calibrations make them, which are never trained.
CALIBRATED: dict[str, tuple[Callable[[], Encoder], tuple[int, int, int]]] = {
    "grey patterns": (lambda: SinglePixelEncoder.fixed(_uniform(9, 12, 12) - 0.3), (1, 12, 12)),
    "a mask for each band": (
        lambda: SdCassiEncoder.fixed(_uniform(3, 6, 9), Dispersion((0.0, 0.7, 1.9), "columns", 1)),
        (3, 6, 9),
    ),
    "shifted masks": (_shifted, (3, 6, 9)),
}


@pytest.mark.parametrize("operator", CALIBRATED)
@pytest.mark.parametrize("law", decoders.LAWS, ids=lambda law: law.__name__)
def test_laws_with_calibrated_operators(law: decoders.Law, operator: str, kind: str) -> None:
    make, shape = CALIBRATED[operator]
    law(decoder_class(kind), make(), _uniform(4, *shape))


def test_image_and_features(system: ImagingSystem, images: Tensor, settings: Any) -> None:
    output = system(images)
    assert output.prediction.shape == images.shape
    assert output.prediction.dtype == output.features.dtype == torch.float32
    if settings.decoder != "unrolled":
        coarse = -(-settings.side // 8)
        assert output.features.shape == (6, 8 * settings.decoder_settings["channels"], coarse, coarse)
    else:
        coarse = -(-settings.side // 4)
        assert output.features.shape == (6, 3 * settings.decoder_settings["channels"], coarse, coarse)


def test_untrained_decoder_begins_at_the_linear_estimate(system: ImagingSystem, images: Tensor, kind: str) -> None:
    if kind == "back-projection":
        pytest.skip("it has no linear estimate")
    y = system.encoder(images, torch.Generator().manual_seed(1)).detach()
    with torch.no_grad():
        found = system.decoder(y, system.encoder).prediction
        torch.testing.assert_close(found, system.decoder.linear_estimate(y, system.encoder))


def test_the_operator_is_an_argument(system: ImagingSystem, images: Tensor, settings: Any, make_system: Make) -> None:
    """The operator that measured gives the better image, and what is decoded agrees with the one that was given."""
    other = make_system(settings, _sample(settings, _channels(settings), 32, 9)).encoder
    with torch.no_grad():
        other.weight.copy_(torch.rand(other.weight.shape, generator=torch.Generator().manual_seed(4)))
        y = other.A(images)
        if settings.modality == "mri":  # lines that were not measured are 0 in y; only a trained network tells
            other.weight.copy_(torch.arange(settings.side))  # far from the centre
            y = other.A(images)
            _roughen(system.decoder, 0.3)
        right, wrong = (system.decoder(y, encoder).prediction for encoder in (other, system.encoder))
    if settings.modality == "mri" and settings.decoder == "back-projection":
        # y is 0 on the other lines, so the zero-filled image is the same for both.
        assert torch.equal(right, wrong)
    elif settings.modality == "mri" or settings.decoder == "back-projection":
        assert float((right - wrong).norm()) > 1e-3 * float(right.norm())
    else:
        errors = [float((found - images).square().mean()) for found in (right, wrong)]
        assert errors[0] < 0.9 * errors[1]


def test_the_scene_is_measured_once(system: ImagingSystem, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder sees y alone: whatever the operator is asked later, noise is drawn once."""
    calls = []
    original = type(system.encoder).forward

    def counted(self: Encoder, *words: Any) -> Tensor:
        calls.append(1)
        return original(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(type(system.encoder), "forward", counted)
    first = system(images, torch.Generator().manual_seed(1)).prediction
    second = system(images, torch.Generator().manual_seed(1)).prediction
    assert len(calls) == 2
    assert torch.equal(first, second)


def test_every_parameter_learns(system: ImagingSystem, images: Tensor) -> None:
    """After two steps all weights of optics and decoder have moved; none hides in a list."""
    optimiser = torch.optim.Adam(system.parameters(), 1e-3)
    before = {name: weight.detach().clone() for name, weight in system.named_parameters()}
    for step in range(20):
        system.encoder.explore(0.1, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        (system(images, torch.Generator().manual_seed(step)).prediction - images).square().sum().backward()
        if step == 1:
            missing = [name for name, weight in system.decoder.named_parameters() if weight.grad is None]
            assert missing == []
            assert all(
                float(weight.grad.abs().max()) > 0  # type: ignore[union-attr]
                for name, weight in system.decoder.named_parameters()
                if name.endswith("weight")
            )
        optimiser.step()
    moved = {name for name, weight in system.named_parameters() if not torch.equal(weight, before[name])}
    assert {name for name in before if name == "encoder.weight" or name.endswith("weight")} <= moved


def test_everything_travels_with_the_weights(
    system: ImagingSystem, images: Tensor, settings: Any, make_system: Make
) -> None:
    """Prior, coil maps and step lengths included: another system with this state is the same system."""
    _roughen(system.decoder)
    twin = make_system(settings, _sample(settings, _channels(settings), 32, 7))
    twin.load_state_dict(system.state_dict())
    with torch.no_grad():
        pair = [part(images, torch.Generator().manual_seed(1)).prediction for part in (system, twin)]
    assert torch.equal(*pair)


def test_shorter_format_trains_and_stays_close(system: ImagingSystem, images: Tensor) -> None:
    _roughen(system.decoder)
    y = system.encoder.A(images).detach()
    with torch.no_grad():
        exact = system.decoder(y, system.encoder)
    system.decoder.training_dtype = torch.bfloat16
    short = system.decoder(y, system.encoder)
    assert short.prediction.dtype == short.features.dtype == torch.float32
    assert (short.prediction - exact.prediction).norm().item() < 0.05 * exact.prediction.norm().item()
    short.prediction.sum().backward()
    assert all(weight.grad is not None for weight in system.decoder.parameters())


def test_no_weight_hides_from_the_optimiser(system: ImagingSystem, images: Tensor) -> None:
    """Every leaf of the graph behind image and features is a registered parameter, and every parameter is a leaf."""
    for seed in range(100):
        system.encoder.explore(0.1, torch.Generator().manual_seed(seed))
        output = system(images, torch.Generator().manual_seed(1))
        nodes, leaves = [output.prediction.grad_fn, output.features.grad_fn], {}
        seen = set(nodes)
        while nodes:
            node = nodes.pop()
            if hasattr(node, "variable"):
                leaves[id(node.variable)] = node.variable
            following = {parent for parent, _ in node.next_functions if parent is not None} - seen
            seen |= following
            nodes += following
        if id(system.encoder.weight) in leaves:  # MRI lines are learnt in the steps in which they take turns
            break
    assert set(leaves) == {id(weight) for weight in system.parameters()}
