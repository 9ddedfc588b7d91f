"""The laws of a decoder, for any operator: a designed one, a calibrated one, any modality's.

    @pytest.mark.parametrize("law", decoders.LAWS, ids=lambda law: law.__name__)
    def test_my_decoder(law):
        law(MyDecoder, encoder, images)

A law takes the decoder's class, an encoder and at least three images (B, C, H, W); it raises `AssertionError`.
"""

from collections.abc import Callable

import torch
from safetensors.torch import load, save
from torch import Tensor

from cidesign.modality import modalities
from cidesign.models.class_decoder import ClassDecoder
from cidesign.models.decoder import Decoder
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.testing.encoders import exploring, require

Law = Callable[[type[Decoder], Encoder, Tensor], None]


def built(kind: type[Decoder], images: Tensor, seed: int = 1, roughness: float = 0.03) -> Decoder:
    """A decoder of `kind` for such images, with weights away from its start, in eval mode.

    A larger `roughness` makes deep networks amplify rounding.
    """
    torch.manual_seed(seed)
    decoder = kind(images.shape[1], (images.shape[-2], images.shape[-1]), kind.settings_type())
    mean = images.mean(dim=(0, 2, 3))
    decoder.set_prior(ImagePrior(mean, torch.eye(images.shape[1]), torch.ones(images.shape[1:])))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(roughness * torch.randn(weight.shape, generator=generator))
    return decoder.eval()


def settings_have_defaults_and_names_of_their_own(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """Each setting can be left out, and none is called as a setting of a run."""
    own = set(kind.settings_type().model_dump())
    for modality in modalities():
        taken = own & {*modality.settings_type.model_fields, *modality.words, *modality.derived}
        require(not taken, f"{', '.join(sorted(taken))}: the name of a setting of {modality.name} runs")


def predicts_what_it_says(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """Images (B, C, H, W) or logits (B, classes), and features (B, F, h, w), finite float32."""
    decoder = built(kind, images)
    output = decoder(encoder.A(images), encoder)
    shape = (len(images), decoder.classes) if isinstance(decoder, ClassDecoder) else tuple(images.shape)
    require(
        (decoder.predicts == "classes") == isinstance(decoder, ClassDecoder), "decoders of classes are `ClassDecoder`s"
    )
    require(output.prediction.shape == shape, f"prediction {tuple(output.prediction.shape)}, not {shape}")
    require(output.features.ndim == 4 and len(output.features) == len(images), "features are not (B, F, h, w)")
    for name, part in output._asdict().items():
        require(part.dtype == torch.float32 and bool(torch.isfinite(part).all()), f"{name}: not finite float32")


def images_of_a_batch_do_not_mix(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """An image is decoded alone as in a batch."""
    decoder = built(kind, images)
    with torch.no_grad():
        y = encoder.A(images)
        whole, one = (decoder(part, encoder).prediction for part in (y, y[2:3]))
    torch.testing.assert_close(one, whole[2:3], atol=1e-4, rtol=1e-4)


def repeats_itself_in_eval(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """The same measurements give the same bits."""
    decoder = built(kind, images)
    with torch.no_grad():
        y = encoder.A(images)
        first, second = (decoder(y, encoder).prediction for _ in range(2))
    require(torch.equal(first, second), "two predictions of the same measurements differ")


def everything_travels_with_the_weights(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """Weights that were written and read as safetensors give a new decoder the same bits."""
    decoder, other = built(kind, images), built(kind, images, seed=2)
    other.load_state_dict(load(save({name: part.contiguous() for name, part in decoder.state_dict().items()})))
    with torch.no_grad():
        y = encoder.A(images)
        require(torch.equal(decoder(y, encoder).prediction, other(y, encoder).prediction), "reread, it differs")


def gradient_reaches_optics_and_weights(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """A loss on the prediction moves the optics, where they are learnt, and the network."""
    decoder = built(kind, images)
    encoder.zero_grad()
    learnt = encoder.weight.requires_grad
    if not learnt and not any(True for _ in decoder.parameters()):
        return  # nothing is there to move
    if learnt:
        exploring(encoder, images)
    prediction = decoder(encoder.A(images), encoder).prediction
    wanted = images if kind.predicts == "images" else torch.zeros_like(prediction)
    (prediction - wanted).square().sum().backward()
    if learnt:
        gradient = encoder.weight.grad
        require(gradient is not None and 0 < float(gradient.norm()) < float("inf"), "no gradient reaches the optics")
    missing = [name for name, weight in decoder.named_parameters() if weight.grad is None]
    require(not missing, f"no gradient reaches {', '.join(missing)}")


def bottleneck_is_what_forward_gives(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """`bottleneck` asks a teacher for the features of `forward`."""
    decoder = built(kind, images)
    with torch.no_grad():
        y = encoder.A(images)
        torch.testing.assert_close(decoder.bottleneck(y, encoder), decoder(y, encoder).features)


def features_lead_to_the_prediction(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """The prediction is made of the features that are handed out, in every format of the training."""
    decoder = built(kind, images)
    if not any(True for _ in decoder.parameters()):
        return  # nothing is there to guide
    for training_dtype in (None, torch.bfloat16):
        decoder.training_dtype = training_dtype
        output = decoder(encoder.A(images), encoder)
        (gradient,) = torch.autograd.grad(output.prediction.sum(), output.features, allow_unused=True)
        require(gradient is not None, f"the prediction is not made of the features (training in {training_dtype})")


def leaves_the_operator_alone(kind: type[Decoder], encoder: Encoder, images: Tensor) -> None:
    """Decoding changes nothing in the encoder, and asks it for no measurement."""
    before = {name: part.clone() for name, part in encoder.state_dict().items()}
    state = torch.get_rng_state()
    decoder = built(kind, images)
    torch.manual_seed(3)
    wanted = torch.get_rng_state()
    with torch.no_grad():
        decoder(encoder.A(images), encoder)
    require(torch.equal(torch.get_rng_state(), wanted), "decoding draws random numbers")
    torch.set_rng_state(state)
    changed = [name for name, part in encoder.state_dict().items() if not torch.equal(part, before[name])]
    require(not changed, f"decoding changes the encoder's {', '.join(changed)}")


LAWS: tuple[Law, ...] = (
    settings_have_defaults_and_names_of_their_own,
    predicts_what_it_says,
    images_of_a_batch_do_not_mix,
    repeats_itself_in_eval,
    everything_travels_with_the_weights,
    gradient_reaches_optics_and_weights,
    bottleneck_is_what_forward_gives,
    features_lead_to_the_prediction,
    leaves_the_operator_alone,
)
