"""Calibration of a single-pixel camera."""

from cidesign.calibration.essential import Essential, Essentials

_CARD = "known card (`card` with `card_picture`), shown with 15 patterns or more"

ESSENTIAL: Essentials = {
    "place of the patterns": Essential(
        _CARD, "patterns that are mirrored, turned, shifted, or with on and off mirrors exchanged"
    ),
    "evenness of the light": Essential(
        "white reference (`flat`) or known card, in enough light", "light that is uneven over the field"
    ),
    "held-out patterns": Essential(
        _CARD, "an operator that does not predict the readings", earlier=("held-back patterns",)
    ),
    "order of readings (scene)": Essential(
        "scene with structure, in enough light, shown with 16 to 2048 patterns",
        "readings that belong to other frames than their own",
    ),
}
