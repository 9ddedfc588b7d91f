"""The decoder of classes: the laws of all decoders, the operator as an argument, and how sure it may be."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.class_decoder import ClassDecoder, best_temperature, probabilities
from cidesign.models.classifier import Classifier
from cidesign.models.decoders import DECODERS, decoder_class
from cidesign.models.system import build_decoder
from cidesign.testing import decoders

CLASSIFIERS = [name for name in DECODERS if decoder_class(name).predicts == "classes"]
CASES: dict[str, dict[str, Any]] = {
    "single-pixel": {"modality": "single-pixel"},
    "cassi": {"modality": "cassi"},
    "mri, odd": {"modality": "mri", "side": 13},
}
CHANNELS = {"single-pixel": 1, "cassi": 8, "mri": 2}


def _uniform(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("law", decoders.LAWS, ids=lambda law: law.__name__)
def test_laws(
    law: decoders.Law, name: str, case: str, make_settings: Callable[..., Any], make_system: Callable[..., Any]
) -> None:
    settings = make_settings(**CASES[case])
    images = _uniform(6, CHANNELS[settings.modality], settings.side, settings.side)
    law(decoder_class(name), make_system(settings, images).encoder, images)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("law", decoders.LAWS, ids=lambda law: law.__name__)
def test_laws_with_a_calibrated_operator(law: decoders.Law, name: str) -> None:
    law(decoder_class(name), SinglePixelEncoder.fixed(_uniform(9, 12, 12) - 0.3), _uniform(4, 1, 12, 12))


def test_as_many_logits_as_the_data_has_classes(make_settings: Callable[..., Any]) -> None:
    settings = make_settings(decoder="classifier", task="classify", data="x", classes=("a", "b", "c"))
    found = build_decoder(settings, 1, (8, 8))
    assert isinstance(found, ClassDecoder)
    assert (found.classes, found.draws) == (3, False)
    assert build_decoder(make_settings(), 1, (8, 8)).draws
    before_images_are_read = build_decoder(settings.changed(classes=()), 1, (8, 8))
    assert isinstance(before_images_are_read, ClassDecoder)


def test_what_it_sees_is_the_image_and_not_the_readings() -> None:
    """Patterns in another order, with their readings, leave what it says as it is."""
    images, signed = _uniform(4, 1, 12, 12), _uniform(20, 12, 12, seed=3) - 0.5
    decoder = decoders.built(Classifier, images)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        one, other = (
            decoder(encoder.A(images), encoder).prediction
            for encoder in (SinglePixelEncoder.fixed(signed), SinglePixelEncoder.fixed(signed[order]))
        )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_softening_divides_all_logits() -> None:
    images = _uniform(4, 1, 12, 12)
    encoder, decoder = SinglePixelEncoder.fixed(_uniform(20, 12, 12) - 0.5), decoders.built(Classifier, images)
    assert isinstance(decoder, ClassDecoder)
    with torch.no_grad():
        before = decoder(encoder.A(images), encoder).prediction
        decoder.soften(2.5)
        after = decoder(encoder.A(images), encoder).prediction
    torch.testing.assert_close(after, before / 2.5)


def test_the_temperature_that_is_found() -> None:
    """Labels drawn with the probabilities of logits / 3: the temperature is 3; where they are right, it stays at 1."""
    generator = torch.Generator().manual_seed(1)
    logits = 6 * torch.randn(4000, 5, generator=generator)
    drawn = torch.multinomial((logits / 3).softmax(dim=1), 1, generator=generator)[:, 0]
    assert best_temperature(logits, drawn) == pytest.approx(3, rel=0.08)
    assert best_temperature(logits, logits.argmax(dim=1)) == 1
    assert best_temperature(logits, torch.randint(0, 5, (4000,), generator=generator)) == pytest.approx(20)


@pytest.mark.parametrize("seen", [1, 60, 10_000])
def test_few_images_never_make_it_sure(seen: int) -> None:
    found = probabilities(torch.tensor([[1000.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]), seen)
    assert found[0, 0].item() == pytest.approx(1 - 0.75 / (seen + 2))
    assert found[1].tolist() == [0.25] * 4
    assert found.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert math.isfinite(-math.log(found.min().item()))
