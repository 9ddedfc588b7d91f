"""Which upload is on its way to a device, and which of its objects the device has: the bridge's bookkeeping."""

from typing import NamedTuple

from cidesign.device.dmd import DeviceStatus, TableEntry
from cidesign.device.link.messages import NO_DIGEST, Begin, ObjectKind, Slot

TABLE = Slot(ObjectKind.TABLE, 0)


class Entry(NamedTuple):
    """An object in a slot, and the job that asked for it."""

    sha256: bytes
    job: int


class Holdings:
    """`announced`: the objects of the upload that is on its way, since the last HELLO.  `loaded`: what the device has.

    Objects are loaded table first, because a new table makes the images of a DLPC900 invalid; whatever makes the
    device's content uncertain (a new table, a stop, a failed load, a loss of power) empties `loaded`.
    `shown_upload` is the upload that `loaded` is of.  `takes_images` is False for a device whose images are in its
    flash: there the table alone is complete.
    """

    def __init__(self) -> None:
        self.takes_images = True
        self.upload = self.design = NO_DIGEST
        self.shown_upload = self.shown_design = NO_DIGEST
        self.announced: dict[Slot, Entry] = {}
        self.loaded: dict[Slot, Entry] = {}
        self.prepared = False
        self._table: list[TableEntry] = []

    def announce(self, begin: Begin) -> None:
        """Note an object of an upload; another upload's objects are no longer expected."""
        if begin.upload != self.upload:
            self.announced = {}
        self.upload, self.design = begin.upload, begin.design
        self.announced[begin.slot] = Entry(begin.sha256, begin.job)

    def expects(self, slot: Slot, sha256: bytes) -> bool:
        """Whether this object was announced for this slot."""
        entry = self.announced.get(slot)
        return entry is not None and entry.sha256 == sha256

    def shown(self, slot: Slot) -> bytes:
        """SHA-256 of what the device has in a slot; zeros when it is of another upload or of an earlier job."""
        entry, wanted = self.loaded.get(slot), self.announced.get(slot)
        if entry is None or wanted is None or self.shown_upload != self.upload or wanted.job not in (0, entry.job):
            return NO_DIGEST
        return entry.sha256

    def begin_load(self, slot: Slot) -> bool:
        """Note that a slot is about to be loaded; False when the table must be loaded first."""
        if slot == TABLE:
            self.forget_loaded()
        elif TABLE not in self.loaded or self.shown_upload != self.upload or not self.prepared:
            return False
        self.loaded.pop(slot, None)
        self.shown_upload, self.shown_design = self.upload, self.design
        return True

    def finish_load(self, slot: Slot, entry: Entry, table: list[TableEntry]) -> None:
        """Note that the device took an object."""
        self.prepared = True
        self.loaded[slot] = entry
        if slot == TABLE:
            self._table = table

    def forget_loaded(self) -> None:
        """The device's content is not known any more."""
        self.loaded = {}
        self._table = []

    def uncertain(self) -> None:
        """After a stop, a failed load or a loss of power the device must be prepared and loaded anew."""
        self.prepared = False
        self.forget_loaded()

    def believe(self, status: DeviceStatus) -> None:
        """Forget what the device says it does not have (it lost power behind the bridge)."""
        images = {slot.number for slot in self.loaded if slot.kind != ObjectKind.TABLE}
        if status.images_loaded < len(images) or (self._table and status.entries_loaded != len(self._table)):
            self.uncertain()

    @property
    def complete(self) -> bool:
        """Whether the device has the table and every image that the table and the upload name."""
        primary, secondary = (
            {slot.number for slot in self.loaded if slot.kind == kind}
            for kind in (ObjectKind.IMAGE_PRIMARY, ObjectKind.IMAGE_SECONDARY)
        )
        named = {entry.image for entry in self._table} if self.takes_images else set()
        awaited = set(self.announced) if self.upload == self.shown_upload else set()
        in_place = named <= primary and (not secondary or named <= secondary)
        return TABLE in self.loaded and in_place and awaited <= set(self.loaded)
