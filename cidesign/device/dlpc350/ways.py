"""The two ways of an export into a DLP4500: over HDMI, or from its flash."""

import math
from pathlib import Path

from cidesign.constraints.sequence import modes_text
from cidesign.device.dmd import SETTLE_FRAMES, DeviceInfo, TableEntry
from cidesign.device.link.way import Way
from cidesign.errors import DeviceError, LimitError
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import EntryRecord, Manifest
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.units import format_duration_us

SCREEN_FRAME_US = 16_667  # 60 Hz, the rate of `cidesign bridge --backend display` unless its user sets another


class Hdmi(Way):
    """To the computer at the HDMI input, which puts one image after the other on a screen that is the device."""

    name = "hdmi"
    role = "hdmi-frame"
    joins_sequences = True

    def dark_us(self, entry: EntryRecord, manifest: Manifest) -> int:
        """No image waits for the flash, so periods that only grew for that shrink."""
        return 0 if manifest.timing.requested_period_us is None else super().dark_us(entry, manifest)

    def sequence_us(self, entries: tuple[TableEntry, ...]) -> int:
        """Each image stands on the screen until it surely is on the mirrors, then for its entries."""
        shown_us: dict[int, int] = {}
        for entry in entries:
            shown_us[entry.image] = shown_us.get(entry.image, 0) + entry.exposure_us + entry.dark_us
        return sum(
            (SETTLE_FRAMES + math.ceil(time_us / SCREEN_FRAME_US)) * SCREEN_FRAME_US for time_us in shown_us.values()
        )

    def planes(self, planes: int, profile: DmdProfile) -> str:
        """The memory of the device plays no part."""
        return f"{planes}, streamed 24 per video frame"

    def warnings(self, manifest: Manifest, profile: DmdProfile, entries: tuple[TableEntry, ...]) -> list[str]:
        """The notes on the timing of the export are about the flash."""
        stored = "" if exporter_named(manifest.format).streamed else "; from flash the export takes "
        return [
            f"{profile.controller.value} takes no images over its control link: the bridge computer must drive "
            "the HDMI input (`cidesign bridge --backend display`); it puts one image after the other on a 60 Hz screen "
            "and shows it when it surely has arrived, which is the time given for the sequence"
            + (stored and stored + format_duration_us(manifest.timing.total_us))
        ]

    def check_device(self, info: DeviceInfo, profile: DmdProfile) -> None:
        """The bridge must drive the HDMI input."""
        if not info.image_upload:
            raise DeviceError(
                f"{profile.id}: the bridge reaches only its control link, which takes no images; run `cidesign bridge "
                "--backend display` on the computer at its HDMI input, or put the images into its flash with TI's GUI "
                "and repeat with --images-in-flash"
            )


class Flash(Way):
    """The images were put into the flash with TI's tools; the table alone is sent."""

    name = "flash"
    role = None

    def check_export(self, manifest: Manifest, profile: DmdProfile, where: Path) -> None:
        """What was written for HDMI may be longer than the tables."""
        modes = profile.sequence_modes
        entries, images = len(manifest.entries), manifest.images
        if exporter_named(manifest.format).streamed and not any(
            entries <= mode.max_entries.value and images <= mode.max_images.value for mode in modes
        ):
            raise LimitError(
                f"{where}: {entries} frames in {images} images were written for HDMI, and the tables for the flash "
                f"hold {modes_text(profile)}; leave out --images-in-flash, or export with --format "
                f"{profile.controller.value}"
            )

    def warnings(self, manifest: Manifest, profile: DmdProfile, entries: tuple[TableEntry, ...]) -> list[str]:
        """What the user should know before anything is sent."""
        return [
            *super().warnings(manifest, profile, entries),
            "only the sequence table is sent: nothing can check that the images in flash are the ones of this export",
        ]

    def check_device(self, info: DeviceInfo, profile: DmdProfile) -> None:
        """The bridge must not drive the HDMI input."""
        if info.image_upload:
            raise DeviceError(
                f"{profile.id}: this bridge drives the HDMI input and shows what it is sent, not what is in flash; "
                "leave out --images-in-flash"
            )
