"""Which decoders there are: those in the table, and those that installed packages offer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cidesign.plugins import known_names, load_class
from cidesign.run_settings import validated

if TYPE_CHECKING:  # torch loads only where a decoder is built
    from cidesign.models.decoder import Decoder, DecoderSettings

# name -> module and class; imported when it is asked for.
DECODERS = {
    "unet": "cidesign.models.unet:LinearThenUNet",
    "phase-unet": "cidesign.models.phase_unet:PhaseUNet",
    "unrolled": "cidesign.models.unrolled:Unrolled",
    "linear": "cidesign.models.linear:Linear",
    "classifier": "cidesign.models.classifier:Classifier",
    "back-projection": "cidesign.models.back_projection:BackProjectionUNet",
}
# Packages name theirs in this group of entry points: `toy = toy_decoder:ToyDecoder`.
ENTRY_POINTS = "cidesign.decoders"


def decoder_names() -> list[str]:
    """All names, those of the table first; loads none of them."""
    return known_names(DECODERS, ENTRY_POINTS)


def decoder_class(name: str) -> "type[Decoder]":
    """The class of a decoder; raises `InputError` for a name that nobody, or more than one package, offers.

    A name is all that a run can ask for: code comes from installed packages alone.
    """
    from cidesign.models.decoder import Decoder

    return load_class(name, DECODERS, ENTRY_POINTS, Decoder)


def decoder_settings(name: str, values: Mapping[str, Any]) -> "DecoderSettings":
    """The decoder's own settings, by its own rules; raises `InputError`."""
    return validated(decoder_class(name).settings_type, values)
