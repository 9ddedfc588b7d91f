"""What it means, in words, that an image needs no network: the linear estimate or total variation is as good."""

from collections.abc import Sequence

from cidesign.distill.comparison.compare import Row
from cidesign.distill.comparison.evaluate import LINEAR, Held
from cidesign.distill.tasks.base import Column

WAYS_OUT = (
    "train on images like these (`cidesign distill --data`), or take an image that needs no training (`cidesign "
    "reconstruct` writes some beside the network's)"
)


def network_words(rows: Sequence[Row], images: int, score: Column) -> list[str]:
    """One line for each reconstruction without training that beats the first system's network, or is of some images.

    `images`: how many there are; the networks of other systems that lose to their own linear estimate are named.
    """
    first, lines = rows[0], []
    for name, held in first.held_against.items():
        if held.wins == "classical":
            lines.append(_loses(first.name, name, held, score))
        if held.images < images:
            lines.append(
                f"{held.title}: of {held.images} of the {images} images, evenly spaced; network of {first.name} - "
                f"{held.title} of these: {_signed(held.difference, score)}"
            )
    others = [row for row in rows[1:] if LINEAR in row.held_against and row.held_against[LINEAR].wins == "classical"]
    if others:
        listed = ", ".join(f"{row.name} ({_signed(row.held_against[LINEAR].difference, score)})" for row in others)
        lines.append(f"the networks of these lose to their own linear estimate too: {listed}")
    return lines


def _loses(system: str, name: str, held: Held, score: Column) -> str:
    unit = f" {score.unit}" if score.unit else ""
    error = "" if held.standard_error is None else f" (standard error {held.standard_error:.{score.digits}f})"
    why = (
        f"the network of {system} makes it worse, as networks do on images unlike those of their training"
        if name == LINEAR
        else f"it needs no training and beats the network of {system}"
    )
    named = f"the {held.title}" if name == LINEAR else held.title
    gain = f"{-held.difference:.{score.digits}f}{unit}"
    return f"on these images {named} wins by {gain}{error}: {why}; {WAYS_OUT}"


def _signed(value: float, score: Column) -> str:
    return f"{value:+.{score.digits}f} {score.unit}".rstrip()
