"""A lensless camera: its twin, its calibration from point sources, and the operator that it finds."""

from cidesign.calibration.essential import Essential, Essentials

ESSENTIAL: Essentials = {
    "second point": Essential(
        "second point source (`second`)",
        "a PSF that is another one elsewhere in the field, or of another day",
        ("known target", "PSF in the scene"),
    ),
    "known target": Essential(
        "known picture in place of the scene (`target` with `target_picture`)",
        "an image that is mirrored, of exchanged colours, or of a wrong scale",
    ),
}
