"""The sequence table of the virtual DLPC900, read from TI DLPU018F Table 2-137 independently of the driver."""

from typing import NamedTuple

from cidesign.device.virtual_faults import Refused


class LutEntry(NamedTuple):
    """One defined pattern."""

    exposure_us: int
    dark_us: int
    bit_depth: int
    triggered: bool
    image: int
    first_plane: int

    @property
    def planes(self) -> range:
        """Its planes, least significant first."""
        return range(self.first_plane, self.first_plane + self.bit_depth)

    @property
    def source(self) -> tuple[int, int, int]:
        """What decides which image bits are needed; a change of it makes all images invalid."""
        return self.image, self.first_plane, self.bit_depth


def parse_entry(data: bytes, extended_depths: bool) -> tuple[int, LutEntry]:
    """Index and content of a 12-byte entry; raises `Refused`."""
    if len(data) != 12:
        raise Refused(6, f"pattern definition of {len(data)} bytes")
    index = data[0] | data[1] << 8
    if index > 511:
        raise Refused(15, f"pattern index {index}")
    flags, options = data[5], data[9]
    clear, bit_depth, triggered = flags & 1, (flags >> 1 & 7) + 1, bool(flags & 0x80)
    if options & 0xFC or (options & 2 and extended_depths):
        raise Refused(16, f"options 0x{options:02X}")
    if clear and not (bit_depth == 1 and triggered):
        raise Refused(16, "clear after exposure without an external trigger, or with more than 1 bit")
    word = data[10] | data[11] << 8
    entry = LutEntry(
        exposure_us=int.from_bytes(data[2:5], "little"),
        dark_us=int.from_bytes(data[6:9], "little"),
        bit_depth=bit_depth,
        triggered=triggered,
        image=word & 0x7FF,
        first_plane=word >> 11,
    )
    if entry.first_plane + bit_depth > 24:
        raise Refused(10, f"planes {entry.first_plane} to {entry.first_plane + bit_depth - 1}")
    return index, entry


def with_trigger_dark(entries: list[LutEntry], extra_us: int) -> list[LutEntry]:
    """The entries as shown: a black frame is appended to each that precedes a triggered one; the last precedes the
    first (TI DLPU018J, LUT configuration, notes)."""
    return [
        entry._replace(dark_us=entry.dark_us + extra_us) if after.triggered else entry
        for entry, after in zip(entries, [*entries[1:], *entries[:1]], strict=True)
    ]
