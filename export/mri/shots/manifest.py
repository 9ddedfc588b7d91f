"""The manifest of an export of shots."""

from typing import Literal

from cidesign.export.mri.manifest import ScanManifest


class ShotsManifest(ScanManifest):
    """The content of `manifest.json` of an export of shots."""

    kind: Literal["mri-shots"]
