"""Which decoders there are: those in the table, and those that installed packages offer."""

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from cidesign.errors import InputError
from cidesign.run_settings import shown_value, validated

if TYPE_CHECKING:  # torch loads only where a decoder is built
    from cidesign.models.decoder import Decoder, DecoderSettings

# name -> module and class; imported when it is asked for.
DECODERS = {
    "unet": "cidesign.models.unet:LinearThenUNet",
    "unrolled": "cidesign.models.unrolled:Unrolled",
}
# Packages name theirs in this group of entry points: `toy = toy_decoder:ToyDecoder`.
ENTRY_POINTS = "cidesign.decoders"


def decoder_names() -> list[str]:
    """All names, those of the table first; loads none of them."""
    offered = {point.name for point in entry_points(group=ENTRY_POINTS)}
    return [*DECODERS, *sorted(offered - set(DECODERS))]


def decoder_class(name: str) -> "type[Decoder]":
    """The class of a decoder; raises `InputError` for a name that nobody, or more than one package, offers.

    A name is all that a run can ask for: code comes from installed packages alone.
    """
    from cidesign.models.decoder import Decoder

    points = list(entry_points(group=ENTRY_POINTS, name=name))
    if name in DECODERS:
        points.insert(0, EntryPoint(name, DECODERS[name], ENTRY_POINTS))
    if not points:
        raise InputError(
            f"decoder {shown_value(name)}: not installed; there are {', '.join(decoder_names())}. Install "
            f"the package that offers it (entry points {ENTRY_POINTS})"
        )
    if len({point.value for point in points}) > 1:
        offers = " and ".join(_from(point) for point in points)
        raise InputError(f"decoder {name}: offered by {offers}; uninstall one of them")
    try:
        module, _, attribute = points[0].value.partition(":")
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a foreign package raises when it is imported
        raise InputError(
            f"decoder {name} of {_from(points[0])} cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Decoder)):
        raise InputError(f"decoder {name} of {_from(points[0])}: {points[0].value} is no Decoder class")
    return found


def decoder_settings(name: str, values: Mapping[str, Any]) -> "DecoderSettings":
    """The decoder's own settings, by its own rules; raises `InputError`."""
    return validated(decoder_class(name).settings_type, values)


def _from(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "cidesign"
