"""Calibration of an SD-CASSI camera."""

from cidesign.calibration.essential import Essential, Essentials

ESSENTIAL: Essentials = {
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
}
