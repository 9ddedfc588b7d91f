"""Calibration of an MRI scan: raw data, noise, coils, phantom."""

from cidesign.calibration.essential import Essential, Essentials

_PHANTOM = "phantom of known drawing"

ESSENTIAL: Essentials = {
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
        "two coils, or a phantom of known drawing",
        "data that do not fit each other",
        ("phantom",),
        ("lines kept out",),
    ),
    "coil maps": Essential("10 contiguous lines around the centre", "coil maps that do not predict other lines"),
}
