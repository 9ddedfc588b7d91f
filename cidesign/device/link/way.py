"""How an export reaches a device: which of its files are sent, in which order, and what has to be known of it."""

from pathlib import Path
from typing import ClassVar

from cidesign.device.dmd import DeviceInfo, TableEntry
from cidesign.errors import DeviceError
from cidesign.export.dmd.manifest import EntryRecord, Manifest
from cidesign.hardware_profiles.dmd.schema import DmdProfile


class Way:
    """Over the control link: the table first, then the images from the highest index down."""

    # For people, and in --json.
    name: ClassVar[str] = "control link"
    # The files of an export that are its images; None: they are in the device already, and the table is sent alone.
    role: ClassVar[str | None] = "image"
    # Whether an export of several sequences goes as one upload, shown without an end between them.
    joins_sequences: ClassVar[bool] = False

    def order(self, image: int, half: int) -> tuple[int, int]:
        """What images are sorted by: the highest index first, each index primary first."""
        return -image, half

    def dark_us(self, entry: EntryRecord, manifest: Manifest) -> int:
        """The dark time after an entry."""
        return entry.period_us - entry.exposure_us

    def sequence_us(self, entries: tuple[TableEntry, ...]) -> int:
        """The time to show every entry once."""
        return sum(entry.exposure_us + entry.dark_us for entry in entries)

    def planes(self, planes: int, profile: DmdProfile) -> str:
        """What the bit planes of a sequence are to the device, for people."""
        memory = profile.memory.full_rate_planes.value
        return f"{planes}; the device holds {memory} at full rate ({100 * planes / memory:.0f} %)"

    def check_export(self, manifest: Manifest, profile: DmdProfile, where: Path) -> None:
        """Raise `LimitError` for an export that cannot go this way."""

    def warnings(self, manifest: Manifest, profile: DmdProfile, entries: tuple[TableEntry, ...]) -> list[str]:
        """What the user should know before anything is sent."""
        return list(manifest.timing.notes)

    def check_device(self, info: DeviceInfo, profile: DmdProfile) -> None:
        """Raise `DeviceError` when the device that answered is not reached this way."""
        if not info.image_upload:
            raise DeviceError(
                f"{profile.id}: the device that answered takes no images; is the bridge running with the right "
                "--backend?"
            )
