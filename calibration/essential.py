"""What a verdict rests on: the checks without which nobody knows whether an operator is that of the bench.

A check of one of these names that is `not checked` leaves a calibration, or a result, *not verified*.
"""

from typing import NamedTuple

_CARD = "known card (`card` with `card_picture`), shown with 15 patterns or more"
_PHANTOM = "phantom of known drawing"


# Names that checks had once, as they stand in older calibrations.
RENAMED = {
    "held-back patterns": "held-out patterns",
    "lines kept out": "held-out lines",
}


class Essential(NamedTuple):
    """`target`: the calibration target that the check takes; `unseen`: what goes unseen without it; `or_else`: checks
    that show it as well."""

    target: str
    unseen: str
    or_else: tuple[str, ...] = ()


ESSENTIAL: dict[str, Essential] = {
    # Single-pixel camera.
    "place of the patterns": Essential(
        _CARD, "patterns that are mirrored, turned, shifted, or with on and off mirrors exchanged"
    ),
    "evenness of the light": Essential("white reference (`flat`) or known card", "light that is uneven over the field"),
    "held-out patterns": Essential(_CARD, "an operator that does not predict the readings"),
    "order of readings (scene)": Essential(
        "scene with structure, in enough light, shown with 16 to 2048 patterns",
        "readings that belong to other frames than their own",
    ),
    # SD-CASSI.
    "white target": Essential(
        "white target (`white`)",
        "a wrong lamp or scale, and a mask that is mirrored, turned, inverted or shifted, or a wrong dispersion step",
        ("mask in the scene",),
    ),
    # Of an instrument that was described, not measured.
    "light of the bands": Essential("white target (`white`)", "a wrong lamp or scale", ("white target",)),
    "mask in the capture": Essential(
        "white target (`white`), or a scene in which the mask shows",
        "a mask that is mirrored, turned, inverted or displaced, or a wrong dispersion step",
        ("white target",),
    ),
    "fit of the scene": Essential(
        "white target (`white`)",
        "an operator that is not the bench's, where the scene is of another kind",
        ("white target",),
    ),
    # MRI.
    "orientation": Essential(_PHANTOM, "a picture that is mirrored or turned"),
    "position of the phantom": Essential(_PHANTOM, "a field of view that is shifted"),
    "order of readouts": Essential(_PHANTOM, "lost readouts, after which all lines are wrong"),
    # Of shots.
    "gradient delay": Essential("shots that cross near the centre of k-space", "gradients that come late"),
    "centre of k-space": Essential(
        "shots that cross near the centre of k-space", "shots that do not fit each other: lost, drifting, or elsewhere"
    ),
    # One coil has no maps to predict lines with; then the phantom's drawing is all that a scan is held against.
    "held-out lines": Essential(
        "two coils, or a phantom of known drawing", "data that do not fit each other", ("phantom",)
    ),
    "coil maps": Essential("10 contiguous lines around the centre", "coil maps that do not predict other lines"),
}
